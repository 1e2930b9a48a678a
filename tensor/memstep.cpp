#include <torch/torch.h>

#include "../libtorch/compat_end.h"
#include "guard.h"
#include "memkernels_table.h"
#include "memstep.h"
#include "memtensor.h"

#include <stdexcept>
#include <vector>

namespace {

using namespace engram;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// ---- LSTM ----

struct LSTMStep : torch::autograd::Function<LSTMStep> {
  static variable_list forward(AutogradContext *ctx, const Tensor &gates, const Tensor &cell) {
    ctx->set_materialize_grads(false);
    const int64_t batch = cell.size(0), size = cell.size(1);
    Tensor hidden = fresh(cell, {batch, size}), next = fresh(cell, {batch, size}), act = fresh(cell, {batch, 5 * size});
    EG_DISPATCH(cell, [&] {
      each<F>(batch, 50 * size, 0, [&](int64_t i, F *) {
        kernels<F>().lstm_forward(size, at_row<F>(gates, i), at_row<F>(cell, i), row_of<F>(act, i), row_of<F>(hidden, i), row_of<F>(next, i));
      });
    });
    ctx->save_for_backward({cell, act});
    return {hidden, next};
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    refuse_second_order("LSTMStep");
    const auto saved = ctx->get_saved_variables();
    const Tensor &cell = saved[0], &act = saved[1];
    const int64_t batch = cell.size(0), size = cell.size(1);
    const Tensor dhidden = contiguous(grads[0]), dnext = contiguous(grads[1]);
    Tensor dgates = fresh(cell, {batch, 4 * size}), dcell = fresh(cell, {batch, size});
    EG_DISPATCH(cell, [&] {
      each<F>(batch, 30 * size, 0, [&](int64_t i, F *) {
        kernels<F>().lstm_backward(size, at_row<F>(act, i), at_row<F>(cell, i), at_row<F>(dhidden, i), at_row<F>(dnext, i), row_of<F>(dgates, i), row_of<F>(dcell, i));
      });
    });
    return {dgates, dcell};
  }
};

// ---- NTM ----

struct NTMStep : torch::autograd::Function<NTMStep> {
  static variable_list forward(AutogradContext *ctx, const Tensor &e, const Tensor &memory, const Tensor &weightings, int64_t reads, int64_t writes, int64_t shift, double clip) {
    ctx->set_materialize_grads(false);
    const NTMSizes z{memory.size(1), memory.size(2), reads, writes, shift, clip};
    const int64_t batch = e.size(0), n = z.slots;
    const Tensor m = width_major(memory), prev = weightings.contiguous();
    Tensor act = fresh(e, {batch, z.emission()}), content = fresh(e, {batch, z.heads(), n}), shifted = fresh(e, {batch, z.heads(), n});
    Tensor w = fresh(e, {batch, z.heads(), n}), read = fresh(e, {batch, reads * z.width}), next = new_memory(e, n, z.width);
    EG_DISPATCH(e, [&] {
      each<F>(batch, z.forward_work(), z.forward_room(), [&](int64_t i, F *scratch) {
        kernels<F>().ntm_forward(z, at_row<F>(e, i), at_row<F>(m, i), at_row<F>(prev, i), row_of<F>(act, i), row_of<F>(content, i), row_of<F>(shifted, i), row_of<F>(w, i), row_of<F>(read, i), row_of<F>(next, i), scratch);
      });
    });
    ctx->save_for_backward({e, m, prev, act, content, shifted, w});
    ctx->saved_data["sizes"] = std::vector<int64_t>{reads, writes, shift};
    ctx->saved_data["clip"] = clip;
    return {read, w, next};
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    refuse_second_order("NTMStep");
    const auto saved = ctx->get_saved_variables();
    const Tensor &e = saved[0], &m = saved[1], &prev = saved[2], &act = saved[3], &content = saved[4], &shifted = saved[5], &w = saved[6];
    const auto sizes = ctx->saved_data["sizes"].toIntVector();
    const NTMSizes z{m.size(1), m.size(2), sizes[0], sizes[1], sizes[2], ctx->saved_data["clip"].toDouble()};
    const int64_t batch = e.size(0), n = z.slots;
    const Tensor dread = contiguous(grads[0]), dw = contiguous(grads[1]), dnext = grads[2].defined() ? width_major(grads[2]) : Tensor();
    Tensor de = fresh(e, {batch, z.emission()}), dm = new_memory(e, n, z.width), dprev = fresh(e, {batch, z.heads(), n});
    EG_DISPATCH(e, [&] {
      each<F>(batch, z.backward_work(), z.backward_room(), [&](int64_t i, F *scratch) {
        kernels<F>().ntm_backward(z, at_row<F>(e, i), at_row<F>(m, i), at_row<F>(prev, i), at_row<F>(act, i), at_row<F>(content, i), at_row<F>(shifted, i), at_row<F>(w, i), at_row<F>(dread, i), at_row<F>(dw, i), at_row<F>(dnext, i), row_of<F>(de, i), row_of<F>(dm, i), row_of<F>(dprev, i), scratch);
      });
    });
    return {de, dm, dprev, Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

// ---- LRUA ----

struct LRUAStep : torch::autograd::Function<LRUAStep> {
  static variable_list forward(AutogradContext *ctx, const Tensor &e, const Tensor &memory, const Tensor &before, const Tensor &usage, double decay, bool add, bool strength, bool own_slots) {
    ctx->set_materialize_grads(false);
    const LRUASizes z{memory.size(1), memory.size(2), before.size(1), decay, add, strength, own_slots};
    const int64_t batch = e.size(0), n = z.slots;
    const Tensor m = width_major(memory), prev = before.contiguous(), used = usage.contiguous();
    Tensor act = fresh(e, {batch, z.emission()}), least = at::empty({batch, z.heads}, at::kLong);
    Tensor w = fresh(e, {batch, z.heads, n}), content = fresh(e, {batch, z.heads, n}), nextusage = fresh(e, {batch, 1, n});
    Tensor read = fresh(e, {batch, z.heads * z.width}), next = new_memory(e, n, z.width);
    EG_DISPATCH(e, [&] {
      each<F>(batch, z.forward_work(), z.forward_room(), [&](int64_t i, F *scratch) {
        kernels<F>().lrua_forward(z, at_row<F>(e, i), at_row<F>(m, i), at_row<F>(prev, i), at_row<F>(used, i), row_of<F>(act, i), row_of<int64_t>(least, i), row_of<F>(next, i), row_of<F>(w, i), row_of<F>(content, i), row_of<F>(nextusage, i), row_of<F>(read, i), scratch);
      });
    });
    ctx->save_for_backward({prev, act, least, next, w, content});
    ctx->saved_data["decay"] = decay;
    ctx->saved_data["options"] = std::vector<int64_t>{add, strength, own_slots};
    ctx->mark_non_differentiable({nextusage});
    return {read, next, content, w, nextusage};
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    refuse_second_order("LRUAStep");
    const auto saved = ctx->get_saved_variables();
    const Tensor &prev = saved[0], &act = saved[1], &least = saved[2], &next = saved[3], &w = saved[4], &content = saved[5];
    const auto options = ctx->saved_data["options"].toIntVector();
    const LRUASizes z{next.size(1), next.size(2), prev.size(1), ctx->saved_data["decay"].toDouble(), options[0] != 0, options[1] != 0, options[2] != 0};
    const int64_t batch = act.size(0), n = z.slots;
    const Tensor dread = contiguous(grads[0]), dnext = grads[1].defined() ? width_major(grads[1]) : Tensor(), dcontent = contiguous(grads[2]), dw = contiguous(grads[3]);
    Tensor de = fresh(act, {batch, z.emission()}), dm = new_memory(act, n, z.width), dprev = fresh(act, {batch, z.heads, n});
    EG_DISPATCH(act, [&] {
      each<F>(batch, z.backward_work(), z.backward_room(), [&](int64_t i, F *scratch) {
        kernels<F>().lrua_backward(z, at_row<F>(prev, i), at_row<F>(act, i), at_row<int64_t>(least, i), at_row<F>(next, i), at_row<F>(w, i), at_row<F>(content, i), at_row<F>(dread, i), at_row<F>(dnext, i), at_row<F>(dcontent, i), at_row<F>(dw, i), row_of<F>(de, i), row_of<F>(dm, i), row_of<F>(dprev, i), scratch);
      });
    });
    return {de, dm, dprev, Tensor(), Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

// ---- DNC ----

// The parts of sequence i of a DNC's state; those that are not defined are null.
template <class F> DNCParts<const F> parts_of(const Tensor &link, const Tensor &usage, const Tensor &precedence, const Tensor &write, const Tensor &read, int64_t i) {
  return {at_row<F>(link, i), at_row<F>(usage, i), at_row<F>(precedence, i), at_row<F>(write, i), at_row<F>(read, i)};
}

struct DNCStep : torch::autograd::Function<DNCStep> {
  static variable_list forward(AutogradContext *ctx, const Tensor &e, const Tensor &memory, const Tensor &usage0, const Tensor &link0, const Tensor &precedence0, const Tensor &read0, const Tensor &write0, double clip) {
    ctx->set_materialize_grads(false);
    const DNCSizes z{memory.size(1), memory.size(2), read0.size(1), clip};
    const int64_t batch = e.size(0), n = z.slots;
    const Tensor m = width_major(memory), usage = usage0.contiguous(), link = link0.contiguous(), precedence = precedence0.contiguous(), read = read0.contiguous(), write = write0.contiguous();
    Tensor act = fresh(e, {batch, z.emission()}), kept = fresh(e, {batch, z.kept()}), order = at::empty({batch, n}, at::kLong);
    Tensor next = new_memory(e, n, z.width), out = fresh(e, {batch, z.reads * z.width});
    Tensor nlink = fresh(e, {batch, n, n}), nusage = fresh(e, {batch, 1, n}), nprecedence = fresh(e, {batch, 1, n}), nread = fresh(e, {batch, z.reads, n}), nwrite = fresh(e, {batch, 1, n});
    EG_DISPATCH(e, [&] {
      each<F>(batch, z.forward_work(), z.forward_room(), [&](int64_t i, F *scratch) {
        const DNCParts<F> after{row_of<F>(nlink, i), row_of<F>(nusage, i), row_of<F>(nprecedence, i), row_of<F>(nwrite, i), row_of<F>(nread, i)};
        kernels<F>().dnc_forward(z, at_row<F>(e, i), at_row<F>(m, i), parts_of<F>(link, usage, precedence, write, read, i), row_of<F>(act, i), row_of<F>(kept, i), row_of<int64_t>(order, i), row_of<F>(next, i), after, row_of<F>(out, i), scratch);
      });
    });
    ctx->save_for_backward({e, m, usage, link, precedence, read, write, act, kept, order, next, nusage, nlink, nprecedence, nread, nwrite});
    ctx->saved_data["clip"] = clip;
    return {out, next, nusage, nlink, nprecedence, nread, nwrite};
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    refuse_second_order("DNCStep");
    const auto s = ctx->get_saved_variables();
    const Tensor &e = s[0], &m = s[1], &act = s[7], &kept = s[8], &order = s[9], &next = s[10];
    const DNCSizes z{m.size(1), m.size(2), s[5].size(1), ctx->saved_data["clip"].toDouble()};
    const int64_t batch = e.size(0), n = z.slots;
    const Tensor dout = contiguous(grads[0]), dnext = grads[1].defined() ? width_major(grads[1]) : Tensor();
    for (size_t i = 2; i < grads.size(); i++)
      grads[i] = contiguous(grads[i]);
    Tensor de = fresh(e, {batch, z.emission()}), dm = new_memory(e, n, z.width);
    Tensor dusage = fresh(e, {batch, 1, n}), dlink = fresh(e, {batch, n, n}), dprecedence = fresh(e, {batch, 1, n}), dread = fresh(e, {batch, z.reads, n}), dwrite = fresh(e, {batch, 1, n});
    EG_DISPATCH(e, [&] {
      each<F>(batch, z.backward_work(), z.backward_room(), [&](int64_t i, F *scratch) {
        const DNCParts<F> before{row_of<F>(dlink, i), row_of<F>(dusage, i), row_of<F>(dprecedence, i), row_of<F>(dwrite, i), row_of<F>(dread, i)};
        kernels<F>().dnc_backward(z, at_row<F>(e, i), at_row<F>(m, i), parts_of<F>(s[3], s[2], s[4], s[6], s[5], i), at_row<F>(act, i), at_row<F>(kept, i), at_row<int64_t>(order, i), at_row<F>(next, i), parts_of<F>(s[12], s[11], s[13], s[15], s[14], i), at_row<F>(dout, i), at_row<F>(dnext, i), parts_of<F>(grads[3], grads[2], grads[4], grads[6], grads[5], i), row_of<F>(de, i), row_of<F>(dm, i), before, scratch);
      });
    });
    return {de, dm, dusage, dlink, dprecedence, dread, dwrite, Tensor()};
  }
};

} // namespace

extern "C" {

int eg_lstm_step(void *gates, void *cell, void **out) {
  return guarded(-1, [&] {
    const Tensor &g = T(gates), &c = T(cell);
    want(c.dim() == 2 && g.dim() == 2 && g.size(0) == c.size(0) && g.size(1) == 4 * c.size(1) && g.scalar_type() == c.scalar_type(), "want gates [batch, 4·size] for a cell [batch, size] of their type");
    return give(LSTMStep::apply(g.contiguous(), c.contiguous()), out);
  });
}

int eg_ntm_step(void *emission, void *memory, void *weightings, int64_t reads, int64_t writes, int64_t shift, double clip, void **out) {
  return guarded(-1, [&] {
    const Tensor &e = T(emission), &m = T(memory), &w = T(weightings);
    want(m.dim() == 3 && e.dim() == 2 && e.size(0) == m.size(0) && e.scalar_type() == m.scalar_type(), "want a memory [batch, slots, width] of the emission's type");
    const NTMSizes z{m.size(1), m.size(2), reads, writes, shift, clip};
    want(e.size(1) == z.emission(), "the emission is not as wide as these heads need");
    want(shift <= z.slots, "the shift reaches further than there are slots");
    want_shape(w, e, z.heads(), z.slots, "want weightings [batch, reads+writes, slots]");
    return give(NTMStep::apply(e.contiguous(), m, w, reads, writes, shift, clip), out);
  });
}

int eg_lrua_step(void *emission, void *memory, void *read, void *usage, double decay, int add, int strength, int own_slots, void **out) {
  return guarded(-1, [&] {
    const Tensor &e = T(emission), &m = T(memory), &r = T(read);
    want(m.dim() == 3 && e.dim() == 2 && r.dim() == 3 && e.size(0) == m.size(0) && e.scalar_type() == m.scalar_type(), "want a memory [batch, slots, width] of the emission's type");
    const LRUASizes z{m.size(1), m.size(2), r.size(1), decay, add != 0, strength != 0, own_slots != 0};
    want(e.size(1) == z.emission(), "the emission is not as wide as these heads need");
    want(z.heads <= z.slots, "there are fewer slots than heads");
    want_shape(r, e, z.heads, z.slots, "want read weightings [batch, heads, slots]");
    want_shape(T(usage), e, 1, z.slots, "want a usage [batch, 1, slots]");
    return give(LRUAStep::apply(e.contiguous(), m, r, T(usage), decay, add != 0, strength != 0, own_slots != 0), out);
  });
}

int eg_dnc_step(void **in, double clip, void **out) {
  return guarded(-1, [&] {
    const Tensor &e = T(in[0]), &m = T(in[1]), &read = T(in[5]);
    want(m.dim() == 3 && e.dim() == 2 && read.dim() == 3 && e.size(0) == m.size(0) && e.scalar_type() == m.scalar_type(), "want a memory [batch, slots, width] of the emission's type");
    const DNCSizes z{m.size(1), m.size(2), read.size(1), clip};
    want(e.size(1) == z.emission(), "the emission is not as wide as these heads need");
    want_shape(T(in[2]), e, 1, z.slots, "want a usage [batch, 1, slots]");
    want_shape(T(in[3]), e, z.slots, z.slots, "want a link [batch, slots, slots]");
    want_shape(T(in[4]), e, 1, z.slots, "want a precedence [batch, 1, slots]");
    want_shape(read, e, z.reads, z.slots, "want read weightings [batch, reads, slots]");
    want_shape(T(in[6]), e, 1, z.slots, "want a write weighting [batch, 1, slots]");
    return give(DNCStep::apply(e.contiguous(), m, T(in[2]), T(in[3]), T(in[4]), read, T(in[6]), clip), out);
  });
}

} // extern "C"
