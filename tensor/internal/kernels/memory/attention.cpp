#include "../torch.h"

#include "../guard.h"
#include "../operands.h"
#include "attention.h"
#include "attention_kernels.h"

#include <cmath>
#include <vector>

namespace {

using namespace engram;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The rows of one head of sequence i of a tensor [batch, time, width].
template <class F> Rows<const F> head_of(const Tensor &t, int64_t i, int64_t first) {
  return {t.data_ptr<F>() + i * t.stride(0) + first, t.stride(1)};
}
template <class F> Rows<F> written(const Tensor &t, int64_t i, int64_t first) {
  return {t.data_ptr<F>() + i * t.stride(0) + first, t.stride(1)};
}

AttentionSizes sizes_of(const Tensor &q, const Tensor &k, int64_t heads) {
  const int64_t width = q.size(2) / heads;
  return {q.size(1), k.size(1), width, 1 / std::sqrt(double(width))};
}

struct AttendHeads : torch::autograd::Function<AttendHeads> {
  // in is the queries, keys and values, then the mask [batch, heads, queries, keys], with contiguous rows, where there
  // is one.
  static Tensor forward(AutogradContext *ctx, at::TensorList in, int64_t heads, bool keep) {
    const Tensor q = by_rows(in[0]), k = by_rows(in[1]), v = by_rows(in[2]), mask = in.size() > 3 ? in[3] : Tensor();
    const AttentionSizes z = sizes_of(q, k, heads);
    const int64_t batch = q.size(0), all = z.queries * z.keys;
    Tensor read = fresh(q, q.sizes()), weights;
    if (keep)
      weights = fresh(q, {batch, heads, z.queries, z.keys});
    EG_DISPATCH(q, [&] {
      each<F>(batch * heads, z.work(), z.forward_scratch() + (keep ? 0 : all), [&](int64_t i, F *scratch) {
        const int64_t n = i / heads, h = i % heads, first = h * z.width;
        Rows<const F> hidden{nullptr, 0};
        if (mask.defined())
          hidden = {mask.data_ptr<F>() + n * mask.stride(0) + h * mask.stride(1), mask.stride(2)};
        attention_forward(z, AttentionForward<F>{head_of<F>(q, n, first), head_of<F>(k, n, first),
                                                 head_of<F>(v, n, first), hidden,
                                                 keep ? weights.data_ptr<F>() + i * all : scratch + z.forward_scratch(),
                                                 written<F>(read, n, first), scratch});
      });
    });
    if (keep) {
      ctx->save_for_backward({q, k, v, weights});
      ctx->saved_data["heads"] = heads, ctx->saved_data["masked"] = mask.defined();
    }
    return read;
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    refuse_second_order("AttendHeads");
    const auto saved = ctx->get_saved_variables();
    const Tensor &q = saved[0], &k = saved[1], &v = saved[2], &weights = saved[3], dread = by_rows(grads[0]);
    const int64_t heads = ctx->saved_data["heads"].toInt();
    const AttentionSizes z = sizes_of(q, k, heads);
    Tensor dq = fresh(q, q.sizes()), dk = fresh(k, k.sizes()), dv = fresh(v, v.sizes());
    EG_DISPATCH(q, [&] {
      each<F>(q.size(0) * heads, 2 * z.work(), z.backward_scratch(), [&](int64_t i, F *scratch) {
        const int64_t n = i / heads, first = i % heads * z.width;
        attention_backward(z,
                           AttentionBackward<F>{head_of<F>(q, n, first), head_of<F>(k, n, first),
                                                head_of<F>(v, n, first), weights.data_ptr<F>() + i * z.queries * z.keys,
                                                head_of<F>(dread, n, first), written<F>(dq, n, first),
                                                written<F>(dk, n, first), written<F>(dv, n, first), scratch});
      });
    });
    variable_list out{dq, dk, dv};
    out.resize(out.size() + ctx->saved_data["masked"].toBool() + 2); // for the mask and the settings
    return out;
  }
};

} // namespace

extern "C" void *eg_attend_heads(void *queries, void *keys, void *values, void *mask, int64_t heads) {
  return guarded<void *>(nullptr, [&] {
    const Tensor &q = T(queries), &k = T(keys), &v = T(values);
    want_computable(q, "tensor of queries");
    want(q.dim() == 3 && k.dim() == 3 && q.size(0) == k.size(0) && q.size(2) == k.size(2) &&
             k.sizes().equals(v.sizes()) && k.size(1) > 0,
         "want queries [batch, queries, width], and keys and values [batch, keys, width]");
    want(alike(k, q) && alike(v, q), "want queries, keys and values of one type on the CPU");
    want(heads > 0 && q.size(2) > 0 && q.size(2) % heads == 0, "want heads that divide the width");
    std::vector<Tensor> in{q, k, v};
    if (mask) {
      const Tensor &m = T(mask);
      want(alike(m, q) && !m.requires_grad(), "want a mask of the type of the queries on the CPU, without a gradient");
      const Tensor hidden = m.expand({q.size(0), heads, q.size(1), k.size(1)});
      in.push_back(hidden.stride(3) == 1 || hidden.size(3) == 1 ? hidden : hidden.contiguous());
    }
    const bool keep = at::GradMode::is_enabled() && (q.requires_grad() || k.requires_grad() || v.requires_grad());
    return static_cast<void *>(new Tensor(AttendHeads::apply(at::TensorList(in), heads, keep)));
  });
}
