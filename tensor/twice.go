package tensor

// #include "twice.h"
import "C"

import (
	"unsafe"

	"github.com/sugarme/gotch/libtch"
)

// Conv3x3 is a convolution of x [batch, in, height, width] with w [out, in, 3, 3] and padding 1: [Conv2d] without a bias. On the
// CPU, in float32 and float64, it is a product of matrices whose gradients are such products again, however often they are
// differentiated, where LibTorch composes those of second order of slow convolutions. Its result is [Tensor.ChannelsLast], and it is fastest
// where x and w are.
func Conv3x3(x, w *Tensor, stride int64) *Tensor {
	const op = "Conv3x3"
	in, k := unsafe.Pointer(x.ptr(op)), unsafe.Pointer(w.ptr(op))
	if C.eg_conv3x3_fits(in, k) == 0 {
		return Conv2d(x, w, nil, stride, 1, 1)
	}
	return result(op, libtch.Ctensor(C.eg_conv3x3(in, k, C.int64_t(stride))), x, w)
}

// NormReLU is [BatchNorm] of x [batch, channels, height, width] by its own statistics, with gain and bias [channels], and
// [Tensor.ReLU]. On the CPU, in float32 and float64, each of its gradients, those of second order included, is one operation
// of two or three passes over memory; there are none of third order. Elsewhere it is the two operations.
func NormReLU(x, gain, bias *Tensor, eps float64) *Tensor {
	const op = "NormReLU"
	in, g, b := unsafe.Pointer(x.ptr(op)), unsafe.Pointer(gain.ptr(op)), unsafe.Pointer(bias.ptr(op))
	if C.eg_norm_relu_fits(in, g, b) == 0 {
		return BatchNorm(x, gain, bias, nil, nil, true, 0, eps).ReLU()
	}
	return result(op, libtch.Ctensor(C.eg_norm_relu(in, g, b, C.double(eps))), x, gain, bias)
}
