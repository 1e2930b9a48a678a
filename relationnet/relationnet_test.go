package relationnet_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/metric"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/relationnet"
	"github.com/engram-go/engram/tensor"
)

// maps is an encoder whose embeddings are the images [1, 2, 3] of testkit.Task.
type maps struct{ testkit.Flatten }

func (maps) Maps() (channels, height, width int64) { return 1, 2, 3 }

var images = maps{testkit.Width}

// relation makes a relation for these maps with different scores.
func relation(t *testing.T) (*metric.Relation, *nn.Params) {
	b := nn.NewBuilder(2, tensor.CPU)
	t.Cleanup(b.Params().Free)
	r := metric.NewRelation(b, metric.RelationConfig{Channels: 1, Height: 2, Width: 3, Filters: 6})
	r.Hidden.Bias.Value().Assign(r.Hidden.Bias.Value().Detach().Abs())
	r.Out.Weight.Value().Assign(r.Out.Weight.Value().Detach().MulScalar(4))
	return r, b.Params()
}

const tasks, way, shot, queries, width = testkit.Tasks, testkit.Way, testkit.Shot, testkit.Queries, testkit.Width

// sums returns the sum of each class's support maps, [tasks, way, width].
func sums(task *fewshot.Task) *tensor.Tensor {
	support, labels := task.Support.Floats(), tensor.Values[int64](task.SupportLabels)
	out := make([]float64, tasks*way*width)
	for i, label := range labels {
		for d := range width {
			out[(i/(way*shot)*way+int(label))*width+d] += support[i*width+d]
		}
	}
	return tensor.New(out, tasks, way, width)
}

// Sung et al. 2018, eqs. 1 and 2, with the relation of a query and the sum of a class's maps.
func TestScoresAndLossAreThePapers(t *testing.T) {
	for name, norm := range map[string]nn.Norm{"transductive": nn.BatchStats, "inductive": nn.RunningStats} {
		t.Run(name, func(t *testing.T) {
			testkit.Enter(t)
			r, ps := relation(t)
			task := testkit.Task(1)
			m := memory.NewPrototype(memory.PrototypeConfig{Metric: r, Sum: true})
			p, _ := testkit.Double(nn.Pass{Norm: norm}, ps)
			logits := r.Score(p, task.Query.Reshape(tasks, queries, width), sums(task)).Floats()
			require.NotEqual(t, logits[0], logits[1])

			labels := tensor.Values[int64](task.QueryLabels)
			var mse, entropy float64
			var byRelation, bySoftmax []float64
			for i, label := range labels {
				var total, exps float64
				for c := range way {
					score := 1 / (1 + math.Exp(-logits[i*way+c]))
					total, exps = total+score, exps+math.Exp(logits[i*way+c])
					if c == int(label) {
						mse += (score - 1) * (score - 1) / (tasks * queries * way)
					} else {
						mse += score * score / (tasks * queries * way)
					}
				}
				for c := range way {
					byRelation = append(byRelation, math.Log(1/(1+math.Exp(-logits[i*way+c]))/total))
					bySoftmax = append(bySoftmax, math.Log(math.Exp(logits[i*way+c])/exps))
				}
				entropy -= bySoftmax[i*way+int(label)] / (tasks * queries)
			}
			for _, c := range []struct {
				kind relationnet.Loss
				loss float64
				logp []float64
			}{{relationnet.MSE, mse, byRelation}, {relationnet.CrossEntropy, entropy, bySoftmax}} {
				net := relationnet.New(images, m, c.kind)
				loss, logp := net.Loss(p, task)
				assert.InDelta(t, c.loss, loss.Float(), 1e-12)
				assert.InDeltaSlice(t, c.logp, logp.Floats(), 1e-11)
				assert.InDeltaSlice(t, c.logp, net.LogProbs(p, task).Floats(), 1e-11)
			}
		})
	}
}

// In a memory that keeps single examples, a class's score is the mean of its examples' scores.
func TestScoreOfAClassIsTheMeanOfItsSlots(t *testing.T) {
	for name, norm := range map[string]nn.Norm{"transductive": nn.BatchStats, "inductive": nn.RunningStats} {
		t.Run(name, func(t *testing.T) { scoresAreMeans(t, norm) })
	}
}

func scoresAreMeans(t *testing.T, norm nn.Norm) {
	testkit.Enter(t)
	r, ps := relation(t)
	task := testkit.Task(2)
	p, _ := testkit.Double(nn.Pass{Norm: norm}, ps)
	scores := r.Score(p, task.Query.Reshape(tasks, queries, width), task.Support.Reshape(tasks, way*shot, width)).Sigmoid().Floats()
	labels := tensor.Values[int64](task.SupportLabels)
	want := make([]float64, tasks*queries*way)
	for i, s := range scores {
		task, query, slot := i/(queries*way*shot), i/(way*shot)%queries, i%(way*shot)
		want[(task*queries+query)*way+int(labels[task*way*shot+slot])] += s / shot
	}
	truth := task.QueryLabels.OneHot(way).Floats()
	var mse float64
	for i := range want {
		mse += (want[i] - truth[i]) * (want[i] - truth[i]) / float64(len(want))
	}
	for name, m := range map[string]memory.Matcher{
		"key-value": memory.NewKeyValue(memory.KeyValueConfig{Metric: r}),
		"lrua":      memory.NewBounded(memory.BoundedConfig{Metric: r, Rule: memory.LRUAWrite, Slots: way*shot + 3}),
		"ntm":       memory.NewBounded(memory.BoundedConfig{Metric: r, Rule: memory.NTMWrite, Slots: way * shot}),
		"dnc":       memory.NewBounded(memory.BoundedConfig{Metric: r, Rule: memory.DNCWrite, Slots: way*shot + 3}),
	} {
		loss, logp := relationnet.New(images, m, relationnet.MSE).Loss(p, task)
		assert.InDelta(t, mse, loss.Float(), 1e-9, name)
		for i, total := range logp.Exp().Sum(-1).Floats() {
			assert.InDelta(t, 1, total, 1e-9, "%s, query %d", name, i)
		}
		assert.Equal(t, tensor.Values[int64](tensor.New(want, tasks, queries, way).Argmax(-1)), tensor.Values[int64](logp.Argmax(-1)), name)
	}
}

