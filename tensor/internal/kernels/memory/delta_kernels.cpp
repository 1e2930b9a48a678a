// The gated delta rule in chunks: Yang et al. 2024 (2412.06464), section 3.3. Linear attention is the same with e = v.
//
// In a chunk with rows k_i, v_i, q_i, rates b_i, the state S before it, and G the running sum of the decay's
// logarithms:
//
//	p_i = exp(G_i),  d_ij = exp(G_i − G_j) for j ≤ i,  l_i = exp(G_last − G_i)
//	e_i = v_i − p_i k_i·S − Σ_{j<i} n_ij u_j,   u_i = b_i e_i,   n_ij = d_ij k_i·k_j
//	o_i = p_i q_i·S + Σ_{j≤i} x_ij u_j,   x_ij = d_ij q_i·k_j
//	S'  = exp(G_last) S + Σ_i l_i k_i u_iᵀ
//
// Gradient, given ō and S̄' (x̄ is the derivative of the loss with respect to x):
//
//	ū_i = l_i k_i·S̄' + Σ_{j≥i} x_ji ō_j − Σ_{j>i} n_ji ē_j,   ē_i = b_i ū_i,   b̄_i = ū_i·e_i,   v̄_i = ē_i
//	x̄_ij = ō_i·u_j,   n̄_ij = −ē_i·u_j
//	q̄_i = p_i S ō_i + Σ_{j≤i} d_ij x̄_ij k_j
//	k̄_i = l_i S̄' u_i − p_i S ē_i + Σ_{j≥i} d_ji x̄_ji q_j + Σ_{j<i} d_ij n̄_ij k_j + Σ_{j>i} d_ji n̄_ji k_j
//	S̄   = exp(G_last) S̄' + Σ_i p_i (q_i ō_iᵀ − k_i ē_iᵀ)
//
// and Ḡ_i is the sum of the gradients of p_i, d_ij and l_i, each times its value. Only differences of G are
// exponentiated, which are at most zero.
#ifndef EG_BYTES
#include "../arithmetic/product.h"
#include "../arithmetic/simd_includes.h"
#include "delta_kernels.h"
#include "heads.h"

namespace engram {
namespace {

#define EG_KERNELS_FILE "memory/delta_kernels.cpp"
#include "../perprocessor.h"

#define EG_DELTA_FORWARD(of) of::forward<F>
#define EG_DELTA_BACKWARD(of) of::backward<F>

} // namespace

template <class F> void delta_forward(const DeltaSizes &z, const DeltaForward<F> &x) {
  static void (*const run)(const DeltaSizes &, const DeltaForward<F> &) = EG_CHOOSE(EG_DELTA_FORWARD);
  run(z, x);
}
template <class F> void delta_backward(const DeltaSizes &z, const DeltaBackward<F> &x) {
  static void (*const run)(const DeltaSizes &, const DeltaBackward<F> &) = EG_CHOOSE(EG_DELTA_BACKWARD);
  run(z, x);
}
template void delta_forward(const DeltaSizes &, const DeltaForward<float> &);
template void delta_forward(const DeltaSizes &, const DeltaForward<double> &);
template void delta_backward(const DeltaSizes &, const DeltaBackward<float> &);
template void delta_backward(const DeltaSizes &, const DeltaBackward<double> &);

} // namespace engram
#else
#include "../arithmetic/simd.h"

// A chunk of n tokens of a sequence, from token `first` on.
template <class F> struct Chunk {
  int64_t first, n;
  const F *query, *key, *value, *rate;
  F *sums, *ahead, *left; // G, p and l; [n]
  F *decays;              // d, [n, n], zero above the diagonal
  F kept;                 // exp(G_last)
  bool decayed;
};

