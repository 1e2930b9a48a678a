package controller_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/controller"
	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/memory/fastweight"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// Forward equals repeated Step, fused and step by step, in outputs, states and gradients.
func TestForwardIsRepeatedStep(t *testing.T) {
	memories := map[string]func(b *nn.Builder, control int64) memory.Recurrent{
		"none": nil,
		"ntm": func(b *nn.Builder, control int64) memory.Recurrent {
			return memory.NewNTM(b, memory.NTMConfig{Control: control, Slots: 6, Width: 4, Reads: 2, Writes: 2, Memory: memory.LearnedMemory})
		},
		"dnc": func(b *nn.Builder, control int64) memory.Recurrent {
			return memory.NewDNC(b, memory.DNCConfig{Control: control, Slots: 6, Width: 4, Reads: 2})
		},
		"dnc by content alone, with de-allocation and a layer norm": func(b *nn.Builder, control int64) memory.Recurrent {
			return memory.NewDNC(b, memory.DNCConfig{Control: control, Slots: 6, Width: 4, Reads: 2, ContentOnly: true, Deallocated: true, LayerNorm: true})
		},
		"dnc with de-allocation": func(b *nn.Builder, control int64) memory.Recurrent {
			return memory.NewDNC(b, memory.DNCConfig{Control: control, Slots: 6, Width: 4, Deallocated: true})
		},
		"lrua": func(b *nn.Builder, control int64) memory.Recurrent {
			return memory.NewLRUA(b, memory.LRUAConfig{Control: control, Slots: 6, Width: 4, Heads: 2})
		},
		"programs of an ntm": func(b *nn.Builder, control int64) memory.Recurrent {
			return memory.NewNUTM(b, memory.NUTMConfig{Control: control, Programs: 3, Key: 2, Memory: func(b *nn.Builder, control int64) memory.Interfaced {
				return memory.NewNTM(b, memory.NTMConfig{Control: control, Slots: 6, Width: 4, Memory: memory.LearnedMemory})
			}})
		},
		"programs of a dnc with a layer norm": func(b *nn.Builder, control int64) memory.Recurrent {
			return memory.NewNUTM(b, memory.NUTMConfig{Control: control, Programs: 2, Memory: func(b *nn.Builder, control int64) memory.Interfaced {
				return memory.NewDNC(b, memory.DNCConfig{Control: control, Slots: 6, Width: 4, Deallocated: true, LayerNorm: true})
			}})
		},
		"relational": func(b *nn.Builder, control int64) memory.Recurrent {
			return memory.NewRelational(b, memory.RelationalConfig{Control: control, Slots: 3, Heads: 2, Width: 4})
		},
		"sparse": func(b *nn.Builder, control int64) memory.Recurrent {
			return memory.NewSparse(b, memory.SparseConfig{Control: control, Slots: 6, Width: 4})
		},
		"programs of fast weights": func(b *nn.Builder, control int64) memory.Recurrent {
			return memory.NewNUTM(b, memory.NUTMConfig{Control: control, Programs: 3, Key: 2, Memory: func(b *nn.Builder, control int64) memory.Interfaced {
				return fastweight.NewRecurrent(b, control, fastweight.GatedDelta())
			}})
		},
		"fast weights": func(b *nn.Builder, control int64) memory.Recurrent {
			return fastweight.NewRecurrent(b, control, fastweight.KDA())
		},
		"fast weights in mini-batches": func(b *nn.Builder, control int64) memory.Recurrent {
			c := fastweight.Titans(4)
			c.MiniBatch = 2
			return fastweight.NewRecurrent(b, control, c)
		},
	}
	type form struct {
		feedforward bool
		layers      int64
		carried     float64 // a clipping bound that these networks' gradients reach at many steps
	}
	for name, mem := range memories {
		for _, form := range []form{{false, 1, 0}, {false, 3, 0}, {true, 1, 0}, {true, 3, 0}, {false, 2, .02}, {true, 1, .02}} {
			feedforward, layers := form.feedforward, form.layers
			t.Run(fmt.Sprintf("%s, %+v", name, form), func(t *testing.T) {
				testkit.Enter(t)
				b := nn.NewBuilder(3, tensor.CPU)
				defer b.Params().Free()
				c := controller.New(b, controller.Config{Inputs: 3, Feedforward: feedforward, Size: 5, Layers: layers, Memory: mem})
				r := rand.New(rand.NewPCG(1, 0))
				p := &nn.Pass{With: map[*nn.Param]*tensor.Tensor{}, Carried: form.carried}
				var values []*tensor.Tensor
				for _, param := range b.Params().All() {
					p.With[param] = param.Value().Detach().To(tensor.Float64).RequireGrad()
					values = append(values, p.With[param])
				}
				const steps, batch = 6, 2
				x := testkit.Normal(r, steps, batch, 3).RequireGrad()
				values = append(values, x)
				weight := testkit.Normal(r, steps, batch, c.Width())

				var want []*tensor.Tensor
				var states []controller.State
				s := c.Init(p, batch)
				for i := range int64(steps) {
					var out *tensor.Tensor
					out, s = c.Step(p, x.Select(0, i), s)
					want, states = append(want, out), append(states, s)
				}
				if form.carried > 0 && (name != "none" || !feedforward) { // the only network with no gradient between steps
					free := *p
					free.Carried = 0
					unclipped := tensor.Grad(c.Forward(&free, x, nil).Mul(weight).Sum(), values...)
					clipped := tensor.Grad(c.Forward(p, x, nil).Mul(weight).Sum(), values...)
					assert.NotEqual(t, unclipped[0].Floats(), clipped[0].Floats())
				}
				wants := tensor.GradWith([]*tensor.Tensor{tensor.Stack(0, want...).Mul(weight).Sum()}, values, tensor.GradOptions{Retain: true})
				check := func(got *tensor.Tensor) {
					near(t, tensor.Stack(0, want...), got)
					for i, g := range tensor.Grad(got.Mul(weight).Sum(), values...) {
						near(t, wants[i], g)
					}
				}
				check(c.Forward(p, x, nil))
				tensor.NoGrad(func() { near(t, tensor.Stack(0, want...), c.Forward(p, x, nil)) })
				reference := *p
				reference.HigherOrder = true
				check(c.Forward(&reference, x, nil))
				one := x.Narrow(0, 0, 1)
				alone, _ := c.Step(p, x.Select(0, 0), c.Init(p, batch))
				near(t, alone, c.Forward(p, one, nil).Select(0, 0))
				wants = tensor.Grad(alone.Sum(), values...)
				for i, g := range tensor.Grad(c.Forward(p, one, nil).Sum(), values...) {
					if wants[i] != nil {
						near(t, wants[i], g)
					}
				}

				wants = tensor.GradWith([]*tensor.Tensor{tensor.Stack(0, want...).Mul(weight).Sum()}, values, tensor.GradOptions{})
				seen := 0
				shown := c.Forward(p, x, func(step int64, s controller.State) {
					require.EqualValues(t, seen, step)
					was := states[step]
					seen++
					near(t, was.Read, s.Read)
					require.Len(t, s.Layers, len(was.Layers))
					for i, l := range s.Layers {
						near(t, was.Layers[i].Hidden, l.Hidden)
						near(t, was.Layers[i].Cell, l.Cell)
					}
					for i, n := range s.Memory.Tensors() {
						near(t, was.Memory.Tensors()[i].Tensor, n.Tensor)
					}
				})
				assert.Equal(t, steps, seen)
				check(shown)
			})
		}
	}
}

