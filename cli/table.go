package cli

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/results"
)

func newTable() *cobra.Command {
	dir := "."
	cmd := &cobra.Command{
		Use:   "table",
		Short: "Generate the result tables from result.json files",
		Long: `Table reads every result.json below results/runs and writes what is generated from them: the pages and drawings of results,
results/csv/figures.csv with every figure and results/csv/published.csv with what they are held against, the tables of the
paper, and the result table of README.md. Where there is a results/speed.json, as make bench writes it, results/speed.md is among
the pages.
A run becomes part of them when its folder lies there, as after: engram run FILE --out results/runs/NAME/seed-1`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := os.Stat(filepath.Join(dir, "results", "runs")); err != nil {
				return fmt.Errorf("table: there are no results in %s: %w; run it in the top folder of the project, or name that with --dir", dir, err)
			}
			runs, err := results.ReadRuns(os.DirFS(filepath.Join(dir, "results")))
			if err != nil {
				return err
			}
			speed, err := results.ReadSpeed(os.DirFS(filepath.Join(dir, "results")))
			if err != nil {
				return err
			}
			documents, err := results.Documents(runs, speed)
			if err != nil {
				return err
			}
			readme, err := os.ReadFile(filepath.Join(dir, "README.md"))
			if err != nil {
				return fmt.Errorf("table: %w; run it in the top folder of the project, or name that with --dir", err)
			}
			if readme, err = results.Readme(readme, runs); err != nil {
				return err
			}
			for _, d := range append(documents, results.Document{Path: "README.md", Text: readme}) {
				path := filepath.Join(dir, d.Path)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					return fmt.Errorf("table: %w", err)
				}
				if err := nn.WriteFile(path, bytes.NewReader(d.Text)); err != nil {
					return fmt.Errorf("table: %w", err)
				}
				fmt.Fprintln(cmd.OutOrStdout(), path)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&dir, "dir", dir, "the project's top folder")
	return cmd
}
