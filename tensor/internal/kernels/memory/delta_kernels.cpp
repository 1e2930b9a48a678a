// The delta rule with decays: Yang, Kautz and Hatamizadeh 2024 (2412.06464), eq. 10; by a decay per row, Kimi Linear
// 2025 (2510.26692), eq. 1. A token with key k, value v, rate b, query q and the factors a of the decay takes the state
// S [key, value] to
//
//	e = v − kᵀ(a⊙S),  u = b e,  S' = a⊙S + k uᵀ,  o = qᵀS'
//
// Linear attention is the same with e = v. Gradient, given ō and S̄' (x̄ is the derivative of the loss with respect to
// x):
//
//	S̄' += q ōᵀ,  ū = kᵀS̄',  ē = b ū,  b̄ = ū·e,  v̄ = ē,  X = S̄' − k ēᵀ
//	q̄ = a⊙(S ō) + k (u·ō),  k̄ = S̄' u − a⊙(S ē)
//	S̄ = a⊙X,  and the gradient of log a_i is a_i Σ_j X_ij S_ij
//
// with e = v, ē does not go through kᵀ(a⊙S): X = S̄' and k̄ = S̄' u.
#ifndef EG_BYTES
#include "../arithmetic/simd_includes.h"
#include "../processor.h"
#include "delta_kernels.h"

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

// N vectors of a row: columns [0, width) of a tensor, of which only the last vector may be in part, or in the scratch
// all of them, zeros beyond the width.
template <class F, int N> struct Columns {
  typedef F V __attribute__((vector_size(EG_BYTES)));
  static constexpr int64_t count = N * lanes<F>;
  V at[N];

  template <class G> static EG_INLINE void each(const G &g) { unrolled(g, std::make_index_sequence<N>()); }

  EG_INLINE void get(const F *from) {
    each([&](auto n) { load<false>(from + n * lanes<F>, 0, at[n]); });
  }
  EG_INLINE void put(F *to) const {
    each([&](auto n) { store<false>(at[n], 0, to + n * lanes<F>); });
  }
  EG_INLINE void get(const F *from, int64_t width) {
    each([&](auto n) { load<n == N - 1>(from + n * lanes<F>, width - n * lanes<F>, at[n]); });
  }
  EG_INLINE void put(F *to, int64_t width) const {
    each([&](auto n) { store<n == N - 1>(at[n], width - n * lanes<F>, to + n * lanes<F>); });
  }
  EG_INLINE void zero() {
    each([&](auto n) { at[n] = V{}; });
  }
  // Adds by·x.
  EG_INLINE void add(F by, const Columns &x) {
    each([&](auto n) { at[n] += by * x.at[n]; });
  }
  EG_INLINE void scale(F by) {
    each([&](auto n) { at[n] *= by; });
  }
  // The products with x, summed over the vectors but not over their lanes.
  EG_INLINE V times(const Columns &x) const {
    V sum{};
    each([&](auto n) { sum += at[n] * x.at[n]; });
    return sum;
  }
};

// Copies `rows` rows of a state between a tensor, whose rows are `stride` apart, and the scratch.
template <class C, class F>
EG_INLINE void read_state(const F *from, int64_t rows, int64_t stride, int64_t width, F *to) {
  for (int64_t i = 0; i < rows; i++) {
    C row;
    row.get(from + i * stride, width);
    row.put(to + i * C::count);
  }
}
template <class C, class F>
EG_INLINE void write_state(const F *from, int64_t rows, int64_t stride, int64_t width, F *to) {
  for (int64_t i = 0; i < rows; i++) {
    C row;
    row.get(from + i * C::count);
    row.put(to + i * stride, width);
  }
}

// The factors a of token t, [key].
template <class F> EG_INLINE void factors(const DeltaSizes &z, const DeltaTokens<F> &x, int64_t t, F *a) {
  if (z.channels) {
    const F *decay = x.decay + t * z.key;
#pragma omp simd
    for (int64_t i = 0; i < z.key; i++)
      a[i] = exponential(decay[i]);
  } else {
    std::fill_n(a, z.key, x.decay ? exponential(x.decay[t]) : F(1));
  }
}

// Columns from `first` on, `width` of them, through the whole sequence.
template <class F, int N>
static void forward_columns(const DeltaSizes &z, const DeltaForward<F> &x, int64_t first, int64_t width) {
  typedef Columns<F, N> C;
  const int64_t rows = z.key, stride = z.value;
  F *a = x.scratch, *ak = a + rows, *s = ak + rows;
  read_state<C>(x.state + first, rows, stride, width, s);
  for (int64_t t = 0; t < z.time; t++) {
    if (x.starts && t % z.segment == 0)
      write_state<C>(s, rows, stride, width, x.starts + t / z.segment * rows * stride + first);
    const F *k = x.key + t * rows;
    factors(z, x, t, a);
    C u;
    u.get(x.value + t * stride + first, width);
    if (z.squared) {
#pragma omp simd
      for (int64_t i = 0; i < rows; i++)
        ak[i] = a[i] * k[i];
      C sum[2]; // two chains of additions
      sum[0].zero(), sum[1].zero();
      int64_t i = 0;
      for (; i + 1 < rows; i += 2)
        for (int c = 0; c < 2; c++) {
          C row;
          row.get(s + (i + c) * C::count);
          sum[c].add(ak[i + c], row);
        }
      if (i < rows) {
        C row;
        row.get(s + i * C::count);
        sum[0].add(ak[i], row);
      }
      u.add(F(-1), sum[0]), u.add(F(-1), sum[1]);
      u.put(x.error + t * stride + first, width);
    }
    u.scale(x.rate[t]);
    if (x.query) {
      const F *q = x.query + t * rows;
      C read;
      read.zero();
      for (int64_t i = 0; i < rows; i++) {
        C row;
        row.get(s + i * C::count);
        row.scale(a[i]), row.add(k[i], u);
        row.put(s + i * C::count);
        read.add(q[i], row);
      }
      read.put(x.read + t * stride + first, width);
    } else {
      for (int64_t i = 0; i < rows; i++) {
        C row;
        row.get(s + i * C::count);
        row.scale(a[i]), row.add(k[i], u);
        row.put(s + i * C::count);
      }
    }
  }
  write_state<C>(s, rows, stride, width, x.state + first);
}

