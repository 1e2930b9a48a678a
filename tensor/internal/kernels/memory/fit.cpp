#include "../torch.h"

#include "../guard.h"
#include "../operands.h"
#include "fit.h"
#include "fit_kernels.h"

#include <string>
#include <type_traits>
#include <vector>

namespace {

using namespace engram;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// What the inputs are besides their values: the rule, and which of the optional ones there are.
struct Form {
  eg_fit_rule rule;
  int64_t time;
  bool summed, started, query, rate, decay, momentum, positions;

  int64_t tensors() const { return rule.layers * (1 + (rule.biased != 0)); } // of the weights
  bool sums() const { return momentum || positions; }
  // As a value that an autograd context can hold.
  std::string bytes() const { return std::string(reinterpret_cast<const char *>(this), sizeof *this); }
  static Form of(const std::string &bytes) {
    Form f;
    std::copy_n(bytes.data(), sizeof f, reinterpret_cast<char *>(&f));
    return f;
  }
};
static_assert(std::is_trivially_copyable<Form>::value, "a Form is kept as bytes");

// The inputs by name. Optional ones may be undefined.
struct Operands {
  std::vector<Tensor> weights, sums, starts;
  Tensor key, value, query, rate, decay, momentum, positions, gain, bias;

  static Operands of(const Form &f, at::TensorList in) {
    Operands o;
    size_t at = 0;
    const auto next = [&](bool present) { return present ? in[at++].contiguous() : Tensor(); };
    const auto several = [&](std::vector<Tensor> &to, bool present) {
      for (int64_t i = 0; present && i < f.tensors(); i++)
        to.push_back(next(true));
    };
    several(o.weights, true), several(o.sums, f.summed), several(o.starts, f.started);
    o.key = next(true), o.value = next(true), o.query = next(f.query), o.rate = next(f.rate), o.decay = next(f.decay);
    o.momentum = next(f.momentum), o.positions = next(f.positions);
    o.gain = next(f.rule.residual), o.bias = next(f.rule.residual);
    return o;
  }
  // The same in the order of the inputs.
  variable_list list() const {
    variable_list out;
    for (const auto *many : {&weights, &sums, &starts})
      out.insert(out.end(), many->begin(), many->end());
    for (const Tensor &t : {key, value, query, rate, decay, momentum, positions, gain, bias})
      if (t.defined())
        out.push_back(t);
    return out;
  }
  int64_t heads() const { return key.size(1); }
  int64_t sequences() const { return key.size(0) * heads(); }

