// Package reptile is the Reptile of Nichol, Achiam and Schulman (2018): first values that are moved, again and again, a part
// of the way to where some steps of training on a task take them.
//
// One task a step is the paper's serial version (algorithm 1), several its batched one (algorithm 2). Batch norm uses the
// statistics of the batch at hand at every step and none are gathered; how queries are normalised, fewshot.Classifier.Ask says.
package reptile

import (
	"math/rand/v2"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/stream"
	"github.com/engram-go/engram/tensor"
)

// Config are the settings of [New]. Zero values stand for what the fields say, which is the paper's for 5 classes of Omniglot
// (appendix A).
type Config struct {
	Way       int64   // classes of a task
	Steps     int     // inner steps in training: 5
	TestSteps int     // and otherwise: 50
	Batch     int64   // images of an inner step in training: 10
	TestBatch int64   // and otherwise: 5
	Rate      float64 // of the inner steps' Adam: 1e-3
	// Workers is how many tasks are computed at the same time, each on one core: 1. It changes no bit of what comes out.
	Workers int
}

// beta2 is that of the inner steps' Adam, whose beta1 is 0 (appendix A), with eps as Adam's paper has it.
const beta2, eps = .999, 1e-8

// Net is a network that learns to be trained in a few steps.
//
// The running mean of squared gradients of the inner steps' Adam goes on from task to task and on to the test, as in the
// paper's code; it is kept in buffers, called inner.v. and the parameter's name, and is the mean over the tasks of a batch.
type Net struct {
	*fewshot.Classifier
	config  Config
	params  []*nn.Param
	squares []*nn.Param // one for each of params
	steps   *nn.Param   // [1], inner steps that made the squares
}

// New makes a network on an encoder that was made by the same builder; whatever else the builder has made, it trains as well.
func New(b *nn.Builder, e encoder.Encoder, c Config) *Net {
	def := func(v *int, paper int) {
		if *v == 0 {
			*v = paper
		}
	}
	def(&c.Steps, 5)
	def(&c.TestSteps, 50)
	def(&c.Workers, 1)
	if c.Batch == 0 {
		c.Batch = 10
	}
	if c.TestBatch == 0 {
		c.TestBatch = 5
	}
	if c.Rate == 0 {
		c.Rate = 1e-3
	}
	n := &Net{Classifier: fewshot.NewClassifier(b, e, c.Way), config: c, params: b.Params().Trained()}
	inner := b.In("inner")
	for _, p := range n.params {
		n.squares = append(n.squares, inner.In("v").Buffer(p.Name, nn.Constant(0), p.Value().Shape()...))
	}
	n.steps = inner.Buffer("steps", nn.Constant(0), 1)
	return n
}

// Steps returns how many inner steps a task is trained by in training, and otherwise.
func (n *Net) Steps() (train, test int) { return n.config.Steps, n.config.TestSteps }

// tuned is what inner steps make of the first values and of Adam's state.
type tuned struct {
	values, squares []*tensor.Tensor
	loss            *tensor.Tensor // the steps' mean
}

// pass is p with the values in the parameters' place.
func (n *Net) pass(p *nn.Pass, values []*tensor.Tensor) *nn.Pass {
	out := p.Apart()
	for i, param := range n.params {
		out.With[param] = values[i]
	}
	return out
}

// deal returns the numbers of the images of each step: once all have been seen they come again in another order, as in the
// paper's code.
func deal(images, batch int64, steps int, order *rand.Rand) [][]int64 {
	out := make([][]int64, steps)
	var hand []int
	for k := range out {
		for range min(batch, images) {
			if len(hand) == 0 {
				hand = order.Perm(int(images))
			}
			out[k] = append(out[k], int64(hand[0]))
			hand = hand[1:]
		}
	}
	return out
}

// train takes inner steps on the support set of a single task, whose images order deals out.
func (n *Net) train(p *nn.Pass, t *fewshot.Task, steps int, batch int64, order *rand.Rand) tuned {
	support, labels := t.Support.Flatten(0, 1), t.SupportLabels.Flatten(0, 1)
	adam := tensor.AdamSteps{Rate: n.config.Rate, Beta2: beta2, Eps: eps, Done: int64(tensor.Values[float32](n.steps.Value())[0]), Dealt: deal(support.Dim(0), batch, steps, order)}
	if fused := n.Fused(p, support); fused != nil {
		return n.trainFused(fused, p, adam, support, labels)
	}
	var out tuned
	var zeros []*tensor.Tensor // the first moment, which a beta1 of 0 leaves no use for
	for i, param := range n.params {
		value := p.Value(param).Detach()
		out.values = append(out.values, value.Clone().RequireGrad())
		out.squares = append(out.squares, p.Value(n.squares[i]).Detach().Clone())
		zeros = append(zeros, value.ZerosLike())
	}
	own := n.pass(p, out.values)
	out.loss = tensor.Scalar(0)
	for k, dealt := range adam.Dealt {
		func() {
			scope := tensor.Enter()
			defer scope.Leave()
			these := tensor.New(dealt, int64(len(dealt))).On(support.Device())
			loss := tensor.NLL(n.Classify(own, support.IndexSelect(0, these)), labels.IndexSelect(0, these))
			tensor.Adam(out.values, tensor.Grad(loss, out.values...), zeros, out.squares, adam.Rate, 0, adam.Beta2, adam.Eps, 0, false, adam.Done+int64(k)+1)
			out.loss.Assign(out.loss.Add(loss.Detach().MulScalar(1 / float64(steps))))
		}()
	}
	return out
}

