package nn_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type layerCase struct {
	Layer, Name string
	Config      struct {
		In, Out, Kernel, Stride, Padding, Groups, Layers int64
		Bidirectional                                    bool
	}
	Training                                       bool
	Norm                                           string
	Inputs, Params, Outputs, Weights, Grads, After map[string]array
}

// forward makes the case's layer at the root of b, with PyTorch's parameter names, and returns a function that
// evaluates it.
func (c layerCase) forward(t *testing.T, b *nn.Builder) func(p *nn.Pass, in map[string]*tensor.Tensor) map[string]*tensor.Tensor {
	k := c.Config
	type values = map[string]*tensor.Tensor
	switch c.Layer {
	case "linear":
		l := nn.NewLinear(b, k.In, k.Out)
		return func(p *nn.Pass, in values) values { return values{"y": l.Forward(p, in["x"])} }
	case "conv2d":
		l := nn.NewConv2d(b, nn.Conv2dConfig{In: k.In, Out: k.Out, Kernel: k.Kernel, Stride: k.Stride, Padding: k.Padding, Groups: k.Groups})
		return func(p *nn.Pass, in values) values { return values{"y": l.Forward(p, in["x"])} }
	case "batch_norm":
		l := nn.NewBatchNorm(b, k.In)
		return func(p *nn.Pass, in values) values { return values{"y": l.Forward(p, in["x"])} }
	case "lstm_cell":
		l := nn.NewLSTMCell(b, k.In, k.Out)
		return func(p *nn.Pass, in values) values {
			s := l.Step(p, in["x"], nn.LSTMState{Hidden: in["h"], Cell: in["c"]})
			return values{"h_out": s.Hidden, "c_out": s.Cell}
		}
	case "lstm":
		l := nn.NewLSTM(b, nn.LSTMConfig{In: k.In, Size: k.Out, Layers: k.Layers, Bidirectional: k.Bidirectional})
		return func(p *nn.Pass, in values) values {
			y, s := l.Forward(p, in["x"], nn.LSTMState{Hidden: in["h"], Cell: in["c"]})
			return values{"y": y, "h_out": s.Hidden, "c_out": s.Cell}
		}
	}
	require.FailNow(t, "unknown layer "+c.Layer)
	return nil
}

// Outputs, gradients with respect to inputs and parameters, and updated buffers, against PyTorch in float64.
func TestLayersAgainstPyTorch(t *testing.T) {
	for _, c := range fixture[layerCase](t, "testdata/layers.json") {
		t.Run(c.Layer+"/"+c.Name, func(t *testing.T) {
			testkit.Enter(t)
			b := build(t, 1)
			forward := c.forward(t, b)
			ps := b.Params()
			require.Len(t, ps.All(), len(c.Params))
			for name, v := range c.Params {
				p := find(t, ps, name)
				require.Equal(t, v.Shape, p.Value().Shape(), name)
				p.Value().Assign(v.tensor())
			}
			pass := &nn.Pass{Training: c.Training}
			if c.Norm == "running" {
				pass.Norm = nn.RunningStats
			}
			in := map[string]*tensor.Tensor{}
			var names []string
			var xs []*tensor.Tensor
			for name, v := range c.Inputs {
				in[name] = v.tensor().RequireGrad()
				names, xs = append(names, name), append(xs, in[name])
			}
			for _, p := range ps.Trained() {
				names, xs = append(names, p.Name), append(xs, p.Value())
			}

			var outputs map[string]*tensor.Tensor
			tensor.WithGrad(func() { outputs = forward(pass, in) })
			require.Len(t, outputs, len(c.Outputs))
			var ys, above []*tensor.Tensor
			for name, y := range outputs {
				near(t, c.Outputs[name], y, name)
				ys, above = append(ys, y), append(above, c.Weights[name].tensor())
			}
			grads := tensor.GradWith(ys, xs, tensor.GradOptions{Outputs: above})
			require.Len(t, grads, len(c.Grads))
			for i, g := range grads {
				near(t, c.Grads[names[i]], g, "gradient of "+names[i])
			}
			for name, want := range c.After {
				near(t, want, find(t, ps, name).Value(), name)
			}
		})
	}
}

