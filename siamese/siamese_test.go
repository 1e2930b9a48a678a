package siamese_test

import (
	"fmt"
	"math"
	"math/rand/v2"
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
	"github.com/engram-go/engram/siamese"
	"github.com/engram-go/engram/tensor"
)

// pixels makes a network whose embeddings are the images of [testkit.Task], in float64, with given parameters.
func pixels(t *testing.T, c siamese.Config, bias float64) (*siamese.Net, *nn.Pass) {
	b := nn.NewBuilder(1, tensor.CPU)
	t.Cleanup(b.Params().Free)
	net := siamese.New(b, encoder.NewPixels(1, 2, 3), c)
	m, _ := net.Memory.(siamese.Memory).Measure()
	return net, &nn.Pass{With: map[*nn.Param]*tensor.Tensor{
		net.Bias: tensor.New([]float64{bias}, 1), m.(*metric.WeightedManhattan).Weight: tensor.New(alpha(), 6),
	}}
}

// scaled is the paper's memory with its scores multiplied by scale.
func scaled(t *testing.T, scale float64) siamese.Memory {
	b := nn.NewBuilder(1, tensor.CPU)
	t.Cleanup(b.Params().Free)
	return memory.NewKeyValue(memory.KeyValueConfig{Metric: metric.NewWeightedManhattan(b, 6), Scale: scale})
}

func alpha() []float64 { return []float64{3, -.6, 1.8, 6, 0, 1.2} }

// distance is the paper's weighted Manhattan distance with the weights above.
func distance(x, y []float64) (d float64) {
	for i, a := range alpha() {
		d += a * math.Abs(x[i]-y[i]) / 6
	}
	return d
}

// example is an image of a task and its class.
type example struct {
	x     []float64
	label int64
}

// examples are the support set and the queries of each task.
func examples(t *fewshot.Task) (support, query [][]example) {
	read := func(images, labels *tensor.Tensor) (out [][]example) {
		x, y, n := images.Floats(), tensor.Values[int64](labels), int(labels.Dim(1))
		for task := range testkit.Tasks {
			var all []example
			for i := range n {
				at := task*n + i
				all = append(all, example{x[at*testkit.Width:][:testkit.Width], y[at]})
			}
			out = append(out, all)
		}
		return out
	}
	return read(t.Support, t.SupportLabels), read(t.Query, t.QueryLabels)
}

// pairs returns the ordered pairs of each task: of a query and a support example, or of any two different examples.
func pairs(t *fewshot.Task, supportQuery bool) (out [][][2]example) {
	support, query := examples(t)
	for task := range support {
		a, b := query[task], support[task]
		if !supportQuery {
			a = append(append([]example{}, support[task]...), query[task]...)
			b = a
		}
		var of [][2]example
		for i, x := range a {
			for j, y := range b {
				if supportQuery || i != j {
					of = append(of, [2]example{x, y})
				}
			}
		}
		out = append(out, of)
	}
	return out
}

