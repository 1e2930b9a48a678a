// A recurrent network over a whole sequence in one operation; documented in tensor/unroll.go.
#ifndef ENGRAM_KERNELS_UNROLL_H
#define ENGRAM_KERNELS_UNROLL_H
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

struct eg_network {
  int lstm;           // LSTM layers; otherwise feedforward ones
  int layers;         // number of layers
  const char *memory; // the name of a fused memory; NULL for none
  int settings_count; // the memory's
  double carried;     // elementwise clip of the gradient between steps; 0 for none
  double norm;        // eps of a layer norm of the memory's emission, which then has a gain and a bias; 0 for none
  int programs;       // the memory's stored programs, which then have keys; 0 for none
};

// tensors are x, the layers' parameters, the emission layer's weight and bias, the keys of programs, the gain and bias
// of the emission's norm, the memory's initial matrix and the input parts of its initial state.
void *eg_unroll(void **tensors, int n, const struct eg_network *how, const double *settings);

// Returns x. The gradient that flows back through it is clipped elementwise to ±by.
void *eg_clip_gradient(void *x, double by);

#ifdef __cplusplus
}
#endif
#endif
