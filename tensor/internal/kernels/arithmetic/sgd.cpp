#include "../torch.h"

#include "../guard.h"
#include "../operands.h"
#include "sgd.h"

#include <ATen/Parallel.h>

namespace {

using at::Tensor;
using engram::T;

struct Step {
  double lr, momentum, decay;
  bool nesterov;
};

// v ← μ·v + g + decay·p; p ← p - lr·v, or with Nesterov's momentum p - lr·(g + decay·p + μ·v), in one pass over memory.
void descend(float *__restrict p, float *__restrict v, const float *__restrict g, int64_t n, const Step &by) {
  const float lr = by.lr, momentum = by.momentum, decay = by.decay;
  const float own = by.nesterov ? 1 : 0, kept = by.nesterov ? momentum : 1;
#pragma omp simd
  for (int64_t k = 0; k < n; k++) {
    const float gk = g[k] + decay * p[k];
    v[k] = momentum * v[k] + gk;
    p[k] -= lr * (own * gk + kept * v[k]);
  }
}

// The same by LibTorch's operations.
void descend(Tensor &p, Tensor &v, Tensor g, const Step &by) {
  if (by.decay != 0)
    g = g.add(p, by.decay);
  v.mul_(by.momentum).add_(g);
  p.add_(by.nesterov ? g.add(v, by.momentum) : v, -by.lr);
}

bool lean(const Tensor &t) { return t.device().is_cpu() && t.scalar_type() == at::kFloat && t.is_contiguous(); }

} // namespace

extern "C" {

int eg_sgd(void **params, void **grads, void **v, int n, double lr, double momentum, double decay, int nesterov) {
  return engram::guarded(-1, [&] {
    at::NoGradGuard guard;
    const Step by{lr, momentum, decay, bool(nesterov)};
    for (int i = 0; i < n; i++) // all before the first one changes
      for (void *t : {grads[i], v[i]})
        engram::want(!grads[i] ||
                         (T(t).sizes() == T(params[i]).sizes() && T(t).scalar_type() == T(params[i]).scalar_type()),
                     "want gradients and velocities of the shape and type of their parameter");
    for (int i = 0; i < n; i++) {
      if (!grads[i])
        continue;
      Tensor &p = T(params[i]), &vi = T(v[i]), &g = T(grads[i]);
      if (!lean(p) || !lean(vi) || !g.device().is_cpu()) {
        descend(p, vi, g, by);
        continue;
      }
      const Tensor whole = g.contiguous();
      at::parallel_for(0, p.numel(), 1 << 15, [&](int64_t from, int64_t to) {
        descend(p.data_ptr<float>() + from, vi.data_ptr<float>() + from, whole.data_ptr<float>() + from, to - from, by);
      });
    }
    return 0;
  });
}

int eg_lerp(void **values, void **targets, int n, double weight) {
  return engram::guarded(-1, [&] {
    at::NoGradGuard guard;
    for (int i = 0; i < n; i++)
      T(values[i]).lerp_(T(targets[i]), weight);
    return 0;
  });
}

} // extern "C"
