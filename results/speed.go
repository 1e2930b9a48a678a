package results

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/engram-go/engram/results/table"
)

// Speed is what `make bench` measured, Engram and PyTorch side by side on one machine and one LibTorch: a file speed-*.json of the
// results folder.
type Speed struct {
	Build
	PyTorch  string     `json:"pytorch"`
	CPU      string     `json:"cpu"`
	Cores    int        `json:"cores"`
	Threads  int        `json:"threads"`
	Load     float64    `json:"load_before"` // load average of the minute before; -1 if unknown
	Rounds   int        `json:"rounds"`
	Device   string     `json:"device,omitempty"` // a CUDA device; empty for the CPU
	Ceilings Ceilings   `json:"ceilings"`
	Rows     []SpeedRow `json:"rows"`
}

// Ceilings are the peak rates of the machine with that number of threads.
type Ceilings struct {
	FP32 float64 `json:"fp32_gflops"`           // the faster of a large matrix product and a large convolution in float32, in 10⁹ operations per second
	BF16 float64 `json:"bf16_gflops,omitempty"` // the same in bfloat16; 0 if the processor has none
	Copy float64 `json:"copy_gb_per_second"`    // a large copy, bytes read plus bytes written
}

// SpeedRow is one workload on both sides.
type SpeedRow struct {
	Name   string    `json:"name"`
	What   string    `json:"what"`
	GFLOP  float64   `json:"gflop,omitempty"` // of the convolutions and linear maps of a step; 0 if other operations dominate
	BF16   bool      `json:"bf16,omitempty"`  // the convolutions are in bfloat16, so that the bfloat16 ceiling is the bound
	Engram Timing    `json:"engram"`
	Plain  *Opponent `json:"plain,omitempty"`
	Best   *Opponent `json:"best,omitempty"`
}

// Timing is the time of a step and the peak memory of the process.
type Timing struct {
	Seconds []float64 `json:"seconds"` // by round
	Median  float64   `json:"median"`
	Peak    int64     `json:"peak_bytes,omitempty"` // 0 if unknown
}

// Opponent is a form of PyTorch that Engram is measured against.
type Opponent struct {
	Timing
	Form  string  `json:"form"`            // of the script, with the settings of its process
	Floor float64 `json:"floor,omitempty"` // required speedup; 0 for none
	// Speedup of Engram: the opponent's time divided by Engram's in the same round; the median over rounds, the minimum, the maximum.
	Times     float64 `json:"times"`
	TimesLow  float64 `json:"times_low"`
	TimesHigh float64 `json:"times_high"`
}

// Name returns the name of the file of s in the results folder, such as speed-2.6.json: one for each LibTorch.
func (s *Speed) Name() string {
	major, minor, _ := strings.Cut(s.LibTorch, ".")
	minor, _, _ = strings.Cut(minor, ".")
	return fmt.Sprintf("speed-%s.%s.json", major, minor)
}

// ReadSpeeds reads the files speed-*.json of a results folder, ordered by LibTorch's version.
func ReadSpeeds(dir fs.FS) ([]*Speed, error) {
	names, err := fs.Glob(dir, "speed-*.json")
	if err != nil {
		return nil, err
	}
	var all []*Speed
	for _, name := range names {
		data, err := fs.ReadFile(dir, name)
		var s Speed
		if err == nil {
			err = json.Unmarshal(data, &s)
		}
		if err != nil {
			return nil, fmt.Errorf("results: %s: %w; generate it again with: make bench", name, err)
		}
		all = append(all, &s)
	}
	slices.SortStableFunc(all, func(a, b *Speed) int { return slices.Compare(version(a.LibTorch), version(b.LibTorch)) })
	return all, nil
}

// version returns the numbers of a version such as 2.6.0.
func version(text string) (numbers []int) {
	for part := range strings.SplitSeq(text, ".") {
		n, _ := strconv.Atoi(part)
		numbers = append(numbers, n)
	}
	return numbers
}

