package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/engram-go/engram/experiments"
	"github.com/engram-go/engram/experiments/runner"
	"github.com/engram-go/engram/results"
)

// listed is what list tells of an experiment file.
type listed struct {
	File    string `json:"file"`
	Network string `json:"network"`
	Data    string `json:"data"`
	About   string `json:"about"`
	Matrix  int    `json:"matrix,omitempty"`  // runs that the file stands for, where they are several
	Runs    int    `json:"runs"`              // committed results
	Seconds int    `json:"seconds,omitempty"` // of training, the mean over them
}

// cost tells what a run took where it was run, and of how many the file is.
func (l listed) cost() string {
	if l.Matrix > 0 {
		runs, each := l.Matrix, l
		if each.Matrix = 0; l.Runs > 0 {
			return fmt.Sprintf("%d runs, %s each", runs, each.cost())
		}
		return fmt.Sprintf("%d runs, %s", runs, each.cost())
	}
	if l.Runs == 0 {
		return "not yet run"
	}
	took := time.Duration(l.Seconds) * time.Second
	switch {
	case took < time.Minute:
		return fmt.Sprintf("%d s", l.Seconds)
	case took < time.Hour:
		return fmt.Sprintf("%.0f min", took.Minutes())
	}
	return fmt.Sprintf("%.1f h", took.Hours())
}

func newList(tool *experiments.Tool) *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "list [FOLDER]",
		Short: "List experiment files, what they reproduce and what they cost",
		Long: `List shows every experiment file below a folder, which is experiments where none is given. Cost is the mean time of
training of its results in results/runs and models, on the machines that those name.`,
		Args: args(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			folder := "experiments"
			if len(args) > 0 {
				folder = args[0]
			}
			all, err := list(tool, folder)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), all)
			}
			tw := newColumns(cmd.OutOrStdout())
			fmt.Fprintln(tw, "file\tnetwork\tdata\tcost\twhat it is")
			for _, l := range all {
				fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\n", l.File, l.Network, l.Data, l.cost(), l.About)
			}
			return tw.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// list reads the experiment files below a folder, and the results of results/runs and models where there are any.
func list(tool *experiments.Tool, folder string) ([]listed, error) {
	seconds := map[string][]float64{}
	runs, err := results.ReadRuns(os.DirFS("results"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if shipped, err := results.ReadFolder("models"); err == nil {
		runs = append(runs, shipped...)
	} else if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, results.ErrNoResult) {
		return nil, err
	}
	for _, r := range runs {
		seconds[r.Name] = append(seconds[r.Name], r.Training.Seconds)
	}
	if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no folder %s: name the one that holds your experiment files, as in engram list FOLDER", folder)
	}
	var all []listed
	var bad []error
	err = filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == "testdata":
			return fs.SkipDir
		case d.IsDir() || filepath.Ext(path) != ".yaml":
			return nil
		}
		m, err := tool.Matrix(path)
		if err != nil {
			bad = append(bad, err)
			return nil
		}
		all = append(all, newListed(path, m, seconds))
		return nil
	})
	if err == nil && len(all)+len(bad) == 0 {
		err = fmt.Errorf("%s: no experiment file (*.yaml) is below it", folder)
	}
	return all, errors.Join(err, errors.Join(bad...))
}

// newListed tells of a file whose runs have been read; seconds are those of training, by the name of an experiment.
func newListed(file string, m *experiments.Matrix, seconds map[string][]float64) listed {
	l := listed{File: file, About: m.Runs[0].Config.About}
	if len(m.Runs) > 1 {
		l.Matrix = len(m.Runs)
	}
	var networks, data, names []string
	add := func(list *[]string, s string) {
		if !slices.Contains(*list, s) {
			*list = append(*list, s)
		}
	}
	for _, r := range m.Runs {
		add(&networks, r.Config.Network)
		add(&data, r.Config.Dataset)
		add(&names, r.Config.Name)
	}
	l.Network, l.Data = strings.Join(networks, ", "), strings.Join(data, ", ")
	var took []float64
	for _, name := range names {
		took = append(took, seconds[name]...)
	}
	if l.Runs = len(took); l.Runs > 0 {
		mean, _ := results.MeanInterval(took)
		l.Seconds = int(mean)
	}
	return l
}

