package experiments_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/experiments"
	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/tensor"
)

// shown writes images of invented classes: a support set of two per class, in two sizes, and queries.
func shown(t *testing.T) (support string, queries []string) {
	t.Helper()
	set, err := dataset.NewStrokes(3, dataset.DrawnOptions{Train: 1, Val: 1, Test: 3, Instances: 4, Size: 16})
	require.NoError(t, err)
	dir := t.TempDir()
	support = filepath.Join(dir, "support")
	testkit.WriteImages(t, support, set, 0, 0, 1)
	testkit.WriteImages(t, support, set, 1, 1, 3)
	return support, testkit.WriteImages(t, filepath.Join(dir, "query"), set, 2, 3, 1)
}

// Every few-shot network with a model classifies a user's images: it recognises the support images, returns
// probabilities, and does not need its training data.
func TestPredictByEveryNetwork(t *testing.T) {
	support, queries := shown(t)
	var own []string
	require.NoError(t, filepath.WalkDir(support, func(path string, d os.DirEntry, err error) error {
		if strings.HasSuffix(path, "a.png") {
			own = append(own, path)
		}
		return err
	}))
	before := tensor.Live()
	for network, knows := range map[string]bool{
		"protonet": false, "{kind: protonet, memory: {kind: keyvalue, metric: euclidean, scale: 50}}": true, "{kind: matchingnet, memory: {kind: keyvalue, metric: cosine, scale: 300}}": true,
		"{kind: matchingnet, context: full}": false, smallRelationnet: false, "{kind: siamese, encoder: {kind: conv4, filters: 8}}": false,
		"{kind: transfer, encoder: {kind: conv4, filters: 8}, head: {kind: linear, epochs: 300, batch: 0, rate: 0.5, dampening: 0}}": false,
		"{kind: transfer, encoder: {kind: conv4, filters: 8}, head: {kind: cosine, epochs: 3, blocks: 1}}":                           false,
		"{kind: maml, encoder: {kind: conv4, filters: 16, strided: true}}":                                                           false,
	} {
		run := t.TempDir()
		_, err := tool.Run(t.Context(), config(t, "network="+network, "train.steps=8", "train.batch=1", "dataset={kind: strokes, train: 40, val: 10, test: 10, instances: 6, size: 16}"),
			experiments.Options{Out: run})
		require.NoError(t, err, network)
		got, err := tool.Predict(t.Context(), run, experiments.PredictOptions{Support: support, Query: append(queries, own...)})
		require.NoError(t, err, network)
		require.Len(t, got, len(queries)+len(own))
		for i, p := range got {
			require.Len(t, p.Probabilities, 5)
			sum := 0.
			for k, c := range p.Probabilities {
				sum += c.Probability
				if k > 0 {
					assert.LessOrEqual(t, c.Probability, p.Probabilities[k-1].Probability)
				}
			}
			assert.InDelta(t, 1, sum, 1e-5, network)
			assert.Equal(t, p.Probabilities[0], experiments.ClassProbability{Class: p.Class, Probability: p.Probability})
			if i < len(queries) {
				assert.Equal(t, queries[i], p.File)
			} else if knows {
				assert.Equal(t, own[i-len(queries)], filepath.Join(support, filepath.FromSlash(p.Class), "a.png"), network)
			}
		}
		again, err := tool.Predict(t.Context(), run, experiments.PredictOptions{Support: support, Query: queries[:1]})
		require.NoError(t, err)
		assert.InDelta(t, got[0].Probability, again[0].Probability, 1e-4, "%s: an answer does not depend on what else is asked", network)
		other, err := tool.Predict(t.Context(), run, experiments.PredictOptions{Support: support, Query: queries[:1], Ink: dataset.InkLight})
		require.NoError(t, err)
		assert.NotEqual(t, got[0].Probability, other[0].Probability, network)
	}
	assert.Equal(t, before, tensor.Live())
}

