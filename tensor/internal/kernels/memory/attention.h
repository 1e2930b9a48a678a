#ifndef ENGRAM_KERNELS_ATTENTION_H
#define ENGRAM_KERNELS_ATTENTION_H
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Multi-head attention of queries [batch, queries, width], keys and values [batch, keys, width]; mask may be null.
// Returns the reads [batch, queries, width], or null.
void *eg_attend_heads(void *queries, void *keys, void *values, void *mask, int64_t heads);

#ifdef __cplusplus
}
#endif
#endif
