// Package protonet is the Prototypical network of Snell, Swersky and Zemel (2017): an encoder, and a memory that keeps
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

// Net is a Prototypical network.
type Net struct {
	Encoder encoder.Encoder
	Memory  memory.Associative
}

// New makes a Prototypical network on an encoder; with a nil memory it is the paper's, prototypes under squared Euclidean distance.
func New(e encoder.Encoder, m memory.Associative) *Net {
	if m == nil {
		m = memory.NewPrototype(memory.PrototypeConfig{Metric: metric.SquaredEuclidean{}})
	}
	return &Net{Encoder: e, Memory: m}
}

// LogProbs returns the queries' log-probabilities [tasks, query, way]: Snell et al. 2017, eq. 2.
func (n *Net) LogProbs(p *nn.Pass, t *fewshot.Task) *tensor.Tensor {
	support, query := t.Embed(p, n.Encoder)
	return t.Recall(p, n.Memory, support, query)
}

// Loss returns the mean negative log-probability of the true classes (algorithm 1), and the log-probabilities.
func (n *Net) Loss(p *nn.Pass, t *fewshot.Task) (loss, logp *tensor.Tensor) {
	logp = n.LogProbs(p, t)
	return t.NLL(logp), logp
}
