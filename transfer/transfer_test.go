package transfer

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/episode"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/metric"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/stream"
	"github.com/engram-go/engram/tensor"
)

func flatNet(t *testing.T, a Adaptation) *Net {
	b := nn.NewBuilder(1, tensor.CPU)
	t.Cleanup(b.Params().Free)
	return New(b, testkit.Flatten(testkit.Width), 7, a)
}

func floatTask(seed uint64) *fewshot.Task {
	task := testkit.Task(seed)
	task.Support, task.Query = task.Support.To(tensor.Float32), task.Query.To(tensor.Float32)
	return task
}

// byHand trains the head of the task with an index by plain loops with PyTorch's SGD, and returns the queries' log-probabilities.
func byHand(a Adaptation, index uint64, support [][]float64, labels []int64, queries [][]float64, way int) (out []float64) {
	width := len(support[0])
	w, b := make([][]float64, way), make([]float64, way)
	vw, vb := make([][]float64, way), make([]float64, way)
	count := make([]float64, way)
	for c := range w {
		w[c], vw[c] = make([]float64, width), make([]float64, width)
	}
	for i, x := range support {
		count[labels[i]]++
		for k := range x {
			w[labels[i]][k] += x[k]
		}
	}
	for c := range w {
		for k := range w[c] {
			m := w[c][k] / count[c]
			w[c][k] = 2 * m
			b[c] -= m * m
		}
	}
	logp := func(x []float64) []float64 {
		s, sum := make([]float64, way), 0.
		for c := range s {
			s[c] = b[c]
			for k := range x {
				s[c] += w[c][k] * x[k]
			}
			sum += math.Exp(s[c])
		}
		for c := range s {
			s[c] -= math.Log(sum)
		}
		return s
	}
	r := stream.New(0, "transfer/order", index)
	first := true
	for range a.Epochs {
		order := make([]int, len(support))
		for i := range order {
			order[i] = i
		}
		batch := len(order)
		if a.Batch > 0 && a.Batch < len(order) {
			order, batch = r.Perm(len(order)), a.Batch
		}
		for len(order) > 0 {
			some := order[:min(batch, len(order))]
			order = order[len(some):]
			gw, gb := make([][]float64, way), make([]float64, way)
			for c := range gw {
				gw[c] = make([]float64, width)
			}
			for _, i := range some {
				p := logp(support[i])
				for c := range p {
					e := math.Exp(p[c])
					if int64(c) == labels[i] {
						e--
					}
					e /= float64(len(some))
					gb[c] += e
					for k, x := range support[i] {
						gw[c][k] += e * x
					}
				}
			}
			move := func(w, v *float64, g float64) {
				g += a.Decay * *w
				if first {
					*v = g
				} else {
					*v = a.Momentum**v + (1-a.Dampening)*g
				}
				*w -= a.Rate * *v
			}
			for c := range w {
				move(&b[c], &vb[c], gb[c])
				for k := range w[c] {
					move(&w[c][k], &vw[c][k], gw[c][k])
				}
			}
			first = false
		}
	}
	for _, q := range queries {
		out = append(out, logp(q)...)
	}
	return out
}

func rows(x *tensor.Tensor) (out [][]float64) {
	v := x.Floats()
	for len(v) > 0 {
		out, v = append(out, v[:testkit.Width]), v[testkit.Width:]
	}
	return out
}

// Training the heads of a batch of tasks gives the same as plain loops for each task.
func TestLinearHeadIsTrainedAsByLoops(t *testing.T) {
	testkit.Enter(t)
	for _, a := range []Adaptation{
		{Epochs: 5, Rate: .1, Momentum: .9, Dampening: .5, Decay: .01},
		{Epochs: 4, Batch: 3, Rate: .1, Momentum: .9, Dampening: .9, Decay: .001},
		{Epochs: 3, Batch: 8, Rate: .2, Momentum: .5},
		{},
	} {
		task := floatTask(1)
		task.First = 40
		got := flatNet(t, a).LogProbs(&nn.Pass{}, task)
		require.Equal(t, []int64{testkit.Tasks, testkit.Queries, testkit.Way}, got.Shape())
		for i := range int64(testkit.Tasks) {
			want := byHand(a, task.First+uint64(i), rows(task.Support.Select(0, i)), tensor.Values[int64](task.SupportLabels.Select(0, i)), rows(task.Query.Select(0, i)), testkit.Way)
			assert.InDeltaSlice(t, want, got.Select(0, i).Floats(), 1e-4, "%+v, task %d", a, i)
		}
	}
}