// The losses, pair by pair.
func TestLossesAreThePlainLoops(t *testing.T) {
	const bias, scale, margin = .7, 1.5, 3.
	softplus := func(x float64) float64 { return math.Log1p(math.Exp(x)) }
	for _, supportQuery := range []bool{false, true} {
		for name, c := range map[string]struct {
			loss            siamese.Loss
			weight          float64 // of pairs of different classes
			same, different func(d float64) float64
		}{
			"verification": {siamese.Verification{}, 1,
				func(d float64) float64 { return softplus(-(bias - scale*d)) }, func(d float64) float64 { return softplus(bias - scale*d) }},
			"weighed verification": {siamese.Verification{Different: 7}, 7,
				func(d float64) float64 { return softplus(-(bias - scale*d)) }, func(d float64) float64 { return softplus(bias - scale*d) }},
			"contrastive": {siamese.Contrastive{Margin: margin}, 1,
				func(d float64) float64 { return scale * scale * d * d / 2 },
				func(d float64) float64 { return math.Pow(max(0, margin-scale*d), 2) / 2 }},
		} {
			t.Run(fmt.Sprint(name, supportQuery), func(t *testing.T) {
				testkit.Enter(t)
				task := testkit.Task(1)
				net, pass := pixels(t, siamese.Config{Memory: scaled(t, scale), Loss: c.loss, SupportQuery: supportQuery}, bias)
				var cost, count [2]float64
				for _, of := range pairs(task, supportQuery) {
					for _, p := range of {
						d := distance(p[0].x, p[1].x)
						if p[0].label == p[1].label {
							cost[1], count[1] = cost[1]+c.same(d), count[1]+1
						} else {
							cost[0], count[0] = cost[0]+c.different(d), count[0]+1
						}
					}
				}
				loss, logp := net.Loss(pass, task)
				assert.InDelta(t, (c.weight*cost[0]/count[0]+cost[1]/count[1])/(1+c.weight), loss.Float(), 1e-9)
				assert.InDeltaSlice(t, net.LogProbs(pass, task).Floats(), logp.Floats(), 1e-12)
				assert.False(t, logp.RequiresGrad())
			})
		}
	}
}

// Every anchor and positive with its semi-hard negative, by exhaustive search.
func TestTripletsAreThePlainLoop(t *testing.T) {
	const margin = .8
	for _, supportQuery := range []bool{false, true} {
		testkit.Enter(t)
		task := testkit.Task(2)
		net, pass := pixels(t, siamese.Config{Memory: scaled(t, 1), Loss: siamese.Triplet{Margin: margin}, SupportQuery: supportQuery}, 0)
		support, query := examples(task)
		var sum, count float64
		for i := range support {
			anchors, others := query[i], support[i]
			if !supportQuery {
				anchors = append(append([]example{}, support[i]...), query[i]...)
				others = anchors
			}
			for j, a := range anchors {
				for k, positive := range others {
					if positive.label != a.label || !supportQuery && j == k {
						continue
					}
					d := distance(a.x, positive.x)
					nearest, furthest := math.Inf(1), math.Inf(-1)
					for _, other := range others {
						if other.label == a.label {
							continue
						}
						n := distance(a.x, other.x)
						furthest = max(furthest, n)
						if n > d {
							nearest = min(nearest, n)
						}
					}
					if math.IsInf(nearest, 1) {
						nearest = furthest
					}
					sum, count = sum+max(0, d-nearest+margin), count+1
				}
			}
		}
		loss, _ := net.Loss(pass, task)
		assert.InDelta(t, sum/count, loss.Float(), 1e-9)
	}
}

// Single pairs have the same loss as in a task, and their logits give the decision.
func TestPairLossAndLogits(t *testing.T) {
	testkit.Enter(t)
	r := rand.New(rand.NewPCG(3, 0))
	images := func() *tensor.Tensor {
		v := make([]float64, 7*6)
		for i := range v {
			v[i] = r.NormFloat64()
		}
		return tensor.New(v, 7, 1, 2, 3)
	}
	p := &fewshot.Pairs{Left: images(), Right: images(), Same: tensor.New([]float64{1, 0, 0, 1, 0, 1, 0}, 7)}
	left, right := p.Left.Floats(), p.Right.Floats()
	for name, c := range map[string]struct {
		loss  siamese.Loss
		logit func(d float64) float64
		costs func(d float64) [2]float64
	}{
		"verification": {nil, func(d float64) float64 { return .4 - d },
			func(d float64) [2]float64 {
				return [2]float64{math.Log1p(math.Exp(.4 - d)), math.Log1p(math.Exp(d - .4))}
			}},
		"contrastive": {siamese.Contrastive{}, func(d float64) float64 { return .5 - d },
			func(d float64) [2]float64 { return [2]float64{math.Pow(max(0, 1-d), 2) / 2, d * d / 2} }},
	} {
		net, pass := pixels(t, siamese.Config{Memory: scaled(t, 1), Loss: c.loss}, .4)
		var want float64
		var logits []float64
		for i, same := range p.Same.Floats() {
			d := distance(left[i*6:][:6], right[i*6:][:6])
			logits = append(logits, c.logit(d))
			want += c.costs(d)[int(same)] / []float64{4, 3}[int(same)] / 2
		}
		loss, got := net.PairLoss(pass, p)
		assert.InDelta(t, want, loss.Float(), 1e-9, name)
		assert.InDeltaSlice(t, logits, got.Floats(), 1e-9, name)
		assert.InDeltaSlice(t, logits, net.Logits(pass, p).Floats(), 1e-9, name)
	}
	// The prior odds of training do not enter the decision.
	plain, pass := pixels(t, siamese.Config{}, .4)
	weighed, other := pixels(t, siamese.Config{Loss: siamese.Verification{Different: 7}}, .4-math.Log(7))
	assert.InDeltaSlice(t, plain.Logits(pass, p).Floats(), weighed.Logits(other, p).Floats(), 1e-9)

	net, pass := pixels(t, siamese.Config{Loss: siamese.Triplet{}}, 0)
	var wrong *tensor.Error
	assert.ErrorAs(t, tensor.Do(func() error { net.PairLoss(pass, p); return nil }), &wrong)
}