func near(t *testing.T, want, got *tensor.Tensor) {
	t.Helper()
	if want == nil {
		require.Nil(t, got)
		return
	}
	require.NotNil(t, got)
	require.Equal(t, want.Shape(), got.Shape())
	values := got.Floats()
	for i, w := range want.Floats() {
		assert.InDelta(t, w, values[i], 1e-12*max(1, math.Abs(w)))
	}
}

// At the papers' sizes, in float32 and float64, the fused operation equals the composition of the addressing functions. Two threads have
// 13 sequences each, which products with few rows take as 8, 4 and 1.
func TestUnrolledMatchesReferenceAtThePapersSizes(t *testing.T) {
	for name, config := range map[string]controller.Config{
		"NTM, LSTM of two layers": {Layers: 2, Memory: func(b *nn.Builder, control int64) memory.Recurrent {
			return memory.NewNTM(b, memory.NTMConfig{Control: control, Reads: 2, Memory: memory.RandomMemory})
		}},
		"DNC by content alone, with de-allocation and a layer norm": {Memory: func(b *nn.Builder, control int64) memory.Recurrent {
			return memory.NewDNC(b, memory.DNCConfig{Control: control, Reads: 4, ContentOnly: true, Deallocated: true, LayerNorm: true})
		}},
		"NTM, feedforward": {Feedforward: true, Memory: func(b *nn.Builder, control int64) memory.Recurrent {
			return memory.NewNTM(b, memory.NTMConfig{Control: control})
		}},
		"LRUA": {Size: 200, Memory: func(b *nn.Builder, control int64) memory.Recurrent {
			return memory.NewLRUA(b, memory.LRUAConfig{Control: control, Add: true, Strength: true, OwnSlots: true})
		}},
		"three programs of LRUA": {Size: 200, Memory: func(b *nn.Builder, control int64) memory.Recurrent {
			return memory.NewNUTM(b, memory.NUTMConfig{Control: control, Programs: 3, Memory: func(b *nn.Builder, control int64) memory.Interfaced {
				return memory.NewLRUA(b, memory.LRUAConfig{Control: control, Add: true, Strength: true, OwnSlots: true})
			}})
		}},
	} {
		for dtype, tolerance := range map[tensor.DType]float64{tensor.Float32: 1e-3, tensor.Float64: 1e-9} {
			t.Run(fmt.Sprint(name, dtype), func(t *testing.T) {
				testkit.Enter(t)
				b := nn.NewBuilder(3, tensor.CPU)
				defer b.Params().Free()
				config := config
				config.Inputs = 9
				c := controller.New(b, config)
				p := &nn.Pass{With: map[*nn.Param]*tensor.Tensor{}}
				var values []*tensor.Tensor
				for _, param := range b.Params().Trained() {
					p.With[param] = param.Value().Detach().To(dtype).RequireGrad()
					values = append(values, p.With[param])
				}
				for _, param := range b.Params().All() {
					if param.Buffer {
						p.With[param] = param.Value().To(dtype)
					}
				}
				r := rand.New(rand.NewPCG(1, 0))
				x := testkit.Normal(r, 12, 26, 9).To(dtype)
				weight := testkit.Normal(r, 12, 26, c.Width()).To(dtype)
				run := func(p *nn.Pass) []*tensor.Tensor {
					y := c.Forward(p, x, nil)
					return append(tensor.Grad(y.Mul(weight).Sum(), values...), y)
				}
				reference := *p
				reference.HigherOrder = true
				want, got := run(&reference), run(p)
				for i := range want {
					w, g := want[i].Floats(), got[i].Floats()
					largest := 0.
					for _, v := range w {
						largest = max(largest, math.Abs(v))
					}
					require.InDeltaSlice(t, w, g, tolerance*largest, "tensor %d", i)
				}
			})
		}
	}
}

