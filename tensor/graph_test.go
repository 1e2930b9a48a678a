package tensor_test

import (
	"testing"

	"github.com/engram-go/engram/tensor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// repeated runs a graph of f five times inside a scope each; between calls after each.
func repeated(t *testing.T, f func() []*tensor.Tensor, after func(run int, out []*tensor.Tensor)) *tensor.Graph {
	t.Helper()
	set, err := tensor.NewGraphs(tensor.CPU)
	require.NoError(t, err)
	g := set.New(f)
	t.Cleanup(func() { g.Free(); set.Free() })
	for run := range 5 {
		require.NoError(t, tensor.Do(func() error {
			after(run, g.Run())
			return nil
		}))
	}
	return g
}

func TestGraphReplaysOnTheSameMemory(t *testing.T) {
	live := tensor.Live()
	t.Run("", func(t *testing.T) {
		s := tensor.Enter()
		x, w := tensor.Zeros(2).Own(), tensor.New([]float32{1, 2}, 2).RequireGrad().Own()
		s.Leave()
		t.Cleanup(func() { x.Free(); w.Free() })
		var static *tensor.Tensor
		var next float64
		set := func(v float64) {
			require.NoError(t, tensor.Do(func() error { x.Assign(tensor.Full(v, tensor.Float32, tensor.CPU, 2)); return nil }))
			next = v
		}
		set(1)
		g := repeated(t, func() []*tensor.Tensor {
			loss := x.Mul(w).Add(tensor.New([]float32{10, 20}, 2)).Sum() // a constant
			return []*tensor.Tensor{tensor.Grad(loss, w)[0], nil, loss}
		}, func(run int, out []*tensor.Tensor) {
			require.Len(t, out, 3)
			assert.Nil(t, out[1])
			assert.Equal(t, []float64{next, next}, out[0].Floats(), "the gradient of this run's operand")
			assert.Equal(t, 3*next+30, out[2].Float())
			if run >= 2 {
				if static != nil {
					assert.Same(t, static, out[0], "a replay overwrites the results of the one before")
				}
				static = out[0]
				assert.False(t, out[2].RequiresGrad())
			}
			set(float64(run + 2))
		})
		assert.Empty(t, g.Problem())
		assert.NotNil(t, static)
	})
	assert.Equal(t, live, tensor.Live())
}

// What a replay would not notice is found in the second run, and the function goes on being run.
func TestWhatAGraphCannotCapture(t *testing.T) {
	s := tensor.Enter()
	defer s.Leave()
	x, calls := tensor.Ones(2).Own(), 0
	defer x.Free()
	for name, c := range map[string]struct {
		f    func() *tensor.Tensor
		want string
	}{
		"reads":         {func() *tensor.Tensor { return x.MulScalar(x.Sum().Float()) }, "reads values of a tensor"},
		"other data":    {func() *tensor.Tensor { return x.Mul(tensor.New([]float32{float32(calls), 1}, 2)) }, "copies other data"},
		"uploads":       {func() *tensor.Tensor { return x.Mul(tensor.Upload([]float32{float32(calls), 1}, tensor.CPU, 2)) }, "copies other data"},
		"fills":         {func() *tensor.Tensor { return tensor.Made(func(v []float32) { v[0] = float32(calls) }, 2) }, "copies other data"},
		"bytes":         {func() *tensor.Tensor { return tensor.OfBytes([]byte{byte(calls), 1}, tensor.CPU, 2) }, "copies other data"},
		"sets":          {func() *tensor.Tensor { x.Set(make([]byte, 8)); return x.Clone() }, "copies data to a tensor that outlives it"},
		"decomposition": {func() *tensor.Tensor { return tensor.Eye(2, tensor.Float32, tensor.CPU).Cholesky() }, "reads values of a tensor (Cholesky)"},
		"more data": {func() *tensor.Tensor {
			if calls > 1 {
				return x.Mul(tensor.Ones(2)).Mul(tensor.New([]float32{1, 2}, 2))
			}
			return x.Clone()
		}, "copies other data"},
		"less data": {func() *tensor.Tensor {
			if calls == 1 {
				return x.Mul(tensor.New([]float32{1, 2}, 2))
			}
			return x.Clone()
		}, "copies less data"},
		"goroutines": {func() *tensor.Tensor {
			callers, done := tensor.Innermost(), make(chan struct{})
			go func() {
				defer close(done)
				callers.Beside().Leave()
			}()
			<-done
			return x.Clone()
		}, "computes on several goroutines"},
	} {
		t.Run(name, func(t *testing.T) {
			calls = 0
			g := repeated(t, func() []*tensor.Tensor { calls++; return []*tensor.Tensor{c.f()} }, func(int, []*tensor.Tensor) {})
			assert.Contains(t, g.Problem(), c.want)
			assert.Equal(t, 5, calls)
		})
	}
}

// A change after the capture is a mistake that the CPU finds, and a device would not.
func TestGraphThatChangesLaterPanics(t *testing.T) {
	set, err := tensor.NewGraphs(tensor.CPU)
	require.NoError(t, err)
	calls := 0
	g := set.New(func() []*tensor.Tensor {
		calls++
		return []*tensor.Tensor{tensor.New([]float32{float32(calls / 4)}, 1).Clone()}
	})
	defer g.Free()
	for range 3 {
		require.NoError(t, tensor.Do(func() error { g.Run(); return nil }))
	}
	assert.ErrorContains(t, tensor.Do(func() error { g.Run(); return nil }), "copies other data to the device each time")
}

func TestUntracedCopiesAreLeftOut(t *testing.T) {
	calls := 0
	g := repeated(t, func() []*tensor.Tensor {
		calls++
		var x *tensor.Tensor
		tensor.Untraced(func() { x = tensor.New([]float32{float32(calls)}, 1) })
		return []*tensor.Tensor{x.Clone()}
	}, func(run int, out []*tensor.Tensor) { assert.Equal(t, float64(run+1), out[0].Float()) })
	assert.Empty(t, g.Problem())
}

func TestGraphsOfADeviceNeedABuild(t *testing.T) {
	if tensor.GraphsBuilt() {
		t.Skip("this build has CUDA graphs")
	}
	_, err := tensor.NewGraphs(0)
	assert.ErrorContains(t, err, "docs/libtorch.md")
}
