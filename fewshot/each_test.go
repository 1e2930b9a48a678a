package fewshot_test

import (
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/episode"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/tensor"
)

// With any number of workers every task is computed once and taken in order, and the number of live tensors does not grow
// with that of the tasks.
func TestEachTaskIsTakenInOrder(t *testing.T) {
	const tasks = 23
	b := batch(t, episode.Spec{Way: 3, Shot: 2, Query: 1}, tasks)
	for _, workers := range []int{-1, 1, 2, 5, 40} {
		testkit.Enter(t)
		task := fewshot.NewTask(b, tensor.CPU)
		var taken []int64
		var images []float32
		most, before := int64(0), tensor.Live()
		fewshot.Each(task, workers, func(i int64, own *fewshot.Task) []*tensor.Tensor {
			for range 100 {
				own.Support.AddScalar(1)
			}
			if i%2 == 0 {
				runtime.Gosched()
			}
			return []*tensor.Tensor{own.Support.MulScalar(1), nil}
		}, func(i int64, out []*tensor.Tensor) {
			taken = append(taken, i)
			images = append(images, tensor.Values[float32](out[0])...)
			assert.Nil(t, out[1])
			most = max(most, tensor.Live()-before)
		})
		var want []int64
		for i := range int64(tasks) {
			want = append(want, i)
		}
		assert.Equal(t, want, taken)
		assert.Equal(t, b.Support.Floats(), images)
		assert.Equal(t, before, tensor.Live())
		assert.LessOrEqual(t, most, int64(110*max(1, min(workers, tasks))))
	}
}

// The workers compute for a goroutine that has its scope already: they do not wait for those of others, which may wait for
// their own workers.
func TestEachWorksWhileAllScopesAreHeld(t *testing.T) {
	b := batch(t, episode.Spec{Way: 3, Shot: 2, Query: 1}, 4)
	var held, others sync.WaitGroup
	leave := make(chan struct{})
	held.Add(tensor.MaxScopes - 1)
	for range tensor.MaxScopes - 1 {
		others.Go(func() {
			defer tensor.Enter().Leave()
			held.Done()
			<-leave
		})
	}
	held.Wait()
	testkit.Enter(t) // the last place
	taken := 0
	fewshot.Each(fewshot.NewTask(b, tensor.CPU), 3, func(_ int64, own *fewshot.Task) []*tensor.Tensor {
		return []*tensor.Tensor{own.Support.Sum()}
	}, func(int64, []*tensor.Tensor) { taken++ })
	assert.Equal(t, 4, taken)
	close(leave)
	others.Wait()
}

func TestPanicOfATaskIsTheCallers(t *testing.T) {
	b := batch(t, episode.Spec{Way: 3, Shot: 2, Query: 1}, 9)
	for _, workers := range []int{1, 3} {
		testkit.Enter(t)
		task := fewshot.NewTask(b, tensor.CPU)
		before, taken := tensor.Live(), 0
		err := tensor.Do(func() error {
			fewshot.Each(task, workers, func(i int64, own *fewshot.Task) []*tensor.Tensor {
				if i == 4 {
					own.Support.Add(own.Query)
				}
				return []*tensor.Tensor{own.Support.AddScalar(1)}
			}, func(int64, []*tensor.Tensor) { taken++ })
			return nil
		})
		var wrong *tensor.Error
		require.ErrorAs(t, err, &wrong)
		assert.Equal(t, "Add", wrong.Op)
		assert.Equal(t, 4, taken)
		assert.Equal(t, before, tensor.Live())
	}
}
