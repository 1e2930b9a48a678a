// Package siamese is the Siamese network of Koch, Zemel and Salakhutdinov (2015): twin encoders and a metric that learn
// whether two images show the same class. A query is then of the class whose example it is most likely the same as.
package siamese

import (
	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/metric"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// Memory is an associative memory that tells what it compares keys by, and what that is multiplied by. Pairs are told apart
// by the same.
type Memory interface {
	memory.Associative
	Measure() (m metric.Metric, scale float64)
}

// Config are the settings of [New]. The zero value is the paper's network.
type Config struct {
	// Memory holds the support set; nil stands for one that keeps all of it and compares by the paper's learned weighted
	// Manhattan distance ([metric.WeightedManhattan]).
	Memory Memory
	// Loss is what pairs are trained by; nil stands for [Verification].
	Loss Loss
	// SupportQuery trains on the pairs of a support example and a query, and on no other pairs of a task.
	SupportQuery bool
}

// Net is a Siamese network. Of two images the sigmoid of scale·score + Bias is the probability that they show the same
// class: Koch et al. 2015, section 3.1; its classification of queries (section 3.1, C*) is what its memory reads. With one
// example a class and a memory that keeps all, that is the class of the best pair; with several, the odds of a class's pairs
// add up.
type Net struct {
	fewshot.Net
	Bias   *nn.Param // [1]
	config Config
}

// The bias and the scale that the paper's metric begins with. Identical images are then taken for the same with a
// probability of 0.95, and images whose embeddings differ by 0.75 in the mean for different ones with as much. With a bias of
// 0, identical images would be even odds, and nothing but moving all embeddings together would lower the loss at first:
// after 300 steps of 30-way episodes on Omniglot a Conv-4 then told 37 % of 20 validation classes right.
const (
	startBias    = 3
	DefaultScale = 8
)

// New makes a Siamese network of an encoder; b makes what it learns beside the encoder.
func New(b *nn.Builder, e encoder.Encoder, c Config) *Net {
	if c.Memory == nil {
		c.Memory = memory.NewKeyValue(memory.KeyValueConfig{Metric: metric.NewWeightedManhattan(b.In("memory.metric"), e.Width()), Scale: DefaultScale})
	}
	if c.Loss == nil {
		c.Loss = Verification{}
	}
	return &Net{Net: fewshot.Net{Encoder: e, Memory: c.Memory}, Bias: b.Param("bias", nn.Constant(startBias), 1), config: c}
}

// scores returns the scaled scores of embedded examples [tasks, a, width] and [tasks, b, width] as pairs, [tasks, a, b].
func (n *Net) scores(p *nn.Pass, a, b *tensor.Tensor) *tensor.Tensor {
	m, scale := n.config.Memory.Measure()
	s := m.Score(p, a, b)
	if scale != 1 {
		s = s.MulScalar(scale)
	}
	return s
}

// Logits returns, of each pair, what the probability of the same class is the sigmoid of, [pairs]: above zero the network
// takes them for the same.
func (n *Net) Logits(p *nn.Pass, pairs *fewshot.Pairs) *tensor.Tensor {
	return n.config.Loss.logits(n.pairScores(p, pairs), p.Value(n.Bias))
}

func (n *Net) pairScores(p *nn.Pass, pairs *fewshot.Pairs) *tensor.Tensor {
	count := pairs.Left.Dim(0)
	// Both twins in one evaluation, so that batch norm sees them together.
	x := n.Encoder.Forward(p, tensor.Cat(0, pairs.Left, pairs.Right)).Unsqueeze(1) // [2·pairs, 1, width]
	return n.scores(p, x.Narrow(0, 0, count), x.Narrow(0, count, count)).Flatten(0, -1)
}

// PairLoss returns what training on pairs makes smaller, and the pairs' logits. It panics where the loss needs more than
// pairs, as [Triplet] does.
func (n *Net) PairLoss(p *nn.Pass, pairs *fewshot.Pairs) (loss, logits *tensor.Tensor) {
	if _, ok := n.config.Loss.(Triplet); ok {
		panic(&tensor.Error{Op: "PairLoss", Msg: "a triplet is an anchor and two others, and pairs are drawn one by one; use Loss on tasks"})
	}
	scores := n.pairScores(p, pairs)
	same := pairs.Same.To(scores.DType())
	c := comparison{scores: scores.Unsqueeze(-1).Unsqueeze(-1), same: same.Unsqueeze(-1).Unsqueeze(-1)}
	c.different = c.same.Neg().AddScalar(1)
	return n.config.Loss.loss(c, p.Value(n.Bias)), n.config.Loss.logits(scores, p.Value(n.Bias))
}

// Loss returns the mean loss of the pairs in each task, and the queries' log-probabilities [tasks, query, way].
func (n *Net) Loss(p *nn.Pass, t *fewshot.Task) (loss, logp *tensor.Tensor) {
	support, query := t.Embed(p, n.Encoder)
	reading := *p
	reading.Training = false // what queries read moves no statistics, nor is it trained
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
		// Every pair stands there twice, which changes no mean, and every image beside itself, which is no pair.
		others := tensor.Eye(c.same.Dim(1)).To(c.same.DType()).On(c.same.Device()).Neg().AddScalar(1)
		c.same = c.same.Mul(others)
	}
	return n.config.Loss.loss(c, p.Value(n.Bias)), logp
}

var (
	_ fewshot.Network  = (*Net)(nil)
	_ fewshot.Verifier = (*Net)(nil)
)
