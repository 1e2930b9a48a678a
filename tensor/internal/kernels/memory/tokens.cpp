#include "../torch.h"

#include "../guard.h"
#include "../operands.h"
#include "tokens.h"
#include "tokens_kernels.h"

#include <string>

namespace {

using namespace engram;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Layout : torch::CustomClassHolder {
  TokenSizes sizes;
};

// The tokens, undefined where there are none.
struct Parts {
  Tensor query, key, value, rates, decay, momentum;
};

Parts parts_of(const TokenSizes &z, const Tensor &e) {
  const auto tokens = [&](int64_t per_token, int64_t width) {
    return per_token && width ? fresh(e, {e.size(0), z.heads, z.time * per_token, width}) : Tensor();
  };
  return {tokens(1, z.key),     tokens(z.writes, z.key), tokens(z.writes, z.columns()),
          tokens(z.rates(), 1), tokens(1, z.channels),   tokens(z.momenta(), 1)};
}

struct Tokens : torch::autograd::Function<Tokens> {
  // in is the emission, then the rate and the bias of the decay where there is one.
  static variable_list forward(AutogradContext *ctx, at::TensorList in, const c10::intrusive_ptr<Layout> &layout) {
    ctx->set_materialize_grads(false);
    const TokenSizes &z = layout->sizes;
    const Tensor e = in[0].contiguous(), rate = z.channels ? in[1].contiguous() : Tensor(),
                 bias = z.channels ? in[2].contiguous() : Tensor();
    const Parts p = parts_of(z, e);
    EG_DISPATCH(e, [&] {
      const auto row = [](const Tensor &t, int64_t i) { return t.defined() ? row_of<F>(t, i) : nullptr; };
      each<F>(e.size(0), z.work(), 0, [&](int64_t i, F *) {
        tokens_forward(z, TokensForward<F>{at_row<F>(e, i), numbers<F>(rate), numbers<F>(bias), row(p.query, i),
                                           row(p.key, i), row(p.value, i), row(p.rates, i), row(p.decay, i),
                                           row(p.momentum, i)});
      });
    });
    ctx->save_for_backward({e, rate, bias});
    ctx->saved_data["layout"] = at::IValue::make_capsule(layout);
    variable_list out;
    for (const Tensor &t : {p.query, p.key, p.value, p.rates, p.decay, p.momentum})
      if (t.defined())
        out.push_back(t);
    return out;
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    refuse_second_order("FastWeightTokens");
    const auto layout = c10::static_intrusive_pointer_cast<Layout>(ctx->saved_data["layout"].toCapsule());
    const TokenSizes &z = layout->sizes;
    const auto saved = ctx->get_saved_variables();
    const Tensor &e = saved[0], &rate = saved[1], &bias = saved[2];
    const int64_t batch = e.size(0);
    size_t next = 0;
    const auto take = [&](bool there) { return there ? contiguous(grads[next++]) : Tensor(); };
    Parts d;
    d.query = take(true), d.key = take(true), d.value = take(true);
    d.rates = take(z.rates() > 0), d.decay = take(z.channels > 0), d.momentum = take(z.momenta() > 0);
    Tensor de = fresh(e, e.sizes()), drate = fresh(e, {batch, z.heads}),
           dbias = fresh(e, {batch, z.heads * z.channels});
    EG_DISPATCH(e, [&] {
      each<F>(batch, z.work(), z.key, [&](int64_t i, F *scratch) {
        tokens_backward(z, TokensBackward<F>{at_row<F>(e, i), numbers<F>(rate), numbers<F>(bias), at_row<F>(d.query, i),
                                             at_row<F>(d.key, i), at_row<F>(d.value, i), at_row<F>(d.rates, i),
                                             at_row<F>(d.decay, i), at_row<F>(d.momentum, i), row_of<F>(de, i),
                                             row_of<F>(drate, i), row_of<F>(dbias, i), scratch});
      });
    });
    if (!z.channels)
      return {de, Tensor()};
    return {de, drate.sum(0).view_as(rate), dbias.sum(0).view_as(bias), Tensor()};
  }
};

} // namespace

extern "C" int eg_fast_weight_tokens(const struct eg_emission *e, void *emission, void *decay_rate, void *decay_bias,
                                     void **out) {
  return guarded(-1, [&] {
    const Tensor &x = T(emission);
    want_computable(x, "tensor of emissions");
    auto layout = c10::make_intrusive<Layout>();
    TokenSizes &z = layout->sizes;
    static_cast<eg_emission &>(z) = *e;
    want(x.dim() == 3 && x.numel() > 0 && x.size(2) == z.width(),
         "want an emission [batch, time, " + std::to_string(z.width()) + "]");
    z.time = x.size(1);
    std::vector<Tensor> in{x};
    if (z.channels) {
      in.push_back(T(decay_rate)), in.push_back(T(decay_bias));
      want(in[1].numel() == z.heads && in[2].numel() == z.heads * z.channels && alike(in[1], x) && alike(in[2], x),
           "want a decay's rate [heads] and bias [heads, channels] of the emission's type");
    }
    const auto got = Tokens::apply(at::TensorList(in), layout);
    give(got, out);
    return int(got.size());
  });
}
