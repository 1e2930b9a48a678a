package maml_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/episode"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/maml"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// build makes a network, by default for 5 classes, on the paper's encoder with a number of filters. For images of 28×28 it
// keeps the maps instead of their mean, so that small networks have enough features.
func build(t *testing.T, size, filters int64, c maml.Config) (*maml.Net, *nn.Params) {
	t.Helper()
	b := nn.NewBuilder(1, tensor.CPU)
	t.Cleanup(b.Params().Free)
	e, err := encoder.NewConv4(b.In("encoder"), encoder.Conv4Config{Height: size, Width: size, Filters: filters, Strided: true, Mean: size < 28})
	require.NoError(t, err)
	if c.Way == 0 {
		c.Way = 5
	}
	return maml.New(b, e, c), b.Params()
}

// strokes samples tasks of generated characters.
func strokes(t *testing.T, size, query int) (train, test *episode.Sampler) {
	t.Helper()
	set, err := dataset.NewStrokes(1, dataset.DrawnOptions{Train: 100, Val: 1, Test: 60, Size: size})
	require.NoError(t, err)
	parts, err := set.Split().Parts(set, dataset.RotateNone)
	require.NoError(t, err)
	sampler := func(set dataset.Set, name string) *episode.Sampler {
		s, err := episode.New(set, episode.Spec{Way: 5, Shot: 1, Query: query, Rotation: dataset.RotateNone}, 1, name)
		require.NoError(t, err)
		return s
	}
	return sampler(parts.Train, "train"), sampler(parts.Test, "test")
}

// oneThread makes operations use one thread for the rest of the test, as the runner does.
func oneThread(t *testing.T) {
	before := tensor.Threads()
	tensor.SetThreads(1)
	t.Cleanup(func() { tensor.SetThreads(before) })
}

func inDouble(t *fewshot.Task) *fewshot.Task {
	out := *t
	out.Support, out.Query = t.Support.To(tensor.Float64), t.Query.To(tensor.Float64)
	return &out
}

// near returns the relative difference of two lists of gradients in the norm of the whole list.
func near(want, got []*tensor.Tensor) float64 {
	var difference, size float64
	for i := range want {
		difference += got[i].Sub(want[i]).Square().Sum().Float()
		size += want[i].Square().Sum().Float()
	}
	return math.Sqrt(difference / size)
}

// orZeros replaces a nil gradient by zeros: that of a bias that batch norm cancels, or of its rate.
func orZeros(g *tensor.Tensor, of *nn.Param) *tensor.Tensor {
	if g == nil {
		return of.Value().Detach().ZerosLike()
	}
	return g
}

func copied(ts []*tensor.Tensor) (out [][]byte) {
	for _, x := range ts {
		if x != nil {
			out = append(out, x.Bytes())
		}
	}
	return out
}

