// A recurrent network over a whole sequence as one operation; tensor/unroll.go documents it.
#ifndef ENGRAM_KERNELS_UNROLL_H
#define ENGRAM_KERNELS_UNROLL_H
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

struct eg_network {
  int lstm;           // LSTM layers; otherwise feedforward ones
  int layers;         // how many
  const char *memory; // the name of a fused memory; NULL for none
  int settings_count; // the memory's
  double carried;     // bound of the elements of the gradient that a step hands to the one before it; 0 for none
};

// tensors are x, the layers' parameters, the emitting layer's weight and bias, the memory's first matrix and the parts
// of its first state that a step reads.
void *eg_unroll(void **tensors, int n, const struct eg_network *how, const double *settings);

// Returns x, whose gradient is clipped elementwise to ±by.
void *eg_clip_gradient(void *x, double by);

#ifdef __cplusplus
}
#endif
#endif
