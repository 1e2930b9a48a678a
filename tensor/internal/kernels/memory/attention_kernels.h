// Attention of one head of one sequence; attention_kernels.cpp has the equations. Rows may lie within larger matrices.
#ifndef ENGRAM_KERNELS_ATTENTION_KERNELS_H
#define ENGRAM_KERNELS_ATTENTION_KERNELS_H
#include "panels.h"

#include <algorithm>
#include <cstdint>

namespace engram {

struct AttentionSizes {
  int64_t queries, keys, width; // width of a head
  double scale;
  int64_t work() const { return queries * keys * (2 * width + 20); }
  int64_t forward_scratch() const {
    return width * keys + std::max(panels_size(width, keys), panels_size(keys, width));
  }
  int64_t backward_scratch() const {
    return width * keys + 2 * queries * keys +
           std::max({panels_size(width, keys), panels_size(keys, width), panels_size(queries, width)});
  }
};

// A matrix whose rows are `step` numbers apart.
template <class F> struct Rows {
  F *at;
  int64_t step;
};

template <class F> struct AttentionForward {
  Rows<const F> query, key, value;
  Rows<const F> mask; // [queries, keys]; null for none
  F *weights;         // [queries, keys], written
  Rows<F> read;
  F *scratch;
};

template <class F> struct AttentionBackward {
  Rows<const F> query, key, value;
  const F *weights;
  Rows<const F> dread;
  Rows<F> dquery, dkey, dvalue; // written
  F *scratch;
};

template <class F> void attention_forward(const AttentionSizes &, const AttentionForward<F> &);
template <class F> void attention_backward(const AttentionSizes &, const AttentionBackward<F> &);

} // namespace engram
#endif
