// Products of a few rows with a matrix that many steps multiply by. BLAS copies the matrix into an order of its own at
// every call, which takes longer than the product of a few rows; here it is copied once.
#ifndef ENGRAM_KERNELS_PANELS_H
#define ENGRAM_KERNELS_PANELS_H
#include <cstdint>

namespace engram {

// Every processor's panels divide this many columns.
constexpr int64_t panel_multiple = 64;

// Copies a row-major matrix [inner, cols] into panels of columns, each contiguous as [inner, columns]; the last one has
// the remaining columns.
template <class F> struct PackPanels {
  const F *matrix;
  int64_t step; // distance between rows
  int64_t inner, cols;
  F *out; // [inner·cols]
};
template <class F> void pack_panels(const PackPanels<F> &);

// c = a·b, plus c if keep, for row-major a [rows, inner] and c [rows, cols], and b as pack_panels left it.
template <class F> struct PanelProduct {
  const F *a;
  int64_t a_step;
  const F *panels;
  F *c;
  int64_t c_step;
  int64_t rows, inner, cols;
  bool keep;
};
template <class F> void multiply_panels(const PanelProduct<F> &);

} // namespace engram
#endif
