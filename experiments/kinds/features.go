package kinds

import (
	"context"
	"fmt"
	"slices"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/episode"
	"github.com/engram-go/engram/experiments/measure"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// maxFeatures is the largest number of values that the embeddings of a test may have in memory: 1 GiB of float32. A test that needs
// more embeds the images of each episode separately.
const maxFeatures = 1 << 28

// features classifies the episodes of a sampler by embeddings that are computed once per image.
type features struct {
	*embedding
	drawn *episode.Sampler
	of    fewshot.FeatureNetwork
	// Embeddings are those of all images of the set, where the episodes draw about as many, or those of the images that episodes
	// have, each computed when it is first needed. The results are those of embedding each episode by itself, up to rounding:
	// convolutions choose their algorithm by the size of a batch.
	all  *table
	some *embeddings
}

// embeddings are those of some images of a set by one encoder.
type embeddings struct {
	width  int
	rows   map[imageKey]int // of values
	values []float32        // [rows, width]
}

// imageKey identifies an image of a set.
type imageKey struct{ class, instance, quarter int }

func keyOf(i episode.Item) imageKey { return imageKey{i.Class, i.Instance, i.Quarter} }

// keptKey identifies embeddings that several tests of a run share.
type keptKey struct {
	classes string
	norm    nn.Norm
}

// keptEmbeddings are embeddings that several tests share.
type keptEmbeddings struct {
	all  *table // nil until a test needs them
	some *embeddings
}

// features returns the network as one that classifies embeddings, if each embedding depends on its image alone.
func (w *fewShot) features(net fewshot.Network, norm nn.Norm) (fewshot.FeatureNetwork, bool) {
	of, ok := fewshot.Features(net)
	if !ok || w.planned.ByTask || norm == nn.BatchStats && fewshot.UsesBatchStatistics(net) {
		return nil, false
	}
	return of, true
}

// newFeatures prepares the embeddings for the first n episodes of a sampler. It returns nil if embeddings depend on more than the
// image, or need too much memory; the network is then evaluated on images.
func (w *fewShot) newFeatures(ctx context.Context, net fewshot.Network, s *episode.Sampler, n int, norm nn.Norm, o evaluation, on tensor.Device, p measure.Progress) (*features, error) {
	of, ok := w.features(net, norm)
	if !ok {
		return nil, nil
	}
	e, err := w.embedding(of, s.Set(), norm, on)
	if err != nil {
		return nil, err
	}
	f := &features{embedding: e, drawn: s, of: of, some: &embeddings{rows: map[imageKey]int{}}}
	kept := &keptEmbeddings{some: f.some}
	if o.kept != nil {
		kept = o.kept
		f.some = kept.some
	}
	spec := s.Spec()
	quarters := 1
	if spec.Rotation.Drawn() {
		quarters = 4
	}
	images, draws := imagesOf(s.Set(), quarters), n*spec.Way*(spec.Shot+spec.Query)
	if o.trained && !w.planned.Encoder.Identity && (draws >= images || w.planned.Frozen) {
		if kept.all == nil {
			if kept.all, err = e.allWithin(ctx, quarters, maxFeatures, p); err != nil {
				return nil, err
			}
		}
		if f.all = kept.all; f.all != nil {
			return f, nil
		}
	}
	if err := f.embed(ctx, s.Episode(0).Support[:1]); err != nil {
		return nil, err
	}
	if min(images, draws) > maxFeatures/f.some.width {
		return nil, nil
	}
	return f, nil
}

// imagesOf counts the images of a set in a number of rotations.
func imagesOf(set dataset.Set, quarters int) (n int) {
	for class := range set.Classes() {
		n += set.Instances(class)
	}
	return n * quarters
}

// embed computes the embeddings of the items that do not have one yet.
func (f *features) embed(ctx context.Context, items []episode.Item) error {
	if f.all != nil {
		return nil
	}
	var missing []episode.Item
	for _, i := range items {
		if _, ok := f.some.rows[keyOf(i)]; !ok {
			f.some.rows[keyOf(i)] = len(f.some.rows)
			missing = append(missing, i)
		}
	}
	return f.each(ctx, missing, nil, func(rows []float32, width int) error {
		f.some.width, f.some.values = width, append(f.some.values, rows...)
		return nil
	})
}

// width is that of the embeddings.
func (f *features) width() int {
	if f.all != nil {
		return f.all.width
	}
	return f.some.width
}

// row is the embedding of an image that has one.
func (f *features) row(i episode.Item) []float32 {
	if f.all != nil {
		return f.all.row(i)
	}
	row := f.some.rows[keyOf(i)] * f.some.width
	return f.some.values[row : row+f.some.width]
}

// atOnce is the number of tasks that are classified together: large enough to keep the cores busy with small products, small enough
// for their embeddings to stay in the processor's caches.
func (f *features) atOnce() int {
	spec := f.drawn.Spec()
	return min(50, max(1, (1<<20)/(spec.Way*(spec.Shot+spec.Query)*f.width())))
}

// drawnEpisodes are consecutive episodes of a sampler.
type drawnEpisodes struct {
	first    uint64
	episodes []episode.Episode
	items    []episode.Item // of all episodes, each one's support set before its queries
}

// draw returns the first n episodes in batches, without their images, and computes the embeddings that they need.
func (f *features) draw(ctx context.Context, n int, sum *measure.Checksum) (out []drawnEpisodes, err error) {
	size, spec := f.atOnce(), f.drawn.Spec()
	for first := 0; first < n; first += size {
		d := drawnEpisodes{first: uint64(first)}
		for i := first; i < min(first+size, n); i++ {
			e := f.drawn.Episode(uint64(i))
			d.episodes, d.items = append(d.episodes, e), append(append(d.items, e.Support...), e.Query...)
		}
		sum.Add(d.items, spec.Way*(spec.Shot+spec.Query))
		if err := f.embed(ctx, d.items); err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

// task returns episodes as a task that holds embeddings.
func (f *features) task(d drawnEpisodes) *fewshot.Task {
	spec, width := f.drawn.Spec(), f.width()
	n, support, query := len(d.episodes), spec.Way*spec.Shot, spec.Way*spec.Query
	gather := func(each int, of func(e *episode.Episode) []episode.Item) (x, labels *tensor.Tensor) {
		own := make([]int64, 0, n*each)
		x = tensor.Made(func(values []float32) {
			for i := range d.episodes {
				for _, item := range of(&d.episodes[i]) {
					copy(values[len(own)*width:], f.row(item))
					own = append(own, int64(item.Label))
				}
			}
		}, int64(n), int64(each), int64(width))
		return x.On(f.on), tensor.New(own, int64(n), int64(each)).On(f.on)
	}
	t := &fewshot.Task{Way: int64(spec.Way), First: d.first}
	t.Support, t.SupportLabels = gather(support, func(e *episode.Episode) []episode.Item { return e.Support })
	t.Query, t.QueryLabels = gather(query, func(e *episode.Episode) []episode.Item { return e.Query })
	return t
}

// evaluate scores the first n episodes. On the CPU it evaluates several batches concurrently, because the operations of one batch are
// too small for several threads.
func (f *features) evaluate(ctx context.Context, n int, o evaluation, p measure.Progress) ([]episodeScore, error) {
	batches, err := f.draw(ctx, n, o.sum)
	if err != nil {
		return nil, err
	}
	if p != nil && o.name != "" {
		p.Testing(o.name, n)
	}
	score := func(d drawnEpisodes) ([]episodeScore, error) {
		task := f.task(d)
		logp := f.of.FromFeatures(&nn.Pass{Norm: f.norm}, task)
		scores, err := score(task, logp)
		for i := range scores {
			scores[i].classes = d.episodes[i].Classes
		}
		if o.list && err == nil {
			keepPredictions(scores, d.items, logp)
		}
		return scores, err
	}
	if f.on != tensor.CPU {
		return measure.Evaluate(ctx, slices.Values(batches), n, p, score)
	}
	return measure.EvaluateBeside(ctx, batches, n, p, score)
}

// meanEmbedding returns the mean embedding of the given number of training images of each class, or of all if that is 0. It is
// computed once for each number of images and batch-norm mode.
func (w *fewShot) meanEmbedding(ctx context.Context, images int, norm nn.Norm, on tensor.Device, p measure.Progress) (mean []float32, err error) {
	const what = "mean embedding of the training images"
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: %w", what, err)
		}
	}()
	key := meanKey{images, norm}
	if m, ok := w.means[key]; ok {
		return m, nil
	}
	e, err := w.embedding(w.net, w.parts.Train, norm, on)
	if err != nil {
		return nil, err
	}
	var sum []float64
	add := func(rows []float32, width int) error {
		if sum == nil {
			sum = make([]float64, width)
		}
		for i, v := range rows {
			sum[i%width] += float64(v)
		}
		return nil
	}
	items := e.items(1, images)
	if images > 0 {
		if p != nil {
			p.Testing(what, len(items))
		}
		err = e.each(ctx, items, p, add)
	} else {
		var t *table
		if t, err = e.all(ctx, 1, p); err == nil {
			err = add(t.values, t.width)
		}
	}
	if err != nil {
		return nil, err
	}
	mean = make([]float32, len(sum))
	for i, v := range sum {
		mean[i] = float32(v / float64(len(items)))
	}
	if w.means == nil {
		w.means = map[meanKey][]float32{}
	}
	w.means[key] = mean
	return mean, nil
}

type meanKey struct {
	images int
	norm   nn.Norm
}
