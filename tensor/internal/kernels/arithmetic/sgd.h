// Gradient descent with momentum, and averages of parameters; documented in tensor/layers.go.
#ifndef ENGRAM_KERNELS_SGD_H
#define ENGRAM_KERNELS_SGD_H
#ifdef __cplusplus
extern "C" {
#endif

// Updates all parameters and velocities in place, except those whose gradient is NULL.
int eg_sgd(void **params, void **grads, void **v, int n, double lr, double momentum, double decay, int nesterov);

// Moves each value towards its target by a weight, in place.
int eg_lerp(void **values, void **targets, int n, double weight);

#ifdef __cplusplus
}
#endif
#endif
