#include "product.h"

#include <cstdint>

namespace engram {
namespace {

// oneDNN's own product of row-major matrices, which gives 0 where it could be done.
using dnnl_fn = int (*)(char, char, int64_t, int64_t, int64_t, float, const float *, int64_t, const float *, int64_t,
                        float, float *, int64_t);
using cblas_fn = void (*)(int, int, int, int, int, int, float, const float *, int, const float *, int, float, float *,
                          int);
using fortran_fn = void (*)(const char *, const char *, const int *, const int *, const int *, const float *,
                            const float *, const int *, const float *, const int *, const float *, float *,
                            const int *);

template <class F> F find(void *in, const char *name) { return reinterpret_cast<F>(dlsym(in, name)); }

const dnnl_fn dnnl = find<dnnl_fn>(RTLD_DEFAULT, "dnnl_sgemm");
const cblas_fn cblas = find<cblas_fn>(RTLD_DEFAULT, "cblas_sgemm");

bool by_onednn(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
               const float *b, int64_t ldb, float beta, float *c, int64_t ldc) {
  return dnnl && m > 0 && n > 0 && k > 0 &&
         dnnl(ta ? 'T' : 'N', tb ? 'T' : 'N', m, n, k, alpha, a, lda, b, ldb, beta, c, ldc) == 0;
}

} // namespace

bool product(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
             const float *b, int64_t ldb, float beta, float *c, int64_t ldc) {
  if (by_onednn(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc))
    return true;
  if (!cblas)
    return false;
  constexpr int row_major = 101, as_is = 111, turned = 112; // cblas.h
  cblas(row_major, ta ? turned : as_is, tb ? turned : as_is, int(m), int(n), int(k), alpha, a, int(lda), b, int(ldb),
        beta, c, int(ldc));
  return true;
}

} // namespace engram

// BLAS's product under the name that LibTorch calls it by: a program's own comes before that of the libraries it uses.
// So the products within LibTorch are oneDNN's too, which are faster than OpenBLAS's where few rows meet and run on
// OpenMP's threads, as all else does. A LibTorch that has its BLAS inside does not ask for it. What comes by columns is
// the transposed by rows.
extern "C" void sgemm_(const char *ta, const char *tb, const int *m, const int *n, const int *k, const float *alpha,
                       const float *a, const int *lda, const float *b, const int *ldb, const float *beta, float *c,
                       const int *ldc) {
  const auto turned = [](char t) { return t != 'n' && t != 'N'; };
  using namespace engram;
  if (by_onednn(turned(*tb), turned(*ta), *n, *m, *k, *alpha, b, *ldb, a, *lda, *beta, c, *ldc))
    return;
  static const auto next = find<fortran_fn>(RTLD_NEXT, "sgemm_");
  next(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
