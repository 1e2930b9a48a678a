package cli

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/engram-go/engram/experiments"
	"github.com/engram-go/engram/experiments/kinds"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/results/plot"
)

func newExplain(tool *experiments.Tool) *cobra.Command {
	var o experiments.ExplainOptions
	var asJSON bool
	var image string
	cmd := &cobra.Command{
		Use:   "explain RUN",
		Short: "Show what a Memory Network looks at to answer",
		Long: `Explain has the model of a run answer the last test question of each story of a task, and prints the weight of every
sentence at each hop. A star marks the sentences that the answer follows from. --plot draws the weights as a heat map.`,
		Example: `  engram explain runs/babi-joint-1k/20260101-120000 --task 2
  engram explain runs/babi-joint-1k/20260101-120000 --task 3 --wrong --count 10 --json
  engram explain runs/babi-joint-1k/20260101-120000 --task 2 --count 1 --plot attention.svg`,
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.Count < 1 {
				return usageError{errors.New("--count: want at least 1")}
			}
			draw := map[string]func(plot.Figure) ([]byte, error){".svg": plot.SVG, ".png": plot.PNG}[filepath.Ext(image)]
			if image != "" && draw == nil {
				return usageError{fmt.Errorf("--plot: %s: want a name that ends in .svg or .png", image)}
			}
			all, err := tool.Explain(cmd.Context(), args[0], o)
			if err != nil {
				return err
			}
			if draw != nil && len(all) > 0 {
				drawn, err := draw(kinds.AttentionFigure(all))
				if err == nil {
					err = nn.WriteFile(image, bytes.NewReader(drawn))
				}
				if err != nil {
					return fmt.Errorf("--plot: %w", err)
				}
			}
			w := cmd.OutOrStdout()
			if asJSON {
				return printJSON(w, all)
			}
			if len(all) == 0 {
				_, err := fmt.Fprintf(w, "no story of task %d is answered wrongly\n", o.Task)
				return err
			}
			for i, x := range all {
				if i > 0 {
					fmt.Fprintln(w)
				}
				if err := x.Print(w); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().IntVar(&o.Task, "task", 1, "number of the task")
	cmd.Flags().IntVar(&o.Count, "count", 3, "stories to show")
	cmd.Flags().BoolVar(&o.Wrong, "wrong", false, "show only stories that are answered wrongly")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().StringVar(&image, "plot", "", "draw a heat map too, as NAME.svg or NAME.png")
	cmd.Flags().StringVar(&o.Data, "data", "", "folder to look for data sets in")
	return cmd
}
