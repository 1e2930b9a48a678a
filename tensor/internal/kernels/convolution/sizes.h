// What the convolutions share.
#ifndef ENGRAM_KERNELS_CONVSIZES_H
#define ENGRAM_KERNELS_CONVSIZES_H
#include <ATen/ATen.h>

#include "../guard.h"

namespace engram {

// The sizes of a convolution of stride 1.
struct ConvSizes {
  int64_t images, in, height, width, out, kernel, padding;
  ConvSizes(const at::Tensor &x, const at::Tensor &w, int64_t padding)
      : images(x.size(0)), in(x.size(1)), height(x.size(2)), width(x.size(3)), out(w.size(0)), kernel(w.size(2)),
        padding(padding) {}
  int64_t out_height() const { return height + 2 * padding - kernel + 1; }
  int64_t out_width() const { return width + 2 * padding - kernel + 1; }
};

// Whether t is a non-empty tensor of that type and number of dimensions on the CPU.
inline bool holds(const at::Tensor &t, at::ScalarType type, int64_t dims) {
  return t.device().is_cpu() && t.layout() == at::kStrided && t.scalar_type() == type && t.dim() == dims &&
         t.numel() > 0;
}

// Whether x of that type, float w and, if not null, float b make a convolution with a square kernel, whose numbers of
// channels are multiples of `channels`.
inline bool convolves(void *x, at::ScalarType type, void *w, void *b, int64_t padding, int64_t channels) {
  const at::Tensor &t = T(x), &k = T(w);
  if (!holds(t, type, 4) || !holds(k, at::kFloat, 4) ||
      (b && (!holds(T(b), at::kFloat, 1) || T(b).size(0) != k.size(0))) || padding < 0)
    return false;
  const ConvSizes s(t, k, padding);
  return k.size(1) == s.in && k.size(3) == s.kernel && s.in % channels == 0 && s.out % channels == 0 &&
         s.out_height() > 0 && s.out_width() > 0;
}

// Calls Function::apply with x, w, b and the padding. An absent b becomes a tensor without elements: an autograd
// function needs all tensors defined.
template <class Function> void *convolved(void *x, void *w, void *b, int64_t padding) {
  return guarded<void *>(nullptr, [&] {
    return new at::Tensor(Function::apply(T(x).contiguous(at::MemoryFormat::ChannelsLast), T(w).contiguous(),
                                          b ? T(b).contiguous() : at::empty({0}, at::kFloat), padding));
  });
}

} // namespace engram
#endif
