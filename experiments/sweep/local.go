package sweep

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/engram-go/engram/experiments/runner"
	"github.com/engram-go/engram/results"
)

// fileLog is the stderr of a run's process, without progress events.
const fileLog = "log.txt"

// Local runs on this machine.
type Local struct {
	// Command resumes the run folder that is appended to it, and reports progress as lines of [runner.Event] on
	// stderr: engram resume --json.
	Command []string
	// Name is what the processes are told that they are called, for their messages; empty stands for Command[0].
	Name    string
	Workers int // processes at a time; at least one
}

// Run implements [Engine]. If the context is cancelled, it asks the processes to save and exit, and waits.
func (l *Local) Run(ctx context.Context, runs []Run, watch Watcher) error {
	var mu sync.Mutex
	tell := func(run int, s Status) {
		mu.Lock()
		defer mu.Unlock()
		watch(run, s)
	}
	next := make(chan int)
	var workers sync.WaitGroup
	for range max(1, min(l.Workers, len(runs))) {
		workers.Go(func() {
			// Pdeathsig is sent when the thread that started the process ends, so this goroutine must keep its
			// thread.
			runtime.LockOSThread()
			for i := range next {
				tell(i, l.run(ctx, runs[i], func(s Status) { tell(i, s) }))
			}
		})
	}
	for i := range runs {
		select {
		case next <- i:
		case <-ctx.Done():
		}
	}
	close(next)
	workers.Wait()
	return ctx.Err()
}

// run executes one run and returns its final status.
func (l *Local) run(ctx context.Context, r Run, tell func(Status)) Status {
	if done, err := r.finished(); done || err != nil {
		return r.status(err)
	}
	tell(Status{State: Running})
	log, err := os.OpenFile(filepath.Join(r.Folder, fileLog), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return ended(err)
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, l.Command[0], slices.Concat(l.Command[1:], []string{r.Folder})...)
	if l.Name != "" {
		cmd.Args[0] = l.Name
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	// A separate process group, so that Ctrl-C reaches the process only through ctx: a second signal would kill it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	said, err := cmd.StderrPipe()
	if err != nil {
		return ended(err)
	}
	if err := cmd.Start(); err != nil {
		return ended(err)
	}
	last, logErr := follow(said, log, filepath.Base(cmd.Args[0]), tell)
	err = cmd.Wait()
	if done, _ := r.finished(); done {
		return r.status(nil)
	}
	switch {
	case ctx.Err() != nil:
		return Status{State: Stopped}
	case err == nil:
		err = fmt.Errorf("it ended without a %s", results.FileName)
	case last != "":
		err = errors.New(last)
	}
	return ended(errors.Join(err, logErr))
}

// status is that of a run which has been brought as far as it is to be, or cannot be for the error.
func (r Run) status(err error) Status {
	if done, _ := r.ended(); err == nil && !done {
		return Status{State: Paused, Step: r.Until}
	}
	return ended(err)
}

// ended is the status of a run whose end was no other than by the error.
func ended(err error) Status {
	if err != nil {
		return Status{State: Failed, Err: err}
	}
	return Status{State: Done}
}

// follow reads what a process says until it stops saying anything: events are told, other lines are logged, and the last error
// among those is returned, without the name of the program before it.
func follow(r io.Reader, log io.Writer, program string, tell func(Status)) (last string, err error) {
	lines := bufio.NewReader(r)
	defer func() { last = strings.TrimPrefix(last, program+": ") }()
	status := Status{State: Running}
	for {
		line, readErr := lines.ReadBytes('\n')
		var e runner.Event
		switch text := bytes.TrimSpace(line); {
		case len(text) == 0:
		case text[0] == '{' && json.Unmarshal(text, &e) == nil:
			status.take(e)
			tell(status)
			if e.Event == runner.EventNote {
				_, logErr := fmt.Fprintln(log, e.Note)
				err = errors.Join(err, logErr)
			}
		default:
			// An error may have several lines, of which the first says whose it is.
			if last == "" || bytes.HasPrefix(text, []byte(program+": ")) {
				last = string(text)
			} else {
				last += "\n" + string(bytes.TrimRight(line, "\n"))
			}
			_, logErr := log.Write(line)
			err = errors.Join(err, logErr)
		}
		if readErr != nil {
			return last, err
		}
	}
}

// take updates a status from an event.
func (s *Status) take(e runner.Event) {
	switch e.Event {
	case runner.EventStarting, runner.EventTesting:
		s.Doing = ""
		if e.Event == runner.EventTesting {
			s.Doing = "testing " + e.Name
		}
		s.Step, s.Steps = e.Done, e.All
	case runner.EventStep:
		s.Step, s.Steps = e.Done, e.All
		s.Doing = fmt.Sprintf("loss %.4f", e.Loss)
	case runner.EventTested:
		s.Step, s.Steps = e.Done, e.All
	}
}
