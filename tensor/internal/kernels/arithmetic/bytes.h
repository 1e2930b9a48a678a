// Bytes to float. Plain C for cgo.
#ifndef ENGRAM_KERNELS_BYTES_H
#define ENGRAM_KERNELS_BYTES_H
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

// Writes v/255 for each of the n bytes v, rounded to the nearest float.
void eg_of_bytes(float *out, const uint8_t *in, int64_t n);

#ifdef __cplusplus
}
#endif
#endif
