// Command bench measures Engram side by side with PyTorch; README.md says how to read it.
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/engram-go/engram/tensor"
)

func main() {
	rounds := flag.Int("rounds", 5, "measured rounds of each side, taken in turns")
	threads := flag.Int("threads", 2, "threads that an operation may use")
	only := flag.String("only", "", "names of the workloads to run, with commas between them (default: all)")
	scripts := flag.String("scripts", "bench/torch", "folder of the PyTorch scripts")
	out := flag.String("json", "", "file to write the figures to")
	keep := flag.Bool("keep-memory", true, "tell glibc to keep freed memory, as training does")
	flag.Parse()
	if *keep {
		tensor.KeepMemory()
	}
	if err := run(*rounds, *threads, *only, *scripts, *out); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// row is what was measured of a workload. Seconds are of one step, round by round.
type row struct {
	Name      string    `json:"name"`
	What      string    `json:"what"`
	Engram    []float64 `json:"engram_seconds"`
	Torch     []float64 `json:"pytorch_seconds"`
	Ratio     float64   `json:"ratio"` // the median over the rounds of Engram's time over PyTorch's
	RatioLow  float64   `json:"ratio_low"`
	RatioHigh float64   `json:"ratio_high"`
}

type report struct {
	CPU      string  `json:"cpu"`
	Cores    int     `json:"cores"`
	Threads  int     `json:"threads"`
	Load     float64 `json:"load_before"` // processes that wanted a core in the minute before; -1 where unknown
	LibTorch string  `json:"engram_libtorch"`
	Torch    string  `json:"pytorch"`
	Go       string  `json:"go"`
	Rows     []row   `json:"rows"`
}

func run(rounds, threads int, only, scripts, out string) error {
	if rounds < 1 || threads < 1 {
		return errors.New("-rounds and -threads are at least 1")
	}
	chosen := workloads
	if only != "" {
		names := strings.Split(only, ",")
		chosen = nil
		for _, w := range workloads {
			if slices.Contains(names, w.name) {
				chosen = append(chosen, w)
			}
		}
		if len(chosen) == 0 {
			return fmt.Errorf("-only %s names no workload", only)
		}
	}
	python, err := findPython()
	if err != nil {
		return err
	}
	tensor.SetThreads(threads)
	r := report{CPU: cmp.Or(tensor.Processor(), runtime.GOARCH), Cores: runtime.NumCPU(), Threads: threads, Load: load(), LibTorch: tensor.Version(), Go: runtime.Version()}
	for _, w := range chosen {
		row, version, err := measure(w, rounds, threads, python, scripts)
		if err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		r.Torch = version
		r.Rows = append(r.Rows, row)
	}
	show(os.Stdout, r)
	if out == "" {
		return nil
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(out, append(data, '\n'), 0o644)
}

// measure runs the rounds of one workload: Engram, PyTorch, Engram, PyTorch, ... after one round of each that warms up
// and whose results must agree.
func measure(w workload, rounds, threads int, python, scripts string) (r row, version string, err error) {
	peer, version, err := start(w, threads, python, scripts)
	if err != nil {
		return r, "", err
	}
	defer peer.stop()
	defer tensor.Catch(&err)
	scope := tensor.Enter()
	defer scope.Leave()
	tensor.SetThreads(threads) // which a workload may have changed
	steps := w.setup()

	mine := steps(w.steps)
	_, theirs, err := peer.round(w.steps)
	if err != nil {
		return r, "", err
	}
	if err := agree(mine, theirs, w.drift); err != nil {
		return r, "", err
	}
	r = row{Name: w.name, What: w.what}
	var ratios []float64
	for range rounds {
		begin := time.Now()
		steps(w.steps)
		a := time.Since(begin).Seconds() / float64(w.steps)
		b, _, err := peer.round(w.steps)
		if err != nil {
			return r, "", err
		}
		b /= float64(w.steps)
		r.Engram, r.Torch, ratios = append(r.Engram, a), append(r.Torch, b), append(ratios, a/b)
	}
	r.Ratio, r.RatioLow, r.RatioHigh = median(ratios), slices.Min(ratios), slices.Max(ratios)
	return r, version, nil
}

// agree holds the two sides' results against each other, the first to 1e-4 and those after it to 1e-4 + drift: a ratio
// between unequal work means nothing.
func agree(mine, theirs []float64, drift float64) error {
	if len(mine) != len(theirs) {
		return fmt.Errorf("the work is not equal: %d results in Engram and %d in PyTorch", len(mine), len(theirs))
	}
	for i, a := range mine {
		tolerance := 1e-4
		if i > 0 {
			tolerance += drift
		}
		if b := theirs[i]; !(math.Abs(a-b) <= tolerance*max(1, math.Abs(b))) {
			return fmt.Errorf("the work is not equal: result %d is %g in Engram and %g in PyTorch", i, a, b)
		}
	}
	return nil
}

// peer is a workload's PyTorch process.
type peer struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

func start(w workload, threads int, python, scripts string) (*peer, string, error) {
	cmd := exec.Command(python, append([]string{filepath.Join(scripts, w.torch), strconv.Itoa(threads)}, w.args...)...)
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	cmd.Env = append(cmd.Env, w.env...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, "", err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	if err := cmd.Start(); err != nil {
		return nil, "", err
	}
	p := &peer{cmd, in, bufio.NewScanner(out)}
	var hello struct {
		Version string
		Threads int
	}
	if err := p.read(&hello); err != nil {
		p.stop()
		return nil, "", err
	}
	if hello.Threads != threads {
		p.stop()
		return nil, "", fmt.Errorf("PyTorch uses %d threads, not %d", hello.Threads, threads)
	}
	return p, hello.Version, nil
}

func (p *peer) read(into any) error {
	if !p.out.Scan() {
		return errors.Join(errors.New("the PyTorch script ended early; its message is above"), p.out.Err())
	}
	return json.Unmarshal(p.out.Bytes(), into)
}

func (p *peer) round(steps int) (seconds float64, losses []float64, err error) {
	if _, err := fmt.Fprintln(p.in, steps); err != nil {
		return 0, nil, err
	}
	var answer struct {
		Seconds float64
		Losses  []float64
	}
	err = p.read(&answer)
	return answer.Seconds, answer.Losses, err
}

func (p *peer) stop() {
	p.in.Close()
	p.cmd.Wait() // how the script ends after its last answer changes no figure
}

// findPython returns the first python3 that has torch: the one on the path may be another than the distribution's.
func findPython() (string, error) {
	for _, python := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(python, "-c", "import torch, numpy").Run() == nil {
			return python, nil
		}
	}
	return "", errors.New("no python3 that has torch and numpy; install python3-torch and python3-numpy")
}

func show(w io.Writer, r report) {
	fmt.Fprintf(w, "%s, %d cores, %d threads; load before: %.1f\n", r.CPU, r.Cores, r.Threads, r.Load)
	fmt.Fprintf(w, "Engram on LibTorch %s (%s); PyTorch %s\n\n", r.LibTorch, r.Go, r.Torch)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "workload\tEngram\tPyTorch\tratio\tspread\twhat")
	for _, row := range r.Rows {
		fmt.Fprintf(t, "%s\t%s\t%s\t%.2f\t%.2f–%.2f\t%s\n", row.Name, pretty(median(row.Engram)), pretty(median(row.Torch)),
			row.Ratio, row.RatioLow, row.RatioHigh, row.What)
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
