package head

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/metric"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/nn/gradcheck"
	"github.com/engram-go/engram/stream"
	"github.com/engram-go/engram/tensor"
	_ "github.com/engram-go/engram/tensor/product"
)

// features is a float64 task whose images are flattened: the embeddings of an encoder that does nothing.
func features(seed uint64) *fewshot.Task {
	t := testkit.Task(seed)
	t.Support, t.Query = t.Support.Flatten(2, -1), t.Query.Flatten(2, -1)
	return t
}

func rows(x *tensor.Tensor) (out [][]float64) {
	v, width := x.Floats(), int(x.Dim(-1))
	for len(v) > 0 {
		out, v = append(out, v[:width]), v[width:]
	}
	return out
}

// samples are the tasks of a batch for the reference implementations.
func samples(t *fewshot.Task) (out []sample) {
	for i := range t.Support.Dim(0) {
		s := sample{z: rows(t.Support.Select(0, i)), x: rows(t.Query.Select(0, i)), way: int(t.Way)}
		for _, y := range tensor.Values[int64](t.SupportLabels.Select(0, i)) {
			s.y = append(s.y, int(y))
		}
		out = append(out, s)
	}
	return out
}

var centre = []float32{.1, -.2, .3, 0, .5, -.1}

// heads are all heads, each with its reference implementation, which gives scores.
var heads = []struct {
	name         string
	head         Head
	plain        func(s sample) [][]float64
	transductive bool
	trains       bool
}{
	{"mean", NewMean(nil, metric.SquaredEuclidean{}, .7), func(s sample) [][]float64 { return s.nearest(s.means(), .7) }, false, true},
	{"cosine mean", NewMean(nil, metric.Cosine{}, 10), func(s sample) [][]float64 {
		m := s.means()
		return s.classify(func(x []float64, c int) float64 { return 10 * naiveCosine(x, m[c]) })
	}, false, true},
	{"UN", NewSimpleShot(UN, nil, 1), func(s sample) [][]float64 { return s.nearest(s.means(), 1) }, false, true},
	{"L2N", NewSimpleShot(L2N, nil, 3), func(s sample) [][]float64 { s = s.normalized(); return s.nearest(s.means(), 3) }, false, true},
	{"CL2N", NewSimpleShot(CL2N, centre, 3), func(s sample) [][]float64 {
		var by []float64
		for _, v := range centre {
			by = append(by, float64(v))
		}
		s.z, s.x = naiveShift(s.z, by, -1), naiveShift(s.x, by, -1)
		s = s.normalized()
		return s.nearest(s.means(), 3)
	}, false, true},
	{"R2D2", NewRidge(nil, r2d2), func(s sample) [][]float64 { return s.ridge(r2d2) }, false, true},
	{"MetaOptNet ridge", NewRidge(nil, ridge2), func(s sample) [][]float64 { return s.ridge(ridge2) }, false, true},
	{"SVM", NewSVM(nil, svm), func(s sample) [][]float64 { return s.svm(svm) }, false, true},
	{"SVM of large C", NewSVM(nil, svmLoose), func(s sample) [][]float64 { return s.svm(svmLoose) }, false, true},
	{"logistic", NewLogistic(logistic), func(s sample) [][]float64 { return s.logistic(logistic) }, false, false},
	{"logistic on raw embeddings", NewLogistic(logisticRaw), func(s sample) [][]float64 { return s.logistic(logisticRaw) }, false, false},
	{"BD-CSPN", NewBDCSPN(Rectification{10}, 5), func(s sample) [][]float64 {
		p, s := s.rectify(10)
		return s.classify(func(x []float64, c int) float64 { return 5 * naiveCosine(x, p[c]) })
	}, true, false},
	{"LaplacianShot", NewLaplacian(laplacian), func(s sample) [][]float64 { return s.laplacian(laplacian) }, true, false},
	{"LaplacianShot without rectification", NewLaplacian(laplacianPlain), func(s sample) [][]float64 { return s.laplacian(laplacianPlain) }, true, false},
	{"soft k-means", NewSoftKMeans(3, .5, false), func(s sample) [][]float64 { return s.softKMeans(3, .5) }, true, false},
	{"soft k-means of unit vectors", NewSoftKMeans(2, 2, true), func(s sample) [][]float64 { return s.normalized().softKMeans(2, 2) }, true, false},
	{"TIM", NewTune(tim), func(s sample) [][]float64 { return s.tune(tim) }, true, false},
	{"transductive fine-tuning", NewTune(finetune), func(s sample) [][]float64 { return s.tune(finetune) }, true, false},
	{"fine-tuning of the means", NewTune(tuneSupport), func(s sample) [][]float64 { return s.tune(tuneSupport) }, false, false},
	{"TIM-ADM", NewTune(timADM), func(s sample) [][]float64 { return s.alternate(timADM) }, true, false},
}

