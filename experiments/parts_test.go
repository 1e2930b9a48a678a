package experiments_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/experiments"
	"github.com/engram-go/engram/experiments/registry"
	"github.com/engram-go/engram/memory"
)

// unscored is a memory that compares keys and scores no slots.
type unscored struct{ memory.Associative }

type unscoredConfig struct {
	registry.Comparison `yaml:",inline"`
}

// invented is a data set whose plan declares images of a size, and whose images have 16×16 pixels.
func invented(name string, size int) registry.Part[registry.Images] {
	return registry.Part[registry.Images]{Name: name, Doc: "invented characters", Make: registry.Plain(registry.Images{
		Split: "invented", Options: dataset.ImageOptions{Height: size, Width: size},
		Load: func(context.Context, registry.Place) (registry.Loaded, error) {
			set, err := dataset.NewStrokes(1, dataset.DrawnOptions{Train: 8, Instances: 4, Size: 16})
			return registry.Loaded{Parts: dataset.Parts{Train: set, Val: set, Test: set}}, err
		},
	})}
}

// A module's own parts are checked where their plans contradict what they do.
func TestPlansOfOwnPartsAreChecked(t *testing.T) {
	parts := registry.Standard()
	parts.Memories.Add(registry.Part[registry.Memory]{Name: "unscored", Doc: "keys without scores", Make: registry.Associative(parts, unscoredConfig{},
		func(_ *unscoredConfig, in registry.MemoryInput) (*unscored, error) {
			return &unscored{memory.NewPrototype(memory.PrototypeConfig{Metric: in.Metric, Scale: in.Scale})}, nil
		})})
	parts.Images.Add(invented("larger", 20), invented("sizeless", 0))
	own := experiments.New(parts)
	const rest = "\ntrain: {way: 4, shot: 1, query: 1, steps: 1}\nvalidation: {episodes: 0}\ntest: [{way: 4, shot: 1, query: 1, episodes: 2}]\nthreads: 1\n"

	_, err := own.Parse("x.yaml", []byte("name: x\nnetwork: {kind: protonet, memory: {kind: unscored, metric: covariance}}"+rest))
	assert.ErrorContains(t, err, "x.yaml:2: network.memory.metric: covariance is fitted on the support set, which only a memory that scores its slots (memory.Matcher) can do")
	_, err = own.Parse("x.yaml", []byte("name: x\nnetwork: {kind: protonet, memory: {kind: unscored, metric: euclidean}}"+rest))
	assert.NoError(t, err)

	_, err = own.Parse("x.yaml", []byte("name: x\nnetwork: protonet\ndataset: sizeless"+rest))
	assert.ErrorContains(t, err, "x.yaml:3: dataset: the plan of sizeless gives images of 0×0 pixels with 1 channel; set Height and Width of registry.Images.Options")
	c, err := own.Parse("x.yaml", []byte("name: x\nnetwork: protonet\ndataset: larger"+rest))
	require.NoError(t, err)
	_, err = own.Run(t.Context(), c, experiments.Options{Out: t.TempDir()})
	assert.ErrorContains(t, err, "the plan of the data set declares images of 20×20 pixels with 1 channel, but Load returned images of 16×16 pixels with 1 channel")
}
