package mann_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/controller"
	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/episode"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/mann"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

func lrua(b *nn.Builder, control int64) memory.Recurrent {
	return memory.NewLRUA(b, memory.LRUAConfig{Control: control, Slots: 6, Width: 4, Heads: 2})
}

// memories are small memories of every kind.
var memories = map[string]func(b *nn.Builder, control int64) memory.Recurrent{
	"none": func(*nn.Builder, int64) memory.Recurrent { return memory.None{} },
	"lrua": lrua,
	"ntm": func(b *nn.Builder, control int64) memory.Recurrent {
		return memory.NewNTM(b, memory.NTMConfig{Control: control, Slots: 6, Width: 4, Reads: 2})
	},
	"dnc": func(b *nn.Builder, control int64) memory.Recurrent {
		return memory.NewDNC(b, memory.DNCConfig{Control: control, Slots: 6, Width: 4, Reads: 2})
	},
}

// task is a task of random images [1, 2, 2]: two episodes of two classes with three images each.
func task(length, letters int64) *fewshot.Sequence {
	r := rand.New(rand.NewPCG(1, 0))
	const time, episodes = 6, 2
	t := &fewshot.Sequence{Images: testkit.Normal(r, time, episodes, 1, 2, 2), Instances: make([]int, time*episodes)}
	labels := make([]int64, time*episodes*length)
	for e := range episodes {
		classes := [2][]int64{}
		for c := range classes {
			for range length {
				classes[c] = append(classes[c], r.Int64N(letters))
			}
		}
		var seen [2]int
		for at, i := range r.Perm(time) {
			k := at*episodes + e
			copy(labels[int64(k)*length:], classes[i%2])
			seen[i%2]++
			t.Instances[k] = seen[i%2]
		}
	}
	t.Labels = tensor.New(labels, time, episodes, length)
	return t
}

// double returns a pass with float64 copies of all parameters.
func double(b *nn.Builder) *nn.Pass {
	p := &nn.Pass{With: map[*nn.Param]*tensor.Tensor{}}
	for _, param := range b.Params().All() {
		p.With[param] = param.Value().Detach().To(tensor.Float64)
	}
	return p
}

var kinds = []struct{ length, letters int64 }{{1, 5}, {3, 2}}

// Step by step: the controller takes an image and the one-hot letters of the previous image's label; its output passes through
// a linear layer and one softmax per letter.
func TestForwardIsThePlainLoop(t *testing.T) {
	for _, kind := range kinds {
		t.Run(fmt.Sprint(kind), func(t *testing.T) {
			testkit.Enter(t)
			b, reference := nn.NewBuilder(2, tensor.CPU), nn.NewBuilder(2, tensor.CPU) // of the same seed, so with the same values
			defer b.Params().Free()
			defer reference.Params().Free()
			config := controller.Config{Size: 5, Memory: lrua}
			net := mann.New(b, mann.Config{Inputs: 4, Length: kind.length, Letters: kind.letters, Controller: config})
			wide := kind.length * kind.letters
			config.Inputs = 4 + wide
			c := controller.New(reference, config)
			out := nn.NewLinear(reference.In("output"), c.Width(), wide)

			task := task(kind.length, kind.letters)
			images, labels := task.Images.Floats(), tensor.Values[int64](task.Labels)
			shape := task.Labels.Shape()
			time, episodes := int(shape[0]), int(shape[1])
			p, q := double(b), double(reference)
			got := net.LogProbs(p, task)
			require.Equal(t, []int64{6, 2, kind.length, kind.letters}, got.Shape())
			s := c.Init(q, int64(episodes))
			for at := range time {
				x := make([]float64, episodes*int(4+wide))
				for e := range episodes {
					row := x[e*int(4+wide):][:4+wide]
					copy(row, images[(at*episodes+e)*4:][:4])
					if at > 0 {
						for k, letter := range labels[((at-1)*episodes+e)*int(kind.length):][:kind.length] {
							row[4+k*int(kind.letters)+int(letter)] = 1
						}
					}
				}
				var hidden *tensor.Tensor
				hidden, s = c.Step(q, tensor.New(x, int64(episodes), 4+wide), s)
				want := out.Forward(q, hidden).Reshape(int64(episodes), kind.length, kind.letters).LogSoftmax(-1)
				assert.InDeltaSlice(t, want.Floats(), got.Select(0, int64(at)).Floats(), 1e-9, "step %d", at)
			}
		})
	}
}

