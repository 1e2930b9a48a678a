#include "../torch.h"

#include "../guard.h"
#include "../operands.h"
#include "orthogonal.h"
#include "orthogonal_kernels.h"

namespace {

using namespace engram;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct NewtonSchulz : torch::autograd::Function<NewtonSchulz> {
  // x is [..., rows, cols], rows ≤ cols.
  static Tensor forward(AutogradContext *ctx, const Tensor &x, at::ArrayRef<double> coefficients, int64_t steps,
                        double smooth) {
    const Tensor in = x.contiguous();
    const OrthogonalSizes z{in.size(-2), in.size(-1), steps, coefficients[0], coefficients[1], coefficients[2], smooth};
    Tensor out = fresh(in, in.sizes());
    EG_DISPATCH(in, [&] {
      each<F>(in.numel() / z.size(), z.forward_work(), z.forward_scratch(), [&](int64_t i, F *scratch) {
        orthogonal_forward(z, in.data_ptr<F>() + i * z.size(), out.data_ptr<F>() + i * z.size(), scratch);
      });
    });
    ctx->save_for_backward({in});
    ctx->saved_data["coefficients"] = coefficients.vec();
    ctx->saved_data["steps"] = steps, ctx->saved_data["smooth"] = smooth;
    return out;
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    refuse_second_order("NewtonSchulz");
    const auto saved = ctx->get_saved_variables();
    const Tensor &in = saved[0], dout = grads[0].contiguous();
    const auto coefficients = ctx->saved_data["coefficients"].toDoubleVector();
    const OrthogonalSizes z{in.size(-2),     in.size(-1),     ctx->saved_data["steps"].toInt(),    coefficients[0],
                            coefficients[1], coefficients[2], ctx->saved_data["smooth"].toDouble()};
    Tensor din = fresh(in, in.sizes());
    EG_DISPATCH(in, [&] {
      each<F>(in.numel() / z.size(), z.backward_work(), z.backward_scratch(), [&](int64_t i, F *scratch) {
        const int64_t at = i * z.size();
        orthogonal_backward(z, in.data_ptr<F>() + at, dout.data_ptr<F>() + at, din.data_ptr<F>() + at, scratch);
      });
    });
    return {din, Tensor(), Tensor(), Tensor()};
  }
};

} // namespace

extern "C" void *eg_newton_schulz(void *matrices, const double *coefficients, int64_t steps, double smooth) {
  return guarded<void *>(nullptr, [&] {
    const Tensor x = T(matrices);
    want_computable(x, "tensor of matrices");
    want(x.dim() >= 2 && x.numel() > 0, "want matrices [..., rows, columns]");
    want(steps >= 0, "want at least no steps");
    const bool tall = x.size(-2) > x.size(-1); // the products are those of the smaller side
    Tensor y =
        NewtonSchulz::apply(tall ? x.transpose(-2, -1) : x, at::ArrayRef<double>(coefficients, 3), steps, smooth);
    return static_cast<void *>(new Tensor(tall ? y.transpose(-2, -1) : y));
  });
}
