package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/engram-go/engram/experiments"
)

// progress shows a run: bars on a terminal, a line now and then elsewhere.
type progress struct {
	w          io.Writer
	named      func(string) string // names the program as it was called
	terminal   bool
	bar        *progressbar.ProgressBar
	start      experiments.Start
	said       time.Time
	validation string // the last one
}

// quietTime is the time between two lines where there is no terminal.
const quietTime = 15 * time.Second

func newProgress(cmd *cobra.Command) *progress {
	w := cmd.ErrOrStderr()
	return &progress{w: w, terminal: isTerminal(w), named: func(text string) string { return named(cmd, text) }}
}

// Starting implements experiments.Reporter.
func (p *progress) Starting(s experiments.Start) {
	p.start, p.said, p.validation = s, time.Now(), ""
	fmt.Fprintf(p.w, "%s: %s, at most %s of %s, on %s with %s; run folder %s\n",
		s.Name, countOf(s.Parameters, "parameter"), countOf(s.Steps, "step"), countOf(s.Batch, strings.TrimSuffix(s.Measure.Of, "s")),
		s.Device, countOf(s.Threads, "thread"), s.Folder)
	if s.Done > 0 {
		fmt.Fprintf(p.w, "continuing from step %d\n", s.Done)
	}
	p.open(s.Steps, s.Done)
}

func (p *progress) open(total, done int64) {
	p.end()
	if !p.terminal {
		return
	}
	p.bar = progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(p.w),
		progressbar.OptionSetWidth(24),
		progressbar.OptionShowCount(),
		progressbar.OptionSetPredictTime(false),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionSetElapsedTime(false),
		progressbar.OptionFullWidth(),
	)
	_ = p.bar.Set64(done)
}

// end closes the bar at hand.
func (p *progress) end() {
	if p.bar != nil {
		_ = p.bar.Exit()
		fmt.Fprintln(p.w)
		p.bar = nil
	}
}

// Step implements experiments.Reporter.
func (p *progress) Step(s experiments.Step) {
	text := fmt.Sprintf("loss %.4f  %s %s  %.1f %s/s  %v left%s", s.Loss, p.start.Measure.Name, p.score(s.Score, 1), s.Examples, p.start.Measure.Of, s.Left, p.validation)
	if p.bar != nil {
		p.bar.Describe(text)
		_ = p.bar.Set64(s.Step)
		return
	}
	if time.Since(p.said) >= quietTime || s.Step == p.start.Steps {
		p.said = time.Now()
		fmt.Fprintf(p.w, "step %d/%d  %s\n", s.Step, p.start.Steps, text)
	}
}

// score writes a score in its unit.
func (p *progress) score(v float64, digits int) string {
	return fmt.Sprintf("%.*f %s", digits, v*p.start.Measure.Factor, p.start.Measure.Unit)
}

// Validated implements experiments.Reporter.
func (p *progress) Validated(v experiments.Validated) {
	p.validation = "  validation " + p.score(v.Score, 2)
	if p.bar == nil {
		best := ""
		if v.Best {
			best = ", the best so far"
		}
		fmt.Fprintf(p.w, "step %d/%d  validation %s ± %s%s\n", v.Step, p.start.Steps, p.score(v.Score, 2), p.score(v.Interval, 2), best)
	}
}

// Testing implements experiments.Reporter.
func (p *progress) Testing(name string, examples int) {
	p.open(int64(examples), 0)
	if p.bar != nil {
		p.bar.Describe("testing " + name)
		return
	}
	fmt.Fprintf(p.w, "testing %s on %s\n", name, countOf(examples, "example"))
}

// Tested implements experiments.Reporter.
func (p *progress) Tested(done int) {
	if p.bar != nil {
		_ = p.bar.Set(done)
	}
}

// Note implements experiments.Reporter.
func (p *progress) Note(line string) {
	p.end()
	fmt.Fprintln(p.w, p.named(line))
}

// warnings shows warnings and nothing else.
type warnings struct {
	experiments.Silent
	w io.Writer
}

// Warn implements experiments.Warner.
func (r warnings) Warn(line string) { fmt.Fprintln(r.w, line) }
