// Package protonet is the Prototypical network of Snell, Swersky and Zemel (2017): an encoder, and a memory that keeps
// the mean of each class.
package protonet

import (
	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/metric"
)

// Net is a Prototypical network. Its log-probabilities are Snell et al. 2017, eq. 2; its loss is algorithm 1's.
type Net struct{ fewshot.Net }

// New makes a Prototypical network on an encoder; with a nil memory it is the paper's, prototypes under squared
// Euclidean distance.
func New(e encoder.Encoder, m memory.Associative) *Net {
	if m == nil {
		m = memory.NewPrototype(memory.PrototypeConfig{Metric: metric.SquaredEuclidean{}})
	}
	return &Net{fewshot.Net{Encoder: e, Memory: m}}
}

var _ fewshot.Network = (*Net)(nil)
