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

// train takes inner steps on the support set of a single task, whose images order deals out: once all have been seen they come
// again in another order, as in the paper's code.
func (n *Net) train(p *nn.Pass, t *fewshot.Task, steps int, batch int64, order *rand.Rand) tuned {
	support, labels := t.Support.Flatten(0, 1), t.SupportLabels.Flatten(0, 1)
	images := support.Dim(0)
	batch = min(batch, images)
	var out tuned
	var zeros []*tensor.Tensor // the first moment, which a beta1 of 0 leaves no use for
	for i, param := range n.params {
		value := p.Value(param).Detach()
		out.values = append(out.values, value.Clone().RequireGrad())
		out.squares = append(out.squares, p.Value(n.squares[i]).Detach().Clone())
		zeros = append(zeros, value.ZerosLike())
	}
	own := n.pass(p, out.values)
	fused := n.Fused(own, support)
	done := int64(tensor.Values[float32](n.steps.Value())[0])
	var hand []int64
	next := func() []int64 {
		dealt := make([]int64, batch)
		for i := range dealt {
			if len(hand) == 0 {
				for _, v := range order.Perm(int(images)) {
					hand = append(hand, int64(v))
				}
			}
			dealt[i], hand = hand[0], hand[1:]
		}
		return dealt
	}
	out.loss = tensor.Scalar(0)
	for k := range int64(steps) {
		func() {
			scope := tensor.Enter()
			defer scope.Leave()
			x, y := support, labels
			if batch < images {
				dealt := tensor.New(next(), batch).On(support.Device())
				x, y = support.IndexSelect(0, dealt), labels.IndexSelect(0, dealt)
			}
			grads, loss := n.gradient(fused, own, out.values, x, y)
			tensor.Adam(out.values, grads, zeros, out.squares, n.config.Rate, 0, beta2, eps, 0, false, done+k+1)
			out.loss.Assign(out.loss.Add(loss.Detach().MulScalar(1 / float64(steps))))
		}()
	}
	return out
}

// gradient is that of the loss on images x with labels y for each parameter, whose values p uses, nil where there is none, and
// the loss.
func (n *Net) gradient(fused *fewshot.Fused, p *nn.Pass, values []*tensor.Tensor, x, y *tensor.Tensor) (grads []*tensor.Tensor, loss *tensor.Tensor) {
	if fused == nil {
		loss = tensor.NLL(n.Classify(p, x), y)
		return tensor.Grad(loss, values...), loss
	}
	got, loss := fused.Gradient(fused.Values(p), x, y)
	of := fused.By(got)
	for _, param := range n.params {
		grads = append(grads, of[param])
	}
	return grads, loss
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
		got := n.train(p, own, n.config.TestSteps, n.config.TestBatch, stream.New(0, "reptile/test"))
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