  FitSizes sizes(const Form &f) const {
    FitSizes z{};
    z.keys = key.size(2), z.time = f.time, z.layers = f.rule.layers, z.window = f.rule.window;
    const int64_t each = 1 + (f.rule.biased != 0);
    z.width[0] = key.size(3);
    for (int64_t l = 0; l < z.layers; l++)
      z.width[l + 1] = weights[l * each].size(3);
    z.biased = f.rule.biased, z.residual = f.rule.residual, z.reads = f.query;
    z.sums = f.sums(), z.summed = f.summed, z.started = f.started, z.positions = f.positions;
    z.loss = FitLoss(f.rule.loss);
    z.threshold = f.rule.threshold, z.p = f.rule.p, z.scale = f.rule.scale, z.eps = f.rule.eps;
    z.simplex = f.rule.simplex, z.orthogonal = f.rule.orthogonal;
    std::copy_n(f.rule.newton, 3, z.newton);
    return z;
  }
};

// Sequence i of a tensor [batch, heads, ...]; null for an undefined one.
template <class F> F *sequence(const Tensor &t, int64_t i) {
  return t.defined() ? t.data_ptr<F>() + i * (t.numel() / (t.size(0) * t.size(1))) : nullptr;
}

template <class P, class F> FitLayers<P> layers_of(const FitSizes &z, const std::vector<Tensor> &from, int64_t i) {
  FitLayers<P> out{};
  const int64_t each = 1 + z.biased;
  for (int64_t l = 0; l < z.layers && !from.empty(); l++) {
    out.weight[l] = sequence<F>(from[l * each], i);
    out.bias[l] = z.biased ? sequence<F>(from[l * each + 1], i) : nullptr;
  }
  return out;
}

// Those of one sequence, of inputs and of gradients. Positions, and gain and bias of a head, are shared as inputs.
template <class P, class F> FitTokens<P> tokens_of(const Operands &o, int64_t i, bool shared) {
  const int64_t head = shared ? i % o.heads() : i;
  const auto per_head = [&](const Tensor &t) {
    return t.defined() ? t.data_ptr<F>() + head * t.size(-1) : static_cast<F *>(nullptr);
  };
  FitTokens<P> t{sequence<F>(o.query, i),   sequence<F>(o.key, i),   sequence<F>(o.value, i),
                 sequence<F>(o.rate, i),    sequence<F>(o.decay, i), sequence<F>(o.momentum, i),
                 static_cast<F *>(nullptr), per_head(o.gain),        per_head(o.bias)};
  if (o.positions.defined())
    t.positions = shared ? o.positions.data_ptr<F>() : sequence<F>(o.positions, i);
  return t;
}

struct Fit : torch::autograd::Function<Fit> {
  static variable_list forward(AutogradContext *ctx, at::TensorList in, const Form &f, bool keep) {
    ctx->set_materialize_grads(false);
    const Operands o = Operands::of(f, in);
    const FitSizes z = o.sizes(f);
    const auto like = [](const std::vector<Tensor> &from) {
      std::vector<Tensor> out;
      for (const Tensor &t : from)
        out.push_back(fresh(t, t.sizes()));
      return out;
    };
    const std::vector<Tensor> next = like(o.weights), sums = z.sums ? like(o.weights) : std::vector<Tensor>();
    Tensor read;
    if (z.reads)
      read = fresh(o.key, {o.key.size(0), o.heads(), z.time, z.out()});
    EG_DISPATCH(o.key, [&] {
      each<F>(o.sequences(), z.forward_work(), fit_scratch<F>(z, false), [&](int64_t i, F *scratch) {
        using C = const F;
        fit_forward(z, FitForward<F>{layers_of<C, F>(z, o.weights, i), layers_of<C, F>(z, o.sums, i),
                                     layers_of<C, F>(z, o.starts, i), tokens_of<C, F>(o, i, true), sequence<F>(read, i),
                                     layers_of<F, F>(z, next, i), layers_of<F, F>(z, sums, i), scratch});
      });
    });
    if (keep) {
      ctx->save_for_backward(o.list());
      ctx->saved_data["form"] = f.bytes();
    }
    variable_list out;
    if (z.reads)
      out.push_back(read);
    out.insert(out.end(), next.begin(), next.end());
    out.insert(out.end(), sums.begin(), sums.end());
    return out;
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    refuse_second_order("Fit");
    const Form f = Form::of(ctx->saved_data["form"].toStringRef());
    const variable_list saved = ctx->get_saved_variables();
    const Operands o = Operands::of(f, saved);
    const FitSizes z = o.sizes(f);
    const int64_t batch = o.key.size(0), heads = o.heads();
    size_t at = 0;
    const Tensor dread = z.reads ? contiguous(grads[at++]) : Tensor();
    const auto several = [&] {
      std::vector<Tensor> out;
      for (int64_t i = 0; i < f.tensors(); i++)
        out.push_back(contiguous(grads[at++]));
      return out;
    };
    std::vector<Tensor> dnext = several(), dsums;
    if (z.sums)
      dsums = several();
    // A weight without a gradient beside one with it: zeros.
    for (auto *all : {&dnext, &dsums}) {
      bool some = false;
      for (const Tensor &t : *all)
        some |= t.defined();
      for (size_t i = 0; some && i < all->size(); i++)
        if (!(*all)[i].defined())
          (*all)[i] = at::zeros_like(o.weights[i]);
    }
    Operands d;
    const auto like = [](const Tensor &t) { return t.defined() ? fresh(t, t.sizes()) : Tensor(); };
    for (const Tensor &t : o.weights)
      d.weights.push_back(like(t));
    for (const Tensor &t : o.sums)
      d.sums.push_back(like(t));
    for (const Tensor &t : o.starts)
      d.starts.push_back(like(t));
    d.key = like(o.key), d.value = like(o.value), d.query = like(o.query), d.rate = like(o.rate);
    d.decay = like(o.decay), d.momentum = like(o.momentum);
    if (f.positions)
      d.positions = fresh(o.key, {batch, heads, z.time});
    if (z.residual)
      for (Tensor *t : {&d.gain, &d.bias})
        *t = fresh(o.key, {batch, heads, 1, z.out()});
    EG_DISPATCH(o.key, [&] {
      each<F>(o.sequences(), z.backward_work(), fit_scratch<F>(z, true), [&](int64_t i, F *scratch) {
        using C = const F;
        fit_backward(z,
                     FitBackward<F>{layers_of<C, F>(z, o.weights, i), layers_of<C, F>(z, o.sums, i),
                                    layers_of<C, F>(z, o.starts, i), tokens_of<C, F>(o, i, true), sequence<F>(dread, i),
                                    layers_of<C, F>(z, dnext, i), layers_of<C, F>(z, dsums, i),
                                    layers_of<F, F>(z, d.weights, i), layers_of<F, F>(z, d.sums, i),
                                    layers_of<F, F>(z, d.starts, i), tokens_of<F, F>(d, i, false), scratch});
      });
    });
    if (f.positions)
      d.positions = d.positions.sum(at::IntArrayRef{0, 1});
    if (z.residual)
      for (Tensor *t : {&d.gain, &d.bias})
        *t = t->sum(at::IntArrayRef{0});
    variable_list out = d.list();
    out.resize(out.size() + 2); // for the settings
    return out;
  }
};

} // namespace