// Computes the decays of a chunk in room for chunk·(3 + chunk) numbers.
template <class F> static Chunk<F> chunk_of(const DeltaSizes &z, const DeltaTokens<F> &x, int64_t c, F *room) {
  Chunk<F> t{};
  t.first = c * z.chunk, t.n = std::min(z.chunk, z.time - t.first);
  t.query = x.query ? x.query + t.first * z.key : nullptr;
  t.key = x.key + t.first * z.key, t.value = x.value + t.first * z.value, t.rate = x.rate + t.first;
  t.sums = room, t.ahead = t.sums + z.chunk, t.left = t.ahead + z.chunk, t.decays = t.left + z.chunk;
  t.kept = 1, t.decayed = x.decay != nullptr;
  const int64_t n = t.n;
  F sum = 0;
  for (int64_t i = 0; i < n; i++)
    t.sums[i] = sum += x.decay ? x.decay[t.first + i] : F(0);
#pragma omp simd
  for (int64_t i = 0; i < n; i++) {
    t.ahead[i] = exponential(t.sums[i]);
    t.left[i] = exponential(sum - t.sums[i]);
  }
  if (t.decayed)
    t.kept = exponential(sum);
  for (int64_t i = 0; i < n; i++) {
    F *row = t.decays + i * n;
    const F own = t.sums[i];
    std::fill_n(row + i + 1, n - i - 1, F(0));
    if (!t.decayed) {
      std::fill_n(row, i + 1, F(1));
      continue;
    }
#pragma omp simd
    for (int64_t j = 0; j <= i; j++)
      row[j] = exponential(own - t.sums[j]);
  }
  return t;
}

// out_i = by·factor_i·x_i for the rows of x [n, width]; out may be x.
template <class F> EG_INLINE void scale_rows(const F *x, const F *factor, F by, int64_t n, int64_t width, F *out) {
  for (int64_t i = 0; i < n; i++) {
    const F f = by * factor[i];
#pragma omp simd
    for (int64_t j = 0; j < width; j++)
      out[i * width + j] = f * x[i * width + j];
  }
}

template <class F> EG_INLINE void times(F *x, const F *by, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++)
    x[i] *= by[i];
}

// c [m, n] = a·b, plus c if keep, with an inner size of k.
template <class F>
EG_INLINE void product(Transpose ta, const F *a, Transpose tb, const F *b, F *c, int64_t m, int64_t n, int64_t k,
                       bool keep) {
  const auto of = [](Transpose t, const F *at, int64_t rows, int64_t cols) {
    return t == AsIs ? Matrix<const F>{at, rows, cols, cols} : Matrix<const F>{at, cols, rows, rows};
  };
  multiply(ta, of(ta, a, m, k), tb, of(tb, b, k, n), Matrix<F>{c, m, n, n}, keep);
}

// The rows of e and u of a chunk: e_i −= Σ_{j<i} n_ij u_j, u_i = b_i e_i; minus is −n.
template <class F> EG_INLINE void substitute(const Chunk<F> &t, const F *minus, int64_t width, F *e, F *u) {
  for (int64_t top = 0; top < t.n; top += 4) {
    const int64_t rows = std::min<int64_t>(4, t.n - top);
    F *of = e + top * width;
    heads::EG_PROCESSOR::combine(Weights<F>{minus + top * t.n, 1, t.n}, rows, top, u, Base<F>{of}, of, width);
    for (int64_t i = top; i < top + rows; i++) {
      F *row = e + i * width;
      if (i > top)
        heads::EG_PROCESSOR::combine(Weights<F>{minus + i * t.n + top, 1, t.n}, 1, i - top, u + top * width,
                                     Base<F>{row}, row, width);
      const F rate = t.rate[i];
#pragma omp simd
      for (int64_t j = 0; j < width; j++)
        u[i * width + j] = rate * row[j];
    }
  }
}

