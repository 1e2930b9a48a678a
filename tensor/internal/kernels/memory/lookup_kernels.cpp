// Sums of table rows, and attention over a few slots.
//
// Attention, for query q and rows K_i, V_i: s_i = scale·q·K_i, a = softmax(s) or s, r = Σ_i a_i V_i. Gradient, given
// r̄ and ā (x̄ is the derivative of the loss with respect to x):
//
//	ā_i += r̄·V_i,   V̄_i = Σ a_i r̄
//	s̄_i = a_i (ā_i − Σ_j a_j ā_j), or ā_i without the softmax
//	q̄ = scale Σ_i s̄_i K_i,   K̄_i = scale Σ s̄_i q      (sums without an index run over the queries)
#ifndef EG_BYTES
#include "lookup_kernels.h"

#include "../arithmetic/simd_includes.h"

namespace engram {
namespace {

#define EG_KERNELS_FILE "memory/lookup_kernels.cpp"
#include "../perprocessor.h"

#define EG_BAGS_FORWARD(of) of::bags_forward<F>
#define EG_BAGS_BACKWARD(of) of::bags_backward<F>
#define EG_ATTEND_FORWARD(of) of::attend_forward<F>
#define EG_ATTEND_BACKWARD(of) of::attend_backward<F>

} // namespace

template <class F> void bags_forward(const Bags<F> &z, int64_t from, int64_t to) {
  static void (*const run)(const Bags<F> &, int64_t, int64_t) = EG_CHOOSE(EG_BAGS_FORWARD);
  run(z, from, to);
}
template <class F> void bags_backward(const BagsGradient<F> &z, int64_t from, int64_t to) {
  static void (*const run)(const BagsGradient<F> &, int64_t, int64_t) = EG_CHOOSE(EG_BAGS_BACKWARD);
  run(z, from, to);
}
template <class F> void attend_forward(const Attend<F> &z) {
  static void (*const run)(const Attend<F> &) = EG_CHOOSE(EG_ATTEND_FORWARD);
  run(z);
}
template <class F> void attend_backward(const AttendGradient<F> &z) {
  static void (*const run)(const AttendGradient<F> &) = EG_CHOOSE(EG_ATTEND_BACKWARD);
  run(z);
}

#define EG_INSTANTIATE(F)                                                                                              \
  template void bags_forward(const Bags<F> &, int64_t, int64_t);                                                       \
  template void bags_backward(const BagsGradient<F> &, int64_t, int64_t);                                              \
  template void attend_forward(const Attend<F> &);                                                                     \
  template void attend_backward(const AttendGradient<F> &);
EG_INSTANTIATE(float)
EG_INSTANTIATE(double)

} // namespace engram
#else
#include "../arithmetic/simd.h"

template <class F> static void bags_forward(const Bags<F> &z, int64_t from, int64_t to) {
  for (int64_t bag = from; bag < to; bag++) {
    F *sum = z.out + bag * z.cols;
    std::fill_n(sum, z.cols, F(0));
    for (int64_t i = z.offsets[bag]; i < z.end(bag); i++)
      axpy(z.weights[i], z.table + z.indices[i] * z.cols, sum, z.cols);
  }
}

// One thread adds all bags, in order, for its columns, so that sums do not depend on the number of threads.
template <class F> static void bags_backward(const BagsGradient<F> &z, int64_t from, int64_t to) {
  for (int64_t bag = 0; bag < z.bags; bag++)
    for (int64_t i = z.offsets[bag]; i < z.end(bag); i++)
      axpy(z.weights[i], z.dout + bag * z.cols + from, z.dtable + z.indices[i] * z.cols + from, to - from);
}

template <class F> static void attend_forward(const Attend<F> &z) {
  const F *q = z.q, *k = z.k, *v = z.v;
  const int64_t kstep = z.k_step, vstep = z.v_step;
  F *attention = z.attention, *read = z.read;
  for (int64_t n = 0; n < z.queries; n++, q += z.key, attention += z.slots, read += z.value) {
    for (int64_t i = 0; i < z.slots; i++)
      attention[i] = F(z.scale) * dot(q, k + i * kstep, z.key);
    if (z.softmax)
      softmax(attention, z.slots);
    std::fill_n(read, z.value, F(0));
    for (int64_t i = 0; i < z.slots; i++)
      axpy(attention[i], v + i * vstep, read, z.value);
  }
}

template <class F> static void attend_backward(const AttendGradient<F> &z) {
  const F *q = z.q, *k = z.k, *v = z.v, *attention = z.attention, *dattention = z.dattention, *dread = z.dread;
  const int64_t kstep = z.k_step, vstep = z.v_step;
  F *dq = z.dq, *dk = z.dk, *dv = z.dv, *scratch = z.scratch;
  std::fill_n(dq, z.queries * z.key, F(0));
  std::fill_n(dk, z.slots * z.key, F(0));
  std::fill_n(dv, z.slots * z.value, F(0));
  for (int64_t n = 0; n < z.queries; n++, q += z.key, dq += z.key, attention += z.slots) {
    if (dattention)
      std::copy_n(dattention + n * z.slots, z.slots, scratch);
    else
      std::fill_n(scratch, z.slots, F(0));
    for (int64_t i = 0; dread && i < z.slots; i++) {
      scratch[i] += dot(dread + n * z.value, v + i * vstep, z.value);
      axpy(attention[i], dread + n * z.value, dv + i * z.value, z.value);
    }
    if (z.softmax)
      softmax_gradient(attention, scratch, z.slots);
    for (int64_t i = 0; i < z.slots; i++) {
      const F d = F(z.scale) * scratch[i];
      axpy(d, k + i * kstep, dq, z.key);
      axpy(d, q, dk + i * z.key, z.key);
    }
  }
}
#endif
