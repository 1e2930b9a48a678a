//go:build slurm

package sweep_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/experiments"
	"github.com/engram-go/engram/experiments/sweep"
)

// cluster is a Slurm cluster of one node on this machine.
type cluster struct{ dir string }

const clusterConfig = `ClusterName=engram
SlurmctldHost=%[1]s(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
SlurmctldPort=16817
SlurmdPort=16818
SlurmctldPidFile=%[2]s/ctl.pid
SlurmdPidFile=%[2]s/d.pid
StateSaveLocation=%[2]s/ctl
SlurmdSpoolDir=%[2]s/d
SlurmctldLogFile=%[2]s/ctl.log
SlurmdLogFile=%[2]s/d.log
SlurmdTimeout=5
MinJobAge=2
SchedulerParameters=batch_sched_delay=1,bf_interval=1,requeue_delay=1
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
NodeName=%[1]s NodeAddr=127.0.0.1 CPUs=%[3]d State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
`

// startCluster starts Slurm if it is installed and this is root.
func startCluster(t *testing.T) *cluster {
	t.Helper()
	for _, program := range []string{"munged", "slurmctld", "slurmd", "sbatch", "squeue"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip("Slurm is not installed: apt-get install slurmctld slurmd slurm-client munge")
		}
	}
	if os.Getuid() != 0 {
		t.Skip("Slurm's daemons must be started as root")
	}
	c := &cluster{t.TempDir()}
	require.NoError(t, os.MkdirAll("/run/munge", 0o755))
	if exec.Command("pgrep", "munged").Run() != nil {
		run(t, "sh", "-c", "chown munge /run/munge && runuser -u munge -- munged")
	}
	host, err := os.Hostname()
	require.NoError(t, err)
	host, _, _ = strings.Cut(host, ".")
	for _, d := range []string{"ctl", "d"} {
		require.NoError(t, os.Mkdir(filepath.Join(c.dir, d), 0o755))
	}
	config := filepath.Join(c.dir, "slurm.conf")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, clusterConfig, host, c.dir, min(2, cores(t))), 0o644))
	t.Setenv("SLURM_CONF", config)
	run(t, "slurmctld")
	run(t, "slurmd")
	t.Cleanup(func() {
		_ = exec.Command("scancel", "--user=root").Run()
		c.kill("ctl.pid", syscall.SIGKILL)
		c.kill("d.pid", syscall.SIGKILL)
	})
	require.Eventually(t, func() bool {
		out, _ := exec.Command("sinfo", "--noheader", "--format=%T").Output()
		return strings.TrimSpace(string(out)) == "idle"
	}, time.Minute, 200*time.Millisecond, "the node is not up; see the logs in %s", c.dir)
	return c
}

func cores(t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi(strings.TrimSpace(run(t, "nproc")))
	require.NoError(t, err)
	return n
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	require.NoError(t, err, "%s %v: %s", name, args, out)
	return string(out)
}

// kill kills the daemon with a pid file.
func (c *cluster) kill(file string, signal syscall.Signal) {
	text, err := os.ReadFile(filepath.Join(c.dir, file))
	if err != nil {
		return
	}
	if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
		_ = syscall.Kill(pid, signal)
	}
}

// A run whose job ends early is resubmitted and continues; one without progress is reported as failed.
func TestSlurmRunsToCompletion(t *testing.T) {
	startCluster(t)
	command, runs := workers(t, finishes, "[ $(wc -l < starts) -ge 2 ] && { "+finishes+"; } || exit 143", fails)
	dir := filepath.Join(t.TempDir(), "slurm")
	var w watched
	var notes []string
	s := &sweep.Slurm{Command: command, Dir: dir, Name: "x", Poll: 300 * time.Millisecond, Note: func(l string) { notes = append(notes, l) }}
	require.NoError(t, s.Run(t.Context(), runs, w.watch))
	assert.Equal(t, sweep.Done, w.last[0].State)
	assert.Equal(t, sweep.Done, w.last[1].State)
	assert.Equal(t, sweep.Failed, w.last[2].State)
	assert.ErrorContains(t, w.last[2].Err, "no space left on the device:\n  on /data (2 jobs in a row ended without progress; see "+dir)
	assert.Equal(t, 1, starts(t, runs[0]))
	assert.Equal(t, 2, starts(t, runs[1]))
	assert.Regexp(t, `^submitted 3 runs as job array \d+, see `, notes[0])
	all, err := sweep.Results(runs)
	require.NoError(t, err)
	assert.Len(t, all, 2)
}

