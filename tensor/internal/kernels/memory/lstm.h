// A step of an LSTM for one sequence; lstm.cpp has the equations.
#ifndef ENGRAM_KERNELS_LSTM_H
#define ENGRAM_KERNELS_LSTM_H
#include <cstdint>

namespace engram {

template <class F> struct LSTMForward {
  int64_t size;
  const F *gates; // [4·size]: input, forget, candidate and output, before the non-linearities
  const F *cell;  // [size]
  F *kept;        // [5·size], for the gradient: the gates after the non-linearities, and tanh of the next cell
  F *hidden, *next;
};

// dhidden and dnext may be null, meaning zeros. dcell may be dnext.
template <class F> struct LSTMBackward {
  int64_t size;
  const F *kept, *cell, *dhidden, *dnext;
  F *dgates, *dcell;
};

template <class F> void lstm_forward(const LSTMForward<F> &);
template <class F> void lstm_backward(const LSTMBackward<F> &);

} // namespace engram
#endif