var (
	r2d2           = RidgeConfig{Lambda: .5, Bias: true, Scale: 3, Shift: .2}
	ridge2         = RidgeConfig{Lambda: 2, Scale: 1.5}
	svm            = SVMConfig{C: .1, Iterations: 15, Scale: 2}
	svmLoose       = SVMConfig{C: 10, Iterations: 15, Scale: 1}
	logistic       = LogisticConfig{C: 1, Normalize: true, Iterations: 1000}
	logisticRaw    = LogisticConfig{C: 2, Iterations: 1000}
	laplacian      = LaplacianConfig{Rectification: Rectification{10}, Rectify: true, Normalize: true, Neighbours: 2, Lambda: .7, Steps: 20}
	laplacianPlain = LaplacianConfig{Neighbours: 1, Lambda: .3, Steps: 4}
	tim            = TuneConfig{CrossEntropy: .1, Marginal: 1, Conditional: .1, Temperature: 15, Normalize: true, Steps: 12, Rate: .01}
	finetune       = TuneConfig{CrossEntropy: 1, Conditional: 1, Temperature: 4, Steps: 10, Rate: .01}
	tuneSupport    = TuneConfig{CrossEntropy: 1, Temperature: 4, Steps: 5, Rate: .05}
	timADM         = TuneConfig{CrossEntropy: .1, Marginal: 1, Conditional: .1, Temperature: 15, Normalize: true, Steps: 15, Alternating: true}
)

func TestHeadsAreTheReferenceImplementations(t *testing.T) {
	for _, h := range heads {
		t.Run(h.name, func(t *testing.T) {
			testkit.Enter(t)
			task := features(1)
			var want []float64
			for _, s := range samples(task) {
				for _, scores := range h.plain(s) {
					want = append(want, naiveLogSoftmax(scores)...)
				}
			}
			logp := h.head.LogProbs(&nn.Pass{}, task)
			require.Equal(t, []int64{testkit.Tasks, testkit.Queries, testkit.Way}, logp.Shape())
			assert.InDeltaSlice(t, want, logp.Floats(), 1e-5)
			assert.Equal(t, h.transductive, Transductive(h.head))

			task.Support, task.Query = task.Support.To(tensor.Float32), task.Query.To(tensor.Float32)
			single := h.head.LogProbs(&nn.Pass{}, task)
			assert.Equal(t, tensor.Float32, single.DType())
			assert.InDeltaSlice(t, want, single.Floats(), 2e-4)
		})
	}
}

// A task's result does not depend on the tasks beside it, and that of a query on the other queries exactly where the head says
// that it is transductive.
func TestTasksAndQueriesAreTheirOwn(t *testing.T) {
	for _, h := range heads {
		t.Run(h.name, func(t *testing.T) {
			testkit.Enter(t)
			task := features(2)
			all := h.head.LogProbs(&nn.Pass{}, task)
			differs := false
			for i := range int64(testkit.Tasks) {
				one := task.Only(i)
				assert.InDeltaSlice(t, all.Select(0, i).Flatten(0, -1).Floats(), h.head.LogProbs(&nn.Pass{}, one).Flatten(0, -1).Floats(), 1e-6)
				alone := *one
				alone.Query, alone.QueryLabels = one.Query.Narrow(1, 0, 1), one.QueryLabels.Narrow(1, 0, 1)
				got := h.head.LogProbs(&nn.Pass{}, &alone).Flatten(0, -1).Floats()
				for c, v := range all.Select(0, i).Select(0, 0).Floats() {
					differs = differs || math.Abs(v-got[c]) > 1e-6
				}
			}
			assert.Equal(t, h.transductive, differs)
		})
	}
}

