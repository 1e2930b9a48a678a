// The steps of an entity network for one story; entities_kernels.cpp has the equations.
#ifndef ENGRAM_KERNELS_ENTITIES_KERNELS_H
#define ENGRAM_KERNELS_ENTITIES_KERNELS_H
#include "panels.h"

#include <cstdint>

namespace engram {

struct EntitiesSizes {
  int64_t slots, width;
  double eps; // added to the squared length of a slot
  int64_t numbers() const { return slots * width; }
  int64_t work() const { return numbers() * (width + 20); } // of a step
};

// What the steps of a story keep for the gradient: h before each step and a [steps, slots, width], g and the inverse
// lengths r [steps, slots]. Without a gradient each is one step, written again and again, and there is no h.
template <class F> struct EntitiesTape { F *h, *a, *g, *r; };

// The operands of a story. Sentences and inputs [steps, width], and gates [steps, slots], are `apart` stories apart.
template <class F> struct EntitiesStory {
  int64_t steps, apart;
  const F *sentences, *inputs, *to_keys;
  const F *from_keys; // [slots, width]
  const F *slope;     // [width]
  const F *panels;    // of Uᵀ, and of U for the gradient
};

// slots [slots, width] holds the first slots and then the last.
template <class F>
void entities_forward(const EntitiesSizes &, const EntitiesStory<F> &, const EntitiesTape<F> &, bool keep, F *slots);

// The gradients of a story. All but dslots are written or, where they are sums over steps, added to; a of the tape
// becomes its gradient. dslots is that of the last slots and then of the first.
template <class F> struct EntitiesGradient {
  const F *last;
  F *dslots, *dsentences, *dinputs, *dto_keys;
  F *dfrom_keys, *dslope; // added to
};
template <class F>
void entities_backward(const EntitiesSizes &, const EntitiesStory<F> &, const EntitiesTape<F> &,
                       const EntitiesGradient<F> &);

} // namespace engram
#endif
