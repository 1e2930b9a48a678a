package sweep_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/engram-go/engram/experiments"
	"github.com/engram-go/engram/experiments/sweep"
)

func TestSlurmScript(t *testing.T) {
	s := &sweep.Slurm{
		Command: []string{"/opt/my lab/engram", "resume", "--json"}, Dir: "/home/o'hara/runs/x/slurm", Name: "way and shot",
		Needs: experiments.Slurm{Partition: "gpu", Time: "4:00:00", Memory: "4G", CPUs: 2, GPUs: 1, AtOnce: 8, Sbatch: []string{"--account=lab"}},
	}
	assert.Equal(t, `#!/bin/bash
#SBATCH --job-name=way-and-shot
#SBATCH --array=0-11%8
#SBATCH --output=/home/o'hara/runs/x/slurm/3/%a.log
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

run=$(sed -n "$((SLURM_ARRAY_TASK_ID + 1))p" '/home/o'\''hara/runs/x/slurm/3/runs.txt')
exec '/opt/my lab/engram' 'resume' '--json' "$run"
`, s.Script(3, 12))
}

func TestSlurmIsMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, runs := workers(t, finishes)
	err := (&sweep.Slurm{Command: []string{"x"}, Dir: t.TempDir()}).Run(t.Context(), runs, func(int, sweep.Status) {})
	assert.EqualError(t, err, "slurm: squeue is not on this machine: sweep where jobs can be submitted, or here without --on slurm")
}
