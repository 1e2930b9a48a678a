#include "../torch.h"

#include "../guard.h"
#include "lookup.h"
#include "lookup_kernels.h"
#include "../operands.h"

#include <algorithm>

namespace {

using namespace engram;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

BagSizes bags_of(int64_t rows, int64_t cols, const Tensor &indices, const Tensor &offsets) {
  return {rows, cols, offsets.numel(), indices.numel(), indices.data_ptr<int64_t>(), offsets.data_ptr<int64_t>()};
}

struct EmbeddingBag : torch::autograd::Function<EmbeddingBag> {
  static Tensor forward(AutogradContext *ctx, const Tensor &table, const Tensor &indices, const Tensor &offsets,
                        const Tensor &weights) {
    const BagSizes z = bags_of(table.size(0), table.size(1), indices, offsets);
    Tensor out = fresh(table, {z.bags, z.cols});
    EG_DISPATCH(table, [&] {
      at::parallel_for(
          0, z.bags, grain(z.cols * z.count / std::max<int64_t>(z.bags, 1)), [&](int64_t from, int64_t to) {
            bags_forward(Bags<F>{z, table.data_ptr<F>(), weights.data_ptr<F>(), out.data_ptr<F>()}, from, to);
          });
    });
    ctx->save_for_backward({indices, offsets, weights});
    ctx->saved_data["rows"] = z.rows;
    return out;
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    refuse_second_order("EmbeddingBag");
    const auto saved = ctx->get_saved_variables();
    const Tensor &indices = saved[0], &offsets = saved[1], &weights = saved[2], dout = grads[0].contiguous();
    const BagSizes z = bags_of(ctx->saved_data["rows"].toInt(), dout.size(1), indices, offsets);
    Tensor dtable = at::zeros({z.rows, z.cols}, dout.options());
    constexpr int64_t together = 16; // columns per thread: about a register or a cache line
    EG_DISPATCH(dout, [&] {
      at::parallel_for(0, (z.cols + together - 1) / together, grain(together * z.count), [&](int64_t from, int64_t to) {
        bags_backward(BagsGradient<F>{z, weights.data_ptr<F>(), dout.data_ptr<F>(), dtable.data_ptr<F>()},
                      from * together, std::min(to * together, z.cols));
      });
    });
    return {dtable, Tensor(), Tensor(), Tensor()};
  }
};

struct AttendFunction : torch::autograd::Function<AttendFunction> {
  static variable_list forward(AutogradContext *ctx, const Tensor &queries, const Tensor &keys, const Tensor &values,
                               double scale, bool softmax) {
    ctx->set_materialize_grads(false);
    const AttendSizes z{queries.size(1), keys.size(1), keys.size(2), values.size(2), scale, softmax};
    const Tensor q = queries.contiguous(), k = by_rows(keys), v = by_rows(values);
    Tensor attention = fresh(q, {q.size(0), z.queries, z.slots}), read = fresh(q, {q.size(0), z.queries, z.value});
    EG_DISPATCH(q, [&] {
      each<F>(q.size(0), z.forward_work(), 0, [&](int64_t i, F *) {
        attend_forward(Attend<F>{z, at_row<F>(q, i), at_row<F>(k, i), at_row<F>(v, i), k.stride(1), v.stride(1),
                                 row_of<F>(attention, i), row_of<F>(read, i)});
      });
    });
    ctx->save_for_backward({q, k, v, attention});
    ctx->saved_data["scale"] = scale;
    ctx->saved_data["softmax"] = softmax;
    return {read, attention};
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    refuse_second_order("Attend");
    const auto saved = ctx->get_saved_variables();
    const Tensor &q = saved[0], &k = saved[1], &v = saved[2], &attention = saved[3];
    const AttendSizes z{q.size(1),
                        k.size(1),
                        k.size(2),
                        v.size(2),
                        ctx->saved_data["scale"].toDouble(),
                        ctx->saved_data["softmax"].toBool()};
    const Tensor dread = contiguous(grads[0]), dattention = contiguous(grads[1]);
    Tensor dq = fresh(q, q.sizes()), dk = fresh(q, k.sizes()), dv = fresh(q, v.sizes());
    EG_DISPATCH(q, [&] {
      each<F>(q.size(0), z.backward_work(), z.slots, [&](int64_t i, F *scratch) {
        attend_backward(AttendGradient<F>{z, at_row<F>(q, i), at_row<F>(k, i), at_row<F>(v, i), k.stride(1),
                                          v.stride(1), at_row<F>(attention, i), at_row<F>(dattention, i),
                                          at_row<F>(dread, i), row_of<F>(dq, i), row_of<F>(dk, i), row_of<F>(dv, i),
                                          scratch});
      });
    });
    return {dq, dk, dv, Tensor(), Tensor()};
  }
};

} // namespace

extern "C" {

void *eg_embedding_bag(void *table, void *indices, void *offsets, void *weights) {
  return guarded<void *>(nullptr, [&] {
    const Tensor &t = T(table), &w = T(weights), at = T(indices).contiguous(), starts = T(offsets).contiguous();
    want(t.dim() == 2 && at.dim() == 1 && starts.dim() == 1 && w.dim() == 1 && at.scalar_type() == at::kLong &&
             starts.scalar_type() == at::kLong && w.scalar_type() == t.scalar_type(),
         "want a table [rows, width], indices and offsets (int64), and weights of the table's type");
    for (const Tensor &x : {t, w, at, starts})
      want(x.device().is_cpu(), "want the table, indices, offsets and weights on the CPU");
    want(w.size(0) == at.size(0), "want one weight per index");
    const BagSizes z = bags_of(t.size(0), t.size(1), at, starts);
    for (int64_t i = 0; i < z.count; i++)
      want(z.indices[i] >= 0 && z.indices[i] < z.rows, "an index lies outside the table");
    for (int64_t i = 0; i < z.bags; i++)
      want(z.offsets[i] >= 0 && z.offsets[i] <= z.end(i) && z.offsets[i] <= z.count,
           "the offsets decrease, or exceed the number of indices");
    return static_cast<void *>(new Tensor(EmbeddingBag::apply(t.contiguous(), at, starts, w.contiguous())));
  });
}

int eg_attend(void *queries, void *keys, void *values, double scale, int softmax, void **out) {
  return guarded(-1, [&] {
    const Tensor &q = T(queries), &k = T(keys), &v = T(values);
    want(q.dim() == 3 && k.dim() == 3 && v.dim() == 3 && q.size(0) == k.size(0) && k.size(0) == v.size(0) &&
             q.size(2) == k.size(2) && k.size(1) == v.size(1) && k.size(1) > 0,
         "want queries [batch, queries, key], keys [batch, slots, key] and values [batch, slots, value]");
    want(q.scalar_type() == k.scalar_type() && k.scalar_type() == v.scalar_type() && q.device().is_cpu() &&
             k.device().is_cpu() && v.device().is_cpu(),
         "want queries, keys and values of one type on the CPU");
    return give(AttendFunction::apply(q, k, v, scale, softmax != 0), out);
  });
}

} // extern "C"
