// Package relationnet implements the Relation network of Sung et al. (2018): an encoder, a memory that holds the support set's
// feature maps, and a learned relation instead of a distance.
package relationnet

import (
	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/metric"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// Loss is a training loss.
type Loss int

const (
	// MSE is the mean squared error of the relation scores, with target 1 for the query's class and 0 for the others: Sung et
	// al. 2018, eq. 2.
	MSE Loss = iota
	// CrossEntropy is the negative log-probability of the query's class under a softmax over the scores before the sigmoid, as
	// in Matching and Prototypical networks.
	CrossEntropy
)

// Net is a Relation network. Its memory compares by a [metric.Relation], whose sigmoid is the relation score of Sung et al.
// 2018, eq. 1. It encodes the support set and the queries in one batch, so that batch statistics are the same for both; the
// authors' code encodes them separately.
type Net struct {
	Encoder encoder.Encoder
	Memory  memory.Matcher
	loss    Loss
}

// New makes a Relation network on an encoder and a memory. [NewMemory] makes the paper's memory.
func New(e encoder.Encoder, m memory.Matcher, loss Loss) *Net { return &Net{e, m, loss} }

// NewMemory makes the paper's memory for the feature maps of an encoder: one slot per class, which holds the sum of the
// class's support maps, compared by a learned relation.
func NewMemory(b *nn.Builder, e encoder.Encoder) *memory.Prototype {
	c, h, w := encoder.Maps(e)
	relation := metric.NewRelation(b.In("metric"), metric.RelationConfig{Channels: c, Height: h, Width: w})
	return memory.NewPrototype(memory.PrototypeConfig{Metric: relation, Sum: true})
}

// Encode returns the embeddings [n, width] of images [n, channels, height, width].
func (n *Net) Encode(p *nn.Pass, images *tensor.Tensor) *tensor.Tensor {
	return n.Encoder.Forward(p, images)
}

// UsesBatchStatistics implements [fewshot.UsesBatchStatistics].
func (n *Net) UsesBatchStatistics() bool {
	return (&fewshot.Net{Encoder: n.Encoder, Memory: n.Memory}).UsesBatchStatistics()
}

// LogProbs implements [fewshot.Network]. Under [MSE] the probabilities are the relation scores, normalised to sum to one; the
// most probable class is then the paper's prediction, the class of the highest score.
func (n *Net) LogProbs(p *nn.Pass, t *fewshot.Task) *tensor.Tensor {
	return n.FromFeatures(p, t.Embedded(p, n.Encoder))
}

// FromFeatures implements [fewshot.FeatureNetwork].
func (n *Net) FromFeatures(p *nn.Pass, t *fewshot.Task) *tensor.Tensor {
	if n.loss == CrossEntropy {
		return t.Recall(p, n.Memory, t.Support, t.Query)
	}
	return n.relations(p, t, t.Support, t.Query).LogSoftmax(-1)
}

// Loss implements [fewshot.Learner] by the network's training loss.
func (n *Net) Loss(p *nn.Pass, t *fewshot.Task) (loss, logp *tensor.Tensor) {
	support, query := t.Embed(p, n.Encoder)
	if n.loss == CrossEntropy {
		logp = t.Recall(p, n.Memory, support, query)
		return t.NLL(logp), logp
	}
	relations := n.relations(p, t, support, query)
	truth := t.QueryLabels.OneHot(t.Way).To(relations.DType())
	return relations.Exp().Sub(truth).Square().Mean(), relations.LogSoftmax(-1)
}

// relations returns the logarithms [tasks, query, way] of the relation scores of queries and classes. A class's score is the
// mean of its slots' scores, weighted by each slot's share of the class.
func (n *Net) relations(p *nn.Pass, t *fewshot.Task, support, query *tensor.Tensor) *tensor.Tensor {
	scores, shares := n.Memory.Match(p, t.Write(p, n.Memory, support), query)
	slots := scores.Neg().Softplus().Neg().Unsqueeze(-1) // log of the sigmoid, [tasks, query, slots, 1]
	total := shares.SumKeep(1)                           // [tasks, 1, way]
	weights := shares.Div(total.ClampMin(least)).Unsqueeze(1)
	log := tensor.Where(weights.Gt(weights.ZerosLike()), weights.ClampMin(least).Log(), weights.ZerosLike().AddScalar(never))
	return slots.Add(log).LogSumExp(-2)
}

const (
	never = -1e30 // logarithm of the relation score of a class that the memory does not hold
	least = 1e-30 // smallest share that counts as nonzero
)

var _ fewshot.FeatureNetwork = (*Net)(nil)
