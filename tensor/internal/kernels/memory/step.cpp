#include "../torch.h"

#include "../guard.h"
#include "../operands.h"
#include "lstm.h"
#include "memory.h"
#include "step.h"

#include <string>
#include <vector>

namespace {

using namespace engram;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

static_assert(EG_STEP_OUTPUTS == max_parts + 2, "a step returns the values read, the memory and its parts");

struct LSTMStep : torch::autograd::Function<LSTMStep> {
  static variable_list forward(AutogradContext *ctx, const Tensor &gates, const Tensor &cell) {
    ctx->set_materialize_grads(false);
    const int64_t batch = cell.size(0), size = cell.size(1);
    Tensor hidden = fresh(cell, {batch, size}), next = fresh(cell, {batch, size}),
           kept = fresh(cell, {batch, 5 * size});
    EG_DISPATCH(cell, [&] {
      each<F>(batch, 50 * size, 0, [&](int64_t i, F *) {
        lstm_forward(LSTMForward<F>{size, at_row<F>(gates, i), at_row<F>(cell, i), row_of<F>(kept, i),
                                    row_of<F>(hidden, i), row_of<F>(next, i)});
      });
    });
    ctx->save_for_backward({cell, kept});
    return {hidden, next};
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    refuse_second_order("LSTMStep");
    const auto saved = ctx->get_saved_variables();
    const Tensor &cell = saved[0], &kept = saved[1];
    const int64_t batch = cell.size(0), size = cell.size(1);
    const Tensor dhidden = contiguous(grads[0]), dnext = contiguous(grads[1]);
    Tensor dgates = fresh(cell, {batch, 4 * size}), dcell = fresh(cell, {batch, size});
    EG_DISPATCH(cell, [&] {
      each<F>(batch, 30 * size, 0, [&](int64_t i, F *) {
        lstm_backward(LSTMBackward<F>{size, at_row<F>(kept, i), at_row<F>(cell, i), at_row<F>(dhidden, i),
                                      at_row<F>(dnext, i), row_of<F>(dgates, i), row_of<F>(dcell, i)});
      });
    });
    return {dgates, dcell};
  }
};

// A memory in the context of an autograd function.
struct Described : torch::CustomClassHolder {
  std::shared_ptr<const Memory> memory;
};

struct MemoryStep : torch::autograd::Function<MemoryStep> {
  // in is the emission, the memory and the input parts, as in eg_memory_step.
  static variable_list forward(AutogradContext *ctx, at::TensorList in,
                               const c10::intrusive_ptr<Described> &described) {
    ctx->set_materialize_grads(false);
    const Memory &memory = *described->memory;
    const MemorySizes &z = memory.sizes;
    const Tensor &e = in[0], m = width_major(in[1]);
    const int64_t batch = e.size(0);
    Tensor next = new_memory(e, z.slots, z.width), read = fresh(e, {batch, z.heads * z.width});
    Tensor kept = fresh(e, {batch, z.kept}), indices = at::empty({batch, z.kept_indices}, at::kLong);
    variable_list out{read, next}, unchanging, saved{e, m, next, kept, indices}, before;
    size_t input = 2;
    for (const Part &part : z.parts) {
      before.push_back(part.input ? in[input++].contiguous() : Tensor());
      out.push_back(fresh(e, {batch, part.rows, z.slots}));
      if (!part.gradient)
        unchanging.push_back(out.back());
    }
    EG_DISPATCH(e, [&] {
      each<F>(batch, z.forward_work, z.forward_scratch, [&](int64_t i, F *scratch) {
        MemoryForward<F> x{};
        x.emission = at_row<F>(e, i), x.memory = at_row<F>(m, i), x.next = row_of<F>(next, i);
        for (size_t k = 0; k < z.parts.size(); k++)
          x.before[k] = at_row<F>(before[k], i), x.after[k] = row_of<F>(out[k + 2], i);
        x.read = row_of<F>(read, i), x.kept = row_of<F>(kept, i), x.kept_indices = row_of<int64_t>(indices, i);
        x.scratch = scratch;
        memory.forward(x);
      });
    });
    saved.insert(saved.end(), before.begin(), before.end());
    saved.insert(saved.end(), out.begin() + 2, out.end());
    ctx->save_for_backward(saved);
    ctx->saved_data["memory"] = at::IValue::make_capsule(described);
    ctx->mark_non_differentiable(unchanging);
    return out;
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    refuse_second_order("MemoryStep");
    const auto described = c10::static_intrusive_pointer_cast<Described>(ctx->saved_data["memory"].toCapsule());
    const Memory &memory = *described->memory;
    const MemorySizes &z = memory.sizes;
    const size_t parts = z.parts.size();
    const auto saved = ctx->get_saved_variables();
    const Tensor &e = saved[0], &m = saved[1], &next = saved[2], &kept = saved[3], &indices = saved[4];
    const Tensor *before = saved.data() + 5, *after = before + parts;
    const int64_t batch = e.size(0);
    const Tensor dread = contiguous(grads[0]), dnext = grads[1].defined() ? width_major(grads[1]) : Tensor();
    Tensor de = fresh(e, {batch, z.emission}), dm = new_memory(e, z.slots, z.width);
    variable_list dafter, dbefore, result{de, dm};
    for (size_t k = 0; k < parts; k++) {
      const Part &part = z.parts[k];
      dafter.push_back(part.gradient ? contiguous(grads[k + 2]) : Tensor());
      dbefore.push_back(part.input && part.gradient ? fresh(e, {batch, part.rows, z.slots}) : Tensor());
      if (part.input)
        result.push_back(dbefore.back());
    }
    EG_DISPATCH(e, [&] {
      each<F>(batch, z.backward_work, z.backward_scratch, [&](int64_t i, F *scratch) {
        MemoryBackward<F> x{};
        x.emission = at_row<F>(e, i), x.memory = at_row<F>(m, i), x.next = at_row<F>(next, i);
        x.kept = at_row<F>(kept, i), x.kept_indices = at_row<int64_t>(indices, i);
        x.dread = at_row<F>(dread, i), x.dnext = at_row<F>(dnext, i);
        for (size_t k = 0; k < parts; k++) {
          x.before[k] = at_row<F>(before[k], i), x.after[k] = at_row<F>(after[k], i),
          x.dafter[k] = at_row<F>(dafter[k], i);
          x.dbefore[k] = dbefore[k].defined() ? row_of<F>(dbefore[k], i) : nullptr;
        }
        x.demission = row_of<F>(de, i), x.dmemory = row_of<F>(dm, i), x.scratch = scratch;
        memory.backward(x);
      });
    });
    result.emplace_back(); // for the description
    return result;
  }
};

} // namespace

