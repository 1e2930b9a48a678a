// The delta rule over sequences in one operation; documented in tensor/delta.go.
#ifndef ENGRAM_KERNELS_DELTA_H
#define ENGRAM_KERNELS_DELTA_H
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

// decay and query may be null. Writes the values read, if there is a query, and the state after the sequence to out.
// Returns the number of outputs, or -1 and leaves a message for eg_error.
int eg_delta(void *state, void *key, void *value, void *rate, void *decay, void *query, int squared, void **out);

#ifdef __cplusplus
}
#endif
#endif
