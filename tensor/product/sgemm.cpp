#include "sgemm.h"

#include "../internal/kernels/arithmetic/onednn.h"

#include <dlfcn.h>

namespace {

using sgemm_fn = void (*)(const char *, const char *, const int *, const int *, const int *, const float *,
                          const float *, const int *, const float *, const int *, const float *, float *, const int *);

bool transposed(char t) { return t != 'n' && t != 'N'; }

} // namespace

// Fortran's matrices are column-major: a column-major product is the row-major product of the transposed factors in
// reverse order.
extern "C" void sgemm_(const char *ta, const char *tb, const int *m, const int *n, const int *k, const float *alpha,
                       const float *a, const int *lda, const float *b, const int *ldb, const float *beta, float *c,
                       const int *ldc) {
  if (engram::onednn_product(transposed(*tb), transposed(*ta), *n, *m, *k, *alpha, b, *ldb, a, *lda, *beta, c, *ldc))
    return;
  static const auto next = reinterpret_cast<sgemm_fn>(dlsym(RTLD_NEXT, "sgemm_"));
  next(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

extern "C" int eg_sgemm_effective(void) {
  return engram::has_onednn() && dlsym(RTLD_DEFAULT, "sgemm_") == reinterpret_cast<void *>(&sgemm_);
}
