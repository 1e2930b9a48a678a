// The writes and reads of a mini-batch of fast weights in one operation; documented in tensor/fit.go.
#ifndef ENGRAM_KERNELS_FIT_H
#define ENGRAM_KERNELS_FIT_H
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

struct eg_fit_rule {
  int64_t layers, window;
  int loss, biased, residual; // loss: 0 dot, 1 squared, 2 Huber, 3 p-norm
  double threshold, p, scale, eps;
  int simplex;
  int64_t orthogonal; // steps of Newton and Schulz, with the coefficients
  double newton[3];
};

// Tensors may be null but for the weights, keys and values. There is one of the weights, sums and starts for each
// layer, and with biases a second one. Keys and values are those of `time` tokens and of the tokens before them that
// the window reaches. Writes the values read, if there are queries, the weights, and the sums if there are momenta or
// positions, to out. Returns the number of outputs, or -1 and leaves a message for eg_error.
int eg_fit(const struct eg_fit_rule *rule, int64_t time, void **weights, void **sums, void **starts, void *key,
           void *value, void *query, void *rate, void *decay, void *momentum, void *positions, void *gain, void *bias,
           void **out);

#ifdef __cplusplus
}
#endif
#endif
