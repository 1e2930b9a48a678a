// Products of all heads at once with a memory M, stored as [width][slots].
#ifndef ENGRAM_KERNELS_HEADS_H
#define ENGRAM_KERNELS_HEADS_H
#include "../processor.h"

#include <cstdint>

namespace engram {

constexpr double cosine_eps = 1e-12; // metric.Cosine's

// The factors of combine: at[t·term + r·row] for term t and row r.
template <class F> struct Weights {
  const F *at;
  int64_t term, row;
};

// The base that combine adds to: base (null for zeros), minus m·along unless along is null.
template <class F> struct Base { const F *base, *m, *along; };

// One set per kind of processor: a kernel calls that of its own namespace, heads::EG_PROCESSOR.
#define EG_HEADS(processor)                                                                                            \
  namespace processor {                                                                                                \
  template <class F> void combine(Weights<F>, int64_t rows, int64_t terms, const F *in, Base<F>, F *out, int64_t n);   \
  template <class F> void dots(const F *a, int64_t rows, const F *b, int64_t cols, int64_t n, F *out, bool add);       \
  template <class F> void inverse_norms(const F *m, int64_t slots, int64_t width, F *out);                             \
  }

namespace heads {
#ifdef EG_X86
EG_HEADS(avx512)
EG_HEADS(avx2)
#endif
EG_HEADS(plain)
} // namespace heads
#undef EG_HEADS

} // namespace engram
#endif
