package memory_test

import (
	"math/rand/v2"
	"testing"

	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
	"github.com/stretchr/testify/assert"
)

// recall trains a stateless controller on a memory: four bits are shown, then two steps of noise follow, then the
// bits are asked for, so they must have passed through the memory. It returns the last loss, in bits per bit asked.
func recall(t *testing.T, steps int, rate float64, build func(b *nn.Builder, control int64) memory.Recurrent) (last float64) {
	const batch, bits, hidden, length = 16, 4, 24, 4
	b := nn.NewBuilder(3, tensor.CPU)
	t.Cleanup(b.Params().Free)
	m := build(b.In("memory"), hidden)
	controller := nn.NewLinear(b.In("controller"), bits+3+m.ReadWidth(), hidden)
	out := nn.NewLinear(b.In("out"), hidden+m.ReadWidth(), bits)
	opt := nn.NewAdam(b.Params(), nn.DefaultAdam())
	t.Cleanup(opt.Free)
	const final = 20
	for step := range steps {
		scope := tensor.Enter()
		r, p := rand.New(rand.NewPCG(uint64(step), 0)), &nn.Pass{Training: true}
		var shown, asked *tensor.Tensor
		s, read := m.Init(p, batch), tensor.Zeros(batch, m.ReadWidth())
		for i := range length {
			// The bits as -1 and 1, and a one-hot kind of step.
			x := signs(r, batch, bits)
			kind := min(max(i, 0), 1)
			if i == length-1 {
				x, kind = x.ZerosLike(), 2
			}
			if i == 0 {
				shown = x
			}
			flags := tensor.Full(float64(kind), tensor.Float32, tensor.CPU, batch).To(tensor.Int64).OneHot(3)
			h := controller.Forward(p, tensor.Cat(1, x, flags, read)).Tanh()
			read, s = m.Step(p, h, s)
			asked = out.Forward(p, tensor.Cat(1, h, read))
		}
		loss := tensor.BCEWithLogits(asked, shown.AddScalar(1).MulScalar(.5)).MulScalar(1. / (batch * bits))
		if step >= steps-final {
			last += loss.Float() / 0.6931 / final
		}
		opt.Step(tensor.Grad(loss, b.Params().Tensors()...), rate)
		scope.Leave()
	}
	return last
}

// signs draws [batch, bits] of -1 and 1.
func signs(r *rand.Rand, batch, bits int64) *tensor.Tensor {
	v := make([]float32, batch*bits)
	for i := range v {
		v[i] = float32(2*r.IntN(2) - 1)
	}
	return tensor.New(v, batch, bits)
}

func TestAControllerLearnsToRecall(t *testing.T) {
	for name, build := range map[string]func(b *nn.Builder, control int64) memory.Recurrent{
		"NTM": func(b *nn.Builder, control int64) memory.Recurrent {
			return memory.NewNTM(b, memory.NTMConfig{Control: control, Slots: 8, Width: 8})
		},
		"LRUA": func(b *nn.Builder, control int64) memory.Recurrent {
			return memory.NewLRUA(b, memory.LRUAConfig{Control: control, Slots: 8, Width: 8, Heads: 2})
		},
		"LRUA with add, strength and own slots": func(b *nn.Builder, control int64) memory.Recurrent {
			return memory.NewLRUA(b, memory.LRUAConfig{Control: control, Slots: 8, Width: 8, Heads: 2, Add: true, Strength: true, OwnSlots: true})
		},
		"DNC": func(b *nn.Builder, control int64) memory.Recurrent {
			return memory.NewDNC(b, memory.DNCConfig{Control: control, Slots: 8, Width: 8})
		},
		"DNC with repairs": func(b *nn.Builder, control int64) memory.Recurrent {
			return memory.NewDNC(b, memory.DNCConfig{Control: control, Slots: 8, Width: 8, Masked: true, Deallocated: true, Sharpened: true})
		},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Enter(t)
			loss := recall(t, 250, .01, build)
			t.Logf("%.3f bits", loss)
			assert.Less(t, loss, .2)
		})
	}
	t.Run("None", func(t *testing.T) {
		testkit.Enter(t)
		loss := recall(t, 50, .01, func(*nn.Builder, int64) memory.Recurrent { return memory.None{} })
		assert.Greater(t, loss, .95, "without a memory each bit is a guess")
	})
}
