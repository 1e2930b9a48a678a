package kinds

import (
	"context"
	"errors"
	"fmt"

	"github.com/engram-go/engram/episode"
	"github.com/engram-go/engram/experiments/measure"
	"github.com/engram-go/engram/experiments/registry"
	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/results"
	"github.com/engram-go/engram/stream"
	"github.com/engram-go/engram/tensor"
)

// streamTest is a test beside those of episodes: a long stream of labelled examples is written to a memory, one after another,
// and the memory is smaller than the stream. The encoder is the trained one; each of several memories takes the place of the
// network's, under its metric and scale.
type streamTest struct {
	Classes  int      `yaml:"classes" min:"2" doc:"of a stream, all in one memory"`
	Shot     int      `yaml:"shot" min:"1" doc:"examples of each class, in random order among all others"`
	Query    int      `yaml:"query" min:"1" doc:"other examples of each class, asked about"`
	Asked    int      `yaml:"asked" min:"1" doc:"how often all classes seen so far are asked about during the stream; the last time is its end"`
	Streams  int      `yaml:"streams" min:"2" doc:"how many"`
	Center   int      `yaml:"center" min:"0" doc:"subtracts from all embeddings the mean embedding of so many images of each training class; 0 for none"`
	Memories []string `yaml:"memories" family:"memory" doc:"all where none is named"`
	Slots    []int64  `yaml:"slots" minlen:"1" min:"1" doc:"sizes of each bounded memory"`
}

// SetDefaults gives the values of the keys that a file leaves out.
func (t *streamTest) SetDefaults() {
	*t = streamTest{Classes: 100, Shot: 10, Query: 2, Asked: 10, Streams: 20, Slots: []int64{16, 32, 64, 128, 256, 512, 1024}}
}

// Validate implements [schema.Validator].
func (t *streamTest) Validate() error {
	var errs []error
	if t.Asked > t.Classes*t.Shot {
		errs = append(errs, schema.At("asked", fmt.Errorf("a stream of %d examples can be asked about at most %[1]d times", t.Classes*t.Shot)))
	}
	return errors.Join(append(errs, repeated("memories", t.Memories), repeated("slots", t.Slots))...)
}

// repeated returns a value that a list contains twice.
func repeated[T comparable](field string, list []T) error {
	seen := map[T]bool{}
	for i, v := range list {
		if seen[v] {
			return schema.At(fmt.Sprintf("%s.%d", field, i), fmt.Errorf("%v is there twice", v))
		}
		seen[v] = true
	}
	return nil
}

// streamMemory is a memory that streams are written to.
type streamMemory struct {
	kind  string
	slots int64 // 0 where it is not bounded
	plan  registry.Memory
}

func (m streamMemory) String() string {
	if m.slots == 0 {
		return m.kind
	}
	return fmt.Sprintf("%s, %d slots", m.kind, m.slots)
}

// streamMemories plans the memories of all sizes, with the metric and scale of the network's own.
func (w *fewShot) streamMemories(t *streamTest) ([]streamMemory, error) {
	p := w.file.parts
	var out []streamMemory
	for _, kind := range t.Memories {
		sizes := t.Slots
		if !p.BoundedMemory(kind) {
			sizes = []int64{0}
		}
		for _, slots := range sizes {
			m, err := p.Like(kind, w.planned.Memory, slots)
			if err != nil {
				return nil, fmt.Errorf("memory %s: %w", kind, err)
			}
			out = append(out, streamMemory{kind, slots, m})
		}
	}
	return out, nil
}

