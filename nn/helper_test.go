package nn_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"testing"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMain fails if a test leaves tensors behind.
func TestMain(m *testing.M) {
	code := m.Run()
	if n := tensor.Live(); n != 0 && code == 0 {
		fmt.Fprintf(os.Stderr, "%d tensors left behind\n", n)
		code = 1
	}
	os.Exit(code)
}

// build starts a network that is freed with the test. Call it after enter.
func build(t testing.TB, seed uint64) *nn.Builder {
	b := nn.NewBuilder(seed, tensor.CPU)
	t.Cleanup(b.Params().Free)
	return b
}

// own frees an optimiser at the end of the test.
func own[O nn.Optimizer](t testing.TB, o O) O {
	t.Cleanup(o.Free)
	return o
}

func find(t testing.TB, ps *nn.Params, name string) *nn.Param {
	t.Helper()
	for _, p := range ps.All() {
		if p.Name == name {
			return p
		}
	}
	require.FailNow(t, "no parameter "+name)
	return nil
}

// set assigns values to a parameter.
func set(p *nn.Param, values ...float32) {
	p.Value().Assign(tensor.New(values, p.Value().Shape()...))
}

// contents returns the bytes of tensors by name.
func contents(ts []nn.Named) map[string][]byte {
	out := map[string][]byte{}
	for _, n := range ts {
		out[n.Name] = n.Tensor.Bytes()
	}
	return out
}

// array is a tensor of a fixture.
type array struct {
	Shape []int64
	Data  []float64
}

func (a array) tensor() *tensor.Tensor {
	data := make([]float32, len(a.Data))
	for i, v := range a.Data {
		data[i] = float32(v)
	}
	return tensor.New(data, a.Shape...)
}

// near compares a tensor with a fixture, within 1e-5 absolute and relative.
func near(t testing.TB, want array, got *tensor.Tensor, what string) {
	t.Helper()
	if !assert.NotNil(t, got, what) || !assert.Equal(t, want.Shape, got.Shape(), what) {
		return
	}
	for i, g := range got.Floats() {
		if w := want.Data[i]; !(math.Abs(g-w) <= 1e-5*(1+math.Abs(w))) {
			assert.Failf(t, "differs from the fixture", "%s[%d] is %v, want %v", what, i, g, w)
			return
		}
	}
}

func fixture[C any](t testing.TB, path string) []C {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	var file struct{ Cases []C }
	require.NoError(t, json.Unmarshal(data, &file))
	require.NotEmpty(t, file.Cases)
	return file.Cases
}
