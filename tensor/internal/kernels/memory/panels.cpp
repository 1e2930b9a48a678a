#ifndef EG_BYTES
#include "panels.h"

#include "../arithmetic/simd_includes.h"

namespace engram {
namespace {

#define EG_KERNELS_FILE "memory/panels.cpp"
#include "../perprocessor.h"

#define EG_PACK(of) of::pack<F>
#define EG_MULTIPLY(of) of::multiply<F>

} // namespace

template <class F> void pack_panels(const PackPanels<F> &p) {
  static void (*const run)(const PackPanels<F> &) = EG_CHOOSE(EG_PACK);
  run(p);
}
template <class F> void multiply_panels(const PanelProduct<F> &p) {
  static void (*const run)(const PanelProduct<F> &) = EG_CHOOSE(EG_MULTIPLY);
  run(p);
}
template void pack_panels(const PackPanels<float> &);
template void pack_panels(const PackPanels<double> &);
template void multiply_panels(const PanelProduct<float> &);
template void multiply_panels(const PanelProduct<double> &);

} // namespace engram
#else
#include "../arithmetic/simd.h"

// Sums in registers: AVX-512 has 32 registers, the others 16.
constexpr int panel_vectors = EG_BYTES == 64 ? 4 : 2, panel_rows = EG_BYTES == 64 ? 4 : 6;

template <class F> constexpr int64_t panel_columns = panel_vectors *lanes<F>;

template <class F> static void pack(const PackPanels<F> &p) {
  const F *b = p.matrix;
  const int64_t bstep = p.step, inner = p.inner, cols = p.cols;
  F *out = p.out;
  for (int64_t j = 0; j < cols; j += panel_columns<F>) {
    const int64_t n = cols - j < panel_columns<F> ? cols - j : panel_columns<F>;
    for (int64_t k = 0; k < inner; k++, out += n)
      std::copy_n(b + k * bstep + j, n, out);
  }
}

// Rows rows of c = a·b, plus c if keep, for one whole panel b.
template <class F, int Rows>
EG_INLINE void product_panel(const F *a, int64_t astep, const F *b, F *c, int64_t cstep, int64_t inner, bool keep) {
  typedef F V __attribute__((vector_size(EG_BYTES)));
  constexpr int wide = panel_vectors;
  V sum[Rows][wide];
  for (int r = 0; r < Rows; r++)
    for (int v = 0; v < wide; v++) {
      sum[r][v] = V{};
      if (keep)
        memcpy(&sum[r][v], c + r * cstep + v * lanes<F>, sizeof(V));
    }
  for (int64_t k = 0; k < inner; k++) {
    V row[wide];
    memcpy(row, b + k * wide * lanes<F>, sizeof row);
    for (int r = 0; r < Rows; r++)
      for (int v = 0; v < wide; v++)
        sum[r][v] += a[r * astep + k] * row[v];
  }
  for (int r = 0; r < Rows; r++)
    for (int v = 0; v < wide; v++)
      memcpy(c + r * cstep + v * lanes<F>, &sum[r][v], sizeof(V));
}

template <class F> static void multiply(const PanelProduct<F> &p) {
  const F *a = p.a, *b = p.panels;
  F *c = p.c;
  const int64_t astep = p.a_step, cstep = p.c_step, rows = p.rows, inner = p.inner, cols = p.cols;
  const bool keep = p.keep;
  constexpr int64_t panel = panel_columns<F>;
  int64_t j = 0;
  for (; j + panel <= cols; j += panel, b += panel * inner) {
    int64_t i = 0;
    for (; i + panel_rows <= rows; i += panel_rows)
      product_panel<F, panel_rows>(a + i * astep, astep, b, c + i * cstep + j, cstep, inner, keep);
    if (panel_rows > 4)
      for (; i + 4 <= rows; i += 4)
        product_panel<F, 4>(a + i * astep, astep, b, c + i * cstep + j, cstep, inner, keep);
    for (; i < rows; i++)
      product_panel<F, 1>(a + i * astep, astep, b, c + i * cstep + j, cstep, inner, keep);
  }
  if (j == cols)
    return;
  for (int64_t i = 0; i < rows; i++) {
    F *out = c + i * cstep + j;
    if (!keep)
      std::fill_n(out, cols - j, F(0));
    for (int64_t k = 0; k < inner; k++)
      axpy(a[i * astep + k], b + k * (cols - j), out, cols - j);
  }
}
#endif