extern "C" int eg_fit(const eg_fit_rule *rule, int64_t time, void **weights, void **sums, void **starts, void *key,
                      void *value, void *query, void *rate, void *decay, void *momentum, void *positions, void *gain,
                      void *bias, void **out) {
  return guarded(-1, [&] {
    want(rule->layers >= 1 && rule->layers <= fit_layers, "want 1 to " + std::to_string(fit_layers) + " layers");
    want(!(rule->simplex && rule->orthogonal) && !((rule->simplex || rule->orthogonal) && (rule->biased || positions)),
         "want either a simplex or orthogonal changes, without biases and positions");
    Form f{*rule,
           time,
           sums != nullptr,
           starts != nullptr,
           query != nullptr,
           rate != nullptr,
           decay != nullptr,
           momentum != nullptr,
           positions != nullptr};
    const Tensor &k = T(key), &v = T(value);
    want_computable(k, "key");
    want(k.dim() == 4 && v.dim() == 4 && k.numel() > 0 && v.numel() > 0 && k.size(0) == v.size(0) &&
             k.size(1) == v.size(1) && k.size(2) == v.size(2),
         "want keys [batch, heads, tokens, key] and values [batch, heads, tokens, value]");
    want(time > 0 && time <= k.size(2), "want at most as many tokens as keys");
    want(!positions || !(decay || momentum), "want positions without decays and momenta");
    want(!sums || f.sums(), "want momenta or positions with sums");
    std::vector<Tensor> in;
    const int64_t each = 1 + (rule->biased != 0);
    for (void **many : {weights, sums, starts}) {
      int64_t width = k.size(3);
      for (int64_t i = 0; many && i < f.tensors(); i++) {
        const Tensor &t = T(many[i]);
        const bool is_bias = i % each == 1;
        want(t.dim() == 4 && t.size(0) == k.size(0) && t.size(1) == k.size(1) && t.size(2) == (is_bias ? 1 : width) &&
                 (!is_bias || t.size(3) == width) && t.size(3) > 0,
             "want weights [batch, heads, in, out], of which the first begins at the width of the keys, and biases "
             "[batch, heads, 1, out]");
        want(many == weights || t.sizes().equals(T(weights[i]).sizes()),
             "want sums and starts of the shape of the weights");
        width = t.size(3);
        in.push_back(t);
      }
      want(!many || width == v.size(3), "want a last layer of the width of the values");
    }
    in.push_back(k), in.push_back(v);
    const auto token = [&](void *x, int64_t width, const char *name) {
      if (!x)
        return;
      in.push_back(T(x));
      want(in.back().sizes().equals({k.size(0), k.size(1), time, width}),
           std::string("want ") + name + " [batch, heads, time, " + std::to_string(width) + "]");
    };
    token(query, k.size(3), "queries"), token(rate, 1, "rates"), token(decay, 1, "decays");
    token(momentum, 1, "momenta");
    if (positions) {
      in.push_back(T(positions));
      want(in.back().sizes().equals({time}), "want positions [time]");
    }
    if (rule->residual) {
      want(gain && bias && v.size(3) == k.size(3),
           "want a gain and a bias, and keys and values of one width, for a residual model");
      for (void *x : {gain, bias}) {
        in.push_back(T(x));
        want(in.back().sizes().equals({k.size(1), 1, v.size(3)}), "want a gain and a bias [heads, 1, value]");
      }
    }
    bool grad = false;
    for (const Tensor &t : in) {
      want(alike(t, k), "want all tensors of the type of the keys, on the CPU");
      grad |= t.requires_grad();
    }
    const auto got = Fit::apply(at::TensorList(in), f, grad && at::GradMode::is_enabled());
    give(got, out);
    return int(got.size());
  });
}
