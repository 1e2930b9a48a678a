package sweep

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/engram-go/engram/experiments"
	"github.com/engram-go/engram/nn"
)

// Slurm runs on a cluster, as elements of a job array.
type Slurm struct {
	// Command is that of [Local]. It and the run folders must have the same path on every node.
	Command []string
	// Dir is the folder of job scripts and job output, where a restarted sweep finds its jobs.
	Dir   string
	Name  string // of the jobs
	Needs experiments.Slurm
	Poll  time.Duration // interval of queue polls; default 10 seconds
	// ArrayLimit is the largest number of elements of a job array; more runs are divided into several arrays. 0 asks the
	// cluster.
	ArrayLimit int
	// Tries is the maximum number of consecutive jobs of a run without progress; default 2. A job that made progress
	// before it ended, because of a time limit or a node failure, is always followed by another.
	Tries int
	Note  func(line string) // receives notes for the user; may be nil
}

// The files of one submission, in a subfolder of Dir named by its number.
const (
	fileScript = "job.sh"
	fileRuns   = "runs.txt" // the run folder of each element of the array, one per line
	fileJob    = "job"      // the array's job number
)

// script returns the job script for the runs of submission number n.
func (s *Slurm) script(n, runs int) string {
	dir := s.submission(n)
	var b strings.Builder
	option := func(name, value string) { fmt.Fprintf(&b, "#SBATCH --%s=%s\n", name, quoteOption(value)) }
	flag := func(name string) { fmt.Fprintf(&b, "#SBATCH --%s\n", name) }
	b.WriteString("#!/bin/bash\n")
	option("job-name", strings.Join(strings.Fields(s.Name), "-"))
	array := fmt.Sprintf("0-%d", runs-1)
	if s.Needs.AtOnce > 0 {
		array += fmt.Sprintf("%%%d", s.Needs.AtOnce)
	}
	option("array", array)
	option("output", filepath.Join(strings.ReplaceAll(dir, "%", "%%"), "%a.log"))
	option("open-mode", "append")
	// The checkpoint preserves the progress of a pre-empted job, or of one whose node failed.
	flag("requeue")
	// Before the time limit the process is asked to save and exit.
	option("signal", "B:TERM@60")
	option("nodes", "1")
	option("ntasks", "1")
	option("cpus-per-task", strconv.Itoa(max(1, s.Needs.CPUs)))
	for _, o := range []struct{ name, value string }{{"partition", s.Needs.Partition}, {"time", s.Needs.Time}, {"mem", s.Needs.Memory}} {
		if o.value != "" {
			option(o.name, o.value)
		}
	}
	if s.Needs.GPUs > 0 {
		option("gpus", strconv.Itoa(s.Needs.GPUs))
	}
	for _, e := range s.Needs.Sbatch {
		name, value := splitOption(e)
		switch {
		case value == "":
			fmt.Fprintf(&b, "#SBATCH %s\n", quoteOption(name))
		case strings.HasPrefix(name, "--"):
			fmt.Fprintf(&b, "#SBATCH %s=%s\n", name, quoteOption(value))
		default:
			fmt.Fprintf(&b, "#SBATCH %s %s\n", name, quoteOption(value))
		}
	}
	words := make([]string, len(s.Command))
	for i, w := range s.Command {
		words[i] = quote(w)
	}
	fmt.Fprintf(&b, `
run=$(sed -n "$((SLURM_ARRAY_TASK_ID + 1))p" %s)
exec %s "$run"
`, quote(filepath.Join(dir, fileRuns)), strings.Join(words, " "))
	return b.String()
}

