package kinds

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/episode"
	"github.com/engram-go/engram/experiments/measure"
	"github.com/engram-go/engram/experiments/registry"
	"github.com/engram-go/engram/experiments/runner"
	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// built is the work of a file with its data and an untrained network.
func built(t *testing.T, network, test string) *fewShot {
	t.Helper()
	parts := registry.Standard()
	doc := schema.Parse("x.yaml", []byte(fmt.Sprintf(`
name: x
network: %s
dataset: {kind: strokes, train: 6, val: 5, test: 5, instances: 8, size: 16}
train: {way: 3, shot: 2, query: 2}
validation: {episodes: 0}
test: [%s]
`, network, test)), nil)
	file := newFewShot(parts)
	require.NoError(t, doc.With(parts).Decode(file))
	work, err := file.Plan()
	require.NoError(t, err)
	w := work.(*fewShot)
	require.NoError(t, w.Load(t.Context(), runner.Source{Seed: 1, Note: func(string) {}}))
	b := nn.NewBuilder(1, tensor.CPU)
	t.Cleanup(b.Params().Free)
	require.NoError(t, tensor.Do(func() error { return w.Build(b) }))
	return w
}

// encodesNothing is a network whose embeddings must be there already.
type encodesNothing struct{ fewshot.FeatureNetwork }

func (encodesNothing) Encode(*nn.Pass, *tensor.Tensor) *tensor.Tensor {
	panic("an image is embedded again")
}

// A test on embeddings that were computed once gives what one that embeds each episode gives, for every network and head that
// classifies embeddings, and the same checksum; and embeds each image once.
func TestFeaturesAreComputedOnce(t *testing.T) {
	before := tensor.Live()
	const test = "{way: 3, shot: 2, query: 3, episodes: 23%s}"
	conv4 := "encoder: {kind: conv4, filters: 8}"
	cases := map[string]string{
		"{kind: protonet, " + conv4 + "}":                                   "",
		"{kind: matchingnet, context: full, " + conv4 + "}":                 "",
		"{kind: siamese, " + conv4 + "}":                                    "",
		"{kind: relationnet, encoder: {kind: conv4, filters: 8, pools: 2}}": "",
		"{kind: episodic, " + conv4 + "}":                                   "",
	}
	type pair struct{ network, test string }
	var all []pair
	for network := range cases {
		all = append(all, pair{network, fmt.Sprintf(test, "")})
	}
	for _, head := range registry.Standard().Heads.Names() {
		if head != "feat" {
			all = append(all, pair{"{kind: transfer, " + conv4 + "}", fmt.Sprintf(test, ", head: "+head)})
		}
	}
	all = append(all, pair{"{kind: transfer, " + conv4 + "}", fmt.Sprintf(test, ", head: {kind: simpleshot, form: cl2n, images: 3}")})
	for _, c := range all {
		t.Run(c.network+" "+c.test, func(t *testing.T) {
			w := built(t, c.network, c.test)
			plan := w.tests[0]
			net, _, err := w.measured(t.Context(), plan, tensor.CPU, nil)
			require.NoError(t, err)
			s, err := episode.New(w.parts.Test, episode.Spec{Way: 3, Shot: 2, Query: 3, Rotation: w.data.Rotation}, evaluationSeed, "test")
			require.NoError(t, err)
			const n = 23
			one, two := measure.NewChecksum(w.parts.Test, n), measure.NewChecksum(w.parts.Test, n)
			kept := newEmbeddings()
			f, err := w.newFeatures(net, s, n, nn.RunningStats, kept, tensor.CPU)
			require.NoError(t, err)
			require.NotNil(t, f)
			got, err := f.evaluate(t.Context(), n, evaluation{sum: one}, nil)
			require.NoError(t, err)
			want, err := w.evaluateImages(t.Context(), net, s, n, nn.RunningStats, evaluation{sum: two}, tensor.CPU, nil)
			require.NoError(t, err)
			assert.Equal(t, two.String(), one.String())
			require.Len(t, got, n)
			for i := range want {
				assert.Equal(t, want[i].classes, got[i].classes)
				assert.InDelta(t, want[i].accuracy, got[i].accuracy, 1e-9)
				for j, q := range want[i].queries {
					assert.Equal(t, q.label, got[i].queries[j].label)
					assert.InDelta(t, q.confidence, got[i].queries[j].confidence, 1e-4)
				}
			}
			assert.Len(t, kept.rows, 5*8, "every image once")
			assert.Len(t, kept.values, 5*8*kept.width)
			again, err := w.newFeatures(encodesNothing{f.net}, s, n, nn.RunningStats, kept, tensor.CPU)
			require.NoError(t, err)
			same, err := again.evaluate(t.Context(), n, evaluation{}, nil)
			require.NoError(t, err)
			assert.Equal(t, got, same)
		})
	}
	assert.Equal(t, before, tensor.Live())
}

// Embeddings that depend on more than the image are not computed once.
func TestFeaturesThatDependOnTheEpisode(t *testing.T) {
	for network, why := range map[string]struct {
		norm nn.Norm
		test string
	}{
		"{kind: protonet, encoder: {kind: conv4, filters: 8}}":                                  {nn.BatchStats, ""},
		"{kind: transfer, encoder: {kind: conv4, filters: 8}, head: {kind: linear, blocks: 1}}": {nn.RunningStats, ""},
		"{kind: maml, encoder: {kind: conv4, filters: 8}}":                                      {nn.RunningStats, ""},
	} {
		w := built(t, network, "{way: 3, shot: 2, query: 3, episodes: 4}")
		net, _, err := w.measured(t.Context(), w.tests[0], tensor.CPU, nil)
		require.NoError(t, err)
		s, err := episode.New(w.parts.Test, episode.Spec{Way: 3, Shot: 2, Query: 3, Rotation: w.data.Rotation}, evaluationSeed, "test")
		require.NoError(t, err)
		f, err := w.newFeatures(net, s, 4, why.norm, nil, tensor.CPU)
		require.NoError(t, err)
		assert.Nil(t, f, network)
	}
}

// The mean embedding is that of all training images, or of the first of each class.
func TestMeanEmbedding(t *testing.T) {
	w := built(t, "{kind: transfer, encoder: pixels}", "{way: 3, shot: 2, query: 3, episodes: 4}")
	for _, images := range []int{0, 3} {
		got, err := w.meanEmbedding(t.Context(), images, nn.RunningStats, tensor.CPU, nil)
		require.NoError(t, err)
		want, count := make([]float64, 16*16), 0.
		row := make([]float32, 16*16)
		for class := range w.parts.Train.Classes() {
			for i := range w.parts.Train.Instances(class) {
				if images > 0 && i >= images {
					continue
				}
				w.parts.Train.Image(row, class, i, 0)
				count++
				for k, v := range row {
					want[k] += float64(v)
				}
			}
		}
		for k := range want {
			assert.InDelta(t, want[k]/count, got[k], 1e-6)
		}
		assert.Len(t, w.means, map[int]int{0: 1, 3: 2}[images])
	}
}
