package tensor_test

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/engram-go/engram/tensor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// balanced runs f in a scope and fails the test if tensors are left behind.
func balanced(t *testing.T, f func()) {
	t.Helper()
	before := tensor.Live()
	s := tensor.Enter()
	func() {
		defer s.Leave()
		f()
	}()
	assert.Equal(t, before, tensor.Live(), "tensors left behind")
}

func TestValuesRoundTrip(t *testing.T) {
	balanced(t, func() {
		assert.Equal(t, []float32{1, 2, 3, 4, 5, 6}, tensor.Values[float32](tensor.New([]float32{1, 2, 3, 4, 5, 6}, 2, 3)))
		assert.Equal(t, []int64{-1, 1 << 40}, tensor.Values[int64](tensor.New([]int64{-1, 1 << 40}, 2)))
		assert.Equal(t, []uint8{0, 255}, tensor.Values[uint8](tensor.New([]uint8{0, 255}, 2)))
		assert.Equal(t, []bool{true, false}, tensor.Values[bool](tensor.New([]bool{true, false}, 2)))
		assert.Equal(t, []float64{.1}, tensor.Values[float64](tensor.New([]float64{.1}, 1)))
		assert.Equal(t, 7.0, tensor.Scalar(7).Float())
		assert.Empty(t, tensor.Values[float32](tensor.Zeros(0, 3)))
	})
}

func TestMadeIsWhatWasWritten(t *testing.T) {
	balanced(t, func() {
		got := tensor.Made(func(v []int64) {
			assert.Equal(t, make([]int64, 6), v)
			v[4] = 7
		}, 2, 3)
		assert.Equal(t, []int64{2, 3}, got.Shape())
		assert.Equal(t, []int64{0, 0, 0, 0, 7, 0}, tensor.Values[int64](got))
		assert.Equal(t, []int64{0, 3}, tensor.Made(func([]float32) { t.Error("f must not be called for an empty tensor") }, 0, 3).Shape())
		assert.Equal(t, 2.0, tensor.Made(func(v []float32) { v[0] = 2 }).Float())
	})
}

func TestScopeFreesKeepsAndOwns(t *testing.T) {
	before := tensor.Live()
	outer := tensor.Enter()
	x := tensor.Ones(2)
	inner := tensor.Enter()
	lost := x.Add(x)
	kept := inner.Keep(x.MulScalar(3))
	owned := x.MulScalar(4).Own()
	inner.Leave()

	assert.True(t, lost.Freed())
	assert.Equal(t, []float32{3, 3}, tensor.Values[float32](kept))
	assert.Equal(t, []float32{4, 4}, tensor.Values[float32](owned))
	outer.Leave()
	assert.True(t, kept.Freed())
	assert.True(t, x.Freed())

	require.NoError(t, tensor.Do(func() error {
		assert.Equal(t, []float32{4, 4}, tensor.Values[float32](owned))
		return nil
	}))
	owned.Free()
	owned.Free()
	assert.Equal(t, before, tensor.Live())
}

func TestUseAfterFreeIsAnErrorNotACrash(t *testing.T) {
	var y *tensor.Tensor
	require.NoError(t, tensor.Do(func() error { y = tensor.Ones(2); return nil }))
	err := tensor.Do(func() error { y.Add(y); return nil })
	assert.EqualError(t, err, "tensor: Add: an operand was freed; Keep or Own it to use it after its scope")
	assert.EqualError(t, tensor.Do(func() error { var none *tensor.Tensor; none.Exp(); return nil }), "tensor: Exp: an operand is nil")
}

func TestOutsideAScopeIsAnError(t *testing.T) {
	call := func() (err error) {
		defer tensor.Catch(&err)
		tensor.Ones(1)
		return nil
	}
	assert.ErrorContains(t, call(), "no scope is open on this goroutine")
}

