package fewshot

import (
	"sync"

	"github.com/engram-go/engram/tensor"
)

// Only returns the one task i of a batch, without copying.
func (t *Task) Only(i int64) *Task {
	return &Task{
		Way:     t.Way,
		Support: t.Support.Narrow(0, i, 1), SupportLabels: t.SupportLabels.Narrow(0, i, 1),
		Query: t.Query.Narrow(0, i, 1), QueryLabels: t.QueryLabels.Narrow(0, i, 1),
	}
}

// Each calls f for every task of a batch by itself, workers of them at the same time, each on a thread of its own, and hands
// what f returns to take: one after another on the caller's goroutine and in the order of the tasks. What take sums is
// therefore the same to the bit whatever the number of workers, as long as an operation uses one thread ([tensor.SetThreads]);
// with more, the workers would be in one another's way.
//
// f runs in a scope of its own, recording gradients, and all that it makes is freed when it returns but its result, which is
// freed after take (tensors there may be nil): a few tasks' results are all that is held at a time. A panic of f is the
// caller's.
func Each(t *Task, workers int, f func(i int64, own *Task) []*tensor.Tensor, take func(i int64, out []*tensor.Tensor)) {
	n := t.Support.Dim(0)
	workers = int(max(1, min(int64(workers), n)))
	callers := tensor.Innermost()
	one := func(i int64) (out []*tensor.Tensor) {
		scope := callers.Beside()
		defer scope.Leave()
		tensor.WithGrad(func() {
			out = f(i, t.Only(i))
			for _, x := range out {
				if x != nil {
					x.Own()
				}
			}
		})
		return out
	}
	hand := func(i int64, out []*tensor.Tensor) {
		defer free(out)
		take(i, out)
	}
	if workers == 1 {
		for i := range n {
			hand(i, one(i))
		}
		return
	}
	type done struct {
		out    []*tensor.Tensor
		failed any
	}
	// Worker w has tasks w, w+workers, … and waits until the one before was taken.
	results, stop := make([]chan done, workers), make(chan struct{})
	var working sync.WaitGroup
	defer func() { // results that nobody will take any more
		close(stop)
		working.Wait()
		for _, c := range results {
			for d := range c {
				free(d.out)
			}
		}
	}()
	for w := range results {
		c := make(chan done, 1)
		results[w] = c
		working.Go(func() {
			defer close(c)
			for i := int64(w); i < n; i += int64(workers) {
				var d done
				func() {
					defer func() { d.failed = recover() }()
					d.out = one(i)
				}()
				select {
				case c <- d:
				case <-stop:
					free(d.out)
					return
				}
				if d.failed != nil {
					return
				}
			}
		})
	}
	for i := range n {
		d := <-results[i%int64(workers)]
		if d.failed != nil {
			panic(d.failed)
		}
		hand(i, d.out)
	}
}

// AddTo adds to each sum what of xs is not nil; a nil sum begins with it. It is what take of [Each] sums gradients by.
func AddTo(sums, xs []*tensor.Tensor) {
	for i, x := range xs {
		switch {
		case x == nil:
		case sums[i] == nil:
			sums[i] = x.Clone()
		default:
			scope := tensor.Enter()
			sums[i].Assign(sums[i].Add(x))
			scope.Leave()
		}
	}
}

func free(ts []*tensor.Tensor) {
	for _, x := range ts {
		x.Free()
	}
}
