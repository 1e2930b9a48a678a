package encoder

import (
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// invertedResidual is the block of MobileNetV2 and EfficientNet: a 1×1 convolution to several times as many channels, a convolution
// of each channel by itself, and a 1×1 convolution to the block's channels, each followed by batch norm and the first two by ReLU6.
// Where sizes agree the block's input is added. Sandler et al. 2018, section 3.3.
type invertedResidual struct {
	wide     []convNorm // the first two, or the second alone where nothing widens
	narrow   convNorm
	shortcut bool
}

// forward maps x, which it does not free.
func (b *invertedResidual) forward(p *nn.Pass, x *tensor.Tensor) *tensor.Tensor {
	y := x
	next := func(c convNorm) {
		z := c.forward(p, y)
		if y != x {
			y.Free()
		}
		y = z
	}
	for _, c := range b.wide {
		next(c)
		y = then(y, relu6)
	}
	next(b.narrow)
	if b.shortcut {
		y = then(y, func(y *tensor.Tensor) *tensor.Tensor { return y.Add(x) })
	}
	return y
}

// mobile is a network of a convolution, inverted residual blocks and a 1×1 convolution.
type mobile struct {
	stem, last convNorm
	inverted   []invertedResidual
	blocks     [][]*nn.Param
}

// mobileWidth is the width of the embeddings of MobileNetV2 and EfficientNet-Lite0.
const mobileWidth = 1280

// Width implements [Encoder].
func (e *mobile) Width() int64 { return mobileWidth }

// Blocks implements [Blocker].
func (e *mobile) Blocks() [][]*nn.Param { return e.blocks }

// Forward maps images [n, channels, height, width] to embeddings [n, Width], the means of the last maps over their positions.
func (e *mobile) Forward(p *nn.Pass, x *tensor.Tensor) *tensor.Tensor {
	x = then(x.ChannelsLast(), func(x *tensor.Tensor) *tensor.Tensor { return e.stem.forward(p, x) })
	x = then(x, relu6)
	for _, b := range e.inverted {
		x = then(x, func(x *tensor.Tensor) *tensor.Tensor { return b.forward(p, x) })
	}
	x = then(x, func(x *tensor.Tensor) *tensor.Tensor { return e.last.forward(p, x) })
	return then(then(x, relu6), globalMean)
}

// mobileStage is a row of the tables in which the papers give their networks: blocks that widen by a factor, with a kernel, to some
// channels. The first has the stride.
type mobileStage struct{ widen, kernel, channels, repeats, stride int64 }
