// The matrix product of LibTorch's oneDNN.
#ifndef ENGRAM_KERNELS_ONEDNN_H
#define ENGRAM_KERNELS_ONEDNN_H
#include <cstdint>

namespace engram {

// Whether LibTorch exports oneDNN's product.
bool has_onednn();

// c = α·a·b + β·c for row-major a [m, k], b [k, n] and c [m, n], with a or b transposed first if ta or tb is set;
// lda, ldb and ldc are the distances between rows. Returns false, without changing c, if oneDNN does not support it.
bool onednn_product(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
                    const float *b, int64_t ldb, float beta, float *c, int64_t ldc);

} // namespace engram
#endif
