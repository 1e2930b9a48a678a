// Command bench measures the speed of Engram and PyTorch side by side; README.md explains how to read the result.
package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/engram-go/engram/results"
	"github.com/engram-go/engram/tensor"
	_ "github.com/engram-go/engram/tensor/product" // as in cmd/engram
)

// options are the flags.
type options struct {
	rounds, threads int
	only            string
	scripts         string
	out             string
	keep, check     bool
	alone           string
	device          string
}

func main() {
	var o options
	flag.IntVar(&o.rounds, "rounds", 5, "measured rounds per side; the sides alternate")
	flag.IntVar(&o.threads, "threads", 2, "threads per operation")
	flag.StringVar(&o.only, "only", "", "comma-separated names of the workloads to run (default: all)")
	flag.StringVar(&o.scripts, "scripts", "bench/torch", "folder of the PyTorch scripts")
	flag.StringVar(&o.out, "json", "", "file to write the figures to, or a folder for speed-VERSION.json, named after LibTorch's version")
	flag.BoolVar(&o.keep, "keep-memory", true, "tell glibc to keep freed memory, as training does")
	flag.BoolVar(&o.check, "check", false, "only check that the results of both sides agree, in every form; measure nothing")
	flag.StringVar(&o.alone, "alone", "", "measure the memory of a workload, or the ceilings of the machine, in this process and print it as JSON; used by bench itself")
	flag.StringVar(&o.device, "device", "cpu", "where both sides compute: cpu, cuda or cuda:N; on CUDA the rows in bfloat16 are left out")
	flag.Parse()
	if o.keep {
		tensor.KeepMemory()
	}
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	if o.rounds < 1 || o.threads < 1 {
		return errors.New("-rounds and -threads must be at least 1")
	}
	on, err := tensor.ParseDevice(o.device)
	if err != nil {
		return fmt.Errorf("-device: %w", err)
	}
	tensor.SetThreads(o.threads)
	if o.alone != "" {
		return alone(os.Stdout, o.alone, on)
	}
	chosen, err := choose(o.only)
	if err != nil {
		return err
	}
	if on != tensor.CPU { // Engram's bfloat16 convolutions are for the CPU
		chosen = slices.DeleteFunc(slices.Clone(chosen), func(w workload) bool { return w.bf16 })
	}
	python, err := findPython()
	if err != nil {
		return err
	}
	m := meter{options: o, on: on, python: python}
	if o.check {
		_, err := each(chosen, func(w workload) (struct{}, error) {
			err := m.check(w)
			if err == nil {
				fmt.Println(w.name, "agrees")
			}
			return struct{}{}, err
		})
		return err
	}
	s := results.Speed{
		Build: results.ThisBuild(tensor.Version()), CPU: cmp.Or(tensor.Processor(), runtime.GOARCH), Cores: runtime.NumCPU(), Threads: o.threads, Load: load(), Rounds: o.rounds,
		Device: device(on),
	}
	if err := m.alone(ceilingsName, &s.Ceilings); err != nil {
		return err
	}
	var failed error
	s.Rows, failed = each(chosen, func(w workload) (results.SpeedRow, error) {
		fmt.Fprintln(os.Stderr, w.name)
		return m.measure(w)
	})
	s.PyTorch = m.version
	show(os.Stdout, s)
	if o.out == "" {
		return failed
	}
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return errors.Join(failed, err)
	}
	out := o.out
	if info, err := os.Stat(out); err == nil && info.IsDir() {
		out = filepath.Join(out, s.Name())
	}
	return errors.Join(failed, os.WriteFile(out, append(data, '\n'), 0o644))
}

// each calls f for every workload and returns the results of those that succeed. A workload that fails, for example because
// its PyTorch script does, is reported at once and costs its own row only; the returned error names all of them.
func each[R any](chosen []workload, f func(workload) (R, error)) (out []R, failed error) {
	for _, w := range chosen {
		r, err := f(w)
		if err != nil {
			err = fmt.Errorf("%s: %w", w.name, err)
			fmt.Fprintln(os.Stderr, "bench:", err)
			failed = errors.Join(failed, err)
			continue
		}
		out = append(out, r)
	}
	return out, failed
}

