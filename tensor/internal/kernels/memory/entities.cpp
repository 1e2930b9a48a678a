#include "../torch.h"

#include "../arithmetic/product.h"
#include "../guard.h"
#include "../operands.h"
#include "entities.h"
#include "entities_kernels.h"

#include <vector>

namespace {

using namespace engram;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

enum Operand { First, Sentences, Inputs, FromKeys, ToKeys, State, Slope, Operands };

Tensor panels_of(const Tensor &matrix) {
  Tensor out = fresh(matrix, {panels_size(matrix.size(0), matrix.size(1))});
  const Tensor rows = matrix.contiguous();
  EG_DISPATCH(rows, [&] {
    pack_panels(PackPanels<F>{rows.data_ptr<F>(), rows.size(1), rows.size(0), rows.size(1), out.data_ptr<F>()});
  });
  return out;
}

// The stories of a batch. Their tapes lie one after the other, so that all rows are a matrix.
struct Batch {
  EntitiesSizes z;
  int64_t stories;
  std::vector<int64_t> lengths, begin; // begin has the number of all steps at its end
  Batch(const variable_list &in, const std::vector<int64_t> &lengths, double eps)
      : z{in[First].size(0), in[First].size(1), eps}, stories(in[Sentences].size(1)), lengths(lengths), begin{0} {
    for (const int64_t n : lengths)
      begin.push_back(begin.back() + n);
  }
  template <class F> EntitiesStory<F> story(const variable_list &in, const Tensor &panels, int64_t i) const {
    return {lengths[i],
            stories,
            in[Sentences].data_ptr<F>() + i * z.width,
            in[Inputs].data_ptr<F>() + i * z.width,
            in[ToKeys].data_ptr<F>() + i * z.slots,
            in[FromKeys].data_ptr<F>(),
            in[Slope].data_ptr<F>(),
            panels.data_ptr<F>()};
  }
  // The tape of story i within those of all: h and a [steps, slots, width], g and r [steps, slots].
  template <class F> EntitiesTape<F> tape(const variable_list &all, int64_t i) const {
    const auto at = [&](size_t k, int64_t size) { return all[k].data_ptr<F>() + begin[i] * size; };
    return {at(0, z.numbers()), at(1, z.numbers()), at(2, z.slots), at(3, z.slots)};
  }
};

struct Entities : torch::autograd::Function<Entities> {
  static Tensor forward(AutogradContext *ctx, at::TensorList operands, const std::vector<int64_t> &lengths, double eps,
                        bool keep) {
    const variable_list in(operands.begin(), operands.end());
    const Batch b(in, lengths, eps);
    const EntitiesSizes &z = b.z;
    const Tensor ahead = panels_of(in[State].t());
    Tensor slots = in[First].unsqueeze(0).repeat({b.stories, 1, 1});
    variable_list tape;
    for (const int64_t size : {z.numbers(), z.numbers(), z.slots, z.slots})
      tape.push_back(fresh(in[First], {keep ? b.begin.back() : 0, size}));
    EG_DISPATCH(in[First], [&] {
      each<F>(b.stories, z.work() * in[Sentences].size(0), keep ? 0 : z.numbers() + 2 * z.slots,
              [&](int64_t i, F *scratch) {
                EntitiesTape<F> own{nullptr, scratch, scratch + z.numbers(), scratch + z.numbers() + z.slots};
                entities_forward(z, b.story<F>(in, ahead, i), keep ? b.tape<F>(tape, i) : own, keep,
                                 slots.data_ptr<F>() + i * z.numbers());
              });
    });
    if (keep) {
      variable_list saved = in;
      saved.insert(saved.end(), tape.begin(), tape.end());
      ctx->save_for_backward(saved);
      ctx->saved_data["slots"] = slots.detach();
      ctx->saved_data["lengths"] = lengths;
      ctx->saved_data["eps"] = eps;
    }
    return slots;
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    refuse_second_order("Entities");
    const auto saved = ctx->get_saved_variables();
    const variable_list in(saved.begin(), saved.begin() + Operands);
    variable_list tape(saved.begin() + Operands, saved.end());
    const Batch b(in, ctx->saved_data["lengths"].toIntVector(), ctx->saved_data["eps"].toDouble());
    const EntitiesSizes &z = b.z;
    const Tensor last = ctx->saved_data["slots"].toTensor(), back = panels_of(in[State]);
    tape[1] = tape[1].clone(); // becomes its gradient; the graph may be kept for another one
    Tensor dslots = grads[0].contiguous().clone(), dsentences = at::zeros_like(in[Sentences]),
           dinputs = at::zeros_like(in[Inputs]), dto_keys = at::zeros_like(in[ToKeys]),
           dfrom_keys = at::zeros({b.stories, z.slots, z.width}, last.options()),
           dslope = at::zeros({b.stories, z.width}, last.options()), dstate = fresh(last, in[State].sizes());
    EG_DISPATCH(last, [&] {
      each<F>(b.stories, 2 * z.work() * in[Sentences].size(0), 0, [&](int64_t i, F *) {
        entities_backward(
            z, b.story<F>(in, back, i), b.tape<F>(tape, i),
            EntitiesGradient<F>{last.data_ptr<F>() + i * z.numbers(), dslots.data_ptr<F>() + i * z.numbers(),
                                dsentences.data_ptr<F>() + i * z.width, dinputs.data_ptr<F>() + i * z.width,
                                dto_keys.data_ptr<F>() + i * z.slots, dfrom_keys.data_ptr<F>() + i * z.numbers(),
                                dslope.data_ptr<F>() + i * z.width});
      });
      const int64_t rows = b.begin.back() * z.slots;
      if (rows)
        multiply(Transposed, Matrix<const F>{tape[1].data_ptr<F>(), rows, z.width, z.width}, AsIs,
                 Matrix<const F>{tape[0].data_ptr<F>(), rows, z.width, z.width},
                 Matrix<F>{dstate.data_ptr<F>(), z.width, z.width, z.width}, false);
      else
        dstate.zero_();
    });
    return {dslots.sum(0), dsentences,    dinputs,  dfrom_keys.sum(0), dto_keys,
            dstate,        dslope.sum(0), Tensor(), Tensor(),          Tensor()};
  }
};

} // namespace

