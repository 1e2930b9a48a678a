package sweep_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/experiments/sweep"
)

// worker is a process that behaves as the file "how" of its run folder specifies, and counts its starts in "starts".
const worker = `#!/bin/bash
cd "$1" || exit 1
echo >> starts
date +%s.%N > began
echo '{"event":"starting","done":0,"all":4}' >&2
echo '{"event":"step","done":3,"all":4,"loss":0.5}' >&2
. ./how
date +%s.%N > ended
`

// Behaviours of a worker.
const (
	finishes = `echo '{"name":"x"}' > result.json`
	fails    = `printf '%s: no space left on the device:\n  on /data\n' "$(basename "$0")" >&2; exit 1`
	silent   = `exit 0`
	waits    = `trap 'echo saved > saved; exit 143' TERM; for i in $(seq 600); do sleep 0.1; done`
)

// workers makes one run folder per behaviour, and returns the command that runs them.
func workers(t *testing.T, how ...string) (command []string, runs []sweep.Run) {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, "work er.sh")
	require.NoError(t, os.WriteFile(program, []byte(worker), 0o755))
	for i, h := range how {
		name := string(rune('a' + i))
		folder := filepath.Join(dir, "it's "+name)
		require.NoError(t, os.Mkdir(folder, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(folder, "how"), []byte(h+"\n"), 0o644))
		runs = append(runs, sweep.Run{Name: name, Folder: folder})
	}
	return []string{program}, runs
}

// watched records the statuses of a sweep.
type watched struct {
	mu   sync.Mutex
	last map[int]sweep.Status
	all  []sweep.Status
}

func (w *watched) watch(run int, s sweep.Status) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.last == nil {
		w.last = map[int]sweep.Status{}
	}
	w.last[run] = s
	w.all = append(w.all, s)
}

func starts(t *testing.T, r sweep.Run) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(r.Folder, "starts"))
	if os.IsNotExist(err) {
		return 0
	}
	require.NoError(t, err)
	return strings.Count(string(text), "\n")
}

// A command with room behind it, as append leaves it, is shared by the workers: a folder that is appended in place would become that
// of another worker's run.
func TestWorkersShareNoArguments(t *testing.T) {
	command, runs := workers(t, finishes, finishes)
	roomy := append(make([]string, 0, 8), command...)
	var w watched
	require.NoError(t, (&sweep.Local{Command: roomy, Workers: 2}).Run(t.Context(), runs, w.watch))
	assert.Equal(t, make([]string, 7), roomy[1:8])
	for i := range runs {
		assert.Equal(t, 1, starts(t, runs[i]))
	}
}

func TestLocalRunsAllDespiteFailures(t *testing.T) {
	command, runs := workers(t, finishes, fails, silent, finishes)
	var w watched
	require.NoError(t, (&sweep.Local{Command: command, Workers: 2}).Run(t.Context(), runs, w.watch))
	assert.Equal(t, sweep.Done, w.last[0].State)
	assert.Equal(t, sweep.Failed, w.last[1].State)
	assert.EqualError(t, w.last[1].Err, "no space left on the device:\n  on /data")
	assert.Equal(t, sweep.Failed, w.last[2].State)
	assert.EqualError(t, w.last[2].Err, "it ended without a result.json")
	assert.Equal(t, sweep.Done, w.last[3].State)
	assert.Contains(t, w.all, sweep.Status{State: sweep.Running, Step: 3, Steps: 4, Doing: "loss 0.5000"})
	log, err := os.ReadFile(filepath.Join(runs[1].Folder, "log.txt"))
	require.NoError(t, err)
	assert.Equal(t, "work er.sh: no space left on the device:\n  on /data\n", string(log))

	all, err := sweep.Results(runs)
	require.NoError(t, err)
	assert.Len(t, all, 2)

	// Run again: finished runs are skipped, failed ones rerun.
	require.NoError(t, os.WriteFile(filepath.Join(runs[1].Folder, "how"), []byte(finishes), 0o644))
	var again watched
	require.NoError(t, (&sweep.Local{Command: command, Workers: 2}).Run(t.Context(), runs, again.watch))
	assert.Equal(t, sweep.Done, again.last[0].State)
	assert.Equal(t, sweep.Done, again.last[1].State)
	assert.Equal(t, []int{1, 2, 2, 1}, []int{starts(t, runs[0]), starts(t, runs[1]), starts(t, runs[2]), starts(t, runs[3])})
}

// At most as many runs at a time as workers, and no fewer.
func TestLocalWorkers(t *testing.T) {
	pause := "sleep 0.4\n" + finishes
	command, runs := workers(t, pause, pause, pause, pause)
	running, most := 0, 0
	state := map[int]sweep.State{}
	watch := func(run int, s sweep.Status) {
		if s.State == sweep.Running && state[run] != sweep.Running {
			running++
		} else if s.State != sweep.Running && state[run] == sweep.Running {
			running--
		}
		state[run] = s.State
		most = max(most, running)
	}
	require.NoError(t, (&sweep.Local{Command: command, Workers: 2}).Run(t.Context(), runs, watch))
	assert.Equal(t, 2, most)
	assert.Zero(t, running)
}

// A cancelled sweep asks its processes to save and exit, waits, and starts no more.
func TestLocalStops(t *testing.T) {
	command, runs := workers(t, waits, waits)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(500*time.Millisecond, cancel)
	var w watched
	err := (&sweep.Local{Command: command, Workers: 1}).Run(ctx, runs, w.watch)
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, sweep.Stopped, w.last[0].State)
	assert.FileExists(t, filepath.Join(runs[0].Folder, "saved"))
	assert.Zero(t, starts(t, runs[1]))
}

func TestLocalWithoutAProgram(t *testing.T) {
	_, runs := workers(t, finishes)
	var w watched
	require.NoError(t, (&sweep.Local{Command: []string{"/nowhere/engram"}, Workers: 1}).Run(t.Context(), runs, w.watch))
	assert.ErrorIs(t, w.last[0].Err, os.ErrNotExist)
}