// choose returns the workloads in a comma-separated list, or all for an empty list.
func choose(only string) ([]workload, error) {
	if only == "" {
		return workloads, nil
	}
	var out []workload
	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(workloads, func(w workload) bool { return w.name == name })
		if i < 0 {
			return nil, fmt.Errorf("-only: there is no workload %q; README.md lists them", name)
		}
		out = append(out, workloads[i])
	}
	return out, nil
}

// meter measures workloads.
type meter struct {
	options
	on      tensor.Device
	python  string
	version string // of PyTorch, known once a script has started
}

// engram sets a workload up in a new scope. The caller must call leave to free it.
func (m *meter) engram(w workload) (steps func(int) []float64, leave func()) {
	scope := tensor.Enter()
	tensor.SetThreads(m.threads) // a workload may have changed it
	return w.setup(m.on), scope.Leave
}

// check compares the results of every PyTorch form with Engram's.
func (m *meter) check(w workload) (err error) {
	defer tensor.Catch(&err)
	steps, leave := m.engram(w)
	defer leave()
	n := min(w.steps, 2)
	mine := steps(n)
	forms := w.forms
	if !slices.Contains(forms, "plain") {
		forms = append([]string{"plain"}, forms...)
	}
	for _, form := range forms {
		p, err := m.start(w, setting{form: form})
		if err != nil {
			return err
		}
		err = p.warm(mine, n, w)
		p.stop()
		if err != nil {
			return fmt.Errorf("PyTorch, form %s: %w", form, err)
		}
	}
	return nil
}

// measure runs the rounds of one workload: Engram, plain PyTorch, best PyTorch, Engram, ... It starts with a warm-up round of
// each, whose results must agree.
func (m *meter) measure(w workload) (r results.SpeedRow, err error) {
	defer tensor.Catch(&err)
	r = results.SpeedRow{Name: w.name, What: w.what, GFLOP: w.operations / 1e9, BF16: w.bf16 && bfloat16Pays()}
	var memory struct{ Peak int64 }
	if err := m.alone(w.name, &memory); err != nil {
		return r, err
	}
	r.Engram.Peak = memory.Peak

	steps, leave := m.engram(w)
	defer leave()
	mine := steps(w.steps)
	plain, err := m.start(w, setting{form: "plain"})
	if err != nil {
		return r, err
	}
	defer plain.stop()
	if err := plain.warm(mine, w.steps, w); err != nil {
		return r, fmt.Errorf("plain PyTorch: %w", err)
	}
	best, err := m.findBest(w, mine)
	if err != nil {
		return r, err
	}
	r.Plain = &results.Opponent{Form: plain.setting.String(), Floor: w.plain}
	if best != nil {
		defer best.stop()
		r.Best = &results.Opponent{Form: best.setting.String(), Floor: w.best}
	}
	var ratios [2][]float64
	for round := range m.rounds {
		begin := time.Now()
		steps(w.steps)
		own := time.Since(begin).Seconds() / float64(w.steps)
		r.Engram.Seconds = append(r.Engram.Seconds, own)
		for i, side := range []struct {
			*peer
			row *results.Opponent
		}{{plain, r.Plain}, {best, r.Best}} {
			if side.row == nil {
				continue
			}
			a, err := side.round(w.steps)
			if err != nil {
				return r, err
			}
			if round == 0 {
				side.row.Peak = a.Peak
			}
			took := a.Seconds / float64(w.steps)
			side.row.Seconds = append(side.row.Seconds, took)
			ratios[i] = append(ratios[i], took/own)
		}
	}
	r.Engram.Median = median(r.Engram.Seconds)
	for i, o := range []*results.Opponent{r.Plain, r.Best} {
		if o != nil {
			o.Median, o.Times, o.TimesLow, o.TimesHigh = median(o.Seconds), median(ratios[i]), slices.Min(ratios[i]), slices.Max(ratios[i])
		}
	}
	return r, nil
}

