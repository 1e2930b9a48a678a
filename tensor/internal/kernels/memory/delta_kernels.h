// The delta rule and linear attention over one sequence, chunk by chunk; delta_kernels.cpp has the equations. All
// matrices are row-major and contiguous.
#ifndef ENGRAM_KERNELS_DELTA_KERNELS_H
#define ENGRAM_KERNELS_DELTA_KERNELS_H
#include <algorithm>
#include <cstdint>

namespace engram {

struct DeltaSizes {
  int64_t time, key, value, chunk;
  bool squared; // the delta rule; else linear attention
  int64_t chunks() const { return (time + chunk - 1) / chunk; }
  int64_t forward_scratch() const { return chunk * (3 + 2 * chunk + value + key); }
  int64_t backward_scratch() const { return chunk * (4 + 4 * chunk + 3 * value + 2 * key); }
  int64_t forward_work() const { return time * (3 * key * value + 3 * chunk * std::max(key, value)); }
  int64_t backward_work() const { return 3 * forward_work(); }
};

// What a sequence writes and asks.
template <class F> struct DeltaTokens {
  const F *query; // [time, key], or null
  const F *key;   // [time, key]
  const F *value; // [time, value]
  const F *rate;  // [time]
  const F *decay; // [time], logarithms, or null
};

template <class F> struct DeltaForward : DeltaTokens<F> {
  F *read;   // [time, value]; only with queries
  F *state;  // [key, value], before the sequence and then after it
  F *error;  // [time, value]; only with the squared loss
  F *starts; // [chunks, key, value], the state before each chunk; or null
  F *scratch;
};
template <class F> void delta_forward(const DeltaSizes &, const DeltaForward<F> &);

template <class F> struct DeltaBackward : DeltaTokens<F> {
  const F *error, *starts;                    // of delta_forward
  const F *dread;                             // or null
  F *dstate;                                  // of the state after the sequence, and then of that before it
  F *dquery, *dkey, *dvalue, *drate, *ddecay; // dquery and ddecay are null like query and decay
  F *scratch;
};
template <class F> void delta_backward(const DeltaSizes &, const DeltaBackward<F> &);

} // namespace engram
#endif