// A sequence that is not one operation holds, besides what a gradient needs, its inputs and outputs and one state, however long it is,
// and the penalties that its memory adds to the loss.
func TestForwardFreesOldStates(t *testing.T) {
	testkit.Enter(t)
	b := nn.NewBuilder(3, tensor.CPU)
	defer b.Params().Free()
	nutm := func(b *nn.Builder, control int64) memory.Recurrent {
		return memory.NewNUTM(b, memory.NUTMConfig{Control: control, Penalty: .1, Memory: func(b *nn.Builder, control int64) memory.Interfaced {
			return fastweight.NewRecurrent(b, control, fastweight.Omega(4))
		}})
	}
	c := controller.New(b, controller.Config{Inputs: 3, Size: 5, Layers: 1, Memory: nutm})
	live := func(steps int64, p *nn.Pass) int64 {
		before := tensor.Live()
		c.Forward(p, tensor.Zeros(steps, 2, 3), nil)
		return tensor.Live() - before
	}
	short := live(10, &nn.Pass{})
	assert.Equal(t, short+60, live(30, &nn.Pass{}), "for each step more, what comes of its input, the controller's output and what was read")
	p := &nn.Pass{Training: true}
	c.Forward(p, tensor.Zeros(3, 2, 3), nil)
	for _, penalty := range p.Penalties {
		assert.False(t, penalty.Freed())
	}
	assert.NotEmpty(t, p.Penalties)
}
