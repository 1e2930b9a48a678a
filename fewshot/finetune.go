package fewshot

import (
	"math/rand/v2"
	"slices"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// FineTune takes steps of gradient descent at a rate on a task's support set, whose examples serve as support set and as
// queries: the fine-tuning of Vinyals et al. 2016, section 4.1. It returns a copy of p whose With holds the tuned values of
// the trained parameters ps; they belong to the caller's scope. The network itself does not change. A batch of tasks is
// tuned jointly, so pass tasks one by one where each needs its own values.
func FineTune(p *nn.Pass, net Learner, ps *nn.Params, t *Task, steps int, rate float64) *nn.Pass {
	return Tune(p, net, Tuned(ps.Trained(), rate), t, Tuning{Steps: steps})
}

// TunedParam is a parameter to tune and its learning rate.
type TunedParam struct {
	*nn.Param
	Rate float64
}

// Tuned returns parameters with the same learning rate.
func Tuned(ps []*nn.Param, rate float64) []TunedParam {
	out := make([]TunedParam, len(ps))
	for i, p := range ps {
		out[i] = TunedParam{p, rate}
	}
	return out
}

// Tuning configures [Tune]. The zero values of all fields but Steps give plain gradient descent on the whole support set.
type Tuning struct {
	Steps int
	// Batch is the number of support examples per step. Each task's examples are shuffled by its own generator before each
	// pass over them. Zero, or at least as many as there are, uses all examples in every step.
	Batch int
	Rand  []*rand.Rand // one per task; needed only if Batch is smaller than the support set
	// Momentum μ, Dampening τ and Decay λ as in PyTorch: v ← μ·v + (1-τ)·(g + λ·w), where the first v is g + λ·w.
	Momentum, Dampening, Decay float64
}

// Tune is [FineTune] for some of the parameters, each with its own learning rate, and with the optimizer of o. Buffers and
// frozen parameters may be among them.
func Tune(p *nn.Pass, net Learner, params []TunedParam, t *Task, o Tuning) *nn.Pass {
	own := &Task{Way: t.Way, Support: t.Support, SupportLabels: t.SupportLabels, Query: t.Support, QueryLabels: t.SupportLabels}
	tuned := p.Clone()
	n := int(t.SupportLabels.Dim(1))
	owned, velocity := make([]bool, len(params)), make([]*tensor.Tensor, len(params))
	tasks := int(t.SupportLabels.Dim(0))
	orders := make([][]int, tasks)
	tensor.WithGrad(func() {
		step := func() {
			scope := tensor.Enter()
			defer scope.Leave() // also where the network panics
			if o.Batch > 0 && o.Batch < n {
				var drawn []int64 // rows of the flattened support sets, task by task
				for i := range orders {
					if len(orders[i]) == 0 {
						orders[i] = o.Rand[i].Perm(n)
					}
					size := min(o.Batch, len(orders[i]))
					for _, k := range orders[i][:size] {
						drawn = append(drawn, int64(i*n+k))
					}
					orders[i] = orders[i][size:]
				}
				at := tensor.New(drawn, int64(len(drawn))).On(t.Support.Device())
				rows := func(x *tensor.Tensor) *tensor.Tensor {
					shape := slices.Clone(x.Shape())
					shape[1] = int64(len(drawn) / tasks)
					return x.Flatten(0, 1).IndexSelect(0, at).Reshape(shape...)
				}
				own.Query, own.QueryLabels = rows(t.Support), rows(t.SupportLabels)
			}
			values := make([]*tensor.Tensor, len(params))
			for i, param := range params {
				values[i] = tuned.Value(param.Param)
				if !values[i].RequiresGrad() { // a buffer, or frozen
					values[i] = scope.Keep(values[i].Detach().RequireGrad())
					tuned.With[param.Param], owned[i] = values[i], true
				}
			}
			loss, _ := net.Loss(tuned, own)
			for i, g := range tensor.Grad(loss, values...) {
				if g == nil {
					continue
				}
				was := values[i].Detach()
				if o.Decay != 0 {
					g = g.Add(was.MulScalar(o.Decay))
				}
				if o.Momentum != 0 {
					if old := velocity[i]; old != nil {
						g = old.MulScalar(o.Momentum).Add(g.MulScalar(1 - o.Dampening))
						old.Free()
					}
					velocity[i] = scope.Keep(g)
				}
				tuned.With[params[i].Param] = scope.Keep(was.Sub(g.MulScalar(params[i].Rate)).RequireGrad())
				if owned[i] { // the value before this step
					values[i].Free()
				}
				owned[i] = true
			}
		}
		for range o.Steps {
			step()
		}
	})
	for _, v := range velocity {
		v.Free()
	}
	return tuned
}
