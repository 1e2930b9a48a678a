// Package protonet implements the Prototypical network of Snell, Swersky and Zemel (2017): an encoder and a memory that keeps
// the mean of each class.
package protonet

import (
	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/metric"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// Net is a Prototypical network. Its log-probabilities are eq. 2 of Snell et al. 2017, its loss that of algorithm 1.
type Net struct{ fewshot.Net }

// New makes a Prototypical network on an encoder. The default memory, for nil, is the paper's: prototypes under the squared
// Euclidean distance.
func New(e encoder.Encoder, m memory.Associative) *Net {
	if m == nil {
		m = memory.NewPrototype(memory.PrototypeConfig{Metric: metric.SquaredEuclidean{}})
	}
	return &Net{fewshot.Net{Encoder: e, Memory: m}}
}

// FromFeatures implements [fewshot.FeatureNetwork].
func (n *Net) FromFeatures(p *nn.Pass, t *fewshot.Task) *tensor.Tensor {
	return t.Recall(p, n.Memory, t.Support, t.Query)
}

var _ fewshot.FeatureNetwork = (*Net)(nil)
