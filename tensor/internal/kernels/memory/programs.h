// The stored programs of a memory's interface, for one sequence: Le et al. 2020, section 3. What the controller emits,
// r, has an emission e_i of each program, then a query q and a strength b. With keys κ_i:
//
//	β = log(1 + exp b),  K_i = q·κ_i / (‖q‖ ‖κ_i‖),  w = softmax(β K),  e = Σ_i w_i e_i
//
// ‖x‖ is √(Σx² + ε), as in metric.Cosine. Gradient, given ē. x̄ is the derivative of the loss with respect to x:
//
//	ē_i = w_i ē,  w̄_i = ē·e_i,  s̄_i = w_i (w̄_i − Σ_j w_j w̄_j)        of s = β K
//	b̄   = Σ_i s̄_i K_i / (1 + exp −b)
//	q̄   = Σ_i β s̄_i (κ_i / (‖q‖ ‖κ_i‖) − K_i q / ‖q‖²)
//	κ̄_i = β s̄_i (q / (‖q‖ ‖κ_i‖) − K_i κ_i / ‖κ_i‖²)
#ifndef ENGRAM_KERNELS_PROGRAMS_H
#define ENGRAM_KERNELS_PROGRAMS_H
#include "heads.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace engram {

template <class F> struct Programs {
  int64_t count, key, emission;
  const F *keys; // [count, key]

  int64_t emitted() const { return count * emission + key + 1; }
  // What a step keeps for its gradient: w and K [count], 1/‖q‖ and β.
  int64_t kept() const { return 2 * count + 2; }

  static F inverse_norm(const F *v, int64_t n) {
    F sum = F(cosine_eps);
#pragma omp simd reduction(+ : sum)
    for (int64_t k = 0; k < n; k++)
      sum += v[k] * v[k];
    return 1 / std::sqrt(sum);
  }
  static F dot(const F *a, const F *b, int64_t n) {
    F sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t k = 0; k < n; k++)
      sum += a[k] * b[k];
    return sum;
  }

  void forward(const F *r, F *keep, F *e) const {
    const F *q = r + count * emission, b = q[key];
    F *w = keep, *cos = w + count, &own = cos[count], &strength = cos[count + 1];
    own = inverse_norm(q, key);
    strength = std::max(b, F(0)) + std::log1p(std::exp(-std::abs(b)));
    F top = 0, sum = 0;
    for (int64_t i = 0; i < count; i++) {
      cos[i] = dot(q, keys + i * key, key) * own * inverse_norm(keys + i * key, key);
      top = i ? std::max(top, strength * cos[i]) : strength * cos[i];
    }
    for (int64_t i = 0; i < count; i++)
      sum += w[i] = std::exp(strength * cos[i] - top);
    std::fill_n(e, emission, F(0));
    for (int64_t i = 0; i < count; i++) {
      const F share = w[i] /= sum, *from = r + i * emission;
#pragma omp simd
      for (int64_t k = 0; k < emission; k++)
        e[k] += share * from[k];
    }
  }

  // Writes r̄ and adds to κ̄.
  void backward(const F *r, const F *keep, const F *de, F *dr, F *dkeys) const {
    const F *q = r + count * emission, b = q[key];
    const F *w = keep, *cos = w + count, own = cos[count], strength = cos[count + 1];
    F *dq = dr + count * emission, &db = dq[key];
    F mean = 0;
    for (int64_t i = 0; i < count; i++) {
      const F *from = r + i * emission;
      F *to = dr + i * emission;
#pragma omp simd
      for (int64_t k = 0; k < emission; k++)
        to[k] = w[i] * de[k];
      mean += w[i] * dot(de, from, emission);
    }
    std::fill_n(dq, key + 1, F(0));
    for (int64_t i = 0; i < count; i++) {
      const F *kappa = keys + i * key, norm = inverse_norm(kappa, key);
      const F ds = w[i] * (dot(de, r + i * emission, emission) - mean), g = strength * ds;
      db += ds * cos[i] / (1 + std::exp(-b));
#pragma omp simd
      for (int64_t k = 0; k < key; k++) {
        dq[k] += g * (kappa[k] * own * norm - cos[i] * q[k] * own * own);
        dkeys[i * key + k] += g * (q[k] * own * norm - cos[i] * kappa[k] * norm * norm);
      }
    }
  }
};

} // namespace engram
#endif
