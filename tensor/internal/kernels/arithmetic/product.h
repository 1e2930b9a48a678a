// Matrix products without the overhead of a LibTorch operation.
#ifndef ENGRAM_KERNELS_PRODUCT_H
#define ENGRAM_KERNELS_PRODUCT_H
#include <ATen/ATen.h>

#include <type_traits>

namespace engram {

// A row-major matrix within a larger one.
template <class F> struct Matrix {
  F *at;
  int64_t rows, cols, step; // step is the distance between rows
  at::Tensor tensor(bool transposed) const {
    const auto type = sizeof(F) == sizeof(double) ? at::kDouble : at::kFloat;
    if (transposed)
      return at::from_blob(const_cast<std::remove_const_t<F> *>(at), {cols, rows}, {1, step}, type);
    return at::from_blob(const_cast<std::remove_const_t<F> *>(at), {rows, cols}, {step, 1}, type);
  }
};

// onednn_product, or BLAS's product if oneDNN does not support it. Returns false if LibTorch exports neither.
bool product(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
             const float *b, int64_t ldb, float beta, float *c, int64_t ldc);

enum Transpose { AsIs, Transposed };

// c = a·b, plus c if keep.
inline void multiply(Transpose ta, Matrix<const double> a, Transpose tb, Matrix<const double> b, Matrix<double> c,
                     bool keep) {
  at::Tensor out = c.tensor(false);
  at::addmm_out(out, out, a.tensor(ta), b.tensor(tb), keep ? 1 : 0, 1);
}
inline void multiply(Transpose ta, Matrix<const float> a, Transpose tb, Matrix<const float> b, Matrix<float> c,
                     bool keep) {
  if (product(ta, tb, c.rows, c.cols, ta ? a.rows : a.cols, 1, a.at, a.step, b.at, b.step, keep ? 1 : 0, c.at, c.step))
    return;
  at::Tensor out = c.tensor(false);
  at::addmm_out(out, out, a.tensor(ta), b.tensor(tb), keep ? 1 : 0, 1);
}

} // namespace engram
#endif