// quote quotes a text as a word of a shell command.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// quoteOption quotes a text without line breaks as the value of an #SBATCH option. Quotation marks group a text with blanks, a
// backslash within them escapes the next character, and # outside of them begins a comment.
func quoteOption(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune(`\"'#`, r) }) {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// splitOption splits an option as users write it, --name=value, --name value, -n value or -nvalue, into its name and its value.
// Of -nvalue it leaves both in the name.
func splitOption(s string) (name, value string) {
	s = strings.TrimSpace(s)
	i := strings.IndexAny(s, "= \t")
	if i < 0 || !strings.HasPrefix(s, "--") && s[i] == '=' {
		return s, ""
	}
	return s[:i], strings.TrimSpace(s[i+1:])
}

// ownOptions are those of which a sweep depends on its own value.
var ownOptions = []string{"--array", "--output", "--wrap", "--parsable", "--test-only", "--wait", "-a", "-o", "-W"}

// check refuses what no job can be submitted with.
func (s *Slurm) check(runs []Run) error {
	for _, r := range runs {
		if strings.Contains(r.Folder, "\n") {
			return fmt.Errorf("slurm: %q cannot be the folder of a run: it has a line break; choose another --out", r.Folder)
		}
	}
	if strings.ContainsAny(s.Dir, "\n\r\\") {
		return fmt.Errorf("slurm: %q cannot be the folder of the jobs' output: in it, a backslash or a line break has a meaning of its own to sbatch; choose another --out", s.Dir)
	}
	for _, o := range []struct{ name, value string }{{"name", s.Name}, {"--partition", s.Needs.Partition}, {"--time", s.Needs.Time}, {"--memory", s.Needs.Memory}} {
		if strings.ContainsAny(o.value, "\n\r") {
			return fmt.Errorf("slurm: %s %q has a line break", o.name, o.value)
		}
	}
	for _, e := range s.Needs.Sbatch {
		name, _ := splitOption(e)
		switch {
		case strings.ContainsAny(e, "\n\r"):
			return fmt.Errorf("slurm: --sbatch %q has a line break: give one option at a time", e)
		case !strings.HasPrefix(name, "-") || strings.Trim(name, "-") == "":
			return fmt.Errorf("slurm: --sbatch %q is no option of sbatch: give it with its hyphens, as in --sbatch --account=lab", e)
		case slices.Contains(ownOptions, name) || !strings.HasPrefix(name, "--") && slices.Contains(ownOptions, name[:2]):
			return fmt.Errorf("slurm: --sbatch %q: a sweep sets %s itself; leave it out", e, name)
		}
	}
	return nil
}

func (s *Slurm) submission(n int) string { return filepath.Join(s.Dir, strconv.Itoa(n)) }

// job identifies a run in the queue.
type job struct {
	submission int
	array      string // the array's job number
	element    int
}

// slurmRun is an unfinished run.
type slurmRun struct {
	number  int // index among all runs
	job     *job
	missing int   // consecutive polls in which its job was not in the queue
	began   int64 // the step at which its job began
	vain    int   // consecutive jobs without progress
}

// Run implements [Engine]. It follows jobs of an earlier Run that are still in the queue instead of resubmitting
// them. If the context is cancelled, jobs continue without the sweep.
func (s *Slurm) Run(ctx context.Context, runs []Run, watch Watcher) error {
	var open []*slurmRun
	if err := s.check(runs); err != nil {
		return err
	}
	for i, r := range runs {
		done, err := r.finished()
		if done || err != nil {
			watch(i, r.status(err))
			continue
		}
		open = append(open, &slurmRun{number: i})
	}
	if err := s.adopt(ctx, runs, open); err != nil {
		return err
	}
	deaf := false
	for first := true; len(open) > 0; first = false {
		if !first {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(s.poll()):
			}
		}
		queue, err := s.queue(ctx)
		if err != nil {
			// If the controller does not answer, the jobs continue.
			if ctx.Err() != nil || first {
				return errors.Join(ctx.Err(), err)
			}
			if !deaf {
				s.note(fmt.Sprintf("%v; asking again until it answers", err))
			}
			deaf = true
			continue
		}
		deaf = false
		open = slices.DeleteFunc(open, func(r *slurmRun) bool {
			status, over := s.look(r, runs[r.number], queue)
			watch(r.number, status)
			return over
		})
		if err := s.submit(ctx, runs, open); err != nil {
			return err
		}
	}
	return nil
}

func (s *Slurm) poll() time.Duration {
	if s.Poll > 0 {
		return s.Poll
	}
	return 10 * time.Second
}

func (s *Slurm) note(line string) {
	if s.Note != nil {
		s.Note(line)
	}
}

