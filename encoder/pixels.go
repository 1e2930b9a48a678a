package encoder

import (
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// Pixels is the encoder of baselines that compare images themselves: an embedding is the image, flat.
type Pixels struct{ width int64 }

// NewPixels makes the encoder for images of a shape.
func NewPixels(channels, height, width int64) *Pixels { return &Pixels{channels * height * width} }

// Width implements [Encoder].
func (e *Pixels) Width() int64 { return e.width }

// Forward maps images [n, channels, height, width] to embeddings [n, Width].
func (e *Pixels) Forward(_ *nn.Pass, x *tensor.Tensor) *tensor.Tensor { return x.Flatten(1, -1) }

var _ Encoder = (*Pixels)(nil)
