package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/engram-go/engram/results"
)

func newCompare() *cobra.Command {
	return &cobra.Command{
		Use:   "compare RUN RUN",
		Short: "Compare two runs, or two experiments over seeds, test by test",
		Long: `Compare prints both figures and their difference for every test that both sides have. The method may differ: training,
precision and adaptation. If the tests differ, it says in what.

A side is a run folder or its result.json, or the folder of an experiment with several seeds: run folders below it that differ in
their seed alone.

Two runs are compared on the same test episodes: the difference is the mean over episodes of the first's score less the second's,
with its 95 % interval. That interval is about these two trained models. It does not include the variation of training, by which two
seeds of one experiment differ too. To compare methods, give experiments with several seeds: they are paired by seed, and the interval
is over seeds, by Student's t.`,
		Example: `  engram compare runs/protonet-omniglot/20260101-120000 runs/matchingnet-omniglot/20260101-130000
  engram compare runs/sweep/way=5 runs/sweep/way=20`,
		Args: args(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			var sides [2]results.Experiment
			for i, path := range args {
				var err error
				if sides[i], err = comparedSide(path); err != nil {
					return err
				}
			}
			return printComparison(cmd.OutOrStdout(), sides[0], sides[1], args)
		},
	}
}

// comparedSide reads a run, or the runs of one experiment.
func comparedSide(path string) (results.Experiment, error) {
	runs, err := readSide(path)
	if err != nil {
		return results.Experiment{}, err
	}
	all, err := results.Experiments(runs)
	if err != nil {
		return results.Experiment{}, err
	}
	if len(all) > 1 {
		return results.Experiment{}, fmt.Errorf("compare: %s has runs of %d experiments, %s and %s among them; name the folder of one",
			path, len(all), all[0].Label, all[1].Label)
	}
	return all[0], nil
}

func readSide(path string) ([]results.Run, error) {
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		return results.ReadFolder(path)
	}
	r, err := results.Read(path)
	if err != nil {
		return nil, err
	}
	return []results.Run{{Path: filepath.ToSlash(path), Result: r}}, nil
}

// printComparison prints one row for each test that both sides have, and says what the interval is over.
func printComparison(w io.Writer, a, b results.Experiment, paths []string) error {
	same, err := label(&a, &b)
	if err != nil {
		return err
	}
	if same && (len(a.Runs) > 1 || len(b.Runs) > 1) {
		return fmt.Errorf("compare: %s and %s hold runs of one experiment, %s; name another experiment", paths[0], paths[1], a.Label)
	}
	if len(a.Runs) > 1 || len(b.Runs) > 1 {
		return printSeeds(w, a, b, paths)
	}
	all := results.Compare(a.Runs[0].Result, b.Runs[0].Result)
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "the runs have no test in common")
		return err
	}
	heads := [2]string{fmt.Sprintf("%s, seed %d", a.Label, a.Runs[0].Seed), fmt.Sprintf("%s, seed %d", b.Label, b.Runs[0].Seed)}
	if heads[0] == heads[1] {
		heads = [2]string{heads[0] + " (" + paths[0] + ")", heads[1] + " (" + paths[1] + ")"}
	}
	names := results.Distinct(a.Runs[0].Figures)
	tw := newColumns(w)
	fmt.Fprintf(tw, "test\t%s\t%s\tdifference (95 %% interval)\n", heads[0], heads[1])
	paired := false
	for _, c := range all {
		difference := c.Why
		if same && a.Runs[0].Seed != b.Runs[0].Seed {
			difference = "not compared: two seeds of one experiment"
		}
		if difference == "" {
			paired = true
			difference = fmt.Sprintf("%+.2f ± %.2f, %s", c.Difference, c.Interval, countOf(len(c.A.Scores.Values), "pair"))
		}
		name := c.A.Name
		for i := range a.Runs[0].Figures {
			if c.A == &a.Runs[0].Figures[i] {
				name = names[i]
			}
		}
		fmt.Fprintf(tw, "%s, %s\t%s\t%s\t%s\n", name, c.A.Metric, c.A.Text(), c.B.Text(), difference)
	}
	if err := tw.Flush(); err != nil || !paired {
		return err
	}
	_, err = fmt.Fprintln(w, `
The interval is over the test examples of two trained models. It does not include the variation of training: two seeds of one
experiment differ too. To compare methods, train several seeds of each and compare the folders that hold them.`)
	return err
}

// label gives the sides labels that tell them apart where their settings do, and reports whether they are one experiment.
func label(a, b *results.Experiment) (same bool, err error) {
	all, err := results.Experiments(slices.Concat(a.Runs, b.Runs))
	if err != nil {
		return false, err
	}
	if len(all) == 1 {
		return true, nil
	}
	a.Label, b.Label = all[0].Label, all[1].Label
	return false, nil
}

// printSeeds prints one row for each test that two experiments have, over seeds.
func printSeeds(w io.Writer, a, b results.Experiment, paths []string) error {
	all := results.CompareExperiments(a, b)
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "the experiments have no test in common")
		return err
	}
	heads := [2]string{a.Label, b.Label}
	if heads[0] == heads[1] {
		heads = [2]string{heads[0] + " (" + paths[0] + ")", heads[1] + " (" + paths[1] + ")"}
	}
	tw := newColumns(w)
	fmt.Fprintf(tw, "test\t%s, %s\t%s, %s\tdifference (95 %% interval)\n",
		heads[0], countOf(len(a.Runs), "seed"), heads[1], countOf(len(b.Runs), "seed"))
	paired := 0
	for _, c := range all {
		difference := c.Why
		if difference == "" {
			paired = max(paired, len(c.Seeds))
			difference = fmt.Sprintf("%+.2f%s, %s", c.Difference.Mean, interval(c.Difference), countOf(len(c.Seeds), "pair")+" of seeds")
		}
		fmt.Fprintf(tw, "%s, %s\t%.2f%s\t%.2f%s\t%s\n", c.Name, c.Metric, c.A.Mean, interval(c.A), c.B.Mean, interval(c.B), difference)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	text := `
Means over seeds with their 95 % interval by Student's t. The difference is paired by seed, so that its interval includes the
variation of training.`
	if paired == 1 {
		text = `
There is one pair of seeds, which gives no interval: train more seeds of both experiments.`
	}
	_, err := fmt.Fprintln(w, text)
	return err
}

// interval writes the interval of an estimate, where it has one.
func interval(e results.Estimate) string {
	if !e.HasInterval() {
		return ""
	}
	return fmt.Sprintf(" ± %.2f", e.Half)
}
