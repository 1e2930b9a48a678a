package nn_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/stream"
	"github.com/engram-go/engram/tensor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func random(seed uint64) *rand.Rand { return stream.New(seed, "test") }

// Mean, standard deviation and bound of initial values against the theory.
func TestInitialValues(t *testing.T) {
	uniform := func(bound float64) [3]float64 { return [3]float64{0, bound / math.Sqrt(3), bound} }
	normal := func(std float64) [3]float64 { return [3]float64{0, std, math.Inf(1)} }
	constant := func(v float64) [3]float64 { return [3]float64{v, 0, math.Abs(v)} }
	for _, c := range []struct {
		name  string
		build func(b *nn.Builder)
		want  map[string][3]float64 // mean, standard deviation, bound
	}{
		{"Linear", func(b *nn.Builder) { nn.NewLinear(b, 16, 5000) }, map[string][3]float64{
			"weight": {0, 1 / math.Sqrt(3*16), 1. / 4}, "bias": uniform(1. / 4),
		}},
		{"Conv2d", func(b *nn.Builder) { nn.NewConv2d(b, nn.Conv2dConfig{In: 4, Out: 2000, Kernel: 3}) }, map[string][3]float64{
			"weight": {0, 1 / math.Sqrt(3*36), 1. / 6}, "bias": uniform(1. / 6),
		}},
		{"Conv2d of two groups", func(b *nn.Builder) { nn.NewConv2d(b, nn.Conv2dConfig{In: 8, Out: 2000, Kernel: 3, Groups: 2}) }, map[string][3]float64{
			"weight": {0, 1 / math.Sqrt(3*36), 1. / 6}, "bias": uniform(1. / 6),
		}},
		{"LSTMCell", func(b *nn.Builder) { nn.NewLSTMCell(b, 50, 100) }, map[string][3]float64{
			"weight_ih": uniform(.1), "weight_hh": uniform(.1), "bias_ih": uniform(.1), "bias_hh": uniform(.1),
		}},
		{"LSTM", func(b *nn.Builder) { nn.NewLSTM(b, nn.LSTMConfig{In: 50, Size: 64, Layers: 2}) }, map[string][3]float64{
			"weight_ih_l0": uniform(.125), "weight_hh_l0": uniform(.125), "bias_ih_l0": uniform(.125), "bias_hh_l0": uniform(.125),
			"weight_ih_l1": uniform(.125), "weight_hh_l1": uniform(.125), "bias_ih_l1": uniform(.125), "bias_hh_l1": uniform(.125),
		}},
		{"BatchNorm", func(b *nn.Builder) { nn.NewBatchNorm(b, 8) }, map[string][3]float64{
			"weight": constant(1), "bias": constant(0), "running_mean": constant(0), "running_var": constant(1),
		}},
		{"initialisers", func(b *nn.Builder) {
			b.Param("kaiming", nn.KaimingNormal, 128, 32, 3, 3)
			b.Param("xavier", nn.XavierUniform, 300, 200)
			b.Param("xavier of a convolution", nn.XavierUniform, 64, 32, 3, 3)
			b.Param("normal", nn.Normal(0, .5), 30_000)
			b.Param("shifted", nn.Normal(-2, .5), 30_000)
			b.Param("uniform", nn.Uniform(.3), 30_000)
			b.Param("constant", nn.Constant(-7), 3)
		}, map[string][3]float64{
			"kaiming": normal(math.Sqrt(2. / (32 * 9))), "xavier": uniform(math.Sqrt(6. / 500)),
			"xavier of a convolution": uniform(math.Sqrt(6. / (32*9 + 64*9))),
			"normal":                  normal(.5), "shifted": {-2, .5, math.Inf(1)}, "uniform": uniform(.3), "constant": constant(-7),
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			testkit.Enter(t)
			b := build(t, 1)
			c.build(b)
			ps := b.Params()
			require.Len(t, ps.All(), len(c.want))
			for name, want := range c.want {
				values := find(t, ps, name).Value().Floats()
				n := float64(len(values))
				var mean, square, most float64
				for _, v := range values {
					mean += v / n
					most = math.Max(most, math.Abs(v))
				}
				for _, v := range values {
					square += (v - mean) * (v - mean) / n
				}
				// Four standard errors of a normal distribution, which bound those of the narrower distributions.
				assert.InDelta(t, want[0], mean, 4*want[1]/math.Sqrt(n)+1e-7, "mean of %s", name)
				assert.InDelta(t, want[1], math.Sqrt(square), 4*want[1]/math.Sqrt(2*n)+1e-7, "standard deviation of %s", name)
				if math.IsInf(want[2], 1) {
					assert.Greater(t, most, want[0]+3.5*want[1], "a normal distribution has tails: %s", name)
				} else {
					assert.LessOrEqual(t, most, want[2]*(1+1e-6), "bound of %s", name)
					assert.GreaterOrEqual(t, most, want[2]*.95, "%s reaches its bound", name)
				}
			}
		})
	}
}

