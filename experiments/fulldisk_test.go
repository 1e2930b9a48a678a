package experiments_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/experiments"
	"github.com/engram-go/engram/results"
)

// filler fills the disk of a folder at a step.
type filler struct {
	experiments.Silent
	t    *testing.T
	dir  string
	step int64
}

func (f filler) Step(s experiments.Step) {
	if s.Step != f.step {
		return
	}
	ballast, err := os.Create(filepath.Join(f.dir, "ballast"))
	require.NoError(f.t, err)
	defer ballast.Close()
	for err == nil {
		_, err = ballast.Write(make([]byte, 4096))
	}
	require.ErrorIs(f.t, err, syscall.ENOSPC)
}

// A full disk stops a run at any step; once there is room again, the run ends like an undisturbed one.
func TestAFullDiskCostsNothing(t *testing.T) {
	disk := t.TempDir()
	if err := syscall.Mount("engram", disk, "tmpfs", 0, "size=2m"); err != nil {
		t.Skipf("a disk to fill cannot be mounted: %v", err)
	}
	t.Cleanup(func() { assert.NoError(t, syscall.Unmount(disk, 0)) })
	sets := []string{"train.save=2", "train.report=1"}
	want, err := tool.Run(t.Context(), config(t, sets...), experiments.Options{Out: filepath.Join(t.TempDir(), "undisturbed")})
	require.NoError(t, err)
	dir := filepath.Join(disk, "run")
	for step := int64(1); step <= want.Training.Steps; step++ {
		_, err := tool.Run(t.Context(), config(t, sets...), experiments.Options{Out: dir, Reporter: filler{t: t, dir: disk, step: step}})
		require.ErrorIs(t, err, syscall.ENOSPC, "step %d", step)
		assert.ErrorContains(t, err, "no space left on device; what was saved is intact: make room, then continue with: engram resume "+dir)
		require.NoError(t, os.Remove(filepath.Join(disk, "ballast")))
		_, err = tool.Resume(t.Context(), dir, experiments.Options{})
		require.NoError(t, err)
		got, err := results.Read(filepath.Join(dir, "result.json"))
		require.NoError(t, err)
		sameOutcome(t, want, got)
		require.NoError(t, os.RemoveAll(dir))
	}
}
