package kinds

import (
	"context"
	"fmt"
	"iter"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/episode"
	"github.com/engram-go/engram/experiments/measure"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// maxFeatures bounds the values that a test's embeddings may hold in memory together: 1 GiB of float32. A test that would need
// more embeds the images of each episode anew.
const maxFeatures = 1 << 28

// features classify the episodes of a sampler by embeddings of their images, each computed once, when an episode first needs it.
// The results are those of embedding each episode by itself, up to rounding: convolutions choose their algorithm by the size of
// a batch.
type features struct {
	*embeddings
	drawn *episode.Sampler
	net   fewshot.FeatureNetwork
	pass  *nn.Pass
	on    tensor.Device
	batch int // images per evaluation of the encoder

	pixels episode.Pixels
}

// embeddings are those of some images of a set by one encoder.
type embeddings struct {
	width  int
	rows   map[imageKey]int // of values
	values []float32        // [rows, width]
}

// imageKey tells the images of a set apart.
type imageKey struct{ class, instance, quarter int }

func keyOf(i episode.Item) imageKey { return imageKey{i.Class, i.Instance, i.Quarter} }

// keptKey tells the embeddings apart that a run's tests have in common.
type keptKey struct {
	classes string
	norm    nn.Norm
}

// newFeatures prepares the embeddings for the first n episodes of a sampler; it adds to kept unless that is nil. It returns nil
// where embeddings depend on more than the image, or would take too much memory: the network is then evaluated on images.
func (w *fewShot) newFeatures(net fewshot.Network, s *episode.Sampler, n int, norm nn.Norm, kept *embeddings, on tensor.Device) (*features, error) {
	of, ok := fewshot.Features(net)
	if !ok || w.planned.ByTask || norm == nn.BatchStats && fewshot.UsesBatchStatistics(net) {
		return nil, nil
	}
	if kept == nil {
		kept = newEmbeddings()
	}
	f := &features{embeddings: kept, drawn: s, net: of, pass: &nn.Pass{Norm: norm}, on: on, batch: w.imagesAtOnce()}
	first := s.Episode(0)
	if err := f.embed(first.Support[:1]); err != nil {
		return nil, err
	}
	spec := s.Spec()
	if most := min(imagesOf(s.Set(), spec.Rotation), n*spec.Way*(spec.Shot+spec.Query)); most > maxFeatures/f.width {
		return nil, nil
	}
	return f, nil
}

func newEmbeddings() *embeddings { return &embeddings{rows: map[imageKey]int{}} }

// imagesOf counts the images that a sampler can draw from a set.
func imagesOf(set dataset.Set, r dataset.Rotation) (n int) {
	for class := range set.Classes() {
		n += set.Instances(class)
	}
	if r.Drawn() {
		n *= 4
	}
	return n
}

// imagesAtOnce is the number of images per evaluation of an encoder.
func (w *fewShot) imagesAtOnce() int {
	return max(1, EvaluationPixels/(w.data.Options.Height*w.data.Options.Width))
}

// embed computes the embeddings of those of the items that have none.
func (f *features) embed(items []episode.Item) error {
	var missing []episode.Item
	for _, i := range items {
		if _, ok := f.rows[keyOf(i)]; !ok {
			f.rows[keyOf(i)] = len(f.rows)
			missing = append(missing, i)
		}
	}
	for len(missing) > 0 {
		some := missing[:min(f.batch, len(missing))]
		missing = missing[len(some):]
		values, width, err := encode(f.drawn, some, &f.pixels, f.net, f.pass, f.on)
		if err != nil {
			return err
		}
		f.width, f.values = width, append(f.values, values...)
	}
	return nil
}

// encode returns the embeddings of items, one after another, and their width.
func encode(
	s *episode.Sampler, items []episode.Item, room *episode.Pixels, net interface {
		Encode(p *nn.Pass, images *tensor.Tensor) *tensor.Tensor
	}, p *nn.Pass, on tensor.Device,
) (values []float32, width int, err error) {
	s.Images(room, items)
	channels, height, wide := s.Set().Shape()
	err = tensor.Do(func() error {
		tensor.NoGrad(func() {
			out := net.Encode(p, fewshot.Images(*room, on, int64(len(items)), int64(channels), int64(height), int64(wide)))
			width, values = int(out.Dim(1)), tensor.Values[float32](out.To(tensor.Float32).On(tensor.CPU))
		})
		return nil
	})
	return values, width, err
}

// atOnce is how many tasks are classified together: enough to keep the cores busy with small products, few enough that their
// embeddings stay in the processor's caches.
func (f *features) atOnce() int {
	spec := f.drawn.Spec()
	return min(50, max(1, (1<<21)/(spec.Way*(spec.Shot+spec.Query)*f.width)))
}

// drawnEpisodes are consecutive episodes of a sampler.
type drawnEpisodes struct {
	first    uint64
	episodes []episode.Episode
}

// draw gives the first n episodes in batches, without their images.
func (f *features) draw(ctx context.Context, n int) iter.Seq[drawnEpisodes] {
	size := f.atOnce()
	return func(yield func(drawnEpisodes) bool) {
		for first := 0; first < n && ctx.Err() == nil; first += size {
			d := drawnEpisodes{first: uint64(first)}
			for i := first; i < min(first+size, n); i++ {
				d.episodes = append(d.episodes, f.drawn.Episode(uint64(i)))
			}
			if !yield(d) {
				return
			}
		}
	}
}

// task returns episodes as a task that holds embeddings.
func (f *features) task(d drawnEpisodes) (*fewshot.Task, error) {
	spec := f.drawn.Spec()
	n, support, query := len(d.episodes), spec.Way*spec.Shot, spec.Way*spec.Query
	for _, e := range d.episodes {
		if err := f.embed(e.Support); err != nil {
			return nil, err
		}
		if err := f.embed(e.Query); err != nil {
			return nil, err
		}
	}
	gather := func(each int, of func(e *episode.Episode) []episode.Item) (x, labels *tensor.Tensor) {
		own := make([]int64, 0, n*each)
		x = tensor.Made(func(values []float32) {
			for i := range d.episodes {
				for _, item := range of(&d.episodes[i]) {
					row := f.rows[keyOf(item)]
					copy(values[len(own)*f.width:], f.values[row*f.width:(row+1)*f.width])
					own = append(own, int64(item.Label))
				}
			}
		}, int64(n), int64(each), int64(f.width))
		return x.On(f.on), tensor.New(own, int64(n), int64(each)).On(f.on)
	}
	t := &fewshot.Task{Way: int64(spec.Way), First: d.first}
	t.Support, t.SupportLabels = gather(support, func(e *episode.Episode) []episode.Item { return e.Support })
	t.Query, t.QueryLabels = gather(query, func(e *episode.Episode) []episode.Item { return e.Query })
	return t, nil
}

// evaluate scores the first n episodes.
func (f *features) evaluate(ctx context.Context, n int, o evaluation, p measure.Progress) ([]episodeScore, error) {
	spec := f.drawn.Spec()
	return measure.Evaluate(ctx, f.draw(ctx, n), n, p, func(d drawnEpisodes) ([]episodeScore, error) {
		var items []episode.Item
		for _, e := range d.episodes {
			items = append(append(items, e.Support...), e.Query...)
		}
		o.sum.Add(items, spec.Way*(spec.Shot+spec.Query))
		task, err := f.task(d)
		if err != nil {
			return nil, err
		}
		logp := f.net.FromFeatures(f.pass, task)
		scores, err := score(task, logp)
		for i := range scores {
			scores[i].classes = d.episodes[i].Classes
		}
		if o.list && err == nil {
			keepPredictions(scores, items, logp)
		}
		return scores, err
	})
}

// meanEmbedding returns the mean embedding of the training images: of the first images of each class, 0 for all. It is computed
// once for each number of images and mode of batch norm.
func (w *fewShot) meanEmbedding(ctx context.Context, images int, norm nn.Norm, on tensor.Device, p measure.Progress) ([]float32, error) {
	key := meanKey{images, norm}
	if m, ok := w.means[key]; ok {
		return m, nil
	}
	net, ok := w.net.(interface {
		Encode(p *nn.Pass, images *tensor.Tensor) *tensor.Tensor
	})
	if !ok {
		return nil, fmt.Errorf("%s has no embeddings of single images", w.file.Network.Kind())
	}
	set := w.parts.Train
	s, err := episode.New(set, episode.Spec{Way: 1, Shot: 1, Rotation: w.data.Rotation}, evaluationSeed, "mean")
	if err != nil {
		return nil, err
	}
	var all []episode.Item
	for class := range set.Classes() {
		n := set.Instances(class)
		if images > 0 {
			n = min(n, images)
		}
		for i := range n {
			all = append(all, episode.Item{Class: class, Instance: i})
		}
	}
	if p != nil {
		p.Testing("mean embedding of the training images", len(all))
	}
	var sum []float64
	var room episode.Pixels
	for at := 0; at < len(all); {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		some := all[at:min(at+w.imagesAtOnce(), len(all))]
		values, width, err := encode(s, some, &room, net, &nn.Pass{Norm: norm}, on)
		if err != nil {
			return nil, err
		}
		if sum == nil {
			sum = make([]float64, width)
		}
		for i, v := range values {
			sum[i%width] += float64(v)
		}
		if at += len(some); p != nil {
			p.Tested(at)
		}
	}
	mean := make([]float32, len(sum))
	for i, v := range sum {
		mean[i] = float32(v / float64(len(all)))
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
