#include "../torch.h"

#include "../guard.h"
#include "../operands.h"
#include "delta.h"
#include "delta_kernels.h"

#include <string>
#include <vector>

namespace {

using namespace engram;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Tokens {
  Tensor key, value, rate, decay, query; // decay and query may be undefined
  int64_t sequences() const { return key.size(0) * key.size(1); }
  DeltaSizes sizes(bool squared) const {
    const bool channels = decay.defined() && decay.size(3) == key.size(3);
    return {key.size(2), key.size(3), value.size(3), squared, channels};
  }
};

// Sequence i of a tensor [batch, heads, ...]; null for an undefined one.
template <class F> F *sequence(const Tensor &t, int64_t i) {
  return t.defined() ? t.data_ptr<F>() + i * (t.numel() / (t.size(0) * t.size(1))) : nullptr;
}

template <class F> DeltaTokens<F> tokens_of(const Tokens &t, int64_t i) {
  return {sequence<F>(t.query, i), sequence<F>(t.key, i), sequence<F>(t.value, i), sequence<F>(t.rate, i),
          sequence<F>(t.decay, i)};
}

struct Delta : torch::autograd::Function<Delta> {
  // in is the state, the keys, the values and the rates, then the decay and the queries where there are such.
  static variable_list forward(AutogradContext *ctx, at::TensorList in, bool decays, bool queries, bool squared,
                               bool keep) {
    ctx->set_materialize_grads(false);
    Tokens t{in[1].contiguous(), in[2].contiguous(), in[3].contiguous()};
    if (decays)
      t.decay = in[4].contiguous();
    if (queries)
      t.query = in[4 + decays].contiguous();
    const DeltaSizes z = t.sizes(squared);
    const int64_t batch = t.key.size(0), heads = t.key.size(1);
    Tensor state = fresh(t.key, {batch, heads, z.key, z.value}), read, error, starts;
    state.copy_(in[0].detach());
    if (queries)
      read = fresh(t.key, {batch, heads, z.time, z.value});
    if (squared)
      error = fresh(t.key, {batch, heads, z.time, z.value});
    if (keep)
      starts = fresh(t.key, {batch, heads, z.segments(), z.key, z.value});
    EG_DISPATCH(t.key, [&] {
      each<F>(t.sequences(), z.forward_work(), z.forward_scratch<F>(), [&](int64_t i, F *scratch) {
        delta_forward(z, DeltaForward<F>{tokens_of<F>(t, i), sequence<F>(read, i), sequence<F>(state, i),
                                         sequence<F>(error, i), sequence<F>(starts, i), scratch});
      });
    });
    if (keep) {
      ctx->save_for_backward({t.key, t.value, t.rate, t.decay, t.query, error, starts});
      ctx->saved_data["squared"] = squared;
    }
    return queries ? variable_list{read, state} : variable_list{state};
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    refuse_second_order("Delta");
    const auto saved = ctx->get_saved_variables();
    const Tokens t{saved[0], saved[1], saved[2], saved[3], saved[4]};
    const Tensor &error = saved[5], &starts = saved[6];
    const DeltaSizes z = t.sizes(ctx->saved_data["squared"].toBool());
    const bool queries = t.query.defined(), decays = t.decay.defined();
    const Tensor dread = queries ? contiguous(grads[0]) : Tensor(), &dend = grads[queries];
    Tensor dstate = fresh(t.key, {t.key.size(0), t.key.size(1), z.key, z.value});
    if (dend.defined())
      dstate.copy_(dend);
    else
      dstate.zero_();
    const auto like = [](const Tensor &x) { return x.defined() ? fresh(x, x.sizes()) : Tensor(); };
    const Tokens d{like(t.key), like(t.value), like(t.rate), like(t.decay), like(t.query)};
    EG_DISPATCH(t.key, [&] {
      each<F>(t.sequences(), z.backward_work(), z.backward_scratch<F>(), [&](int64_t i, F *scratch) {
        delta_backward(z, DeltaBackward<F>{tokens_of<F>(t, i), sequence<F>(error, i), sequence<F>(starts, i),
                                           sequence<F>(dread, i), sequence<F>(dstate, i), sequence<F>(d.query, i),
                                           sequence<F>(d.key, i), sequence<F>(d.value, i), sequence<F>(d.rate, i),
                                           sequence<F>(d.decay, i), scratch});
      });
    });
    variable_list out{dstate, d.key, d.value, d.rate};
    if (decays)
      out.push_back(d.decay);
    if (queries)
      out.push_back(d.query);
    out.resize(out.size() + 4); // for the settings
    return out;
  }
};

} // namespace

extern "C" int eg_delta(void *state, void *key, void *value, void *rate, void *decay, void *query, int squared,
                        void **out) {
  return guarded(-1, [&] {
    std::vector<Tensor> in{T(state), T(key), T(value), T(rate)};
    const Tensor s = in[0], k = in[1], v = in[2];
    want_computable(k, "key");
    want(k.dim() == 4 && v.dim() == 4 && k.numel() > 0 && v.numel() > 0 && k.size(0) == v.size(0) &&
             k.size(1) == v.size(1) && k.size(2) == v.size(2),
         "want keys [batch, heads, time, key] and values [batch, heads, time, value]");
    want(s.sizes().equals({k.size(0), k.size(1), k.size(3), v.size(3)}), "want a state [batch, heads, key, value]");
    const auto per_token = [&](const Tensor &x, int64_t width, const char *name) {
      want(x.sizes().equals({k.size(0), k.size(1), k.size(2), width}),
           std::string("want ") + name + " [batch, heads, time, " + std::to_string(width) + "]");
    };
    per_token(in[3], 1, "rates");
    if (decay) {
      in.push_back(T(decay));
      const auto of = [&](int64_t width) { return in.back().sizes().equals({k.size(0), k.size(1), k.size(2), width}); };
      want(of(1) || of(k.size(3)), "want a decay [batch, heads, time, 1] or [batch, heads, time, key]");
    }
    if (query)
      in.push_back(T(query)), per_token(in.back(), k.size(3), "queries");
    bool grad = false;
    for (const Tensor &t : in) {
      want(alike(t, k), "want all tensors of the type of the keys, on the CPU");
      grad |= t.requires_grad();
    }
    const auto got = Delta::apply(at::TensorList(in), decay != nullptr, query != nullptr, squared != 0,
                                  grad && at::GradMode::is_enabled());
    give(got, out);
    return int(got.size());
  });
}