// findBest starts every form of a workload under every setting that may make it faster, and returns the process whose second
// round is the fastest, or nil if the workload has no forms.
func (m *meter) findBest(w workload, mine []float64) (best *peer, err error) {
	defer func() {
		if err != nil && best != nil {
			best.stop()
		}
	}()
	least := math.Inf(1)
	for _, form := range w.forms {
		for _, oneBLAS := range []bool{false, true} {
			p, err := m.start(w, setting{form, true, oneBLAS})
			if err != nil {
				return best, err
			}
			err = p.warm(mine, w.steps, w)
			var a answer
			if err == nil {
				a, err = p.round(w.steps)
			}
			if err != nil {
				p.stop()
				return best, fmt.Errorf("PyTorch, %s: %w", p.setting, err)
			}
			if a.Seconds >= least {
				p.stop()
				continue
			}
			if best != nil {
				best.stop()
			}
			best, least = p, a.Seconds
		}
	}
	return best, nil
}

// agree compares the results of the two sides: the first with a tolerance of w.tolerance(), later ones with that plus w.drift.
// A ratio of times is meaningless unless both sides do the same work.
func agree(mine, theirs []float64, w workload) error {
	if len(mine) != len(theirs) {
		return fmt.Errorf("the work differs: %d results in Engram, %d in PyTorch", len(mine), len(theirs))
	}
	for i, a := range mine {
		tolerance := w.tolerance()
		if i > 0 {
			tolerance += w.drift
		}
		if b := theirs[i]; !(math.Abs(a-b) <= tolerance*max(1, math.Abs(b))) {
			return fmt.Errorf("the work differs: result %d is %g in Engram, %g in PyTorch", i, a, b)
		}
	}
	return nil
}

func show(w io.Writer, s results.Speed) {
	fmt.Fprintf(w, "%s, %d cores, %d threads; load before: %.1f\n", s.CPU, s.Cores, s.Threads, s.Load)
	if s.Device != "" {
		fmt.Fprintf(w, "on %s\n", s.Device)
	}
	fmt.Fprintf(w, "Engram on LibTorch %s (%s); PyTorch %s\n", s.LibTorch, s.Go, s.PyTorch)
	fmt.Fprintf(w, "ceiling: %.0f GFLOP/s in fp32, %.0f in bf16; copy: %.0f GB/s\n\n", s.Ceilings.FP32, s.Ceilings.BF16, s.Ceilings.Copy)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "workload\tEngram\tplain\ttimes as fast\tbest\ttimes as fast\tMB\tplain\tbest\twhat")
	for _, r := range s.Rows {
		fmt.Fprintf(t, "%s\t%s", r.Name, pretty(r.Engram.Median))
		peaks := fmt.Sprint(r.Engram.Peak / 1e6)
		for _, o := range []*results.Opponent{r.Plain, r.Best} {
			if o == nil {
				fmt.Fprint(t, "\t\t")
				peaks += "\t"
				continue
			}
			fmt.Fprintf(t, "\t%s\t%.2f (%.2f–%.2f)", pretty(o.Median), o.Times, o.TimesLow, o.TimesHigh)
			peaks += fmt.Sprintf("\t%d", o.Peak/1e6)
		}
		fmt.Fprintf(t, "\t%s\t%s\n", peaks, r.What)
	}
	t.Flush()
}

func pretty(seconds float64) string {
	switch {
	case seconds < 1e-3:
		return fmt.Sprintf("%.3g µs", seconds*1e6)
	case seconds < 1:
		return fmt.Sprintf("%.3g ms", seconds*1e3)
	}
	return fmt.Sprintf("%.3g s", seconds)
}

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	n := len(s)
	return (s[(n-1)/2] + s[n/2]) / 2
}

// device names a CUDA device; it is empty for the CPU.
func device(on tensor.Device) string {
	if on == tensor.CPU {
		return ""
	}
	return on.String()
}

func load() float64 {
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return -1
	}
	one, _, _ := strings.Cut(string(data), " ")
	v, err := strconv.ParseFloat(one, 64)
	if err != nil {
		return -1
	}
	return v
}
