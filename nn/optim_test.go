package nn_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The first case of the fixture holds initial values and gradients, each other case an optimiser.
type optimizerCase struct {
	Start           map[string]array
	Grads           []map[string]array
	Optimizer, Name string
	LR              float64
	Config          struct {
		Beta1, Beta2, Eps, Decay, Alpha, Momentum float64
		Decoupled, Nesterov, Plain                bool
	}
	Steps []map[string]array
}

func (c optimizerCase) make(t *testing.T, ps *nn.Params) nn.Optimizer {
	k := c.Config
	switch c.Optimizer {
	case "adam":
		d := nn.DefaultAdam()
		return own(t, nn.NewAdam(ps, nn.AdamConfig{
			Beta1: given(k.Beta1, d.Beta1), Beta2: given(k.Beta2, d.Beta2), Eps: given(k.Eps, d.Eps), Decay: k.Decay, Decoupled: k.Decoupled,
		}))
	case "sgd":
		return own(t, nn.NewSGD(ps, nn.SGDConfig{Momentum: k.Momentum, Decay: k.Decay, Nesterov: k.Nesterov}))
	case "rmsprop":
		d := nn.DefaultRMSProp()
		d.Alpha, d.Momentum, d.Eps = given(k.Alpha, d.Alpha), given(k.Momentum, d.Momentum), given(k.Eps, d.Eps)
		if k.Plain {
			d.Form = nn.RMSPropPlain
		}
		return own(t, nn.NewRMSProp(ps, d))
	}
	require.FailNow(t, "unknown optimiser "+c.Optimizer)
	return nil
}

// Weight decay on weights leaves out what has fewer than two dimensions: it moves as without decay, the others as with it.
func TestDecayOnWeights(t *testing.T) {
	testkit.Enter(t)
	step := func(make func(ps *nn.Params) nn.Optimizer) map[string][]float64 {
		b := build(t, 1)
		b.Param("weight", nn.Constant(2), 2, 3)
		b.Param("gain", nn.Constant(2), 3)
		b.Param("scale", nn.Constant(2))
		opt := own(t, make(b.Params()))
		for range 3 {
			var grads []*tensor.Tensor
			for _, p := range b.Params().Tensors() {
				grads = append(grads, p.Detach().OnesLike())
			}
			opt.Step(grads, .1)
		}
		out := map[string][]float64{}
		for _, p := range b.Params().All() {
			out[p.Name] = p.Value().Floats()
		}
		return out
	}
	for name, make := range map[string]func(decay float64, on string) func(ps *nn.Params) nn.Optimizer{
		"sgd": func(decay float64, on string) func(ps *nn.Params) nn.Optimizer {
			return func(ps *nn.Params) nn.Optimizer {
				return nn.NewSGD(ps, nn.SGDConfig{Momentum: .9, Nesterov: true, Decay: decay, DecayOn: on})
			}
		},
		"adam": func(decay float64, on string) func(ps *nn.Params) nn.Optimizer {
			return func(ps *nn.Params) nn.Optimizer {
				c := nn.DefaultAdam()
				c.Decay, c.DecayOn = decay, on
				return nn.NewAdam(ps, c)
			}
		},
		"adamw": func(decay float64, on string) func(ps *nn.Params) nn.Optimizer {
			return func(ps *nn.Params) nn.Optimizer {
				c := nn.DefaultAdam()
				c.Decay, c.DecayOn, c.Decoupled = decay, on, true
				return nn.NewAdam(ps, c)
			}
		},
	} {
		all, none, weights := step(make(.5, nn.DecayAll)), step(make(0, "")), step(make(.5, nn.DecayWeights))
		assert.Equal(t, all["weight"], weights["weight"], name)
		assert.NotEqual(t, none["weight"], weights["weight"], name)
		for _, other := range []string{"gain", "scale"} {
			assert.Equal(t, none[other], weights[other], name)
		}
		assert.Equal(t, all, step(make(.5, "")), name)
	}
}

// given is a setting of the fixture: 0 means the default, a negative value means zero.
func given(v, def float64) float64 {
	if v == 0 {
		return def
	}
	return max(v, 0)
}

