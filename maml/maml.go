// Package maml is Model-Agnostic Meta-Learning of Finn, Abbeel and Levine (2017): first values from which a few steps of
// gradient descent on a task's support set make a classifier of its queries.
//
// By its settings it is also first-order MAML (their section 5.2), Meta-SGD with a learned rate for each parameter (Li et al.
// 2017), and ANIL, which adapts the last layer only (Raghu et al. 2020).
//
// Batch norm uses the statistics of the batch at hand at every step, none are gathered: an inner step sees the support set,
// the last evaluation the queries, as fewshot.Classifier.Ask says.
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

// Config are the settings of [New]. Zero values stand for what the fields say, which is the paper's for 5 classes of Omniglot.
type Config struct {
	Way       int64   // classes of a task
	Steps     int     // inner steps in training: 1
	TestSteps int     // and otherwise: as many as in training
	Rate      float64 // of the inner steps, or the first value of learned rates: [DefaultRate]
	// LearnRates makes the rate a parameter for every element that is adapted: Meta-SGD.
	LearnRates bool
	// FirstOrder leaves out of the meta-gradient how the inner gradients change with the first values.
	FirstOrder bool
	// HeadOnly adapts the last layer and leaves the encoder as it is: ANIL.
	HeadOnly bool
	// Workers is how many tasks are computed at the same time, each on one core: 1. It changes no bit of what comes out.
	Workers int
}

// Net is a network that learns to be adapted.
type Net struct {
	*fewshot.Classifier
	config  Config
	trained func() []*nn.Param
	adapted []*nn.Param
	rates   []*nn.Param // one for each of adapted; nil where the rate is fixed
}

// New makes a network on an encoder that was made by the same builder; whatever else the builder has made, it trains as well.
// Its parameters are those of the encoder, the layer head and, where rates are learned, one called rate. and its parameter's
// name for each that is adapted.
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

// Steps returns how many inner steps a task is adapted by in training, and otherwise.
func (n *Net) Steps() (train, test int) { return n.config.Steps, n.config.TestSteps }

// how says what becomes of an inner step's computation.
type how int

const (
	forgotten   how = iota // nothing leads back to the first values
	firstOrder             // the values do, the inner gradients are constants
	secondOrder            // all of it
)

