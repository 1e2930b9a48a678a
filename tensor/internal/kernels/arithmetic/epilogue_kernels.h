// The inner loops of epilogue.cpp, which includes this file once per kind of processor.
#include "simd.h"

// 1 − erf(x) for x ≥ 0, to 1.5e-7: Abramowitz and Stegun 1964, 7.1.26.
EG_INLINE float complement(float x) {
  const float t = 1.f / (1.f + .3275911f * x);
  float p = 1.061405429f;
  p = p * t - 1.453152027f;
  p = p * t + 1.421413741f;
  p = p * t - .284496736f;
  p = p * t + .254829592f;
  return p * t * exponential(-x * x);
}
EG_INLINE double complement(double x) { return std::erfc(x); }

// Replaces x [rows, width] by the GELU of x + bias; bias may be null.
template <class F> static void gelu(F *x, const F *bias, int64_t rows, int64_t width) {
  for (int64_t i = 0; i < rows; i++, x += width)
#pragma omp simd
    for (int64_t j = 0; j < width; j++) {
      const F v = bias ? x[j] + bias[j] : x[j], tail = F(.5) * complement(F(M_SQRT1_2) * std::abs(v));
      x[j] = v * (v < 0 ? tail : 1 - tail);
    }
}

// out = the layer norm of x + y + bias for rows [rows, width]; bias may be null.
template <class F> static void norm(const NormRows<F> &z, int64_t rows, const F *x, const F *y, F *out) {
  typedef F V __attribute__((vector_size(EG_BYTES)));
  const int64_t width = z.width, whole = width - width % lanes<F>;
  for (int64_t i = 0; i < rows; i++, x += width, y += width, out += width) {
#pragma omp simd
    for (int64_t j = 0; j < width; j++)
      out[j] = z.bias ? x[j] + y[j] + z.bias[j] : x[j] + y[j];
    V sums{}, v;
    for (int64_t j = 0; j < whole; j += lanes<F>) {
      load<false>(out + j, 0, v);
      sums += v;
    }
    F sum = sum_lanes<F>(sums);
    for (int64_t j = whole; j < width; j++)
      sum += out[j];
    const F mean = sum / F(width);
#pragma omp simd
    for (int64_t j = 0; j < width; j++)
      out[j] -= mean;
    const F scale = F(1) / std::sqrt(dot(out, out, width) / F(width) + F(z.eps));
#pragma omp simd
    for (int64_t j = 0; j < width; j++)
      out[j] = out[j] * scale * z.gain[j] + z.shift[j];
  }
}
