// Products of a few rows with a matrix that is used in many steps. BLAS would copy the matrix to its own layout at
// every call, which takes longer than the product; here it is copied once.
#ifndef ENGRAM_KERNELS_PANELS_H
#define ENGRAM_KERNELS_PANELS_H
#include <cstdint>

namespace engram {

// The columns per panel of every processor divide this number.
constexpr int64_t panel_multiple = 64;

// How many numbers the panels of a matrix [inner, cols] take at most.
constexpr int64_t panels_size(int64_t inner, int64_t cols) {
  return inner * ((cols + panel_multiple - 1) / panel_multiple * panel_multiple);
}

// Copies a row-major matrix [inner, cols] into panels of columns, each contiguous as [inner, columns]; the last one
// is filled up with zeros.
template <class F> struct PackPanels {
  const F *matrix;
  int64_t step; // distance between rows
  int64_t inner, cols;
  F *out; // panels_size(inner, cols)
};
template <class F> void pack_panels(const PackPanels<F> &);

// c = a·b, plus c if keep, for row-major a [rows, inner] and c [rows, cols], and b in the layout of pack_panels.
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
