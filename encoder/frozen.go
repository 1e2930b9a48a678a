package encoder

import (
	"slices"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// frozen is an encoder that stays as it is.
type frozen struct {
	Encoder
	in []int64 // the shape of an input
}

// Freeze returns e as an encoder that no training changes: it always evaluates, by running statistics and without dropout, and
// records no gradients, and its parameters become buffers. in is the shape of e's inputs, [channels, height, width].
//
// Its embeddings can be computed beforehand: in the place of inputs it takes embeddings, as [n, 1, 1, Width], and returns them.
// Where inputs are of this shape themselves, it takes no embeddings.
func Freeze(e Encoder, params []*nn.Param, in []int64) Encoder {
	for _, p := range params {
		p.Buffer = true
	}
	return &frozen{e, in}
}

// EmbeddingShape is the shape of an embedding of a width in the place of an image.
func EmbeddingShape(width int64) []int64 { return []int64{1, 1, width} }

// Forward implements [Encoder].
func (e *frozen) Forward(p *nn.Pass, x *tensor.Tensor) (y *tensor.Tensor) {
	if shape := EmbeddingShape(e.Width()); slices.Equal(x.Shape()[1:], shape) && !slices.Equal(e.in, shape) {
		return x.Flatten(1, -1)
	}
	evaluation := *p
	evaluation.Training, evaluation.HigherOrder, evaluation.Norm = false, false, nn.RunningStats
	tensor.NoGrad(func() { y = e.Encoder.Forward(&evaluation, x) })
	return y
}

// Maps implements [Mapper].
func (e *frozen) Maps() (channels, height, width int64) { return Maps(e.Encoder) }

// HasDropout implements [HasDropout].
func (e *frozen) HasDropout() bool { return false }

// UsesBatchStatistics implements [UsesBatchStatistics].
func (e *frozen) UsesBatchStatistics() bool { return false }

// Precision implements [Precision].
func (e *frozen) Precision() string { return Precision(e.Encoder) }

var _ Mapper = (*frozen)(nil)
