package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/engram-go/engram/experiments"
	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/results"
)

func newPlot(tool *experiments.Tool) *cobra.Command {
	var out, data string
	cmd := &cobra.Command{
		Use:   "plot RUN...",
		Short: "Draw what runs learned and what their models do",
		Long: `Plot draws, as SVG and PNG, what a run's end draws as well: the learning curve; of few-shot runs an episode with what each
query is taken for, and the embeddings of an episode in the plane; of sequence runs inputs, answers and the memory's weightings;
of Memory Networks what they attend to. Of several runs of one experiment it draws the mean of their learning curves too, with a
band from the lowest seed to the highest. A RUN is a run folder, or a folder with such below it.`,
		Example: `  engram plot runs/mine/20260101-120000
  engram plot results/runs/ntm-copy --out plots`,
		Args: args(1, anyNumber),
		RunE: func(cmd *cobra.Command, args []string) error {
			folders, err := runFolders(args)
			if err != nil {
				return err
			}
			say := func(files []string, err error) error {
				for _, f := range files {
					fmt.Fprintln(cmd.OutOrStdout(), f)
				}
				return err
			}
			for _, folder := range folders {
				plots, err := tool.Plots(cmd.Context(), folder, experiments.Options{Data: data})
				if cmd.Context().Err() != nil {
					return cmd.Context().Err()
				}
				if err != nil {
					if len(plots) == 0 {
						return err
					}
					fmt.Fprintf(cmd.ErrOrStderr(), "%s: not all can be drawn: %s\n", folder, named(cmd, err.Error()))
				}
				dir := filepath.Join(folder, "plots")
				if out != "" {
					dir = out
				}
				for _, p := range plots {
					if out != "" && len(folders) > 1 {
						p.Name = fileName(strings.TrimLeft(filepath.ToSlash(folder), "./")) + "-" + p.Name
					}
					if err := say(p.Write(dir)); err != nil {
						return fmt.Errorf("plot: %w", err)
					}
				}
			}
			bands, err := seedBands(folders)
			if err != nil {
				return err
			}
			for _, b := range bands {
				dir := filepath.Join(filepath.Dir(b.folder), "plots") // beside the seeds
				if out != "" {
					dir = out
				}
				if err := say(b.Write(dir)); err != nil {
					return fmt.Errorf("plot: %w", err)
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "folder to write to (default RUN/plots, and plots beside the runs for what is of several)")
	cmd.Flags().StringVar(&data, "data", "", "folder to look for data sets in")
	return cmd
}

// runFolders are the run folders at or below those given, each once.
func runFolders(args []string) (folders []string, err error) {
	seen := map[string]bool{}
	for _, arg := range args {
		found := false
		err := filepath.WalkDir(arg, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || d.Name() != "config.yaml" {
				return err
			}
			found = true
			if dir := filepath.Dir(path); !seen[dir] {
				seen[dir], folders = true, append(folders, dir)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("plot: %w", err)
		}
		if !found {
			return nil, usageError{fmt.Errorf("%s is not a run folder, and has none below it: there is no config.yaml", arg)}
		}
	}
	return folders, nil
}

// fileName makes a part of a file's name of a path or an experiment's name.
func fileName(s string) string {
	return schema.Shorten(strings.NewReplacer("/", "-", "\\", "-", " (", "-", ")", "", ", ", ",").Replace(s), 150)
}

// band is the learning curve of an experiment over seeds.
type band struct {
	experiments.Plot
	folder string // of the first seed
}

// seedBands are the curves of experiments of which several seeds have ended.
func seedBands(folders []string) (out []band, err error) {
	var runs []results.Run
	folder := map[string]string{} // by the path of a result
	for _, dir := range folders {
		ended, err := results.ReadFolder(dir)
		if errors.Is(err, results.ErrNoResult) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, r := range ended {
			if _, read := folder[r.Path]; !read {
				folder[r.Path], runs = dir, append(runs, r)
			}
		}
	}
	all, err := results.Experiments(runs)
	if err != nil {
		return nil, err
	}
	for _, e := range all {
		if len(e.Runs) < 2 {
			continue
		}
		f, ok, err := e.LearningCurve()
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, band{experiments.Plot{Name: "learning-curve-" + fileName(e.Label), Figure: f}, folder[e.Runs[0].Path]})
		}
	}
	return out, nil
}