// With one example per class, the most probable class is that of the best pair, and probabilities are proportional to the odds.
func TestClassifiesByTheBestPair(t *testing.T) {
	testkit.Enter(t)
	task := testkit.Task(4)
	net, pass := pixels(t, siamese.Config{Memory: scaled(t, 1)}, .3)
	support, query := examples(task)
	logp := net.LogProbs(pass, task).Floats()
	for i := range support {
		for j, q := range query[i] {
			var odds [testkit.Way]float64
			var sum float64
			for _, s := range support[i] {
				o := math.Exp(.3 - distance(q.x, s.x))
				odds[s.label] += o
				sum += o
			}
			for class, o := range odds {
				assert.InDelta(t, math.Log(o/sum), logp[(i*testkit.Queries+j)*testkit.Way+class], 1e-9)
			}
		}
	}
}

// Identical and blank images have finite losses and gradients, for every loss and for metrics with a square root.
func TestIdenticalPointsHaveNoNaN(t *testing.T) {
	for _, m := range []metric.Metric{nil, metric.Euclidean{}, metric.SquaredEuclidean{}, metric.Cosine{}} {
		for _, loss := range []siamese.Loss{siamese.Verification{}, siamese.Contrastive{}, siamese.Triplet{}} {
			testkit.Enter(t)
			c := siamese.Config{Loss: loss}
			if m != nil {
				c.Memory = memory.NewKeyValue(memory.KeyValueConfig{Metric: m})
			}
			b := nn.NewBuilder(1, tensor.CPU)
			net := siamese.New(b, encoder.NewPixels(1, 2, 3), c)
			x := tensor.New([]float32{0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6, 0, 0, 0, 0, 0, 0}, 1, 4, 1, 2, 3).RequireGrad()
			labels := tensor.New([]int64{0, 1, 0, 1}, 1, 4)
			l, _ := net.Loss(&nn.Pass{}, &fewshot.Task{Way: 2, Support: x, SupportLabels: labels, Query: x, QueryLabels: labels})
			assert.True(t, l.Finite(), "%T", loss)
			for _, g := range tensor.Grad(l, append(b.Params().Tensors(), x)...) {
				assert.True(t, g == nil || g.Finite(), "%T, %T", loss, m)
			}
			b.Params().Free()
		}
	}
}

