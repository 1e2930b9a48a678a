package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/engram-go/engram/experiments"
	"github.com/engram-go/engram/results"
)

// listed is what list tells of an experiment file.
type listed struct {
	File    string `json:"file"`
	Network string `json:"network"`
	Data    string `json:"data"`
	About   string `json:"about"`
	Runs    int    `json:"runs"`              // committed results
	Seconds int    `json:"seconds,omitempty"` // of training, the mean over them
}

// cost tells what a run took where it was run.
func (l listed) cost() string {
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

func newList() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "list [FOLDER]",
		Short: "List experiment files, what they reproduce and what they cost",
		Long: `List shows every experiment file below a folder, which is experiments where none is given. Cost is the mean time of
training of its results in results/runs, on the machines that those name.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			folder := "experiments"
			if len(args) > 0 {
				folder = args[0]
			}
			all, err := list(folder)
			if err != nil {
				return err
			}
			if asJSON {
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				return e.Encode(all)
			}
			tw := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
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

// list reads the experiment files below a folder, and the results of results/runs where there are any.
func list(folder string) ([]listed, error) {
	seconds := map[string][]float64{}
	runs, err := results.ReadRuns(os.DirFS("results"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, r := range runs {
		seconds[r.Name] = append(seconds[r.Name], r.Training.Seconds)
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
		c, err := experiments.LoadConfig(path)
		if err != nil {
			bad = append(bad, err)
			return nil
		}
		l := listed{File: path, Network: c.Network.Kind(), Data: c.Dataset.Kind(), About: c.About, Runs: len(seconds[c.Name])}
		if l.Runs > 0 {
			mean, _ := results.MeanInterval(seconds[c.Name])
			l.Seconds = int(mean)
		}
		all = append(all, l)
		return nil
	})
	if err == nil && len(all)+len(bad) == 0 {
		err = fmt.Errorf("%s: no experiment file (*.yaml) is below it", folder)
	}
	return all, errors.Join(err, errors.Join(bad...))
}

func newShow() *cobra.Command {
	var flags runFlags
	cmd := &cobra.Command{
		Use:   "show FILE",
		Short: "Print an experiment file with every key and its value, defaults too",
		Example: `  engram show experiments/protonet-omniglot.yaml
  engram show experiments/protonet-omniglot.yaml --set train.way=20`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := flags.config(cmd, args[0])
			if err != nil {
				return err
			}
			text, err := c.Encode()
			if err == nil {
				_, err = cmd.OutOrStdout().Write(text)
			}
			return err
		},
	}
	flags.registerConfig(cmd)
	return cmd
}

func newValidate() *cobra.Command {
	return &cobra.Command{
		Use:   "validate FILE...",
		Short: "Check experiment files without running them",
		Long: `Validate reads experiment files as run does, and tells of every mistake with its line. Data sets are not read, so that a
class too few for an episode shows when the run begins.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, files []string) error {
			var bad []error
			for _, file := range files {
				_, err := experiments.LoadConfig(file)
				bad = append(bad, err)
			}
			if err := errors.Join(bad...); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "in order: %s\n", strings.Join(files, ", "))
			return err
		},
	}
}
