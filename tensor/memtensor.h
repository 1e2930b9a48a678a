// What the operations on memories have in common; internal to this package's C++.
#ifndef ENGRAM_TENSOR_MEMTENSOR_H
#define ENGRAM_TENSOR_MEMTENSOR_H
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "guard.h"

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <vector>

namespace engram {

using at::Tensor;

// As many sequences a task as make it worth a thread, for sequences of so many multiplications.
inline int64_t grain(int64_t work) { return std::max<int64_t>(1, (1 << 17) / std::max<int64_t>(work, 1)); }

inline void want(bool ok, const char *what) {
  if (!ok)
    throw std::invalid_argument(what);
}

// t is [batch, rows, cols], of the emission's type.
inline void want_shape(const Tensor &t, const Tensor &like, int64_t rows, int64_t cols, const char *what) {
  want(t.dim() == 3 && t.size(0) == like.size(0) && t.size(1) == rows && t.size(2) == cols && t.scalar_type() == like.scalar_type() && t.device().is_cpu(), what);
}

// A memory [batch, slots, width] that lies width-major.
inline Tensor new_memory(const Tensor &like, int64_t slots, int64_t width) {
  return at::empty_strided({like.size(0), slots, width}, {slots * width, 1, slots}, like.options().requires_grad(false));
}
inline Tensor width_major(const Tensor &m) { return m.transpose(1, 2).contiguous().transpose(1, 2); }

inline Tensor fresh(const Tensor &like, at::IntArrayRef shape) { return at::empty(shape, like.options().requires_grad(false)); }

template <class F> const F *at_row(const Tensor &t, int64_t i) { return t.defined() ? t.data_ptr<F>() + i * t.stride(0) : nullptr; }
template <class F> F *row_of(const Tensor &t, int64_t i) { return t.data_ptr<F>() + i * t.stride(0); }

inline Tensor contiguous(const Tensor &t) { return t.defined() ? t.contiguous() : t; }

// Runs f(sequence, scratch) for every sequence from first on and before last. The scratch begins where a vector does.
template <class F, class Body> void each(int64_t first, int64_t last, int64_t work, int64_t scratch, const Body &f) {
  at::parallel_for(first, last, grain(work), [&](int64_t from, int64_t to) {
    constexpr size_t vector = 64;
    std::vector<F> room(scratch + vector / sizeof(F));
    void *at = room.data();
    size_t size = room.size() * sizeof(F);
    std::align(vector, scratch * sizeof(F), at, size);
    for (int64_t i = from; i < to; i++)
      f(i, static_cast<F *>(at));
  });
}
template <class F, class Body> void each(int64_t batch, int64_t work, int64_t scratch, const Body &f) { each<F>(0, batch, work, scratch, f); }

#define EG_DISPATCH(t, ...) \
  if ((t).scalar_type() == at::kDouble) { using F = double; __VA_ARGS__(); } else { using F = float; __VA_ARGS__(); }

} // namespace engram
#endif