// look returns the status of a run, and whether it is over. A run whose job ended without a result loses its job, so
// that it is resubmitted, unless it has used its tries.
func (s *Slurm) look(r *slurmRun, run Run, queue map[job]place) (status Status, over bool) {
	if done, err := run.finished(); done || err != nil {
		return run.status(err), true
	}
	if r.job == nil {
		return Status{}, false
	}
	log := filepath.Join(s.submission(r.job.submission), strconv.Itoa(r.job.element)+".log")
	status, last := s.readLog(log)
	at, queued := queue[job{array: r.job.array, element: r.job.element}]
	switch {
	case queued && at.running():
		status.State, r.missing = Running, 0
		return status, false
	case queued:
		r.missing = 0
		return Status{Step: status.Step, Steps: status.Steps, Doing: at.why()}, false
	}
	// The folder may be on another machine, where the node's writes take a while to become visible.
	if r.missing++; r.missing < 3 {
		status.State = Running
		return status, false
	}
	r.missing = 0
	if r.vain++; status.Step > r.began {
		r.vain = 0
	}
	r.began = max(r.began, status.Step)
	tries := s.Tries
	if tries == 0 {
		tries = 2
	}
	if r.vain < tries {
		r.job = nil
		return Status{Step: status.Step, Steps: status.Steps, Doing: "to be resubmitted"}, false
	}
	err := fmt.Errorf("%d jobs in a row ended without progress; see %s", r.vain, log)
	if last != "" {
		err = fmt.Errorf("%s (%w)", last, err)
	}
	status.State, status.Err = Failed, err
	return status, true
}

// readLog reads the end of what a job has said.
func (s *Slurm) readLog(path string) (status Status, last string) {
	f, err := os.Open(path)
	if err != nil {
		return Status{}, ""
	}
	defer f.Close()
	const tail = 16 << 10
	if info, err := f.Stat(); err == nil && info.Size() > tail {
		if _, err := f.Seek(-tail, io.SeekEnd); err != nil {
			return Status{}, ""
		}
	}
	last, _ = follow(f, io.Discard, filepath.Base(s.Command[0]), func(s Status) { status = s })
	return status, last
}

// adopt finds the jobs of an earlier sweep of these runs.
func (s *Slurm) adopt(ctx context.Context, runs []Run, open []*slurmRun) error {
	n, err := s.submissions()
	if err != nil || n == 0 {
		return err
	}
	queue, err := s.queue(ctx)
	if err != nil {
		return err
	}
	for i := range n {
		array, err := os.ReadFile(filepath.Join(s.submission(i), fileJob))
		if errors.Is(err, fs.ErrNotExist) { // not submitted
			continue
		}
		folders, err2 := os.ReadFile(filepath.Join(s.submission(i), fileRuns))
		if err := errors.Join(err, err2); err != nil {
			return fmt.Errorf("slurm: %w", err)
		}
		for element, folder := range strings.Split(strings.TrimSpace(string(folders)), "\n") {
			j := job{array: strings.TrimSpace(string(array)), element: element}
			if _, queued := queue[j]; !queued {
				continue
			}
			for _, r := range open {
				if absolute(runs[r.number].Folder) == folder {
					j.submission = i
					r.job = &j
				}
			}
		}
	}
	return nil
}

// submissions returns the number of submissions in Dir.
func (s *Slurm) submissions() (int, error) {
	entries, err := os.ReadDir(s.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("slurm: %w", err)
	}
	return len(entries), nil
}

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// defaultArrayLimit is the most elements of a job array where the cluster says nothing else.
const defaultArrayLimit = 1000

var maxArraySize = regexp.MustCompile(`(?m)^\s*MaxArraySize\s*=\s*(\d+)`)

// arrayLimit returns the most elements of a job array.
func (s *Slurm) arrayLimit(ctx context.Context) int {
	if s.ArrayLimit > 0 {
		return s.ArrayLimit
	}
	out, err := command(ctx, "scontrol", "show", "config")
	if err != nil {
		return defaultArrayLimit
	}
	// The highest index is one less than MaxArraySize, so that there are as many elements, counted from 0.
	if m := maxArraySize.FindStringSubmatch(out); m != nil {
		if n, err := strconv.Atoi(m[1]); err == nil && n > 0 {
			return n
		}
	}
	return defaultArrayLimit
}

// Submission is what would be submitted: a job script, and the folders of its elements.
type Submission struct {
	Script  string
	Folders []string
}

// Plan returns what [Slurm.Run] would submit for the runs at first, and refuses what it refuses. Runs that are finished or whose
// jobs are in the queue are left out; where there is no Slurm on this machine, nothing is taken to be in the queue.
func (s *Slurm) Plan(ctx context.Context, runs []Run) ([]Submission, error) {
	if err := s.check(runs); err != nil {
		return nil, err
	}
	var open []*slurmRun
	for i, r := range runs {
		done, err := r.finished()
		if err != nil {
			return nil, err
		}
		if !done {
			open = append(open, &slurmRun{number: i})
		}
	}
	if _, err := exec.LookPath("squeue"); err == nil {
		if err := s.adopt(ctx, runs, open); err != nil {
			return nil, err
		}
	}
	n, err := s.submissions()
	if err != nil {
		return nil, err
	}
	var out []Submission
	for chunk := range slices.Chunk(withoutJob(open), s.arrayLimit(ctx)) {
		one := Submission{Script: s.script(n, len(chunk))}
		for _, r := range chunk {
			one.Folders = append(one.Folders, absolute(runs[r.number].Folder))
		}
		out = append(out, one)
		n++
	}
	return out, nil
}