// Embeddings of zeros, equal embeddings, and a support example that is also the query give finite results.
func TestDegenerateEmbeddings(t *testing.T) {
	for _, h := range heads {
		t.Run(h.name, func(t *testing.T) {
			testkit.Enter(t)
			task := features(3)
			task.Support, task.Query = task.Support.To(tensor.Float32), task.Query.To(tensor.Float32)
			for name, change := range map[string]func(x *tensor.Tensor) *tensor.Tensor{
				"zeros": (*tensor.Tensor).ZerosLike, "ones": (*tensor.Tensor).OnesLike, "large": func(x *tensor.Tensor) *tensor.Tensor { return x.MulScalar(100) },
			} {
				other := *task
				other.Support, other.Query = change(task.Support), change(task.Query)
				assert.True(t, h.head.LogProbs(&nn.Pass{}, &other).Finite(), name)
			}
		})
	}
}

// The gradient for embeddings of support set and queries is the finite difference, for every head that is trained through.
func TestHeadsGradients(t *testing.T) {
	for _, h := range heads {
		if !h.trains {
			continue
		}
		t.Run(h.name, func(t *testing.T) {
			testkit.Enter(t)
			task := features(4)
			task.Support, task.Query = task.Support.Detach().Clone().RequireGrad(), task.Query.Detach().Clone().RequireGrad()
			assert.NoError(t, gradcheck.Tensors([]*tensor.Tensor{task.Support, task.Query}, func() *tensor.Tensor {
				return task.NLL(h.head.LogProbs(&nn.Pass{Training: true}, task))
			}, gradcheck.Options{Elements: 12}))
		})
	}
}

// The same of learned scales and shifts, and of FEAT's parameters and its contrastive term.
func TestLearnedParametersGradients(t *testing.T) {
	for name, build := range map[string]func(b *nn.Builder) Head{
		"mean":  func(b *nn.Builder) Head { return NewMean(b, metric.Cosine{}, 10) },
		"ridge": func(b *nn.Builder) Head { return NewRidge(b, r2d2) },
		"svm":   func(b *nn.Builder) Head { return NewSVM(b, svm) },
		"feat": func(b *nn.Builder) Head {
			return NewFEAT(b, testkit.Width, FEATConfig{Temperature: 2, Weight: .5, ContrastTemperature: 3})
		},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Enter(t)
			b := nn.NewBuilder(1, tensor.CPU)
			defer b.Params().Free()
			net := &Net{Encoder: testkit.Flatten(testkit.Width), Head: build(b), Smoothing: .1}
			require.NotEmpty(t, b.Params().Trained())
			task := balanced(testkit.Task(5))
			testkit.Gradients(t, b.Params(), rand.New(rand.NewPCG(1, 0)), func(p *nn.Pass) *tensor.Tensor {
				loss, _ := net.Loss(p, task)
				return loss
			})
		})
	}
}

// balanced gives each class a query.
func balanced(t *fewshot.Task) *fewshot.Task {
	t.Query = t.Query.Narrow(1, 0, testkit.Way)
	labels := []int64{2, 0, 3, 1}
	t.QueryLabels = tensor.New(labels, 1, testkit.Way).Expand(testkit.Tasks, testkit.Way).Contiguous()
	return t
}