// A network with a fixed number of classes reports a support set with another number.
func TestPredictByANetworkOfAFixedWay(t *testing.T) {
	support, queries := shown(t)
	run := t.TempDir()
	text, err := config(t, "network={kind: maml, encoder: {kind: conv4, strided: true}}", "train.way=4", "validation.way=4", "test.0.way=4").Encode()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(run, "config.yaml"), text, 0o644))
	_, err = tool.Predict(t.Context(), run, experiments.PredictOptions{Support: support, Query: queries})
	assert.ErrorContains(t, err, "support: it has 5 classes, and the maml network of "+run+" was made for 4 (train.way)")
}

func TestPredictNotes(t *testing.T) {
	run := t.TempDir()
	_, err := tool.Run(t.Context(), config(t), experiments.Options{Out: run})
	require.NoError(t, err)
	set, err := dataset.NewImages([]string{"a", "b"}, []int{1, 1}, 1, 4, 4, []byte{
		255, 255, 255, 255, 255, 0, 0, 255, 255, 0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0, 255, 255, 255, 0, 255, 255, 255, 255, 255, 255,
	})
	require.NoError(t, err)
	root := t.TempDir()
	files := testkit.WriteImages(t, root, set, 0, 0, 5)
	for ink, want := range map[dataset.Ink]int{"": 1, dataset.InkDark: 1, dataset.InkLight: 0} {
		notes := &notes{}
		_, err := tool.Predict(t.Context(), run, experiments.PredictOptions{Support: root, Query: files[:1], Ink: ink, Reporter: notes})
		require.NoError(t, err)
		assert.Len(t, notes.lines, want)
	}
}

// A folder of images works as a data set for training, tests and resume.
func TestImagesAreADataSet(t *testing.T) {
	set, err := dataset.NewStrokes(1, dataset.DrawnOptions{Train: 18, Val: 1, Test: 1, Instances: 5, Size: 16})
	require.NoError(t, err)
	root := t.TempDir()
	testkit.WriteImages(t, root, set, 0, 4, 2)
	data := "dataset={kind: images, root: " + root + ", size: 16, rotations: classes, split: {kind: share, train: 0.5, val: 0.25, seed: 3}}"
	r, err := tool.Run(t.Context(), config(t, data, "train.query=2"), experiments.Options{Out: t.TempDir()})
	require.NoError(t, err)
	p := r.Figures[0].Protocol
	assert.Equal(t, []any{"images", "0.5/0.25/0.25 of the classes, seed 3", "images", 20}, []any{p.Dataset, p.Split, p.TrainedOn, p.Classes})
	interrupted(t, config(t, data, "train.query=2"), 12, 5, r)

	// In a data folder, with split lists, in colour.
	require.NoError(t, os.WriteFile(filepath.Join(root, ".train.txt"), []byte(set.Class(0)+"\n"+set.Class(1)+"\n"+set.Class(2)+"\n"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(root, ".test.csv"), []byte("label\n"+set.Class(3)+"\n"+set.Class(4)+"\n"), 0o644))
	c := config(t, "dataset={kind: images, root: "+filepath.Base(root)+", size: 16, colour: true, ink: light, split: {kind: lists, train: .train.txt, test: .test.csv}}",
		"validation.episodes=0", "train={way: 3, query: 1, steps: 2}", "test=[{way: 2, shot: 1, query: 2, episodes: 3}]")
	r, err = tool.Run(t.Context(), c, experiments.Options{Out: t.TempDir(), Data: filepath.Dir(root)})
	require.NoError(t, err)
	assert.Equal(t, "lists .train.txt, , .test.csv", r.Figures[0].Protocol.Split)

	for set, want := range map[string]string{
		"train.shot=4":     "train: episode: shot 4 and query 3 need that many different images per class but class",
		"validation.way=9": "validation: episode: 9-way episodes need 9 classes but the set has 5",
	} {
		_, err := tool.Run(t.Context(), config(t, "dataset={kind: images, root: "+root+", size: 16, split: {kind: share, train: 0.5, val: 0.25}}", "train.query=3", set), experiments.Options{Out: t.TempDir()})
		assert.ErrorContains(t, err, want)
	}
}
