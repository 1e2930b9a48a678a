// BLAS's sgemm_ by oneDNN; documented in product.go. Plain C for cgo.
#ifndef ENGRAM_PRODUCT_SGEMM_H
#define ENGRAM_PRODUCT_SGEMM_H
#ifdef __cplusplus
extern "C" {
#endif

// Whether this process resolves sgemm_ to that of this package, and oneDNN is available.
int eg_sgemm_effective(void);

#ifdef __cplusplus
}
#endif
#endif
