#include "../torch.h"

#include "../guard.h"
#include "../operands.h"
#include "epilogue.h"
#include "simd_includes.h"

namespace engram {
namespace {

template <class F> struct NormRows {
  const F *bias, *gain, *shift; // bias may be null
  int64_t width;
  double eps;
};

#define EG_KERNELS_FILE "epilogue_kernels.h"
#include "../perprocessor.h"

#define EG_GELU(of) of::gelu<F>
#define EG_NORM(of) of::norm<F>

// Whether a pass keeps nothing for gradients, of tensors that the loops can compute.
bool ungraded(std::initializer_list<Tensor> all, const Tensor &x) {
  if (x.scalar_type() != at::kFloat && x.scalar_type() != at::kDouble)
    return false;
  for (const Tensor &t : all)
    if (t.defined() && (!alike(t, x) || (at::GradMode::is_enabled() && t.requires_grad())))
      return false;
  return true;
}

Tensor optional(void *t) { return t ? T(t) : Tensor(); }

} // namespace
} // namespace engram

using namespace engram;

extern "C" {

void *eg_linear_gelu(void *x, void *weight, void *bias) {
  return guarded<void *>(nullptr, [&] {
    const Tensor &in = T(x), &w = T(weight), b = optional(bias);
    if (!ungraded({in, w, b}, in) || (b.defined() && !b.is_contiguous()))
      return new Tensor(at::gelu(at::linear(in, w, b)));
    want(!b.defined() || (b.dim() == 1 && w.dim() == 2 && b.size(0) == w.size(0)),
         "want a bias for each row of the weights");
    const Tensor out = at::linear(in, w).contiguous();
    const int64_t width = out.size(-1);
    EG_DISPATCH(out, [&] {
      static void (*const run)(F *, const F *, int64_t, int64_t) = EG_CHOOSE(EG_GELU);
      at::parallel_for(0, width ? out.numel() / width : 0, grain(width * 8), [&](int64_t from, int64_t to) {
        run(out.data_ptr<F>() + from * width, numbers<F>(b), to - from, width);
      });
    });
    return new Tensor(out);
  });
}

void *eg_add_layer_norm(void *x, void *y, void *bias, void *gain, void *shift, double eps) {
  return guarded<void *>(nullptr, [&] {
    const Tensor &a = T(x), &c = T(y), b = optional(bias), &g = T(gain), &s = T(shift);
    want(a.sizes().equals(c.sizes()) && a.dim() > 0, "want two tensors of one shape [..., width]");
    const int64_t width = a.size(-1);
    for (const Tensor &t : {b, g, s})
      want(!t.defined() || (t.dim() == 1 && t.size(0) == width), "want a gain, a shift and a bias of the width");
    if (!ungraded({a, c, b, g, s}, a)) {
      const Tensor sum = b.defined() ? a + c + b : a + c;
      return new Tensor(at::layer_norm(sum, {width}, g, s, eps));
    }
    const Tensor p = a.contiguous(), q = c.contiguous(), bs = contiguous(b), gs = g.contiguous(), ss = s.contiguous();
    Tensor out = fresh(p, p.sizes());
    EG_DISPATCH(out, [&] {
      static void (*const run)(const NormRows<F> &, int64_t, const F *, const F *, F *) = EG_CHOOSE(EG_NORM);
      const NormRows<F> z{numbers<F>(bs), numbers<F>(gs), numbers<F>(ss), width, eps};
      at::parallel_for(0, width ? out.numel() / width : 0, grain(width * 4), [&](int64_t from, int64_t to) {
        const int64_t first = from * width;
        run(z, to - from, p.data_ptr<F>() + first, q.data_ptr<F>() + first, out.data_ptr<F>() + first);
      });
    });
    return new Tensor(out);
  });
}

} // extern "C"
