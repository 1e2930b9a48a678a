// Command gpu checks Engram on a CUDA device against the CPU, for machines that a test run cannot reach: run.sh builds and starts
// it from what make gpu-bundle packs. It writes one JSON file and exits with status 1 where a check fails.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/engram-go/engram/experiments"
	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/internal/small"
	"github.com/engram-go/engram/results"
	"github.com/engram-go/engram/tensor"
	_ "github.com/engram-go/engram/tensor/product" // as in cmd/engram
)

// Report is the file that the command writes.
type Report struct {
	results.Build
	CPU     string          `json:"cpu"`
	Cores   int             `json:"cores"`
	Device  string          `json:"device"`
	Bound   float64         `json:"bound"` // of the differences in float32
	Parity  []Parity        `json:"parity"`
	Graphs  []Graphed       `json:"graphs"`
	Runs    []Run           `json:"runs"`
	Bench   json.RawMessage `json:"bench,omitempty"`
	Errors  []string        `json:"errors,omitempty"` // of the bench
	LeftOut []string        `json:"left_out,omitempty"`
	Seconds float64         `json:"seconds"`
}

// Run is a short training run on the device.
type Run struct {
	Name    string  `json:"name"`
	Steps   int64   `json:"steps"`
	Seconds float64 `json:"seconds"`       // with its test
	Figure  float64 `json:"figure"`        // the first of its tests
	Cut     bool    `json:"cut,omitempty"` // after the longest time that a run may take
	Error   string  `json:"error,omitempty"`
}

// longest is the time that a run may take: one of a large network on a slow device is cut short, so that the others are reached.
const longest = 30 * time.Second

// The share of the time budget after which no further check of a section begins.
const (
	parityShare = .35
	graphsShare = .45
	runsShare   = .75
)

type options struct {
	device, folder, out, bench, scripts string
	steps, threads                      int
	budget                              time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.device, "device", "cuda", "the device to check: cuda, cuda:N, or cpu to try the command itself")
	flag.StringVar(&o.folder, "experiments", "experiments", "folder of the experiment files")
	flag.StringVar(&o.out, "json", "gpu.json", "file to write")
	flag.StringVar(&o.bench, "bench", "", "the program bench, to measure its rows on the device; none where it is empty")
	flag.StringVar(&o.scripts, "scripts", "bench/torch", "folder of bench's PyTorch scripts")
	flag.IntVar(&o.steps, "steps", 50, "training steps of each experiment")
	flag.IntVar(&o.threads, "threads", min(runtime.NumCPU(), 8), "threads per operation on the CPU")
	flag.DurationVar(&o.budget, "budget", 9*time.Minute, "time for everything; what does not fit is left out and named")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	failed, err := run(ctx, o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "gpu:", err)
		os.Exit(2)
	}
	if failed > 0 {
		fmt.Fprintf(os.Stderr, "gpu: %d checks failed; see %s\n", failed, o.out)
		os.Exit(1)
	}
}

