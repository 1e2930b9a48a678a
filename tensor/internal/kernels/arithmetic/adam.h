// Adam; documented in tensor/layers.go.
#ifndef ENGRAM_KERNELS_ADAM_H
#define ENGRAM_KERNELS_ADAM_H
#include <stdint.h>

#ifdef __cplusplus
#include <cmath>

namespace engram {

// The factors of a step, counted from one. Decay is added to the gradient or, if decoupled, subtracted from the
// parameter.
template <class S> struct AdamStep {
  S shrink, l2, b1, a1, b2, a2, rate, inv, eps;
  AdamStep(double lr, double beta1, double beta2, double eps, double decay, bool decoupled, int64_t step)
      : shrink(S(decoupled ? 1 - lr * decay : 1)), l2(S(decoupled ? 0 : decay)), b1(S(beta1)), a1(S(1 - beta1)),
        b2(S(beta2)), a2(S(1 - beta2)), rate(S(lr / (1 - std::pow(beta1, double(step))))),
        inv(S(1 / std::sqrt(1 - std::pow(beta2, double(step))))), eps(S(eps)) {}
};

// Updates parameters p and moments m and v in place. m may be null if beta1 is 0.
template <class S> void adam(S *p, S *m, S *v, const S *g, int64_t n, const AdamStep<S> &by);

} // namespace engram

extern "C" {
#endif

// Updates all parameters in place, except those whose gradient is NULL.
int eg_adam(void **params, void **grads, void **m, void **v, int n, double lr, double beta1, double beta2, double eps,
            double decay, int decoupled, int64_t step);

#ifdef __cplusplus
}
#endif
#endif
