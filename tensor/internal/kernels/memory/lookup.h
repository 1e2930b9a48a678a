// Lookups in tables and memories in one operation; documented in tensor/lookup.go.
#ifndef ENGRAM_KERNELS_LOOKUP_H
#define ENGRAM_KERNELS_LOOKUP_H
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

void *eg_embedding_bag(void *table, void *indices, void *offsets, void *weights);
// Writes the values read and the attention to out.
int eg_attend(void *queries, void *keys, void *values, double scale, int softmax, void **out);

#ifdef __cplusplus
}
#endif
#endif