// makeStream makes the test of a file's stream.
func (w *fewShot) makeStream(t *streamTest) (measure.Test, error) {
	memories, err := w.streamMemories(t)
	if err != nil {
		return measure.Test{}, err
	}
	if _, ok := w.net.(registry.ImageEncoder); !ok {
		return measure.Test{}, fmt.Errorf("%s has no embeddings to write to a memory; leave it out, or use another network", w.file.Network.Kind())
	}
	sampler, err := episode.New(w.parts.Test, episode.Spec{Way: t.Classes, Shot: t.Shot, Query: t.Query, Rotation: w.data.Rotation}, evaluationSeed, "test/stream")
	return measure.Test{Name: "stream", Run: func(ctx context.Context, on tensor.Device, p measure.Progress) (figures []results.Figure, err error) {
		p.Testing(fmt.Sprintf("%s streams of %d examples, memories", w.file.Dataset.Kind(), t.Classes*t.Shot), len(memories))
		err = tensor.Do(func() (err error) {
			tensor.NoGrad(func() {
				var s *embeddedStreams
				if s, err = w.embedStreams(ctx, t, sampler, on, p); err != nil {
					return
				}
				for i, m := range memories {
					var shares [][]float64
					var held int64
					if shares, held, err = s.run(ctx, m.plan, t.Asked); err != nil {
						err = fmt.Errorf("memory %s: %w", m, err)
						return
					}
					figures = append(figures, w.streamFigures(t, m, shares, held, s.sum.String())...)
					p.Tested(i + 1)
				}
			})
			return err
		})
		return figures, err
	}}, err
}

// whilePassing is the metric of the answers during a stream.
const whilePassing = "accuracy while passing"

// streamFigures are the shares of right answers with a memory: at the end of the stream, and the mean over all times at which it was
// asked. held is the number of values that the memory holds at the end.
func (w *fewShot) streamFigures(t *streamTest, m streamMemory, shares [][]float64, held int64, checksum string) []results.Figure {
	end, means := shares[len(shares)-1], make([]float64, t.Streams)
	for i := range means {
		for _, s := range shares {
			means[i] += s[i] / float64(len(shares))
		}
	}
	protocol := results.Protocol{
		Dataset: w.file.Dataset.Kind(), Split: w.data.Split, Rotations: string(w.data.Rotation), Classes: w.parts.Test.Classes(),
		Way: t.Classes, Shot: t.Shot, Query: t.Query, Episodes: t.Streams, Norm: normInductive, Memory: m.kind, Slots: m.slots, Asked: t.Asked, Center: t.Center, Resize: resized(&w.data), Prepared: w.prepared(&w.data),
	}
	a := measure.Accuracy
	atEnd := w.trained().Figure(m.String(), a.Name, a.Factor, end, protocol)
	atEnd.State = held
	atEnd.Scores = measure.Percent(end, t.Classes*t.Query, checksum)
	during := w.trained().Figure(m.String(), whilePassing, a.Factor, means, protocol)
	during.Scores = measure.Percent(means, 100_000, checksum)
	return []results.Figure{atEnd, during}
}

// embeddedStreams are several streams with their embeddings.
type embeddedStreams struct {
	keys, values      *tensor.Tensor // [streams, examples, width] and [streams, examples, classes], in the order of arrival
	queries           *tensor.Tensor // [streams, queries, width]
	arrived           [][]int64      // the class of each example, by stream
	asked             [][]int64      // the class of each query, by stream
	classes           int
	examples, streams int // of a stream, and how many
	sum               *measure.Checksum
}

// embedStreams draws the streams of a test and embeds them. Their tensors belong to the current scope.
func (w *fewShot) embedStreams(ctx context.Context, t *streamTest, s *episode.Sampler, on tensor.Device, p measure.Progress) (*embeddedStreams, error) {
	net := w.net.(registry.ImageEncoder)
	var center *tensor.Tensor
	if t.Center > 0 {
		mean, err := w.meanEmbedding(ctx, t.Center, nn.RunningStats, on, p)
		if err != nil {
			return nil, err
		}
		center = tensor.New(mean, int64(len(mean))).On(on)
	}
	out := &embeddedStreams{classes: t.Classes, examples: t.Classes * t.Shot, streams: t.Streams, sum: measure.NewChecksum(s.Set(), t.Streams)}
	var keys, values, queries []*tensor.Tensor
	embed := func(b *episode.Batch, images episode.Pixels, n int) *tensor.Tensor {
		channels, height, width := b.Channels, b.Height, b.Width
		size := channels * height * width
		var parts []*tensor.Tensor
		for at, together := 0, w.batchSize(1, nn.RunningStats); at < n; at += together {
			m := min(together, n-at)
			parts = append(parts, tensor.Eval(func() *tensor.Tensor {
				x := fewshot.Images(images.Slice(at*size, (at+m)*size), on, int64(m), int64(channels), int64(height), int64(width))
				return net.Encode(&nn.Pass{Norm: nn.RunningStats}, x)
			}))
		}
		all := tensor.Cat(0, parts...)
		if center != nil {
			all = all.Sub(center.To(all.DType()))
		}
		return all
	}
	for i := range t.Streams {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		b := s.Batch(uint64(i), 1)
		out.sum.Add(b.Items, len(b.Items))
		order, arrived := make([]int64, out.examples), make([]int64, out.examples)
		for j, from := range stream.New(evaluationSeed, "stream/order", uint64(i)).Perm(out.examples) {
			order[j], arrived[j] = int64(from), b.SupportLabels[from]
		}
		support := embed(b, b.Support, out.examples).IndexSelect(0, tensor.New(order, int64(len(order))).On(on))
		labels := tensor.New(arrived, int64(len(arrived))).On(on)
		keys = append(keys, support)
		values = append(values, labels.OneHot(int64(t.Classes)).To(support.DType()))
		queries = append(queries, embed(b, b.QueryImages, t.Classes*t.Query))
		out.arrived, out.asked = append(out.arrived, arrived), append(out.asked, b.QueryLabels)
	}
	out.keys, out.values, out.queries = tensor.Stack(0, keys...), tensor.Stack(0, values...), tensor.Stack(0, queries...)
	return out, measure.Finite(out.keys, remedy)
}