// A prediction does not depend on its own label, on a later one, or on a later image; the next prediction does.
// Watching the memory changes nothing, and shows the state of every step.
func TestWatchIsLogProbs(t *testing.T) {
	for name, m := range memories {
		require.NoError(t, tensor.Do(func() error {
			b := nn.NewBuilder(1, tensor.CPU)
			defer b.Params().Free()
			net := mann.New(b, mann.Config{Inputs: 4, Letters: 2, Controller: controller.Config{Size: 5, Memory: m}})
			p, s := double(b), task(1, 2)
			var states int
			seen := net.Watch(p, s, func(state memory.State) {
				states++
				if read, _ := memory.Weightings(state); read != nil {
					assert.Equal(t, int64(6), read.Dim(2), name)
				}
			})
			assert.InDeltaSlice(t, net.LogProbs(p, s).Floats(), seen.Floats(), 1e-5, name)
			assert.Equal(t, 6, states, name)
			return nil
		}))
	}
}

func TestPredictionsAreCausal(t *testing.T) {
	testkit.Enter(t)
	b := nn.NewBuilder(2, tensor.CPU)
	defer b.Params().Free()
	net := mann.New(b, mann.Config{Inputs: 4, Controller: controller.Config{Size: 5, Memory: lrua}})
	task, p := task(1, 5), double(b)
	before := net.LogProbs(p, task)
	const at = 3
	changed := *task
	labels := tensor.Values[int64](task.Labels)
	labels[at*2] = (labels[at*2] + 1) % 5
	changed.Labels = tensor.New(labels, 6, 2, 1)
	after := net.LogProbs(p, &changed)
	assert.Equal(t, before.Narrow(0, 0, at+1).Floats(), after.Narrow(0, 0, at+1).Floats())
	assert.NotEqual(t, before.Select(0, at+1).Select(0, 0).Floats(), after.Select(0, at+1).Select(0, 0).Floats())
	assert.Equal(t, before.Select(1, 1).Floats(), after.Select(1, 1).Floats(), "nor on another episode's")
}

func TestLossAndAccuraciesArePlainLoops(t *testing.T) {
	for _, kind := range kinds {
		t.Run(fmt.Sprint(kind), func(t *testing.T) { lossAndAccuracies(t, kind.length, kind.letters) })
	}
}

func lossAndAccuracies(t *testing.T, length, letters int64) {
	testkit.Enter(t)
	b := nn.NewBuilder(2, tensor.CPU)
	defer b.Params().Free()
	net := mann.New(b, mann.Config{Inputs: 4, Length: length, Letters: letters, Controller: controller.Config{Size: 5, Memory: lrua}})
	task := task(length, letters)
	loss, logp := net.Loss(double(b), task)
	values, labels := logp.Floats(), tensor.Values[int64](task.Labels)
	const time, episodes = 6, 2
	var nll float64
	all, right := [episodes]float64{}, [3][episodes]float64{} // of three images per class
	for at := range time {
		for e := range episodes {
			correct := true
			for k := range int(length) {
				i := (at*episodes+e)*int(length) + k
				row := values[i*int(letters):][:letters]
				best := 0
				for letter, v := range row {
					if v > row[best] {
						best = letter
					}
				}
				correct = correct && best == int(labels[i])
				nll -= row[labels[i]] / (time * episodes)
			}
			if correct {
				all[e]++
				right[task.Instances[at*episodes+e]-1][e]++
			}
		}
	}
	assert.InDelta(t, nll, loss.Float(), 1e-9)
	gotAll, got := task.Accuracies(logp)
	require.Len(t, got, 3)
	for e := range episodes {
		assert.InDelta(t, all[e]/time, gotAll[e], 1e-12)
		for k := range right {
			assert.InDelta(t, right[k][e]/2, got[k][e], 1e-12, "episode %d, instance %d", e, k+1)
		}
	}
}

// The gradient of a whole unrolled network, in double precision, against finite differences.
func TestUnrolledGradientIsThatOfFiniteDifferences(t *testing.T) {
	for name, mem := range memories {
		for _, feedforward := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, feedforward %v", name, feedforward), func(t *testing.T) {
				testkit.Enter(t)
				b := nn.NewBuilder(3, tensor.CPU)
				defer b.Params().Free()
				net := mann.New(b, mann.Config{Inputs: 4, Length: 3, Letters: 2, Controller: controller.Config{Feedforward: feedforward, Size: 5, Memory: mem}})
				task := task(3, 2)
				testkit.Gradients(t, b.Params(), rand.New(rand.NewPCG(4, 0)), func(p *nn.Pass) *tensor.Tensor {
					loss, _ := net.Loss(p, task)
					return loss
				})
			})
		}
	}
}

// mean embeds an image as its mean and records the number of images in each evaluation.
type mean struct{ seen *[]int64 }

