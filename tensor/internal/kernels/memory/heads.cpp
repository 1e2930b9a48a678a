// Sums stay in registers, for which GCC must unroll the loops, and each value of M is loaded once for several heads.
#ifndef EG_BYTES
#include "heads.h"

#include "../arithmetic/simd_includes.h"

namespace engram {
namespace heads {

#define EG_KERNELS_FILE "memory/heads.cpp"
#include "../perprocessor.h"

} // namespace heads
} // namespace engram
#else
namespace {
#include "../arithmetic/simd.h"
} // namespace

// Vectors and rows of sums in registers: AVX-512 has 32 registers, the others 16.
constexpr int panel_vectors = EG_BYTES == 64 ? 4 : 2, panel_rows = EG_BYTES == 64 ? 4 : 6;

// Rows rows of combine from row top on, for Vectors vectors from slot c on.
template <class F, int Rows, int Vectors, bool Part>
EG_INLINE void combine_block(Weights<F> map, int64_t top, int64_t terms, const F *in, Base<F> start, F *out, int64_t n,
                             int64_t c) {
  typedef F V __attribute__((vector_size(EG_BYTES)));
  const int64_t first = top * n + c, left = n - c;
  const F *at = map.at + top * map.row;
  V sum[Rows][Vectors];
#pragma GCC unroll 4
  for (int r = 0; r < Rows; r++)
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; v++) {
      sum[r][v] = V{};
      if (start.base)
        load<Part>(start.base + first + r * n + v * lanes<F>, left, sum[r][v]);
    }
  if (start.along) {
    V along[Vectors];
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; v++)
      load<Part>(start.along + c + v * lanes<F>, left, along[v]);
#pragma GCC unroll 4
    for (int r = 0; r < Rows; r++)
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; v++) {
        V m;
        load<Part>(start.m + first + r * n + v * lanes<F>, left, m);
        sum[r][v] -= m * along[v];
      }
  }
  for (int64_t t = 0; t < terms; t++) {
    V x[Vectors];
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; v++)
      load<Part>(in + t * n + c + v * lanes<F>, left, x[v]);
#pragma GCC unroll 4
    for (int r = 0; r < Rows; r++)
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; v++)
        sum[r][v] += at[t * map.term + r * map.row] * x[v];
  }
#pragma GCC unroll 4
  for (int r = 0; r < Rows; r++)
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; v++)
      store<Part>(sum[r][v], left, out + first + r * n + v * lanes<F>);
}

template <class F, int Rows>
EG_INLINE void combine_rows(Weights<F> map, int64_t r, int64_t terms, const F *in, Base<F> start, F *out, int64_t n) {
  int64_t c = 0;
  for (; c + panel_vectors * lanes<F> <= n; c += panel_vectors * lanes<F>)
    combine_block<F, Rows, panel_vectors, false>(map, r, terms, in, start, out, n, c);
  for (; c + lanes<F> <= n; c += lanes<F>)
    combine_block<F, Rows, 1, false>(map, r, terms, in, start, out, n, c);
  if (c < n)
    combine_block<F, Rows, 1, true>(map, r, terms, in, start, out, n, c);
}

// out[r] = start[r] + Σ_t map(t, r)·in[t] for rows of n slots. start.base may be out.
template <class F>
void combine(Weights<F> map, int64_t rows, int64_t terms, const F *in, Base<F> start, F *out, int64_t n) {
  int64_t r = 0;
  for (; r + 4 <= rows; r += 4)
    combine_rows<F, 4>(map, r, terms, in, start, out, n);
  if (r + 2 <= rows)
    combine_rows<F, 2>(map, r, terms, in, start, out, n), r += 2;
  if (r < rows)
    combine_rows<F, 1>(map, r, terms, in, start, out, n);
}

// The lower half (Half is 0) or upper half of each Group of positions of a and b, Block positions of a and of b in
// turn.
template <int Group, int Block, int Half, class V, size_t... L>
EG_INLINE V interleave(V a, V b, std::index_sequence<L...>) {
  constexpr int n = sizeof...(L);
#define EG_PLACE                                                                                                       \
  int(L / Group * Group + Half * Group / 2 + L % Group / (2 * Block) * Block + L % Block + L / Block % 2 * n)...
#ifdef __clang__
  return __builtin_shufflevector(a, b, EG_PLACE);
#else
  return __builtin_shuffle(a, b, decltype(a < b){EG_PLACE});
#endif
#undef EG_PLACE
}

// The sums of Count vectors' values, repeated to fill a vector. Values are exchanged within 16 bytes first, which is
// fastest.
template <class F, int Count, class V> EG_INLINE V sum_each(const V *of) {
  if constexpr (Count == 1) {
    return *of;
  } else {
    constexpr int block = Count / 2, near = 16 / sizeof(F), group = block < near ? near : lanes<F>;
    constexpr auto places = std::make_index_sequence<lanes<F>>();
    const V a = sum_each<F, block>(of), b = sum_each<F, block>(of + block);
    return interleave<group, block, 0>(a, b, places) + interleave<group, block, 1>(a, b, places);
  }
}

