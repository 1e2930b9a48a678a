package kinds

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/dataset"
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
	return workOf(t, network, test, "{kind: strokes, train: 6, val: 5, test: 5, instances: 8, size: 16}")
}

func workOf(t testing.TB, network, test, data string) *fewShot {
	t.Helper()
	parts := registry.Standard()
	doc := schema.Parse("x.yaml", []byte(fmt.Sprintf(`
name: x
network: %s
dataset: %s
train: {way: 3, shot: 2, query: 2}
validation: {episodes: 0}
test: [%s]
`, network, data, test)), nil)
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
			kept := w.keptOf(plan)
			f, err := w.newFeatures(t.Context(), net, s, n, nn.RunningStats, evaluation{kept: kept}, tensor.CPU, nil)
			require.NoError(t, err)
			require.NotNil(t, f)
			got, err := f.evaluate(t.Context(), n, evaluation{sum: one, list: true}, nil)
			require.NoError(t, err)
			want, err := w.evaluateImages(t.Context(), net, s, n, nn.RunningStats, evaluation{sum: two, list: true}, tensor.CPU, nil)
			require.NoError(t, err)
			assert.Equal(t, two.String(), one.String())
			require.Len(t, got, n)
			for i := range want {
				assert.Equal(t, want[i].classes, got[i].classes)
				assert.InDelta(t, want[i].accuracy, got[i].accuracy, 1e-9)
				for j, q := range want[i].queries {
					assert.Equal(t, q.label, got[i].queries[j].label)
					assert.InDelta(t, q.confidence, got[i].queries[j].confidence, 1e-4)
					assert.InDeltaSlice(t, q.chances, got[i].queries[j].chances, 1e-4)
					assert.Equal(t, q.item, got[i].queries[j].item)
				}
			}
			assert.Len(t, kept.some.rows, 5*8, "every image once")
			assert.Len(t, kept.some.values, 5*8*kept.some.width)
			again, err := w.newFeatures(t.Context(), encodesNothing{f.of}, s, n, nn.RunningStats, evaluation{kept: kept}, tensor.CPU, nil)
			require.NoError(t, err)
			same, err := again.evaluate(t.Context(), n, evaluation{list: true}, nil)
			require.NoError(t, err)
			assert.Equal(t, got, same)

			// A trained network embeds all images at once, where the episodes draw as many.
			whole, err := w.newFeatures(t.Context(), net, s, n, nn.RunningStats, evaluation{trained: true}, tensor.CPU, nil)
			require.NoError(t, err)
			require.NotNil(t, whole.all)
			for i, row := range kept.some.rows {
				item := episode.Item{Class: i.class, Instance: i.instance}
				assert.InDeltaSlice(t, kept.some.values[row*kept.some.width:(row+1)*kept.some.width], whole.all.row(item), 1e-4)
			}
			all, err := whole.evaluate(t.Context(), n, evaluation{list: true}, nil)
			require.NoError(t, err)
			for i := range got {
				assert.InDelta(t, got[i].accuracy, all[i].accuracy, 1e-9)
			}
		})
	}
	assert.Equal(t, before, tensor.Live())
}

// Images that are to be normalised are so before they are embedded once, as those of a batch are.
func TestFeaturesOfNormalizedImages(t *testing.T) {
	w := built(t, "{kind: transfer, encoder: {kind: conv4, filters: 8}}", "{way: 3, shot: 2, query: 3, episodes: 9, head: mean}")
	var err error
	w.parts, err = w.parts.Prepare(dataset.Preparation{Norm: &dataset.Normalization{Mean: []float64{.7}, Std: []float64{.1}}})
	require.NoError(t, err)
	net, _, err := w.measured(t.Context(), w.tests[0], tensor.CPU, nil)
	require.NoError(t, err)
	s, err := episode.New(w.parts.Test, episode.Spec{Way: 3, Shot: 2, Query: 3, Rotation: w.data.Rotation}, evaluationSeed, "test")
	require.NoError(t, err)
	require.NotNil(t, s.Batch(0, 1).Support.Norm)
	f, err := w.newFeatures(t.Context(), net, s, 9, nn.RunningStats, evaluation{}, tensor.CPU, nil)
	require.NoError(t, err)
	got, err := f.evaluate(t.Context(), 9, evaluation{}, nil)
	require.NoError(t, err)
	want, err := w.evaluateImages(t.Context(), net, s, 9, nn.RunningStats, evaluation{}, tensor.CPU, nil)
	require.NoError(t, err)
	for i := range want {
		for j, q := range want[i].queries {
			assert.InDelta(t, q.confidence, got[i].queries[j].confidence, 1e-5)
		}
	}
	// And so are the embeddings that are written to a file.
	values, width, err := w.Embed(t.Context(), w.parts.Test, tensor.CPU, nil)
	require.NoError(t, err)
	assert.InDeltaSlice(t, f.row(episode.Item{Class: 2, Instance: 3}), values[(2*8+3)*width:(2*8+4)*width], 1e-4)
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
		f, err := w.newFeatures(t.Context(), net, s, 4, why.norm, evaluation{}, tensor.CPU, nil)
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

// A test of 1,000 5-way 5-shot episodes with 15 queries per class on embeddings that are there already, about 640 wide: drawing the
// episodes, gathering, the head and the scores.
func BenchmarkTestOnFeatures(b *testing.B) {
	const n = 1000
	for _, head := range []string{
		"{kind: mean}", "{kind: simpleshot}", "{kind: ridge}", "{kind: svm}", "{kind: logistic}", "{kind: bd-cspn}", "{kind: laplacian}",
		"{kind: soft-k-means}", "{kind: tim}", "{kind: tim, solver: gradient, steps: 50, rate: 1e-3}", "{kind: linear}",
	} {
		b.Run(head, func(b *testing.B) {
			w := workOf(b, "{kind: transfer, encoder: pixels}", "{way: 5, shot: 5, query: 15, episodes: 1000, head: "+head+"}", "{kind: strokes, train: 5, val: 1, test: 20, instances: 60, size: 25}")
			net, _, err := w.measured(b.Context(), w.tests[0], tensor.CPU, nil)
			require.NoError(b, err)
			s, err := episode.New(w.parts.Test, episode.Spec{Way: 5, Shot: 5, Query: 15, Rotation: w.data.Rotation}, evaluationSeed, "test")
			require.NoError(b, err)
			f, err := w.newFeatures(b.Context(), net, s, n, nn.RunningStats, evaluation{}, tensor.CPU, nil)
			require.NoError(b, err)
			_, err = f.evaluate(b.Context(), 100, evaluation{}, nil)
			require.NoError(b, err)
			for b.Loop() {
				_, err := f.evaluate(b.Context(), n, evaluation{sum: measure.NewChecksum(w.parts.Test, n)}, nil)
				require.NoError(b, err)
			}
		})
	}
}