func TestMetaGradientIsPyTorchs(t *testing.T) {
	text, err := os.ReadFile("testdata/metagradients.json")
	require.NoError(t, err)
	var fixture struct {
		Task struct {
			Way, Size, Filters, Tasks int64
			Support, Query            []float64
		}
		Params map[string][]float64
		Cases  []struct {
			Name                  string
			Steps                 int
			Rate, Loss            float64
			Second, Learned, Head bool
			Grads                 map[string][]float64
		}
	}
	require.NoError(t, json.Unmarshal(text, &fixture))
	f := fixture.Task
	labels := func(images int64) *tensor.Tensor {
		each := images / f.Way
		var out []int64
		for i := range f.Tasks * images {
			out = append(out, i%images/each)
		}
		return tensor.New(out, f.Tasks, images)
	}
	all := map[string][]float64{}
	for _, c := range fixture.Cases {
		t.Run(c.Name, func(t *testing.T) {
			testkit.Enter(t)
			net, ps := build(t, f.Size, f.Filters, maml.Config{
				Way: f.Way, Steps: c.Steps, Rate: c.Rate, FirstOrder: !c.Second, LearnRates: c.Learned, HeadOnly: c.Head,
			})
			for _, p := range ps.Trained() {
				if !strings.HasPrefix(p.Name, "rate.") {
					p.Value().Assign(tensor.New(fixture.Params[p.Name], p.Value().Shape()...))
				}
			}
			support := int64(len(f.Support)) / f.Tasks / (f.Size * f.Size)
			query := int64(len(f.Query)) / f.Tasks / (f.Size * f.Size)
			task := &fewshot.Task{
				Way: f.Way, SupportLabels: labels(support), QueryLabels: labels(query),
				Support: tensor.New(f.Support, f.Tasks, support, 1, f.Size, f.Size), Query: tensor.New(f.Query, f.Tasks, query, 1, f.Size, f.Size),
			}
			double, _ := testkit.Double(nn.Pass{}, ps)
			grads, loss, _ := net.Gradients(double, task)
			assert.InDelta(t, c.Loss, loss.Float(), 1e-8)
			task.Support, task.Query = task.Support.To(tensor.Float32), task.Query.To(tensor.Float32)
			single, loss, _ := net.Gradients(&nn.Pass{}, task)
			assert.InDelta(t, c.Loss, loss.Float(), 1e-5)
			for i, p := range ps.Trained() {
				grads[i], single[i] = orZeros(grads[i], p), orZeros(single[i], p)
				assert.InDeltaSlice(t, c.Grads[p.Name], grads[i].Floats(), 1e-6, p.Name)
				assert.InDeltaSlice(t, c.Grads[p.Name], single[i].Floats(), 2e-4, "float32, %s", p.Name)
				if c.Name == "second order" || c.Name == "first order" {
					all[c.Name] = append(all[c.Name], grads[i].Floats()...)
				}
			}
		})
	}
	require.Len(t, all, 2)
	var apart, size float64
	for i, v := range all["second order"] {
		apart, size = apart+math.Pow(v-all["first order"][i], 2), size+v*v
	}
	assert.Greater(t, math.Sqrt(apart/size), .1, "first order is not second order")
}

func TestMetaGradientIsTheFiniteDifference(t *testing.T) {
	train, _ := strokes(t, 16, 2)
	for name, c := range map[string]maml.Config{
		"one step": {}, "three steps": {Steps: 3, Rate: .1}, "learned rates": {Steps: 2, Rate: .2, LearnRates: true},
		"head only": {Steps: 2, HeadOnly: true}, "head only, learned rates": {Steps: 2, HeadOnly: true, LearnRates: true},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Enter(t)
			net, ps := build(t, 16, 3, c)
			task := inDouble(fewshot.NewTask(train.Batch(0, 2), tensor.CPU))
			p, leaves := testkit.Double(nn.Pass{}, ps)
			grads, _, _ := net.Gradients(p, task)
			wanted := tensor.Grad(func() *tensor.Tensor { loss, _ := net.Loss(p, task); return loss }(), leaves...)
			r := rand.New(rand.NewPCG(1, 1))
			const h = 1e-7 // small, because inputs of ReLUs are near zero where an image is empty
			for i, leaf := range leaves {
				wanted[i], grads[i] = orZeros(wanted[i], ps.Trained()[i]), orZeros(grads[i], ps.Trained()[i])
				assert.InDeltaSlice(t, wanted[i].Floats(), grads[i].Floats(), 1e-12, "task by task and together")
				got, values := grads[i].Floats(), leaf.Floats()
				k := r.IntN(len(values))
				at := func(v float64) float64 {
					scope := tensor.Enter()
					defer scope.Leave()
					was := values[k]
					defer func() { values[k] = was }()
					values[k] = v
					leaf.Assign(tensor.New(values, leaf.Shape()...))
					loss, _ := net.Loss(p, task)
					return loss.Float()
				}
				v := values[k]
				want := (at(v+h) - at(v-h)) / (2 * h)
				at(v)
				assert.InDelta(t, want, got[k], 1e-5*max(1, math.Abs(want)), "%s[%d]", ps.Trained()[i].Name, k)
			}
		})
	}
}

