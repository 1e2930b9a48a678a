// Package maml implements Model-Agnostic Meta-Learning (MAML) of Finn, Abbeel and Levine (2017). It learns initial values
// from which a few steps of gradient descent on a task's support set give a classifier for its queries.
//
// Its settings also give first-order MAML (section 5.2 of the paper), Meta-SGD with a learned rate per parameter element
// (Li et al. 2017), and ANIL, which adapts the head only (Raghu et al. 2020).
//
// Batch norm always uses batch statistics and gathers no running ones. Inner steps see the support set; see
// [fewshot.Classifier.QueryLogProbs] for the statistics of the queries.
package maml

import (
	"maps"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// DefaultRate is the inner rate of Finn et al. 2017 for 5 classes of Omniglot, appendix A.1.
const DefaultRate = .4

// Config configures [New]. The defaults are the paper's for 5-way Omniglot.
type Config struct {
	Way       int64   // classes per task
	Steps     int     // inner steps in training; default 1
	TestSteps int     // inner steps in tests; default Steps
	Rate      float64 // inner learning rate, or the initial value of learned rates; default [DefaultRate]
	// LearnRates learns an inner learning rate for every adapted parameter element: Meta-SGD.
	LearnRates bool
	// FirstOrder ignores the derivatives of the inner gradients in the meta-gradient.
	FirstOrder bool
	// HeadOnly adapts the head and leaves the encoder unchanged: ANIL.
	HeadOnly bool
	// Workers is the number of tasks computed at the same time, each on one core; default 1. Results do not depend on it.
	Workers int
}

// Net is a classifier that is meta-trained by MAML.
type Net struct {
	*fewshot.Classifier
	config  Config
	trained func() []*nn.Param
	adapted []*nn.Param
	rates   []*nn.Param // one per adapted parameter; nil if the rate is fixed
}

// New makes a network on an encoder of the same builder. It trains all parameters of the builder. New adds the layer "head"
// and, if rates are learned, a parameter "rate.<name>" per adapted parameter. It panics if [fewshot.CheckAdaptable] refuses
// the encoder.
func New(b *nn.Builder, e encoder.Encoder, c Config) *Net {
	c.Steps, c.Workers = max(c.Steps, 1), max(c.Workers, 1)
	if c.TestSteps == 0 {
		c.TestSteps = c.Steps
	}
	if c.Rate == 0 {
		c.Rate = DefaultRate
	}
	n := &Net{Classifier: fewshot.NewClassifier(b, e, c.Way), config: c, trained: b.Params().Trained}
	n.adapted = n.trained()
	if c.HeadOnly {
		n.adapted = []*nn.Param{n.Head.Weight, n.Head.Bias}
	}
	if c.LearnRates {
		for _, p := range n.adapted {
			n.rates = append(n.rates, b.In("rate").Param(p.Name, nn.Constant(c.Rate), p.Value().Shape()...))
		}
	}
	return n
}

// Steps returns the number of inner steps per task in training and in tests.
func (n *Net) Steps() (train, test int) { return n.config.Steps, n.config.TestSteps }

// order is the order of differentiation through the inner steps.
type order int

const (
	detached    order = iota // adapted values have no gradient to the initial values
	firstOrder               // they do, with the inner gradients as constants
	secondOrder              // they do, through the inner gradients
)

// adapt returns a copy of p whose With holds the parameters adapted to the support set of a single task, by repeating the
// inner step θ' = θ - α∇L(θ), eq. 1 of Finn et al. 2017.
func (n *Net) adapt(p *nn.Pass, t *fewshot.Task, steps int, h order) *nn.Pass {
	tuned := p.Clone()
	support, labels := t.Support.Flatten(0, 1), t.SupportLabels.Flatten(0, 1)
	if h == detached {
		if f := n.fused(p, t); f != nil {
			maps.Copy(tuned.With, f.ByParam(f.Descend(f.Values(p), n.innerRates(f, p), support, labels, steps)))
			return tuned
		}
	}
	inner := *tuned // shares With
	inner.HigherOrder = h == secondOrder
	classify := func() *tensor.Tensor { return n.Classify(&inner, support) }
	if n.config.HeadOnly { // the embeddings are the same in every step
		mode := tensor.WithGrad
		if h == detached {
			mode = tensor.NoGrad
		}
		var embedded *tensor.Tensor
		mode(func() { embedded = n.Embed(p, support) })
		classify = func() *tensor.Tensor { return n.HeadLogProbs(&inner, embedded) }
	}
	for range steps {
		func() {
			scope := tensor.Enter()
			defer scope.Leave()
			values := make([]*tensor.Tensor, len(n.adapted))
			for i, param := range n.adapted {
				values[i] = tuned.Value(param)
				if h == detached || !values[i].RequiresGrad() { // or the pass takes parameters as constants
					values[i] = values[i].Detach().RequireGrad()
					tuned.With[param] = values[i]
				}
			}
			loss := tensor.NLL(classify(), labels)
			grads := tensor.GradWith([]*tensor.Tensor{loss}, values, tensor.GradOptions{Create: h == secondOrder})
			move := func() {
				for i, g := range grads {
					if g == nil { // the loss does not depend on this parameter
						tuned.With[n.adapted[i]] = scope.Keep(values[i])
						continue
					}
					if n.rates != nil {
						g = g.Mul(p.Value(n.rates[i]))
					} else {
						g = g.MulScalar(n.config.Rate)
					}
					tuned.With[n.adapted[i]] = scope.Keep(values[i].Sub(g))
				}
			}
			if h == detached {
				tensor.NoGrad(move)
			} else {
				move()
			}
		}()
	}
	return tuned
}

// trainOrder returns the order of differentiation in training.
func (n *Net) trainOrder() order {
	if n.config.FirstOrder {
		return firstOrder
	}
	return secondOrder
}

// Gradients implements [fewshot.AdaptiveNetwork]: the gradient of [Net.Loss]. Each task's intermediate results are freed
// before the next task, so that peak memory does not grow with the number of tasks. Where [fewshot.Classifier.Fused]
// supports the network, a task's gradient is one operation; differentiating Loss is its reference implementation.
func (n *Net) Gradients(p *nn.Pass, t *fewshot.Task) (grads []*tensor.Tensor, loss, logp *tensor.Tensor) {
	n.CheckWay("Gradients", t)
	params := n.trained()
	tasks := float64(t.Support.Dim(0))
	sums := make([]*tensor.Tensor, len(params)+1) // the last element is the loss
	var logps []*tensor.Tensor
	var fused *fewshot.Fused
	if p.Norm == nn.BatchStats {
		fused = n.fused(p, t)
	}
	fewshot.Each(t, n.config.Workers, func(_ int64, own *fewshot.Task) []*tensor.Tensor {
		if fused != nil {
			return n.fusedGradients(fused, p, own, params, 1/tasks)
		}
		first := p.Clone()
		leaves := make([]*tensor.Tensor, len(params))
		for i, param := range params {
			leaf := p.Value(param).Detach()
			if leaf.Rank() == 4 { // the layout of convolutions, which their gradients then have too
				leaf = leaf.ChannelsLast()
			}
			leaves[i] = leaf.RequireGrad()
			first.With[param] = leaves[i]
		}
		logp := n.QueryLogProbs(n.adapt(first, own, n.config.Steps, n.trainOrder()), own)
		loss := own.NLL(logp).MulScalar(1 / tasks)
		return append(tensor.Grad(loss, leaves...), loss.Detach(), logp.Detach())
	}, func(_ int64, out []*tensor.Tensor) {
		fewshot.AddTo(sums, out[:len(sums)])
		logps = append(logps, out[len(sums)].Clone())
	})
	return sums[:len(params)], sums[len(params)], tensor.Cat(0, logps...)
}

// fused returns the network in the form of fused operations, or nil. They adapt all parameters, so ANIL has none.
func (n *Net) fused(p *nn.Pass, t *fewshot.Task) *fewshot.Fused {
	if n.config.HeadOnly {
		return nil
	}
	return n.Fused(p, t.Support.Flatten(0, 1))
}

// innerRates returns the inner learning rates in the order of a fused network's values.
func (n *Net) innerRates(f *fewshot.Fused, p *nn.Pass) (out tensor.Rates) {
	if n.rates == nil {
		return tensor.Rates{All: n.config.Rate}
	}
	of := map[*nn.Param]*nn.Param{}
	for i, param := range n.adapted {
		of[param] = n.rates[i]
	}
	for _, param := range f.Params {
		out.Each = append(out.Each, p.Value(of[param]).Detach())
	}
	return out
}

// fusedGradients returns one task's terms of the sums in [Net.Gradients], and its log-probabilities.
func (n *Net) fusedGradients(f *fewshot.Fused, p *nn.Pass, t *fewshot.Task, params []*nn.Param, share float64) []*tensor.Tensor {
	got := f.MetaGradient(f.Values(p), n.innerRates(f, p), t.Support.Flatten(0, 1), t.SupportLabels.Flatten(0, 1),
		t.Query.Flatten(0, 1), t.QueryLabels.Flatten(0, 1), n.config.Steps, !n.config.FirstOrder)
	of, rates := f.ByParam(got.Grads), f.ByParam(got.RateGrads)
	for i, rate := range n.rates {
		of[rate] = rates[n.adapted[i]]
	}
	out := make([]*tensor.Tensor, len(params), len(params)+2)
	for i, param := range params {
		if g := of[param]; g != nil {
			out[i] = g.MulScalar(share)
		}
	}
	return append(out, got.Loss.MulScalar(share), got.LogProbs.Unsqueeze(0))
}

// Loss implements [fewshot.Learner]: the mean loss of the adapted networks on their queries, differentiable with respect to
// the initial values. For many tasks [Net.Gradients] computes the gradient in less memory.
func (n *Net) Loss(p *nn.Pass, t *fewshot.Task) (loss, logp *tensor.Tensor) {
	n.CheckWay("Loss", t)
	var logps []*tensor.Tensor
	for i := range t.Support.Dim(0) {
		own := t.Only(i)
		logps = append(logps, n.QueryLogProbs(n.adapt(p, own, n.config.Steps, n.trainOrder()), own))
	}
	logp = tensor.Cat(0, logps...)
	return t.NLL(logp), logp
}

// LogProbs implements [fewshot.Network]: it adapts to each task by the number of inner steps of a test. The result is not
// differentiable.
func (n *Net) LogProbs(p *nn.Pass, t *fewshot.Task) *tensor.Tensor {
	n.CheckWay("LogProbs", t)
	var logps []*tensor.Tensor
	fewshot.Each(t, n.config.Workers, func(_ int64, own *fewshot.Task) []*tensor.Tensor {
		tuned := n.adapt(p, own, n.config.TestSteps, detached)
		var logp *tensor.Tensor
		tensor.NoGrad(func() { logp = n.QueryLogProbs(tuned, own) })
		return []*tensor.Tensor{logp}
	}, func(_ int64, out []*tensor.Tensor) { logps = append(logps, out[0].Clone()) })
	return tensor.Cat(0, logps...)
}

var _ fewshot.AdaptiveNetwork = (*Net)(nil)
