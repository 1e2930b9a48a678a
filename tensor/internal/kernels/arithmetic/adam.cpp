#include "../torch.h"

#include "adam.h"
#include "../guard.h"
#include "../operands.h"
#include "../processor.h"

// The compiler does not vectorise a square root that may set errno.
#ifdef EG_X86
#pragma GCC optimize("no-math-errno")
#endif

namespace engram {
namespace {

inline float root(float v) { return __builtin_sqrtf(v); }
inline double root(double v) { return __builtin_sqrt(v); }

#define EG_KERNELS_FILE "adam_kernels.h"
#include "../perprocessor.h"

template <class S> using move_fn = void (*)(S *, S *, S *, const S *, int64_t, const AdamStep<S> &);

// The loop for this machine's processor.
#define EG_MOVE(of) move_fn<S>(of::move<S, kept>)
template <class S, bool kept> const move_fn<S> mover = EG_CHOOSE(EG_MOVE);

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

extern "C" int eg_adam(void **params, void **grads, void **m, void **v, int n, double lr, double beta1, double beta2,
                       double eps, double decay, int decoupled, int64_t step) {
  return guarded(-1, [&] {
    at::NoGradGuard guard;
    for (int i = 0; i < n; i++)
      for (void *t : {grads[i], m[i], v[i]})
        engram::want(!grads[i] ||
                         (T(t).device() == T(params[i]).device() && T(t).scalar_type() == T(params[i]).scalar_type() &&
                          T(t).sizes() == T(params[i]).sizes()),
                     "want gradients and moments of the shape and type of their parameter, on its device");
    std::vector<at::Tensor> ps, gs, ms, vs; // those that the loop does not support
    for (int i = 0; i < n; i++) {
      if (!grads[i])
        continue;
      at::Tensor &p = T(params[i]), &mi = T(m[i]), &vi = T(v[i]);
      at::Tensor g = T(grads[i]);
      const bool lean = p.scalar_type() == at::kFloat && p.device().is_cpu() && p.is_contiguous() &&
                        mi.is_contiguous() && vi.is_contiguous();
      if (lean) {
        engram::adam(p.data_ptr<float>(), mi.data_ptr<float>(), vi.data_ptr<float>(), g.contiguous().data_ptr<float>(),
                     p.numel(), engram::AdamStep<float>(lr, beta1, beta2, eps, decay, decoupled, step));
        continue;
      }
      ps.push_back(p), gs.push_back(g), ms.push_back(mi), vs.push_back(vi);
    }
    if (ps.empty())
      return 0;
    // One operation for all parameters: on CUDA a launch per parameter costs more than its arithmetic.
    const engram::AdamStep<double> by(lr, beta1, beta2, eps, decay, decoupled, step);
    if (by.l2 != 0)
      gs = at::_foreach_add(gs, ps, by.l2);
    if (by.shrink != 1)
      at::_foreach_mul_(ps, by.shrink);
    at::_foreach_mul_(ms, by.b1);
    at::_foreach_add_(ms, gs, by.a1);
    at::_foreach_mul_(vs, by.b2);
    at::_foreach_addcmul_(vs, gs, gs, by.a2);
    std::vector<at::Tensor> below = at::_foreach_sqrt(vs);
    at::_foreach_mul_(below, by.inv);
    at::_foreach_add_(below, by.eps);
    at::_foreach_addcdiv_(ps, ms, below, -by.rate);
    return 0;
  });
}