func TestErrorsNameOperationAndShapes(t *testing.T) {
	before := tensor.Live()
	for want, f := range map[string]func(){
		"tensor: MatMul of [2 3] and [2 3]: ":                      func() { tensor.Ones(2, 3).MatMul(tensor.Ones(2, 3)) },
		"tensor: Add of [2] and [3]: ":                             func() { tensor.Ones(2).Add(tensor.Ones(3)) },
		"tensor: Reshape of [6]: ":                                 func() { tensor.Ones(6).Reshape(4) },
		"tensor: Cat of [1 2] and [2 1]: ":                         func() { tensor.Cat(0, tensor.Ones(1, 2), tensor.Ones(2, 1)) },
		"tensor: New: 3 values do not fill the shape [2 2]":        func() { tensor.New([]float32{1, 2, 3}, 2, 2) },
		"tensor: Conv2d of [1 2 5 5] and [4 3 3 3]: ":              func() { tensor.Conv2d(tensor.Ones(1, 2, 5, 5), tensor.Ones(4, 3, 3, 3), nil, 1, 1, 1) },
		"tensor: Values of [1]: it holds float32, not int64":       func() { tensor.Values[int64](tensor.Ones(1)) },
		"tensor: Assign of [2] and [3]: the shapes differ":         func() { tensor.Ones(2).Assign(tensor.Ones(3)) },
		"tensor: Float of [2]: it has more or less than one":       func() { tensor.Ones(2).Float() },
		"tensor: Grad of []: output 0 does not depend on anything": func() { x := tensor.Ones(2); tensor.Grad(x.Sum(), x) },
	} {
		err := tensor.Do(func() error { f(); return nil })
		if assert.Error(t, err, want) {
			assert.True(t, strings.HasPrefix(err.Error(), want), "got %q, want prefix %q", err, want)
			assert.NotContains(t, err.Error(), "Exception raised from")
			assert.NotContains(t, err.Error(), "frame #")
		}
	}
	assert.Equal(t, before, tensor.Live())
}

func TestOtherPanicsPass(t *testing.T) {
	assert.PanicsWithValue(t, "mine", func() { _ = tensor.Do(func() error { panic("mine") }) })
}

// A scope whose thread ended with its goroutine must not keep its slot.
func TestScopesOnManyGoroutines(t *testing.T) {
	before := tensor.Live()
	for range 50 {
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				err := tensor.Do(func() error {
					x := tensor.Full(float64(i), tensor.Float32, tensor.CPU, 3)
					assert.Equal(t, float64(3*i), x.Sum().Float())
					return nil
				})
				assert.NoError(t, err)
				runtime.LockOSThread() // the goroutine ends locked, which ends its thread
			})
		}
		wg.Wait()
	}
	assert.Equal(t, before, tensor.Live())
}

func TestThreadsHoldOnEveryGoroutine(t *testing.T) {
	defer tensor.SetThreads(runtime.NumCPU())
	for _, n := range []int{1, 2} {
		tensor.SetThreads(n)
		done := make(chan int)
		go func() {
			s := tensor.Enter()
			defer s.Leave()
			done <- tensor.Threads()
		}()
		assert.Equal(t, n, <-done)
	}
}

func TestDevices(t *testing.T) {
	d, err := tensor.ParseDevice("cpu")
	require.NoError(t, err)
	assert.Equal(t, tensor.CPU, d)
	_, err = tensor.ParseDevice("auto")
	assert.NoError(t, err)
	_, err = tensor.ParseDevice("gpu")
	assert.EqualError(t, err, `tensor: device "gpu" is none of cpu, cuda, cuda:N, auto`)
	_, err = tensor.ParseDevice("cuda:99")
	assert.ErrorContains(t, err, "CUDA devices")
	_, err = tensor.ParseDevice("cuda:x")
	assert.ErrorContains(t, err, "index")
}

// Ten thousand training steps neither leak tensors nor grow the process.
func TestTrainingStepsDoNotGrowMemory(t *testing.T) {
	before := tensor.Live()
	outer := tensor.Enter()
	defer outer.Leave()
	w1, w2 := tensor.Full(.1, tensor.Float32, tensor.CPU, 32, 16).RequireGrad(), tensor.Full(.1, tensor.Float32, tensor.CPU, 1, 32).RequireGrad()
	x := tensor.Ones(8, 16)
	step := func() {
		s := tensor.Enter()
		defer s.Leave()
		loss := tensor.Linear(tensor.Linear(x, w1, nil).Tanh(), w2, nil).AddScalar(-1).Square().Mean()
		for i, g := range tensor.Grad(loss, w1, w2) {
			w := []*tensor.Tensor{w1, w2}[i]
			w.Assign(w.Sub(g.MulScalar(.01)))
		}
	}
	for range 500 {
		step()
	}
	runtime.GC()
	start, liveAtStart := residentMB(t), tensor.Live()
	for range 10_000 {
		step()
	}
	runtime.GC()
	assert.Less(t, residentMB(t)-start, 20.0, "MB grown")
	assert.Equal(t, liveAtStart, tensor.Live())
	assert.Equal(t, before+3, tensor.Live())
}

func residentMB(t *testing.T) float64 {
	t.Helper()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip("no /proc/self/statm")
	}
	pages, err := strconv.Atoi(strings.Fields(string(b))[1])
	require.NoError(t, err)
	return float64(pages*os.Getpagesize()) / (1 << 20)
}