// FEAT's set-to-set function and contrastive term by plain loops.
func TestFEATIsThePlainLoop(t *testing.T) {
	testkit.Enter(t)
	b := nn.NewBuilder(3, tensor.CPU)
	defer b.Params().Free()
	c := FEATConfig{Temperature: 2, Weight: .5, ContrastTemperature: 3}
	h := NewFEAT(b, testkit.Width, c)
	p, _ := testkit.Double(nn.Pass{}, b.Params())
	value := func(q *nn.Param) [][]float64 { return rows(p.With[q].Reshape(-1, testkit.Width)) }
	times := func(w [][]float64, x []float64) (out []float64) {
		for _, row := range w {
			out = append(out, naiveDot(row, x))
		}
		return out
	}
	adapt := func(set [][]float64) (out [][]float64) {
		for _, x := range set {
			var scores []float64
			for _, other := range set {
				scores = append(scores, naiveDot(times(value(h.query), x), times(value(h.key), other))/math.Sqrt(testkit.Width))
			}
			mixed := make([]float64, testkit.Width)
			for j, w := range naiveSoftmax(scores) {
				for k, v := range times(value(h.value), set[j]) {
					mixed[k] += w * v
				}
			}
			y, mean, variance := times(value(h.mix), mixed), 0., 0.
			for k := range y {
				y[k] += x[k] + value(h.bias)[0][k]
				mean += y[k] / testkit.Width
			}
			for _, v := range y {
				variance += (v - mean) * (v - mean) / testkit.Width
			}
			for k := range y {
				y[k] = (y[k] - mean) / math.Sqrt(variance+1e-5)
			}
			out = append(out, y)
		}
		return out
	}
	task := balanced(features(6))
	var want []float64
	penalty := 0.
	labels := tensor.Values[int64](task.QueryLabels)
	for i, s := range samples(task) {
		for _, scores := range s.nearest(adapt(s.means()), 1/c.Temperature) {
			want = append(want, naiveLogSoftmax(scores)...)
		}
		sets := make([][][]float64, s.way)
		for e, z := range s.z {
			sets[s.y[e]] = append(sets[s.y[e]], z)
		}
		for j, x := range s.x {
			class := labels[i*testkit.Way+j]
			sets[class] = append(sets[class], x)
		}
		var centres [][]float64
		for _, set := range sets {
			centres = append(centres, naiveMean(adapt(set)))
		}
		for class, set := range sets {
			at := sample{x: set, way: s.way}
			for _, scores := range at.nearest(centres, 1/c.ContrastTemperature) {
				penalty -= c.Weight * naiveLogSoftmax(scores)[class] / float64(testkit.Tasks*s.way*len(set))
			}
		}
	}
	assert.InDeltaSlice(t, want, h.LogProbs(p, task).Floats(), 1e-8)
	assert.InDelta(t, penalty, h.Penalty(p, task).Float(), 1e-8)
}

// Ridge regression solves for whichever are fewer, support examples or dimensions: both ways agree.
func TestRidgeOfManyExamples(t *testing.T) {
	testkit.Enter(t)
	task := features(7)
	for _, width := range []int64{2, 5} {
		narrow := *task
		narrow.Support, narrow.Query = task.Support.Narrow(2, 0, width), task.Query.Narrow(2, 0, width)
		for _, c := range []RidgeConfig{r2d2, ridge2} {
			var want []float64
			for _, s := range samples(&narrow) {
				for _, scores := range s.ridge(c) {
					want = append(want, naiveLogSoftmax(scores)...)
				}
			}
			assert.InDeltaSlice(t, want, NewRidge(nil, c).LogProbs(&nn.Pass{}, &narrow).Floats(), 1e-8, "width %d", width)
		}
	}
}

// The dual variables of the SVM satisfy their constraints to 1e-9 after the usual number of iterations, also for many examples.
func TestSVMConstraints(t *testing.T) {
	testkit.Enter(t)
	r := rand.New(rand.NewPCG(8, 0))
	for _, c := range []float64{.01, .1, 1, 100} {
		z := testkit.Normal(r, 2, 30, 50)
		labels := make([]int64, 60)
		for i := range labels {
			labels[i] = int64(i) % 5
		}
		y := tensor.New(labels, 2, 30).OneHot(5).To(tensor.Float64)
		k := z.MatMul(z.Transpose(-2, -1))
		alpha := crammerSinger(k.Add(eye(k, 1)), y, c, 20)
		for _, sum := range alpha.Sum(2).Flatten(0, -1).Floats() {
			assert.InDelta(t, 0, sum, 1e-9)
		}
		over := alpha.Sub(y.MulScalar(c)).Flatten(0, -1)
		most, _ := over.Max(0)
		assert.Less(t, most.Float(), 1e-8*max(1, c))
	}
}

