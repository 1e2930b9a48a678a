package nn

import (
	"encoding/binary"
	"math"
	"strings"

	"github.com/engram-go/engram/tensor"
)

// AverageConfig configures [NewAverager].
type AverageConfig struct {
	// Decay d above 0 is that of the exponential moving average, a ← d·a + (1-d)·w after each step. Zero takes the plain mean of
	// all values: stochastic weight averaging (Izmailov et al. 2018, algorithm 1).
	Decay float64
	// From is the first step whose values count, from 1 on, and Every the number of steps between them; zeros stand for 1.
	From, Every int64
}

// Averager is an optimizer that keeps an average of the parameters, and of the running statistics of batch norm, beside another
// optimizer that moves them. The averages are part of its state.
//
// Averaged running statistics stand for those of the averaged network. Izmailov et al. measure these anew on the training data.
type Averager struct {
	Optimizer
	config AverageConfig
	of     []*Param
	means  []*tensor.Tensor
	counts *tensor.Tensor // [2], int64: steps, and averaged values
	steps  int64
	taken  int64
}

// NewAverager wraps an optimizer of the parameters ps. Freeing it frees the optimizer.
func NewAverager(ps *Params, opt Optimizer, c AverageConfig) *Averager {
	c.From, c.Every = max(c.From, 1), max(c.Every, 1)
	a := &Averager{Optimizer: opt, config: c}
	scope := tensor.Enter()
	defer scope.Leave()
	for _, p := range ps.All() {
		if p.Buffer && !strings.HasSuffix(p.Name, "running_mean") && !strings.HasSuffix(p.Name, "running_var") {
			continue
		}
		a.of, a.means = append(a.of, p), append(a.means, p.value.Detach().ZerosLike().Own())
	}
	a.counts = tensor.New([]int64{0, 0}, 2).Own()
	return a
}

// Step implements [Optimizer]: the other optimizer's step, after which the average takes the new values in.
func (a *Averager) Step(grads []*tensor.Tensor, lr float64) {
	a.Optimizer.Step(grads, lr)
	a.steps++
	if a.steps >= a.config.From && (a.steps-a.config.From)%a.config.Every == 0 {
		a.taken++
		weight := 1 / float64(a.taken)
		if d := a.config.Decay; d > 0 {
			weight = math.Max(weight, 1-d) // the first values count as their mean, so that no value of zero remains
		}
		a.take(weight)
	}
	a.counts.Set(binary.NativeEndian.AppendUint64(binary.NativeEndian.AppendUint64(nil, uint64(a.steps)), uint64(a.taken)))
}

// take moves the means towards the parameters' values by a weight.
func (a *Averager) take(weight float64) {
	values := make([]*tensor.Tensor, len(a.of))
	for i, p := range a.of {
		values[i] = p.value
	}
	tensor.MoveTowards(a.means, values, weight)
}

// Exchange puts the averages in the place of the parameters and the parameters in that of the averages; a second call puts them
// back. It does nothing before there is an average.
func (a *Averager) Exchange() {
	if a.taken == 0 {
		return
	}
	scope := tensor.Enter()
	defer scope.Leave()
	for i, p := range a.of {
		own := p.value.Detach().Clone()
		p.value.Assign(a.means[i])
		a.means[i].Assign(own)
	}
}

// State implements [Optimizer].
func (a *Averager) State() []Named {
	return append(WithPrefix("of.", a.Optimizer.State()), WithPrefix("average.", a.own())...)
}

func (a *Averager) own() []Named {
	out := []Named{{"counts", a.counts}}
	for i, p := range a.of {
		out = append(out, Named{"mean." + p.Name, a.means[i]})
	}
	return out
}

// Load implements [Optimizer].
func (a *Averager) Load(state *State) error {
	if err := state.Sub("average.").CopyInto(a.own()); err != nil {
		return err
	}
	if err := a.Optimizer.Load(state.Sub("of.")); err != nil {
		return err
	}
	scope := tensor.Enter()
	defer scope.Leave()
	counts := tensor.Values[int64](a.counts)
	a.steps, a.taken = counts[0], counts[1]
	return nil
}

// Free implements [Optimizer].
func (a *Averager) Free() {
	a.Optimizer.Free()
	a.counts.Free()
	for _, t := range a.means {
		t.Free()
	}
}
