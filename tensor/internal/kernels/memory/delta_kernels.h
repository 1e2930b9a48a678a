// The delta rule and linear attention over one sequence, token by token; delta_kernels.cpp has the equations. All
// matrices are row-major and contiguous.
#ifndef ENGRAM_KERNELS_DELTA_KERNELS_H
#define ENGRAM_KERNELS_DELTA_KERNELS_H
#include <algorithm>
#include <cstdint>

namespace engram {

// The columns of a state are independent of one another: a kernel goes through the sequence with so many bytes of each
// row at a time, four vectors at most, so that the state stays in the first cache.
constexpr int64_t delta_block_bytes = 256;

struct DeltaSizes {
  int64_t time, key, value;
  bool squared;  // the delta rule; else linear attention
  bool channels; // a decay for each row of the state; else one, or none
  // The backward pass has the state before each segment, and computes those within it again.
  static constexpr int64_t segment = 16;
  int64_t segments() const { return (time + segment - 1) / segment; }
  template <class F> int64_t block() const { return key * (delta_block_bytes / int64_t(sizeof(F))); }
  template <class F> int64_t forward_scratch() const { return block<F>() + 2 * key; }
  template <class F> int64_t backward_scratch() const { return (std::min(segment, time) + 1) * block<F>() + key; }
  int64_t forward_work() const { return 4 * time * key * value; }
  int64_t backward_work() const { return 3 * forward_work(); }
};

// What a sequence writes and asks.
template <class F> struct DeltaTokens {
  const F *query; // [time, key], or null
  const F *key;   // [time, key]
  const F *value; // [time, value]
  const F *rate;  // [time]
  const F *decay; // [time] or [time, key], logarithms, or null
};

template <class F> struct DeltaForward : DeltaTokens<F> {
  F *read;   // [time, value]; only with queries
  F *state;  // [key, value], before the sequence and then after it
  F *error;  // [time, value]; only with the squared loss
  F *starts; // [segments, key, value], the state before each segment; or null
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
