package experiments

import (
	"context"
	"errors"
	"fmt"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/episode"
	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/metric"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/results"
	"github.com/engram-go/engram/stream"
	"github.com/engram-go/engram/tensor"
)

// streamTest is a test beside those of episodes: a long stream of labelled examples goes by, one after another, and the
// memory that they are written to is smaller than the stream. The encoder is the trained one; each of several memories takes
// the place of the network's, under its metric and scale.
type streamTest struct {
	Classes  int      `yaml:"classes" min:"2" doc:"of a stream, all in one memory"`
	Shot     int      `yaml:"shot" min:"1" doc:"examples of each class, in random order among all others"`
	Query    int      `yaml:"query" min:"1" doc:"other examples of each class, asked about"`
	Asked    int      `yaml:"asked" min:"1" doc:"times that all classes seen so far are asked about as the stream goes by; the last is its end"`
	Streams  int      `yaml:"streams" min:"2" doc:"how many"`
	Memories []string `yaml:"memories" minlen:"1" enum:"keyvalue,prototype,lrua,ntm,dnc"`
	Slots    []int64  `yaml:"slots" minlen:"1" min:"1" doc:"sizes of each bounded memory: lrua, ntm, dnc"`
}

// SetDefaults gives the values of the keys that a file leaves out.
func (t *streamTest) SetDefaults() {
	*t = streamTest{
		Classes: 100, Shot: 10, Query: 2, Asked: 10, Streams: 20,
		Memories: []string{"keyvalue", "prototype", "lrua", "ntm", "dnc"}, Slots: []int64{16, 32, 64, 128, 256, 512, 1024},
	}
}

// Validate implements schema.Validator.
func (t *streamTest) Validate() error {
	var errs []error
	if t.Asked > t.Classes*t.Shot {
		errs = append(errs, schema.At("asked", fmt.Errorf("a stream of %d examples can be asked about %d times at most", t.Classes*t.Shot, t.Classes*t.Shot)))
	}
	return errors.Join(append(errs, repeated("memories", t.Memories), repeated("slots", t.Slots))...)
}

// repeated reports what a list names twice.
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

// held is a memory that a stream goes by.
type held struct {
	kind  string
	slots int64 // 0 where it is not bounded
}

func (h held) String() string {
	if h.slots == 0 {
		return h.kind
	}
	return fmt.Sprintf("%s, %d slots", h.kind, h.slots)
}

// held lists the memories of all sizes.
func (t *streamTest) held() []held {
	var out []held
	for _, kind := range t.Memories {
		if _, bounded := writeRules[kind]; !bounded {
			out = append(out, held{kind, 0})
			continue
		}
		for _, slots := range t.Slots {
			out = append(out, held{kind, slots})
		}
	}
	return out
}

// imageEncoder is a network whose embeddings are the keys of a memory.
type imageEncoder interface {
	// Encode maps images [n, channels, height, width] to embeddings [n, width].
	Encode(p *nn.Pass, images *tensor.Tensor) *tensor.Tensor
}

// planStream returns what makes a network's memories for streams, from the section of the network once it is decoded.
func planStream(network *schema.Section) (func(h held) memory.Associative, error) {
	if c, ok := network.Resolved().(*matchingnetConfig); ok && c.Context.Kind() != "none" {
		return nil, c.Context.Errorf("a stream has no support set whose context embeddings could depend on; use none")
	}
	measure := network.Resolved().(interface{ measure() *memoryConfig }).measure()
	switch kind := measure.Metric.Kind(); kind {
	case "mahalanobis", "weighted-manhattan", "relation":
		return nil, measure.Metric.Errorf("%s is learned and belongs to the network's own memory; a stream takes a metric that is not", kind)
	}
	m, err := planMetric(&measure.Metric)
	if err != nil {
		return nil, err
	}
	return func(h held) memory.Associative { return h.make(m(nil, nil), measure.Scale) }, nil // nothing is learned: no parameters
}

func (h held) make(m metric.Metric, scale float64) memory.Associative {
	switch h.kind {
	case "keyvalue":
		return memory.NewKeyValue(memory.KeyValueConfig{Metric: m, Scale: scale})
	case "prototype":
		return memory.NewPrototype(memory.PrototypeConfig{Metric: m, Scale: scale})
	}
	return memory.NewBounded(memory.BoundedConfig{Rule: writeRules[h.kind], Slots: h.slots, Metric: m, Scale: scale})
}

// loadStream makes the sampler of a file's stream, and says what of the data does not suffice.
func (w *fewshotWork) loadStream() (err error) {
	t := w.file.Stream
	w.passing, err = episode.New(w.parts.Test, episode.Spec{Way: t.Classes, Shot: t.Shot, Query: t.Query, Rotation: w.data.rotation}, evaluationSeed, "test/stream")
	if err != nil {
		return fmt.Errorf("stream: %w", err)
	}
	return nil
}

// passing is a number of streams at once, embedded.
type passing struct {
	keys, values      *tensor.Tensor // [streams, examples, width] and [streams, examples, classes], in the order of arrival
	queries           *tensor.Tensor // [streams, queries, width]
	arrived           [][]int64      // the class of each example, by stream
	asked             [][]int64      // the class of each query, by stream
	classes           int
	examples, streams int // of a stream, and how many
}

