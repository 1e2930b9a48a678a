package sweep_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/experiments"
	"github.com/engram-go/engram/experiments/sweep"
)

// planned are folders of runs that are not there yet.
func planned(n int) (runs []sweep.Run) {
	for i := range n {
		runs = append(runs, sweep.Run{Name: fmt.Sprint(i), Folder: fmt.Sprintf("/home/o'hara/run %d", i)})
	}
	return runs
}

func TestSlurmScript(t *testing.T) {
	t.Setenv("PATH", t.TempDir()) // no Slurm
	s := &sweep.Slurm{
		Command: []string{"/opt/my lab/engram", "resume", "--json"}, Dir: `/home/o'hara/100% "best" #1/slurm`, Name: "way and shot #2",
		Needs: experiments.Slurm{Partition: "gpu", Time: "4:00:00", Memory: "4G", CPUs: 2, GPUs: 1, AtOnce: 8, Sbatch: []string{
			"--account=lab", "--comment=it's the 1st", `--comment "x"`, "-A my lab", "-Cfast", "--exclusive", `--export=NAME=a\b`,
		}},
	}
	plan, err := s.Plan(t.Context(), planned(12))
	require.NoError(t, err)
	require.Len(t, plan, 1)
	assert.Equal(t, `#!/bin/bash
#SBATCH --job-name="way-and-shot-#2"
#SBATCH --array=0-11%8
#SBATCH --output="/home/o'hara/100%% \"best\" #1/slurm/0/%a.log"
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --signal=B:TERM@60
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=2
#SBATCH --partition=gpu
#SBATCH --time=4:00:00
#SBATCH --mem=4G
#SBATCH --gpus=1
#SBATCH --account=lab
#SBATCH --comment="it's the 1st"
#SBATCH --comment="\"x\""
#SBATCH -A "my lab"
#SBATCH -Cfast
#SBATCH --exclusive
#SBATCH --export="NAME=a\\b"

run=$(sed -n "$((SLURM_ARRAY_TASK_ID + 1))p" '/home/o'\''hara/100% "best" #1/slurm/0/runs.txt')
exec '/opt/my lab/engram' 'resume' '--json' "$run"
`, plan[0].Script)
	assert.Equal(t, "/home/o'hara/run 11", plan[0].Folders[11])
}

// More runs than an array may have elements make several arrays.
func TestSlurmArraysAreSplit(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	s := &sweep.Slurm{Command: []string{"x"}, Dir: t.TempDir(), Name: "x", ArrayLimit: 5}
	runs := planned(12)
	plan, err := s.Plan(t.Context(), runs)
	require.NoError(t, err)
	require.Len(t, plan, 3)
	var folders []string
	for i, want := range []string{"--array=0-4\n", "--array=0-4\n", "--array=0-1\n"} {
		assert.Contains(t, plan[i].Script, want)
		assert.Contains(t, plan[i].Script, fmt.Sprintf("/%d/runs.txt", i), "a folder of its own")
		folders = append(folders, plan[i].Folders...)
	}
	for i, r := range runs {
		assert.Equal(t, r.Folder, folders[i])
	}
	s.ArrayLimit = 0
	plan, err = s.Plan(t.Context(), planned(1001))
	require.NoError(t, err)
	assert.Len(t, plan, 2, "the usual limit where the cluster cannot be asked")
}

