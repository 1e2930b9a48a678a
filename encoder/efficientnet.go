package encoder

import (
	"fmt"

	"github.com/engram-go/engram/nn"
)

// EfficientNetLiteForm tells apart the two ways in which EfficientNet-Lite0 was trained.
type EfficientNetLiteForm string

const (
	// TensorFlowForm pads as TensorFlow does and has an epsilon of 0.001 and a momentum of 0.01 in batch norm: the weights of the
	// authors, which timm calls tf_efficientnet_lite0.
	TensorFlowForm EfficientNetLiteForm = "tensorflow"
	// TimmForm pads all edges alike and has PyTorch's batch norm: timm's efficientnet_lite0, which was trained by timm.
	TimmForm EfficientNetLiteForm = "timm"
)

// EfficientNetLite is EfficientNet-Lite0: EfficientNet-B0 (Tan and Le 2019, table 1) without squeeze and excitation, with ReLU6, and
// with the mean over positions as the embedding of 1280 numbers. Parameters have timm's names, so that its weights load without a
// map. Convolutions are initialised as in He et al. 2015. The blocks that are tuned together are the first convolution, the seven
// stages, and the last convolution.
type EfficientNetLite struct{ mobile }

var efficientNetLiteStages = []mobileStage{
	{1, 3, 16, 1, 1}, {6, 3, 24, 2, 2}, {6, 5, 40, 2, 2}, {6, 3, 80, 3, 2}, {6, 5, 112, 3, 1}, {6, 5, 192, 4, 2}, {6, 3, 320, 1, 1},
}

// EfficientNetLiteBlock returns the name in timm, such as blocks.2.1, of the block of a number, counted from 0 through all stages,
// and whether it widens. It reports false for a number that the network does not have.
func EfficientNetLiteBlock(n int) (name string, widens, ok bool) {
	for i, s := range efficientNetLiteStages {
		if n < int(s.repeats) {
			return fmt.Sprintf("blocks.%d.%d", i, n), s.widen > 1, n >= 0
		}
		n -= int(s.repeats)
	}
	return "", false, false
}

// NewEfficientNetLite makes the network for images of some channels.
func NewEfficientNetLite(b *nn.Builder, channels int64, form EfficientNetLiteForm) *EfficientNetLite {
	set := func(c convNorm) convNorm {
		if form == TensorFlowForm {
			c.same, c.norm.Eps, c.norm.Momentum = true, 1e-3, 1e-2
		}
		return c
	}
	made := newBlocks(b)
	e := &EfficientNetLite{mobile{stem: set(newConvNorm(b, "conv_stem", "bn1", channels, mobileStem, 3, 2))}}
	made.end()
	in := int64(mobileStem)
	for i, s := range efficientNetLiteStages {
		for j := range s.repeats {
			stride := s.stride
			if j > 0 {
				stride = 1
			}
			inner := b.In("blocks").In(fmt.Sprint(i)).In(fmt.Sprint(j))
			block := invertedResidual{shortcut: stride == 1 && in == s.channels}
			if s.widen > 1 {
				block.wide = []convNorm{
					set(newConvNorm(inner, "conv_pw", "bn1", in, s.widen*in, 1, 1)),
					set(newDepthwise(inner, "conv_dw", "bn2", s.widen*in, s.kernel, stride)),
				}
				block.narrow = set(newConvNorm(inner, "conv_pwl", "bn3", s.widen*in, s.channels, 1, 1))
			} else {
				block.wide = []convNorm{set(newDepthwise(inner, "conv_dw", "bn1", in, s.kernel, stride))}
				block.narrow = set(newConvNorm(inner, "conv_pw", "bn2", in, s.channels, 1, 1))
			}
			e.inverted, in = append(e.inverted, block), s.channels
		}
		made.end()
	}
	e.last = set(newConvNorm(b, "conv_head", "bn2", in, mobileWidth, 1, 1))
	made.end()
	e.blocks = made.all
	return e
}

var _ Blocker = (*EfficientNetLite)(nil)