template <class F, int N>
static void backward_columns(const DeltaSizes &z, const DeltaBackward<F> &x, int64_t first, int64_t width) {
  typedef Columns<F, N> C;
  typedef typename C::V V;
  const int64_t rows = z.key, stride = z.value, size = rows * C::count;
  const F *errors = z.squared ? x.error : x.value;
  F *a = x.scratch, *ds = a + rows, *states = ds + z.block<F>();                 // with [segment] states
  const auto added = [&](F value, F *to) { *to = first ? *to + value : value; }; // the sum over all columns
  read_state<C>(x.dstate + first, rows, stride, width, ds);
  for (int64_t g = z.segments() - 1; g >= 0; g--) {
    const int64_t begin = g * z.segment, end = std::min(begin + z.segment, z.time);
    read_state<C>(x.starts + g * rows * stride + first, rows, stride, width, states);
    for (int64_t t = begin; t + 1 < end; t++) { // the states before the other tokens of the segment
      const F *k = x.key + t * rows, *s = states + (t - begin) * size;
      factors(z, x, t, a);
      C u;
      u.get(errors + t * stride + first, width);
      u.scale(x.rate[t]);
      for (int64_t i = 0; i < rows; i++) {
        C row;
        row.get(s + i * C::count);
        row.scale(a[i]), row.add(k[i], u);
        row.put(states + (t + 1 - begin) * size + i * C::count);
      }
    }
    for (int64_t t = end - 1; t >= begin; t--) {
      const F *k = x.key + t * rows, *q = x.query ? x.query + t * rows : nullptr, *s = states + (t - begin) * size;
      factors(z, x, t, a);
      C e, u, du, de, dread;
      e.get(errors + t * stride + first, width);
      u = e, u.scale(x.rate[t]);
      du.zero(), dread.zero();
      if (x.dread) {
        dread.get(x.dread + t * stride + first, width);
        for (int64_t i = 0; i < rows; i++) {
          C row;
          row.get(ds + i * C::count);
          row.add(q[i], dread);
          row.put(ds + i * C::count);
          du.add(k[i], row);
        }
      } else {
        for (int64_t i = 0; i < rows; i++) {
          C row;
          row.get(ds + i * C::count);
          du.add(k[i], row);
        }
      }
      added(sum_lanes<F>(du.times(e)), x.drate + t);
      de = du, de.scale(x.rate[t]);
      de.put(x.dvalue + t * stride + first, width);
      const F along = x.dread ? sum_lanes<F>(u.times(dread)) : F(0);
      F *dk = x.dkey + t * rows, *dq = q ? x.dquery + t * rows : nullptr;
      if (!z.squared)
        de.zero(); // it goes to the value alone
      V decays{};
      for (int64_t i = 0; i < rows; i++) {
        C before, row;
        before.get(s + i * C::count), row.get(ds + i * C::count);
        added(sum_lanes<F>(row.times(u) - a[i] * before.times(de)), dk + i);
        if (x.dread)
          added(a[i] * sum_lanes<F>(before.times(dread)) + k[i] * along, dq + i);
        row.add(-k[i], de);
        row.scale(a[i]);
        row.put(ds + i * C::count);
        const V through = row.times(before);
        if (z.channels)
          added(sum_lanes<F>(through), x.ddecay + t * rows + i);
        else
          decays += through;
      }
      if (x.decay && !z.channels)
        added(sum_lanes<F>(decays), x.ddecay + t);
    }
  }
  write_state<C>(ds, rows, stride, width, x.dstate + first);
}

// Calls of(first, width) for blocks of columns, with the least number of vectors that hold the width.
#define EG_DELTA_COLUMNS(of)                                                                                           \
  for (int64_t first = 0; first < z.value; first += 4 * lanes<F>) {                                                    \
    const int64_t width = std::min<int64_t>(z.value - first, 4 * lanes<F>);                                            \
    if (width > 3 * lanes<F>)                                                                                          \
      of<F, 4>(z, x, first, width);                                                                                    \
    else if (width > 2 * lanes<F>)                                                                                     \
      of<F, 3>(z, x, first, width);                                                                                    \
    else if (width > lanes<F>)                                                                                         \
      of<F, 2>(z, x, first, width);                                                                                    \
    else                                                                                                               \
      of<F, 1>(z, x, first, width);                                                                                    \
  }

template <class F> static void forward(const DeltaSizes &z, const DeltaForward<F> &x) {
  EG_DELTA_COLUMNS(forward_columns)
}

template <class F> static void backward(const DeltaSizes &z, const DeltaBackward<F> &x) {
  if (x.dquery && !x.dread)
    std::fill_n(x.dquery, z.time * z.key, F(0));
  EG_DELTA_COLUMNS(backward_columns)
}
#undef EG_DELTA_COLUMNS
#endif
