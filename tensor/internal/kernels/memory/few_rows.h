// Products of a few rows with a matrix that is used in many steps, on tensors; panels.h says why.
#ifndef ENGRAM_KERNELS_FEW_ROWS_H
#define ENGRAM_KERNELS_FEW_ROWS_H
#include "../arithmetic/product.h"
#include "../operands.h"
#include "panels.h"

#include <algorithm>

namespace engram {

// A matrix [inner, cols] that is used in every step, packed for multiply_panels.
struct Panels {
  Tensor t;
  int64_t inner = 0, cols = 0;
  Panels() = default;
  explicit Panels(const Tensor &of)
      : t(fresh(of, {panels_size(of.size(0), of.size(1))})), inner(of.size(0)), cols(of.size(1)) {
    const Tensor rows = of.contiguous();
    EG_DISPATCH(of, [&] { pack_panels(PackPanels<F>{rows.data_ptr<F>(), cols, inner, cols, t.data_ptr<F>()}); });
  }
};

// c = a·b for a few rows, plus c if keep. Each thread computes whole panels.
template <class F> void multiply_few(Matrix<const F> a, const Panels &b, Matrix<F> c, bool keep) {
  constexpr int64_t together = panel_multiple;
  at::parallel_for(0, (b.cols + together - 1) / together, grain(c.rows * b.inner * together),
                   [&](int64_t from, int64_t to) {
                     const int64_t first = from * together, last = std::min(to * together, b.cols);
                     multiply_panels(PanelProduct<F>{a.at, a.step, b.t.data_ptr<F>() + first * b.inner, c.at + first,
                                                     c.step, c.rows, b.inner, last - first, keep});
                   });
}

} // namespace engram
#endif
