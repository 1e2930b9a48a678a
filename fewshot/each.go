package fewshot

import (
	"sync"

	"github.com/engram-go/engram/tensor"
)

// Only returns task i of a batch as a batch of one. Its tensors are views.
func (t *Task) Only(i int64) *Task {
	return &Task{
		Way: t.Way, First: t.First + uint64(i),
		Support: t.Support.Narrow(0, i, 1), SupportLabels: t.SupportLabels.Narrow(0, i, 1),
		Query: t.Query.Narrow(0, i, 1), QueryLabels: t.QueryLabels.Narrow(0, i, 1),
	}
}

// Each calls f once per task of a batch, on up to a number of workers at the same time, each on its own thread. It passes
// the results of f to take on the caller's goroutine, in the order of the tasks. Sums that take accumulates are therefore
// bitwise independent of the number of workers, provided that operations use one thread ([tensor.SetThreads]); with several
// threads per operation the workers would also slow one another down.
//
// f runs in its own scope with gradient recording on. Its results outlive that scope and are freed after take; results may
// be nil. Only a few tasks' results exist at any time. Each panics with the first panic of f.
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
	// Worker w computes tasks w, w+workers, … and is at most one result ahead of take.
	results, stop := make([]chan done, workers), make(chan struct{})
	var working sync.WaitGroup
	defer func() { // after a panic: free the results that take will not get
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

// AddTo adds each non-nil element of xs to the sum at the same index, in place. A nil sum becomes a copy of the element. It
// accumulates gradients in the take function of [Each].
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
