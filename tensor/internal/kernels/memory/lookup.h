// Lookups in tables and in memories in one operation; tensor/lookup.go documents them.
#ifndef ENGRAM_KERNELS_LOOKUP_H
#define ENGRAM_KERNELS_LOOKUP_H
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

void *eg_embedding_bag(void *table, void *indices, void *offsets, void *weights);
// out gets what is read and the attention.
int eg_attend(void *queries, void *keys, void *values, double scale, int softmax, void **out);

#ifdef __cplusplus
}
#endif
#endif
