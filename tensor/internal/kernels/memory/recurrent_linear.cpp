#include "../torch.h"

#include "../guard.h"
#include "../operands.h"
#include "few_rows.h"
#include "recurrent_linear.h"

#include <vector>

namespace {

using namespace engram;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// What the steps share. The gradient of the weight is computed by Packed, which autograd reaches after all steps.
struct Map : torch::CustomClassHolder {
  Tensor weight;                   // without a graph
  Panels ahead, back;              // where the kernels run
  bool packed = false;             // whether they do
  variable_list inputs, gradients; // of the steps that the backward pass has reached
};

// y = base + x·w, or base + x·wᵀ forward.
Tensor product(const Map &m, const Tensor &x, const Tensor &base, bool forward) {
  if (!m.packed) {
    const Tensor w = forward ? m.weight.t() : m.weight;
    return base.defined() ? at::addmm(base, x, w) : at::mm(x, w);
  }
  const Panels &w = forward ? m.ahead : m.back;
  const Tensor rows = x.contiguous();
  Tensor y = fresh(x, {x.size(0), w.cols});
  if (base.defined())
    y.copy_(base);
  EG_DISPATCH(x, [&] {
    multiply_few(Matrix<const F>{rows.data_ptr<F>(), x.size(0), w.inner, w.inner}, w,
                 Matrix<F>{y.data_ptr<F>(), x.size(0), w.cols, w.cols}, base.defined());
  });
  return y;
}

// Makes the token that ties the steps to the weight.
struct Packed : torch::autograd::Function<Packed> {
  static Tensor forward(AutogradContext *ctx, const Tensor &weight, const c10::intrusive_ptr<Map> &map) {
    ctx->set_materialize_grads(false);
    ctx->saved_data["map"] = at::IValue::make_capsule(map);
    return fresh(weight, {0});
  }

  static variable_list backward(AutogradContext *ctx, variable_list) {
    refuse_second_order("RecurrentLinear");
    const auto map = c10::static_intrusive_pointer_cast<Map>(ctx->saved_data["map"].toCapsule());
    const Tensor d = at::mm(at::cat(map->gradients).t(), at::cat(map->inputs));
    map->inputs.clear(), map->gradients.clear();
    return {d, Tensor()};
  }
};

struct Step : torch::autograd::Function<Step> {
  static Tensor forward(AutogradContext *ctx, const Tensor &token, const Tensor &x, const c10::optional<Tensor> &base,
                        const c10::intrusive_ptr<Map> &map) {
    ctx->saved_data["map"] = at::IValue::make_capsule(map);
    ctx->saved_data["base"] = base.has_value();
    ctx->save_for_backward({x});
    return product(*map, x, base ? *base : Tensor(), true);
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    refuse_second_order("RecurrentLinear");
    const auto map = c10::static_intrusive_pointer_cast<Map>(ctx->saved_data["map"].toCapsule());
    const Tensor d = grads[0].contiguous();
    if (ctx->needs_input_grad(0)) {
      map->inputs.push_back(ctx->get_saved_variables()[0].detach());
      map->gradients.push_back(d);
    }
    return {Tensor(), ctx->needs_input_grad(1) ? product(*map, d, Tensor(), false) : Tensor(),
            ctx->saved_data["base"].toBool() ? d : Tensor(), Tensor()};
  }
};

// What Go holds.
struct Handle {
  Tensor token;
  c10::intrusive_ptr<Map> map;
};

} // namespace

extern "C" {

void *eg_recurrent_linear(void *weight) {
  return guarded<void *>(nullptr, [&] {
    const Tensor &w = T(weight);
    want(w.dim() == 2, "want a weight [out, in]");
    auto map = c10::make_intrusive<Map>();
    const bool gradients = at::GradMode::is_enabled();
    map->packed = w.device().is_cpu() && (w.scalar_type() == at::kFloat || w.scalar_type() == at::kDouble);
    {
      at::NoGradGuard guard;
      map->weight = w.detach();
      if (map->packed) {
        map->ahead = Panels(map->weight.t());
        if (gradients)
          map->back = Panels(map->weight);
      }
    }
    return new Handle{Packed::apply(w, map), map};
  });
}

void *eg_recurrent_linear_apply(void *handle, void *x, void *base) {
  return guarded<void *>(nullptr, [&] {
    const Handle &h = *static_cast<Handle *>(handle);
    const Tensor &in = T(x), &w = h.map->weight;
    want(in.dim() == 2 && in.size(1) == w.size(1) && in.scalar_type() == w.scalar_type() && in.device() == w.device(),
         "want x [rows, in] of the type and on the device of the weight [out, in]");
    c10::optional<Tensor> to;
    if (base) {
      to = T(base);
      want(to->dim() == 2 && to->size(0) == in.size(0) && to->size(1) == w.size(0) &&
               to->scalar_type() == w.scalar_type() && to->device() == w.device(),
           "want a base [rows, out] of the type and on the device of the weight");
    }
    return new Tensor(Step::apply(h.token, in, to, h.map));
  });
}

void eg_recurrent_linear_free(void *handle) { delete static_cast<Handle *>(handle); }

} // extern "C"
