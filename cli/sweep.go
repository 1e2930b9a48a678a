package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/engram-go/engram/experiments"
	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/experiments/sweep"
	"github.com/engram-go/engram/results"
)

// sweepFlags are those of sweep alone.
type sweepFlags struct {
	out     string
	workers int
	on      string
	tests   string
	dryRun  bool
	needs   experiments.Slurm
	poll    time.Duration
	note    func(string) // receives what Slurm should tell the user; nil where nothing is shown
	search

	arrayLimit int
}

// search are the flags of a search other than the grid.
type search struct {
	random  int
	seed    uint64
	halving int64
	keep    float64
}

// The values of --on.
const (
	onHere  = "here"
	onSlurm = "slurm"
)

func newSweep(tool *experiments.Tool) *cobra.Command {
	var flags runFlags
	var own sweepFlags
	cmd := &cobra.Command{
		Use:   "sweep FILE",
		Short: "Run all runs of an experiment file's matrix",
		Long: `Sweep runs every run of the matrix of an experiment file, as many at a time as fit the cores. All are checked before the
first one starts. A failed run does not stop the others. Ctrl-C saves them all; the same command again continues those that are
not finished, and tries those again that failed.

--random N draws N different experiments from the matrix instead of running all combinations, for each key one of its values or a
number of its range, as in optimizer.rate: {from: 1e-4, to: 1e-2, scale: log}. Each is run with all seeds of the matrix.

--halving STEPS trains all experiments for as many steps, then those that are best on validation (the share of --keep) for as many
times more, and so on; only the last ones are trained to their end and tested. Runs are paused and continued, never trained twice:
a run that is kept has the same result as without the search. Both searches choose by validation alone, are repeatable, and are
continued by the same command. OUT/search.json records them.

With --on slurm the runs are the elements of a job array. They are followed until all are finished; a job that was pre-empted,
or ended before its run did, is submitted again and continues from the checkpoint. The program and the folders must be found
under the same paths on every node. More runs than the cluster lets an array have make several arrays, one after another where
--at-once bounds them. Ctrl-C leaves the jobs running, and the same command follows them again. --dry-run refuses what submission
refuses, and prints the scripts that would be submitted.`,
		Example: `  engram sweep mine.yaml
  engram sweep mine.yaml --workers 1 --set train.steps=500
  engram sweep mine.yaml --random 27 --halving 300
  engram sweep mine.yaml --on slurm --partition gpu --gpus 1 --time 4:00:00 --dry-run`,
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if own.on != onHere && own.on != onSlurm {
				return usageError{fmt.Errorf("--on %s: want %s or %s", own.on, onHere, onSlurm)}
			}
			if own.arrayLimit < 0 {
				return usageError{fmt.Errorf("--array-limit %d: want at least 1, or 0 for the cluster's", own.arrayLimit)}
			}
			if _, ok := shownTests[own.tests]; !ok {
				return usageError{fmt.Errorf("--tests %s: want none, best or all", own.tests)}
			}
			if err := own.search.check(cmd); err != nil {
				return usageError{err}
			}
			overrides, err := flags.overrides(cmd)
			if err != nil {
				return err
			}
			return own.run(tool, cmd, &flags, args[0], overrides)
		},
	}
	flags.register(cmd)
	flags.registerConfig(cmd)
	f := cmd.Flags()
	f.StringVar(&own.out, "out", "", "folder of the run folders (default runs/NAME)")
	f.IntVar(&own.workers, "workers", 0, "runs at a time on this machine (default as many as fit its cores)")
	f.StringVar(&own.on, "on", onHere, "where to run: here or slurm")
	f.StringVar(&own.tests, "tests", "best", "whose test figures to print: none, best (the experiment that is best on validation) or all")
	f.IntVar(&own.random, "random", 0, "run as many experiments, drawn at random from the matrix, instead of all")
	f.Uint64Var(&own.search.seed, "search-seed", 1, "of --random: the seed of the draws")
	f.Int64Var(&own.halving, "halving", 0, "successive halving: the steps after which the better experiments are chosen for the first time")
	f.Float64Var(&own.keep, "keep", 1./3, "of --halving: the share of experiments that is trained further each time")
	f.BoolVar(&own.dryRun, "dry-run", false, "print what would be run, of slurm the job script, and run nothing")
	f.StringVar(&own.needs.Partition, "partition", "", "of slurm: the partition")
	f.StringVar(&own.needs.Time, "time", "", "of slurm: the time of a job, as sbatch reads it")
	f.StringVar(&own.needs.Memory, "memory", "", "of slurm: the memory of a job, such as 4G")
	f.IntVar(&own.needs.CPUs, "cpus", 0, "of slurm: the cores of a job (default the file's threads)")
	f.IntVar(&own.needs.GPUs, "gpus", 0, "of slurm: the GPUs of a job")
	f.IntVar(&own.needs.AtOnce, "at-once", 0, "of slurm: jobs at a time, at most")
	f.StringArrayVar(&own.needs.Sbatch, "sbatch", nil, "of slurm: a further option of sbatch, such as --account=lab; may be repeated")
	f.IntVar(&own.arrayLimit, "array-limit", 0, "of slurm: elements of a job array, at most; more runs make several arrays (default the cluster's limit)")
	f.DurationVar(&own.poll, "poll", 10*time.Second, "of slurm: the time between two looks at the queue")
	return cmd
}

