package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/engram-go/engram/results"
)

func newCompare() *cobra.Command {
	return &cobra.Command{
		Use:   "compare RUN RUN",
		Short: "Compare two runs test by test, on the same episodes",
		Long: `Compare takes two run folders, or their result.json files, and prints, for every test that both have under the same
protocol, both figures and the paired difference: the mean, over the test's episodes, of the first's score less the
second's, with its 95 % interval. Where protocols differ it says in what.`,
		Example: "  engram compare runs/protonet-omniglot/20260101-120000 runs/matchingnet-omniglot/20260101-130000",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			var rs [2]*results.Result
			for i, path := range args {
				if info, err := os.Stat(path); err == nil && info.IsDir() {
					path = filepath.Join(path, results.FileName)
				}
				r, err := results.Read(path)
				if err != nil {
					return err
				}
				rs[i] = r
			}
			return printComparison(cmd.OutOrStdout(), rs[0], rs[1])
		},
	}
}

// printComparison prints a row for each test that two results have.
func printComparison(w io.Writer, a, b *results.Result) error {
	all := results.Compare(a, b)
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "the runs have no test in common")
		return err
	}
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintf(tw, "test\t%s, seed %d\t%s, seed %d\tdifference (95 %% interval)\n", a.Name, a.Seed, b.Name, b.Seed)
	for _, c := range all {
		difference := c.Why
		if difference == "" {
			difference = fmt.Sprintf("%+.2f ± %.2f, of %d pairs", c.Difference, c.Interval, len(c.A.Scores.Values))
		}
		fmt.Fprintf(tw, "%s, %s\t%.2f ± %.2f\t%.2f ± %.2f\t%s\n", c.A.Name, c.A.Metric, c.A.Value, c.A.Interval, c.B.Value, c.B.Interval, difference)
	}
	return tw.Flush()
}
