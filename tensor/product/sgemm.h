// BLAS's sgemm_ by oneDNN; product.go documents it. Plain C, so that cgo reads it.
#ifndef ENGRAM_PRODUCT_SGEMM_H
#define ENGRAM_PRODUCT_SGEMM_H
#ifdef __cplusplus
extern "C" {
#endif

// Whether this process resolves sgemm_ to the one of this package, and oneDNN is there.
int eg_sgemm_effective(void);

#ifdef __cplusplus
}
#endif
#endif
