// Package reptile implements Reptile of Nichol, Achiam and Schulman (2018). It repeatedly trains the initial values on a task
// for a few steps and moves them a fraction of the way towards the result.
//
// One task per step is the paper's serial version (algorithm 1), several tasks are the batched version (algorithm 2). Batch
// norm always uses batch statistics and gathers no running ones; see [fewshot.Classifier.QueryLogProbs] for the statistics
// of the queries.
package reptile

import (
	"math/rand/v2"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/stream"
	"github.com/engram-go/engram/tensor"
)

// Config configures [New]. The defaults are the paper's for 5-way Omniglot (appendix A).
type Config struct {
	Way       int64   // classes per task
	Steps     int     // inner steps in training; default 5
	TestSteps int     // inner steps in tests; default 50
	Batch     int64   // images per inner step in training; default 10
	TestBatch int64   // images per inner step in tests; default 5
	Rate      float64 // learning rate of the inner Adam; default 1e-3
	// Workers is the number of tasks computed at the same time, each on one core; default 1. Results do not depend on it.
	Workers int
}

// beta2 and eps are those of the inner Adam, whose beta1 is 0 (appendix A). eps is the default of Adam's paper.
const beta2, eps = .999, 1e-8

// Net is a classifier that is meta-trained by Reptile.
//
// The inner Adam's second moment carries over from task to task and to the test, as in the paper's code. It is kept in
// buffers "inner.v.<name>", as the mean over the tasks of a batch.
type Net struct {
	*fewshot.Classifier
	config  Config
	params  []*nn.Param
	squares []*nn.Param // second moments, one per parameter
	steps   *nn.Param   // [1], number of inner steps behind the second moments
}

// New makes a network on an encoder of the same builder. It trains all parameters of the builder. It panics if
// [fewshot.CheckAdaptable] refuses the encoder.
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
	n.steps = inner.OnCPU().Buffer("steps", nn.Constant(0), 1)
	return n
}

// Steps returns the number of inner steps per task in training and in tests.
func (n *Net) Steps() (train, test int) { return n.config.Steps, n.config.TestSteps }

// tuned is the result of the inner steps: the parameters' values and Adam's second moments.
type tuned struct {
	values, squares []*tensor.Tensor
	loss            *tensor.Tensor // mean over the steps
}

// pass returns a copy of p that replaces the parameters by values.
func (n *Net) pass(p *nn.Pass, values []*tensor.Tensor) *nn.Pass {
	out := p.Clone()
	for i, param := range n.params {
		out.With[param] = values[i]
	}
	return out
}

// minibatches returns the image indices of each step. Images are reshuffled whenever all of them have been used, as in the
// paper's code.
func minibatches(images, batch int64, steps int, order *rand.Rand) [][]int64 {
	out := make([][]int64, steps)
	var left []int
	for k := range out {
		for range min(batch, images) {
			if len(left) == 0 {
				left = order.Perm(int(images))
			}
			out[k] = append(out[k], int64(left[0]))
			left = left[1:]
		}
	}
	return out
}

// train takes inner steps on the support set of a single task, in minibatches that order draws.
func (n *Net) train(p *nn.Pass, t *fewshot.Task, steps int, batch int64, order *rand.Rand) tuned {
	support, labels := t.Support.Flatten(0, 1), t.SupportLabels.Flatten(0, 1)
	adam := tensor.AdamSteps{Rate: n.config.Rate, Beta2: beta2, Eps: eps, Done: int64(tensor.Values[float32](n.steps.Value())[0]), Dealt: minibatches(support.Dim(0), batch, steps, order)}
	if fused := n.Fused(p, support); fused != nil {
		return n.trainFused(fused, p, adam, support, labels)
	}
	var out tuned
	var zeros []*tensor.Tensor // the first moments, unused at a beta1 of 0
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

// trainFused is train as one fused operation. Parameters that the fused network does not use keep their values.
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
	to, squaredTo := f.ByParam(values), f.ByParam(squared)
	for _, param := range n.params {
		if to[param] == nil {
			to[param], squaredTo[param] = p.Value(param).Detach().Clone(), squares[param].Clone()
		}
		out.values, out.squares = append(out.values, to[param]), append(out.squares, squaredTo[param])
	}
	return out
}

// Gradients implements [fewshot.AdaptiveNetwork]. As the gradient it returns θ - φ, the difference between the initial values
// and the values trained on a task, averaged over the tasks: gradient descent with a learning rate of ε then takes the
// paper's step θ ← θ + ε(φ - θ). The loss is the mean over the inner steps. A training pass also updates the second moments.
// p.Rand draws the minibatches and must not be nil.
func (n *Net) Gradients(p *nn.Pass, t *fewshot.Task) (grads []*tensor.Tensor, loss, logp *tensor.Tensor) {
	n.CheckWay("Gradients", t)
	tasks := t.Support.Dim(0)
	orders := make([]*rand.Rand, tasks)
	for i := range orders { // drawn here, because workers run concurrently
		orders[i] = rand.New(rand.NewPCG(p.Rand.Uint64(), p.Rand.Uint64()))
	}
	params := len(n.params)
	sums := make([]*tensor.Tensor, 2*params+1) // the differences, the second moments and the loss
	var logps []*tensor.Tensor
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
			out = append(out, got.loss.MulScalar(share), n.QueryLogProbs(n.pass(p, got.values), own))
		})
		return out
	}, func(_ int64, out []*tensor.Tensor) {
		fewshot.AddTo(sums, out[:len(sums)])
		logps = append(logps, out[len(sums)].Clone())
	})
	if p.Training {
		for i, v := range n.squares {
			v.Value().Assign(sums[params+i])
		}
		n.steps.Value().Assign(n.steps.Value().AddScalar(float64(n.config.Steps)))
	}
	return sums[:params], sums[2*params], tensor.Cat(0, logps...)
}

// LogProbs implements [fewshot.Network]: it trains on each task's support set for the number of inner steps of a test, in
// minibatches drawn by the task's index. The result is not differentiable.
func (n *Net) LogProbs(p *nn.Pass, t *fewshot.Task) *tensor.Tensor {
	n.CheckWay("LogProbs", t)
	var logps []*tensor.Tensor
	fewshot.Each(t, n.config.Workers, func(_ int64, own *fewshot.Task) []*tensor.Tensor {
		got := n.train(p, own, n.config.TestSteps, n.config.TestBatch, stream.New(0, "reptile/test", own.First))
		var logp *tensor.Tensor
		tensor.NoGrad(func() { logp = n.QueryLogProbs(n.pass(p, got.values), own) })
		return []*tensor.Tensor{logp}
	}, func(_ int64, out []*tensor.Tensor) { logps = append(logps, out[0].Clone()) })
	return tensor.Cat(0, logps...)
}

// Loss implements [fewshot.Learner] by LogProbs. It is not differentiable: Reptile is trained by [Net.Gradients].
func (n *Net) Loss(p *nn.Pass, t *fewshot.Task) (loss, logp *tensor.Tensor) {
	logp = n.LogProbs(p, t)
	return t.NLL(logp), logp
}

var _ fewshot.AdaptiveNetwork = (*Net)(nil)
