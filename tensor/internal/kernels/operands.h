// Checks and small helpers for the operands of operations.
#ifndef ENGRAM_KERNELS_OPERANDS_H
#define ENGRAM_KERNELS_OPERANDS_H
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "guard.h"

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace engram {

using at::Tensor;

// Minimum number of sequences per thread, for `work` multiplications per sequence.
inline int64_t grain(int64_t work) { return std::max<int64_t>(1, (1 << 17) / std::max<int64_t>(work, 1)); }

inline void want(bool ok, const char *what) {
  if (!ok)
    throw std::invalid_argument(what);
}
inline void want(bool ok, const std::string &what) { want(ok, what.c_str()); }

// Kernels access memory directly: a tensor must be on the CPU and of the type that they are compiled for.
inline bool alike(const Tensor &t, const Tensor &like) {
  return t.scalar_type() == like.scalar_type() && t.device().is_cpu() && like.device().is_cpu();
}
inline void want_computable(const Tensor &t, const char *name) {
  want(t.device().is_cpu() && (t.scalar_type() == at::kFloat || t.scalar_type() == at::kDouble),
       std::string("want a ") + name + " of float32 or float64 on the CPU");
}

// Throws unless t is a part of the state of memory m [batch, slots, width].
inline void want_part(const Tensor &t, const Tensor &m, int64_t rows, const char *name) {
  if (t.dim() != 3 || t.size(0) != m.size(0) || t.size(1) != rows || t.size(2) != m.size(1) || !alike(t, m))
    throw std::invalid_argument(std::string("want ") + name + " [batch, " + std::to_string(rows) + ", " +
                                std::to_string(m.size(1)) + "] of the memory's type on the CPU");
}

// A memory [batch, slots, width] stored as [batch][width][slots].
inline Tensor new_memory(const Tensor &like, int64_t slots, int64_t width) {
  return at::empty_strided({like.size(0), slots, width}, {slots * width, 1, slots},
                           like.options().requires_grad(false));
}
inline Tensor width_major(const Tensor &m) { return m.transpose(1, 2).contiguous().transpose(1, 2); }

// A new uninitialised tensor with the type and device of like.
inline Tensor fresh(const Tensor &like, at::IntArrayRef shape) {
  return at::empty(shape, like.options().requires_grad(false));
}

// The values of a contiguous tensor; null for an undefined one.
template <class F> const F *numbers(const Tensor &t) { return t.defined() ? t.data_ptr<F>() : nullptr; }

// Row i of dimension 0; null for an undefined tensor.
template <class F> const F *at_row(const Tensor &t, int64_t i) {
  return t.defined() ? t.data_ptr<F>() + i * t.stride(0) : nullptr;
}
template <class F> F *row_of(const Tensor &t, int64_t i) { return t.data_ptr<F>() + i * t.stride(0); }

// A tensor of three dimensions with contiguous rows; narrowed tensors already have them.
inline Tensor by_rows(const Tensor &t) { return t.stride(2) == 1 || t.size(2) == 1 ? t : t.contiguous(); }

inline Tensor contiguous(const Tensor &t) { return t.defined() ? t.contiguous() : t; }

// Runs f(sequence, scratch) for the sequences first..last; scratch has that many values and is aligned to a vector.
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
template <class F, class Body> void each(int64_t batch, int64_t work, int64_t scratch, const Body &f) {
  each<F>(0, batch, work, scratch, f);
}

#define EG_DISPATCH(t, ...)                                                                                            \
  if ((t).scalar_type() == at::kDouble) {                                                                              \
    using F = double;                                                                                                  \
    __VA_ARGS__();                                                                                                     \
  } else {                                                                                                             \
    using F = float;                                                                                                   \
    __VA_ARGS__();                                                                                                     \
  }

} // namespace engram
#endif
