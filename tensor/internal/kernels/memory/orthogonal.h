// The Newton-Schulz iteration on many small matrices in one operation; documented in tensor/orthogonal.go.
#ifndef ENGRAM_KERNELS_ORTHOGONAL_H
#define ENGRAM_KERNELS_ORTHOGONAL_H
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

// coefficients are the three of the iteration. Returns the result, or null and leaves a message for eg_error.
void *eg_newton_schulz(void *matrices, const double *coefficients, int64_t steps, double smooth);

#ifdef __cplusplus
}
#endif
#endif
