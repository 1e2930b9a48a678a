package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/engram-go/engram/experiments/sweep"
)

// overview shows how the runs of a sweep go on: bars on a terminal, lines elsewhere.
type overview struct {
	w      io.Writer
	runs   []sweep.Run
	status []sweep.Status
	said   time.Time
	style  style

	// Of a terminal.
	bars  *mpb.Progress
	total *mpb.Bar
	bar   map[int]*runBar // of the runs that are running
}

// runBar is the bar of a run, and what it says beside it.
type runBar struct {
	*mpb.Bar
	doing atomic.Pointer[string]
}

// summaryTime is the time between two summaries where there is no terminal.
const summaryTime = time.Minute

func newOverview(w io.Writer, runs []sweep.Run) *overview {
	return openOverview(w, runs, isTerminal(w))
}

func openOverview(w io.Writer, runs []sweep.Run, terminal bool) *overview {
	o := &overview{w: w, runs: runs, status: make([]sweep.Status, len(runs)), said: time.Now(), style: newStyle(terminal, os.Getenv)}
	if !terminal {
		return o
	}
	o.bar = map[int]*runBar{}
	o.bars = mpb.New(mpb.WithOutput(w), mpb.WithAutoRefresh(), mpb.WithRefreshRate(200*time.Millisecond))
	o.total = o.bars.AddBar(int64(len(runs)), mpb.BarPriority(len(runs)),
		mpb.PrependDecorators(decor.Name("all", decor.WCSyncSpaceR)),
		mpb.AppendDecorators(decor.CountersNoUnit("%d/%d "+pluralOf(len(runs), "run"))))
	return o
}

// watch is a sweep.Watcher.
func (o *overview) watch(run int, s sweep.Status) {
	before := o.status[run].State
	o.status[run] = s
	if o.bars != nil {
		o.draw(run, s)
	}
	switch {
	case s.State == before:
	case s.State == sweep.Failed:
		o.say("%s: %s: %s", o.runs[run].Name, o.style.bad("failed"), indent(s.Err.Error()))
	case s.State == sweep.Done:
		o.say("%s: %s", o.runs[run].Name, o.style.good("done"))
	case s.State == sweep.Paused:
		o.say("%s: paused at step %d", o.runs[run].Name, s.Step)
	case s.State == sweep.Running && o.bars == nil:
		o.say("%s: running", o.runs[run].Name)
	}
	if o.bars == nil && time.Since(o.said) >= summaryTime {
		o.said = time.Now()
		o.say("%s", o.summary())
	}
}

// indent sets the later lines of a text in.
func indent(text string) string { return strings.ReplaceAll(text, "\n", "\n  ") }

// say prints a line, above the bars where there are any.
func (o *overview) say(format string, args ...any) {
	w := o.w
	if o.bars != nil {
		w = o.bars
	}
	fmt.Fprintf(w, format+"\n", args...)
}

// draw brings the bars up to a status.
func (o *overview) draw(run int, s sweep.Status) {
	bar := o.bar[run]
	if s.State != sweep.Running {
		if bar != nil {
			bar.Abort(true)
			delete(o.bar, run)
		}
		o.total.SetCurrent(int64(o.count(sweep.Done) + o.count(sweep.Failed)))
		return
	}
	if bar == nil {
		bar = &runBar{}
		bar.doing.Store(&s.Doing)
		doing := func(st decor.Statistics) string {
			return fmt.Sprintf("  %d/%d  %s", st.Current, st.Total, *bar.doing.Load())
		}
		bar.Bar = o.bars.AddBar(0, mpb.BarPriority(run), mpb.BarRemoveOnComplete(),
			mpb.PrependDecorators(decor.Name(o.runs[run].Name, decor.WCSyncSpaceR)), mpb.AppendDecorators(decor.Any(doing)))
		o.bar[run] = bar
	}
	bar.doing.Store(&s.Doing)
	bar.SetTotal(s.Steps, false)
	bar.SetCurrent(s.Step)
}

func (o *overview) count(state sweep.State) int {
	n := 0
	for _, s := range o.status {
		if s.State == state {
			n++
		}
	}
	return n
}

// summary counts the runs by their state.
func (o *overview) summary() string {
	var parts []string
	for _, s := range []sweep.State{sweep.Done, sweep.Running, sweep.Waiting, sweep.Paused, sweep.Failed, sweep.Stopped} {
		if n := o.count(s); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %v", n, s))
		}
	}
	return fmt.Sprintf("%s: %s", countOf(len(o.runs), "run"), strings.Join(parts, ", "))
}

// end closes the bars and says how it came out.
func (o *overview) end() {
	if o.bars != nil {
		for _, b := range o.bar {
			b.Abort(true)
		}
		o.total.Abort(true)
		o.bars.Wait()
	}
	fmt.Fprintln(o.w, o.summary())
}