// Its adjoint: ū_i −= Σ_{j>i} n_ji ē_j, ē_i = b_i ū_i, from the last row on.
template <class F> EG_INLINE void substitute_back(const Chunk<F> &t, const F *minus, int64_t width, F *du, F *de) {
  const int64_t n = t.n;
  for (int64_t end = n; end > 0;) {
    const int64_t rows = end % 4 ? end % 4 : 4, top = end - rows;
    F *of = du + top * width;
    heads::EG_PROCESSOR::combine(Weights<F>{minus + end * n + top, n, 1}, rows, n - end, de + end * width, Base<F>{of},
                                 of, width);
    for (int64_t i = end - 1; i >= top; i--) {
      F *row = du + i * width;
      if (i + 1 < end)
        heads::EG_PROCESSOR::combine(Weights<F>{minus + (i + 1) * n + i, n, 1}, 1, end - i - 1, de + (i + 1) * width,
                                     Base<F>{row}, row, width);
      const F rate = t.rate[i];
#pragma omp simd
      for (int64_t j = 0; j < width; j++)
        de[i * width + j] = rate * row[j];
    }
    end = top;
  }
}

// The gradients of G from those of the factors d_ij of row i, each times its value.
template <class F> EG_INLINE void through_decays(const F *gradient, const F *value, int64_t i, F *dsums) {
  F sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t j = 0; j < i; j++) {
    const F through = gradient[j] * value[j];
    sum += through;
    dsums[j] -= through;
  }
  dsums[i] += sum;
}

template <class F> static void forward(const DeltaSizes &z, const DeltaForward<F> &x) {
  const int64_t key = z.key, width = z.value;
  F *s = x.state;
  F *scores = x.scratch + z.chunk * (3 + z.chunk), *u = scores + z.chunk * z.chunk, *k = u + z.chunk * width;
  for (int64_t c = 0; c < z.chunks(); c++) {
    if (x.starts)
      std::copy_n(s, key * width, x.starts + c * key * width);
    const Chunk<F> t = chunk_of<F>(z, x, c, x.scratch);
    const int64_t n = t.n;
    if (z.squared) {
      F *e = x.error + t.first * width;
      std::copy_n(t.value, n * width, e);
      scale_rows(t.key, t.ahead, F(-1), n, key, k);
      product(AsIs, k, AsIs, s, e, n, width, key, true);
      product(AsIs, t.key, Transposed, t.key, scores, n, n, key, false);
#pragma omp simd
      for (int64_t i = 0; i < n * n; i++)
        scores[i] *= -t.decays[i];
      substitute(t, scores, width, e, u);
    } else {
      scale_rows(t.value, t.rate, F(1), n, width, u);
    }
    if (t.query) {
      F *read = x.read + t.first * width;
      scale_rows(t.query, t.ahead, F(1), n, key, k);
      product(AsIs, k, AsIs, s, read, n, width, key, false);
      product(AsIs, t.query, Transposed, t.key, scores, n, n, key, false);
      times(scores, t.decays, n * n);
      product(AsIs, scores, AsIs, u, read, n, width, n, true);
    }
    if (t.decayed)
#pragma omp simd
      for (int64_t i = 0; i < key * width; i++)
        s[i] *= t.kept;
    scale_rows(t.key, t.left, F(1), n, key, k);
    product(Transposed, k, AsIs, u, s, key, width, n, true);
  }
}