extern "C" {

int eg_lstm_step(void *gates, void *cell, void **out) {
  return guarded(-1, [&] {
    const Tensor &g = T(gates), &c = T(cell);
    want_computable(c, "cell");
    want(c.dim() == 2 && g.dim() == 2 && g.size(0) == c.size(0) && g.size(1) == 4 * c.size(1) && alike(g, c),
         "want gates [batch, 4·size] for a cell [batch, size] of the same type on the CPU");
    return give(LSTMStep::apply(g.contiguous(), c.contiguous()), out);
  });
}

int eg_memory_step(const char *name, const double *settings, int settings_count, void **in, int in_count, void **out) {
  return guarded(-1, [&] {
    want(in_count >= 2, "want an emission and a memory");
    const Tensor &e = T(in[0]), &m = T(in[1]);
    want_computable(e, "tensor of emissions");
    want(m.dim() == 3 && e.dim() == 2 && e.size(0) == m.size(0) && alike(m, e),
         "want an emission [batch, n] and a memory [batch, slots, width] of its type on the CPU");
    auto described = c10::make_intrusive<Described>();
    described->memory = make_memory(name, m.size(1), m.size(2), {settings, settings_count});
    const MemorySizes &z = described->memory->sizes;
    want(e.size(1) == z.emission, "these heads need an emission of width " + std::to_string(z.emission));
    std::vector<Tensor> operands{e.contiguous(), m};
    for (const Part &part : z.parts) {
      if (!part.input)
        continue;
      want(int(operands.size()) < in_count, std::string("the state lacks its ") + part.name);
      operands.push_back(T(in[operands.size()]));
      want_part(operands.back(), m, part.rows, part.name);
    }
    want(int(operands.size()) == in_count, "the state has more parts than this memory");
    const auto outputs = MemoryStep::apply(at::TensorList(operands), described);
    give(outputs, out);
    return int(outputs.size());
  });
}

} // extern "C"
