package results

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/engram-go/engram/results/table"
)

// Speed is what `make bench` measured: speed.json of the results folder, beside PyTorch on the same machine at the
// same time.
type Speed struct {
	Build
	PyTorch  string     `json:"pytorch"`
	CPU      string     `json:"cpu"`
	Cores    int        `json:"cores"`
	Threads  int        `json:"threads"`
	Load     float64    `json:"load_before"` // processes that wanted a core in the minute before; -1 where unknown
	Rounds   int        `json:"rounds"`
	Ceilings Ceilings   `json:"ceilings"`
	Rows     []SpeedRow `json:"rows"`
}

// Ceilings are what the machine can do at best with as many threads.
type Ceilings struct {
	FP32 float64 `json:"fp32_gflops"`           // a large product or convolution in float32, the faster: 10⁹ operations a second
	BF16 float64 `json:"bf16_gflops,omitempty"` // the same in bfloat16; 0 where the processor has none
	Copy float64 `json:"copy_gb_per_second"`    // a large copy, bytes read and bytes written together
}

// SpeedRow is one workload on both sides.
type SpeedRow struct {
	Name   string    `json:"name"`
	What   string    `json:"what"`
	GFLOP  float64   `json:"gflop,omitempty"` // of a step's convolutions and linear maps; 0 where it takes others
	BF16   bool      `json:"bf16,omitempty"`  // the convolutions are in bfloat16, so that its ceiling is the bound
	Engram Timing    `json:"engram"`
	Plain  *Opponent `json:"plain,omitempty"`
	Best   *Opponent `json:"best,omitempty"`
}

// Timing is how long a step took and how much memory the process held at most.
type Timing struct {
	Seconds []float64 `json:"seconds"` // round by round
	Median  float64   `json:"median"`
	Peak    int64     `json:"peak_bytes,omitempty"` // 0 where unknown
}

// Opponent is a form of PyTorch that Engram is measured against.
type Opponent struct {
	Timing
	Form  string  `json:"form"`            // of the script, and the settings of its process
	Floor float64 `json:"floor,omitempty"` // how many times as fast Engram is to be; 0 where nothing was set
	// How many times as fast Engram was in the same round: the median over the rounds, the least and the most.
	Times     float64 `json:"times"`
	TimesLow  float64 `json:"times_low"`
	TimesHigh float64 `json:"times_high"`
}

// ReadSpeed reads speed.json of a results folder; there may be none, which is nil.
func ReadSpeed(dir fs.FS) (*Speed, error) {
	data, err := fs.ReadFile(dir, "speed.json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var s Speed
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	if err != nil {
		return nil, fmt.Errorf("results: speed.json: %w; make bench writes it anew", err)
	}
	return &s, nil
}

// Page returns results/speed.md.
func (s *Speed) Page() *table.Page {
	page := &table.Page{Name: "speed", Title: "Speed beside PyTorch"}
	page.Add(table.Sayf(`Each workload is done by Engram and by PyTorch on the same LibTorch with %d threads, from the same numbers, and their
results agree. Both take turns, %d rounds of them; a time is the median over the rounds, of one step. Times as fast is
PyTorch's time over Engram's in the same round, its median, and in brackets the least and the most. Plain is PyTorch eager as
people run it; best is the fastest plain PyTorch that was found by trial among several forms (all heads, sequences and pairs at
once, channels last) and settings of the process (glibc told to keep freed memory, OpenBLAS on one thread). Peak memory is of
a process of its own each, after two rounds. `, s.Threads, s.Rounds).With(
		table.Linked("What each workload is", "../bench/README.md")).And("; `make bench` measures anew."))

	of := s.Ceilings
	ceilings := fmt.Sprintf("The machine's ceilings in the same run: %.0f GFLOP/s in float32, ", of.FP32)
	if of.BF16 > 0 {
		ceilings += fmt.Sprintf("%.0f in bfloat16, ", of.BF16)
	}
	page.Add(table.Sayf("%s%.0f GB/s in a copy, read and written.\nThe share of the bound is that of the ceiling in the row's precision, by the operations of a step's "+
		"convolutions and linear\nmaps, where those are what a step takes: as many as their definition has, so that ways that take fewer may be above it.", ceilings, of.Copy))

	t := &table.Table{Name: "speed", Columns: slices.Concat(table.Labels("workload"), table.Numbers("Engram, ms", "plain, ms", "times as fast",
		"best, ms", "times as fast as the best", "peak, MB: Engram", "plain", "best", "share of bound", "floors"), table.Labels("held"))}
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
		t.Add(append(row, share, joined(floors), table.Say(r.held()))...)
	}
	t.Notes = append(t.Notes, table.Say("Floors: how many times as fast as plain and as the best PyTorch Engram is to be at least; memory is to be above neither's."))
	page.Add(t)

	how := &table.Table{Columns: slices.Concat(table.Labels("workload"), table.Proses("what", "the best PyTorch"))}
	for _, r := range s.Rows {
		best := table.Text(nil)
		if r.Best != nil {
			best = table.Say(r.Best.Form)
		}
		how.Add(table.Say(r.Name), table.Say(r.What), best)
	}
	state := ""
	if s.Modified {
		state = ", modified"
	}
	page.Add(how, table.Sayf("Commit %.12s%s; %s, %d cores, %d threads; load before: %.1f; Engram on LibTorch %s (%s); PyTorch %s.",
		commit(s.Build), state, s.CPU, s.Cores, s.Threads, s.Load, s.LibTorch, s.Go, s.PyTorch))
	return page
}

// held says whether a workload's floors hold, and which do not.
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
		return "not: " + strings.Join(not, ", ")
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

// milliseconds writes a time to three figures.
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

// megabytes writes a size; zero stands for one that is not known.
func megabytes(bytes int64) table.Text {
	if bytes == 0 {
		return nil
	}
	return table.Sayf("%.0f", float64(bytes)/1e6)
}
