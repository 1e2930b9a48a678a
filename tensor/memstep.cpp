#include <torch/torch.h>

#include "../libtorch/compat_end.h"
#include "guard.h"
#include "memstep.h"

#include <ATen/Parallel.h>
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <vector>

#define EG_INLINE inline __attribute__((always_inline))

namespace {

using engram::guarded;
using engram::T;
using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr double cosine_eps = 1e-12; // metric.Cosine's
constexpr double smallest = 1e-30;   // memory.Sharpen's

struct NTMSizes {
  int64_t slots, width, reads, writes, shift;
  double clip;
  int64_t heads() const { return reads + writes; }
  int64_t shifts() const { return 2 * shift + 1; }
  int64_t emission() const { return heads() * (width + 3 + shifts()) + 2 * writes * width; }
};

struct LRUASizes {
  int64_t slots, width, heads;
  double decay;
  bool add, strength, own_slots;
  int64_t emission() const { return heads * (width + 1 + (add ? width : 0) + (strength ? 1 : 0)); }
};

// Compiled for three kinds of processor, as convblock.cpp is; the loops are left to the compiler's vectors.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define EG_X86
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2,prefer-vector-width=512")
namespace avx512 {
#include "memkernels.h"
}
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx2,fma,bmi2")
namespace avx2 {
#include "memkernels.h"
}
#pragma GCC pop_options
#endif
namespace plain {
#include "memkernels.h"
}

template <class F> struct Kernels {
  decltype(&plain::lstm_forward<F>) lstm_forward;
  decltype(&plain::lstm_backward<F>) lstm_backward;
  decltype(&plain::ntm_forward<F>) ntm_forward;
  decltype(&plain::ntm_backward<F>) ntm_backward;
  decltype(&plain::lrua_forward<F>) lrua_forward;
  decltype(&plain::lrua_backward<F>) lrua_backward;
};

#define EG_KERNELS(of) \
  { of::lstm_forward<F>, of::lstm_backward<F>, of::ntm_forward<F>, of::ntm_backward<F>, of::lrua_forward<F>, of::lrua_backward<F> }

// The kernels for this machine's processor.
template <class F> const Kernels<F> kernels = [] {
#ifdef EG_X86
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    return Kernels<F> EG_KERNELS(avx512);
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    return Kernels<F> EG_KERNELS(avx2);
#endif
  return Kernels<F> EG_KERNELS(plain);
}();

// As many sequences a task as make it worth a thread, for sequences of so many multiplications.
int64_t grain(int64_t work) { return std::max<int64_t>(1, (1 << 17) / std::max<int64_t>(work, 1)); }

void refuse_second_order(const char *op) {
  if (at::GradMode::is_enabled())
    throw std::runtime_error(std::string(op) + " has no second-order gradient; set Pass.HigherOrder where gradients are to be differentiated");
}

void want(bool ok, const char *what) {
  if (!ok)
    throw std::invalid_argument(what);
}

// t is [batch, rows, cols], of the emission's type.
void want_shape(const Tensor &t, const Tensor &like, int64_t rows, int64_t cols, const char *what) {
  want(t.dim() == 3 && t.size(0) == like.size(0) && t.size(1) == rows && t.size(2) == cols && t.scalar_type() == like.scalar_type() && t.device().is_cpu(), what);
}

// A memory [batch, slots, width] that lies width-major.
Tensor new_memory(const Tensor &like, int64_t slots, int64_t width) {
  return at::empty_strided({like.size(0), slots, width}, {slots * width, 1, slots}, like.options().requires_grad(false));
}
Tensor width_major(const Tensor &m) { return m.transpose(1, 2).contiguous().transpose(1, 2); }

Tensor fresh(const Tensor &like, at::IntArrayRef shape) { return at::empty(shape, like.options().requires_grad(false)); }

template <class F> const F *at_row(const Tensor &t, int64_t i) { return t.defined() ? t.data_ptr<F>() + i * t.stride(0) : nullptr; }
template <class F> F *row_of(const Tensor &t, int64_t i) { return t.data_ptr<F>() + i * t.stride(0); }

Tensor contiguous(const Tensor &t) { return t.defined() ? t.contiguous() : t; }

// Runs f(sequence, scratch) for every sequence of a batch.
template <class F, class Body> void each(int64_t batch, int64_t work, int64_t scratch, const Body &f) {
  at::parallel_for(0, batch, grain(work), [&](int64_t from, int64_t to) {
    std::vector<F> room(scratch);
    for (int64_t i = from; i < to; i++)
      f(i, room.data());
  });
}

#define EG_DISPATCH(t, ...) \
  if ((t).scalar_type() == at::kDouble) { using F = double; __VA_ARGS__(); } else { using F = float; __VA_ARGS__(); }

// ---- LSTM ----

struct LSTMStep : torch::autograd::Function<LSTMStep> {
  static variable_list forward(AutogradContext *ctx, const Tensor &gates, const Tensor &cell) {
    ctx->set_materialize_grads(false);
    const int64_t batch = cell.size(0), size = cell.size(1);
    Tensor hidden = fresh(cell, {batch, size}), next = fresh(cell, {batch, size}), act = fresh(cell, {batch, 5 * size});
    EG_DISPATCH(cell, [&] {
      each<F>(batch, 50 * size, 0, [&](int64_t i, F *) {
        kernels<F>.lstm_forward(size, at_row<F>(gates, i), at_row<F>(cell, i), row_of<F>(act, i), row_of<F>(hidden, i), row_of<F>(next, i));
      });
    });
    ctx->save_for_backward({cell, act});
    return {hidden, next};
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    refuse_second_order("LSTMStep");
    const auto saved = ctx->get_saved_variables();
    const Tensor &cell = saved[0], &act = saved[1];
    const int64_t batch = cell.size(0), size = cell.size(1);
    const Tensor dhidden = contiguous(grads[0]), dnext = contiguous(grads[1]);
    Tensor dgates = fresh(cell, {batch, 4 * size}), dcell = fresh(cell, {batch, size});
    EG_DISPATCH(cell, [&] {
      each<F>(batch, 30 * size, 0, [&](int64_t i, F *) {
        kernels<F>.lstm_backward(size, at_row<F>(act, i), at_row<F>(cell, i), at_row<F>(dhidden, i), at_row<F>(dnext, i), row_of<F>(dgates, i), row_of<F>(dcell, i));
      });
    });
    return {dgates, dcell};
  }
};

// ---- NTM ----

struct NTMStep : torch::autograd::Function<NTMStep> {
  static variable_list forward(AutogradContext *ctx, const Tensor &e, const Tensor &memory, const Tensor &weightings, int64_t reads, int64_t writes, int64_t shift, double clip) {
    ctx->set_materialize_grads(false);
    const NTMSizes z{memory.size(1), memory.size(2), reads, writes, shift, clip};
    const int64_t batch = e.size(0), n = z.slots;
    const Tensor m = width_major(memory), prev = weightings.contiguous();
    Tensor act = fresh(e, {batch, z.emission()}), content = fresh(e, {batch, z.heads(), n}), shifted = fresh(e, {batch, z.heads(), n});
    Tensor w = fresh(e, {batch, z.heads(), n}), read = fresh(e, {batch, reads * z.width}), next = new_memory(e, n, z.width);
    EG_DISPATCH(e, [&] {
      each<F>(batch, z.heads() * n * (3 * z.width + 60), 2 * n + 2 * shift, [&](int64_t i, F *scratch) {
        kernels<F>.ntm_forward(z, at_row<F>(e, i), at_row<F>(m, i), at_row<F>(prev, i), row_of<F>(act, i), row_of<F>(content, i), row_of<F>(shifted, i), row_of<F>(w, i), row_of<F>(read, i), row_of<F>(next, i), scratch);
      });
    });
    ctx->save_for_backward({e, m, prev, act, content, shifted, w});
    ctx->saved_data["sizes"] = std::vector<int64_t>{reads, writes, shift};
    ctx->saved_data["clip"] = clip;
    return {read, w, next};
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    refuse_second_order("NTMStep");
    const auto saved = ctx->get_saved_variables();
    const Tensor &e = saved[0], &m = saved[1], &prev = saved[2], &act = saved[3], &content = saved[4], &shifted = saved[5], &w = saved[6];
    const auto sizes = ctx->saved_data["sizes"].toIntVector();
    const NTMSizes z{m.size(1), m.size(2), sizes[0], sizes[1], sizes[2], ctx->saved_data["clip"].toDouble()};
    const int64_t batch = e.size(0), n = z.slots;
    const Tensor dread = contiguous(grads[0]), dw = contiguous(grads[1]), dnext = grads[2].defined() ? width_major(grads[2]) : Tensor();
    Tensor de = fresh(e, {batch, z.emission()}), dm = new_memory(e, n, z.width), dprev = fresh(e, {batch, z.heads(), n});
    EG_DISPATCH(e, [&] {
      each<F>(batch, z.heads() * n * (8 * z.width + 60), (5 + z.heads()) * n + 4 * z.shift, [&](int64_t i, F *scratch) {
        kernels<F>.ntm_backward(z, at_row<F>(e, i), at_row<F>(m, i), at_row<F>(prev, i), at_row<F>(act, i), at_row<F>(content, i), at_row<F>(shifted, i), at_row<F>(w, i), at_row<F>(dread, i), at_row<F>(dw, i), at_row<F>(dnext, i), row_of<F>(de, i), row_of<F>(dm, i), row_of<F>(dprev, i), scratch);
      });
    });
    return {de, dm, dprev, Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

// ---- LRUA ----

struct LRUAStep : torch::autograd::Function<LRUAStep> {
  static variable_list forward(AutogradContext *ctx, const Tensor &e, const Tensor &memory, const Tensor &before, const Tensor &usage, double decay, bool add, bool strength, bool own_slots) {
    ctx->set_materialize_grads(false);
    const LRUASizes z{memory.size(1), memory.size(2), before.size(1), decay, add, strength, own_slots};
    const int64_t batch = e.size(0), n = z.slots;
    const Tensor m = width_major(memory), prev = before.contiguous(), used = usage.contiguous();
    Tensor act = fresh(e, {batch, z.emission()}), least = at::empty({batch, z.heads}, at::kLong);
    Tensor w = fresh(e, {batch, z.heads, n}), content = fresh(e, {batch, z.heads, n}), nextusage = fresh(e, {batch, 1, n});
    Tensor read = fresh(e, {batch, z.heads * z.width}), next = new_memory(e, n, z.width);
    EG_DISPATCH(e, [&] {
      each<F>(batch, z.heads * n * (3 * z.width + 30), n, [&](int64_t i, F *scratch) {
        kernels<F>.lrua_forward(z, at_row<F>(e, i), at_row<F>(m, i), at_row<F>(prev, i), at_row<F>(used, i), row_of<F>(act, i), row_of<int64_t>(least, i), row_of<F>(next, i), row_of<F>(w, i), row_of<F>(content, i), row_of<F>(nextusage, i), row_of<F>(read, i), scratch);
      });
    });
    ctx->save_for_backward({prev, act, least, next, w, content});
    ctx->saved_data["decay"] = decay;
    ctx->saved_data["options"] = std::vector<int64_t>{add, strength, own_slots};
    ctx->mark_non_differentiable({nextusage});
    return {read, next, content, w, nextusage};
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    refuse_second_order("LRUAStep");
    const auto saved = ctx->get_saved_variables();
    const Tensor &prev = saved[0], &act = saved[1], &least = saved[2], &next = saved[3], &w = saved[4], &content = saved[5];
    const auto options = ctx->saved_data["options"].toIntVector();
    const LRUASizes z{next.size(1), next.size(2), prev.size(1), ctx->saved_data["decay"].toDouble(), options[0] != 0, options[1] != 0, options[2] != 0};
    const int64_t batch = act.size(0), n = z.slots;
    const Tensor dread = contiguous(grads[0]), dnext = grads[1].defined() ? width_major(grads[1]) : Tensor(), dcontent = contiguous(grads[2]), dw = contiguous(grads[3]);
    Tensor de = fresh(act, {batch, z.emission()}), dm = new_memory(act, n, z.width), dprev = fresh(act, {batch, z.heads, n});
    EG_DISPATCH(act, [&] {
      each<F>(batch, z.heads * n * (8 * z.width + 30), 4 * n, [&](int64_t i, F *scratch) {
        kernels<F>.lrua_backward(z, at_row<F>(prev, i), at_row<F>(act, i), at_row<int64_t>(least, i), at_row<F>(next, i), at_row<F>(w, i), at_row<F>(content, i), at_row<F>(dread, i), at_row<F>(dnext, i), at_row<F>(dcontent, i), at_row<F>(dw, i), row_of<F>(de, i), row_of<F>(dm, i), row_of<F>(dprev, i), scratch);
      });
    });
    return {de, dm, dprev, Tensor(), Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

int give(const variable_list &outputs, void **out) {
  for (const Tensor &t : outputs)
    *out++ = new Tensor(t);
  return 0;
}

} // namespace

extern "C" {

int eg_lstm_step(void *gates, void *cell, void **out) {
  return guarded(-1, [&] {
    const Tensor &g = T(gates), &c = T(cell);
    want(c.dim() == 2 && g.dim() == 2 && g.size(0) == c.size(0) && g.size(1) == 4 * c.size(1) && g.scalar_type() == c.scalar_type(), "want gates [batch, 4·size] for a cell [batch, size] of their type");
    return give(LSTMStep::apply(g.contiguous(), c.contiguous()), out);
  });
}

int eg_ntm_step(void *emission, void *memory, void *weightings, int64_t reads, int64_t writes, int64_t shift, double clip, void **out) {
  return guarded(-1, [&] {
    const Tensor &e = T(emission), &m = T(memory), &w = T(weightings);
    want(m.dim() == 3 && e.dim() == 2 && e.size(0) == m.size(0) && e.scalar_type() == m.scalar_type(), "want a memory [batch, slots, width] of the emission's type");
    const NTMSizes z{m.size(1), m.size(2), reads, writes, shift, clip};
    want(e.size(1) == z.emission(), "the emission is not as wide as these heads need");
    want(shift <= z.slots, "the shift reaches further than there are slots");
    want_shape(w, e, z.heads(), z.slots, "want weightings [batch, reads+writes, slots]");
    return give(NTMStep::apply(e.contiguous(), m, w, reads, writes, shift, clip), out);
  });
}

int eg_lrua_step(void *emission, void *memory, void *read, void *usage, double decay, int add, int strength, int own_slots, void **out) {
  return guarded(-1, [&] {
    const Tensor &e = T(emission), &m = T(memory), &r = T(read);
    want(m.dim() == 3 && e.dim() == 2 && r.dim() == 3 && e.size(0) == m.size(0) && e.scalar_type() == m.scalar_type(), "want a memory [batch, slots, width] of the emission's type");
    const LRUASizes z{m.size(1), m.size(2), r.size(1), decay, add != 0, strength != 0, own_slots != 0};
    want(e.size(1) == z.emission(), "the emission is not as wide as these heads need");
    want(z.heads <= z.slots, "there are fewer slots than heads");
    want_shape(r, e, z.heads, z.slots, "want read weightings [batch, heads, slots]");
    want_shape(T(usage), e, 1, z.slots, "want a usage [batch, 1, slots]");
    return give(LRUAStep::apply(e.contiguous(), m, r, T(usage), decay, add != 0, strength != 0, own_slots != 0), out);
  });
}

} // extern "C"
