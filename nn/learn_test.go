package nn_test

import (
	"testing"

	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
	"github.com/stretchr/testify/assert"
)

// learn takes steps until the loss is small and returns the last loss.
func learn(ps *nn.Params, opt nn.Optimizer, steps int, lr, enough float64, loss func(step int) *tensor.Tensor) (last float64) {
	for step := range steps {
		s := tensor.Enter()
		l := loss(step)
		last = l.Float()
		opt.Step(tensor.Grad(l, ps.Tensors()...), lr)
		s.Leave()
		if last < enough {
			break
		}
	}
	return last
}

func TestXORIsLearned(t *testing.T) {
	for name, c := range map[string]struct {
		make func(ps *nn.Params) nn.Optimizer
		lr   float64
	}{
		"Adam":    {func(ps *nn.Params) nn.Optimizer { return nn.NewAdam(ps, nn.DefaultAdam()) }, .05},
		"RMSProp": {func(ps *nn.Params) nn.Optimizer { return nn.NewRMSProp(ps, nn.DefaultRMSProp()) }, .01},
		"SGD":     {func(ps *nn.Params) nn.Optimizer { return nn.NewSGD(ps, nn.SGDConfig{Momentum: .9}) }, .1},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Enter(t)
			b := build(t, 1)
			hidden, out := nn.NewLinear(b.In("hidden"), 2, 8), nn.NewLinear(b.In("out"), 8, 1)
			x, y := tensor.New([]float32{0, 0, 0, 1, 1, 0, 1, 1}, 4, 2), tensor.New([]float32{0, 1, 1, 0}, 4, 1)
			loss := learn(b.Params(), own(t, c.make(b.Params())), 2000, c.lr, 1e-3, func(int) *tensor.Tensor {
				p := &nn.Pass{Training: true}
				return out.Forward(p, hidden.Forward(p, x).Tanh()).Sub(y).Square().Mean()
			})
			assert.Less(t, loss, 1e-3)
		})
	}
}

// The label is the first bit of eight; the rest are noise.
func TestLSTMRemembersTheFirstBit(t *testing.T) {
	const length, batch, size = 8, 32, 8
	testkit.Enter(t)
	b := build(t, 1)
	lstm, out := nn.NewLSTM(b.In("lstm"), nn.LSTMConfig{In: 1, Size: size}), nn.NewLinear(b.In("out"), size, 1)
	loss := learn(b.Params(), own(t, nn.NewAdam(b.Params(), nn.DefaultAdam())), 1000, .03, .02, func(step int) *tensor.Tensor {
		r := random(uint64(step))
		bits := make([]float32, length*batch)
		for i := range bits {
			bits[i] = float32(r.IntN(2))
		}
		x := tensor.New(bits, length, batch, 1)
		p := &nn.Pass{Training: true}
		y, _ := lstm.Forward(p, x.MulScalar(2).AddScalar(-1), lstm.Init(batch))
		logits := out.Forward(p, y.Select(0, length-1))
		return tensor.BCEWithLogits(logits, x.Select(0, 0)).MulScalar(1. / batch)
	})
	assert.Less(t, loss, .02, "nats")
}

// Convolution, batch norm and running statistics together: an image's class is which half is bright, and evaluation
// with the running statistics agrees.
func TestConvolutionsLearn(t *testing.T) {
	const batch = 16
	testkit.Enter(t)
	b := build(t, 1)
	conv := nn.NewConv2d(b.In("conv"), nn.Conv2dConfig{In: 1, Out: 4, Kernel: 3, Padding: 1})
	norm, out := nn.NewBatchNorm(b.In("norm"), 4), nn.NewLinear(b.In("out"), 4*3*3, 2)
	forward := func(p *nn.Pass, x *tensor.Tensor) *tensor.Tensor {
		h := tensor.MaxPool2d(norm.Forward(p, conv.Forward(p, x)).ReLU(), 2)
		return out.Forward(p, h.Flatten(1, -1)).LogSoftmax(-1)
	}
	images := func(step int) (x, y *tensor.Tensor) {
		r := random(uint64(step))
		pixels, labels := make([]float32, batch*36), make([]int64, batch)
		for i := range batch {
			labels[i] = r.Int64N(2)
			for k := range 36 {
				pixels[36*i+k] = float32(r.NormFloat64())
				if k/18 == int(labels[i]) {
					pixels[36*i+k] += 2
				}
			}
		}
		return tensor.New(pixels, batch, 1, 6, 6), tensor.New(labels, batch)
	}
	loss := learn(b.Params(), own(t, nn.NewAdam(b.Params(), nn.DefaultAdam())), 300, .01, .01, func(step int) *tensor.Tensor {
		x, y := images(step)
		return tensor.NLL(forward(&nn.Pass{Training: true}, x), y)
	})
	assert.Less(t, loss, .01, "nats")
	x, y := images(1 << 20)
	assert.Less(t, tensor.NLL(forward(&nn.Pass{Norm: nn.RunningStats}, x), y).Float(), .2, "nats, on unseen images")
}
