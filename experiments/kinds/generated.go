package kinds

import (
	"context"
	"iter"
	"math/rand/v2"

	"github.com/engram-go/engram/experiments/runner"
	"github.com/engram-go/engram/stream"
)

// generated returns the training batches of a task that generates its data, from step first on, without end.
func generated[B any](
	ctx context.Context, seed uint64, first int64, draw func(r *rand.Rand) B, batch func(b B) runner.Batch,
) iter.Seq[runner.Batch] {
	return func(yield func(runner.Batch) bool) {
		for step := uint64(first); ctx.Err() == nil; step++ {
			if !yield(batch(draw(stream.New(seed, "train", step)))) {
				return
			}
		}
	}
}

// drawn gives n sequences of a size for evaluation, in batches of at most evaluationSequences. The sizes of a task and of its tests
// have been checked.
func drawn[B, S any](sized func(r *rand.Rand, n int, size S) (B, error), name string, size S, n int) iter.Seq[B] {
	return func(yield func(B) bool) {
		for first := 0; first < n; first += evaluationSequences {
			b, err := sized(stream.New(evaluationSeed, name, uint64(first)), min(n-first, evaluationSequences), size)
			if err != nil || !yield(b) {
				return
			}
		}
	}
}