// Twenty steps of each optimiser against PyTorch, and Graves's RMSProp against NumPy, in float64.
func TestOptimizersAgainstPyTorch(t *testing.T) {
	cases := fixture[optimizerCase](t, "testdata/optimizers.json")
	first := cases[0]
	for _, c := range cases[1:] {
		t.Run(c.Optimizer+"/"+c.Name, func(t *testing.T) {
			testkit.Enter(t)
			b := build(t, 1)
			for _, name := range []string{"a", "b"} {
				b.Param(name, nn.Constant(0), first.Start[name].Shape...).Value().Assign(first.Start[name].tensor())
			}
			ps := b.Params()
			opt := c.make(t, ps)
			require.Len(t, c.Steps, len(first.Grads))
			for i, grads := range first.Grads {
				opt.Step([]*tensor.Tensor{grads["a"].tensor(), grads["b"].tensor()}, c.LR)
				for _, p := range ps.All() {
					near(t, c.Steps[i][p.Name], p.Value(), fmt.Sprintf("%s after step %d", p.Name, i+1))
					assert.True(t, p.Value().RequiresGrad(), "after a step the parameter is still a leaf that requires a gradient")
				}
			}
		})
	}
}

// optimizers make one of each kind, with settings that use all of their state.
var optimizers = map[string]func(ps *nn.Params) nn.Optimizer{
	"Adam": func(ps *nn.Params) nn.Optimizer {
		c := nn.DefaultAdam()
		c.Decay, c.Decoupled = .01, true
		return nn.NewAdam(ps, c)
	},
	"RMSProp": func(ps *nn.Params) nn.Optimizer { return nn.NewRMSProp(ps, nn.DefaultRMSProp()) },
	"plain RMSProp": func(ps *nn.Params) nn.Optimizer {
		c := nn.DefaultRMSProp()
		c.Form = nn.RMSPropPlain
		return nn.NewRMSProp(ps, c)
	},
	"SGD": func(ps *nn.Params) nn.Optimizer {
		return nn.NewSGD(ps, nn.SGDConfig{Momentum: .9, Nesterov: true, Decay: .01})
	},
}

func TestNilGradientLeavesParameterAndState(t *testing.T) {
	for name, make := range optimizers {
		t.Run(name, func(t *testing.T) {
			testkit.Enter(t)
			b := build(t, 1)
			nn.NewLinear(b, 2, 3)
			ps := b.Params()
			opt := own(t, make(ps))
			both := []*tensor.Tensor{tensor.Ones(3, 2), tensor.Ones(3)}
			opt.Step(both, .1)
			params, state := contents(ps.State()), contents(opt.State())
			opt.Step([]*tensor.Tensor{both[0], nil}, .1)

			moved := 0
			for name, now := range contents(opt.State()) {
				if strings.HasSuffix(name, ".bias") {
					assert.Equal(t, state[name], now, name)
				} else if string(state[name]) != string(now) {
					moved++
				}
			}
			assert.Greater(t, moved, 1, "the step count and the weight's state change")
			now := contents(ps.State())
			assert.Equal(t, params["bias"], now["bias"])
			assert.NotEqual(t, params["weight"], now["weight"])
		})
	}
}

// Gradients of the wrong number, shape or type are an error before any parameter changes.
func TestWrongGradientsAreErrors(t *testing.T) {
	for name, make := range optimizers {
		t.Run(name, func(t *testing.T) {
			testkit.Enter(t)
			b := build(t, 1)
			nn.NewLinear(b, 2, 3)
			ps := b.Params()
			opt := own(t, make(ps))
			params, state := contents(ps.State()), contents(opt.State())
			for what, grads := range map[string][]*tensor.Tensor{
				"too few":     {tensor.Ones(3, 2)},
				"too many":    {tensor.Ones(3, 2), tensor.Ones(3), nil},
				"too small":   {tensor.Ones(3, 2), tensor.Ones(1)},
				"another way": {tensor.Ones(2, 3), tensor.Ones(3)},
				"float64":     {tensor.Ones(3, 2), tensor.Ones(3).To(tensor.Float64)},
			} {
				var e *tensor.Error
				err := func() (err error) {
					defer tensor.Catch(&err)
					opt.Step(grads, .1)
					return nil
				}()
				if assert.ErrorAs(t, err, &e, what) {
					assert.Equal(t, "Step", e.Op, what)
				}
				assert.Equal(t, params, contents(ps.State()), what)
				assert.Equal(t, state, contents(opt.State()), what)
			}
		})
	}
}

