package fewshot

import (
	"math/rand/v2"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// FineTune returns p with the trained parameters ps moved by so many steps of gradient descent on a task's support set,
// whose examples are told apart by the support set itself: the fine-tuning of Vinyals et al. 2016, section 4.1. The network
// stays as it is; p.With of the result holds the moved parameters, for as long as the scope. A batch of tasks moves them
// together, so a task that shall have its own comes alone.
func FineTune(p *nn.Pass, net Learner, ps *nn.Params, t *Task, steps int, rate float64) *nn.Pass {
	return Tune(p, net, Tuned(ps.Trained(), rate), t, Tuning{Steps: steps})
}

// TunedParam is a parameter that gradient descent moves, and its rate.
type TunedParam struct {
	*nn.Param
	Rate float64
}

// Tuned gives parameters one rate.
func Tuned(ps []*nn.Param, rate float64) []TunedParam {
	out := make([]TunedParam, len(ps))
	for i, p := range ps {
		out[i] = TunedParam{p, rate}
	}
	return out
}

// Tuning says how [Tune] descends. Zero values stand for plain gradient descent on the whole support set.
type Tuning struct {
	Steps int
	// Batch is how many support examples a step is taken on, in an order that Rand draws for each pass over them; zero, or as
	// many as there are, stands for all.
	Batch int
	Rand  *rand.Rand
	// Momentum, Dampening and Decay are PyTorch's: v ← μ·v + (1-τ)·(g + λ·w), where the first v is g + λ·w.
	Momentum, Dampening, Decay float64
}

// Tune is [FineTune] of some of the parameters, each at its rate.
func Tune(p *nn.Pass, net Learner, params []TunedParam, t *Task, o Tuning) *nn.Pass {
	own := &Task{Way: t.Way, Support: t.Support, SupportLabels: t.SupportLabels, Query: t.Support, QueryLabels: t.SupportLabels}
	tuned := p.Apart()
	n := int(t.SupportLabels.Dim(1))
	ours, speed := make([]bool, len(params)), make([]*tensor.Tensor, len(params))
	var order []int
	tensor.WithGrad(func() {
		for range o.Steps {
			scope := tensor.Enter()
			if o.Batch > 0 && o.Batch < n {
				if len(order) == 0 {
					order = o.Rand.Perm(n)
				}
				some := make([]int64, min(o.Batch, len(order)))
				for i := range some {
					some[i] = int64(order[i])
				}
				order = order[len(some):]
				at := tensor.New(some, int64(len(some))).On(t.Support.Device())
				own.Query, own.QueryLabels = t.Support.IndexSelect(1, at), t.SupportLabels.IndexSelect(1, at)
			}
			values := make([]*tensor.Tensor, len(params))
			for i, param := range params {
				values[i] = tuned.Value(param.Param)
				if !values[i].RequiresGrad() { // a buffer, or frozen
					values[i] = scope.Keep(values[i].Detach().RequireGrad())
					tuned.With[param.Param], ours[i] = values[i], true
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
					if old := speed[i]; old != nil {
						g = old.MulScalar(o.Momentum).Add(g.MulScalar(1 - o.Dampening))
						old.Free()
					}
					speed[i] = scope.Keep(g)
				}
				tuned.With[params[i].Param] = scope.Keep(was.Sub(g.MulScalar(params[i].Rate)).RequireGrad())
				if ours[i] { // of the step before
					values[i].Free()
				}
				ours[i] = true
			}
			scope.Leave()
		}
	})
	for _, v := range speed {
		v.Free()
	}
	return tuned
}
