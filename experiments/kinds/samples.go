package kinds

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/engram-go/engram/dataset/sequence"
	"github.com/engram-go/engram/experiments/runner"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/results/plot"
	"github.com/engram-go/engram/stream"
	"github.com/engram-go/engram/tensor"
)

// sample is the first sequence of a test, what the network answered, and what its memory did meanwhile.
type sample struct {
	answered
	read, write heads
}

// heads are the weightings of some heads over time, [head][slot][step]. It is empty for a memory without heads.
type heads [][][]float64

// add takes the weightings of a step, [1, heads, slots]; nil adds nothing.
func (h *heads) add(w *tensor.Tensor) {
	if w == nil {
		return
	}
	n, slots, values := int(w.Dim(1)), int(w.Dim(2)), w.Floats()
	if *h == nil {
		*h = make(heads, n)
		for i := range *h {
			(*h)[i] = make([][]float64, slots)
		}
	}
	for i, head := range *h {
		for j := range head {
			head[j] = append(head[j], values[i*slots+j])
		}
	}
}

// Show implements [runner.Work]: a sample of each test.
func (w *sequences) Show(ctx context.Context, on tensor.Device) (plots []runner.Plot, samples []byte, err error) {
	var text bytes.Buffer
	for _, t := range w.file.Test {
		size := t.size()
		var s sample
		b, err := w.task.Sized(stream.New(evaluationSeed, testStream(size), 0), 1, size)
		if err == nil {
			err = tensor.Do(func() (err error) {
				tensor.NoGrad(func() {
					s.answered, err = w.answer(b, on, func(m memory.State) {
						read, write := memory.Weightings(m)
						s.read.add(read)
						s.write.add(write)
					})
				})
				return err
			})
		}
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = w.task.Print(&text, s.Batch, 0, s.probabilities())
		}
		if err != nil {
			return plots, text.Bytes(), fmt.Errorf("sample of %s: %w", size, err)
		}
		text.WriteByte('\n')
		name := strings.NewReplacer(", ", "-", " ", "-").Replace(size.String())
		plots = append(plots, runner.Plot{Name: "sample-" + name, Figure: w.panels(s, w.answerPanels(s))})
		if s.read != nil {
			plots = append(plots, runner.Plot{Name: "memory-" + name, Figure: w.panels(s, w.memoryPanels(s))})
		}
	}
	return plots, text.Bytes(), nil
}

func (w *sequences) panels(s sample, panels []plot.Panel) plot.Panels {
	c := s.CostOfLogits(s.logits)[0]
	note := "white is 0, black 1"
	if slices.Min(s.Inputs) < 0 {
		note += ", red below 0"
	}
	if slices.Contains(s.Mask, 0) {
		note += "; pale blue is not scored"
	}
	of := "bits"
	if s.Exclusive {
		of = "answers"
	}
	return plot.Panels{
		Title: fmt.Sprintf("%s, %s: %.2f bits, %d of %d %s wrong", w.file.Name, s.Sizes[0], c.Bits, c.Wrong, c.Scored, of),
		X:     "step", Note: note, Panels: panels,
	}
}

// answerPanels show the input, the target, the output and the difference between the last two.
func (w *sequences) answerPanels(s sample) []plot.Panel {
	inputs, outputs := w.task.Channels()
	answer := s.probabilities()
	last := plot.Panel{Name: "error, |output - target|", Rows: outputs, Cells: s.scored(func(at int) float64 {
		return math.Abs(float64(answer[at] - s.Targets[at]))
	})}
	if task, ok := w.task.(estimable); ok { // the target is random; what can be known of it is its probability
		optimal := task.Optimal(s.Batch)
		last = plot.Panel{Name: "probability of a one by the optimal estimator", Rows: outputs, Cells: s.scored(func(at int) float64 {
			return float64(optimal[at])
		})}
	}
	return []plot.Panel{
		{Name: "input", Rows: inputs, Cells: s.inputs()},
		{Name: "target", Rows: outputs, Cells: s.scored(func(at int) float64 { return float64(s.Targets[at]) })},
		{Name: "output", Rows: outputs, Cells: s.scored(func(at int) float64 { return float64(answer[at]) })},
		last,
	}
}