// Smoothed labels, and the penalty, are part of the loss of training.
func TestNetLoss(t *testing.T) {
	testkit.Enter(t)
	task := testkit.Task(9)
	net := &Net{Encoder: testkit.Flatten(testkit.Width), Head: NewMean(nil, metric.SquaredEuclidean{}, 1), Smoothing: .2}
	loss, logp := net.Loss(&nn.Pass{}, task)
	assert.Equal(t, net.LogProbs(&nn.Pass{}, task).Floats(), logp.Floats())
	want, labels := 0., tensor.Values[int64](task.QueryLabels)
	for i, row := range rows(logp) {
		for c, v := range row {
			target := .2 / testkit.Way
			if labels[i] == int64(c) {
				target += .8
			}
			want -= target * v / float64(len(labels))
		}
	}
	assert.InDelta(t, want, loss.Float(), 1e-12)
}

// Each head that is trained through learns invented characters together with an encoder.
func TestNetsLearn(t *testing.T) {
	for name, build := range map[string]func(b *nn.Builder, width int64) Head{
		"ridge": func(b *nn.Builder, _ int64) Head {
			return NewRidge(b, RidgeConfig{Lambda: 50, Bias: true, Scale: 100})
		},
		"svm":  func(b *nn.Builder, _ int64) Head { return NewSVM(b, SVMConfig{C: .1, Iterations: 15, Scale: 1}) },
		"feat": func(b *nn.Builder, w int64) Head { return NewFEAT(b, w, FEATConfig{Temperature: 8, Drop: .1}) },
	} {
		t.Run(name, func(t *testing.T) {
			testkit.LearnsStrokes(t, 40, func(b *nn.Builder) testkit.FewShot {
				e, err := encoder.NewConv4(b.In("encoder"), encoder.Conv4Config{Height: 28, Width: 28, Filters: 8})
				require.NoError(t, err)
				return noisy{&Net{Encoder: e, Head: build(b.In("head"), e.Width())}}
			})
		})
	}
}

// noisy gives training passes a generator.
type noisy struct{ *Net }

func (n noisy) Loss(p *nn.Pass, t *fewshot.Task) (loss, logp *tensor.Tensor) {
	own := *p
	own.Rand = stream.New(1, "noise")
	return n.Net.Loss(&own, t)
}

func TestSimpleShotNeedsItsMean(t *testing.T) {
	assert.Panics(t, func() { NewSimpleShot(CL2N, nil, 1) })
	assert.Panics(t, func() { NewSimpleShot(L2N, centre, 1) })
}

// usual are the heads as experiment files have them.
var usual = []struct {
	name string
	head Head
}{
	{"mean", NewMean(nil, metric.SquaredEuclidean{}, 1)},
	{"cosine mean", NewMean(nil, metric.Cosine{}, 10)},
	{"l2n", NewSimpleShot(L2N, nil, 10)},
	{"ridge", NewRidge(nil, RidgeConfig{Lambda: 50, Bias: true, Scale: 10})},
	{"svm", NewSVM(nil, SVMConfig{C: .1, Iterations: 15, Scale: 1})},
	{"logistic", NewLogistic(LogisticConfig{C: 1, Normalize: true, Iterations: 1000})},
	{"bd-cspn", NewBDCSPN(Rectification{10}, 10)},
	{"laplacian", NewLaplacian(LaplacianConfig{Rectification: Rectification{10}, Rectify: true, Normalize: true, Neighbours: 2, Lambda: .7, Steps: 20})},
	{"soft-k-means", NewSoftKMeans(1, 1, false)},
	{"tim-adm-150", NewTune(TuneConfig{CrossEntropy: .1, Marginal: 1, Conditional: .1, Temperature: 15, Normalize: true, Steps: 150, Alternating: true})},
	{"tim-1000", NewTune(TuneConfig{CrossEntropy: .1, Marginal: 1, Conditional: .1, Temperature: 15, Normalize: true, Steps: 1000, Rate: 1e-4})},
}

