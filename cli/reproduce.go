package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/engram-go/engram/experiments"
	"github.com/engram-go/engram/results"
)

func newReproduce(tool *experiments.Tool) *cobra.Command {
	var budget time.Duration
	var asJSON bool
	data, into := "", filepath.Join("results", "runs")
	cmd := &cobra.Command{
		Use:   "reproduce",
		Short: "List every published figure with its status here, and run what fits a time",
		Long: `Reproduce lists the published figures of results/published.yaml that an experiment file is for, with what the results below
results/runs have of them: reached, below or not run. A figure is reached where the published one is not better than ours by more
than both 95 % intervals together. Where an experiment shows why a figure is below, a line says so. The cost is the mean time of training of the experiment's own runs times their threads, or
that of a similar run of the same network and data by the number of examples (marked with its name), and otherwise unknown.

With --budget it runs experiments one after another until the time is over: first those that were begun, then those that were
never run, then those below the published figure, with the fewest seeds first, and of these the longest. One that is known not to
fit is passed over; those of unknown cost come last. At the end of the time a run is saved, and the next call continues
it. Run folders are NAME/seed-N in results/runs or the folder of --out, with the next seed of the experiment.`,
		Example: `  engram reproduce
  engram reproduce --budget 2h`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("budget") && budget <= 0 {
				return usageError{errors.New("--budget: give a time such as 2h or 30m")}
			}
			claims, err := claimsHere(tool)
			if err != nil {
				return err
			}
			if budget > 0 {
				return reproduce(cmd, claims, into, data, budget)
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), claims)
			}
			tw := newColumns(cmd.OutOrStdout())
			t := results.ClaimsTable(claims)
			for i, c := range t.Columns {
				fmt.Fprint(tw, map[bool]string{true: "\t"}[i > 0], c.Name)
			}
			fmt.Fprintln(tw)
			for _, row := range t.Rows {
				for i, cell := range row {
					fmt.Fprint(tw, map[bool]string{true: "\t"}[i > 0], cell.String())
				}
				fmt.Fprintln(tw)
			}
			if err := tw.Flush(); err != nil {
				return err
			}
			if lines := results.Explanations(claims); lines != nil {
				fmt.Fprintf(cmd.OutOrStdout(), "\nWhy figures are below:\n%s\n", strings.Join(lines, "\n"))
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "\n%s\n", results.CountClaims(claims))
			return err
		},
	}
	cmd.Flags().DurationVar(&budget, "budget", 0, "run experiments for this time, such as 2h")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, also the figures of methods without an experiment")
	cmd.Flags().StringVar(&into, "out", into, "folder for the runs of --budget")
	cmd.Flags().StringVar(&data, "data", data, "folder to look for data sets in")
	return cmd
}

// claimsHere are the claims with the experiment files and results of the working directory.
func claimsHere(tool *experiments.Tool) ([]results.Claim, error) {
	runs, err := results.ReadRuns(os.DirFS("results"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("there is no folder results/runs here: run it in the top folder of the project")
	}
	if err != nil {
		return nil, err
	}
	files, err := experimentFiles(tool, "experiments")
	if err != nil {
		return nil, err
	}
	return results.Claims(runs, files)
}

// experimentFiles reads the files of a folder whose runs are of one experiment.
func experimentFiles(tool *experiments.Tool, folder string) (out []results.ExperimentFile, err error) {
	paths, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		m, err := tool.Matrix(path)
		if err != nil {
			return nil, err
		}
		c := m.Runs[0].Config
		if c.Name != m.Name {
			continue // a grid of experiments
		}
		text, err := c.Encode()
		if err != nil {
			return nil, err
		}
		out = append(out, results.ExperimentFile{Path: filepath.ToSlash(path), Name: c.Name, Network: c.Network, Config: string(text)})
	}
	return out, nil
}

// reproduction is an experiment to run.
type reproduction struct {
	claim   results.Claim
	dir     string
	seed    int
	begun   bool
	minutes float64 // of one core; 0 where unknown
}

// reproductions are the experiments of claims that are not reached, in the order in which they are run: see the command's text.
func reproductions(claims []results.Claim, into string) (out []reproduction) {
	for _, c := range claims {
		if c.File == "" || c.Status == results.Reached || slices.ContainsFunc(out, func(r reproduction) bool { return r.claim.File == c.File }) {
			continue
		}
		r := reproduction{claim: c, minutes: c.CoreMinutes}
		for r.seed = 1; ; r.seed++ {
			r.dir = filepath.Join(into, c.Experiment, fmt.Sprintf("seed-%d", r.seed))
			if _, err := os.Stat(filepath.Join(r.dir, results.FileName)); err != nil {
				break
			}
		}
		_, err := os.Stat(filepath.Join(r.dir, "config.yaml"))
		r.begun = err == nil
		out = append(out, r)
	}
	rank := func(r reproduction) int {
		switch {
		case r.begun:
			return 0
		case r.minutes == 0:
			return math.MaxInt
		}
		return 1 + r.claim.Seeds
	}
	slices.SortStableFunc(out, func(a, b reproduction) int {
		if x, y := rank(a), rank(b); x != y {
			return map[bool]int{true: -1, false: 1}[x < y]
		}
		return int(math.Round(b.minutes - a.minutes))
	})
	return out
}

// stopTime is how long a run may take to save itself.
const stopTime = 5 * time.Minute

// reproduce runs experiments until the time is over. A run that fails does not stop the others.
func reproduce(cmd *cobra.Command, claims []results.Claim, into, data string, budget time.Duration) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	end := time.Now().Add(budget)
	ctx, cancel := context.WithDeadline(cmd.Context(), end)
	defer cancel()
	var failed []error
	ran := 0
	for _, r := range reproductions(claims, into) {
		left := time.Until(end)
		if ctx.Err() != nil {
			break
		}
		if !r.begun && r.minutes > left.Minutes() {
			continue
		}
		args := []string{"run", r.claim.File, "--seed", fmt.Sprint(r.seed), "--out", r.dir}
		if r.begun {
			args = []string{"resume", r.dir}
		}
		if data != "" {
			args = append(args, "--data", data)
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "%s, seed %d: %s; %s core-minutes; %s left\n", r.claim.Experiment, r.seed,
			map[bool]string{true: "continued", false: r.claim.Status}[r.begun], r.claim.Cost(), left.Round(time.Second))
		one := exec.CommandContext(ctx, program, args...)
		one.Stdout, one.Stderr = cmd.OutOrStdout(), cmd.ErrOrStderr()
		one.Cancel = func() error { return one.Process.Signal(syscall.SIGINT) } // upon which a run saves itself
		one.WaitDelay = stopTime
		ran++
		if err := one.Run(); err != nil && ctx.Err() == nil {
			failed = append(failed, fmt.Errorf("%s, seed %d: %w", r.claim.Experiment, r.seed, err))
		}
	}
	if ran == 0 {
		fmt.Fprintln(cmd.ErrOrStderr(), "nothing was run: no experiment below its published figure is known to fit the time; give a longer --budget")
	}
	if err := cmd.Context().Err(); err != nil {
		return err
	}
	return errors.Join(failed...)
}
