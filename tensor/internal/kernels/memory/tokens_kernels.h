// The tokens of one sequence; tokens_kernels.cpp has the equations.
#ifndef ENGRAM_KERNELS_TOKENS_KERNELS_H
#define ENGRAM_KERNELS_TOKENS_KERNELS_H
#include "tokens.h"

namespace engram {

// The emission of a token has queries, keys, values, rates, decays and momenta of all heads, one part after the other.
struct TokenSizes : eg_emission {
  int64_t time;
  int64_t rates() const { return max_rate > 0 ? writes : 0; }
  int64_t momenta() const { return momentum ? writes : 0; }
  int64_t columns() const { return value + (ones ? 1 : 0); }
  int64_t width() const { return heads * (key + writes * (key + value) + rates() + channels + momenta()); }
  int64_t work() const { return 20 * time * width(); }
};

// Pointers to parts that are not there are null. Those of tokens are [heads, time or time·writes, ...].
template <class F> struct TokensForward {
  const F *emission;    // [time, width]
  const F *rate, *bias; // of the decay, [heads] and [heads, channels]
  F *query, *key, *value, *rates, *decay, *momentum;
};

// Null gradients of tokens are zero.
template <class F> struct TokensBackward {
  const F *emission, *rate, *bias;
  const F *dquery, *dkey, *dvalue, *drates, *ddecay, *dmomentum;
  F *demission, *drate, *dbias; // written; the last two are of this sequence
  F *scratch;                   // [key]
};

template <class F> void tokens_forward(const TokenSizes &, const TokensForward<F> &);
template <class F> void tokens_backward(const TokenSizes &, const TokensBackward<F> &);

} // namespace engram
#endif
