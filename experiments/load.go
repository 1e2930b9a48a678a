package experiments

import (
	"slices"
	"strings"

	"github.com/engram-go/engram/experiments/runner"
	"github.com/engram-go/engram/experiments/schema"
)

// Load reads and checks an experiment file, with overrides. A file with a matrix is an error unless the overrides
// select one run; see [Tool.Matrix].
func (t *Tool) Load(file string, overrides ...schema.Override) (*Config, error) {
	m, err := t.Matrix(file, overrides...)
	if err != nil {
		return nil, err
	}
	return m.only()
}

// Parse is [Tool.Load] for text without a base; file is its name in messages.
func (t *Tool) Parse(file string, text []byte, overrides ...schema.Override) (*Config, error) {
	m, err := t.expand(schema.Parse(file, text, nil), overrides, nil)
	if err != nil {
		return nil, err
	}
	m.File = file
	return m.only()
}

// RunConfig reads the configuration of a run folder, with overrides.
func (t *Tool) RunConfig(dir string, overrides ...schema.Override) (*Config, error) {
	f := runner.Folder(dir)
	c, err := t.Load(f.ConfigFile(), overrides...)
	return c, f.NotRun(err)
}

// testKeys are the keys that tests are made from, which may change after training.
var testKeys = []string{"test", "stream", "threads", "device"}

// TestConfig reads the configuration of a run folder with overrides of its tests. Overrides of settings that training
// fixed are an error.
func (t *Tool) TestConfig(dir string, overrides ...schema.Override) (*Config, error) {
	var errs []error
	for _, o := range overrides {
		if key, _, _ := strings.Cut(o.Path(), "."); !slices.Contains(testKeys, key) {
			errs = append(errs, o.Errorf("is fixed: the model was trained so; only %s can change. A test may have a data set of its own: test.0.dataset", strings.Join(testKeys, ", ")))
		}
	}
	if err := schema.Join(errs...); err != nil {
		return nil, err
	}
	return t.RunConfig(dir, overrides...)
}
