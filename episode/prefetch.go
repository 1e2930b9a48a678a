package episode

import (
	"context"
	"iter"
	"runtime"
	"sync"
)

// Batches returns the batches of n episodes from step first on, without end: first, first+n, first+2n, … . Up to
// depth of them, at least 1, are prepared by other goroutines while the caller uses the current one; this does not
// change their content.
//
// A batch belongs to the caller until the next iteration, which may reuse its memory. The sequence ends when ctx is
// done or the loop is left; the goroutines have then ended.
func (s *Sampler) Batches(ctx context.Context, first uint64, n, depth int) iter.Seq[*Batch] {
	return prefetch(ctx, first, n, depth, s.Fill)
}

// job is a batch that is being prepared.
type job[B any] struct {
	batch *B
	step  uint64
	done  chan struct{} // closed when the batch is ready
}

// prefetch implements Batches for any type of batch. fill is called concurrently, for as many batches as there are
// processors.
func prefetch[B any](ctx context.Context, first uint64, n, depth int, fill func(b *B, first uint64, n int)) iter.Seq[*B] {
	return func(yield func(*B) bool) {
		depth := max(depth, 1)
		ctx, cancel := context.WithCancel(ctx)
		var running sync.WaitGroup
		defer func() { cancel(); running.Wait() }()
		// All channels have room for every batch, so that sends never block.
		free, work, ready := make(chan *B, depth+1), make(chan job[B], depth+1), make(chan job[B], depth+1)
		for range depth + 1 { // the caller has one, the others are ready or being filled
			free <- new(B)
		}
		running.Go(func() { // hands out the steps in order
			defer close(work)
			for step := first; ; step += uint64(max(n, 0)) {
				select {
				case b := <-free:
					j := job[B]{b, step, make(chan struct{})}
					work <- j
					ready <- j
				case <-ctx.Done():
					return
				}
			}
		})
		for range min(depth, runtime.GOMAXPROCS(0)) {
			running.Go(func() {
				for j := range work {
					if ctx.Err() != nil {
						return
					}
					fill(j.batch, j.step, n)
					close(j.done)
				}
			})
		}
		for {
			select {
			case j := <-ready:
				select {
				case <-j.done:
				case <-ctx.Done():
					return
				}
				if ctx.Err() != nil || !yield(j.batch) {
					return
				}
				free <- j.batch
			case <-ctx.Done():
				return
			}
		}
	}
}