// One layer of LSTM equals its cell, step by step, in values and gradients.
func TestLSTMIsItsCellUnrolled(t *testing.T) {
	testkit.Enter(t)
	const steps, batch, in, size = 6, 3, 4, 5
	b := build(t, 1)
	cell, stack := nn.NewLSTMCell(b.In("cell"), in, size), nn.NewLSTM(b.In("stack"), nn.LSTMConfig{In: in, Size: size})
	ps := b.Params()
	var cells, stacks []*tensor.Tensor
	for _, name := range []string{"weight_ih", "weight_hh", "bias_ih", "bias_hh"} {
		from, to := find(t, ps, "cell."+name).Value(), find(t, ps, "stack."+name+"_l0").Value()
		to.Assign(from)
		cells, stacks = append(cells, from), append(stacks, to)
	}
	values := make([]float32, steps*batch*in)
	nn.Normal(0, 1)(random(1), nil, values)
	x := tensor.New(values, steps, batch, in)

	p := &nn.Pass{Training: true}
	y, last := stack.Forward(p, x, stack.Init(batch))
	state := cell.Init(batch)
	var outs []*tensor.Tensor
	for i := range int64(steps) {
		state = cell.Step(p, x.Select(0, i), state)
		outs = append(outs, state.Hidden)
	}
	unrolled := tensor.Stack(0, outs...)
	assert.InDeltaSlice(t, y.Floats(), unrolled.Floats(), 1e-6)
	assert.InDeltaSlice(t, last.Hidden.Floats(), state.Hidden.Floats(), 1e-6)
	assert.InDeltaSlice(t, last.Cell.Floats(), state.Cell.Floats(), 1e-6)
	assert.Equal(t, []int64{1, batch, size}, last.Hidden.Shape())

	want, got := tensor.Grad(y.Square().Sum(), stacks...), tensor.Grad(unrolled.Square().Sum(), cells...)
	for i := range want {
		assert.InDeltaSlice(t, want[i].Floats(), got[i].Floats(), 1e-5)
	}
}

// Outputs are those of Forward from a state of zeros, of all layers and both directions, in one operation each and as LibTorch's LSTM.
func TestLSTMOutputsAreForwards(t *testing.T) {
	testkit.Enter(t)
	for _, bidirectional := range []bool{false, true} {
		b := build(t, 1)
		l := nn.NewLSTM(b, nn.LSTMConfig{In: 4, Size: 5, Layers: 2, Bidirectional: bidirectional})
		values := make([]float32, 6*3*4)
		nn.Normal(0, 1)(random(1), nil, values)
		x := tensor.New(values, 6, 3, 4).RequireGrad()
		outcome := func(y *tensor.Tensor) [][]float64 {
			out := [][]float64{y.Floats()}
			for _, g := range tensor.Grad(y.Square().Sum(), append(b.Params().Tensors(), x)...) {
				out = append(out, g.Floats())
			}
			return out
		}
		y, _ := l.Forward(&nn.Pass{Training: true}, x, l.Init(3))
		want := outcome(y)
		for _, higher := range []bool{false, true} {
			got := outcome(l.Outputs(&nn.Pass{Training: true, HigherOrder: higher}, x))
			for i := range want {
				assert.InDeltaSlice(t, want[i], got[i], 1e-5, "%v %v %d", bidirectional, higher, i)
			}
		}
		wide := tensor.Zeros(6, 3, 7)
		assert.Error(t, tensor.Do(func() error { l.Outputs(&nn.Pass{}, wide); return nil }), "a wrong width")
	}
}

func TestLSTMInitShapes(t *testing.T) {
	testkit.Enter(t)
	b := build(t, 1)
	s := nn.NewLSTM(b.In("deep"), nn.LSTMConfig{In: 2, Size: 3, Layers: 2, Bidirectional: true}).Init(5)
	assert.Equal(t, []int64{4, 5, 3}, s.Hidden.Shape())
	assert.Equal(t, []int64{4, 5, 3}, s.Cell.Shape())
	s = nn.NewLSTMCell(b.In("cell"), 2, 3).Init(5)
	assert.Equal(t, make([]float64, 15), s.Hidden.Floats())
	assert.Equal(t, make([]float64, 15), s.Cell.Floats())
}

func TestWrongShapesAreErrors(t *testing.T) {
	testkit.Enter(t)
	b := build(t, 1)
	linear := nn.NewLinear(b.In("linear"), 3, 2)
	conv := nn.NewConv2d(b.In("conv"), nn.Conv2dConfig{In: 3, Out: 2, Kernel: 3})
	norm := nn.NewBatchNorm(b.In("norm"), 3)
	lstm := nn.NewLSTM(b.In("lstm"), nn.LSTMConfig{In: 3, Size: 2})
	p := &nn.Pass{}
	for want, f := range map[string]func(){
		"Linear":    func() { linear.Forward(p, tensor.Ones(1, 4)) },
		"Conv2d":    func() { conv.Forward(p, tensor.Ones(1, 4, 5, 5)) },
		"BatchNorm": func() { norm.Forward(p, tensor.Ones(2, 4)) },
		"LSTM":      func() { lstm.Forward(p, tensor.Ones(2, 1, 4), lstm.Init(1)) },
	} {
		var e *tensor.Error
		require.ErrorAs(t, tensor.Do(func() error { f(); return nil }), &e, want)
		assert.Equal(t, want, e.Op)
	}
}