// The first-order meta-gradient is the gradient of the query loss at the adapted values.
func TestFirstOrderIsTheGradientOfTheAdaptedNetwork(t *testing.T) {
	testkit.Enter(t)
	train, _ := strokes(t, 16, 2)
	net, ps := build(t, 16, 3, maml.Config{Steps: 2, FirstOrder: true})
	task := inDouble(fewshot.NewTask(train.Batch(0, 1), tensor.CPU))
	p, _ := testkit.Double(nn.Pass{}, ps)
	grads, _, _ := net.Gradients(p, task)
	tuned := fewshot.FineTune(p, supportLoss{net.Classifier}, ps, task, 2, maml.DefaultRate)
	var moved []*tensor.Tensor
	for i, param := range ps.Trained() {
		moved = append(moved, tuned.Value(param))
		grads[i] = orZeros(grads[i], param)
	}
	want := tensor.Grad(task.NLL(net.Classify(tuned, task.Query.Flatten(0, 1)).Unsqueeze(0)), moved...)
	assert.Less(t, near(want, grads), 1e-9)
}

// supportLoss is a classifier as a learner of fewshot.FineTune.
type supportLoss struct{ *fewshot.Classifier }

func (l supportLoss) Loss(p *nn.Pass, t *fewshot.Task) (loss, logp *tensor.Tensor) {
	logp = l.Classify(p, t.Query.Flatten(0, 1)).Unsqueeze(0)
	return t.NLL(logp), logp
}

// Results are bitwise independent of the number of workers.
func TestParallelIsSerialToTheBit(t *testing.T) {
	testkit.Enter(t)
	oneThread(t)
	train, _ := strokes(t, 28, 2)
	for name, c := range map[string]maml.Config{"second order": {}, "first order": {Steps: 2, FirstOrder: true}, "learned rates": {LearnRates: true}} {
		batch := train.Batch(0, 7)
		var want [][]byte
		for _, workers := range []int{1, 2, 3, 16} {
			scope := tensor.Enter()
			c.Workers = workers
			b := nn.NewBuilder(1, tensor.CPU)
			e, err := encoder.NewConv4(b, encoder.Conv4Config{Height: 28, Width: 28, Filters: 16, Strided: true, Mean: true})
			require.NoError(t, err)
			c.Way = 5
			net := maml.New(b, e, c)
			task := fewshot.NewTask(batch, tensor.CPU)
			grads, loss, logp := net.Gradients(&nn.Pass{Training: true}, task)
			got := copied(append(grads, loss, logp, net.LogProbs(&nn.Pass{}, task), net.LogProbs(&nn.Pass{Norm: nn.RunningStats}, task)))
			if want == nil {
				want = got
			}
			for i := range want {
				require.True(t, string(want[i]) == string(got[i]), "%s: result %d with %d workers", name, i, workers)
			}
			b.Params().Free()
			scope.Leave()
		}
	}
}

// A panic on a worker's thread becomes the caller's error and leaves no tensor behind.
func TestWrongShapesAreAnErrorOfTheCaller(t *testing.T) {
	testkit.Enter(t)
	train, _ := strokes(t, 16, 2)
	for _, workers := range []int{1, 3} {
		net, _ := build(t, 28, 4, maml.Config{Workers: workers})
		before := tensor.Live()
		err := tensor.Do(func() error {
			task := fewshot.NewTask(train.Batch(0, 5), tensor.CPU)
			task.SupportLabels = task.SupportLabels.Narrow(1, 0, 2)
			net.Gradients(&nn.Pass{}, task)
			return nil
		})
		var wrong *tensor.Error
		require.ErrorAs(t, err, &wrong)
		assert.Equal(t, before, tensor.Live())

		err = tensor.Do(func() error {
			task := fewshot.NewTask(train.Batch(0, 1), tensor.CPU)
			task.Way = 4
			net.LogProbs(&nn.Pass{}, task)
			return nil
		})
		assert.ErrorContains(t, err, "the task has 4 classes, the network has a head for 5")
	}
}

// Peak memory does not grow with the number of tasks: a task's graph is freed before the next one is built.
func TestMemoryDoesNotGrowWithTheTasks(t *testing.T) {
	testkit.Enter(t)
	oneThread(t)
	train, _ := strokes(t, 28, 2)
	net, _ := build(t, 28, 64, maml.Config{Steps: 3})
	measure := func(tasks int) (megabytes int64) {
		scope := tensor.Enter()
		defer scope.Leave()
		task := fewshot.NewTask(train.Batch(0, tasks), tensor.CPU)
		before := testkit.Memory(t, "VmRSS")
		testkit.ResetPeak(t)
		net.Gradients(&nn.Pass{}, task)
		return (testkit.Memory(t, "VmHWM") - before) / 1024
	}
	measure(2)
	few, many := measure(2), measure(14)
	t.Logf("2 tasks take %d MB, 14 take %d MB", few, many)
	assert.LessOrEqual(t, many, few+15, "a task's graph takes some 10")
}