// A task with a single class, or with one image per class, lacks one kind of pair, which then adds nothing to the loss.
func TestTasksThatLackAKindOfPair(t *testing.T) {
	for _, loss := range []siamese.Loss{siamese.Verification{}, siamese.Contrastive{}, siamese.Triplet{}} {
		testkit.Enter(t)
		net, pass := pixels(t, siamese.Config{Loss: loss}, 0)
		one := tensor.New([]float64{1, 2, 3, 4, 5, 6}, 1, 1, 1, 2, 3)
		for _, label := range []int64{0, 1} {
			l, _ := net.Loss(pass, &fewshot.Task{
				Way: 2, Support: one, SupportLabels: tensor.New([]int64{0}, 1, 1), Query: one, QueryLabels: tensor.New([]int64{label}, 1, 1),
			})
			assert.True(t, l.Finite())
		}
	}
}

// With every loss the network learns to compare characters that it has never seen, in pairs and in episodes.
func TestLearnsStrokes(t *testing.T) {
	set, err := dataset.NewStrokes(1, dataset.DrawnOptions{Train: 100, Val: 1, Test: 60})
	require.NoError(t, err)
	parts, err := set.Split().Parts(set, dataset.RotateNone)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		loss   siamese.Loss
		metric metric.Metric
		drawn  bool
	}{
		"verification": {loss: siamese.Verification{}}, "drawn pairs": {loss: siamese.Verification{}, drawn: true},
		"contrastive": {loss: siamese.Contrastive{Margin: 4}, metric: metric.Euclidean{}}, "triplet": {loss: siamese.Triplet{Margin: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Enter(t)
			sampler := func(set dataset.Set, name string) *episode.Sampler {
				s, err := episode.New(set, episode.Spec{Way: 5, Shot: 1, Query: 3}, 1, name)
				require.NoError(t, err)
				return s
			}
			train, test := sampler(parts.Train, "train"), sampler(parts.Test, "test").Batch(0, 100)
			drawn, err := episode.NewPairs(parts.Train, episode.PairSpec{}, 1, "train")
			require.NoError(t, err)
			held, err := episode.NewPairs(parts.Test, episode.PairSpec{}, 1, "test")
			require.NoError(t, err)

			b := nn.NewBuilder(1, tensor.CPU)
			t.Cleanup(b.Params().Free)
			e, err := encoder.NewConv4(b.In("encoder"), encoder.Conv4Config{Height: 28, Width: 28, Filters: 8})
			require.NoError(t, err)
			config := siamese.Config{Loss: c.loss}
			if c.metric != nil {
				config.Memory = memory.NewKeyValue(memory.KeyValueConfig{Metric: c.metric})
			}
			net, opt := siamese.New(b, e, config), nn.NewAdam(b.Params(), nn.DefaultAdam())
			t.Cleanup(opt.Free)
			measure := func() (accuracy, verified float64) {
				s := tensor.Enter()
				defer s.Leave()
				tensor.NoGrad(func() {
					task := fewshot.NewTask(test, tensor.CPU)
					for _, a := range task.Accuracies(net.LogProbs(&nn.Pass{}, task)) {
						accuracy += a / float64(test.Episodes)
					}
					p := fewshot.NewPairs(held.Batch(0, 200), tensor.CPU)
					for _, right := range p.Accuracies(net.Logits(&nn.Pass{}, p)) {
						verified += right / 200
					}
				})
				return accuracy, verified
			}
			start, _ := measure()
			for step := range uint64(60) {
				s := tensor.Enter()
				pass := &nn.Pass{Training: true}
				var loss *tensor.Tensor
				if c.drawn {
					loss, _ = net.PairLoss(pass, fewshot.NewPairs(drawn.Batch(step*80, 80), tensor.CPU))
				} else {
					loss, _ = net.Loss(pass, fewshot.NewTask(train.Batch(step*8, 8), tensor.CPU))
				}
				opt.Step(tensor.Grad(loss, b.Params().Tensors()...), .01)
				s.Leave()
			}
			end, verified := measure()
			t.Logf("5-way accuracy on classes not seen in training: from %.3f to %.3f; pairs told apart: %.3f", start, end, verified)
			assert.Greater(t, end, start+.1)
			if name != "triplet" {
				assert.Greater(t, verified, .6)
			}
		})
	}
}