// trainFused is train in one operation. Parameters that the fused network has no use for stay as they are.
func (n *Net) trainFused(f *fewshot.Fused, p *nn.Pass, adam tensor.AdamSteps, support, labels *tensor.Tensor) (out tuned) {
	squares := make(map[*nn.Param]*tensor.Tensor, len(n.params))
	for i, param := range n.params {
		squares[param] = p.Value(n.squares[i]).Detach()
	}
	var own []*tensor.Tensor
	for _, param := range f.Params {
		own = append(own, squares[param])
	}
	values, squared, loss := f.Adam(f.Values(p), own, adam, support, labels)
	out.loss = loss
	to, squaredTo := f.By(values), f.By(squared)
	for _, param := range n.params {
		if to[param] == nil {
			to[param], squaredTo[param] = p.Value(param).Detach().Clone(), squares[param].Clone()
		}
		out.values, out.squares = append(out.values, to[param]), append(out.squares, squaredTo[param])
	}
	return out
}

// Gradients returns what the first values are to be moved by, against its direction, for each trained parameter: their distance
// θ - φ to the trained ones, in the mean over the tasks. With gradient descent at a rate of ε that is the paper's step θ ← θ +
// ε(φ - θ). It also returns the mean loss of the inner steps, and the queries' log-probabilities [tasks, query, way] after
// them. In a training pass it moves the running squares. p.Rand deals the images out, and must be there.
func (n *Net) Gradients(p *nn.Pass, t *fewshot.Task) (grads []*tensor.Tensor, loss, logp *tensor.Tensor) {
	n.Fits("Gradients", t)
	tasks := t.Support.Dim(0)
	orders := make([]*rand.Rand, tasks)
	for i := range orders { // here, since tasks take no turns
		orders[i] = rand.New(rand.NewPCG(p.Rand.Uint64(), p.Rand.Uint64()))
	}
	params := len(n.params)
	sums := make([]*tensor.Tensor, 2*params+1) // the distances, the squares and the loss
	var answers []*tensor.Tensor
	share := 1 / float64(tasks)
	fewshot.Each(t, n.config.Workers, func(i int64, own *fewshot.Task) (out []*tensor.Tensor) {
		got := n.train(p, own, n.config.Steps, n.config.Batch, orders[i])
		tensor.NoGrad(func() {
			for i, param := range n.params {
				out = append(out, p.Value(param).Sub(got.values[i]).MulScalar(share))
			}
			for _, v := range got.squares {
				out = append(out, v.MulScalar(share))
			}
			out = append(out, got.loss.MulScalar(share), n.Ask(n.pass(p, got.values), own))
		})
		return out
	}, func(_ int64, out []*tensor.Tensor) {
		fewshot.AddTo(sums, out[:len(sums)])
		answers = append(answers, out[len(sums)].Clone())
	})
	if p.Training {
		for i, v := range n.squares {
			v.Value().Assign(sums[params+i])
		}
		n.steps.Value().Assign(n.steps.Value().AddScalar(float64(n.config.Steps)))
	}
	return sums[:params], sums[2*params], tensor.Cat(0, answers...)
}

// LogProbs returns the queries' log-probabilities [tasks, query, way] after a test's steps on each task's support set.
func (n *Net) LogProbs(p *nn.Pass, t *fewshot.Task) *tensor.Tensor {
	n.Fits("LogProbs", t)
	var answers []*tensor.Tensor
	fewshot.Each(t, n.config.Workers, func(_ int64, own *fewshot.Task) []*tensor.Tensor {
		got := n.train(p, own, n.config.TestSteps, n.config.TestBatch, stream.New(0, "reptile/test", own.First))
		var logp *tensor.Tensor
		tensor.NoGrad(func() { logp = n.Ask(n.pass(p, got.values), own) })
		return []*tensor.Tensor{logp}
	}, func(_ int64, out []*tensor.Tensor) { answers = append(answers, out[0].Clone()) })
	return tensor.Cat(0, answers...)
}

// Loss returns the loss on the queries of what LogProbs returns, which nothing leads back from to the first values: it is
// [Net.Gradients] that Reptile learns by.
func (n *Net) Loss(p *nn.Pass, t *fewshot.Task) (loss, logp *tensor.Tensor) {
	logp = n.LogProbs(p, t)
	return t.NLL(logp), logp
}

var _ fewshot.AdaptiveNetwork = (*Net)(nil)