// A head that starts at the class means and is not trained is the nearest-mean classifier.
func TestHeadsStartAtTheClassMeans(t *testing.T) {
	testkit.Enter(t)
	task := floatTask(2)
	for _, c := range []struct {
		trained, mean Adaptation
		measure       metric.Metric
		scale         float64
	}{
		{Adaptation{Head: Linear}, Adaptation{Head: Mean}, metric.SquaredEuclidean{}, 1},
		{Adaptation{Head: Cosine, Scale: 7}, Adaptation{Head: CosineMean, Scale: 7}, metric.Cosine{}, 7},
		{Adaptation{Head: Cosine}, Adaptation{Head: CosineMean}, metric.Cosine{}, DefaultScale},
	} {
		want := task.Recall(&nn.Pass{}, memory.NewPrototype(memory.PrototypeConfig{Metric: c.measure, Scale: c.scale}), task.Support.Flatten(2, -1), task.Query.Flatten(2, -1)).Floats()
		assert.InDeltaSlice(t, want, flatNet(t, c.trained).LogProbs(&nn.Pass{}, task).Floats(), 1e-4)
		assert.InDeltaSlice(t, want, flatNet(t, c.mean).LogProbs(&nn.Pass{}, task).Floats(), 1e-4)
		c.trained.Start = AtRandom
		assert.NotEqual(t, want, flatNet(t, c.trained).LogProbs(&nn.Pass{}, task).Floats())
	}
}

// Both heads learn to classify a support set, from either initialisation; tasks do not influence one another.
func TestHeadsLearnAndTasksAreTheirOwn(t *testing.T) {
	testkit.Enter(t)
	for _, a := range []Adaptation{
		{Head: Linear, Start: AtRandom, Epochs: 200, Rate: .1, Momentum: .9},
		{Head: Cosine, Start: AtRandom, Epochs: 200, Rate: .1, Momentum: .9},
		{Head: Cosine, Epochs: 30, Batch: 4, Rate: .1, Momentum: .9},
	} {
		net, task := flatNet(t, a), floatTask(3)
		own := *task
		own.Query, own.QueryLabels = task.Support, task.SupportLabels
		loss, _ := net.Loss(&nn.Pass{}, &own)
		before := a
		before.Epochs = 0
		start, _ := net.Adapted(before).Loss(&nn.Pass{}, &own)
		assert.Less(t, loss.Float(), start.Float()*.9)

		all := net.LogProbs(&nn.Pass{}, task)
		for i := range int64(testkit.Tasks) {
			assert.InDeltaSlice(t, net.LogProbs(&nn.Pass{}, task.Only(i)).Flatten(0, -1).Floats(), all.Select(0, i).Flatten(0, -1).Floats(), 1e-4)
		}
		blank := *task
		blank.Support = task.Support.ZerosLike()
		assert.True(t, net.LogProbs(&nn.Pass{}, &blank).Finite(), "embeddings of zeros")
	}
}

// The entropy of the queries is part of the loss: with its weight it falls, and the queries then influence one another.
func TestTransductiveFineTuning(t *testing.T) {
	testkit.Enter(t)
	task := floatTask(6)
	entropy := func(a Adaptation) float64 {
		logp := flatNet(t, a).LogProbs(&nn.Pass{}, task)
		return -logp.Exp().Mul(logp).Sum(-1).Mean().Float()
	}
	a := Adaptation{Head: Cosine, Epochs: 20, Rate: .1}
	without := entropy(a)
	assert.False(t, a.Transductive())
	a.Entropy = 1
	assert.True(t, a.Transductive())
	assert.Less(t, entropy(a), .9*without)
	alone := *task
	alone.Query, alone.QueryLabels = task.Query.Narrow(1, 0, 1), task.QueryLabels.Narrow(1, 0, 1)
	for weight, same := range map[float64]bool{0: true, 1: false} {
		a.Entropy = weight
		net := flatNet(t, a)
		first := net.LogProbs(&nn.Pass{}, task).Narrow(1, 0, 1).Floats()
		difference := 0.
		for i, v := range net.LogProbs(&nn.Pass{}, &alone).Floats() {
			difference = max(difference, math.Abs(v-first[i]))
		}
		assert.Equal(t, same, difference < 1e-5, "weight %g: %g", weight, difference)
	}
}

