package encoder

import (
	"fmt"
	"slices"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// YOLOForm is a generation of the detector whose backbone a [YOLO] is.
type YOLOForm string

const (
	YOLOv5 YOLOForm = "v5" // version 6.0 and later, and 5u: blocks of the kind C3
	YOLOv8 YOLOForm = "v8" // blocks of the kind C2f
)

// YOLOConfig configures [NewYOLO].
type YOLOConfig struct {
	Channels int64    // of the images; default 3
	Form     YOLOForm // default YOLOv8
	// Filters is the number of channels of the first layer; each of the four that halve the maps afterwards doubles it: 16, the
	// default, for size n, 32 for size s.
	Filters int64
	// Layers are the layers whose means over positions are the embedding, one after another; default 9, the last one. 4 and 6 have
	// the maps of stride 8 and 16 that the detector's neck also takes.
	Layers []int64
}

// WithDefaults returns the configuration with its zero values replaced by the defaults.
func (c YOLOConfig) WithDefaults() YOLOConfig {
	if c.Channels == 0 {
		c.Channels = 3
	}
	if c.Form == "" {
		c.Form = YOLOv8
	}
	if c.Filters == 0 {
		c.Filters = 16
	}
	if c.Layers == nil {
		c.Layers = []int64{YOLOLayers - 1}
	}
	return c
}

// YOLOLayers is the number of layers of a [YOLO].
const YOLOLayers = 10

// YOLO is the backbone of the detectors YOLOv5 and YOLOv8 of sizes n and s: the layers model.0 to model.9 of their configuration
// files, without the neck and the head that detect. Convolutions of stride 2 and cross-stage-partial blocks (Wang et al. 2020) take
// turns, with batch norm and SiLU, and pooling of three sizes (SPPF) comes last. The embedding is the mean over positions of the
// maps of some layers.
//
// Parameters have the names of the detectors' state dicts, so that their weights load without a map. Convolutions are initialised as
// in He et al. 2015. Each layer is a block that is tuned by itself.
type YOLO struct {
	layers []layer
	taken  []int64
	width  int64
}

// layer maps x, which it does not free.
type layer interface {
	forward(p *nn.Pass, x *tensor.Tensor) *tensor.Tensor
}

// NewYOLO makes the network. Layers that it does not have, or that do not go up, are an error.
func NewYOLO(b *nn.Builder, c YOLOConfig) (*YOLO, error) {
	c = c.WithDefaults()
	for i, n := range c.Layers {
		if n < 0 || n >= YOLOLayers || i > 0 && n <= c.Layers[i-1] {
			return nil, fmt.Errorf("encoder: YOLO: layers %v: give some of 0 to %d, in order", c.Layers, YOLOLayers-1)
		}
	}
	if len(c.Layers) == 0 {
		return nil, fmt.Errorf("encoder: YOLO: an embedding needs a layer of 0 to %d", YOLOLayers-1)
	}
	e := &YOLO{taken: c.Layers}
	in, out, repeats := c.Channels, c.Filters, []int64{1, 2, 2, 1}
	if c.Form == YOLOv5 {
		repeats = []int64{1, 2, 3, 1}
	}
	add := func(make func(b *nn.Builder) layer, width int64) {
		n := int64(len(e.layers))
		e.layers = append(e.layers, make(b.In("model").In(fmt.Sprint(n))))
		if in = width; slices.Contains(c.Layers, n) {
			e.width += width
		}
	}
	add(func(b *nn.Builder) layer {
		if c.Form == YOLOv5 {
			l := newSiLUConv(b, in, out, 6, 2)
			l.config.Padding = 2
			return l
		}
		return newSiLUConv(b, in, out, 3, 2)
	}, out)
	for _, n := range repeats {
		out *= 2
		add(func(b *nn.Builder) layer { return newSiLUConv(b, in, out, 3, 2) }, out)
		add(func(b *nn.Builder) layer { return newPartial(b, out, n, c.Form) }, out)
	}
	add(func(b *nn.Builder) layer {
		return &pyramid{newSiLUConv(b.In("cv1"), out, out/2, 1, 1), newSiLUConv(b.In("cv2"), 2*out, out, 1, 1)}
	}, out)
	return e, nil
}

// Width implements [Encoder].
func (e *YOLO) Width() int64 { return e.width }

// Forward maps images [n, channels, height, width] to embeddings [n, Width].
func (e *YOLO) Forward(p *nn.Pass, x *tensor.Tensor) *tensor.Tensor {
	var means []*tensor.Tensor
	x = x.ChannelsLast()
	for n, l := range e.layers[:e.taken[len(e.taken)-1]+1] {
		x = then(x, func(x *tensor.Tensor) *tensor.Tensor { return l.forward(p, x) })
		if slices.Contains(e.taken, int64(n)) {
			means = append(means, globalMean(x))
		}
	}
	x.Free()
	if len(means) == 1 {
		return means[0]
	}
	return tensor.Cat(1, means...)
}

// siluConv is a convolution, batch norm and SiLU: Conv in the configuration files.
type siluConv struct{ convNorm }

func newSiLUConv(b *nn.Builder, in, out, kernel, stride int64) *siluConv {
	l := newConvNorm(b, "conv", "bn", in, out, kernel, stride)
	l.norm.Eps, l.norm.Momentum = 1e-3, .03
	return &siluConv{l}
}

func (l *siluConv) forward(p *nn.Pass, x *tensor.Tensor) *tensor.Tensor {
	return then(l.convNorm.forward(p, x), silu)
}

// darknetBlock is two convolutions with a shortcut: Bottleneck in the configuration files.
type darknetBlock struct{ first, second *siluConv }

func (l *darknetBlock) forward(p *nn.Pass, x *tensor.Tensor) *tensor.Tensor {
	y := then(l.first.forward(p, x), func(y *tensor.Tensor) *tensor.Tensor { return l.second.forward(p, y) })
	return then(y, func(y *tensor.Tensor) *tensor.Tensor { return y.Add(x) })
}

// partial is a cross-stage-partial block: part of the channels go through the inner blocks, and all are joined afterwards. C3 joins
// the last inner block's maps with those that pass it by; C2f joins the maps of all inner blocks with both halves.
type partial struct {
	before, after *siluConv // in C2f, before makes both halves
	past          *siluConv // in C3, what passes the blocks by; nil in C2f
	inner         []*darknetBlock
}

func newPartial(b *nn.Builder, channels, n int64, form YOLOForm) *partial {
	half := channels / 2
	l, first := &partial{}, int64(3) // the side of the first kernel of the inner blocks
	if form == YOLOv5 {
		first = 1
		l.before, l.past = newSiLUConv(b.In("cv1"), channels, half, 1, 1), newSiLUConv(b.In("cv2"), channels, half, 1, 1)
		l.after = newSiLUConv(b.In("cv3"), 2*half, channels, 1, 1)
	} else {
		l.before, l.after = newSiLUConv(b.In("cv1"), channels, 2*half, 1, 1), newSiLUConv(b.In("cv2"), (2+n)*half, channels, 1, 1)
	}
	for i := range n {
		inner := b.In("m").In(fmt.Sprint(i))
		l.inner = append(l.inner, &darknetBlock{newSiLUConv(inner.In("cv1"), half, half, first, 1), newSiLUConv(inner.In("cv2"), half, half, 3, 1)})
	}
	return l
}

func (l *partial) forward(p *nn.Pass, x *tensor.Tensor) *tensor.Tensor {
	y := l.before.forward(p, x)
	var parts []*tensor.Tensor
	if l.past == nil {
		parts = y.Split(1, 2)
		y.Free()
		y = parts[1]
	}
	for _, b := range l.inner {
		z := b.forward(p, y)
		if l.past == nil {
			parts = append(parts, z)
		} else {
			y.Free()
		}
		y = z
	}
	if l.past != nil {
		parts = []*tensor.Tensor{y, l.past.forward(p, x)}
	}
	joined := tensor.Cat(1, parts...)
	for _, part := range parts {
		part.Free()
	}
	return then(joined, func(x *tensor.Tensor) *tensor.Tensor { return l.after.forward(p, x) })
}

// pyramid pools with windows of 5 once, twice and three times, and joins the results: SPPF in the configuration files, after He et al.
// 2015, spatial pyramid pooling.
type pyramid struct{ before, after *siluConv }

func (l *pyramid) forward(p *nn.Pass, x *tensor.Tensor) *tensor.Tensor {
	parts := []*tensor.Tensor{l.before.forward(p, x)}
	for range 3 {
		parts = append(parts, tensor.MaxPool2dPadded(parts[len(parts)-1], 5, 1, 2))
	}
	joined := tensor.Cat(1, parts...)
	for _, part := range parts {
		part.Free()
	}
	return then(joined, func(x *tensor.Tensor) *tensor.Tensor { return l.after.forward(p, x) })
}

var _ Encoder = (*YOLO)(nil)