func TestInitialValuesDependOnSeedAndNameOnly(t *testing.T) {
	testkit.Enter(t)
	a, b, c := build(t, 1), build(t, 1), build(t, 2)
	nn.NewLinear(a.In("x"), 3, 4)
	nn.NewLinear(a.In("y"), 3, 4)
	nn.NewLSTMCell(b.In("before"), 2, 2)
	nn.NewLinear(b.In("y"), 3, 4)
	nn.NewLinear(b.In("x"), 3, 4)
	nn.NewLinear(c.In("x"), 3, 4)
	values := func(b *nn.Builder, name string) []float64 { return find(t, b.Params(), name).Value().Floats() }
	for _, name := range []string{"x.weight", "x.bias", "y.weight", "y.bias"} {
		assert.Equal(t, values(a, name), values(b, name), name)
	}
	assert.NotEqual(t, values(a, "x.weight"), values(a, "y.weight"), "names differ")
	assert.NotEqual(t, values(a, "x.weight"), values(c, "x.weight"), "seeds differ")
	assert.NotEqual(t, values(a, "x.weight")[:4], values(a, "x.bias"), "parts of a layer differ")
}

// The figures of committed results depend on these values, so a change of them must be a decision.
func TestInitialValuesArePinned(t *testing.T) {
	testkit.Enter(t)
	b := build(t, 1)
	l := nn.NewLinear(b.In("out"), 4, 1)
	assert.InDeltaSlice(t, []float64{0.38354635, -0.0019354974, -0.35192516, -0.27599254}, l.Weight.Value().Floats(), 1e-7)
	p := b.Param("normal", nn.KaimingNormal, 2, 2)
	assert.InDeltaSlice(t, []float64{1.673984, -0.45937943, 0.16728354, -0.39617628}, p.Value().Floats(), 1e-6)
}

func TestTwoParametersOfOneNameAreAnError(t *testing.T) {
	testkit.Enter(t)
	b := build(t, 1)
	nn.NewLinear(b.In("part"), 1, 1)
	err := tensor.Do(func() error { nn.NewLinear(b.In("part"), 1, 1); return nil })
	assert.EqualError(t, err, "tensor: Param: two parameters are called part.weight")
	assert.NoError(t, tensor.Do(func() error { nn.NewLinear(b.In("other"), 1, 1); return nil }))
	assert.Len(t, b.Params().All(), 4)
}

func TestParamsListAndCount(t *testing.T) {
	testkit.Enter(t)
	b := build(t, 1)
	nn.NewLinear(b.In("first"), 3, 2)
	nn.NewBatchNorm(b.In("norm"), 2)
	ps := b.In("anywhere").Params()
	var all, trained []string
	for _, p := range ps.All() {
		all = append(all, p.Name)
	}
	for _, p := range ps.Trained() {
		trained = append(trained, p.Name)
		assert.True(t, p.Value().RequiresGrad(), p.Name)
	}
	assert.Equal(t, []string{"first.weight", "first.bias", "norm.weight", "norm.bias", "norm.running_mean", "norm.running_var"}, all)
	assert.Equal(t, all[:4], trained)
	assert.Len(t, ps.Tensors(), 4)
	assert.False(t, find(t, ps, "norm.running_mean").Value().RequiresGrad())
	assert.EqualValues(t, 3*2+2+2+2, ps.Count())
}
