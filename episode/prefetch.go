package episode

import (
	"context"
	"iter"
)

// Batches returns the batches of n episodes from step first on, without end: first, first+n, first+2n, … . Up to
// depth of them, at least 1, are prepared on another goroutine while the caller uses the current one; this does not
// change their content.
//
// A batch belongs to the caller until the next iteration, which may reuse its memory. The sequence ends when ctx is
// done or the loop is left; the goroutine has then ended.
func (s *Sampler) Batches(ctx context.Context, first uint64, n, depth int) iter.Seq[*Batch] {
	return prefetch(ctx, first, n, depth, s.Fill)
}

// prefetch implements Batches for any type of batch.
func prefetch[B any](ctx context.Context, first uint64, n, depth int, fill func(b *B, first uint64, n int)) iter.Seq[*B] {
	return func(yield func(*B) bool) {
		depth := max(depth, 1)
		ctx, cancel := context.WithCancel(ctx)
		// Both channels have room for every batch, so that sends never block.
		ready, free, done := make(chan *B, depth+1), make(chan *B, depth+1), make(chan struct{})
		defer func() { cancel(); <-done }()
		for range depth + 1 { // the caller has one, the others are ready or being filled
			free <- new(B)
		}
		go func() {
			defer close(done)
			for step := first; ; step += uint64(max(n, 0)) {
				select {
				case b := <-free:
					if ctx.Err() != nil {
						return
					}
					fill(b, step, n)
					ready <- b
				case <-ctx.Done():
					return
				}
			}
		}()
		for {
			select {
			case b := <-ready:
				if ctx.Err() != nil || !yield(b) {
					return
				}
				free <- b
			case <-ctx.Done():
				return
			}
		}
	}
}