func newShow(tool *experiments.Tool) *cobra.Command {
	var flags runFlags
	cmd := &cobra.Command{
		Use:   "show FILE",
		Short: "Print an experiment file with every key and its value, defaults too",
		Long: `Show prints the file as a run would take it, with what it builds on. Of a file with a matrix it lists the runs: the
folder of each below its sweep's, and what is set for it. A --set for each key of the matrix shows one of them whole.`,
		Example: `  engram show experiments/protonet-omniglot.yaml
  engram show experiments/protonet-omniglot.yaml --set train.way=20`,
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			overrides, err := flags.overrides(cmd)
			if err != nil {
				return err
			}
			m, err := tool.Matrix(args[0], overrides...)
			if err != nil {
				return err
			}
			if len(m.Runs) > 1 {
				return printRuns(cmd.OutOrStdout(), m)
			}
			text, err := m.Runs[0].Config.Encode()
			if err == nil {
				_, err = cmd.OutOrStdout().Write(text)
			}
			return err
		},
	}
	flags.registerConfig(cmd)
	return cmd
}

// printRuns prints a row for each run of a matrix.
func printRuns(w io.Writer, m *experiments.Matrix) error {
	tw := newColumns(w)
	fmt.Fprintln(tw, "run\texperiment\tset")
	for _, r := range m.Runs {
		var set []string
		for _, o := range r.Overrides {
			set = append(set, o.String())
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\n", r.Folder, r.Config.Name, strings.Join(set, "  "))
	}
	err := tw.Flush()
	if len(m.Ranges) > 0 && err == nil {
		_, err = fmt.Fprintf(w, "\nOf a range (%s) the ends are shown; sweep --random N draws from it.\n", strings.Join(m.Ranges, ", "))
	}
	return err
}

func newValidate(tool *experiments.Tool) *cobra.Command {
	var flags runFlags
	cmd := &cobra.Command{
		Use:   "validate FILE...",
		Short: "Check experiment files without running them",
		Long: `Validate reads experiment files as run does, all runs of a matrix too, and reports every mistake with its line. It reads
no data: what only the data can tell, such as too few classes for an episode, is found when a run begins, before training.`,
		Args: args(1, anyNumber),
		RunE: func(cmd *cobra.Command, files []string) error {
			overrides, err := flags.overrides(cmd)
			if err != nil {
				return err
			}
			var bad []error
			var good []string
			for _, file := range files {
				m, err := tool.Matrix(file, overrides...)
				bad = append(bad, err)
				if err == nil {
					for _, note := range notes(m) {
						fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s\n", file, named(cmd, note))
					}
				}
				if err == nil && len(m.Runs) > 1 {
					file = fmt.Sprintf("%s (%d runs)", file, len(m.Runs))
				}
				good = append(good, file)
			}
			if err := errors.Join(bad...); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "in order: %s\n", strings.Join(good, ", "))
			return err
		},
	}
	flags.registerConfig(cmd)
	return cmd
}

// notes are what the runs of a file should tell their user, each once.
func notes(m *experiments.Matrix) (all []string) {
	for _, r := range m.Runs {
		own := r.Config.Notes
		if w, ok := r.Config.Work.(runner.Noting); ok {
			own = slices.Concat(own, w.Notes())
		}
		for _, note := range own {
			if !slices.Contains(all, note) {
				all = append(all, note)
			}
		}
	}
	return all
}

func newSchema(tool *experiments.Tool) *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of experiment files, for editors",
		Long: `Schema prints what experiments/experiment.schema.json holds: a JSON Schema by which an editor completes and checks keys
as you write. With the YAML language server a file names it in its first line:

  # yaml-language-server: $schema=experiments/experiment.schema.json`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := tool.JSONSchema()
			if err == nil {
				_, err = cmd.OutOrStdout().Write(text)
			}
			return err
		},
	}
}