// Copies of one task that differ in their index get different heads and different orders of their examples: the interval
// of a test then covers both. The index alone decides, not how tasks are batched.
func TestRandomnessIsByTheTasksIndex(t *testing.T) {
	testkit.Enter(t)
	single := floatTask(4).Only(0)
	double := &fewshot.Task{
		Way: single.Way, First: 7,
		Support: tensor.Cat(0, single.Support, single.Support), SupportLabels: tensor.Cat(0, single.SupportLabels, single.SupportLabels),
		Query: tensor.Cat(0, single.Query, single.Query), QueryLabels: tensor.Cat(0, single.QueryLabels, single.QueryLabels),
	}
	for name, a := range map[string]Adaptation{
		"initial weights": {Start: AtRandom},
		"order":           {Epochs: 1, Batch: 2, Rate: .5},
	} {
		net := flatNet(t, a)
		both := net.LogProbs(&nn.Pass{}, double)
		assert.NotEqual(t, both.Select(0, 0).Floats(), both.Select(0, 1).Floats(), name)
		for i := range int64(2) {
			one := *single
			one.First = 7 + uint64(i)
			assert.InDeltaSlice(t, net.LogProbs(&nn.Pass{}, &one).Flatten(0, -1).Floats(), both.Select(0, i).Flatten(0, -1).Floats(), 1e-4, name)
		}
	}
}

func conv4(t *testing.T, a Adaptation) (*Net, *nn.Params) {
	b := nn.NewBuilder(1, tensor.CPU)
	t.Cleanup(b.Params().Free)
	e, err := encoder.NewConv4(b.In("encoder"), encoder.Conv4Config{Height: 16, Width: 16, Filters: 6})
	require.NoError(t, err)
	return New(b, e, 14, a), b.Params()
}

func strokes(t *testing.T) dataset.Set {
	set, err := dataset.NewStrokes(1, dataset.DrawnOptions{Train: 12, Val: 1, Test: 1, Instances: 8, Size: 16})
	require.NoError(t, err)
	return set
}

// The encoder's last blocks are tuned in a copy, each at its own rate, with the same result as fewshot.Tune of the same
// parameters.
func TestBlocksAreTunedInACopy(t *testing.T) {
	testkit.Enter(t)
	s, err := episode.New(strokes(t), episode.Spec{Way: 3, Shot: 2, Query: 2, Rotation: dataset.RotateNone}, 1, "test")
	require.NoError(t, err)
	task := fewshot.NewTask(s.Batch(0, 2), tensor.CPU)
	a := Adaptation{Epochs: 3, Rate: .1, EncoderRate: .05, Discount: .5}
	p := &nn.Pass{Norm: nn.BatchStats}
	seen := map[float64]int{}
	for blocks := range 6 {
		a.Blocks = blocks
		net, ps := conv4(t, a)
		rates := map[string]float64{}
		for _, tuned := range net.tuned() {
			rates[firstPart(tuned.Name[len("encoder."):])] = tuned.Rate
		}
		want := map[string]float64{}
		for i, rate := 4, .05; i > 4-min(blocks, 4); i, rate = i-1, rate*.5 {
			want["block"+string(rune('0'+i))] = rate
		}
		assert.Equal(t, want, rates)
		var before [][]float64
		for _, p := range ps.All() {
			before = append(before, p.Value().Floats())
		}
		logp := net.LogProbs(p, task)
		for i, p := range ps.All() {
			assert.Equal(t, before[i], p.Value().Floats(), p.Name)
		}
		seen[logp.Sum().Float()]++

		one := &fewshot.Task{Way: 3, Support: task.Support.Narrow(0, 1, 1), SupportLabels: task.SupportLabels.Narrow(0, 1, 1), Query: task.Query.Narrow(0, 1, 1)}
		own := nn.NewBuilder(0, tensor.CPU)
		hand := &adapted{encoder: net.Encoder, head: newHead(own, Linear, 0, nil, 3, net.Encoder.Width())}
		hand.head.startAtMeans(hand.embed(p, one.Support), one.SupportLabels.OneHot(3))
		if blocks > 0 && blocks < 5 { // frozen embeddings see support and queries in one batch
			params := append(fewshot.Tuned(own.Params().Trained(), .1), net.tuned()...)
			tuned := fewshot.Tune(p, hand, params, one, fewshot.Tuning{Steps: 3})
			assert.InDeltaSlice(t, hand.logProbs(tuned, one.Query).Flatten(0, -1).Floats(), logp.Select(0, 1).Flatten(0, -1).Floats(), 1e-4)
		}
		own.Params().Free()
	}
	assert.Len(t, seen, 5, "0 to 4 blocks differ, and 5 are 4")
}

