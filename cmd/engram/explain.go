package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/engram-go/engram/dataset/babi"
	"github.com/engram-go/engram/experiments"
)

func newExplain() *cobra.Command {
	var o experiments.ExplainOptions
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "explain RUN",
		Short: "Show what a Memory Network looks at to answer",
		Long: `Explain has the model of a run answer the last test question of each story of a task, and prints the weight of every
sentence at each hop. A star marks the sentences that the answer follows from.`,
		Example: `  engram explain runs/babi-joint-1k/20260101-120000 --task 2
  engram explain runs/babi-joint-1k/20260101-120000 --task 3 --wrong --count 10 --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.Count < 1 {
				return usageError{errors.New("--count: want at least 1")}
			}
			all, err := experiments.Explain(cmd.Context(), args[0], o)
			if err != nil {
				return err
			}
			w := cmd.OutOrStdout()
			if asJSON {
				e := json.NewEncoder(w)
				e.SetIndent("", "  ")
				return e.Encode(all)
			}
			if len(all) == 0 {
				_, err := fmt.Fprintf(w, "no story of task %d is answered wrongly\n", o.Task)
				return err
			}
			for i, x := range all {
				if i > 0 {
					fmt.Fprintln(w)
				}
				if err := printExplanation(w, x); err != nil {
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
	cmd.Flags().StringVar(&o.Data, "data", "", "folder to look for data sets in")
	return cmd
}

func printExplanation(w io.Writer, x experiments.Explanation) error {
	var b strings.Builder
	fmt.Fprintf(&b, "task %d, %s\n", x.Task, babi.TaskName(x.Task))
	hops := 0
	for _, s := range x.Sentences {
		hops = max(hops, len(s.Weights))
	}
	b.WriteString(" ")
	for hop := range hops {
		fmt.Fprintf(&b, " hop %-2d", hop+1)
	}
	b.WriteString("\n")
	for _, s := range x.Sentences {
		mark := " "
		if s.Supports {
			mark = "*"
		}
		b.WriteString(mark)
		for hop := range hops {
			if hop < len(s.Weights) {
				fmt.Fprintf(&b, " %5.2f ", s.Weights[hop])
			} else {
				b.WriteString("     – ") // forgotten
			}
		}
		fmt.Fprintf(&b, "  %s\n", s.Text)
	}
	fmt.Fprintf(&b, "%s? %s", x.Question, x.Said)
	if x.Said == x.Answer {
		fmt.Fprintf(&b, " (%.0f %%), which is right\n", 100*x.Chance)
	} else {
		fmt.Fprintf(&b, " (%.0f %%), but the answer is %s\n", 100*x.Chance, x.Answer)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
