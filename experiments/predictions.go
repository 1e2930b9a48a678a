package experiments

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"gopkg.in/yaml.v3"

	"github.com/engram-go/engram/experiments/kinds"
	"github.com/engram-go/engram/experiments/runner"
	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/results"
)

// Predictions makes a test of a run again and returns its figure with what was made of each query, the accuracy by class and the
// confusion matrix. Test is the number of the test in the run's configuration, or negative for the first one on episodes. Nothing
// is written.
func (t *Tool) Predictions(ctx context.Context, dir string, test int, o Options) (*results.Figure, error) {
	c, err := t.RunConfig(dir)
	if err != nil {
		return nil, err
	}
	if _, ok := c.Work.(kinds.Predictor); !ok {
		return nil, fmt.Errorf("%s: predictions are those of few-shot tests on episodes, and %s has none", dir, c.Network)
	}
	text, err := os.ReadFile(runner.Folder(dir).ConfigFile())
	if err != nil {
		return nil, err
	}
	var file struct{ Test []map[string]any }
	if err := yaml.Unmarshal(text, &file); err != nil {
		return nil, fmt.Errorf("%s: %w", runner.Folder(dir).ConfigFile(), err)
	}
	onEpisodes := func(i int) bool { kind, _ := file.Test[i]["kind"].(string); return kinds.Predicts(kind) }
	for i := 0; test < 0 && i < len(file.Test); i++ {
		if onEpisodes(i) {
			test = i
		}
	}
	switch {
	case test < 0:
		return nil, fmt.Errorf("%s: none of its tests is on episodes: add one with engram resume %[1]s --set 'test=[{way: 5, shot: 1}]'", dir)
	case test >= len(file.Test):
		return nil, fmt.Errorf("%s has no test %d: its tests are numbered 0 to %d", dir, test, len(file.Test)-1)
	case !onEpisodes(test):
		return nil, fmt.Errorf("%s: test %d is of the kind %v; predictions are those of tests on episodes", dir, test, file.Test[test]["kind"])
	}
	// Only that test is made, and it says why where it cannot be.
	only := file.Test[test]
	only["predictions"], only["optional"] = true, false
	value, err := json.Marshal([]any{only})
	if err != nil {
		return nil, err
	}
	var overrides []schema.Override
	for _, text := range []string{"test=" + string(value), "stream=null"} {
		o, err := schema.ParseOverride(text)
		if err != nil {
			return nil, err
		}
		overrides = append(overrides, o)
	}
	if c, err = t.TestConfig(dir, overrides...); err != nil {
		return nil, err
	}
	r, err := runner.Evaluate(ctx, dir, "", c.Config, o)
	if err != nil {
		return nil, err
	}
	return &r.Figures[0], nil
}
