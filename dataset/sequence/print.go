package sequence

import (
	"fmt"
	"io"
	"strings"
)

// The number of steps per line, and the width of the names before them.
const (
	lineSteps = 80
	nameWidth = 12
)

// printer prints one sequence. It stops writing after the first error, which stays in err.
type printer struct {
	w           io.Writer
	err         error
	task        Task
	b           *Batch
	i           int
	predictions []float32 // nil for none
	first, end  int       // the first scored step and the one after the last
}

// row is a line of a panel: a name and one mark per step.
type row struct {
	name string
	mark func(t int) byte
}

func newPrinter(w io.Writer, task Task, b *Batch, i int, predictions []float32) (*printer, error) {
	if i < 0 || i >= b.Sequences {
		return nil, fmt.Errorf("sequence: %s: print: sequence %d of %d", task.Name(), i, b.Sequences)
	}
	if b.InputWidth != task.Inputs() || b.OutputWidth != task.Outputs() {
		return nil, fmt.Errorf("sequence: %s: print: the batch has the widths %d and %d, the task %d and %d", task.Name(), b.InputWidth, b.OutputWidth, task.Inputs(), task.Outputs())
	}
	if predictions != nil && len(predictions) != len(b.Targets) {
		return nil, fmt.Errorf("sequence: %s: print: %d predictions for outputs of shape [%d, %d, %d]", task.Name(), len(predictions), b.Time, b.Sequences, b.OutputWidth)
	}
	p := &printer{w: w, task: task, b: b, i: i, predictions: predictions, first: b.Time, end: b.Time}
	for t := b.Time - 1; t >= 0; t-- {
		if b.Scored(t, i) {
			if p.first == b.Time {
				p.end = t + 1
			}
			p.first = t
		}
	}
	return p, nil
}

func (p *printer) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

// heading prints the task and the cost of the predictions.
func (p *printer) heading(size string) {
	p.printf("%s, %s\n", p.task.Name(), size)
	if p.predictions != nil {
		c := p.b.CostOfProbabilities(p.predictions)[p.i]
		of := "bits"
		if p.b.Exclusive {
			of = "answers"
		}
		p.printf("cost %.2f bits, %d of %d %s wrong\n", c.Bits, c.Wrong, c.Scored, of)
	}
}

// panel prints rows for the steps from first to before end, in as many blocks as needed.
func (p *printer) panel(title string, first, end int, rows []row) {
	for from := first; from < end; from += lineSteps {
		to := min(end, from+lineSteps)
		p.printf("%s, steps %d to %d\n", title, from, to-1)
		for _, r := range rows {
			var line strings.Builder
			fmt.Fprintf(&line, "  %-*s", nameWidth, r.name)
			for t := from; t < to; t++ {
				line.WriteByte(r.mark(t))
			}
			p.printf("%s\n", strings.TrimRight(line.String(), " "))
		}
	}
}

// both prints the steps before the first scored one, and the outputs.
func (p *printer) both() {
	inputs, _ := p.task.Channels()
	p.panel("input", 0, p.first, p.bits(inputs))
	p.outputs()
}

// bits returns rows of the first channels of the input.
func (p *printer) bits(names []string) []row {
	rows := make([]row, len(names))
	for k, name := range names {
		rows[k] = row{name, func(t int) byte { return bitMark(p.b.Input(t, p.i)[k]) }}
	}
	return rows
}

// outputs prints the targets of the scored steps and, if there are any, the predictions and the number of wrong bits.
func (p *printer) outputs() {
	_, names := p.task.Channels()
	rows := make([]row, len(names))
	for k, name := range names {
		rows[k] = row{name, func(t int) byte { return bitMark(p.b.Target(t, p.i)[k]) }}
	}
	p.panel("target", p.first, p.end, rows)
	if p.predictions == nil {
		return
	}
	output := func(t, k int) float32 { return p.predictions[(t*p.b.Sequences+p.i)*p.b.OutputWidth+k] }
	for k, name := range names {
		rows[k] = row{name, func(t int) byte { return chanceMark(output(t, k)) }}
	}
	rows = append(rows, row{"wrong", func(t int) byte {
		n := 0
		for k, target := range p.b.Target(t, p.i) {
			if wrong(target, output(t, k), 0.5) {
				n++
			}
		}
		switch {
		case n == 0:
			return ' '
		case n > 9:
			return '*'
		}
		return '0' + byte(n)
	}})
	p.panel("output (# one, + likely one, - likely zero, . zero)", p.first, p.end, rows)
}

// bitMark returns the mark of an input: a bit, or the sign of another number.
func bitMark(v float32) byte {
	switch {
	case v == 0:
		return '.'
	case v == 1:
		return '#'
	case v > 0:
		return '+'
	default:
		return '-'
	}
}

// chanceMark returns the mark of the probability of a one; 0.9 and above counts as certain.
func chanceMark(p float32) byte {
	switch {
	case p >= 0.9:
		return '#'
	case p >= 0.5:
		return '+'
	case p > 0.1:
		return '-'
	case p <= 0.1:
		return '.'
	default:
		return '?' // NaN
	}
}

// bitNames numbers the bits of a vector from 1.
func bitNames(bits int) []string {
	names := make([]string, bits)
	for k := range names {
		names[k] = fmt.Sprint("bit ", k+1)
	}
	return names
}
