// The loops of tune.cpp, which includes this file once per kind of processor.
#include "../arithmetic/simd.h"

// Rows of weights that are computed together: with two embeddings, or two vectors of columns, ten sums in registers.
constexpr int together = 5;

// out[r][c] = Σ_d w_r[d]·x_c[d] for R rows of w and C rows of x; step is the distance between rows of out.
template <int R, int C, class F> EG_INLINE void dots(const F *w, const F *x, int64_t width, F *out, int64_t step) {
  typedef F V __attribute__((vector_size(EG_BYTES)));
  V sums[R][C] = {}, a, b[C];
  int64_t d = 0;
  for (; d + lanes<F> <= width; d += lanes<F>) {
    for (int c = 0; c < C; c++)
      load<false>(x + c * width + d, 0, b[c]);
    for (int r = 0; r < R; r++) {
      load<false>(w + r * width + d, 0, a);
      for (int c = 0; c < C; c++)
        sums[r][c] += a * b[c];
    }
  }
  if (d < width) {
    for (int c = 0; c < C; c++)
      load<true>(x + c * width + d, width - d, b[c]);
    for (int r = 0; r < R; r++) {
      load<true>(w + r * width + d, width - d, a);
      for (int c = 0; c < C; c++)
        sums[r][c] += a * b[c];
    }
  }
  for (int r = 0; r < R; r++)
    for (int c = 0; c < C; c++)
      out[r * step + c] = sum_lanes<F>(sums[r][c]);
}

// The logits of R classes, l [R, all].
template <int R, class F> EG_INLINE void logits(const Tune<F> &z, const F *w, F *l) {
  int64_t i = 0;
  for (; i + 2 <= z.all; i += 2)
    dots<R, 2>(w, z.x + i * z.width, z.width, l + i, z.all);
  if (i < z.all)
    dots<R, 1>(w, z.x + i * z.width, z.width, l + i, z.all);
  for (int r = 0; r < R; r++) {
    const F half = F(.5) * dot(w + r * z.width, w + r * z.width, z.width);
    F *row = l + r * z.all;
#pragma omp simd
    for (int64_t i = 0; i < z.all; i++)
      row[i] = z.temperature * (row[i] - half);
  }
}

// The gradient g [R, width] for the weights of R classes, from that for their logits, of [R, all].
template <int R, class F> EG_INLINE void gradient(const Tune<F> &z, const F *w, const F *of, F *g) {
  typedef F V __attribute__((vector_size(EG_BYTES)));
  F total[R];
  for (int r = 0; r < R; r++) {
    F sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < z.all; i++)
      sum += of[r * z.all + i];
    total[r] = sum;
  }
  constexpr int beside = 2;
  int64_t d = 0;
  for (; d + beside * lanes<F> <= z.width; d += beside * lanes<F>) {
    V sums[R][beside] = {}, x[beside];
    for (int64_t i = 0; i < z.all; i++) {
      for (int u = 0; u < beside; u++)
        load<false>(z.x + i * z.width + d + u * lanes<F>, 0, x[u]);
      for (int r = 0; r < R; r++)
        for (int u = 0; u < beside; u++)
          sums[r][u] += of[r * z.all + i] * x[u];
    }
    for (int r = 0; r < R; r++)
      for (int u = 0; u < beside; u++) {
        V own;
        load<false>(w + r * z.width + d + u * lanes<F>, 0, own);
        store<false>(sums[r][u] - total[r] * own, 0, g + r * z.width + d + u * lanes<F>);
      }
  }
  for (; d < z.width; d++)
    for (int r = 0; r < R; r++) {
      F sum = -total[r] * w[r * z.width + d];
      for (int64_t i = 0; i < z.all; i++)
        sum += of[r * z.all + i] * z.x[i * z.width + d];
      g[r * z.width + d] = sum;
    }
}