func (s *sweepFlags) run(tool *experiments.Tool, cmd *cobra.Command, flags *runFlags, file string, overrides []schema.Override) error {
	m, err := s.matrix(tool, file, overrides...)
	if err != nil {
		return err
	}
	if len(m.Ranges) > 0 && s.random == 0 {
		return usageError{fmt.Errorf("%s gives a range for %s, from which --random N draws", file, strings.Join(m.Ranges, " and "))}
	}
	threads := m.Runs[0].Config.Threads
	if threads == 0 {
		// All cores for each of several runs at a time would be too many, and what a run computes on is part of its result.
		threads = 1
		o, err := schema.ParseOverride("threads=1")
		if err != nil {
			return err
		}
		if m, err = s.matrix(tool, file, append(overrides, o)...); err != nil {
			return err
		}
	}
	if s.out == "" {
		s.out = filepath.Join("runs", m.Name)
	}
	var runs []sweep.Run
	for _, r := range m.Runs {
		runs = append(runs, sweep.Run{Name: r.Folder, Folder: filepath.Join(s.out, r.Folder)})
	}
	s.fill(cmd, m.Slurm)
	engine, err := s.engine(cmd, flags, m.Name, threads, 0)
	if err != nil {
		return err
	}
	h, err := s.newHalving(m, func(until int64) (sweep.Engine, error) { return s.engine(cmd, flags, m.Name, threads, until) })
	if err != nil {
		return usageError{fmt.Errorf("--halving: %w", err)}
	}
	var bad []error
	if s.dryRun {
		if h != nil { // what is run first
			engine = h.Engine(h.First)
		}
		for i, r := range m.Runs {
			bad = append(bad, tool.CheckCreate(runs[i].Folder, r.Config))
		}
		if err := errors.Join(bad...); err != nil {
			return err
		}
		return printPlan(cmd, engine, runs)
	}
	for i, r := range m.Runs {
		bad = append(bad, tool.Create(runs[i].Folder, r.Config))
	}
	if err := errors.Join(bad...); err != nil {
		return err
	}
	watch, end := func(int, sweep.Status) {}, func() {}
	failed := map[int]error{}
	if !flags.quiet && !flags.json {
		o := newOverview(cmd.ErrOrStderr(), runs)
		watch, end = o.watch, o.end
		s.note = func(line string) { o.say("%s", line) }
		if slurm, ok := engine.(*sweep.Slurm); ok {
			slurm.Note = s.note
		}
	}
	told := func(i int, st sweep.Status) {
		delete(failed, i)
		if st.State == sweep.Failed {
			failed[i] = st.Err
		}
		watch(i, st)
	}
	ended := runs
	var rungs []results.Rung
	if h == nil {
		err = engine.Run(cmd.Context(), runs, told)
	} else {
		var numbers []int
		rungs, numbers, err = h.Run(cmd.Context(), runs, told)
		ended = nil
		for _, i := range numbers {
			ended = append(ended, runs[i])
		}
	}
	end()
	if cmd.Context().Err() != nil {
		return &interruptedSweep{s.on == onSlurm, err}
	}
	if err != nil {
		return err
	}
	if err := s.record(runs, rungs); err != nil {
		return err
	}
	all, err := sweep.Results(ended)
	if err == nil && h != nil && !flags.json {
		_, err = fmt.Fprintln(cmd.OutOrStdout(), results.RungTable(rungs).Plain(terminalWidth(cmd.OutOrStdout())))
	}
	if err == nil && (h == nil || len(all) > 0) {
		err = s.print(cmd, flags, all)
	}
	if err != nil {
		return err
	}
	for i, r := range runs {
		if failed[i] != nil {
			bad = append(bad, fmt.Errorf("%s: %w", r.Folder, failed[i]))
		}
	}
	if err := errors.Join(bad...); err != nil {
		return fmt.Errorf("%d of %s failed; the same command again tries them again:\n%w", len(failed), countOf(len(runs), "run"), err)
	}
	return nil
}

