package encoder

import (
	"time"

	"github.com/engram-go/engram/tensor"
)

// FP32 is the precision of an encoder that computes in float32 throughout.
const FP32 = "fp32"

// Precision says what an encoder computes in, as results have it: what it tells itself, or [FP32].
func Precision(e Encoder) string {
	if told, ok := e.(interface{ Precision() string }); ok {
		return told.Precision()
	}
	return FP32
}

// precision names that of a network whose convolutions are in bfloat16 or not.
func precision(half bool) string {
	if half {
		return "bf16 convolutions"
	}
	return FP32
}

// BFloat16Pays finds out whether this machine's processor convolves faster in bfloat16 than in float32, forward and back, by
// doing both: a second block of Conv-4 on some images. It takes some hundredths of a second, on processors without
// instructions for bfloat16 some tenths.
func BFloat16Pays() bool {
	s := tensor.Enter()
	defer s.Leave()
	took := func(d tensor.DType) time.Duration {
		const images, channels, side, tries = 32, 64, 14, 4
		x := tensor.Ones(images, channels, side, side).To(d).ChannelsLast().RequireGrad()
		w := tensor.Ones(channels, channels, 3, 3).RequireGrad()
		least := time.Hour
		for range tries { // the first of which warms up
			begin := time.Now()
			tensor.Grad(tensor.Conv2dOnce(x, w, nil, 1).Sum(), x, w)
			least = min(least, time.Since(begin))
		}
		return least
	}
	return took(tensor.BFloat16) < took(tensor.Float32)
}
