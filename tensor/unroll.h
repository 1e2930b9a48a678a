// A recurrent network over a whole sequence in one operation; unroll.go documents it.
#ifndef ENGRAM_TENSOR_UNROLL_H
#define ENGRAM_TENSOR_UNROLL_H
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

enum { EG_MEMORY_NONE, EG_MEMORY_NTM, EG_MEMORY_LRUA, EG_MEMORY_DNC };

struct eg_network {
  int lstm; // or feedforward layers
  int layers;
  int memory;
  int64_t reads, writes, shift; // of NTM; reads are LRUA's heads, and DNC has reads alone
  double clip, decay;
  int add, strength, own_slots;
  double carried; // bound of the gradient's elements that a step hands to the one before it; 0 for none
};

// tensors are x, the layers' parameters, the emitting layer's weight and bias and the memory's first state.
void *eg_unroll(void **tensors, int n, const struct eg_network *how);

// x, whose gradient is clipped elementwise to ±by.
void *eg_clip_gradient(void *x, double by);

#ifdef __cplusplus
}
#endif
#endif
