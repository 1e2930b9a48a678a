package ntm_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/controller"
	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/ntm"
	"github.com/engram-go/engram/tensor"
)

// memories are small memories of every kind.
var memories = map[string]func(b *nn.Builder, control int64) memory.Recurrent{
	"none": nil,
	"ntm": func(b *nn.Builder, control int64) memory.Recurrent {
		return memory.NewNTM(b, memory.NTMConfig{Control: control, Slots: 6, Width: 4, Reads: 2, Writes: 1})
	},
	"lrua": func(b *nn.Builder, control int64) memory.Recurrent {
		return memory.NewLRUA(b, memory.LRUAConfig{Control: control, Slots: 6, Width: 4, Heads: 2})
	},
	"dnc": func(b *nn.Builder, control int64) memory.Recurrent {
		return memory.NewDNC(b, memory.DNCConfig{Control: control, Slots: 6, Width: 4, Reads: 2})
	},
}

func each(t *testing.T, f func(t *testing.T, b *nn.Builder, n *ntm.Net)) {
	for name, mem := range memories {
		for _, feedforward := range []bool{false, true} {
			for _, layers := range []int64{1, 2} {
				t.Run(fmt.Sprintf("%s, feedforward %v, %d layers", name, feedforward, layers), func(t *testing.T) {
					testkit.Enter(t)
					b := nn.NewBuilder(3, tensor.CPU)
					defer b.Params().Free()
					f(t, b, ntm.New(b, ntm.Config{
						Config:  controller.Config{Inputs: 3, Feedforward: feedforward, Size: 5, Layers: layers, Memory: mem},
						Outputs: 2,
					}))
				})
			}
		}
	}
}

func TestSequencesOfABatchAreApart(t *testing.T) {
	each(t, func(t *testing.T, _ *nn.Builder, n *ntm.Net) {
		x := testkit.Normal(rand.New(rand.NewPCG(1, 0)), 7, 3, 3).To(tensor.Float32)
		all := n.Forward(&nn.Pass{}, x, nil)
		require.Equal(t, []int64{7, 3, 2}, all.Shape())
		for i := range int64(3) {
			one := n.Forward(&nn.Pass{}, x.Narrow(1, i, 1), nil)
			assert.InDeltaSlice(t, one.Floats(), all.Narrow(1, i, 1).Floats(), 1e-5)
		}
	})
}

func TestOutputsDependOnThePastAlone(t *testing.T) {
	each(t, func(t *testing.T, _ *nn.Builder, n *ntm.Net) {
		x := testkit.Normal(rand.New(rand.NewPCG(2, 0)), 6, 1, 3).To(tensor.Float32)
		long := n.Forward(&nn.Pass{}, x, nil)
		short := n.Forward(&nn.Pass{}, x.Narrow(0, 0, 4), nil)
		assert.InDeltaSlice(t, short.Floats(), long.Narrow(0, 0, 4).Floats(), 1e-6)
	})
}

func TestEveryStateIsShownOnce(t *testing.T) {
	each(t, func(t *testing.T, _ *nn.Builder, n *ntm.Net) {
		var steps []int64
		n.Forward(&nn.Pass{}, tensor.Ones(4, 2, 3), func(step int64, s ntm.State) {
			steps = append(steps, step)
			assert.Equal(t, int64(2), s.Read.Dim(0))
			for _, named := range s.Memory.Tensors() {
				assert.Equal(t, int64(2), named.Tensor.Dim(0), named.Name)
			}
		})
		assert.Equal(t, []int64{0, 1, 2, 3}, steps)
	})
}

// Without a memory, an LSTM controller equals LibTorch's LSTM with a linear layer.
func TestWithoutMemoryItIsAnLSTM(t *testing.T) {
	testkit.Enter(t)
	b := nn.NewBuilder(4, tensor.CPU)
	defer b.Params().Free()
	n := ntm.New(b, ntm.Config{Config: controller.Config{Inputs: 3, Size: 5}, Outputs: 2})
	value := func(name string) *tensor.Tensor {
		for _, p := range b.Params().All() {
			if p.Name == name {
				return p.Value()
			}
		}
		t.Fatalf("no parameter %s", name)
		return nil
	}
	x := testkit.Normal(rand.New(rand.NewPCG(5, 0)), 6, 2, 3).To(tensor.Float32)
	weights := []*tensor.Tensor{value("controller1.weight_ih"), value("controller1.weight_hh"), value("controller1.bias_ih"), value("controller1.bias_hh")}
	y, _, _ := tensor.LSTM(x, tensor.Zeros(1, 2, 5), tensor.Zeros(1, 2, 5), weights, 1, false)
	want := tensor.Linear(y, value("output.weight"), value("output.bias"))
	assert.InDeltaSlice(t, want.Floats(), n.Forward(&nn.Pass{}, x, nil).Floats(), 1e-6)
}

// The gradient of a whole unrolled network, in double precision, against finite differences.
func TestUnrolledGradientIsThatOfFiniteDifferences(t *testing.T) {
	each(t, func(t *testing.T, b *nn.Builder, n *ntm.Net) {
		r := rand.New(rand.NewPCG(6, 0))
		x, weight := testkit.Normal(r, 5, 2, 3), testkit.Normal(r, 5, 2, 2)
		testkit.Gradients(t, b.Params(), r, func(p *nn.Pass) *tensor.Tensor {
			return n.Forward(p, x, nil).Sigmoid().Mul(weight).Sum()
		})
	})
}