// printPlan prints what would be run: the folders, or of Slurm each job script with the folders of its elements.
func printPlan(cmd *cobra.Command, engine sweep.Engine, runs []sweep.Run) error {
	slurm, ok := engine.(*sweep.Slurm)
	if !ok {
		for _, r := range runs {
			fmt.Fprintln(cmd.OutOrStdout(), r.Folder)
		}
		return nil
	}
	submissions, err := slurm.Plan(cmd.Context(), runs)
	if err != nil {
		return err
	}
	for i, submission := range submissions {
		if i > 0 {
			fmt.Fprintln(cmd.OutOrStdout())
		}
		fmt.Fprint(cmd.OutOrStdout(), submission.Script)
		for element, folder := range submission.Folders {
			fmt.Fprintf(cmd.OutOrStdout(), "# element %d: %s\n", element, folder)
		}
	}
	if len(submissions) == 0 {
		fmt.Fprintln(cmd.ErrOrStderr(), "nothing is to be submitted: every run is finished or in the queue")
	}
	return nil
}

// print prints the results as JSON, or ranked by validation.
func (s *sweepFlags) print(cmd *cobra.Command, flags *runFlags, all []*results.Result) error {
	if flags.json {
		return flags.print(cmd, all)
	}
	var runs []results.Run
	for _, r := range all {
		runs = append(runs, results.Run{Result: r})
	}
	t, err := results.SweepTable(runs, shownTests[s.tests])
	if err == nil {
		_, err = fmt.Fprint(cmd.OutOrStdout(), t.Plain(terminalWidth(cmd.OutOrStdout())))
	}
	return err
}

// shownTests are the values of --tests.
var shownTests = map[string]results.ShowTests{"none": results.TestsOfNone, "best": results.TestsOfBest, "all": results.TestsOfAll}

// fill takes what the flags leave open from the file.
func (s *sweepFlags) fill(cmd *cobra.Command, file experiments.Slurm) {
	given := cmd.Flags().Changed
	for _, f := range []struct {
		name string
		into *string
		file string
	}{{"partition", &s.needs.Partition, file.Partition}, {"time", &s.needs.Time, file.Time}, {"memory", &s.needs.Memory, file.Memory}} {
		if !given(f.name) {
			*f.into = f.file
		}
	}
	for _, f := range []struct {
		name string
		into *int
		file int
	}{{"cpus", &s.needs.CPUs, file.CPUs}, {"gpus", &s.needs.GPUs, file.GPUs}, {"at-once", &s.needs.AtOnce, file.AtOnce}} {
		if !given(f.name) {
			*f.into = f.file
		}
	}
	s.needs.Sbatch = append(file.Sbatch, s.needs.Sbatch...)
}

// engine is what runs the runs.
// until is the step at which runs are paused, 0 for none.
func (s *sweepFlags) engine(cmd *cobra.Command, flags *runFlags, name string, threads int, until int64) (sweep.Engine, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("sweep: %w", err)
	}
	command := []string{program, "resume", "--json"}
	if flags.data != "" {
		data, err := filepath.Abs(flags.data)
		if err != nil {
			return nil, fmt.Errorf("--data: %w", err)
		}
		command = append(command, "--data", data)
	}
	part := "slurm"
	if until > 0 {
		command = append(command, "--until", strconv.FormatInt(until, 10))
		part = filepath.Join(part, fmt.Sprintf("until-%d", until))
	}
	if s.on == onHere {
		if s.workers == 0 {
			s.workers = runtime.NumCPU() / threads
		}
		return &sweep.Local{Command: command, Name: cmd.Root().DisplayName(), Workers: s.workers}, nil
	}
	dir, err := filepath.Abs(filepath.Join(s.out, part))
	if err != nil {
		return nil, fmt.Errorf("--out: %w", err)
	}
	if s.needs.CPUs == 0 {
		s.needs.CPUs = threads
	}
	return &sweep.Slurm{Command: command, Dir: dir, Name: name, Needs: s.needs, Poll: s.poll, Note: s.note, ArrayLimit: s.arrayLimit}, nil
}

// interruptedSweep is the error of a sweep that the user has stopped.
type interruptedSweep struct {
	slurm bool
	err   error
}

// Error implements error.
func (e *interruptedSweep) Error() string {
	if e.slurm {
		return "interrupted; the jobs continue: run the same command again to follow them, or scancel to end them"
	}
	return "interrupted; everything is saved; run the same command again to continue"
}

// Unwrap gives the context's error.
func (e *interruptedSweep) Unwrap() error { return e.err }
