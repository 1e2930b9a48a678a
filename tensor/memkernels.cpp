#include "memkernels_table.h"
#include "processor.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <utility>

#define EG_INLINE inline __attribute__((always_inline))

namespace engram {
namespace {

constexpr double cosine_eps = 1e-12; // metric.Cosine's
constexpr double smallest = 1e-30;   // memory.Sharpen's
constexpr double usage_floor = 1e-6; // memory.Allocation's

#define EG_KERNELS_FILE "memkernels.h"
#include "perprocessor.h"

#define EG_KERNELS(of) \
  Kernels<F> { of::lstm_forward<F>, of::lstm_backward<F>, of::ntm_forward<F>, of::ntm_backward<F>, of::lrua_forward<F>, of::lrua_backward<F>, of::dnc_forward<F>, of::dnc_backward<F>, of::panels<F>, of::product<F>, of::bags_forward<F>, of::bags_backward<F>, of::attend_forward<F>, of::attend_backward<F> }

template <class F> Kernels<F> choose() { return EG_CHOOSE(EG_KERNELS); }

} // namespace

template <> const Kernels<float> &kernels<float>() {
  static const Kernels<float> k = choose<float>();
  return k;
}
template <> const Kernels<double> &kernels<double>() {
  static const Kernels<double> k = choose<double>();
  return k;
}

} // namespace engram
