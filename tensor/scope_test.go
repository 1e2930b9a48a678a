package tensor_test

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/engram-go/engram/tensor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Run under the race detector: goroutines use a thread in turn without other synchronisation.
func TestConcurrentScopesDoNotRace(t *testing.T) {
	before := tensor.Live()
	var wg sync.WaitGroup
	for i := range 2000 {
		wg.Go(func() {
			assert.NoError(t, tensor.Do(func() error {
				sum := tensor.Eval(func() *tensor.Tensor {
					return tensor.Ones(2).Add(tensor.Full(float64(i), tensor.Float32, tensor.CPU, 2))
				})
				tensor.NoGrad(func() { assert.Equal(t, 2*float64(i+1), sum.Sum().Float()) })
				return nil
			}))
		})
	}
	wg.Wait()
	assert.Equal(t, before, tensor.Live())
}

// A tensor made and kept by one goroutine is read by others, each in its own scope.
func TestTensorIsReadFromManyGoroutines(t *testing.T) {
	var x *tensor.Tensor
	require.NoError(t, tensor.Do(func() error {
		x = tensor.New([]float32{1, 2, 3}, 3).Own()
		return nil
	}))
	defer x.Free()
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			assert.NoError(t, tensor.Do(func() error {
				assert.Equal(t, 14.0, x.Mul(x).Sum().Float())
				return nil
			}))
		})
	}
	wg.Wait()
}

func TestMoreGoroutinesThanScopesWait(t *testing.T) {
	var open, most atomic.Int64
	var wg sync.WaitGroup
	begin := make(chan struct{})
	for range 5000 {
		wg.Go(func() {
			<-begin
			assert.NoError(t, tensor.Do(func() error {
				now := open.Add(1)
				defer open.Add(-1)
				for seen := most.Load(); now > seen && !most.CompareAndSwap(seen, now); seen = most.Load() {
				}
				assert.Equal(t, 2.0, tensor.Ones(1).Add(tensor.Ones(1)).Float())
				time.Sleep(10 * time.Millisecond)
				return nil
			}))
		})
	}
	close(begin)
	wg.Wait()
	assert.LessOrEqual(t, most.Load(), int64(tensor.MaxScopes))
}

func TestDoContextWaitsNoLongerThanItsContext(t *testing.T) {
	var holding, wg sync.WaitGroup
	holding.Add(tensor.MaxScopes)
	leave := make(chan struct{})
	var first *tensor.Scope
	for i := range tensor.MaxScopes {
		wg.Go(func() {
			s := tensor.Enter()
			defer s.Leave()
			if i == 0 {
				first = s
			}
			holding.Done()
			<-leave
			inner := tensor.Enter() // a nested scope occupies no place
			defer inner.Leave()
		})
	}
	holding.Wait()

	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	err := tensor.DoContext(ctx, func() error { t.Error("f ran without a place"); return nil })
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	assert.ErrorContains(t, err, "waiting for one of 1024 scopes")

	beside := first.Beside() // for a goroutine that has a place
	assert.Equal(t, 3.0, tensor.Ones(3).Sum().Float())
	assert.Same(t, beside, tensor.Innermost())
	beside.Leave()
	assert.Nil(t, tensor.Innermost())

	waited := make(chan error)
	go func() {
		waited <- tensor.DoContext(context.Background(), func() error { tensor.Ones(1); return nil })
	}()
	close(leave)
	assert.NoError(t, <-waited)
	wg.Wait()
	for range 3 * tensor.MaxScopes { // all places are free again
		require.NoError(t, tensor.DoContext(context.Background(), func() error { return nil }))
	}
}

func TestDoContextOfAnEndedContextDoesNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	assert.ErrorIs(t, tensor.DoContext(ctx, func() error { t.Error("it ran"); return nil }), context.Canceled)
}

// The C side numbers the first 4,096 threads of a process; a program may have more.
func TestScopesOnMoreThreadsThanTheTableHolds(t *testing.T) {
	if testing.Short() {
		t.Skip("starts 4,200 threads")
	}
	var known, wg sync.WaitGroup
	const threads = 4200
	known.Add(threads)
	leave := make(chan struct{})
	for range threads {
		wg.Go(func() {
			runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
			assert.Nil(t, tensor.Innermost())
			known.Done()
			<-leave
		})
	}
	known.Wait()
	done := make(chan struct{})
	for range 50 { // more than the idle threads among the first 4,096
		wg.Go(func() {
			assert.NoError(t, tensor.Do(func() error {
				<-done
				tensor.WithGrad(func() { assert.True(t, tensor.GradAsked()) })
				assert.Equal(t, 3.0, tensor.Eval(func() *tensor.Tensor { return tensor.Ones(3) }).Sum().Float())
				return nil
			}))
		})
	}
	close(done)
	close(leave)
	wg.Wait()
}