// streams draws the streams of a test and embeds them. Their tensors belong to the scope at hand.
func (w *fewshotWork) streams(ctx context.Context, on tensor.Device) (*passing, error) {
	t, s, encode := w.file.Stream, w.passing, w.net.(imageEncoder)
	out := &passing{classes: t.Classes, examples: t.Classes * t.Shot, streams: t.Streams}
	var keys, values, queries []*tensor.Tensor
	embed := func(images episode.Pixels, n int) *tensor.Tensor {
		channels, height, width := s.Set().Shape()
		size := channels * height * width
		var parts []*tensor.Tensor
		for at, together := 0, w.together(1, nn.RunningStats); at < n; at += together {
			m := min(together, n-at)
			parts = append(parts, tensor.Eval(func() *tensor.Tensor {
				x := fewshot.Images(images.Slice(at*size, (at+m)*size), on, int64(m), int64(channels), int64(height), int64(width))
				return encode.Encode(&nn.Pass{Norm: nn.RunningStats}, x)
			}))
		}
		return tensor.Cat(0, parts...)
	}
	for i := range t.Streams {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		b := s.Batch(uint64(i), 1)
		order, arrived := make([]int64, out.examples), make([]int64, out.examples)
		for j, from := range stream.New(evaluationSeed, "stream/order", uint64(i)).Perm(out.examples) {
			order[j], arrived[j] = int64(from), b.SupportLabels[from]
		}
		support := embed(b.Support, out.examples).IndexSelect(0, tensor.New(order, int64(len(order))).On(on))
		labels := tensor.New(arrived, int64(len(arrived))).On(on)
		keys = append(keys, support)
		values = append(values, labels.OneHot(int64(t.Classes)).To(support.DType()))
		queries = append(queries, embed(b.QueryImages, t.Classes*t.Query))
		out.arrived, out.asked = append(out.arrived, arrived), append(out.asked, b.QueryLabels)
	}
	out.keys, out.values, out.queries = tensor.Stack(0, keys...), tensor.Stack(0, values...), tensor.Stack(0, queries...)
	return out, nil
}

// through writes the streams to a memory, example by example, and returns the share of right answers of each stream at each
// of so many times that it is asked, [asked][streams].
func (s *passing) through(ctx context.Context, m memory.Associative, asked int) ([][]float64, error) {
	p := &nn.Pass{Norm: nn.RunningStats}
	state := m.Init(int64(s.streams))
	var shares [][]float64
	for i := range s.examples {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		state = s.write(p, m, state, int64(i))
		if done := i + 1; done*asked/s.examples > i*asked/s.examples {
			shares = append(shares, s.ask(p, m, state, done))
		}
	}
	for _, t := range state.Tensors() {
		t.Tensor.Free()
	}
	return shares, nil
}

// write writes the next example of each stream and frees the state before it: a scope for the whole stream would keep them
// all.
func (s *passing) write(p *nn.Pass, m memory.Associative, state memory.State, at int64) memory.State {
	scope := tensor.Enter()
	defer scope.Leave()
	// Copies, since a memory may hold what it is given.
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

// ask returns the share of right answers of each stream, about the classes of the first so many examples.
func (s *passing) ask(p *nn.Pass, m memory.Associative, state memory.State, done int) []float64 {
	scope := tensor.Enter()
	defer scope.Leave()
	values, _ := m.Read(p, state, s.queries)
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
	return out
}

// whilePassing is the metric of what is answered as a stream goes by.
const whilePassing = "accuracy while passing"

// testStream measures every memory of the file's stream.
func (w *fewshotWork) testStream(ctx context.Context, on tensor.Device, say Reporter) (figures []results.Figure, err error) {
	t := w.file.Stream
	memories := t.held()
	say.Testing(fmt.Sprintf("%s streams of %d examples, memories", w.data.kind, t.Classes*t.Shot), len(memories))
	checksum := drawn(w.passing, t.Streams)
	err = tensor.Do(func() (err error) {
		tensor.NoGrad(func() {
			var s *passing
			if s, err = w.streams(ctx, on); err != nil {
				return
			}
			for i, h := range memories {
				var shares [][]float64
				if shares, err = s.through(ctx, w.stream(h), t.Asked); err != nil {
					return
				}
				figures = append(figures, w.streamFigures(h, shares, checksum)...)
				say.Tested(i + 1)
			}
		})
		return err
	})
	return figures, err
}

// streamFigures are what a memory came to: at the end of the stream, and on the mean over all times that it was asked.
func (w *fewshotWork) streamFigures(h held, shares [][]float64, checksum string) []results.Figure {
	t := w.file.Stream
	end, means := shares[len(shares)-1], make([]float64, t.Streams)
	for i := range means {
		for _, s := range shares {
			means[i] += s[i] / float64(len(shares))
		}
	}
	figure := func(metric string, values []float64, scores *results.Scores) results.Figure {
		mean, half := results.MeanInterval(values)
		return results.Figure{
			Name: h.String(), Metric: metric, Value: accuracy.Factor * mean, Interval: accuracy.Factor * half, Scores: scores,
			Protocol: results.Protocol{
				Dataset: w.data.kind, Split: w.data.split, Rotations: string(w.data.rotation), Classes: w.parts.Test.Classes(),
				Way: t.Classes, Shot: t.Shot, Query: t.Query, Episodes: t.Streams, Norm: normInductive, Memory: h.kind, Slots: h.slots, Asked: t.Asked,
				TrainedOn: w.data.kind, TrainWay: w.file.Train.Way, TrainShot: w.file.Train.Shot, Precision: encoder.FP32,
			},
		}
	}
	percent := make([]float64, len(means))
	for i, m := range means {
		percent[i] = accuracy.Factor * m
	}
	return []results.Figure{
		figure(accuracy.Name, end, percentScores(end, t.Classes*t.Query, checksum)),
		figure(whilePassing, means, results.NewScores(percent, 1000, checksum)),
	}
}