func TestGlobalNorm(t *testing.T) {
	testkit.Enter(t)
	grads := []*tensor.Tensor{tensor.New([]float32{3, 0}, 2), nil, tensor.New([]float32{0, -4, 12}, 3, 1)}
	assert.Equal(t, 13.0, nn.GlobalNorm(grads))
	assert.Equal(t, 0.0, nn.GlobalNorm(nil))
	assert.Equal(t, 0.0, nn.GlobalNorm([]*tensor.Tensor{nil}))
	assert.True(t, math.IsNaN(nn.GlobalNorm([]*tensor.Tensor{tensor.Scalar(float32(math.NaN()))})))
	assert.InEpsilon(t, 5e25, nn.GlobalNorm([]*tensor.Tensor{tensor.New([]float32{3e25, 4e25}, 2)}), 1e-6,
		"an exploding gradient whose squares float32 cannot hold")
	assert.InEpsilon(t, 5e-25, nn.GlobalNorm([]*tensor.Tensor{tensor.New([]float32{3e-25, 4e-25}, 2)}), 1e-6)
}

func TestClipByNorm(t *testing.T) {
	testkit.Enter(t)
	a, b := tensor.New([]float32{3, 0}, 2), tensor.New([]float32{0, -4, 12}, 3, 1)
	grads := []*tensor.Tensor{a, nil, b}

	clipped := nn.ClipByNorm(grads, 6.5)
	assert.Equal(t, []float32{1.5, 0}, tensor.Values[float32](clipped[0]))
	assert.Nil(t, clipped[1])
	assert.Equal(t, []float32{0, -2, 6}, tensor.Values[float32](clipped[2]))
	assert.Equal(t, []int64{3, 1}, clipped[2].Shape())
	assert.Equal(t, []float32{0, -4, 12}, tensor.Values[float32](b), "the arguments do not change")

	assert.Equal(t, grads, nn.ClipByNorm(grads, 13), "a norm at the limit is not clipped")
	assert.Equal(t, grads, nn.ClipByNorm(grads, 100))
	assert.InDelta(t, 1, nn.GlobalNorm(nn.ClipByNorm([]*tensor.Tensor{tensor.New([]float32{3e25, 4e25}, 2)}, 1)), 1e-6)
	for _, v := range []float64{math.NaN(), math.Inf(1)} {
		bad := []*tensor.Tensor{a, tensor.Scalar(float32(v))}
		assert.Equal(t, bad, nn.ClipByNorm(bad, 1), "non-finite gradients are unchanged")
	}
}

func TestClipEachByNorm(t *testing.T) {
	testkit.Enter(t)
	a, b := tensor.New([]float32{3, 0}, 2), tensor.New([]float32{0, -4, 12}, 3, 1)
	clipped := nn.ClipEachByNorm([]*tensor.Tensor{a, nil, b}, 6.5)
	assert.Equal(t, []float32{3, 0}, tensor.Values[float32](clipped[0]), "below the limit by itself")
	assert.Nil(t, clipped[1])
	assert.InDeltaSlice(t, []float64{0, -4 * 6.5 / 12.649111, 12 * 6.5 / 12.649111}, clipped[2].Floats(), 1e-5)
	assert.Equal(t, []float32{0, -4, 12}, tensor.Values[float32](b), "the arguments do not change")
}

func TestClipByValue(t *testing.T) {
	testkit.Enter(t)
	grads := []*tensor.Tensor{tensor.New([]float32{-11, -10, 0, .1, 10, 1e30}, 2, 3), nil, tensor.Scalar(float32(math.NaN()))}
	clipped := nn.ClipByValue(grads, 10)
	require.Len(t, clipped, 3)
	assert.Equal(t, []float32{-10, -10, 0, .1, 10, 10}, tensor.Values[float32](clipped[0]))
	assert.Equal(t, []int64{2, 3}, clipped[0].Shape())
	assert.Nil(t, clipped[1])
	assert.True(t, math.IsNaN(clipped[2].Float()), "NaN stays NaN")
	assert.Equal(t, float32(-11), tensor.Values[float32](grads[0])[0], "the arguments do not change")
}

// A step leaves no tensor behind but its state, also if the caller has no scope.
func TestStepKeepsOnlyItsState(t *testing.T) {
	for name, make := range optimizers {
		t.Run(name, func(t *testing.T) {
			testkit.Enter(t)
			b := build(t, 1)
			nn.NewLinear(b, 2, 3)
			opt := own(t, make(b.Params()))
			grads := []*tensor.Tensor{tensor.Ones(3, 2), tensor.Ones(3)}
			before := tensor.Live()
			for range 3 {
				opt.Step(grads, .1)
			}
			assert.Equal(t, before, tensor.Live())
		})
	}
}
