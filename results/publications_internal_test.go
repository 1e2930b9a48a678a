package results

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A misspelt experiment or setting in published.yaml would cover no run, silently.
func TestPublishedPagesNameWhatThereIs(t *testing.T) {
	all, err := publications()
	require.NoError(t, err)
	runs, err := ReadRuns(os.DirFS("."))
	require.NoError(t, err)
	experiments, err := Experiments(runs)
	require.NoError(t, err)
	settings, networks := map[string]bool{}, map[string]bool{}
	for _, e := range experiments {
		networks[e.Runs[0].Network] = true
		for key := range e.config {
			settings[key] = true
		}
	}
	files, err := filepath.Glob("../experiments/*.yaml") // which may have no committed run yet
	require.NoError(t, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		config, err := Run{Path: file, Result: &Result{Config: string(text)}}.settings()
		require.NoError(t, err)
		networks[config["network.kind"]] = true
		for key := range config {
			settings[key] = true
		}
	}
	named := func(experiment string) {
		if experiment != "" {
			assert.FileExists(t, filepath.Join("..", "experiments", experiment+".yaml"))
		}
	}
	set := func(config map[string]string) {
		for key := range config {
			assert.True(t, settings[key], "no committed run and no experiment has the setting %s", key)
		}
	}
	for _, p := range all.pages {
		for _, m := range p.Methods {
			named(m.Experiment)
			set(m.Config)
			assert.True(t, m.Network == "" || networks[m.Network], "no committed run and no experiment has the network %s", m.Network)
		}
		for _, s := range p.Scenarios {
			named(s.Experiment)
		}
		for _, c := range p.Comparisons {
			for _, r := range c.Rows {
				named(r.Experiment)
			}
		}
		for _, c := range p.Columns {
			for _, part := range c.Parts {
				for _, e := range part.Experiments {
					named(e)
				}
			}
		}
		for _, task := range p.Tasks {
			for _, m := range task.Models {
				set(m.Config)
			}
		}
	}
}