// usualTask are 5-way 5-shot tasks with 15 queries per class and 640-wide embeddings as after a ReLU, some of whose classes overlap.
func usualTask(seed uint64, tasks int64) *fewshot.Task {
	const width, way, shot, queries = 640, 5, 5, 75
	r := rand.New(rand.NewPCG(seed, 0))
	centres := make([]float64, tasks*way*width)
	for i := range centres {
		centres[i] = .25 * r.NormFloat64()
	}
	fill := func(n int64) (x, y *tensor.Tensor) {
		labels := make([]int64, tasks*n)
		x = tensor.Made(func(v []float32) {
			for i := range v {
				row := int64(i) / width
				labels[row] = row % way
				v[i] = float32(max(0, centres[(row/n*way+row%way)*width+int64(i)%width]+r.NormFloat64()))
			}
		}, tasks, n, width)
		return x, tensor.New(labels, tasks, n)
	}
	t := &fewshot.Task{Way: way}
	t.Support, t.SupportLabels = fill(way * shot)
	t.Query, t.QueryLabels = fill(queries)
	return t
}

// Single precision gives the probabilities of double precision to 1e-4, and the same accuracy to 0.1 points, on tasks of the usual
// size with the usual settings: double precision is held against plain loops on small tasks.
func TestHeadsInSinglePrecision(t *testing.T) {
	threads := tensor.Threads()
	tensor.SetThreads(1) // of many small operations, threads would spend the time waiting for one another
	t.Cleanup(func() { tensor.SetThreads(threads) })
	testkit.Enter(t)
	task := usualTask(1, 8)
	double := *task
	double.Support, double.Query = task.Support.To(tensor.Float64), task.Query.To(tensor.Float64)
	for _, h := range usual {
		got, want := h.head.LogProbs(&nn.Pass{Norm: nn.RunningStats}, task), h.head.LogProbs(&nn.Pass{Norm: nn.RunningStats}, &double)
		assert.InDeltaSlice(t, want.Exp().Flatten(0, -1).Floats(), got.To(tensor.Float64).Exp().Flatten(0, -1).Floats(), 1e-4, h.name)
		accuracy := func(logp *tensor.Tensor) float64 {
			return logp.Argmax(-1).Eq(task.QueryLabels).To(tensor.Float64).Mean().Float()
		}
		assert.InDelta(t, accuracy(want), accuracy(got), 1e-3, h.name)
		assert.Greater(t, accuracy(want), .6, h.name)
		assert.Less(t, accuracy(want), .99, h.name)
	}
}

// One thousand tasks of the usual size, as a test classifies them on embeddings that are there already: in batches of 16, of which
// there are as many at the same time as there are processors, with one thread per operation. Matrix products are those of
// package product, as in the command line.
func BenchmarkHeads(b *testing.B) {
	const tasks, batch = 1000, 16
	workers := runtime.GOMAXPROCS(0)
	tensor.SetThreads(1)
	b.Cleanup(func() { tensor.SetThreads(workers) })
	for _, h := range usual {
		b.Run(fmt.Sprintf("%s/tasks=%d", h.name, tasks), func(b *testing.B) {
			for b.Loop() {
				var left atomic.Int64
				left.Store(tasks / batch)
				var working sync.WaitGroup
				for w := range workers {
					working.Go(func() {
						s := tensor.Enter()
						defer s.Leave()
						task := usualTask(uint64(w), batch)
						for left.Add(-1) >= 0 {
							inner := tensor.Enter()
							tensor.NoGrad(func() { h.head.LogProbs(&nn.Pass{Norm: nn.RunningStats}, task) })
							inner.Leave()
						}
					})
				}
				working.Wait()
			}
		})
	}
}

// Embeddings that are not finite end in an error of the operation that notices, and leave no scope open.
func TestEmbeddingsThatAreNotFinite(t *testing.T) {
	before := tensor.Live()
	for _, h := range heads {
		err := tensor.Do(func() error {
			task := features(1)
			task.Support = task.Support.MulScalar(math.NaN())
			if h.head.LogProbs(&nn.Pass{}, task).Finite() {
				return nil
			}
			return fmt.Errorf("not finite")
		})
		assert.Error(t, err, h.name)
	}
	assert.Equal(t, before, tensor.Live())
}
