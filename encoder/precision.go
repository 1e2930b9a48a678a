package encoder

import (
	"time"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// FP32 is the precision of an encoder that computes in float32 throughout.
const FP32 = "fp32"

// Precision returns the precision of an encoder for results: its Precision() if it has that method, else [FP32].
func Precision(e Encoder) string {
	if p, ok := e.(interface{ Precision() string }); ok {
		return p.Precision()
	}
	return FP32
}

// precision names the precision of a network whose convolutions are in bfloat16 if half is set.
func precision(half bool) string {
	if half {
		return "bf16 convolutions"
	}
	return FP32
}

// halved returns x in bfloat16 if half is set, except in passes for second-order gradients; otherwise x itself.
func halved(p *nn.Pass, x *tensor.Tensor, half bool) *tensor.Tensor {
	if !half || p.HigherOrder {
		return x
	}
	return x.To(tensor.BFloat16)
}

// BFloat16Pays measures whether this machine's CPU computes convolutions faster in bfloat16 than in float32. It times
// the forward and backward pass of Conv-4's second block on 32 images: a few hundredths of a second, or a few tenths
// on processors without bfloat16 instructions. Timings vary, so callers that need the same answer twice must store
// it.
func BFloat16Pays() bool {
	s := tensor.Enter()
	defer s.Leave()
	took := func(d tensor.DType) time.Duration {
		const images, channels, side, tries = 32, 64, 14, 4
		x := tensor.Ones(images, channels, side, side).To(d).ChannelsLast().RequireGrad()
		w := tensor.Ones(channels, channels, 3, 3).RequireGrad()
		least := time.Hour
		for range tries { // the first is a warm-up
			begin := time.Now()
			tensor.Grad(tensor.Conv2dFirstOrder(x, w, nil, 1).Sum(), x, w)
			least = min(least, time.Since(begin))
		}
		return least
	}
	return took(tensor.BFloat16) < took(tensor.Float32)
}
