// The tokens of a fast-weight memory, of what a linear layer emits; memory/fastweight/recurrent.go composes the same.
// Of the emission x of a part:
//
//	query, key   f = φ(x),  y = s f/√(Σf² + eps), or s f;  s is 1 for keys
//	value        x
//	rate         η σ(x)
//	decay        log a = −softplus(x + b) exp(A)
//	momentum     σ(x)
//
// Gradient (x̄ is the derivative of the loss with respect to x), with n = 1/√(Σf² + eps):
//
//	f̄ = s n (ȳ − n² f (f·ȳ)), or s ȳ;  x̄ = φ'(x) f̄
//	rate and momentum: y (1 − y/η) ȳ
//	decay: x̄ = b̄ = −σ(x + b) exp(A) ḡ,  Ā = log a ḡ, where g is log a
#ifndef EG_BYTES
#include "tokens_kernels.h"

#include "../arithmetic/simd_includes.h"

namespace engram {
namespace {

#define EG_KERNELS_FILE "memory/tokens_kernels.cpp"
#include "../perprocessor.h"

#define EG_TOKENS_FORWARD(of) of::forward<F>
#define EG_TOKENS_BACKWARD(of) of::backward<F>

} // namespace

template <class F> void tokens_forward(const TokenSizes &z, const TokensForward<F> &x) {
  static void (*const run)(const TokenSizes &, const TokensForward<F> &) = EG_CHOOSE(EG_TOKENS_FORWARD);
  run(z, x);
}
template <class F> void tokens_backward(const TokenSizes &z, const TokensBackward<F> &x) {
  static void (*const run)(const TokenSizes &, const TokensBackward<F> &) = EG_CHOOSE(EG_TOKENS_BACKWARD);
  run(z, x);
}
template void tokens_forward(const TokenSizes &, const TokensForward<float> &);
template void tokens_forward(const TokenSizes &, const TokensForward<double> &);
template void tokens_backward(const TokenSizes &, const TokensBackward<float> &);
template void tokens_backward(const TokenSizes &, const TokensBackward<double> &);

} // namespace engram
#else
#include "../arithmetic/simd.h"

enum { identity, elu, silu };

template <class F> EG_INLINE void features(int kind, const F *x, int64_t n, F *f) {
  switch (kind) {
  case elu:
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
      f[i] = std::max(x[i], F(0)) + exponential(std::min(x[i], F(0)));
    return;
  case silu:
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
      f[i] = x[i] * sigmoid(x[i]);
    return;
  }
  std::copy_n(x, n, f);
}

// Multiplies the gradient of features by their slopes.
template <class F> EG_INLINE void slopes(int kind, const F *x, int64_t n, F *d) {
  switch (kind) {
  case elu:
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
      d[i] *= exponential(std::min(x[i], F(0)));
    return;
  case silu:
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
      const F s = sigmoid(x[i]);
      d[i] *= s * (1 + x[i] * (1 - s));
    }
    return;
  }
}

template <class F> EG_INLINE void address(const TokenSizes &z, const F *x, F scale, F *y) {
  features(z.features, x, z.key, y);
  if (z.unit > 0)
    scale /= std::sqrt(dot(y, y, z.key) + F(z.unit));
#pragma omp simd
  for (int64_t i = 0; i < z.key; i++)
    y[i] *= scale;
}

template <class F> EG_INLINE void address_gradient(const TokenSizes &z, const F *x, F scale, const F *dy, F *dx, F *f) {
  if (!dy) {
    std::fill_n(dx, z.key, F(0));
    return;
  }
  features(z.features, x, z.key, f);
  F along = 0;
  if (z.unit > 0) {
    const F square = dot(f, f, z.key) + F(z.unit);
    scale /= std::sqrt(square);
    along = dot(f, dy, z.key) / square;
  }
#pragma omp simd
  for (int64_t i = 0; i < z.key; i++)
    dx[i] = scale * (dy[i] - along * f[i]);
  slopes(z.features, x, z.key, dx);
}