// run makes all checks, writes the report after each, and returns how many failed.
func run(ctx context.Context, o options) (failed int, err error) {
	on, err := tensor.ParseDevice(o.device)
	if err != nil {
		return 0, err
	}
	if err := tensor.SetCUDAMath(tensor.CUDAMath{Deterministic: true}); err != nil {
		return 0, err
	}
	tensor.SetThreads(o.threads)
	files, err := filepath.Glob(filepath.Join(o.folder, "*.yaml"))
	if err != nil {
		return 0, err
	}
	if len(files) == 0 {
		return 0, fmt.Errorf("%s holds no experiment files; set -experiments", o.folder)
	}
	begin := time.Now()
	spent := func() float64 { return float64(time.Since(begin)) / float64(o.budget) }
	r := Report{
		Build: results.ThisBuild(tensor.Version()), CPU: cmp.Or(tensor.Processor(), runtime.GOARCH), Cores: runtime.NumCPU(), Device: on.String(), Bound: bound,
	}
	save := func() error {
		r.Seconds = time.Since(begin).Seconds()
		text, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return err
		}
		return os.WriteFile(o.out, append(text, '\n'), 0o644)
	}
	tool := experiments.Standard()
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		if spent() > parityShare || ctx.Err() != nil {
			r.LeftOut = append(r.LeftOut, "parity of "+name)
			continue
		}
		p := parity(ctx, tool, file, on)
		p.Name = name
		r.Parity = append(r.Parity, p)
		if !p.OK() {
			failed++
		}
		fmt.Println(p)
		if err := save(); err != nil {
			return failed, err
		}
	}
	for _, name := range graphed {
		if spent() > graphsShare || ctx.Err() != nil {
			r.LeftOut = append(r.LeftOut, "graphs of "+name)
			continue
		}
		g := graphs(ctx, tool, filepath.Join(o.folder, name+".yaml"), o)
		g.Name = name
		r.Graphs = append(r.Graphs, g)
		if !g.OK() {
			failed++
		}
		fmt.Println(g)
		if err := save(); err != nil {
			return failed, err
		}
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		if spent() > runsShare || ctx.Err() != nil {
			r.LeftOut = append(r.LeftOut, "run of "+name)
			continue
		}
		one := short(ctx, tool, file, o)
		if one.Name = name; one.Cut {
			r.LeftOut = append(r.LeftOut, fmt.Sprintf("the rest of the run of %s, after %.0f s", name, one.Seconds))
		}
		r.Runs = append(r.Runs, one)
		if one.Error != "" {
			failed++
		}
		fmt.Printf("%-32s %d steps in %.1f s %s\n", name, one.Steps, one.Seconds, one.Error)
		if err := save(); err != nil {
			return failed, err
		}
	}
	if o.bench != "" && ctx.Err() == nil {
		left := o.budget - time.Since(begin)
		if r.Bench, err = rows(ctx, o, left); err != nil {
			r.Errors, failed = append(r.Errors, err.Error()), failed+1
		}
	}
	return failed, errors.Join(save(), ctx.Err())
}

// load reads an experiment file, the first run of its matrix, with the overrides that make gives.
func load(tool *experiments.Tool, file string, make func(c *experiments.Config) ([]string, error), more ...string) (*experiments.Config, error) {
	m, err := tool.Matrix(file)
	if err != nil {
		return nil, err
	}
	first := m.Runs[0]
	sets, err := make(first.Config)
	if err != nil {
		return nil, err
	}
	overrides := first.Overrides
	for _, s := range append(sets, more...) {
		o, err := schema.ParseOverride(s)
		if err != nil {
			return nil, err
		}
		overrides = append(overrides, o)
	}
	return tool.Load(file, overrides...)
}

// short trains an experiment for a few steps on the device.
func short(ctx context.Context, tool *experiments.Tool, file string, o options) (out Run) {
	fail := func(err error) Run {
		out.Error = err.Error()
		return out
	}
	c, err := load(tool, file, func(c *experiments.Config) ([]string, error) { return small.Short(c, o.steps) },
		"device="+o.device, fmt.Sprintf("threads=%d", o.threads))
	if err != nil {
		return fail(err)
	}
	dir, err := os.MkdirTemp("", "engram-gpu")
	if err != nil {
		return fail(err)
	}
	defer os.RemoveAll(dir)
	bounded, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	begin := time.Now()
	r, err := tool.Run(bounded, c, experiments.Options{Out: filepath.Join(dir, "run")})
	out.Seconds = time.Since(begin).Seconds()
	if ctx.Err() == nil && errors.Is(bounded.Err(), context.DeadlineExceeded) {
		out.Cut = true
		return out
	}
	if err != nil {
		return fail(err)
	}
	out.Steps = r.Training.Steps
	if len(r.Figures) > 0 {
		out.Figure = r.Figures[0].Value
	}
	return out
}

// rows measures the rows of bench on the device.
func rows(ctx context.Context, o options, left time.Duration) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	file := o.out + ".bench"
	defer os.Remove(file)
	cmd := exec.CommandContext(ctx, o.bench, "-device", o.device, "-scripts", o.scripts, "-threads", fmt.Sprint(o.threads), "-rounds", "3", "-json", file)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	failed := cmd.Run()
	if failed != nil {
		failed = fmt.Errorf("bench: %w", failed)
	}
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, cmp.Or(failed, errors.New("bench wrote no file"))
	}
	return text, errors.Join(failed, err)
}
