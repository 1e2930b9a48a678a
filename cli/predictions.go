package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/engram-go/engram/experiments"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/results"
)

// predictionFlags are those of predictions.
type predictionFlags struct {
	test           int
	out, confusion string
	mistakes       int
}

func newPredictions(tool *experiments.Tool) *cobra.Command {
	var flags runFlags
	var own predictionFlags
	cmd := &cobra.Command{
		Use:   "predictions RUN",
		Short: "Show what a run's test predicted: accuracy by class, confusions, every query",
		Long: `Predictions makes a few-shot test of a run again, on the same episodes, and prints the accuracy of each class, the lowest first, and
the classes that were most often taken for one another. Nothing in the run folder changes.

--out writes a row for each query: its episode, its true class, the prediction, the probabilities of both, and the image. A name
that ends in .json has the probability of every class of the episode as well. --confusion writes the whole confusion matrix, true
classes by predicted ones, as CSV.`,
		Example: `  engram predictions runs/mine/20260101-120000
  engram predictions runs/mine/20260101-120000 --test 1 --out predictions.csv --confusion confusion.csv`,
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch ending := filepath.Ext(own.out); {
			case own.out != "" && ending != ".csv" && ending != ".json":
				return usageError{fmt.Errorf("--out: %s: want a name that ends in .csv or .json", own.out)}
			case own.confusion != "" && filepath.Ext(own.confusion) != ".csv":
				return usageError{fmt.Errorf("--confusion: %s: want a name that ends in .csv", own.confusion)}
			case cmd.Flags().Changed("test") && own.test < 0:
				return usageError{fmt.Errorf("--test: tests are numbered from 0, got %d", own.test)}
			}
			o, done := flags.options(cmd)
			f, err := tool.Predictions(cmd.Context(), args[0], own.test, o)
			done()
			if err != nil {
				return err
			}
			if err := own.write(f); err != nil {
				return err
			}
			if flags.json {
				return printJSON(cmd.OutOrStdout(), struct {
					*results.Figure
					Queries []results.QueryPrediction `json:"queries"`
				}{f, f.Queries})
			}
			return own.print(cmd.OutOrStdout(), f)
		},
	}
	cmd.Flags().StringVar(&flags.data, "data", "", "folder to look for data sets in")
	cmd.Flags().BoolVarP(&flags.quiet, "quiet", "q", false, "print the result only")
	cmd.Flags().BoolVar(&flags.json, "json", false, "print all of it as JSON, and one JSON progress event per second on standard error")
	cmd.Flags().IntVar(&own.test, "test", -1, "number of the test in the run's configuration, from 0 (default the first one on episodes)")
	cmd.Flags().StringVarP(&own.out, "out", "o", "", "file to write every query to: NAME.csv or NAME.json")
	cmd.Flags().StringVar(&own.confusion, "confusion", "", "file to write the confusion matrix to: NAME.csv")
	cmd.Flags().IntVar(&own.mistakes, "mistakes", 10, "how many pairs of confused classes, and how many classes, to print; 0 for all")
	return cmd
}

// write writes the files that were asked for.
func (p *predictionFlags) write(f *results.Figure) error {
	write := func(file string, text []byte, err error) error {
		if file == "" {
			return nil
		}
		if err == nil {
			err = nn.WriteFile(file, bytes.NewReader(text))
		}
		if err != nil {
			return fmt.Errorf("predictions: %w", err)
		}
		return nil
	}
	text, err := results.PredictionsCSV(f.Queries), error(nil)
	if filepath.Ext(p.out) == ".json" {
		text, err = json.MarshalIndent(f.Queries, "", " ")
		text = append(text, '\n')
	}
	if err := write(p.out, text, err); err != nil {
		return err
	}
	return write(p.confusion, f.Confusion.CSV(), nil)
}

// print prints the figure, the classes with the lowest accuracy, and the most frequent confusions.
func (p *predictionFlags) print(w io.Writer, f *results.Figure) error {
	fmt.Fprintf(w, "%s %s: %s %s %s over %s, calibration error %.2f %%\n\n", f.Protocol.Dataset, f.Name, f.Metric, f.Text(), f.Unit(),
		countOf(len(f.Queries), "query"), *f.CalibrationError)
	first := func(n int) int {
		if p.mistakes > 0 {
			return min(n, p.mistakes)
		}
		return n
	}
	classes := f.Confusion.ByAccuracy()
	tw := newColumns(w)
	fmt.Fprintln(tw, "class\taccuracy\tright\tqueries")
	for _, c := range classes[:first(len(classes))] {
		fmt.Fprintf(tw, "%s\t%.1f %%\t%d\t%d\n", c.Class, c.Percent(), c.Right, c.Queries)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	if left := len(classes) - first(len(classes)); left > 0 {
		fmt.Fprintf(w, "and %s with a higher accuracy\n", countOf(left, "class"))
	}
	mistakes := f.Confusion.Mistakes()
	if len(mistakes) == 0 {
		_, err := fmt.Fprintln(w, "\nno query was classified wrongly")
		return err
	}
	fmt.Fprintln(w)
	fmt.Fprintln(tw, "class\ttaken for\ttimes")
	for _, m := range mistakes[:first(len(mistakes))] {
		fmt.Fprintf(tw, "%s\t%s\t%d\n", m.Truth, m.Predicted, m.Count)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	if left := len(mistakes) - first(len(mistakes)); left > 0 {
		fmt.Fprintf(w, "and %s of classes\n", countOf(left, "further pair"))
	}
	return nil
}
