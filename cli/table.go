package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/results"
)

func newTable() *cobra.Command {
	dir, out, pages := ".", "", ""
	cmd := &cobra.Command{
		Use:   "table [RUN...]",
		Short: "Print tables of runs, or generate those of the project",
		Long: `Table prints Markdown tables of the runs that are given: first all experiments with the mean over seeds of their headline
figures, then the tables that they belong in, beside published figures of the same methods. A RUN is a run folder, or a folder with
run folders below it. Of several runs with the same settings and seed the last one counts. Nothing but the file of --out is
written.

Without a RUN it generates the files of the project from every result.json below results/runs: the pages and drawings of results,
results/csv/figures.csv with every figure and results/csv/published.csv with the published ones, the tables of the paper, the page of
results/speed-*.json, and the result table of README.md. A run becomes part of them when its folder is below
results/runs, as after: engram run FILE --out results/runs/NAME/seed-1`,
		Example: `  engram table runs/mine
  engram table runs/mine runs/other --out tables.md
  engram table runs/mine --pages mine.yaml
  engram table`,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) == 0 && out != "":
				return usageError{errors.New("--out is for the tables of given runs: name at least one RUN, or leave --out away")}
			case len(args) == 0 && pages != "":
				return usageError{errors.New("--pages is for the tables of given runs: name at least one RUN, or leave --pages away")}
			case len(args) > 0 && cmd.Flags().Changed("dir"):
				return usageError{errors.New("--dir is for the tables of the project: name no RUN, or leave --dir away")}
			case len(args) == 0:
				return projectTables(cmd.OutOrStdout(), dir)
			}
			return ownTables(cmd.OutOrStdout(), args, out, pages)
		},
	}
	cmd.Flags().StringVarP(&out, "out", "o", out, "file to write the tables of given runs to (default standard output)")
	cmd.Flags().StringVar(&pages, "pages", "", "file with pages for other data sets and published figures, in the form of results/published.yaml")
	cmd.Flags().StringVar(&dir, "dir", dir, "top folder of the project, if no RUN is given")
	return cmd
}

// ownTables writes the tables of runs to a file, or to w where that has no name.
func ownTables(w io.Writer, folders []string, out, pageFile string) error {
	runs, err := givenRuns(folders)
	if err != nil {
		return err
	}
	if out != "" {
		if runs, err = relativeTo(filepath.Dir(out), runs); err != nil {
			return err
		}
	}
	publications, err := readPages(pageFile)
	if err != nil {
		return err
	}
	pages, err := publications.Own(runs)
	if err != nil {
		return err
	}
	var parts []string
	for _, p := range pages {
		if len(p.Tables()) > 0 {
			parts = append(parts, p.Text())
		}
	}
	text := strings.Join(parts, "\n")
	if out == "" {
		_, err = io.WriteString(w, text)
		return err
	}
	if err := writeFile(out, []byte(text)); err != nil {
		return fmt.Errorf("table: %w", err)
	}
	_, err = fmt.Fprintln(w, out)
	return err
}

// readPages are the pages of Engram and those of a file, where one is named.
func readPages(file string) (*results.Publications, error) {
	var text []byte
	if file != "" {
		var err error
		if text, err = os.ReadFile(file); err != nil {
			return nil, fmt.Errorf("--pages: %w", err)
		}
	}
	publications, err := results.PublicationsWith(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("--pages %s: %w", file, err)
	}
	return publications, nil
}

// relativeTo makes the paths of runs relative to a folder, so that links from a file in it lead to them.
func relativeTo(dir string, runs []results.Run) (out []results.Run, err error) {
	base, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("table: %w", err)
	}
	for _, r := range runs {
		path, err := filepath.Abs(r.Path)
		if err == nil {
			path, err = filepath.Rel(base, path)
		}
		if err != nil {
			return nil, fmt.Errorf("table: %w", err)
		}
		r.Path = filepath.ToSlash(path)
		out = append(out, r)
	}
	return out, nil
}

// projectTables generates the files of the project and prints their paths.
func projectTables(w io.Writer, dir string) error {
	if _, err := os.Stat(filepath.Join(dir, "results", "runs")); err != nil {
		return fmt.Errorf("table: there are no results in %s: %w; run it in the top folder of the project, give that folder with --dir, or name your own runs", dir, err)
	}
	runs, err := results.ReadRuns(os.DirFS(filepath.Join(dir, "results")))
	if err != nil {
		return err
	}
	speeds, err := results.ReadSpeeds(os.DirFS(filepath.Join(dir, "results")))
	if err != nil {
		return err
	}
	documents, err := results.Documents(runs, speeds)
	if err != nil {
		return err
	}
	readme, err := os.ReadFile(filepath.Join(dir, "README.md"))
	if err != nil {
		return fmt.Errorf("table: %w; run it in the top folder of the project, or give that folder with --dir", err)
	}
	if readme, err = results.Readme(readme, runs); err != nil {
		return err
	}
	for _, d := range append(documents, results.Document{Path: "README.md", Text: readme}) {
		path := filepath.Join(dir, d.Path)
		if err := writeFile(path, d.Text); err != nil {
			return fmt.Errorf("table: %w", err)
		}
		fmt.Fprintln(w, path)
	}
	return nil
}

// writeFile writes a file and the folders above it.
func writeFile(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return nn.WriteFile(path, bytes.NewReader(text))
}

// givenRuns are the runs in the folders, each once.
func givenRuns(folders []string) (runs []results.Run, err error) {
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
