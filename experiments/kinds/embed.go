package kinds

import (
	"context"
	"fmt"
	"slices"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/episode"
	"github.com/engram-go/engram/experiments/measure"
	"github.com/engram-go/engram/experiments/registry"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// The splits of a run's own data whose images can be embedded.
const (
	SplitTraining   = "training"
	SplitValidation = "validation"
	SplitTest       = "test"
)

// Embedder is work whose network embeds images.
type Embedder interface {
	// Part is the set of a split of the run's data, once it is loaded.
	Part(split string) (dataset.Set, error)
	// Embed returns the embeddings of all images of a set, class by class, [images, width] row by row, in evaluation mode: batch norm by running
	// statistics.
	Embed(ctx context.Context, set dataset.Set, on tensor.Device, p measure.Progress) (values []float32, width int, err error)
	// Embeds refuses a network that embeds no images by themselves. It needs no network yet.
	Embeds() error
}

// Embeds implements [Embedder].
func (w *fewShot) Embeds() error {
	if w.planned.ByTask {
		return fmt.Errorf("%s adapts its encoder to each task, so that an image has no embedding by itself", w.file.Network.Kind())
	}
	return nil
}

// Part implements [Embedder].
func (w *fewShot) Part(split string) (dataset.Set, error) {
	set := map[string]dataset.Set{SplitTraining: w.parts.Train, SplitValidation: w.parts.Val, SplitTest: w.parts.Test}[split]
	if set == nil || set.Classes() == 0 {
		return nil, fmt.Errorf("the split %s has no classes for %s", w.data.Split, split)
	}
	return set, nil
}

// Embed implements [Embedder].
func (w *fewShot) Embed(ctx context.Context, set dataset.Set, on tensor.Device, p measure.Progress) (values []float32, width int, err error) {
	e, err := w.embedding(w.net, set, nn.RunningStats, on)
	if err != nil {
		return nil, 0, err
	}
	table, err := e.all(ctx, 1, p)
	if err != nil {
		return nil, 0, err
	}
	return table.values, table.width, nil
}

// embedding computes the embeddings of a set's images.
type embedding struct {
	work  *fewShot
	net   registry.ImageEncoder
	set   dataset.Set
	norm  nn.Norm
	on    tensor.Device
	batch int // images per evaluation of the encoder

	reader *episode.Reader
	room   episode.Pixels
}

// things names what is embedded: images or texts.
func (e *embedding) things() string { return ofWhat(&e.work.data) }

// embedding embeds the images of a set by the encoder of a network.
func (w *fewShot) embedding(net any, set dataset.Set, norm nn.Norm, on tensor.Device) (*embedding, error) {
	of, ok := net.(registry.ImageEncoder)
	if !ok {
		return nil, fmt.Errorf("%s has no encoder that embeds %s one by one", w.file.Network.Kind(), ofWhat(&w.data))
	}
	size := w.pixels()
	if !w.data.Text {
		_, height, width := set.Shape()
		size = height * width
	}
	return &embedding{
		work: w, net: of, set: set, norm: norm, on: on, batch: max(1, EvaluationPixels/size), reader: episode.NewReader(set),
	}, nil
}

// each embeds the items in batches and passes the embeddings of each batch, [n, width] row by row, to take.
func (e *embedding) each(ctx context.Context, items []episode.Item, p measure.Progress, take func(rows []float32, width int) error) error {
	if dataset.Rows(e.set) != nil {
		return e.eachText(ctx, items, p, take)
	}
	return e.inOrder(ctx, items, p, take)
}

// textWindow is the number of texts that are sorted by length at a time.
const textWindow = 4096

// eachText does the same for texts. It embeds them in the order of their lengths, so that batches contain little padding.
func (e *embedding) eachText(ctx context.Context, items []episode.Item, p measure.Progress, take func(rows []float32, width int) error) error {
	row := dataset.Rows(e.set)
	done := 0
	for window := range slices.Chunk(items, textWindow) {
		order := make([]int, len(window))
		for i := range order {
			order[i] = i
		}
		length := func(i int) int { return len(row(window[i].Class, window[i].Instance)) }
		slices.SortStableFunc(order, func(a, b int) int { return length(a) - length(b) })
		sorted := make([]episode.Item, len(window))
		for i, from := range order {
			sorted[i] = window[from]
		}
		var values []float32
		width, at := 0, 0
		err := e.inOrder(ctx, sorted, nil, func(rows []float32, w int) error {
			if values == nil {
				width, values = w, make([]float32, w*len(window))
			}
			for ; len(rows) > 0; rows, at = rows[w:], at+1 {
				copy(values[order[at]*w:], rows[:w])
			}
			if p != nil {
				p.Tested(done + at)
			}
			return nil
		})
		if err == nil && len(window) > 0 {
			err = take(values, width)
		}
		if err != nil {
			return err
		}
		done += len(window)
	}
	return nil
}

// inOrder embeds items in their order.
func (e *embedding) inOrder(ctx context.Context, items []episode.Item, p measure.Progress, take func(rows []float32, width int) error) error {
	for done := 0; done < len(items); {
		if err := ctx.Err(); err != nil {
			return err
		}
		some := items[done:min(done+e.batch, len(items))]
		channels, height, wide := e.reader.Images(&e.room, some)
		err := tensor.Do(func() (err error) {
			tensor.NoGrad(func() {
				images := fewshot.Images(e.room, e.on, int64(len(some)), int64(channels), int64(height), int64(wide))
				out := e.net.Encode(&nn.Pass{Norm: e.norm}, images)
				if err = measure.Finite(out, remedy); err == nil {
					err = take(tensor.Values[float32](out.To(tensor.Float32).On(tensor.CPU).Contiguous()), int(out.Dim(1)))
				}
			})
			return err
		})
		if err != nil {
			return err
		}
		if done += len(some); p != nil {
			p.Tested(done)
		}
	}
	return nil
}

// width is the size of an embedding.
func (e *embedding) width(ctx context.Context) (width int, err error) {
	err = e.each(ctx, e.items(1, 1)[:1], nil, func(_ []float32, w int) error { width = w; return nil })
	return width, err
}

// items lists the images of the set: class by class, instance by instance, rotation by rotation. It lists the given number of
// instances of each class, or all if that is 0.
func (e *embedding) items(quarters, most int) (out []episode.Item) {
	for class := range e.set.Classes() {
		n := e.set.Instances(class)
		if most > 0 {
			n = min(n, most)
		}
		for i := range n {
			for q := range quarters {
				out = append(out, episode.Item{Class: class, Instance: i, Quarter: q})
			}
		}
	}
	return out
}

// table is the embeddings of all images of a set.
type table struct {
	start    []int // the first image of each class
	quarters int   // rotations of each image
	width    int
	values   []float32 // [images, quarters, width]; perhaps mapped, and read-only
}

// row is the embedding of an image.
func (t *table) row(i episode.Item) []float32 {
	at := ((t.start[i.Class]+i.Instance)*t.quarters + i.Quarter) * t.width
	return t.values[at : at+t.width]
}

func (e *embedding) newTable(quarters, width int, values []float32) *table {
	t := &table{quarters: quarters, width: width, values: values}
	n := 0
	for class := range e.set.Classes() {
		t.start = append(t.start, n)
		n += e.set.Instances(class)
	}
	return t
}

// all returns the embeddings of all images of the set in a number of rotations. It reads them from the cache, or computes them and
// caches them if that is worthwhile.
func (e *embedding) all(ctx context.Context, quarters int, p measure.Progress) (*table, error) {
	if t, err := e.kept(ctx, quarters, p); t != nil || err != nil {
		return t, err
	}
	return e.compute(ctx, quarters, p)
}

// allWithin is [embedding.all], but returns nil for embeddings that are not cached and have more than the given number of values.
func (e *embedding) allWithin(ctx context.Context, quarters, most int, p measure.Progress) (*table, error) {
	if t, err := e.kept(ctx, quarters, p); t != nil || err != nil {
		return t, err
	}
	width, err := e.width(ctx)
	if err != nil || imagesOf(e.set, quarters) > most/width {
		return nil, err
	}
	return e.compute(ctx, quarters, p)
}

// compute returns the embeddings of all images, in memory.
func (e *embedding) compute(ctx context.Context, quarters int, p measure.Progress) (*table, error) {
	items := e.items(quarters, 0)
	var values []float32
	width := 0
	announce(p, len(items))
	err := e.each(ctx, items, p, func(rows []float32, w int) error {
		if values == nil {
			width, values = w, make([]float32, 0, w*len(items))
		}
		values = append(values, rows...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return e.newTable(quarters, width, values), nil
}

func announce(p measure.Progress, images int) {
	if p != nil {
		p.Testing("the encoder", images)
	}
}