// A bounded memory that has forgotten a class gives it the score 0, and no NaN.
func TestForgottenClass(t *testing.T) {
	testkit.Enter(t)
	r, ps := relation(t)
	task := testkit.Task(3)
	m := memory.NewBounded(memory.BoundedConfig{Metric: r, Rule: memory.NTMWrite, Slots: 1})
	net := relationnet.New(images, m, relationnet.MSE)
	p, leaves := testkit.Double(nn.Pass{Norm: nn.RunningStats}, ps)
	loss, logp := net.Loss(p, task)
	last := make([]int64, 0, tasks*queries) // only the class of each task's last example is left
	for i := range tasks * queries {
		last = append(last, tensor.Values[int64](task.SupportLabels)[(i/queries+1)*way*shot-1])
	}
	assert.Equal(t, last, tensor.Values[int64](logp.Argmax(-1)))
	assert.True(t, logp.Finite())
	for _, g := range tensor.Grad(loss, leaves...) {
		assert.True(t, g.Finite())
	}
}

// Permuting the labels permutes the probabilities.
func TestPermutedLabelsPermuteProbabilities(t *testing.T) {
	testkit.Enter(t)
	r, ps := relation(t)
	task := testkit.Task(4)
	p, _ := testkit.Double(nn.Pass{}, ps)
	for _, kind := range []relationnet.Loss{relationnet.MSE, relationnet.CrossEntropy} {
		net := relationnet.New(images, memory.NewPrototype(memory.PrototypeConfig{Metric: r, Sum: true}), kind)
		loss, logp := net.Loss(p, task)
		renamed, old := tensor.New([]int64{2, 0, 3, 1}, way), tensor.New([]int64{1, 3, 0, 2}, way)
		rename := func(labels *tensor.Tensor) *tensor.Tensor {
			return renamed.IndexSelect(0, labels.Flatten(0, 1)).Reshape(labels.Shape()...)
		}
		other := *task
		other.SupportLabels, other.QueryLabels = rename(task.SupportLabels), rename(task.QueryLabels)
		gotLoss, got := net.Loss(p, &other)
		assert.InDeltaSlice(t, logp.IndexSelect(2, old).Floats(), got.Floats(), 1e-9)
		assert.InDelta(t, loss.Float(), gotLoss.Float(), 1e-12)
	}
}

// The gradient of the whole network, from the loss to the first convolution of the encoder.
func TestGradientIsTheFiniteDifference(t *testing.T) {
	for _, kind := range []relationnet.Loss{relationnet.MSE, relationnet.CrossEntropy} {
		for _, norm := range []nn.Norm{nn.BatchStats, nn.RunningStats} {
			t.Run(fmt.Sprint(kind, norm), func(t *testing.T) {
				testkit.Enter(t)
				b := nn.NewBuilder(6, tensor.CPU)
				t.Cleanup(b.Params().Free)
				e, err := encoder.NewConv4(b.In("encoder"), encoder.Conv4Config{Height: 18, Width: 18, Filters: 2, Pools: 2, Unpadded: 2})
				require.NoError(t, err)
				channels, height, width := e.Maps()
				require.Equal(t, []int64{2, 3, 3}, []int64{channels, height, width})
				relation := metric.NewRelation(b.In("relation"), metric.RelationConfig{Channels: 2, Height: 3, Width: 3, Filters: 2, Hidden: 2})
				relation.Hidden.Bias.Value().Assign(tensor.Ones(2)) // an inactive unit has no gradient to check
				net := relationnet.New(e, memory.NewPrototype(memory.PrototypeConfig{Metric: relation, Sum: true}), kind)

				r := rand.New(rand.NewPCG(7, 0))
				images := func(n int64) *tensor.Tensor { return testkit.Normal(r, 1, n, 1, 18, 18) }
				task := &fewshot.Task{
					Way: 2, Support: images(4), SupportLabels: tensor.New([]int64{0, 1, 1, 0}, 1, 4),
					Query: images(3), QueryLabels: tensor.New([]int64{1, 0, 1}, 1, 3),
				}
				p, leaves := testkit.Double(nn.Pass{Norm: norm}, b.Params())
				loss, _ := net.Loss(p, task)
				var size float64
				for _, g := range tensor.Grad(loss, leaves...) {
					size += g.Abs().Sum().Float()
				}
				assert.Greater(t, size, 1e-3, "there is a gradient")
				testkit.Differences(t, leaves, 1e-6, 1e-7, func() *tensor.Tensor {
					loss, _ := net.Loss(p, task)
					return loss
				})
			})
		}
	}
}

func TestLearnsStrokes(t *testing.T) {
	for name, kind := range map[string]relationnet.Loss{"mse": relationnet.MSE, "cross-entropy": relationnet.CrossEntropy} {
		t.Run(name, func(t *testing.T) {
			testkit.LearnsStrokes(t, 60, func(b *nn.Builder) testkit.FewShot {
				e, err := encoder.NewConv4(b.In("encoder"), encoder.Conv4Config{Height: 28, Width: 28, Filters: 8, Pools: 2, Unpadded: 2})
				require.NoError(t, err)
				return relationnet.New(e, relationnet.NewMemory(b.In("memory"), e), kind)
			})
		})
	}
}
