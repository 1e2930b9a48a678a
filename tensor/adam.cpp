#include <torch/torch.h>

#include "../libtorch/compat_end.h"
#include "adam.h"
#include "guard.h"
#include "memtensor.h"
#include "processor.h"

// A root that may set errno is not taken several at a time.
#ifdef EG_X86
#pragma GCC optimize("no-math-errno")
#endif

namespace engram {
namespace {

inline float root(float v) { return __builtin_sqrtf(v); }
inline double root(double v) { return __builtin_sqrt(v); }

#ifdef EG_X86
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2,prefer-vector-width=512")
namespace avx512 {
#include "adamkernels.h"
}
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx2,fma,bmi2")
namespace avx2 {
#include "adamkernels.h"
}
#pragma GCC pop_options
#endif
namespace plain {
#include "adamkernels.h"
}

template <class S> using move_fn = void (*)(S *, S *, S *, const S *, int64_t, const AdamStep<S> &);

// The loop for this machine's processor.
template <class S, bool kept>
const move_fn<S> mover = [] {
#ifdef EG_X86
  if (has_avx512())
    return move_fn<S>(avx512::move<S, kept>);
  if (has_avx2())
    return move_fn<S>(avx2::move<S, kept>);
#endif
  return move_fn<S>(plain::move<S, kept>);
}();

} // namespace

template <class S> void adam(S *p, S *m, S *v, const S *g, int64_t n, const AdamStep<S> &by) {
  at::parallel_for(0, n, 1 << 15, [&](int64_t from, int64_t to) {
    if (m)
      mover<S, true>(p + from, m + from, v + from, g + from, to - from, by);
    else
      mover<S, false>(p + from, nullptr, v + from, g + from, to - from, by);
  });
}
template void adam(float *, float *, float *, const float *, int64_t, const AdamStep<float> &);
template void adam(double *, double *, double *, const double *, int64_t, const AdamStep<double> &);

} // namespace engram

using engram::guarded;
using engram::T;

extern "C" int eg_adam(void **params, void **grads, void **m, void **v, int n, double lr, double beta1, double beta2, double eps,
                       double decay, int decoupled, int64_t step) {
  return guarded(-1, [&] {
    at::NoGradGuard guard;
    for (int i = 0; i < n; i++) {
      if (!grads[i])
        continue;
      at::Tensor &p = T(params[i]), &mi = T(m[i]), &vi = T(v[i]);
      at::Tensor g = T(grads[i]);
      const bool lean = p.scalar_type() == at::kFloat && p.device().is_cpu() && p.is_contiguous() && mi.is_contiguous() && vi.is_contiguous();
      if (lean) {
        engram::adam(p.data_ptr<float>(), mi.data_ptr<float>(), vi.data_ptr<float>(), g.contiguous().data_ptr<float>(), p.numel(), engram::AdamStep<float>(lr, beta1, beta2, eps, decay, decoupled, step));
        continue;
      }
      const double c1 = 1 - std::pow(beta1, double(step)), c2 = std::sqrt(1 - std::pow(beta2, double(step)));
      if (decay != 0) {
        if (decoupled)
          p.mul_(1 - lr * decay);
        else
          g = g.add(p, decay);
      }
      mi.mul_(beta1).add_(g, 1 - beta1);
      vi.mul_(beta2).addcmul_(g, g, 1 - beta2);
      p.addcdiv_(mi, vi.sqrt().div_(c2).add_(eps), -lr / c1);
    }
    return 0;
  });
}