func TestBlocksByName(t *testing.T) {
	for _, c := range []struct {
		names []string
		want  []int
	}{
		{nil, nil},
		{[]string{"weight"}, []int{1}},
		{[]string{"encoder.conv.weight", "encoder.conv.bias"}, []int{1, 1}},
		{[]string{"encoder.block1.conv.weight", "encoder.block1.norm.weight", "encoder.block2.conv.weight"}, []int{2, 1}},
		{[]string{"encoder.net.conv1.weight", "encoder.net.layer1.0.conv.weight", "encoder.net.layer1.1.conv.weight", "encoder.net.fc.weight"}, []int{1, 2, 1}},
	} {
		b := nn.NewBuilder(1, tensor.CPU)
		for _, name := range c.names {
			b.Param(name, nn.Constant(0), 1)
		}
		b.Buffer("encoder.running", nn.Constant(0), 1)
		var got []int
		for _, block := range Blocks(nil, b.Params()) {
			got = append(got, len(block))
		}
		assert.Equal(t, c.want, got, c.names)
		b.Params().Free()
	}
}

// Pre-training lowers its loss in a few steps, for either kind of head.
func TestPreTrainingLearns(t *testing.T) {
	testkit.Enter(t)
	set := strokes(t)
	images, err := episode.NewLabelled(set, episode.LabelledSpec{}, 1, "train")
	require.NoError(t, err)
	for _, a := range []Adaptation{{Head: Linear}, {Head: Cosine}, {Head: CosineMean}} {
		net, ps := conv4(t, a)
		opt := nn.NewAdam(ps, nn.DefaultAdam())
		var losses []float64
		for step := range uint64(60) {
			s := tensor.Enter()
			var b episode.LabelledBatch
			images.Fill(&b, step, 32)
			loss, _ := net.Classify(&nn.Pass{Training: true}, fewshot.Images(b.Images, tensor.CPU, 32, 1, 16, 16), tensor.New(b.Labels, 32))
			losses = append(losses, loss.Float())
			opt.Step(tensor.Grad(loss, ps.Tensors()...), 1e-2)
			s.Leave()
		}
		opt.Free()
		if a.Head == Linear {
			assert.InDelta(t, math.Log(14), losses[0], .7)
		}
		assert.Less(t, losses[len(losses)-1], .8*losses[0])
	}
}

// The distilled loss is the cross-entropy and T² times the divergence from the teacher, by plain loops; a teacher with the
// network's own parameters has no divergence in running statistics.
func TestDistillation(t *testing.T) {
	testkit.Enter(t)
	build := func(seed uint64) (*Net, *nn.Params) {
		b := nn.NewBuilder(seed, tensor.CPU)
		t.Cleanup(b.Params().Free)
		return New(b, testkit.Flatten(testkit.Width), 3, Adaptation{}), b.Params()
	}
	net, ps := build(1)
	other, others := build(2)
	images, labels := floatTask(8).Support.Select(0, 0), []int64{0, 1, 2, 0, 1, 2, 0, 1}
	truth := tensor.New(labels, 8)
	plain, _ := net.Classify(&nn.Pass{Training: true}, images, truth)
	net.Teacher = &Teacher{Params: map[*nn.Param]*nn.Param{}, Weight: .3, Temperature: 4}
	for i, p := range ps.All() {
		net.Teacher.Params[p] = others.All()[i]
	}
	loss, _ := net.Classify(&nn.Pass{Training: true}, images, truth)
	softened := func(n *Net) [][]float64 {
		return classRows(n.classScores(&nn.Pass{}, images).MulScalar(1./4).Softmax(-1), 3)
	}
	want := 0.
	teacher := softened(other)
	for i, student := range softened(net) {
		for c, q := range student {
			want += 16 * teacher[i][c] * (math.Log(teacher[i][c]) - math.Log(q)) / 8
		}
	}
	assert.InDelta(t, .7*plain.Float()+.3*want, loss.Float(), 1e-5)
	for _, g := range tensor.Grad(loss, others.Tensors()...) {
		assert.Nil(t, g, "the teacher learns nothing")
	}
	for i, p := range ps.All() {
		net.Teacher.Params[p] = ps.All()[i]
	}
	loss, _ = net.Classify(&nn.Pass{Training: true}, images, truth)
	assert.InDelta(t, .7*plain.Float(), loss.Float(), 1e-6)
}

func classRows(x *tensor.Tensor, classes int) (out [][]float64) {
	for v := x.Floats(); len(v) > 0; v = v[classes:] {
		out = append(out, v[:classes])
	}
	return out
}
