package fewshot

import (
	"maps"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// A Learner has a loss on few-shot tasks.
type Learner interface {
	// Loss returns what training makes smaller, and the queries' log-probabilities [tasks, query, way].
	Loss(p *nn.Pass, t *Task) (loss, logp *tensor.Tensor)
}

// FineTune returns p with the trained parameters ps moved by so many steps of gradient descent on a task's support set,
// whose examples are told apart by the support set itself: the fine-tuning of Vinyals et al. 2016, section 4.1. The network
// stays as it is; p.With of the result holds the moved parameters, for as long as the scope. A batch of tasks moves them
// together, so a task that shall have its own comes alone.
func FineTune(p *nn.Pass, net Learner, ps *nn.Params, t *Task, steps int, rate float64) *nn.Pass {
	own := &Task{Way: t.Way, Support: t.Support, SupportLabels: t.SupportLabels, Query: t.Support, QueryLabels: t.SupportLabels}
	tuned := *p
	tuned.With = maps.Clone(p.With)
	if tuned.With == nil {
		tuned.With = map[*nn.Param]*tensor.Tensor{}
	}
	params := ps.Trained()
	tensor.WithGrad(func() {
		for range steps {
			scope := tensor.Enter()
			values := make([]*tensor.Tensor, len(params))
			for i, param := range params {
				values[i] = tuned.Value(param)
			}
			loss, _ := net.Loss(&tuned, own)
			for i, g := range tensor.Grad(loss, values...) {
				if g != nil {
					tuned.With[params[i]] = scope.Keep(values[i].Detach().Sub(g.MulScalar(rate)).RequireGrad())
				}
			}
			scope.Leave()
		}
	})
	return &tuned
}
