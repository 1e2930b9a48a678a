#include "../torch.h"

#include "../guard.h"
#include "../operands.h"
#include "sequence.h"
#include "simd_includes.h"

namespace engram {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

template <class F> struct RowNorm {
  const F *gain; // or null
  int64_t width;
  double share, eps; // share is 1, or 1/width for the mean
};

template <class F> struct Causal {
  const F *kernel; // [length, channels]
  int64_t length, time, channels;
  bool silu;
};

#define EG_KERNELS_FILE "sequence_kernels.h"
#include "../perprocessor.h"

#define EG_NORM_ROWS(of) of::norm_rows<F>
#define EG_NORM_ROWS_BACKWARD(of) of::norm_rows_backward<F>
#define EG_CAUSAL(of) of::causal<F>
#define EG_CAUSAL_BACKWARD(of) of::causal_backward<F>

bool computable(const Tensor &x) {
  return x.device().is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kDouble) && x.numel() > 0;
}

// ---- norms of rows ----

Tensor inverse_norm(const Tensor &x, bool mean, double eps) {
  const Tensor square = x * x;
  return ((mean ? square.mean(-1, true) : square.sum(-1, true)) + eps).pow(-.5);
}

struct NormRows : torch::autograd::Function<NormRows> {
  // given are the rows, and the gain if there is one.
  static Tensor forward(AutogradContext *ctx, at::TensorList given, bool mean, double eps) {
    const Tensor in = given[0].contiguous(), g = given.size() > 1 ? given[1].contiguous() : Tensor();
    Tensor out = fresh(in, in.sizes());
    EG_DISPATCH(in, [&] {
      static void (*const run)(const RowNorm<F> &, int64_t, const F *, F *) = EG_CHOOSE(EG_NORM_ROWS);
      const RowNorm<F> z = of<F>(in, g, mean, eps);
      at::parallel_for(0, in.numel() / z.width, grain(4 * z.width), [&](int64_t from, int64_t to) {
        const int64_t first = from * z.width;
        run(z, to - from, in.data_ptr<F>() + first, out.data_ptr<F>() + first);
      });
    });
    ctx->save_for_backward(given.vec());
    ctx->saved_data["mean"] = mean, ctx->saved_data["eps"] = eps;
    return out;
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor x = saved[0], gain = saved.size() > 1 ? saved[1] : Tensor();
    const auto result = [&](const Tensor &dx, const Tensor &dgain) {
      variable_list out{dx};
      if (gain.defined())
        out.push_back(dgain);
      out.resize(out.size() + 2); // for the settings
      return out;
    };
    const bool mean = ctx->saved_data["mean"].toBool();
    const double eps = ctx->saved_data["eps"].toDouble();
    if (at::GradMode::is_enabled()) { // to be differentiated again
      const Tensor s = inverse_norm(x, mean, eps), g = gain.defined() ? gain * grads[0] : grads[0];
      const Tensor along = (g * x).sum(-1, true) * (mean ? 1. / double(x.size(-1)) : 1.);
      Tensor dgain;
      if (gain.defined())
        dgain = (grads[0] * x * s).reshape({-1, x.size(-1)}).sum(at::IntArrayRef{0});
      return result(s * g - s.pow(3) * along * x, dgain);
    }
    const Tensor in = x.contiguous(), g = contiguous(gain), dout = grads[0].contiguous();
    Tensor dx = fresh(in, in.sizes()), dgain;
    EG_DISPATCH(in, [&] {
      static void (*const run)(const RowNorm<F> &, int64_t, const F *, const F *, F *, F *) =
          EG_CHOOSE(EG_NORM_ROWS_BACKWARD);
      const RowNorm<F> z = of<F>(in, g, mean, eps);
      // So many shares whatever the number of threads: the gain's gradient is their sum.
      const int64_t rows = in.numel() / z.width, shares = std::min<int64_t>(rows, 64);
      if (g.defined())
        dgain = at::zeros({shares, z.width}, in.options().requires_grad(false));
      at::parallel_for(0, shares, grain(rows / shares * 8 * z.width), [&](int64_t from, int64_t to) {
        for (int64_t i = from; i < to; i++) {
          const int64_t begin = i * rows / shares, end = (i + 1) * rows / shares, first = begin * z.width;
          run(z, end - begin, in.data_ptr<F>() + first, dout.data_ptr<F>() + first, dx.data_ptr<F>() + first,
              g.defined() ? dgain.data_ptr<F>() + i * z.width : nullptr);
        }
      });
    });
    return result(dx, g.defined() ? dgain.sum(at::IntArrayRef{0}) : Tensor());
  }

private:
  template <class F> static RowNorm<F> of(const Tensor &x, const Tensor &gain, bool mean, double eps) {
    const int64_t width = x.size(-1);
    return {numbers<F>(gain), width, mean ? 1. / double(width) : 1., eps};
  }
};

// ---- causal convolutions ----

// x [batch, time, channels] with length - 1 zeros before it, or after it.
Tensor longer(const Tensor &x, int64_t length, bool before) {
  const Tensor zeros = at::zeros({x.size(0), length - 1, x.size(2)}, x.options().requires_grad(false));
  return before ? at::cat({zeros, x}, 1) : at::cat({x, zeros}, 1);
}

