// The steps of memories and of the LSTM for one sequence of a batch, and lookups; memkernels.h has them, memkernels.cpp chooses those for
// this machine's processor. Internal to this package's C++.
#ifndef ENGRAM_TENSOR_MEMKERNELS_TABLE_H
#define ENGRAM_TENSOR_MEMKERNELS_TABLE_H
#include <algorithm>
#include <cstdint>

namespace engram {

struct NTMSizes {
  int64_t slots, width, reads, writes, shift;
  double clip;
  int64_t heads() const { return reads + writes; }
  int64_t shifts() const { return 2 * shift + 1; }
  int64_t emission() const { return heads() * (width + 3 + shifts()) + 2 * writes * width; }
  // What the kernels need of room, and about how many multiplications a sequence is.
  int64_t forward_room() const { return 2 * slots + 2 * shift; }
  int64_t backward_room() const { return (5 + 2 * heads()) * slots + 4 * shift; }
  int64_t forward_work() const { return heads() * slots * (3 * width + 60); }
  int64_t backward_work() const { return heads() * slots * (8 * width + 60); }
};

struct LRUASizes {
  int64_t slots, width, heads;
  double decay;
  bool add, strength, own_slots;
  int64_t emission() const { return heads * (width + 1 + (add ? width : 0) + (strength ? 1 : 0)); }
  int64_t wiped() const { return own_slots ? heads : 1; }
  int64_t forward_room() const { return slots + wiped() * (heads + width); }
  int64_t backward_room() const { return (2 + 2 * heads) * slots + heads; }
  int64_t forward_work() const { return heads * slots * (3 * width + 30); }
  int64_t backward_work() const { return heads * slots * (8 * width + 30); }
};

struct DNCSizes {
  int64_t slots, width, reads;
  double clip;
  int64_t emission() const { return (reads + 3) * width + 5 * reads + 3; }
  // A state but for the memory, in the order of DNCParts; and what a step keeps of weightings for its gradient: contents of the
  // write head and of the read heads, and what those read backward and forward.
  int64_t state() const { return slots * (slots + 3 + reads); }
  int64_t kept() const { return (1 + 3 * reads) * slots; }
  int64_t forward_room() const { return 2 * slots; }
  int64_t backward_room() const { return (10 + 3 * reads + 2 * std::max<int64_t>(reads, 1)) * slots; }
  int64_t forward_work() const { return slots * ((4 + 2 * reads) * slots + (reads + 2) * (4 * width + 60)); }
  int64_t backward_work() const { return slots * ((8 + 6 * reads) * slots + (reads + 2) * (10 * width + 60)); }
};

// A state of a DNC but for the memory: link [slots, slots], usage, precedence and write weighting [slots], read weightings
// [reads, slots].
template <class F> struct DNCParts {
  F *link, *usage, *precedence, *write, *read;
  // The parts of one that lies in one piece.
  static DNCParts of(const DNCSizes &z, F *at) {
    F *usage = at + z.slots * z.slots;
    return {at, usage, usage + z.slots, usage + 2 * z.slots, usage + 3 * z.slots};
  }
};

// Bags of rows of a table [rows, cols]: bag i is the indices from offsets[i] on, up to the next bag's.
struct Bags {
  int64_t rows, cols, bags, count;
  const int64_t *indices, *offsets;
  int64_t end(int64_t bag) const { return bag + 1 < bags ? offsets[bag + 1] : count; }
};

struct AttendSizes {
  int64_t queries, slots, key, value;
  double scale;
  bool softmax;
  int64_t forward_work() const { return queries * slots * (key + value + 20); }
  int64_t backward_work() const { return 2 * forward_work(); }
};

template <class F> struct Kernels {
  void (*lstm_forward)(int64_t size, const F *gates, const F *cell, F *act, F *hidden, F *next);
  void (*lstm_backward)(int64_t size, const F *act, const F *cell, const F *dhidden, const F *dnext, F *dgates, F *dcell);
  void (*ntm_forward)(const NTMSizes &z, const F *e, const F *m, const F *prev, F *act, F *content, F *shifted, F *w, F *read, F *next, F *room);
  void (*ntm_backward)(const NTMSizes &z, const F *e, const F *m, const F *prev, const F *act, const F *content, const F *shifted, const F *w, const F *dread, const F *dweight, const F *dnext, F *de, F *dm, F *dprev, F *room);
  void (*lrua_forward)(const LRUASizes &z, const F *e, const F *m, const F *prev, const F *usage, F *act, int64_t *least, F *next, F *w, F *content, F *nextusage, F *read, F *room);
  void (*lrua_backward)(const LRUASizes &z, const F *prev, const F *act, const int64_t *least, const F *next, const F *w, const F *content, const F *dread, const F *dnext, const F *dcontent, const F *dwrite, F *de, F *dm, F *dprev, F *room);
  void (*dnc_forward)(const DNCSizes &z, const F *e, const F *m, const DNCParts<const F> &prev, F *act, F *kept, int64_t *order, F *next, const DNCParts<F> &after, F *read, F *room);
  void (*dnc_backward)(const DNCSizes &z, const F *e, const F *m, const DNCParts<const F> &prev, const F *act, const F *kept, const int64_t *order, const F *next, const DNCParts<const F> &after, const F *dread, const F *dnext, const DNCParts<const F> &dafter, F *de, F *dm, const DNCParts<F> &dprev, F *room);
  void (*panels)(const F *b, int64_t bstep, int64_t inner, int64_t cols, F *out);
  void (*product)(const F *a, int64_t astep, const F *b, F *c, int64_t cstep, int64_t rows, int64_t inner, int64_t cols, bool keep);
  void (*bags_forward)(const Bags &z, const F *table, const F *weights, int64_t from, int64_t to, F *out);
  void (*bags_backward)(const Bags &z, const F *weights, const F *dout, int64_t from, int64_t to, F *dtable);
  void (*attend_forward)(const AttendSizes &z, const F *q, const F *k, int64_t kstep, const F *v, int64_t vstep, F *attention, F *read);
  void (*attend_backward)(const AttendSizes &z, const F *q, const F *k, int64_t kstep, const F *v, int64_t vstep, const F *attention, const F *dattention, const F *dread, F *dq, F *dk, F *dv, F *room);
};

template <class F> const Kernels<F> &kernels();
template <> const Kernels<float> &kernels<float>();
template <> const Kernels<double> &kernels<double>();

} // namespace engram
#endif
