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

// Sums in registers: AVX-512 has 32 registers, the others 16. The more rows share a panel, the less often it is loaded
// from the cache, which is what limits the product.
constexpr int panel_vectors = 2, panel_rows = EG_BYTES == 64 ? 8 : 6;

template <class F> constexpr int64_t panel_columns = panel_vectors *lanes<F>;

template <class F> static void pack(const PackPanels<F> &p) {
  constexpr int64_t panel = panel_columns<F>;
  const F *b = p.matrix;
  const int64_t bstep = p.step, inner = p.inner, cols = p.cols;
  F *out = p.out;
  for (int64_t j = 0; j < cols; j += panel) {
    const int64_t n = std::min(cols - j, panel);
    for (int64_t k = 0; k < inner; k++, out += panel)
      std::fill_n(std::copy_n(b + k * bstep + j, n, out), panel - n, F(0));
  }
}

// Rows rows and n columns of c = a·b, plus c if keep, for one panel b. Part: n is less than a panel.
template <class F, int Rows, bool Part>
EG_INLINE void product_panel(const F *a, int64_t astep, const F *b, F *c, int64_t cstep, int64_t inner, int64_t n,
                             bool keep) {
  typedef F V __attribute__((vector_size(EG_BYTES)));
  constexpr int wide = panel_vectors;
  F part[Part ? Rows * wide * lanes<F> : 1] = {};
  F *out = Part ? part : c;
  const int64_t step = Part ? wide * lanes<F> : cstep;
  for (int r = 0; Part && keep && r < Rows; r++)
    std::copy_n(c + r * cstep, n, part + r * step);
  V sum[Rows][wide];
  for (int r = 0; r < Rows; r++)
    for (int v = 0; v < wide; v++) {
      sum[r][v] = V{};
      if (keep)
        memcpy(&sum[r][v], out + r * step + v * lanes<F>, sizeof(V));
    }
  for (int64_t k = 0; k < inner; k++) {
    V row[wide];
    for (int v = 0; v < wide; v++)
      memcpy(&row[v], b + (k * wide + v) * lanes<F>, sizeof(V));
    for (int r = 0; r < Rows; r++)
      for (int v = 0; v < wide; v++)
        sum[r][v] += a[r * astep + k] * row[v];
  }
  for (int r = 0; r < Rows; r++)
    for (int v = 0; v < wide; v++)
      memcpy(out + r * step + v * lanes<F>, &sum[r][v], sizeof(V));
  for (int r = 0; Part && r < Rows; r++)
    std::copy_n(part + r * step, n, c + r * cstep);
}

template <class F, bool Part> EG_INLINE void product_rows(const PanelProduct<F> &p, const F *b, int64_t j, int64_t n) {
  const F *a = p.a;
  F *c = p.c + j;
  const int64_t astep = p.a_step, cstep = p.c_step, rows = p.rows, inner = p.inner;
  const bool keep = p.keep;
  int64_t i = 0;
  for (; i + panel_rows <= rows; i += panel_rows)
    product_panel<F, panel_rows, Part>(a + i * astep, astep, b, c + i * cstep, cstep, inner, n, keep);
  for (; i + 4 <= rows; i += 4)
    product_panel<F, 4, Part>(a + i * astep, astep, b, c + i * cstep, cstep, inner, n, keep);
  for (; i < rows; i++)
    product_panel<F, 1, Part>(a + i * astep, astep, b, c + i * cstep, cstep, inner, n, keep);
}

template <class F> static void multiply(const PanelProduct<F> &p) {
  constexpr int64_t panel = panel_columns<F>;
  const F *b = p.panels;
  int64_t j = 0;
  for (; j + panel <= p.cols; j += panel, b += panel * p.inner)
    product_rows<F, false>(p, b, j, panel);
  if (j < p.cols)
    product_rows<F, true>(p, b, j, p.cols - j);
}
#endif