template <bool Part, class F, int Rows, int Cols, class V>
EG_INLINE void dots_step(const F *a, const F *b, int64_t n, int64_t left, V *sum) {
  V y[Cols];
#pragma GCC unroll 4
  for (int c = 0; c < Cols; c++)
    load<Part>(b + c * n, left, y[c]);
#pragma GCC unroll 4
  for (int r = 0; r < Rows; r++) {
    V x;
    load<Part>(a + r * n, left, x);
#pragma GCC unroll 4
    for (int c = 0; c < Cols; c++)
      sum[r * Cols + c] += x * y[c];
  }
}

template <class F, int Rows, int Cols>
EG_INLINE void dots_block(const F *a, const F *b, int64_t n, F *out, int64_t step, bool add) {
  typedef F V __attribute__((vector_size(EG_BYTES)));
  constexpr int groups = (Rows * Cols + lanes<F> - 1) / lanes<F>;
  V sum[groups * lanes<F>];
#pragma GCC unroll 16
  for (int i = 0; i < groups * lanes<F>; i++)
    sum[i] = V{};
  int64_t i = 0;
  for (; i + lanes<F> <= n; i += lanes<F>)
    dots_step<false, F, Rows, Cols>(a + i, b + i, n, 0, sum);
  if (i < n)
    dots_step<true, F, Rows, Cols>(a + i, b + i, n, n - i, sum);
  F all[groups * lanes<F>];
#pragma GCC unroll 4
  for (int g = 0; g < groups; g++) {
    const V t = sum_each<F, lanes<F>>(sum + g * lanes<F>);
    memcpy(all + g * lanes<F>, &t, sizeof(V));
  }
  for (int r = 0; r < Rows; r++)
    for (int c = 0; c < Cols; c++)
      out[r * step + c] = all[r * Cols + c] + (add ? out[r * step + c] : F(0));
}

template <class F, int Rows>
EG_INLINE void dots_rows(const F *a, const F *b, int64_t cols, int64_t n, F *out, bool add) {
  int64_t c = 0;
  for (; c + panel_vectors <= cols; c += panel_vectors)
    dots_block<F, Rows, panel_vectors>(a, b + c * n, n, out + c, cols, add);
  for (; c < cols; c++)
    dots_block<F, Rows, 1>(a, b + c * n, n, out + c, cols, add);
}

// out [rows, cols] = a·bᵀ for a [rows, n] and b [cols, n], added to out if add.
template <class F> void dots(const F *a, int64_t rows, const F *b, int64_t cols, int64_t n, F *out, bool add) {
  int64_t r = 0;
  for (; r + 4 <= rows; r += 4)
    dots_rows<F, 4>(a + r * n, b, cols, n, out + r * cols, add);
  if (r + 2 <= rows)
    dots_rows<F, 2>(a + r * n, b, cols, n, out + r * cols, add), r += 2;
  if (r < rows)
    dots_rows<F, 1>(a + r * n, b, cols, n, out + r * cols, add);
}

// ‖M_i‖² of Vectors vectors of slots from slot c on.
template <class F, int Vectors, bool Part>
EG_INLINE void squared_norms(const F *m, int64_t slots, int64_t width, int64_t c, F *out) {
  typedef F V __attribute__((vector_size(EG_BYTES)));
  V sum[Vectors];
#pragma GCC unroll 4
  for (int v = 0; v < Vectors; v++)
    sum[v] = V{} + F(cosine_eps);
  for (int64_t r = 0; r < width; r++)
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; v++) {
      V x;
      load<Part>(m + r * slots + c + v * lanes<F>, slots - c, x);
      sum[v] += x * x;
    }
#pragma GCC unroll 4
  for (int v = 0; v < Vectors; v++)
    store<Part>(sum[v], slots - c, out + c + v * lanes<F>);
}

// 1/‖M_i‖, [slots].
template <class F> void inverse_norms(const F *m, int64_t slots, int64_t width, F *out) {
  int64_t c = 0;
  for (; c + 4 * lanes<F> <= slots; c += 4 * lanes<F>)
    squared_norms<F, 4, false>(m, slots, width, c, out);
  for (; c + lanes<F> <= slots; c += lanes<F>)
    squared_norms<F, 1, false>(m, slots, width, c, out);
  if (c < slots)
    squared_norms<F, 1, true>(m, slots, width, c, out);
#pragma omp simd
  for (int64_t i = 0; i < slots; i++)
    out[i] = inverse_sqrt(out[i]);
}

#define EG_INSTANTIATE(F)                                                                                              \
  template void combine(Weights<F>, int64_t, int64_t, const F *, Base<F>, F *, int64_t);                               \
  template void dots(const F *, int64_t, const F *, int64_t, int64_t, F *, bool);                                      \
  template void inverse_norms(const F *, int64_t, int64_t, F *);
EG_INSTANTIATE(float)
EG_INSTANTIATE(double)
#undef EG_INSTANTIATE
#endif
