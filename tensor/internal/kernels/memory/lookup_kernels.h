// Lookups in tables and memories; lookup_kernels.cpp has the equations. All matrices are row-major and contiguous
// unless a step is given.
#ifndef ENGRAM_KERNELS_LOOKUP_KERNELS_H
#define ENGRAM_KERNELS_LOOKUP_KERNELS_H
#include <cstdint>

namespace engram {

// Bags of rows of a table [rows, cols]: bag i is the indices from offsets[i] to the next bag's.
struct BagSizes {
  int64_t rows, cols, bags, count;
  const int64_t *indices, *offsets;
  int64_t end(int64_t bag) const { return bag + 1 < bags ? offsets[bag + 1] : count; }
};

// out [bags, cols]: the weighted sum of each bag's rows.
template <class F> struct Bags : BagSizes {
  const F *table, *weights;
  F *out;
};
template <class F> struct BagsGradient : BagSizes {
  const F *weights, *dout;
  F *dtable; // added to
};

// For bags from..to.
template <class F> void bags_forward(const Bags<F> &, int64_t from, int64_t to);
// For columns from..to of dtable.
template <class F> void bags_backward(const BagsGradient<F> &, int64_t from, int64_t to);

struct AttendSizes {
  int64_t queries, slots, key, value;
  double scale;
  bool softmax;
  int64_t forward_work() const { return queries * slots * (key + value + 20); }
  int64_t backward_work() const { return 2 * forward_work(); }
};

// One task: queries q [queries, key], keys k [slots, key] and values v [slots, value]; step is the distance between
// rows.
template <class F> struct Attend : AttendSizes {
  const F *q, *k, *v;
  int64_t k_step, v_step;
  F *attention; // [queries, slots]
  F *read;      // [queries, value]
};

// dattention and dread may be null, meaning zeros.
template <class F> struct AttendGradient : AttendSizes {
  const F *q, *k, *v;
  int64_t k_step, v_step;
  const F *attention, *dattention, *dread;
  F *dq, *dk, *dv; // written
  F *scratch;      // [slots]
};

template <class F> void attend_forward(const Attend<F> &);
template <class F> void attend_backward(const AttendGradient<F> &);

} // namespace engram
#endif
