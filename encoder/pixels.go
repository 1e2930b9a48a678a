package encoder

import (
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// Pixels is the encoder of baselines that compare the images themselves: an embedding is the flattened image.
type Pixels struct{ width int64 }

// NewPixels makes the encoder for images [channels, height, width].
func NewPixels(channels, height, width int64) *Pixels { return &Pixels{channels * height * width} }

// Width implements [Encoder].
func (e *Pixels) Width() int64 { return e.width }

// Forward maps images [n, channels, height, width] to embeddings [n, Width].
func (e *Pixels) Forward(_ *nn.Pass, x *tensor.Tensor) *tensor.Tensor { return x.Flatten(1, -1) }

var _ Encoder = (*Pixels)(nil)