func (m mean) Width() int64 { return 1 }
func (m mean) Forward(_ *nn.Pass, x *tensor.Tensor) *tensor.Tensor {
	*m.seen = append(*m.seen, x.Dim(0))
	return x.Mean(1, 2, 3).Unsqueeze(1)
}

func TestEncoderSeesAllStepsAtOnce(t *testing.T) {
	testkit.Enter(t)
	b, reference := nn.NewBuilder(2, tensor.CPU), nn.NewBuilder(2, tensor.CPU)
	defer b.Params().Free()
	defer reference.Params().Free()
	var seen []int64
	config := mann.Config{Inputs: 1, Encoder: mean{&seen}, Controller: controller.Config{Size: 5, Memory: lrua}}
	encoded := mann.New(b, config)
	config.Encoder = nil
	flat := mann.New(reference, config)
	task := task(1, 5)
	got := encoded.LogProbs(double(b), task)
	assert.Equal(t, []int64{12}, seen)
	task.Images = task.Images.Mean(2, 3, 4)
	assert.Equal(t, flat.LogProbs(double(reference), task).Floats(), got.Floats())
}

// The default configuration is the paper's network.
func TestDefaultsAreThePapers(t *testing.T) {
	testkit.Enter(t)
	b := nn.NewBuilder(1, tensor.CPU)
	defer b.Params().Free()
	mann.New(b, mann.Config{Inputs: 400})
	shapes := map[string][]int64{}
	for _, p := range b.Params().All() {
		shapes[p.Name] = p.Value().Shape()
	}
	assert.Equal(t, []int64{4 * 200, 400 + 5 + 4*40}, shapes["controller1.weight_ih"])
	assert.Equal(t, []int64{5, 200 + 4*40}, shapes["output.weight"])
	assert.Equal(t, []int64{4 * (40 + 1), 200}, shapes["memory.heads.weight"])
}

// sequences samples sequences of two classes with four identical images each. part seeds the classes.
func sequences(t *testing.T, part uint64) *episode.SequenceSampler {
	const classes, images, side = 200, 4, 4
	var names []string
	var counts []int
	var pixels []byte
	r := rand.New(rand.NewPCG(part, 0))
	for c := range classes {
		names, counts = append(names, fmt.Sprint(c)), append(counts, images)
		image := make([]byte, side*side)
		for i := range image {
			image[i] = byte(255 * r.IntN(2))
		}
		for range images {
			pixels = append(pixels, image...)
		}
	}
	set, err := dataset.NewImages(names, counts, 1, side, side, pixels)
	require.NoError(t, err)
	s, err := episode.NewSequences(set, episode.SequenceSpec{Way: 2, Samples: images, Length: 1, Letters: 2}, 1, "s")
	require.NoError(t, err)
	return s
}

// The network recognises a class once it has seen its label, also for classes that it was not trained on.
func TestLearnsToRemember(t *testing.T) {
	testkit.Enter(t)
	b := nn.NewBuilder(1, tensor.CPU)
	defer b.Params().Free()
	net := mann.New(b, mann.Config{Inputs: 16, Letters: 2, Controller: controller.Config{Size: 32, Memory: func(b *nn.Builder, control int64) memory.Recurrent {
		return memory.NewLRUA(b, memory.LRUAConfig{Control: control, Slots: 8, Width: 12, Heads: 1})
	}}})
	opt := nn.NewAdam(b.Params(), nn.DefaultAdam())
	defer opt.Free()
	train, test := sequences(t, 0), sequences(t, 1).Batch(0, 200)
	measure := func() (out []float64) {
		scope := tensor.Enter()
		defer scope.Leave()
		tensor.NoGrad(func() {
			task := fewshot.NewSequence(test, tensor.CPU)
			_, instances := task.Accuracies(net.LogProbs(&nn.Pass{Norm: nn.RunningStats}, task))
			for _, k := range instances {
				sum := 0.
				for _, v := range k {
					sum += v / float64(len(k))
				}
				out = append(out, sum)
			}
		})
		return out
	}
	before := measure()
	for step := range 900 {
		scope := tensor.Enter()
		loss, _ := net.Loss(&nn.Pass{Training: true}, fewshot.NewSequence(train.Batch(uint64(step)*32, 32), tensor.CPU))
		require.False(t, math.IsNaN(loss.Float()), "step %d", step)
		opt.Step(tensor.Grad(loss, b.Params().Tensors()...), .01)
		scope.Leave()
	}
	after := measure()
	t.Logf("accuracy by instance: from %.2f to %.2f", before, after)
	assert.Less(t, before[1], .6)
	assert.Greater(t, after[1], .85)
	assert.Greater(t, after[3], .85)
}