extern "C" void *eg_entities(void *first, void *sentences, void *inputs, void *from_keys, void *to_keys, void *state,
                             void *slope, const int64_t *lengths, double eps) {
  return guarded<void *>(nullptr, [&] {
    variable_list in;
    bool grad = false;
    for (void *t : {first, sentences, inputs, from_keys, to_keys, state, slope}) {
      in.push_back(T(t).contiguous());
      want_computable(in.back(), "tensor");
      want(alike(in.back(), in[0]), "want tensors of one type on the CPU");
      grad |= in.back().requires_grad();
    }
    const Tensor &f = in[First], &s = in[Sentences];
    want(f.dim() == 2 && f.numel() > 0 && s.dim() == 3 && s.size(2) == f.size(1) && s.size(1) > 0 &&
             in[Inputs].sizes() == s.sizes() && in[FromKeys].sizes() == f.sizes(),
         "want slots and what keys add [slots, width], sentences and inputs [steps, stories, width]");
    want(in[ToKeys].sizes() == at::IntArrayRef({s.size(0), s.size(1), f.size(0)}),
         "want gates [steps, stories, slots]");
    want(in[State].sizes() == at::IntArrayRef({f.size(1), f.size(1)}) && in[Slope].sizes() == f.sizes().slice(1),
         "want a state matrix [width, width] and slopes [width]");
    const std::vector<int64_t> steps(lengths, lengths + s.size(1));
    for (const int64_t n : steps)
      want(n >= 0 && n <= s.size(0), "a story is longer than the sentences");
    return static_cast<void *>(
        new Tensor(Entities::apply(at::TensorList(in), steps, eps, grad && at::GradMode::is_enabled())));
  });
}
