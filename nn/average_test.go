package nn_test

import (
	"path/filepath"
	"testing"

	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// averaged is a network of one parameter, running statistics and another buffer, whose parameter falls by 1 a step from 10 on.
func averaged(t *testing.T, c nn.AverageConfig) (*nn.Params, *nn.Averager, func(steps int)) {
	b := build(t, 1)
	p := b.Param("w", nn.Constant(10), 1)
	mean := b.Buffer("norm.running_mean", nn.Constant(10), 1)
	b.Buffer("flag", nn.Constant(3), 1)
	a := nn.NewAverager(b.Params(), nn.NewSGD(b.Params(), nn.SGDConfig{}), c)
	t.Cleanup(a.Free)
	return b.Params(), a, func(steps int) {
		for range steps {
			mean.Value().Assign(mean.Value().AddScalar(-1))
			a.Step([]*tensor.Tensor{p.Value().Detach().OnesLike()}, 1)
		}
	}
}

func values(ps *nn.Params) (out []float64) {
	for _, p := range ps.All() {
		out = append(out, p.Value().Floats()...)
	}
	return out
}

func TestAverager(t *testing.T) {
	testkit.Enter(t)
	for _, c := range []struct {
		name   string
		config nn.AverageConfig
		steps  int
		want   float64
	}{
		{"mean of all", nn.AverageConfig{}, 4, (9. + 8 + 7 + 6) / 4},
		{"mean of every second from the third", nn.AverageConfig{From: 3, Every: 2}, 6, (7. + 5) / 2},
		{"exponential", nn.AverageConfig{Decay: .5}, 3, ((9.+8)/2 + 7) / 2},
		{"exponential, begins with a mean", nn.AverageConfig{Decay: .9}, 3, (9. + 8 + 7) / 3},
		{"none yet", nn.AverageConfig{From: 5}, 4, 6},
	} {
		ps, a, step := averaged(t, c.config)
		step(c.steps)
		last := 10 - float64(c.steps)
		assert.Equal(t, []float64{last, last, 3}, values(ps), c.name)
		a.Exchange()
		assert.InDeltaSlice(t, []float64{c.want, c.want, 3}, values(ps), 1e-6, c.name)
		assert.True(t, ps.All()[0].Value().RequiresGrad())
		a.Exchange()
		assert.Equal(t, []float64{last, last, 3}, values(ps), c.name)
	}
}

// The average goes on from a saved state as if it had not been interrupted.
func TestAveragerResumes(t *testing.T) {
	testkit.Enter(t)
	c := nn.AverageConfig{Decay: .7, From: 2}
	want, a, step := averaged(t, c)
	step(3)
	path := filepath.Join(t.TempDir(), "state.safetensors")
	require.NoError(t, nn.Save(path, append(nn.WithPrefix("model.", want.State()), nn.WithPrefix("optimizer.", a.State())...), nil))
	step(4)
	a.Exchange()

	state, err := nn.Open(path)
	require.NoError(t, err)
	ps, b, more := averaged(t, c)
	require.NoError(t, ps.Load(state.Sub("model.")))
	require.NoError(t, b.Load(state.Sub("optimizer.")))
	more(4)
	b.Exchange()
	assert.Equal(t, values(want), values(ps))
	assert.Error(t, b.Load(state.Sub("model.")))
}