func withoutJob(open []*slurmRun) (out []*slurmRun) {
	for _, r := range open {
		if r.job == nil {
			out = append(out, r)
		}
	}
	return out
}

// submit gives a job to every run that has none.
func (s *Slurm) submit(ctx context.Context, runs []Run, open []*slurmRun) error {
	without := withoutJob(open)
	if len(without) == 0 {
		return nil
	}
	before := ""
	for chunk := range slices.Chunk(without, s.arrayLimit(ctx)) {
		var err error
		if before, err = s.submitArray(ctx, runs, chunk, before); err != nil {
			return err
		}
	}
	return nil
}

// submitArray submits a job array of runs and returns its number. Where only so many jobs may run at a time, it waits for the
// array before it.
func (s *Slurm) submitArray(ctx context.Context, runs []Run, without []*slurmRun, before string) (array string, err error) {
	n, err := s.submissions()
	if err != nil {
		return "", err
	}
	dir := s.submission(n)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("slurm: %w", err)
	}
	var folders strings.Builder
	for _, r := range without {
		fmt.Fprintln(&folders, absolute(runs[r.number].Folder))
	}
	for name, text := range map[string]string{fileRuns: folders.String(), fileScript: s.script(n, len(without))} {
		if err := nn.WriteFile(filepath.Join(dir, name), strings.NewReader(text)); err != nil {
			return "", fmt.Errorf("slurm: %w", err)
		}
	}
	args := []string{"--parsable"}
	if s.Needs.AtOnce > 0 && before != "" {
		args = append(args, "--dependency=afterany:"+before)
	}
	out, err := command(ctx, "sbatch", append(args, filepath.Join(dir, fileScript))...)
	if err != nil {
		return "", err
	}
	array, _, _ = strings.Cut(strings.TrimSpace(out), ";") // a cluster's name may follow
	if err := nn.WriteFile(filepath.Join(dir, fileJob), strings.NewReader(array+"\n")); err != nil {
		return "", fmt.Errorf("slurm: job %s is submitted, but not recorded: %w", array, err)
	}
	s.note(fmt.Sprintf("submitted %d runs as job array %s, see %s", len(without), array, dir))
	for i, r := range without {
		r.job = &job{n, array, i}
	}
	return array, nil
}

// place is the state of a job in the queue.
type place struct{ state, reason string }

func (p place) running() bool { return p.state == "RUNNING" || p.state == "COMPLETING" }

func (p place) why() string {
	text := strings.ToLower(p.state)
	if p.reason != "" && p.reason != "None" {
		text += ": " + p.reason
	}
	return text
}

// queue returns this user's jobs. Its keys have no submission.
func (s *Slurm) queue(ctx context.Context) (map[job]place, error) {
	out, err := command(ctx, "squeue", "--noheader", "--array", "--me", "--format=%F|%K|%T|%r")
	if err != nil {
		return nil, err
	}
	return parseQueue(out)
}

// parseQueue parses lines of array, element, state and reason.
func parseQueue(text string) (map[job]place, error) {
	queue := map[job]place{}
	for line := range strings.Lines(text) {
		fields := strings.SplitN(strings.TrimSpace(line), "|", 4)
		if len(fields) != 4 {
			return nil, fmt.Errorf("slurm: squeue returned %q, want four fields", strings.TrimSpace(line))
		}
		element, err := strconv.Atoi(fields[1])
		if err != nil { // not of a job array
			continue
		}
		queue[job{array: fields[0], element: element}] = place{fields[2], fields[3]}
	}
	return queue, nil
}

// command runs one of Slurm's programs.
func command(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if errors.Is(err, exec.ErrNotFound) {
		return "", fmt.Errorf("slurm: %s is not on this machine: sweep where jobs can be submitted, or here without --on slurm", name)
	}
	if err != nil {
		return "", fmt.Errorf("slurm: %s: %w: %s", name, err, strings.TrimSpace(stderr.String()))
	}
	return string(out), nil
}