// SpeedPage returns results/speed.md.
func SpeedPage(all []*Speed) *table.Page {
	page := &table.Page{Name: "speed", Title: "Speed beside PyTorch"}
	page.Add(table.Say(`Engram and PyTorch run each workload on the same LibTorch, from the same initial values; their results
agree. They alternate for several rounds. A time is that of one step, the median over rounds. The speedup is PyTorch's time
divided by Engram's in the same round: the median over rounds, with the minimum and maximum in brackets. Plain is eager PyTorch as
it is commonly run. Best is the fastest of several forms of PyTorch (all heads, sequences and pairs at once, channels last) and
process settings (glibc keeps freed memory, OpenBLAS uses one thread). Peak memory is measured in a separate process for each, after
two rounds. The share of the bound is relative to the ceiling of the machine in the row's precision, by the operations in the
definition of a step's convolutions and linear maps, where these dominate the step. Algorithms with fewer operations can exceed it.
`).With(table.Linked("The workloads", "../bench/README.md")).And(" are described there; `make bench` measures again."))
	if len(all) > 1 {
		page.Add(compared(all))
	}
	for i, s := range all {
		s.section(page, s.title(all), i == 0)
	}

	how := &table.Table{Columns: slices.Concat(table.Labels("workload"), table.Proses("what"))}
	said := map[string]bool{}
	for _, s := range all {
		for _, r := range s.Rows {
			if !said[r.Name] {
				said[r.Name] = true
				how.Add(table.Say(r.Name), table.Say(r.What))
			}
		}
	}
	page.Add(table.Heading("Workloads"), how)
	return page
}

// compared returns the speedups with all LibTorches side by side.
func compared(all []*Speed) *table.Table {
	t := &table.Table{Name: "speed-libtorch", Columns: table.Labels("workload")}
	var names []string
	for _, s := range all {
		t.Columns = slices.Concat(t.Columns, table.Numbers(s.title(all)+": over plain", "over best"), table.Labels("floors met"))
		for _, r := range s.Rows {
			if !slices.Contains(names, r.Name) {
				names = append(names, r.Name)
			}
		}
	}
	for _, name := range names {
		row := []table.Text{table.Say(name)}
		for _, s := range all {
			i := slices.IndexFunc(s.Rows, func(r SpeedRow) bool { return r.Name == name })
			if i < 0 {
				row = append(row, nil, nil, nil)
				continue
			}
			r := s.Rows[i]
			for _, o := range []*Opponent{r.Plain, r.Best} {
				cell := table.Text(nil)
				if o != nil {
					cell = table.Sayf("%.2f", o.Times)
				}
				row = append(row, cell)
			}
			row = append(row, table.Say(r.held()))
		}
		t.Add(row...)
	}
	t.Notes = append(t.Notes, table.Say("The machines and the rest of each measurement are below."))
	return t
}

// title names a measurement by its LibTorch, and by its processor too where another one has the same LibTorch.
func (s *Speed) title(all []*Speed) string {
	title := "LibTorch " + s.LibTorch
	if slices.ContainsFunc(all, func(o *Speed) bool { return o != s && o.LibTorch == s.LibTorch }) {
		title += ", " + s.CPU
	}
	return title
}