// Replaces logits l [way, all] by their softmax over the classes. top and sum have room for a value per embedding.
template <class F> EG_INLINE void softmax_of_classes(const Tune<F> &z, F *l, F *top, F *sum) {
  std::copy_n(l, z.all, top);
  std::fill_n(sum, z.all, F(0));
  for (int64_t k = 1; k < z.way; k++) {
    const F *row = l + k * z.all;
#pragma omp simd
    for (int64_t i = 0; i < z.all; i++)
      top[i] = row[i] > top[i] ? row[i] : top[i];
  }
  for (int64_t k = 0; k < z.way; k++) {
    F *row = l + k * z.all;
#pragma omp simd
    for (int64_t i = 0; i < z.all; i++) {
      row[i] = exponential(row[i] - top[i]);
      sum[i] += row[i];
    }
  }
  for (int64_t k = 0; k < z.way; k++) {
    F *row = l + k * z.all;
#pragma omp simd
    for (int64_t i = 0; i < z.all; i++)
      row[i] /= sum[i];
  }
}

// Replaces probabilities p [way, all] by the gradient for the logits, divided by the temperature. up has room for as
// many, mean for a value per embedding.
template <class F> EG_INLINE void loss_gradient(const Tune<F> &z, F *p, F *up, F *mean) {
  const int64_t n = z.support, queries = z.all - n;
  const F of_support = z.cross_entropy / n, of_queries = F(1) / std::max<int64_t>(queries, 1);
  std::fill_n(mean, z.all, F(0));
  for (int64_t k = 0; k < z.way; k++) {
    F *row = p + k * z.all, *ups = up + k * z.all, marginal = 0;
    if (z.marginal != 0) {
      F sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t i = n; i < z.all; i++)
        sum += row[i];
      marginal = z.marginal * logarithm(sum * of_queries + tiny<F>);
    }
#pragma omp simd
    for (int64_t i = n; i < z.all; i++) {
      ups[i] = marginal - z.conditional * logarithm(row[i] + tiny<F>);
      mean[i] += row[i] * ups[i];
    }
  }
  for (int64_t k = 0; k < z.way; k++) {
    F *row = p + k * z.all;
    const F *ups = up + k * z.all;
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
      row[i] *= of_support;
#pragma omp simd
    for (int64_t i = n; i < z.all; i++)
      row[i] *= (ups[i] - mean[i]) * of_queries;
  }
  for (int64_t i = 0; i < n; i++)
    p[z.labels[i] * z.all + i] -= of_support;
}

// Runs CALL(R) for the R classes from k on, until all classes are done: several at a time, then one by one.
#define EG_CLASSES(CALL)                                                                                               \
  {                                                                                                                    \
    int64_t k = 0;                                                                                                     \
    for (; k + together <= z.way; k += together)                                                                       \
      CALL(together);                                                                                                  \
    for (; k < z.way; k++)                                                                                             \
      CALL(1);                                                                                                         \
  }
#define EG_LOGITS(R) logits<R>(z, w + k * z.width, p + k * z.all)
#define EG_GRADIENT(R) gradient<R>(z, w + k * z.width, p + k * z.all, g + k * z.width)

template <class F> static void tune(const Tune<F> &z, F *w, F *room) {
  const int64_t weights = z.way * z.width, probabilities = z.way * z.all;
  F *m = room, *v = m + weights, *g = v + weights, *p = g + weights, *up = p + probabilities;
  F *top = up + probabilities, *sum = top + z.all;
  std::fill_n(m, 2 * weights, F(0));
  for (int64_t step = 1; step <= z.steps; step++) {
    EG_CLASSES(EG_LOGITS)
    softmax_of_classes(z, p, top, sum);
    loss_gradient(z, p, up, sum);
    for (int64_t i = 0; i < probabilities; i++)
      p[i] *= z.temperature;
    EG_CLASSES(EG_GRADIENT)
    engram::adam(w, m, v, g, weights, engram::AdamStep<F>(z.rate, .9, .999, 1e-8, 0, false, step));
  }
}

#undef EG_CLASSES
#undef EG_LOGITS
#undef EG_GRADIENT
