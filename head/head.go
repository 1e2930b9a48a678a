// Package head implements the classifiers of few-shot learning that see embeddings only: a head is fitted to the embedded
// support set of a task and classifies its embedded queries. Any encoder goes with any head.
//
// Heads that are differentiable can be trained through, together with their encoder, on episodes: [Net]. The others are for
// tests on a frozen encoder. A transductive head, which [Transductive] tells, lets the queries of a task influence one
// another; its figures must not be compared with those of inductive heads without saying so.
package head

import (
	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/metric"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// A Head classifies embeddings.
//
// The rules for networks in package fewshot hold. Every class of a task must have a support example.
type Head interface {
	// LogProbs returns the queries' log-probabilities [tasks, query, way] for a task that holds embeddings: Support [tasks,
	// support, width] and Query [tasks, query, width]. The tasks of a batch do not influence one another.
	LogProbs(p *nn.Pass, t *fewshot.Task) *tensor.Tensor
}

// A Regularized head adds a term of its own to the loss of training.
type Regularized interface {
	Head
	// Penalty returns a scalar for a task that holds embeddings, as LogProbs takes it. It may use the queries' labels.
	Penalty(p *nn.Pass, t *fewshot.Task) *tensor.Tensor
}

// Transductive reports whether the log-probabilities of a query depend on the other queries of its task. A head answers by a
// method Transductive() bool; one without it is inductive.
func Transductive(h Head) bool {
	s, ok := h.(interface{ Transductive() bool })
	return ok && s.Transductive()
}

// Net is an encoder and a head that are trained together on episodes.
type Net struct {
	Encoder encoder.Encoder
	Head    Head
	// Smoothing ε is that of the labels in training: the loss is (1-ε) times the cross-entropy, plus ε times its mean over
	// all classes (Szegedy et al. 2016, section 7, as PyTorch computes it).
	Smoothing float64
}

// Encode returns the embeddings [n, width] of images [n, channels, height, width].
func (n *Net) Encode(p *nn.Pass, images *tensor.Tensor) *tensor.Tensor {
	return n.Encoder.Forward(p, images)
}

// FromFeatures implements [fewshot.FeatureNetwork].
func (n *Net) FromFeatures(p *nn.Pass, t *fewshot.Task) *tensor.Tensor { return n.Head.LogProbs(p, t) }

// LogProbs implements [fewshot.Network].
func (n *Net) LogProbs(p *nn.Pass, t *fewshot.Task) *tensor.Tensor {
	return n.FromFeatures(p, t.Embedded(p, n.Encoder))
}

// Loss implements [fewshot.Learner]: the cross-entropy of the queries, with smoothed labels, and the head's penalty.
func (n *Net) Loss(p *nn.Pass, t *fewshot.Task) (loss, logp *tensor.Tensor) {
	embedded := t.Embedded(p, n.Encoder)
	logp = n.Head.LogProbs(p, embedded)
	loss = nn.SmoothedNLL(logp.Flatten(0, 1), t.QueryLabels.Flatten(0, 1), n.Smoothing)
	if h, ok := n.Head.(Regularized); ok {
		loss = loss.Add(h.Penalty(p, embedded))
	}
	return loss, logp
}

// Precision returns the precision of the encoder; see [encoder.Precision].
func (n *Net) Precision() string { return encoder.Precision(n.Encoder) }

// UsesBatchStatistics implements [fewshot.UsesBatchStatistics].
func (n *Net) UsesBatchStatistics() bool { return encoder.UsesBatchStatistics(n.Encoder) }

var _ fewshot.FeatureNetwork = (*Net)(nil)

// oneHot returns the support labels of a task as [tasks, support, way], of the type of its embeddings.
func oneHot(t *fewshot.Task) *tensor.Tensor {
	return t.SupportLabels.OneHot(t.Way).To(t.Support.DType())
}

// means returns the class means [tasks, way, width] of embeddings x [tasks, n, width] under weights [tasks, n, way].
func means(x, weights *tensor.Tensor) *tensor.Tensor {
	return weights.Transpose(-2, -1).MatMul(x).Div(weights.Sum(1).Unsqueeze(-1))
}

// tiny is added where a sum may be zero or a logarithm infinite.
const tiny = 1e-12

// unit divides the rows of x [..., width] by their Euclidean norms. A row of zeros stays, with a gradient of zero.
func unit(x *tensor.Tensor) *tensor.Tensor {
	return x.Div(x.Square().SumKeep(-1).AddScalar(tiny).Sqrt())
}

// squaredDistances returns ‖q - k‖² [tasks, queries, keys] of q [tasks, queries, width] and k [tasks, keys, width].
func squaredDistances(q, k *tensor.Tensor) *tensor.Tensor {
	return metric.SquaredEuclidean{}.Score(nil, q, k).Neg()
}

// cosines returns the cosines [tasks, queries, keys] of q [tasks, queries, width] and k [tasks, keys, width].
func cosines(q, k *tensor.Tensor) *tensor.Tensor { return unit(q).MatMul(unit(k).Transpose(-2, -1)) }
