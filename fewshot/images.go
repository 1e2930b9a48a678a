package fewshot

/*
#cgo CFLAGS: -O3
#cgo noescape eg_values
#cgo nocallback eg_values
#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#define EG_EACH_PROCESSOR __attribute__((target_clones("avx2", "default")))
#else
#define EG_EACH_PROCESSOR
#endif

// eg_values writes n bytes v as v/255, each the float nearest to it: as (v + v/255)/256, where the inner quotient may be a
// product, since the sum rounds its error away for every v. A division would take twice the time.
EG_EACH_PROCESSOR void eg_values(float *restrict out, const uint8_t *restrict in, size_t n) {
  for (size_t i = 0; i < n; i++) {
    float v = in[i];
    out[i] = (v + v * (1 / 255.f)) * (1 / 256.f);
  }
}
*/
import "C"

import (
	"fmt"
	"unsafe"

	"github.com/engram-go/engram/episode"
	"github.com/engram-go/engram/tensor"
)

// Images puts images on a device as a float32 tensor of a shape, to the same values whether they are held as bytes or not. It
// panics where the shape has more or fewer values.
func Images(p episode.Pixels, on tensor.Device, shape ...int64) *tensor.Tensor {
	if len(p.Bytes) == 0 {
		return tensor.New(p.Values, shape...).On(on)
	}
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	if n != int64(len(p.Bytes)) {
		panic(&tensor.Error{Op: "Images", Msg: fmt.Sprintf("%d bytes do not fill the shape %v", len(p.Bytes), shape)})
	}
	return tensor.Made(func(values []float32) {
		C.eg_values((*C.float)(unsafe.Pointer(&values[0])), (*C.uint8_t)(unsafe.Pointer(&p.Bytes[0])), C.size_t(len(values)))
	}, shape...).On(on)
}