// section adds what was measured with one LibTorch on one machine. The first one's table is that of the paper.
func (s *Speed) section(page *table.Page, title string, first bool) {
	of := s.Ceilings
	ceilings := fmt.Sprintf("Measured with %s in %s. Ceilings of the machine in the same run: %.0f GFLOP/s in float32, ",
		count(s.Threads, "thread"), count(s.Rounds, "round"), of.FP32)
	if of.BF16 > 0 {
		ceilings += fmt.Sprintf("%.0f in bfloat16, ", of.BF16)
	}
	page.Add(table.Heading(title), table.Sayf("%s%.0f GB/s for a copy, read plus written.", ceilings, of.Copy))

	t := &table.Table{Columns: slices.Concat(table.Labels("workload"), table.Numbers("Engram, ms", "plain, ms", "speedup",
		"best, ms", "speedup over best", "peak, MB: Engram", "plain", "best", "share of bound", "floors"), table.Labels("floors met"), table.Proses("best form"))}
	if first {
		t.Name = "speed"
	}
	for _, r := range s.Rows {
		share, ceiling := table.Text(nil), of.FP32
		if r.BF16 {
			ceiling = of.BF16
		}
		if r.GFLOP > 0 && ceiling > 0 && r.Engram.Median > 0 {
			share = table.Sayf("%.0f %%", 100*r.GFLOP/r.Engram.Median/ceiling)
		}
		row := []table.Text{table.Say(r.Name), {{Text: milliseconds(r.Engram.Median), Style: table.Bold}}}
		var peaks, floors []table.Text
		for _, o := range []*Opponent{r.Plain, r.Best} {
			if o == nil {
				row, peaks = append(row, nil, nil), append(peaks, nil)
				continue
			}
			row = append(row, table.Say(milliseconds(o.Median)), table.Sayf("%.2f", o.Times).With(
				table.Span{Text: fmt.Sprintf(" (%.2f–%.2f)", o.TimesLow, o.TimesHigh), Style: table.Aside}))
			peaks = append(peaks, megabytes(o.Peak))
			if o.Floor > 0 {
				floors = append(floors, table.Sayf("%g×", o.Floor))
			}
		}
		row = append(append(row, megabytes(r.Engram.Peak)), peaks...)
		form := table.Text(nil)
		if r.Best != nil {
			form = table.Say(r.Best.Form)
		}
		t.Add(append(row, share, joined(floors), table.Say(r.held()), form)...)
	}
	t.Notes = append(t.Notes, table.Say("Floors: the required speedups over plain and best PyTorch. Peak memory must not exceed either's."))
	page.Add(t)

	state := ""
	if s.Modified {
		state = ", modified"
	}
	page.Add(table.Sayf("Commit %.12s%s; %s, %s, %s; load before: %.1f; Engram on LibTorch %s (%s); PyTorch %s.",
		commit(s.Build), state, s.CPU, count(s.Cores, "core"), count(s.Threads, "thread"), s.Load, s.LibTorch, s.Go, s.PyTorch))
}

// held says whether a workload meets its floors, and which it does not.
func (r SpeedRow) held() string {
	var not []string
	memory := false
	for _, side := range []struct {
		name string
		*Opponent
	}{{"plain", r.Plain}, {"best", r.Best}} {
		if side.Opponent == nil {
			continue
		}
		if side.Times < side.Floor {
			not = append(not, side.name)
		}
		memory = memory || r.Engram.Peak > side.Peak && side.Peak > 0
	}
	if memory {
		not = append(not, "memory")
	}
	if not != nil {
		return "no: " + strings.Join(not, ", ")
	}
	return "yes"
}

func joined(parts []table.Text) table.Text {
	var all []string
	for _, p := range parts {
		all = append(all, p.String())
	}
	return table.Say(strings.Join(all, ", "))
}

// milliseconds writes a time with three significant digits.
func milliseconds(seconds float64) string {
	ms := seconds * 1e3
	switch {
	case ms >= 100:
		return fmt.Sprintf("%.0f", ms)
	case ms >= 10:
		return fmt.Sprintf("%.1f", ms)
	case ms >= 1:
		return fmt.Sprintf("%.2f", ms)
	}
	return fmt.Sprintf("%.3g", ms)
}

// megabytes writes a size, nothing for zero, which stands for unknown.
func megabytes(bytes int64) table.Text {
	if bytes == 0 {
		return nil
	}
	return table.Sayf("%.0f", float64(bytes)/1e6)
}