// The convolution of LibTorch's operations; reversed is its transpose.
Tensor composed(const Tensor &x, const Tensor &kernel, bool reversed) {
  const int64_t length = kernel.size(0), time = x.size(1);
  const Tensor padded = longer(x, length, !reversed);
  Tensor sum;
  for (int64_t i = 0; i < length; i++) {
    const Tensor part = padded.narrow(1, reversed ? length - 1 - i : i, time) * kernel.narrow(0, i, 1);
    sum = i ? sum + part : part;
  }
  return sum;
}

struct CausalConvolution : torch::autograd::Function<CausalConvolution> {
  static Tensor forward(AutogradContext *ctx, const Tensor &x, const Tensor &kernel, bool silu) {
    const Tensor in = x.contiguous(), k = kernel.contiguous();
    Tensor out = fresh(in, in.sizes());
    EG_DISPATCH(in, [&] {
      static void (*const run)(const Causal<F> &, const F *, F *) = EG_CHOOSE(EG_CAUSAL);
      const Causal<F> z = of<F>(in, k, silu);
      at::parallel_for(0, in.size(0), grain(z.time * z.channels * (z.length + 8)), [&](int64_t from, int64_t to) {
        for (int64_t i = from, first = from * z.time * z.channels; i < to; i++, first += z.time * z.channels)
          run(z, in.data_ptr<F>() + first, out.data_ptr<F>() + first);
      });
    });
    ctx->save_for_backward({x, kernel});
    ctx->saved_data["silu"] = silu;
    return out;
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor &x = saved[0], &kernel = saved[1];
    const bool silu = ctx->saved_data["silu"].toBool();
    if (at::GradMode::is_enabled()) { // to be differentiated again
      Tensor inner = grads[0];
      if (silu) {
        const Tensor before = composed(x, kernel, false), s = before.sigmoid();
        inner = inner * s * (1 + before * (1 - s));
      }
      const Tensor padded = longer(x, kernel.size(0), true);
      std::vector<Tensor> dkernel;
      for (int64_t i = 0; i < kernel.size(0); i++)
        dkernel.push_back((padded.narrow(1, i, x.size(1)) * inner).sum(at::IntArrayRef{0, 1}));
      return {composed(inner, kernel, true), at::stack(dkernel), Tensor()};
    }
    const Tensor in = x.contiguous(), k = kernel.contiguous(), dout = grads[0].contiguous();
    Tensor dx = fresh(in, in.sizes()), inner = fresh(in, in.sizes());
    Tensor dkernel = fresh(in, {in.size(0), k.size(0), k.size(1)});
    EG_DISPATCH(in, [&] {
      static void (*const run)(const Causal<F> &, const F *, const F *, F *, F *, F *) = EG_CHOOSE(EG_CAUSAL_BACKWARD);
      const Causal<F> z = of<F>(in, k, silu);
      at::parallel_for(0, in.size(0), grain(z.time * z.channels * (3 * z.length + 8)), [&](int64_t from, int64_t to) {
        for (int64_t i = from; i < to; i++) {
          const int64_t first = i * z.time * z.channels;
          run(z, in.data_ptr<F>() + first, dout.data_ptr<F>() + first, inner.data_ptr<F>() + first,
              dx.data_ptr<F>() + first, dkernel.data_ptr<F>() + i * z.length * z.channels);
        }
      });
    });
    return {dx, dkernel.sum(at::IntArrayRef{0}), Tensor()};
  }

private:
  template <class F> static Causal<F> of(const Tensor &x, const Tensor &kernel, bool silu) {
    return {numbers<F>(kernel), kernel.size(0), x.size(1), x.size(2), silu};
  }
};

} // namespace
} // namespace engram

using namespace engram;

extern "C" {

void *eg_norm_rows(void *x, void *gain, int mean, double eps) {
  return guarded<void *>(nullptr, [&] {
    const Tensor in = T(x), g = gain ? T(gain) : Tensor();
    want(in.dim() > 0 && in.size(-1) > 0, "want rows [..., width]");
    want(!g.defined() || (g.sizes().equals({in.size(-1)}) && g.scalar_type() == in.scalar_type()),
         "want a gain of the width and type of the rows");
    std::vector<Tensor> all{in};
    if (g.defined())
      all.push_back(g);
    if (computable(in))
      return new Tensor(NormRows::apply(at::TensorList(all), mean != 0, eps));
    const Tensor y = in * inverse_norm(in, mean != 0, eps);
    return new Tensor(g.defined() ? y * g : y);
  });
}

void *eg_causal_convolution(void *x, void *kernel, int silu) {
  return guarded<void *>(nullptr, [&] {
    const Tensor in = T(x), k = T(kernel);
    want(in.dim() == 3 && k.dim() == 2 && k.size(0) > 0 && k.size(1) == in.size(2) &&
             k.scalar_type() == in.scalar_type(),
         "want sequences [batch, time, channels] and a kernel [length, channels] of their type");
    if (computable(in))
      return new Tensor(CausalConvolution::apply(in, k, silu != 0));
    const Tensor y = composed(in, k, false);
    return new Tensor(silu ? y * y.sigmoid() : y);
  });
}

} // extern "C"
