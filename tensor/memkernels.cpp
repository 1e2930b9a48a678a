#include "memkernels_table.h"
#include "processor.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#define EG_INLINE inline __attribute__((always_inline))

namespace engram {
namespace {

constexpr double cosine_eps = 1e-12; // metric.Cosine's
constexpr double smallest = 1e-30;   // memory.Sharpen's
constexpr double usage_floor = 1e-6; // memory.Allocation's

// Compiled for three kinds of processor, as convblock.cpp is; EG_BYTES is what a register holds.
#ifdef EG_X86
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2,prefer-vector-width=512")
namespace avx512 {
#define EG_BYTES 64
#include "memkernels.h"
#undef EG_BYTES
}
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx2,fma,bmi2")
namespace avx2 {
#define EG_BYTES 32
#include "memkernels.h"
#undef EG_BYTES
}
#pragma GCC pop_options
#endif
namespace plain {
#define EG_BYTES 16
#include "memkernels.h"
#undef EG_BYTES
}

#define EG_KERNELS(of) \
  { of::lstm_forward<F>, of::lstm_backward<F>, of::ntm_forward<F>, of::ntm_backward<F>, of::lrua_forward<F>, of::lrua_backward<F>, of::dnc_forward<F>, of::dnc_backward<F>, of::panels<F>, of::product<F> }

template <class F> Kernels<F> choose() {
#ifdef EG_X86
  if (engram::has_avx512())
    return Kernels<F> EG_KERNELS(avx512);
  if (engram::has_avx2())
    return Kernels<F> EG_KERNELS(avx2);
#endif
  return Kernels<F> EG_KERNELS(plain);
}

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
