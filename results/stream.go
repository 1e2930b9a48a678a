package results

import (
	"fmt"
	"slices"

	"github.com/engram-go/engram/results/plot"
	"github.com/engram-go/engram/results/table"
)

// Stream returns results/stream.md: what memories of several sizes hold of a stream that is longer than they are.
func Stream(runs []Run) (*table.Page, error) {
	page := &table.Page{Name: "stream", Title: "A stream longer than the memory"}
	page.Add(table.Say(`Labelled examples of many classes go by one after another, in random order, and are written to a memory as they come. The
network's encoder is trained on other classes; only the memory learns these. At regular times, the last of them the end of
the stream, it is asked about other examples of all classes seen so far. Accuracy in percent, with the 95 % interval of the
mean over the streams, which are the same for all memories. A memory of so many slots holds so many examples; the rules by
which it chooses what to lose are those of the papers (see package memory). keyvalue keeps every example, prototype one mean
a class.`))
	plotted := false
	for _, r := range runs {
		if streamed(r.Result) {
			streamParts(page, r, !plotted)
			plotted = true
		}
	}
	return page, nil
}

// streamed reports whether a result has figures of streams.
func streamed(r *Result) bool {
	return slices.ContainsFunc(r.Figures, func(f Figure) bool { return f.Protocol.Memory != "" })
}

// StreamPlot returns results/stream.svg, accuracy at the end of the stream against the size of the memory, of the first run
// that has it; nil where there is none. The unbounded memories are level lines.
func StreamPlot(runs []Run) ([]byte, error) {
	i := slices.IndexFunc(runs, func(r Run) bool { return streamed(r.Result) })
	if i < 0 {
		return nil, nil
	}
	p := plot.Curves{Title: "Accuracy at the end of the stream", X: "slots", Y: "accuracy, %"}
	largest := 0.
	lines := map[string]*plot.Line{}
	var memories []string
	for _, f := range runs[i].Figures {
		if f.Protocol.Memory == "" || f.Metric != "accuracy" {
			continue
		}
		if lines[f.Protocol.Memory] == nil {
			memories = append(memories, f.Protocol.Memory)
			lines[f.Protocol.Memory] = &plot.Line{Name: f.Protocol.Memory, Dots: f.Protocol.Slots > 0}
		}
		l := lines[f.Protocol.Memory]
		l.X, l.Y = append(l.X, float64(f.Protocol.Slots)), append(l.Y, f.Value)
		largest = max(largest, float64(f.Protocol.Slots))
	}
	for _, name := range memories {
		l := *lines[name]
		if !l.Dots { // unbounded
			l.X, l.Y = []float64{0, largest}, []float64{l.Y[0], l.Y[0]}
		}
		p.Lines = append(p.Lines, l)
	}
	return plot.SVG(p)
}

// streamParts adds the tables of a run: a row a memory, a column a size, for each metric; before them the plot, where it is of
// this run.
func streamParts(page *table.Page, r Run, plotted bool) {
	var metrics, memories []string
	var sizes []int64
	var first *Figure
	for i, f := range r.Figures {
		if f.Protocol.Memory == "" {
			continue
		}
		if first == nil {
			first = &r.Figures[i]
		}
		metrics, memories = with(metrics, f.Metric), with(memories, f.Protocol.Memory)
		if f.Protocol.Slots > 0 {
			sizes = with(sizes, f.Protocol.Slots)
		}
	}
	slices.Sort(sizes)
	p := first.Protocol
	page.Add(table.Heading(fmt.Sprintf("%s, seed %d", r.Name, r.Seed)),
		table.Sayf("%s. %d streams of %d examples, %d of each of %d classes; %d queries a class, asked %d times. ",
			r.About, p.Episodes, p.Way*p.Shot, p.Shot, p.Way, p.Query, p.Asked).With(command(r.Name, "")))
	if plotted {
		page.Add(table.Image{Alt: "Accuracy at the end of the stream against slots", Path: "stream.svg"})
	}
	for _, metric := range metrics {
		t := &table.Table{Name: fileName(r.Name, fmt.Sprint(r.Seed), metric), Columns: slices.Concat(table.Labels(metric), table.Numbers("unbounded"))}
		for _, n := range sizes {
			t.Columns = append(t.Columns, table.Numbers(fmt.Sprintf("%d slots", n))...)
		}
		for _, memory := range memories {
			row := []table.Text{table.Say(memory)}
			for _, n := range append([]int64{0}, sizes...) {
				i := slices.IndexFunc(r.Figures, func(f Figure) bool {
					return f.Metric == metric && f.Protocol.Memory == memory && f.Protocol.Slots == n
				})
				if i < 0 {
					row = append(row, nil)
					continue
				}
				row = append(row, table.Say(within(r.Figures[i].Value, r.Figures[i].Interval)))
			}
			t.Add(row...)
		}
		page.Add(t)
	}
	page.Add(table.Text{table.Linked("result", r.Path)}.Andf(
		": split %s, rotations: %s (%d test classes), batch norm %s; trained %d-way %d-shot, %d steps, %.0f min; commit %.12s; %s.",
		p.Split, p.Rotations, p.Classes, p.Norm, p.TrainWay, p.TrainShot, r.Training.Steps, r.Training.Seconds/60, commit(r.Build), machine(r.Machine)))
}

// with returns a list with a value in it once.
func with[T comparable](list []T, v T) []T {
	if slices.Contains(list, v) {
		return list
	}
	return append(list, v)
}
