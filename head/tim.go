package head

import (
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// TuneConfig configures [NewTune]: the loss that the class weights of a task are tuned by, and how. With n the support examples
// and p the predicted probabilities of the queries, the loss is
//
//	CrossEntropy · CE(support) - Marginal · H(mean p) + Conditional · mean H(p).
type TuneConfig struct {
	CrossEntropy, Marginal, Conditional float64
	// Temperature τ: the logits are -τ/2·‖x - w‖².
	Temperature float64
	Normalize   bool // divides embeddings by their Euclidean norms
	Steps       int
	Rate        float64 // of Adam
	// Alternating replaces Adam by the closed-form updates of the alternating direction method (Boudiaf et al. 2020, section
	// 3.2 and proposition 1), one per step. It has no rate, and needs weights CrossEntropy and Marginal above 0.
	Alternating bool
}

// Tune begins with the class means as class weights and tunes them to a loss on support set and queries. With entropies of the
// queries in the loss it is transductive:
//
//   - TIM (Boudiaf et al. 2020), by gradient descent or by alternating directions, maximises the mutual information of queries
//     and predictions.
//   - Transductive fine-tuning (Dhillon et al. 2020) minimises the entropy of the predictions. Here it tunes the class weights
//     only, as the library easyfsl does; the paper tunes the encoder as well.
//
// Gradients are written out, and no graph is recorded. It is not trained through.
type Tune struct{ c TuneConfig }

// NewTune makes the head.
func NewTune(c TuneConfig) *Tune { return &Tune{c} }

// Transductive implements [Transductive].
func (h *Tune) Transductive() bool { return h.c.Marginal != 0 || h.c.Conditional != 0 }

// LogProbs implements [Head].
func (h *Tune) LogProbs(_ *nn.Pass, t *fewshot.Task) (logp *tensor.Tensor) {
	tensor.NoGrad(func() {
		logp = tensor.Eval(func() *tensor.Tensor {
			all := tensor.Cat(1, t.Support, t.Query) // [tasks, support+query, width]
			if h.c.Normalize {
				all = unit(all)
			}
			y := oneHot(t)
			var logits *tensor.Tensor
			switch {
			case h.c.Alternating:
				logits = h.alternate(all, y)
			case tensor.FusesSteps(all):
				logits = h.logits(tensor.TuneWeights(h.begin(all, y), all, t.SupportLabels, h.c.tuning()), all).Transpose(-2, -1)
			default:
				logits = h.descend(all, y)
			}
			n := y.Dim(1)
			return logits.Narrow(1, n, all.Dim(1)-n).LogSoftmax(-1)
		})
	})
	return logp
}

func (c TuneConfig) tuning() tensor.Tuning {
	return tensor.Tuning{Temperature: c.Temperature, CrossEntropy: c.CrossEntropy, Marginal: c.Marginal, Conditional: c.Conditional, Steps: c.Steps, Rate: c.Rate}
}

// begin returns the class means, the weights [tasks, way, width] that tuning begins with.
func (h *Tune) begin(all, y *tensor.Tensor) *tensor.Tensor {
	return means(all.Narrow(1, 0, y.Dim(1)), y).Contiguous()
}

// logits returns the logits [tasks, way, support+query] of weights, but for terms that all classes share.
func (h *Tune) logits(w, all *tensor.Tensor) *tensor.Tensor {
	transposed := all.Transpose(-2, -1) // a copy would take the place of other tasks in the caches
	return w.MatMul(transposed).Sub(w.Square().SumKeep(-1).MulScalar(.5)).MulScalar(h.c.Temperature)
}

// descend is the reference implementation of [tensor.TuneWeights]: it tunes the weights by Adam and returns the logits [tasks, support+query, way], but for terms that all classes share.
//
// With l the logits, p their softmax, u = -Conditional·log p + Marginal·log(mean p over the queries) and n and m the numbers of
// support examples and queries, the gradient of the loss for the logits is CrossEntropy·(p - y)/n on the support set and
// p·(u - Σ p·u)/m on the queries. Both are computed on all columns at once, weighted by constants that are zero on the others.
func (h *Tune) descend(all, y *tensor.Tensor) *tensor.Tensor {
	c, n := h.c, y.Dim(1)
	queries := all.Dim(1) - n
	w := h.begin(all, y)
	m, v := w.ZerosLike(), w.ZerosLike()
	columns := func(support, query float64) *tensor.Tensor { // [1, 1, support+query]
		of := func(value float64, n int64) *tensor.Tensor {
			return tensor.Full(c.Temperature*value, all.DType(), all.Device(), 1, 1, n)
		}
		return tensor.Cat(2, of(support, n), of(query, queries))
	}
	ofSupport, ofQueries := columns(c.CrossEntropy/float64(n), 0), columns(0, 1/float64(queries))
	labels := y.Transpose(-2, -1)
	labels = tensor.Cat(2, labels, labels.Narrow(2, 0, 1).ZerosLike().Expand(y.Dim(0), y.Dim(2), queries)).Mul(ofSupport)
	step := func(count int64) {
		scope := tensor.Enter()
		defer scope.Leave()
		p := h.logits(w, all).Softmax(1)
		factor := ofSupport
		if h.Transductive() {
			up := p.AddScalar(tiny).Log().MulScalar(-c.Conditional)
			if c.Marginal != 0 {
				up = up.Add(p.Narrow(2, n, queries).MeanKeep(2).AddScalar(tiny).Log().MulScalar(c.Marginal))
			}
			factor = up.Sub(p.Mul(up).SumKeep(1)).Mul(ofQueries).Add(ofSupport)
		}
		of := p.Mul(factor).Sub(labels)
		grad := of.MatMul(all).Sub(w.Mul(of.SumKeep(-1)))
		tensor.Adam([]*tensor.Tensor{w}, []*tensor.Tensor{grad}, []*tensor.Tensor{m}, []*tensor.Tensor{v}, c.Rate, .9, .999, 1e-8, 0, false, count)
	}
	for i := range c.Steps {
		step(int64(i + 1))
	}
	return h.logits(w, all).Transpose(-2, -1)
}

// alternate is descend by alternating directions. The weights are combinations of the embeddings, so that a step needs their
// inner products only.
func (h *Tune) alternate(all, y *tensor.Tensor) *tensor.Tensor {
	c, n := h.c, y.Dim(1)
	queries := all.Dim(1) - n
	k := all.MatMul(all.Transpose(-2, -1)) // symmetric
	y = y.Transpose(-2, -1)                // [tasks, way, support]
	counts := y.SumKeep(2)                 // [tasks, way, 1]
	// a has the weights' coefficients: [tasks, way, support+query].
	a := tensor.Cat(2, y.Div(counts), y.Narrow(2, 0, 1).ZerosLike().Expand(y.Dim(0), y.Dim(1), queries))
	ofSupport, ofQueries := c.CrossEntropy/(1+c.Conditional), float64(n)/float64(queries)
	logits := func() *tensor.Tensor {
		ak := a.MatMul(k)
		return ak.Sub(a.Mul(ak).SumKeep(2).MulScalar(.5)).MulScalar(c.Temperature)
	}
	step := func() {
		scope := tensor.Enter()
		defer scope.Leave()
		logp := logits().LogSoftmax(1)
		p, logq := logp.Exp(), logp.Narrow(2, n, queries).MulScalar(1+c.Conditional)
		ps, pq := p.Narrow(2, 0, n), p.Narrow(2, n, queries)
		q := logq.Sub(logq.Exp().SumKeep(2).AddScalar(tiny).Log().MulScalar(c.Marginal / (1 + c.Marginal))).Softmax(1)
		support, query := y.Sub(ps).MulScalar(ofSupport), q.Sub(pq).MulScalar(ofQueries)
		own := ps.SumKeep(2).MulScalar(ofSupport).Add(pq.SumKeep(2).MulScalar(ofQueries))
		norm := counts.MulScalar(ofSupport).Add(q.SumKeep(2).MulScalar(ofQueries))
		a = scope.Keep(tensor.Cat(2, support, query).Add(a.Mul(own)).Div(norm))
	}
	for range c.Steps {
		step()
	}
	return logits().Transpose(-2, -1)
}
