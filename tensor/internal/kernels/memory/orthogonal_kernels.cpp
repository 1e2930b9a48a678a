// The Newton-Schulz iteration of the optimiser Muon: Jordan et al. 2024. From X, with s = (Σ X² + smooth)^(-1/2):
//
//	Y_0 = s X,   A = Y Yᵀ,   B = b A + c A²,   Y_{t+1} = a Y + B Y
//
// Gradient, given that of the result (x̄ is the derivative of the loss with respect to x; A and B are symmetric):
//
//	B̄ = Ȳ_{t+1} Yᵀ,   Ā = b B̄ + c (B̄ A + A B̄),   Ȳ = a Ȳ_{t+1} + B Ȳ_{t+1} + (Ā + Āᵀ) Y
//	X̄ = s Ȳ_0 − s³ (Σ Ȳ_0⊙X) X
#ifndef EG_BYTES
#include "orthogonal_kernels.h"

#include "../arithmetic/simd_includes.h"

namespace engram {
namespace {

#define EG_KERNELS_FILE "memory/orthogonal_kernels.cpp"
#include "../perprocessor.h"

#define EG_ORTHOGONAL_FORWARD(of) of::forward<F>
#define EG_ORTHOGONAL_BACKWARD(of) of::backward<F>

} // namespace

template <class F> void orthogonal_forward(const OrthogonalSizes &z, const F *x, F *y, F *scratch) {
  static void (*const run)(const OrthogonalSizes &, const F *, F *, F *) = EG_CHOOSE(EG_ORTHOGONAL_FORWARD);
  run(z, x, y, scratch);
}
template <class F> void orthogonal_backward(const OrthogonalSizes &z, const F *x, const F *dy, F *dx, F *scratch) {
  static void (*const run)(const OrthogonalSizes &, const F *, const F *, F *, F *) = EG_CHOOSE(EG_ORTHOGONAL_BACKWARD);
  run(z, x, dy, dx, scratch);
}
template void orthogonal_forward(const OrthogonalSizes &, const float *, float *, float *);
template void orthogonal_forward(const OrthogonalSizes &, const double *, double *, double *);
template void orthogonal_backward(const OrthogonalSizes &, const float *, const float *, float *, float *);
template void orthogonal_backward(const OrthogonalSizes &, const double *, const double *, double *, double *);

} // namespace engram
#else
#include "../arithmetic/simd.h"

// out [rows, cols] = base·y + m·y for m [rows, rows]; out is not y.
template <class F> EG_INLINE void combined(const OrthogonalSizes &z, F base, const F *m, const F *y, F *out) {
  for (int64_t i = 0; i < z.rows; i++) {
    F *row = out + i * z.cols;
    const F *own = y + i * z.cols;
#pragma omp simd
    for (int64_t j = 0; j < z.cols; j++)
      row[j] = base * own[j];
    for (int64_t k = 0; k < z.rows; k++)
      axpy(m[i * z.rows + k], y + k * z.cols, row, z.cols);
  }
}

// out [rows, rows] = x·yᵀ.
template <class F> EG_INLINE void outer(const OrthogonalSizes &z, const F *x, const F *y, F *out) {
  for (int64_t i = 0; i < z.rows; i++)
    for (int64_t j = 0; j < z.rows; j++)
      out[i * z.rows + j] = dot(x + i * z.cols, y + j * z.cols, z.cols);
}

// out [rows, rows] += by·x·y for square matrices.
template <class F> EG_INLINE void add_product(int64_t rows, F by, const F *x, const F *y, F *out) {
  for (int64_t i = 0; i < rows; i++)
    for (int64_t k = 0; k < rows; k++)
      axpy(by * x[i * rows + k], y + k * rows, out + i * rows, rows);
}

template <class F> EG_INLINE void scaled(F by, const F *x, int64_t n, F *out) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++)
    out[i] = by * x[i];
}

// A and B of an iterate, [rows, rows] each.
template <class F> EG_INLINE void polynomial(const OrthogonalSizes &z, const F *y, F *a, F *b) {
  outer(z, y, y, a);
  scaled(F(z.b), a, z.rows * z.rows, b);
  add_product(z.rows, F(z.c), a, a, b);
}

template <class F> EG_INLINE F normaliser(const OrthogonalSizes &z, const F *x) {
  return F(1) / std::sqrt(dot(x, x, z.size()) + F(z.smooth));
}

template <class F> static void forward(const OrthogonalSizes &z, const F *x, F *y, F *scratch) {
  F *now = scratch, *next = now + z.size(), *a = next + z.size(), *b = a + z.rows * z.rows;
  scaled(normaliser(z, x), x, z.size(), now);
  for (int64_t t = 0; t < z.steps; t++) {
    polynomial(z, now, a, b);
    combined(z, F(z.a), b, now, next);
    std::swap(now, next);
  }
  std::copy_n(now, z.size(), y);
}

template <class F> static void backward(const OrthogonalSizes &z, const F *x, const F *dy, F *dx, F *scratch) {
  const int64_t size = z.size(), square = z.rows * z.rows;
  F *iterates = scratch, *gradient = iterates + (z.steps + 1) * size, *before = gradient + size, *a = before + size,
    *b = a + square, *db = b + square, *da = db + square, *sum = da + square;
  const F s = normaliser(z, x);
  scaled(s, x, size, iterates);
  for (int64_t t = 0; t < z.steps; t++) {
    polynomial(z, iterates + t * size, a, b);
    combined(z, F(z.a), b, iterates + t * size, iterates + (t + 1) * size);
  }
  std::copy_n(dy, size, gradient);
  for (int64_t t = z.steps - 1; t >= 0; t--) {
    const F *y = iterates + t * size;
    polynomial(z, y, a, b);
    outer(z, gradient, y, db);
    scaled(F(z.b), db, square, da);
    add_product(z.rows, F(z.c), db, a, da);
    add_product(z.rows, F(z.c), a, db, da);
    for (int64_t i = 0; i < z.rows; i++)
      for (int64_t j = 0; j < z.rows; j++)
        sum[i * z.rows + j] = da[i * z.rows + j] + da[j * z.rows + i];
    combined(z, F(z.a), b, gradient, before);
    for (int64_t i = 0; i < z.rows; i++)
      for (int64_t k = 0; k < z.rows; k++)
        axpy(sum[i * z.rows + k], y + k * z.cols, before + i * z.cols, z.cols);
    std::swap(gradient, before);
  }
  const F along = s * s * s * dot(gradient, x, size);
#pragma omp simd
  for (int64_t i = 0; i < size; i++)
    dx[i] = s * gradient[i] - along * x[i];
}
#endif