template <class F> static void forward(const TokenSizes &z, const TokensForward<F> &x) {
  const F *e = x.emission;
  for (int64_t t = 0; t < z.time; t++) {
    for (int64_t h = 0; h < z.heads; h++, e += z.key)
      address(z, e, F(z.query_scale), x.query + (h * z.time + t) * z.key);
    const auto written = [&](int64_t h, int64_t w) { return (h * z.time + t) * z.writes + w; };
    for (int64_t h = 0; h < z.heads; h++)
      for (int64_t w = 0; w < z.writes; w++, e += z.key)
        address(z, e, F(1), x.key + written(h, w) * z.key);
    for (int64_t h = 0; h < z.heads; h++)
      for (int64_t w = 0; w < z.writes; w++, e += z.value) {
        F *to = x.value + written(h, w) * z.columns();
        std::copy_n(e, z.value, to);
        if (z.ones)
          to[z.value] = 1;
      }
    for (int64_t h = 0; h < z.heads; h++)
      for (int64_t w = 0; w < z.rates(); w++)
        x.rates[written(h, w)] = F(z.max_rate) * sigmoid(*e++);
    for (int64_t h = 0; h < z.heads && z.channels; h++) {
      const F by = -std::exp(x.rate[h]);
      for (int64_t c = 0; c < z.channels; c++)
        x.decay[(h * z.time + t) * z.channels + c] = by * softplus(*e++ + x.bias[h * z.channels + c]);
    }
    for (int64_t h = 0; h < z.heads; h++)
      for (int64_t w = 0; w < z.momenta(); w++)
        x.momentum[written(h, w)] = sigmoid(*e++);
  }
}

template <class F> static void backward(const TokenSizes &z, const TokensBackward<F> &x) {
  const F *e = x.emission;
  F *d = x.demission;
  std::fill_n(x.drate, z.channels ? z.heads : 0, F(0));
  std::fill_n(x.dbias, z.heads * z.channels, F(0));
  const auto at = [](const F *of, int64_t i) { return of ? of + i : nullptr; };
  const auto value = [](const F *of, int64_t i) { return of ? of[i] : F(0); };
  for (int64_t t = 0; t < z.time; t++) {
    for (int64_t h = 0; h < z.heads; h++, e += z.key, d += z.key)
      address_gradient(z, e, F(z.query_scale), at(x.dquery, (h * z.time + t) * z.key), d, x.scratch);
    const auto written = [&](int64_t h, int64_t w) { return (h * z.time + t) * z.writes + w; };
    for (int64_t h = 0; h < z.heads; h++)
      for (int64_t w = 0; w < z.writes; w++, e += z.key, d += z.key)
        address_gradient(z, e, F(1), at(x.dkey, written(h, w) * z.key), d, x.scratch);
    for (int64_t h = 0; h < z.heads; h++)
      for (int64_t w = 0; w < z.writes; w++, e += z.value, d += z.value) {
        if (x.dvalue)
          std::copy_n(x.dvalue + written(h, w) * z.columns(), z.value, d);
        else
          std::fill_n(d, z.value, F(0));
      }
    for (int64_t h = 0; h < z.heads; h++)
      for (int64_t w = 0; w < z.rates(); w++) {
        const F s = sigmoid(*e++);
        *d++ = value(x.drates, written(h, w)) * F(z.max_rate) * s * (1 - s);
      }
    for (int64_t h = 0; h < z.heads && z.channels; h++) {
      const F by = -std::exp(x.rate[h]);
      for (int64_t c = 0; c < z.channels; c++) {
        const F in = *e++ + x.bias[h * z.channels + c], g = value(x.ddecay, (h * z.time + t) * z.channels + c);
        *d = g * by * sigmoid(in);
        x.dbias[h * z.channels + c] += *d++;
        x.drate[h] += g * by * softplus(in);
      }
    }
    for (int64_t h = 0; h < z.heads; h++)
      for (int64_t w = 0; w < z.momenta(); w++) {
        const F s = sigmoid(*e++);
        *d++ = value(x.dmomentum, written(h, w)) * s * (1 - s);
      }
  }
}
#endif