template <class F> static void backward(const DeltaSizes &z, const DeltaBackward<F> &x) {
  const int64_t key = z.key, width = z.value, most = z.chunk;
  F *ds = x.dstate;
  F *scores = x.scratch + most * (3 + most), *dscores = scores + most * most, *both = dscores + most * most,
    *dsums = both + most * most, *u = dsums + most, *du = u + most * width, *de = du + most * width,
    *k = de + most * width, *dk = k + most * key;
  for (int64_t c = z.chunks() - 1; c >= 0; c--) {
    const Chunk<F> t = chunk_of<F>(z, x, c, x.scratch);
    const int64_t n = t.n;
    const F *s = x.starts + c * key * width, *e = z.squared ? x.error + t.first * width : t.value;
    F *dkey = x.dkey + t.first * key, *dvalue = x.dvalue + t.first * width, *drate = x.drate + t.first;
    std::fill_n(dsums, n, F(0));
    scale_rows(e, t.rate, F(1), n, width, u);

    // S'
    scale_rows(t.key, t.left, F(1), n, key, k);
    product(AsIs, k, AsIs, ds, du, n, width, key, false);
    product(AsIs, u, Transposed, ds, dkey, n, key, width, false);
    scale_rows(dkey, t.left, F(1), n, key, dkey);
    F last = 0; // the gradient of G_last
    if (t.decayed) {
      for (int64_t i = 0; i < n; i++) {
        const F through = dot(dkey + i * key, t.key + i * key, key);
        last += through, dsums[i] -= through;
      }
      last += t.kept * dot(s, ds, key * width);
#pragma omp simd
      for (int64_t i = 0; i < key * width; i++)
        ds[i] *= t.kept;
    }

    // o
    if (x.dread) {
      const F *dread = x.dread + t.first * width;
      F *dquery = x.dquery + t.first * key;
      product(AsIs, t.query, Transposed, t.key, scores, n, n, key, false);
      times(scores, t.decays, n * n);
      product(Transposed, scores, AsIs, dread, du, n, width, n, true);
      product(AsIs, dread, Transposed, u, dscores, n, n, width, false);
      if (t.decayed)
        for (int64_t i = 0; i < n; i++)
          through_decays(dscores + i * n, scores + i * n, i, dsums);
      times(dscores, t.decays, n * n);
      product(AsIs, dread, Transposed, s, dquery, n, key, width, false);
      scale_rows(dquery, t.ahead, F(1), n, key, dquery);
      for (int64_t i = 0; t.decayed && i < n; i++)
        dsums[i] += dot(dquery + i * key, t.query + i * key, key);
      product(AsIs, dscores, AsIs, t.key, dquery, n, key, n, true);
      product(Transposed, dscores, AsIs, t.query, dkey, n, key, n, true);
      scale_rows(t.query, t.ahead, F(1), n, key, k);
      product(Transposed, k, AsIs, dread, ds, key, width, n, true);
    } else if (x.dquery) {
      std::fill_n(x.dquery + t.first * key, n * key, F(0));
    }

    // e and u
    if (z.squared) {
      product(AsIs, t.key, Transposed, t.key, scores, n, n, key, false);
#pragma omp simd
      for (int64_t i = 0; i < n * n; i++)
        scores[i] *= -t.decays[i];
      substitute_back(t, scores, width, du, de);
      product(AsIs, de, Transposed, u, dscores, n, n, width, false); // −n̄
      for (int64_t i = 0; i < n; i++) {
        F *row = dscores + i * n;
        if (t.decayed)
          through_decays(row, scores + i * n, i, dsums);
        std::fill_n(row + i, n - i, F(0));
      }
      for (int64_t i = 0; i < n * n; i++)
        dscores[i] *= -t.decays[i];
      for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j <= i; j++)
          both[i * n + j] = both[j * n + i] = dscores[i * n + j];
      product(AsIs, both, AsIs, t.key, dkey, n, key, n, true);
      product(AsIs, de, Transposed, s, dk, n, key, width, false);
      scale_rows(dk, t.ahead, F(-1), n, key, dk);
      for (int64_t i = 0; t.decayed && i < n; i++)
        dsums[i] += dot(dk + i * key, t.key + i * key, key);
      axpy(F(1), dk, dkey, n * key);
      scale_rows(t.key, t.ahead, F(-1), n, key, k);
      product(Transposed, k, AsIs, de, ds, key, width, n, true);
      std::copy_n(de, n * width, dvalue);
    } else {
      scale_rows(du, t.rate, F(1), n, width, dvalue);
    }
    for (int64_t i = 0; i < n; i++)
      drate[i] = dot(du + i * width, e + i * width, width);
    if (t.decayed)
      for (int64_t i = n - 1; i >= 0; i--)
        x.ddecay[t.first + i] = last += dsums[i];
  }
}
#endif
