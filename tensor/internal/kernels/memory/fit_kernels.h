// Fast weights of one or more layers: the writes and reads of one mini-batch of one sequence; fit_kernels.cpp has the
// equations. All matrices are row-major and contiguous.
#ifndef ENGRAM_KERNELS_FIT_KERNELS_H
#define ENGRAM_KERNELS_FIT_KERNELS_H
#include "orthogonal_kernels.h"

namespace engram {

constexpr int64_t fit_layers = 8; // at most

enum FitLoss { FitDot, FitSquared, FitHuber, FitPNorm };

struct FitSizes {
  int64_t keys; // tokens that have losses, N: those of the mini-batch, and before them what the window reaches
  int64_t time; // tokens of the mini-batch, n
  int64_t layers;
  int64_t width[fit_layers + 1]; // of the keys, between the layers, and of the values
  bool biased, residual, reads;
  bool sums;    // a momentum, or a sum of changes, is carried
  bool summed;  // there is one from before
  bool started; // gradients are taken at other weights than the latest
  bool positions;
  FitLoss loss;
  double threshold, p, scale, eps;
  int64_t window;
  bool simplex;       // the weights are in times the softmax of what is held, over the inputs
  int64_t orthogonal; // Newton-Schulz steps of a change, or 0
  double newton[3];   // their coefficients

  int64_t out() const { return width[layers]; }
  int64_t weights() const; // of all layers
  // Weights after a token are no sum of gradients: every token has its own.
  bool own() const { return simplex || orthogonal > 0; }
  OrthogonalSizes change(int64_t layer) const;
  int64_t forward_work() const {
    return (2 + (own() ? keys + 10 * orthogonal : 3 * reads)) * (keys + time) * weights();
  }
  int64_t backward_work() const { return 3 * forward_work(); }
};

// One tensor per layer, and its bias, or null.
template <class F> struct FitLayers {
  F *weight[fit_layers]; // [in, out]
  F *bias[fit_layers];   // [out]
};

template <class F> struct FitTokens {
  F *query;       // [time, key], or null
  F *key;         // [keys, key]
  F *value;       // [keys, value]
  F *rate;        // [time], or null for ones
  F *decay;       // [time], logarithms, or null
  F *momentum;    // [time], or null
  F *positions;   // [time], or null
  F *gain, *bias; // of the layer norm, [value], or null
};

template <class F> struct FitForward {
  FitLayers<const F> weights, sums, starts;
  FitTokens<const F> tokens;
  F *read; // [time, value], or null
  FitLayers<F> next, next_sums;
  F *scratch;
};
template <class F> void fit_forward(const FitSizes &, const FitForward<F> &);

template <class F> struct FitBackward {
  FitLayers<const F> weights, sums, starts;
  FitTokens<const F> tokens;
  const F *dread;                       // or null
  FitLayers<const F> dnext, dnext_sums; // or nulls
  FitLayers<F> dweights, dsums, dstarts;
  FitTokens<F> dtokens;
  F *scratch;
};
template <class F> void fit_backward(const FitSizes &, const FitBackward<F> &);

// The scratch of either, which is filled with zeros before the first sequence.
template <class F> int64_t fit_scratch(const FitSizes &, bool backward);

} // namespace engram
#endif