func TestEvaluationBuildsNoGraph(t *testing.T) {
	testkit.Enter(t)
	train, _ := strokes(t, 16, 2)
	for _, c := range []maml.Config{{Steps: 2}, {Steps: 2, LearnRates: true}, {Steps: 2, HeadOnly: true}} {
		net, ps := build(t, 16, 4, c)
		task := fewshot.NewTask(train.Batch(0, 2), tensor.CPU)
		before := copied(ps.Tensors())
		logp := net.LogProbs(&nn.Pass{}, task)
		assert.False(t, logp.RequiresGrad())
		_, answers := net.Loss(&nn.Pass{}, task)
		assert.True(t, answers.RequiresGrad())
		assert.InDeltaSlice(t, answers.Floats(), logp.Floats(), 1e-4, "the same network")
		assert.Equal(t, before, copied(ps.Tensors()), "whose first values stay")
		for _, sum := range logp.Exp().Sum(-1).Floats() {
			assert.InDelta(t, 1, sum, 1e-5)
		}
	}
}

// In the transductive mode queries influence one another; otherwise each query is seen with the support set alone.
func TestTransduction(t *testing.T) {
	testkit.Enter(t)
	train, _ := strokes(t, 16, 3)
	net, _ := build(t, 16, 4, maml.Config{})
	task := fewshot.NewTask(train.Batch(0, 1), tensor.CPU)
	fewer := *task
	fewer.Query, fewer.QueryLabels = task.Query.Narrow(1, 0, 4), task.QueryLabels.Narrow(1, 0, 4)
	ask := func(norm nn.Norm, task *fewshot.Task) []float64 {
		return net.LogProbs(&nn.Pass{Norm: norm}, task).Narrow(1, 0, 4).Floats()
	}
	assert.InDeltaSlice(t, ask(nn.RunningStats, task), ask(nn.RunningStats, &fewer), 1e-6)
	assert.NotEqual(t, ask(nn.BatchStats, task), ask(nn.BatchStats, &fewer))
	assert.NotEqual(t, ask(nn.BatchStats, task), ask(nn.RunningStats, task))
}

// More inner steps at test fit the support set better.
func TestTestSteps(t *testing.T) {
	testkit.Enter(t)
	train, _ := strokes(t, 16, 2)
	task := fewshot.NewTask(train.Batch(0, 3), tensor.CPU)
	own := *task
	own.Query, own.QueryLabels = task.Support, task.SupportLabels
	last := math.Inf(1)
	for _, steps := range []int{1, 3, 9} {
		net, _ := build(t, 16, 4, maml.Config{TestSteps: steps, Rate: .1})
		loss := own.NLL(net.LogProbs(&nn.Pass{}, &own)).Float()
		assert.Less(t, loss, last, fmt.Sprint(steps))
		last = loss
	}
}

func TestLearnsStrokes(t *testing.T) {
	train, test := strokes(t, 28, 3)
	for name, c := range map[string]maml.Config{
		"second order": {}, "first order": {FirstOrder: true}, "learned rates": {LearnRates: true}, "head only": {HeadOnly: true},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Enter(t)
			c.Workers = 2
			net, ps := build(t, 28, 8, c)
			opt := nn.NewAdam(ps, nn.DefaultAdam())
			t.Cleanup(opt.Free)
			measure := func() float64 { return testkit.Accuracy(net, test.Batch(0, 60)) }
			start := measure()
			steps := 40
			if c.FirstOrder {
				steps = 100
			}
			for step := range steps {
				scope := tensor.Enter()
				grads, _, _ := net.Gradients(&nn.Pass{Training: true}, fewshot.NewTask(train.Batch(uint64(step)*4, 4), tensor.CPU))
				opt.Step(grads, .01)
				scope.Leave()
			}
			end := measure()
			t.Logf("accuracy on classes not seen in training: from %.3f to %.3f", start, end)
			assert.Greater(t, end, start+.1)
		})
	}
}