// adapt returns p with the adapted parameters moved by inner steps on the support set of a single task: θ' = θ - α∇L(θ), eq. 1
// of Finn et al. 2017, again and again.
func (n *Net) adapt(p *nn.Pass, t *fewshot.Task, steps int, h how) *nn.Pass {
	tuned := p.Apart()
	support, labels := t.Support.Flatten(0, 1), t.SupportLabels.Flatten(0, 1)
	if h == forgotten {
		if f := n.fused(p, t); f != nil {
			maps.Copy(tuned.With, f.By(f.Descend(f.Values(p), n.innerRates(f, p), support, labels, steps)))
			return tuned
		}
	}
	inner := *tuned // with the same With
	inner.HigherOrder = h == secondOrder
	classify := func() *tensor.Tensor { return n.Classify(&inner, support) }
	if n.config.HeadOnly { // the embeddings stay, and are differentiated but once
		mode := tensor.WithGrad
		if h == forgotten {
			mode = tensor.NoGrad
		}
		var embedded *tensor.Tensor
		mode(func() { embedded = n.Embed(p, support) })
		classify = func() *tensor.Tensor { return n.Tell(&inner, embedded) }
	}
	for range steps {
		func() {
			scope := tensor.Enter()
			defer scope.Leave()
			values := make([]*tensor.Tensor, len(n.adapted))
			for i, param := range n.adapted {
				values[i] = tuned.Value(param)
				if h == forgotten || !values[i].RequiresGrad() { // or the pass takes parameters for constants
					values[i] = values[i].Detach().RequireGrad()
					tuned.With[param] = values[i]
				}
			}
			loss := tensor.NLL(classify(), labels)
			grads := tensor.GradWith([]*tensor.Tensor{loss}, values, tensor.GradOptions{Create: h == secondOrder})
			move := func() {
				for i, g := range grads {
					if g == nil { // the loss does not depend on it
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
			if h == forgotten {
				tensor.NoGrad(move)
			} else {
				move()
			}
		}()
	}
	return tuned
}

// order is how a training step adapts.
func (n *Net) order() how {
	if n.config.FirstOrder {
		return firstOrder
	}
	return secondOrder
}

// Gradients returns the gradient of [Net.Loss] for each trained parameter, in the order of nn.Params.Trained and nil where there
// is none, the loss itself and the queries' log-probabilities [tasks, query, way]. What a task takes is freed before the next
// one begins, so that memory does not grow with their number. Where [fewshot.Classifier.Fused] has the network a task's gradient is
// one operation; Loss, differentiated, is its twin.
func (n *Net) Gradients(p *nn.Pass, t *fewshot.Task) (grads []*tensor.Tensor, loss, logp *tensor.Tensor) {
	n.Fits("Gradients", t)
	params := n.trained()
	tasks := float64(t.Support.Dim(0))
	sums := make([]*tensor.Tensor, len(params)+1) // the loss comes last
	var answers []*tensor.Tensor
	var fused *fewshot.Fused
	if p.Norm == nn.BatchStats {
		fused = n.fused(p, t)
	}
	fewshot.Each(t, n.config.Workers, func(_ int64, own *fewshot.Task) []*tensor.Tensor {
		if fused != nil {
			return n.fusedGradients(fused, p, own, params, 1/tasks)
		}
		first := p.Apart()
		leaves := make([]*tensor.Tensor, len(params))
		for i, param := range params {
			leaf := p.Value(param).Detach()
			if leaf.Rank() == 4 { // as convolutions want it: so are then gradients, and what becomes of it
				leaf = leaf.ChannelsLast()
			}
			leaves[i] = leaf.RequireGrad()
			first.With[param] = leaves[i]
		}
		logp := n.Ask(n.adapt(first, own, n.config.Steps, n.order()), own)
		loss := own.NLL(logp).MulScalar(1 / tasks)
		return append(tensor.Grad(loss, leaves...), loss.Detach(), logp.Detach())
	}, func(_ int64, out []*tensor.Tensor) {
		fewshot.AddTo(sums, out[:len(sums)])
		answers = append(answers, out[len(sums)].Clone())
	})
	return sums[:len(params)], sums[len(params)], tensor.Cat(0, answers...)
}

// fused is the network in the form of one operation, nil where it has none: where not all of it is adapted too.
func (n *Net) fused(p *nn.Pass, t *fewshot.Task) *fewshot.Fused {
	if n.config.HeadOnly {
		return nil
	}
	return n.Fused(p, t.Support.Flatten(0, 1))
}

// innerRates are those of the inner steps for a fused network's values.
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

// fusedGradients are a task's share of what [Net.Gradients] sums, and its answers.
func (n *Net) fusedGradients(f *fewshot.Fused, p *nn.Pass, t *fewshot.Task, params []*nn.Param, share float64) []*tensor.Tensor {
	got := f.MetaGradient(f.Values(p), n.innerRates(f, p), t.Support.Flatten(0, 1), t.SupportLabels.Flatten(0, 1),
		t.Query.Flatten(0, 1), t.QueryLabels.Flatten(0, 1), n.config.Steps, !n.config.FirstOrder)
	of, rates := f.By(got.Grads), f.By(got.RateGrads)
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

// Loss returns the mean over the tasks of the adapted network's loss on the queries, with all that leads back to the first
// values, and the queries' log-probabilities [tasks, query, way]. Of many tasks [Net.Gradients] is the lighter way to the
// gradient.
func (n *Net) Loss(p *nn.Pass, t *fewshot.Task) (loss, logp *tensor.Tensor) {
	n.Fits("Loss", t)
	var answers []*tensor.Tensor
	for i := range t.Support.Dim(0) {
		own := t.Only(i)
		answers = append(answers, n.Ask(n.adapt(p, own, n.config.Steps, n.order()), own))
	}
	logp = tensor.Cat(0, answers...)
	return t.NLL(logp), logp
}

// LogProbs returns the queries' log-probabilities [tasks, query, way] of the network adapted to each task by the steps of a
// test. Nothing of it leads back to the first values.
func (n *Net) LogProbs(p *nn.Pass, t *fewshot.Task) *tensor.Tensor {
	n.Fits("LogProbs", t)
	var answers []*tensor.Tensor
	fewshot.Each(t, n.config.Workers, func(_ int64, own *fewshot.Task) []*tensor.Tensor {
		tuned := n.adapt(p, own, n.config.TestSteps, forgotten)
		var logp *tensor.Tensor
		tensor.NoGrad(func() { logp = n.Ask(tuned, own) })
		return []*tensor.Tensor{logp}
	}, func(_ int64, out []*tensor.Tensor) { answers = append(answers, out[0].Clone()) })
	return tensor.Cat(0, answers...)
}
