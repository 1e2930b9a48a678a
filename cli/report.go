package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/engram-go/engram/results"
	page "github.com/engram-go/engram/results/report"
)

func newReport() *cobra.Command {
	dir, out, pages := ".", "report.html", ""
	cmd := &cobra.Command{
		Use:   "report [RUN...]",
		Short: "Write an HTML report with tables, curves and the details of each run",
		Long: `Report writes one HTML file that needs no network and no other file: the tables that the runs belong in, beside published
figures, and for each run its figures with their protocol, learning curve, seed, commit, machine and configuration. A click on a
heading sorts a table, and a filter finds words. A RUN is a run folder, or a folder with run folders below it; published figures of
methods that are not among the runs are left out. Without a RUN the report covers results/runs.`,
		Example: `  engram report
  engram report runs/mine --out mine.html
  engram report runs/mine --out - > mine.html`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && pages != "" {
				return usageError{errors.New("--pages is for the report on given runs: name at least one RUN, or leave --pages away")}
			}
			var text []byte
			if len(args) == 0 {
				runs, err := results.ReadRuns(os.DirFS(filepath.Join(dir, "results")))
				if err == nil {
					text, err = page.HTML(runs)
				}
				if err != nil {
					return err
				}
			} else {
				runs, err := givenRuns(args)
				if err == nil {
					var publications *results.Publications
					if publications, err = readPages(pages); err == nil {
						text, err = page.OwnHTML(runs, publications)
					}
				}
				if err != nil {
					return err
				}
			}
			if out == "-" {
				_, err := cmd.OutOrStdout().Write(text)
				return err
			}
			if err := writeFile(out, text); err != nil {
				return fmt.Errorf("report: %w", err)
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), out)
			return err
		},
	}
	cmd.Flags().StringVarP(&out, "out", "o", out, "file to write, - for standard output")
	cmd.Flags().StringVar(&pages, "pages", "", "file with pages for other data sets and published figures, in the form of results/published.yaml")
	cmd.Flags().StringVar(&dir, "dir", dir, "top folder of the project, if no RUN is given")
	return cmd
}