// fakeSlurm puts programs of Slurm's names on the PATH: sbatch notes its arguments, and no job is ever in the queue.
func fakeSlurm(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range map[string]string{
		"squeue":   "true",
		"scontrol": "printf 'Configuration data as of now\\nMaxArraySize            = 4\\nMaxJobCount = 9\\n'",
		"sbatch":   "n=$(cat " + dir + "/n 2>/dev/null || echo 0); n=$((n+1)); echo $n > " + dir + "/n; echo \"$*\" >> " + dir + "/submitted; echo $n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755))
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	return dir
}

// Arrays are as large as the cluster says; with a bound on jobs at a time each waits for the one before. What the dry run prints
// is what is submitted.
func TestSlurmSubmitsWhatThePlanSays(t *testing.T) {
	for atOnce, want := range map[int][]string{
		0: {"--parsable DIR/0/job.sh", "--parsable DIR/1/job.sh"},
		2: {"--parsable DIR/0/job.sh", "--parsable --dependency=afterany:1 DIR/1/job.sh"},
	} {
		fake := fakeSlurm(t)
		var runs []sweep.Run
		for range 6 {
			runs = append(runs, sweep.Run{Folder: t.TempDir()})
		}
		dir := filepath.Join(t.TempDir(), "a b")
		s := &sweep.Slurm{Command: []string{"x"}, Dir: dir, Name: "x", Poll: 1, Tries: 1, Needs: experiments.Slurm{AtOnce: atOnce}}
		plan, err := s.Plan(t.Context(), runs)
		require.NoError(t, err)
		require.NoError(t, s.Run(t.Context(), runs, func(int, sweep.Status) {}), "jobs that bring no run further are given up")
		for i, p := range plan {
			script, err := os.ReadFile(filepath.Join(dir, fmt.Sprint(i), "job.sh"))
			require.NoError(t, err)
			assert.Equal(t, p.Script, string(script))
			folders, err := os.ReadFile(filepath.Join(dir, fmt.Sprint(i), "runs.txt"))
			require.NoError(t, err)
			assert.Equal(t, strings.Join(p.Folders, "\n")+"\n", string(folders))
		}
		submitted, err := os.ReadFile(filepath.Join(fake, "submitted"))
		require.NoError(t, err)
		assert.Equal(t, want, strings.Split(strings.TrimSpace(strings.ReplaceAll(string(submitted), dir, "DIR")), "\n"))
	}
}

// What cannot be submitted is refused by the dry run too.
func TestSlurmRefusals(t *testing.T) {
	fakeSlurm(t)
	for want, s := range map[string]*sweep.Slurm{
		"cannot be the folder of the jobs' output":              {Dir: `/a\b`},
		"--sbatch \"account=lab\" is no option of sbatch":       {Needs: experiments.Slurm{Sbatch: []string{"account=lab"}}},
		"--sbatch \"--array=0-3\": a sweep sets --array itself": {Needs: experiments.Slurm{Sbatch: []string{"--array=0-3"}}},
		"--sbatch \"-o x.log\": a sweep sets -o itself":         {Needs: experiments.Slurm{Sbatch: []string{"-o x.log"}}},
		"--sbatch \"-a0-3\": a sweep sets":                      {Needs: experiments.Slurm{Sbatch: []string{"-a0-3"}}},
		"has a line break: give one option at a time":           {Needs: experiments.Slurm{Sbatch: []string{"--a\n--b"}}},
		`slurm: --partition "a\nb" has a line break`:            {Needs: experiments.Slurm{Partition: "a\nb"}},
	} {
		if s.Dir == "" {
			s.Dir = t.TempDir()
		}
		_, err := s.Plan(t.Context(), planned(1))
		assert.ErrorContains(t, err, want)
		assert.Equal(t, err, s.Run(t.Context(), planned(1), func(int, sweep.Status) {}))
	}
	_, err := (&sweep.Slurm{Dir: t.TempDir()}).Plan(t.Context(), []sweep.Run{{Folder: "a\nb"}})
	assert.ErrorContains(t, err, `"a\nb" cannot be the folder of a run: it has a line break`)
}

func TestSlurmIsMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, runs := workers(t, finishes)
	err := (&sweep.Slurm{Command: []string{"x"}, Dir: t.TempDir()}).Run(t.Context(), runs, func(int, sweep.Status) {})
	assert.EqualError(t, err, "slurm: squeue is not on this machine: sweep where jobs can be submitted, or here without --on slurm")
}