// run writes the streams to a memory, example by example, and returns the share of right answers of each stream at each of the
// times that it is asked, [asked][streams], and how many numbers the memory holds of a stream at its end.
func (s *embeddedStreams) run(ctx context.Context, planned registry.Memory, asked int) (shares [][]float64, held int64, err error) {
	b := nn.NewBuilder(0, s.keys.Device())
	defer b.Params().Free()
	m, err := planned.New(b, registry.Vectors(s.keys.Dim(2)))
	if err != nil {
		return nil, 0, err
	}
	if n := b.Params().Count(); n > 0 {
		return nil, 0, fmt.Errorf("it has %d parameters that nothing has trained; leave it out of stream.memories", n)
	}
	p := &nn.Pass{Norm: nn.RunningStats}
	state := m.Init(int64(s.streams))
	for i := range s.examples {
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
		state = s.write(p, m, state, int64(i))
		if done := i + 1; done*asked/s.examples > i*asked/s.examples {
			share, err := s.ask(p, m, state, done)
			if err != nil {
				return nil, 0, err
			}
			shares = append(shares, share)
		}
	}
	held = memory.Numbers(state)
	for _, t := range state.Tensors() {
		t.Tensor.Free()
	}
	return shares, held / int64(s.streams), nil
}

// write writes the next example of each stream and frees the previous state. A single scope for the whole stream would keep all
// states.
func (s *embeddedStreams) write(p *nn.Pass, m memory.Associative, state memory.State, at int64) memory.State {
	scope := tensor.Enter()
	defer scope.Leave()
	// Copies, since a memory may keep what it is given.
	next := m.Write(p, state, s.keys.Narrow(1, at, 1).MulScalar(1), s.values.Narrow(1, at, 1).MulScalar(1))
	kept := map[*tensor.Tensor]bool{}
	for _, t := range next.Tensors() {
		kept[scope.Keep(t.Tensor)] = true
	}
	for _, t := range state.Tensors() {
		if !kept[t.Tensor] {
			t.Tensor.Free()
		}
	}
	return next
}

// ask returns the share of right answers of each stream on the classes among its first done examples.
func (s *embeddedStreams) ask(p *nn.Pass, m memory.Associative, state memory.State, done int) ([]float64, error) {
	scope := tensor.Enter()
	defer scope.Leave()
	values, _ := m.Read(p, state, s.queries)
	if err := measure.Finite(values, remedy); err != nil {
		return nil, err
	}
	answers := tensor.Values[int64](values.Argmax(-1).On(tensor.CPU))
	out := make([]float64, s.streams)
	for i := range out {
		seen := make([]bool, s.classes)
		for _, class := range s.arrived[i][:done] {
			seen[class] = true
		}
		right, all := 0, 0
		for j, class := range s.asked[i] {
			if seen[class] {
				all++
				if answers[i*len(s.asked[i])+j] == class {
					right++
				}
			}
		}
		out[i] = float64(right) / float64(all)
	}
	return out, nil
}