// A stopped sweep leaves its jobs running; restarted, it follows them and submits none twice.
func TestSlurmSweepIsResumed(t *testing.T) {
	startCluster(t)
	until := "while [ ! -e ../go ]; do sleep 0.1; done\n" + finishes
	command, runs := workers(t, until, until)
	dir := filepath.Join(t.TempDir(), "slurm")
	s := &sweep.Slurm{Command: command, Dir: dir, Name: "x", Poll: 300 * time.Millisecond}
	ctx, cancel := context.WithCancel(t.Context())
	running := func(run int, s sweep.Status) {
		if run == 0 && s.State == sweep.Running && s.Step == 3 {
			cancel()
		}
	}
	require.ErrorIs(t, s.Run(ctx, runs, running), context.Canceled)
	require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(runs[0].Folder), "go"), nil, 0o644))
	var w watched
	require.NoError(t, s.Run(t.Context(), runs, w.watch))
	for i, r := range runs {
		assert.Equal(t, sweep.Done, w.last[i].State)
		assert.Equal(t, 1, starts(t, r))
	}
	submissions, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, submissions, 1)
}

// The failure of a node during a run, daemon and job processes killed, costs only time.
func TestSlurmNodeDies(t *testing.T) {
	c := startCluster(t)
	command, runs := workers(t, "[ $(wc -l < starts) -ge 2 ] || { echo $$ > pid; sleep 600; }\n"+finishes)
	s := &sweep.Slurm{Command: command, Dir: filepath.Join(t.TempDir(), "slurm"), Name: "x", Poll: 300 * time.Millisecond}
	killed := false
	var w watched
	err := s.Run(t.Context(), runs, func(run int, s sweep.Status) {
		w.watch(run, s)
		text, err := os.ReadFile(filepath.Join(runs[0].Folder, "pid"))
		if killed || errors.Is(err, os.ErrNotExist) {
			return
		}
		killed = true
		c.kill("d.pid", syscall.SIGKILL)
		run1(t, "pkill", "-KILL", "slurmstepd")
		run1(t, "kill", "-KILL", strings.TrimSpace(string(text)))
		time.AfterFunc(8*time.Second, func() { _ = exec.Command("slurmd").Run() })
	})
	require.NoError(t, err)
	assert.True(t, killed)
	assert.Equal(t, sweep.Done, w.last[0].State)
	assert.Equal(t, 2, starts(t, runs[0]))
}

// sbatch reads the script's options as they were meant: folders and values with blanks, quotes, % and #, in several arrays.
func TestSlurmTakesAnyName(t *testing.T) {
	startCluster(t)
	command, runs := workers(t, finishes, finishes, finishes)
	dir := filepath.Join(t.TempDir(), `it's 100% "my" #1`, "slurm")
	comment := `it's "100%" #1`
	seen := ""
	var w watched
	s := &sweep.Slurm{
		Command: command, Dir: dir, Name: "a #1 'b'", Poll: 300 * time.Millisecond, ArrayLimit: 2,
		Needs: experiments.Slurm{Sbatch: []string{"--comment=" + comment, "-J the job"}},
		Note:  func(string) { seen += run(t, "scontrol", "show", "job") },
	}
	require.NoError(t, s.Run(t.Context(), runs, w.watch))
	for i := range runs {
		assert.Equal(t, sweep.Done, w.last[i].State)
	}
	assert.Contains(t, seen, "Comment="+comment)
	assert.Contains(t, seen, "JobName=the job")
	for _, log := range []string{"0/0.log", "0/1.log", "1/0.log"} {
		assert.FileExists(t, filepath.Join(dir, log))
	}
}

// run1 runs a command and ignores its failure, which the test would detect otherwise.
func run1(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Logf("%s %v: %v %s", name, args, err, out)
	}
}
