#include "product.h"

#include "onednn.h"

#include <dlfcn.h>

namespace engram {
namespace {

using cblas_fn = void (*)(int, int, int, int, int, int, float, const float *, int, const float *, int, float, float *,
                          int);
const cblas_fn cblas = reinterpret_cast<cblas_fn>(dlsym(RTLD_DEFAULT, "cblas_sgemm"));

} // namespace

bool product(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
             const float *b, int64_t ldb, float beta, float *c, int64_t ldc) {
  if (onednn_product(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc))
    return true;
  if (!cblas)
    return false;
  constexpr int row_major = 101, no_transpose = 111, transpose = 112; // cblas.h
  cblas(row_major, ta ? transpose : no_transpose, tb ? transpose : no_transpose, int(m), int(n), int(k), alpha, a,
        int(lda), b, int(ldb), beta, c, int(ldc));
  return true;
}

} // namespace engram
