// Package siamese implements the Siamese network of Koch, Zemel and Salakhutdinov (2015): two branches with shared parameters
// and a metric learn whether two images show the same class. A query is classified by comparing it with the support set.
package siamese

import (
	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/metric"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// Memory is an associative memory that compares keys by a metric. The network compares pairs by the same metric.
type Memory interface {
	memory.Associative
	// Measure returns the metric and the factor by which its scores are multiplied. Both are constant.
	Measure() (m metric.Metric, scale float64)
}

// Config configures [New]. The zero value gives the paper's network.
type Config struct {
	// Memory holds the support set. The default is a [memory.KeyValue] with the paper's learned weighted Manhattan distance
	// ([metric.WeightedManhattan]).
	Memory Memory
	// Loss is the loss on pairs; default [Verification].
	Loss Loss
	// SupportQuery restricts training to the pairs of a support example and a query. Otherwise all pairs of a task count.
	SupportQuery bool
}

// Net is a Siamese network. The probability that two images show the same class is the sigmoid of scale·score + Bias: Koch
// et al. 2015, section 3.1. Queries are classified by reading the memory. With one example per class and a memory that keeps
// all examples, the prediction is the class of the most probable pair (section 3.1, C*); with several examples per class the
// odds of their pairs add up.
type Net struct {
	fewshot.Net
	Bias   *nn.Param // [1]
	config Config
}

// The initial bias and the scale of the default metric. At these values identical images show the same class with
// probability 0.95, and images whose embeddings differ by 0.75 on average with probability 0.05. At a bias of 0 identical
// images would have probability 0.5, and at first only moving all embeddings together would lower the loss: a Conv-4 then
// had an accuracy of 37 % on 20 validation classes after 300 steps of 30-way episodes on Omniglot.
const (
	startBias    = 3
	DefaultScale = 8
)

// New makes a Siamese network on an encoder. b makes its other parameters: "bias" and, by default, those of the metric.
func New(b *nn.Builder, e encoder.Encoder, c Config) *Net {
	if c.Memory == nil {
		c.Memory = memory.NewKeyValue(memory.KeyValueConfig{Metric: metric.NewWeightedManhattan(b.In("memory.metric"), e.Width()), Scale: DefaultScale})
	}
	if c.Loss == nil {
		c.Loss = Verification{}
	}
	return &Net{Net: fewshot.Net{Encoder: e, Memory: c.Memory}, Bias: b.Param("bias", nn.Constant(startBias), 1), config: c}
}

// scores returns the scaled scores [tasks, a, b] of all pairs of embeddings [tasks, a, width] and [tasks, b, width].
func (n *Net) scores(p *nn.Pass, a, b *tensor.Tensor) *tensor.Tensor {
	m, scale := n.config.Memory.Measure()
	s := m.Score(p, a, b)
	if scale != 1 {
		s = s.MulScalar(scale)
	}
	return s
}

// FromFeatures implements [fewshot.FeatureNetwork].
func (n *Net) FromFeatures(p *nn.Pass, t *fewshot.Task) *tensor.Tensor {
	return t.Recall(p, n.Memory, t.Support, t.Query)
}

// Logits implements [fewshot.Verifier].
func (n *Net) Logits(p *nn.Pass, pairs *fewshot.Pairs) *tensor.Tensor {
	return n.config.Loss.logits(n.pairScores(p, pairs), p.Value(n.Bias))
}

func (n *Net) pairScores(p *nn.Pass, pairs *fewshot.Pairs) *tensor.Tensor {
	count := pairs.Left.Dim(0)
	// One batch for both branches, so that batch norm sees them together.
	x := n.Encoder.Forward(p, tensor.Cat(0, pairs.Left, pairs.Right)).Unsqueeze(1) // [2·pairs, 1, width]
	return n.scores(p, x.Narrow(0, 0, count), x.Narrow(0, count, count)).Flatten(0, -1)
}

// PairLoss implements [fewshot.Verifier]. It panics for the [Triplet] loss, which needs tasks.
func (n *Net) PairLoss(p *nn.Pass, pairs *fewshot.Pairs) (loss, logits *tensor.Tensor) {
	if _, ok := n.config.Loss.(Triplet); ok {
		panic(&tensor.Error{Op: "PairLoss", Msg: "the triplet loss compares three images and is not defined on pairs; use Loss on tasks"})
	}
	scores := n.pairScores(p, pairs)
	same := pairs.Same.To(scores.DType())
	c := comparison{scores: scores.Unsqueeze(-1).Unsqueeze(-1), same: same.Unsqueeze(-1).Unsqueeze(-1)}
	c.different = c.same.Neg().AddScalar(1)
	return n.config.Loss.loss(c, p.Value(n.Bias)), n.config.Loss.logits(scores, p.Value(n.Bias))
}

// Loss implements [fewshot.Learner]: the mean loss over the pairs of each task. The log-probabilities are not differentiable.
func (n *Net) Loss(p *nn.Pass, t *fewshot.Task) (loss, logp *tensor.Tensor) {
	support, query := t.Embed(p, n.Encoder)
	reading := *p
	reading.Training = false // the reading is not trained and must not move statistics
	tensor.NoGrad(func() { logp = t.Recall(&reading, n.Memory, support, query) })
	a, b, labelsA, labelsB := query, support, t.QueryLabels, t.SupportLabels
	if !n.config.SupportQuery {
		a, labelsA = tensor.Cat(1, support, query), tensor.Cat(1, t.SupportLabels, t.QueryLabels)
		b, labelsB = a, labelsA
	}
	c := comparison{scores: n.scores(p, a, b)}
	c.same = labelsA.Unsqueeze(2).Eq(labelsB.Unsqueeze(1)).To(c.scores.DType()) // [tasks, a, b]
	c.different = c.same.Neg().AddScalar(1)
	if !n.config.SupportQuery {
		// Every pair occurs twice, which changes no mean. Pairs of an image with itself are left out.
		others := tensor.Eye(c.same.Dim(1), c.same.DType(), c.same.Device()).Neg().AddScalar(1)
		c.same = c.same.Mul(others)
	}
	return n.config.Loss.loss(c, p.Value(n.Bias)), logp
}

var (
	_ fewshot.Network  = (*Net)(nil)
	_ fewshot.Verifier = (*Net)(nil)
)
