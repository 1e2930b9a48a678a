// Products of matrices without an operation's overhead; internal to this package's C++.
#ifndef ENGRAM_TENSOR_PRODUCT_H
#define ENGRAM_TENSOR_PRODUCT_H
#include <ATen/ATen.h>

#include <dlfcn.h>
#include <type_traits>

namespace engram {

// A row-major matrix within a larger one.
template <class F> struct Matrix {
  F *at;
  int64_t rows, cols, step; // step is the distance between rows
  at::Tensor tensor(bool turned) const {
    const auto type = sizeof(F) == sizeof(double) ? at::kDouble : at::kFloat;
    if (turned)
      return at::from_blob(const_cast<std::remove_const_t<F> *>(at), {cols, rows}, {1, step}, type);
    return at::from_blob(const_cast<std::remove_const_t<F> *>(at), {rows, cols}, {step, 1}, type);
  }
};

using sgemm_fn = void (*)(int, int, int, int, int, int, float, const float *, int, const float *, int, float, float *, int);

// BLAS's own product, where LibTorch stands on a BLAS that shows it.
inline const sgemm_fn sgemm = reinterpret_cast<sgemm_fn>(dlsym(RTLD_DEFAULT, "cblas_sgemm"));

enum Turn { AsIs, Turned };

// c = a·b + keep·c, with either factor turned.
inline void multiply(Turn ta, Matrix<const double> a, Turn tb, Matrix<const double> b, Matrix<double> c, bool keep) {
  at::Tensor out = c.tensor(false);
  at::addmm_out(out, out, a.tensor(ta), b.tensor(tb), keep ? 1 : 0, 1);
}
inline void multiply(Turn ta, Matrix<const float> a, Turn tb, Matrix<const float> b, Matrix<float> c, bool keep) {
  if (!sgemm) {
    at::Tensor out = c.tensor(false);
    at::addmm_out(out, out, a.tensor(ta), b.tensor(tb), keep ? 1 : 0, 1);
    return;
  }
  constexpr int row_major = 101, as_is = 111, turned = 112; // cblas.h
  sgemm(row_major, ta ? turned : as_is, tb ? turned : as_is, int(c.rows), int(c.cols), int(ta ? a.rows : a.cols), 1, a.at, int(a.step), b.at, int(b.step), keep ? 1 : 0, c.at, int(c.step));
}

} // namespace engram
#endif
