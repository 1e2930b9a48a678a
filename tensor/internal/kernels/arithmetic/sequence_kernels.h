// The inner loops of sequence.cpp, which includes this file once per kind of processor.
#include "simd.h"

// y = s·g⊙x with s = (Σx²·share + eps)^(-1/2), for rows [rows, width].
template <class F> static void norm_rows(const RowNorm<F> &z, int64_t rows, const F *x, F *y) {
  for (int64_t i = 0; i < rows; i++, x += z.width, y += z.width) {
    const F s = 1 / std::sqrt(dot(x, x, z.width) * F(z.share) + F(z.eps));
    if (z.gain) {
#pragma omp simd
      for (int64_t j = 0; j < z.width; j++)
        y[j] = s * z.gain[j] * x[j];
    } else {
#pragma omp simd
      for (int64_t j = 0; j < z.width; j++)
        y[j] = s * x[j];
    }
  }
}

// dx = s·g⊙dy − s³·share·(Σ g⊙dy⊙x)·x; adds s·dy⊙x to dgain.
template <class F>
static void norm_rows_backward(const RowNorm<F> &z, int64_t rows, const F *x, const F *dy, F *dx, F *dgain) {
  for (int64_t i = 0; i < rows; i++, x += z.width, dy += z.width, dx += z.width) {
    const F s = 1 / std::sqrt(dot(x, x, z.width) * F(z.share) + F(z.eps));
    if (z.gain) {
#pragma omp simd
      for (int64_t j = 0; j < z.width; j++) {
        dgain[j] += s * dy[j] * x[j];
        dx[j] = z.gain[j] * dy[j];
      }
    } else {
      std::copy_n(dy, z.width, dx);
    }
    const F along = s * s * s * F(z.share) * dot(dx, x, z.width);
#pragma omp simd
    for (int64_t j = 0; j < z.width; j++)
      dx[j] = s * dx[j] - along * x[j];
  }
}

// Row t of the convolution before its activation.
template <class F> EG_INLINE void convolved(const Causal<F> &z, const F *x, int64_t t, F *out) {
  std::fill_n(out, z.channels, F(0));
  for (int64_t i = std::max<int64_t>(0, z.length - 1 - t); i < z.length; i++) {
    const F *k = z.kernel + i * z.channels, *from = x + (t - z.length + 1 + i) * z.channels;
#pragma omp simd
    for (int64_t c = 0; c < z.channels; c++)
      out[c] += k[c] * from[c];
  }
}

// One sequence [time, channels].
template <class F> static void causal(const Causal<F> &z, const F *x, F *y) {
  for (int64_t t = 0; t < z.time; t++, y += z.channels) {
    convolved(z, x, t, y);
    if (z.silu) {
#pragma omp simd
      for (int64_t c = 0; c < z.channels; c++)
        y[c] *= sigmoid(y[c]);
    }
  }
}

// inner [time, channels] receives the gradient by the values before the activation, dkernel that of this sequence.
template <class F>
static void causal_backward(const Causal<F> &z, const F *x, const F *dy, F *inner, F *dx, F *dkernel) {
  std::fill_n(dkernel, z.length * z.channels, F(0));
  for (int64_t t = 0; t < z.time; t++) {
    F *d = inner + t * z.channels;
    const F *from = dy + t * z.channels;
    if (z.silu) {
      convolved(z, x, t, d);
#pragma omp simd
      for (int64_t c = 0; c < z.channels; c++) {
        const F s = sigmoid(d[c]);
        d[c] = from[c] * s * (1 + d[c] * (1 - s));
      }
    } else {
      std::copy_n(from, z.channels, d);
    }
    for (int64_t i = std::max<int64_t>(0, z.length - 1 - t); i < z.length; i++) {
      const F *at = x + (t - z.length + 1 + i) * z.channels;
      F *dk = dkernel + i * z.channels;
#pragma omp simd
      for (int64_t c = 0; c < z.channels; c++)
        dk[c] += d[c] * at[c];
    }
  }
  for (int64_t t = 0; t < z.time; t++) {
    F *to = dx + t * z.channels;
    std::fill_n(to, z.channels, F(0));
    for (int64_t i = std::max<int64_t>(0, z.length - z.time + t); i < z.length; i++) {
      const F *k = z.kernel + i * z.channels, *d = inner + (t + z.length - 1 - i) * z.channels;
#pragma omp simd
      for (int64_t c = 0; c < z.channels; c++)
        to[c] += k[c] * d[c];
    }
  }
}