// The zero value pools as the block of Conv-4 does; no pooling is asked for by a window of one.
func TestConvBlockPoolsByDefault(t *testing.T) {
	testkit.Enter(t)
	b := build(t, 1)
	x := tensor.Ones(2, 3, 8, 8)
	assert.Equal(t, []int64{2, 4, 4, 4}, nn.NewConvBlock(b.In("default"), nn.ConvBlockConfig{In: 3, Out: 4}).Forward(&nn.Pass{}, x).Shape())
	assert.Equal(t, []int64{2, 4, 8, 8}, nn.NewConvBlock(b.In("none"), nn.ConvBlockConfig{In: 3, Out: 4, Window: 1}).Forward(&nn.Pass{}, x).Shape())
}

// A block without padding equals the composition of its operations, fused or not, and so does AfterConv.
func TestConvBlockWithoutPadding(t *testing.T) {
	testkit.Enter(t)
	b := build(t, 1)
	l := nn.NewConvBlock(b, nn.ConvBlockConfig{In: 3, Out: 4, Window: 2, Unpadded: true})
	r := rand.New(rand.NewPCG(1, 0))
	x := make([]float32, 2*3*8*9)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	in := tensor.New(x, 2, 3, 8, 9)
	convolved := tensor.Conv2d(in, l.Conv.Weight.Value(), l.Conv.Bias.Value(), 1, 0, 1)
	for _, p := range []nn.Pass{{}, {Norm: nn.RunningStats}, {HigherOrder: true}} {
		want := tensor.MaxPool2d(l.Norm.Forward(&p, convolved).ReLU(), 2)
		require.Equal(t, []int64{2, 4, 3, 3}, want.Shape())
		assert.InDeltaSlice(t, want.Floats(), l.Forward(&p, in).Floats(), 1e-5)
		assert.InDeltaSlice(t, want.Floats(), l.AfterConv(&p, convolved).Floats(), 1e-5)
	}
}

// A convolution with the norm in it is the convolution followed by the norm, with the same gradients, whatever the pass.
func TestConvolveNormIsBoth(t *testing.T) {
	for _, c := range []nn.Conv2dConfig{{Padding: 1}, {Stride: 2}, {Groups: 2, Padding: 1}} {
		for _, pass := range []nn.Pass{{Norm: nn.RunningStats}, {Norm: nn.RunningStats, HigherOrder: true}, {Norm: nn.RunningStats, Training: true}, {}, {Training: true}} {
			t.Run(fmt.Sprint(c, pass.Norm, pass.Training, pass.HigherOrder), func(t *testing.T) {
				testkit.Enter(t)
				r := rand.New(rand.NewPCG(3, 0))
				b := build(t, 1)
				w := b.Param("w", nn.KaimingNormal, 4, 6/max(c.Groups, 1), 3, 3)
				norm := nn.NewBatchNorm(b.In("norm"), 4)
				for _, p := range []*nn.Param{norm.Gain, norm.Bias, norm.Mean, norm.Variance} {
					p.Value().Assign(testkit.Normal(r, 4).Square().AddScalar(.1).To(tensor.Float32))
				}
				x := testkit.Normal(r, 3, 6, 7, 7).To(tensor.Float32).RequireGrad()
				run := func(f func(p *nn.Pass) *tensor.Tensor) (value []float64, grads []float64) {
					p := pass
					var y *tensor.Tensor
					tensor.WithGrad(func() { y = f(&p) })
					for _, g := range tensor.Grad(y.Square().Sum(), w.Value(), norm.Gain.Value(), norm.Bias.Value(), x) {
						grads = append(grads, g.Floats()...)
					}
					return y.Floats(), grads
				}
				mean, variance := norm.Mean.Value().Floats(), norm.Variance.Value().Floats()
				want, wantGrads := run(func(p *nn.Pass) *tensor.Tensor { return norm.Forward(p, nn.Convolve(p, x, w, nil, c)) })
				norm.Mean.Value().Assign(tensor.New(mean, 4).To(tensor.Float32))
				norm.Variance.Value().Assign(tensor.New(variance, 4).To(tensor.Float32))
				got, grads := run(func(p *nn.Pass) *tensor.Tensor {
					y, rest := nn.ConvolveNorm(p, x, w, norm, c)
					assert.Equal(t, !p.Training && p.Norm == nn.RunningStats, rest == nil)
					if rest == nil {
						return y
					}
					return rest.Forward(p, y)
				})
				assert.InDeltaSlice(t, want, got, 2e-5)
				assert.InEpsilonSlice(t, wantGrads, grads, 1e-3)
			})
		}
	}
}
