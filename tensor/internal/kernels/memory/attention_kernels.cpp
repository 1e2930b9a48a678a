// Scaled dot-product attention: Vaswani et al. 2017, eq. 1. For rows q_i, k_j, v_j and a mask m:
//
//	s_ij = scale q_i·k_j + m_ij,   w_i = softmax(s_i),   r_i = Σ_j w_ij v_j
//
// Gradient, given r̄ (x̄ is the derivative of the loss with respect to x):
//
//	v̄_j = Σ_i w_ij r̄_i,   w̄_ij = r̄_i·v_j,   s̄_ij = w_ij (w̄_ij − Σ_l w_il w̄_il)
//	q̄_i = scale Σ_j s̄_ij k_j,   k̄_j = scale Σ_i s̄_ij q_i
#ifndef EG_BYTES
#include "attention_kernels.h"

#include "../arithmetic/simd_includes.h"

namespace engram {
namespace {

#define EG_KERNELS_FILE "memory/attention_kernels.cpp"
#include "../perprocessor.h"

#define EG_ATTENTION_FORWARD(of) of::forward<F>
#define EG_ATTENTION_BACKWARD(of) of::backward<F>

} // namespace

template <class F> void attention_forward(const AttentionSizes &z, const AttentionForward<F> &x) {
  static void (*const run)(const AttentionSizes &, const AttentionForward<F> &) = EG_CHOOSE(EG_ATTENTION_FORWARD);
  run(z, x);
}
template <class F> void attention_backward(const AttentionSizes &z, const AttentionBackward<F> &x) {
  static void (*const run)(const AttentionSizes &, const AttentionBackward<F> &) = EG_CHOOSE(EG_ATTENTION_BACKWARD);
  run(z, x);
}
template void attention_forward(const AttentionSizes &, const AttentionForward<float> &);
template void attention_forward(const AttentionSizes &, const AttentionForward<double> &);
template void attention_backward(const AttentionSizes &, const AttentionBackward<float> &);
template void attention_backward(const AttentionSizes &, const AttentionBackward<double> &);

} // namespace engram
#else
#include "../arithmetic/simd.h"

// Weights below this are zero, as those of masked keys are: products with them would be subnormal, which is slow.
constexpr double smallest_weight = 1e-37;

// out [cols, rows] = xᵀ for x [rows, cols].
template <class F> EG_INLINE void transpose(Rows<const F> x, int64_t rows, int64_t cols, F *out) {
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < cols; j++)
      out[j * rows + i] = x.at[i * x.step + j];
}

// c [rows, cols] = a·b for a [rows, inner] and b [inner, cols]; panels is room for b.
template <class F>
EG_INLINE void product(Rows<const F> a, Rows<const F> b, Rows<F> c, int64_t rows, int64_t inner, int64_t cols,
                       F *panels) {
  pack_panels(PackPanels<F>{b.at, b.step, inner, cols, panels});
  multiply_panels(PanelProduct<F>{a.at, a.step, panels, c.at, c.step, rows, inner, cols, false});
}

template <class F> static void forward(const AttentionSizes &z, const AttentionForward<F> &x) {
  F *turned = x.scratch, *panels = turned + z.width * z.keys;
  transpose(x.key, z.keys, z.width, turned);
  product<F>(x.query, {turned, z.keys}, {x.weights, z.keys}, z.queries, z.width, z.keys, panels);
  const F scale = F(z.scale);
  for (int64_t i = 0; i < z.queries; i++) {
    F *w = x.weights + i * z.keys;
    if (const F *mask = x.mask.at ? x.mask.at + i * x.mask.step : nullptr) {
#pragma omp simd
      for (int64_t j = 0; j < z.keys; j++)
        w[j] = scale * w[j] + mask[j];
    } else {
#pragma omp simd
      for (int64_t j = 0; j < z.keys; j++)
        w[j] *= scale;
    }
    softmax(w, z.keys);
#pragma omp simd
    for (int64_t j = 0; j < z.keys; j++)
      w[j] = w[j] < F(smallest_weight) ? F(0) : w[j];
  }
  product<F>({x.weights, z.keys}, x.value, x.read, z.queries, z.keys, z.width, panels);
}

template <class F> static void backward(const AttentionSizes &z, const AttentionBackward<F> &x) {
  F *turned = x.scratch, *dscores = turned + z.width * z.keys, *columns = dscores + z.queries * z.keys,
    *panels = columns + z.queries * z.keys;
  transpose<F>({x.weights, z.keys}, z.queries, z.keys, columns);
  product<F>({columns, z.queries}, x.dread, x.dvalue, z.keys, z.queries, z.width, panels);
  transpose(x.value, z.keys, z.width, turned);
  product<F>(x.dread, {turned, z.keys}, {dscores, z.keys}, z.queries, z.width, z.keys, panels);
  const F scale = F(z.scale);
  for (int64_t i = 0; i < z.queries; i++)
    softmax_gradient(x.weights + i * z.keys, dscores + i * z.keys, z.keys);
#pragma omp simd
  for (int64_t i = 0; i < z.queries * z.keys; i++)
    dscores[i] *= scale;
  product<F>({dscores, z.keys}, x.key, x.dquery, z.queries, z.keys, z.width, panels);
  transpose<F>({dscores, z.keys}, z.queries, z.keys, columns);
  product<F>({columns, z.queries}, x.query, x.dkey, z.keys, z.queries, z.width, panels);
}
#endif