// memoryPanels show input and output above where the heads wrote and read.
func (w *sequences) memoryPanels(s sample) []plot.Panel {
	p := w.answerPanels(s)
	first, n := s.slots()
	return slices.Concat([]plot.Panel{p[0], p[2]}, s.write.panels("write weighting", first, n), s.read.panels("read weighting", first, n))
}

// inputs are the inputs as [channel][step].
func (s sample) inputs() [][]float64 {
	return grid(s.InputWidth, s.Time, func(k, t int) float64 { return float64(s.Input(t, 0)[k]) })
}

// scored are values of the outputs as [channel][step]; NaN where the output is not scored.
func (s sample) scored(value func(at int) float64) [][]float64 {
	return grid(s.OutputWidth, s.Time, func(k, t int) float64 {
		if !s.Scored(t, 0) {
			return math.NaN()
		}
		return value(t*s.OutputWidth + k)
	})
}

// inUse is the weight from which on a slot counts as read or written.
const inUse = .1

// slots returns the shortest range of slots, possibly wrapping around, that contains all slots that were read or written. It returns
// all slots if no weighting is ever sharp.
func (s sample) slots() (first, n int) {
	var used []int
	all := len(s.read[0])
	for i := range all {
		if slices.ContainsFunc(slices.Concat(s.read, s.write), func(h [][]float64) bool { return slices.Max(h[i]) >= inUse }) {
			used = append(used, i)
		}
	}
	if len(used) == 0 {
		return 0, all
	}
	// The range is all slots but the longest gap between used ones. The gap that wraps around is considered first.
	last := used[len(used)-1] - all
	longest := 0
	for _, slot := range used {
		if slot-last > longest {
			longest, first = slot-last, slot
		}
		last = slot
	}
	return first, all - longest + 1
}

// manyHeads is the number of heads from which on they are shown as one.
const manyHeads = 5

// estimable is a task with a known optimal estimator.
type estimable interface {
	// Optimal gives the probability of a one at each step, [time, sequences, outputs].
	Optimal(b *sequence.Batch) []float32
}

// panels show the weightings of each head, or for many heads their maximum, for n slots from the first one.
func (h heads) panels(name string, first, n int) (out []plot.Panel) {
	if len(h) == 0 {
		return nil
	}
	all, steps := len(h[0]), len(h[0][0])
	slot := func(i int) int { return (first + i) % all }
	panel := func(of string, at func(slot, t int) float64) {
		p := plot.Panel{Cells: grid(n, steps, func(i, t int) float64 { return at(slot(i), t) })}
		p.Name = fmt.Sprintf("%s%s, slots %d to %d of %d", name, of, slot(0), slot(n-1), all)
		for i := range n {
			p.Rows = append(p.Rows, strconv.Itoa(slot(i)))
		}
		out = append(out, p)
	}
	if len(h) >= manyHeads {
		panel(fmt.Sprintf(", the largest of %d heads", len(h)), func(slot, t int) float64 {
			var most float64
			for _, head := range h {
				most = max(most, head[slot][t])
			}
			return most
		})
		return out
	}
	for k, head := range h {
		of := ""
		if len(h) > 1 {
			of = fmt.Sprintf(", head %d of %d", k+1, len(h))
		}
		panel(of, func(slot, t int) float64 { return head[slot][t] })
	}
	return out
}

// grid makes cells [row][column].
func grid(rows, columns int, value func(row, column int) float64) [][]float64 {
	cells := make([][]float64, rows)
	for i := range cells {
		cells[i] = make([]float64, columns)
		for j := range cells[i] {
			cells[i][j] = value(i, j)
		}
	}
	return cells
}
