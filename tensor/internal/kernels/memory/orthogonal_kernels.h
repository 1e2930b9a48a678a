// The Newton-Schulz iteration on one matrix; orthogonal_kernels.cpp has the equations. All matrices are row-major and
// contiguous.
#ifndef ENGRAM_KERNELS_ORTHOGONAL_KERNELS_H
#define ENGRAM_KERNELS_ORTHOGONAL_KERNELS_H
#include <cstdint>

namespace engram {

// A matrix of `rows` rows of `cols`, rows ≤ cols.
struct OrthogonalSizes {
  int64_t rows, cols, steps;
  double a, b, c; // the coefficients
  double smooth;  // added to the sum of squares
  int64_t size() const { return rows * cols; }
  // The products of a step: Y with itself, that matrix with itself, and both with Y.
  int64_t forward_work() const { return steps * rows * rows * (2 * cols + rows); }
  int64_t backward_work() const { return 4 * forward_work(); }
  // Iterates [rows, cols] and square matrices; the backward pass has all iterates at once.
  int64_t forward_scratch() const { return 2 * size() + 2 * rows * rows; }
  int64_t backward_scratch() const { return (steps + 3) * size() + 5 * rows * rows; }
};

template <class F> void orthogonal_forward(const OrthogonalSizes &, const F *x, F *y, F *scratch);
// dy is the gradient of the result, dx receives that of x.
template <class F> void orthogonal_backward(const OrthogonalSizes &, const F *x, const F *dy, F *dx, F *scratch);

} // namespace engram
#endif
