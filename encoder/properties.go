package encoder

import "github.com/engram-go/engram/nn"

// HasDropout reports whether an encoder has dropout in training passes: the result of its method HasDropout() bool,
// or false without one.
//
// The inner steps of MAML and Reptile run without Training, hence without dropout, so these networks refuse such an
// encoder.
func HasDropout(e Encoder) bool {
	d, ok := e.(interface{ HasDropout() bool })
	return ok && d.HasDropout()
}

// UsesBatchStatistics reports whether embeddings under [nn.BatchStats] depend on the other inputs of the batch: the
// result of the encoder's method UsesBatchStatistics() bool, or true without one. If not, every [nn.Norm] gives the
// same embeddings in a test, which is then inductive.
func UsesBatchStatistics(e Encoder) bool {
	s, ok := e.(interface{ UsesBatchStatistics() bool })
	return !ok || s.UsesBatchStatistics()
}

// A Blocker is an encoder that says which of its trained parameters are tuned together. Those of another encoder are told apart by
// their names; see package transfer.
type Blocker interface {
	// Blocks returns the trained parameters in blocks, from input to output.
	Blocks() [][]*nn.Param
}

// Blocks returns the blocks of an encoder that is a [Blocker], and nil for another one.
func Blocks(e Encoder) [][]*nn.Param {
	if b, ok := e.(Blocker); ok {
		return b.Blocks()
	}
	return nil
}

// blocks collects the trained parameters of an encoder as it is made.
type blocks struct {
	params *nn.Params
	seen   int
	all    [][]*nn.Param
}

// newBlocks begins to collect the parameters that are made from now on.
func newBlocks(b *nn.Builder) *blocks {
	return &blocks{params: b.Params(), seen: len(b.Params().All())}
}

// end ends a block: it has the parameters that were made since the last one.
func (c *blocks) end() {
	var block []*nn.Param
	for _, p := range c.params.All()[c.seen:] {
		if !p.Buffer {
			block = append(block, p)
		}
	}
	c.seen, c.all = len(c.params.All()), append(c.all, block)
}

// HasDropout implements [HasDropout].
func (e *ResNet12) HasDropout() bool { return e.drop > 0 }

// UsesBatchStatistics implements [UsesBatchStatistics]: only the variant with batch norm does.
func (e *Koch) UsesBatchStatistics() bool { return e.layers[0].norm != nil }

// UsesBatchStatistics implements [UsesBatchStatistics].
func (e *Pixels) UsesBatchStatistics() bool { return false }
