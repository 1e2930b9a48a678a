package cli

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/results"
	page "github.com/engram-go/engram/results/report"
)

func newReport() *cobra.Command {
	dir, out := ".", "report.html"
	cmd := &cobra.Command{
		Use:   "report [RUN...]",
		Short: "Write one HTML file with tables, curves and all about each run",
		Long: `Report writes a file that needs no network and nothing beside it: the tables that the runs belong in, beside published
figures, and of each run its figures with their protocol, its learning curve, seed, commit, machine and configuration. Tables are
sorted by a click on a heading and filtered by words. A RUN is a run folder, or a folder with such below it. Without any, it
covers results/runs.`,
		Example: `  engram report
  engram report runs/mine --out mine.html`,
		RunE: func(cmd *cobra.Command, args []string) error {
			runs, err := reportedRuns(dir, args)
			if err != nil {
				return err
			}
			text, err := page.HTML(runs)
			if err != nil {
				return err
			}
			if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
				return fmt.Errorf("report: %w", err)
			}
			if err := nn.WriteFile(out, bytes.NewReader(text)); err != nil {
				return fmt.Errorf("report: %w", err)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), out)
			return err
		},
	}
	cmd.Flags().StringVar(&out, "out", out, "the file to write")
	cmd.Flags().StringVar(&dir, "dir", dir, "the project's top folder, where no RUN is given")
	return cmd
}

// reportedRuns are those in the folders, or those of the project.
func reportedRuns(dir string, folders []string) (runs []results.Run, err error) {
	if len(folders) == 0 {
		return results.ReadRuns(os.DirFS(filepath.Join(dir, "results")))
	}
	seen := map[string]bool{}
	for _, folder := range folders {
		more, err := results.ReadFolder(folder)
		if err != nil {
			return nil, err
		}
		for _, r := range more {
			if !seen[r.Path] {
				seen[r.Path], runs = true, append(runs, r)
			}
		}
	}
	return runs, nil
}
