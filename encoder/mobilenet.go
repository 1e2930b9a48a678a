package encoder

import (
	"fmt"

	"github.com/engram-go/engram/nn"
)

// MobileNetV2 is the network of Sandler et al. 2018, table 2, with the mean over positions as the embedding of 1280 numbers.
// Parameters have the names of torchvision's, so that its weights load without a map. Convolutions are initialised as in He et al.
// 2015. Each of the 19 parts that torchvision calls features is a block that is tuned by itself.
type MobileNetV2 struct{ mobile }

var mobileNetV2Stages = []mobileStage{
	{1, 3, 16, 1, 1}, {6, 3, 24, 2, 2}, {6, 3, 32, 3, 2}, {6, 3, 64, 4, 2}, {6, 3, 96, 3, 1}, {6, 3, 160, 3, 2}, {6, 3, 320, 1, 1},
}

// mobileStem is the number of channels of the first convolution of MobileNetV2 and EfficientNet-Lite0.
const mobileStem = 32

// NewMobileNetV2 makes the network for images of some channels.
func NewMobileNetV2(b *nn.Builder, channels int64) *MobileNetV2 {
	features := b.In("features")
	made := newBlocks(b)
	e := &MobileNetV2{mobile{stem: newConvNorm(features.In("0"), "0", "1", channels, mobileStem, 3, 2)}}
	made.end()
	in := int64(mobileStem)
	for _, s := range mobileNetV2Stages {
		for j := range s.repeats {
			stride := s.stride
			if j > 0 {
				stride = 1
			}
			inner := features.In(fmt.Sprint(len(e.inverted) + 1)).In("conv")
			block, part := invertedResidual{shortcut: stride == 1 && in == s.channels}, 0
			next := func() *nn.Builder { part++; return inner.In(fmt.Sprint(part - 1)) }
			if s.widen > 1 {
				block.wide = append(block.wide, newConvNorm(next(), "0", "1", in, s.widen*in, 1, 1))
			}
			block.wide = append(block.wide, newDepthwise(next(), "0", "1", s.widen*in, s.kernel, stride))
			block.narrow = newConvNorm(inner, fmt.Sprint(part), fmt.Sprint(part+1), s.widen*in, s.channels, 1, 1)
			e.inverted, in = append(e.inverted, block), s.channels
			made.end()
		}
	}
	e.last = newConvNorm(features.In(fmt.Sprint(len(e.inverted)+1)), "0", "1", in, mobileWidth, 1, 1)
	made.end()
	e.blocks = made.all
	return e
}

var _ Blocker = (*MobileNetV2)(nil)
