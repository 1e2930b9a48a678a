// Tunes class weights w of few-shot tasks by Adam. With embeddings x, labels y of the n of the support set, m queries,
// logits l = τ(w·x − ½‖w‖²), probabilities p = softmax(l) and q the mean of p over the queries, the loss is
//
//	L = C·CE(support) − M·H(q) + D·mean H(p of the queries)
//
// Its gradient (x̄ is the derivative of L with respect to x):
//
//	l̄_k = C/n (p_k − y_k) on the support set
//	l̄_k = 1/m p_k (u_k − Σ_j p_j u_j) on queries, with u_k = M log q_k − D log p_k
//	w̄_k = τ (Σ_i l̄_ki x_i − w_k Σ_i l̄_ki)
//
// A task's embeddings are read twice per step, and stay in the processor's cache for all steps.
#include "../torch.h"

#include "tune.h"
#include "../arithmetic/adam.h"
#include "../arithmetic/simd_includes.h"
#include "../guard.h"
#include "../operands.h"

namespace {

template <class F> constexpr F tiny = F(1e-12); // added where a logarithm may be infinite

// One task: x [all, width], of which the first `support` rows have labels.
template <class F> struct Tune {
  int64_t way, all, support, width, steps;
  F temperature, cross_entropy, marginal, conditional;
  double rate;
  const F *x;
  const int64_t *labels;
  int64_t room() const { return 3 * way * width + 2 * way * all + 2 * all; }
  int64_t work() const { return steps * way * all * width; }
};

#define EG_KERNELS_FILE "tune_kernels.h"
#include "../perprocessor.h"

#define EG_TUNE(of) of::tune<F>

} // namespace

using engram::guarded;
using engram::T;

extern "C" void *eg_tune_weights(const struct eg_tune *by, void *weights, void *embeddings, void *labels) {
  return guarded<void *>(nullptr, [&] {
    at::NoGradGuard guard;
    const at::Tensor &w = T(weights), &x = T(embeddings), &y = T(labels);
    engram::want_computable(x, "tensor of embeddings");
    engram::want(w.dim() == 3 && x.dim() == 3 && engram::alike(w, x) && w.size(0) == x.size(0) &&
                     w.size(2) == x.size(2),
                 "want weights [tasks, way, width] and embeddings [tasks, all, width] of one type");
    engram::want(y.dim() == 2 && y.scalar_type() == at::kLong && y.device().is_cpu() && y.size(0) == x.size(0) &&
                     y.size(1) <= x.size(1),
                 "want labels [tasks, support] of int64 for the first embeddings");
    engram::want(y.numel() == 0 || (y.min().item<int64_t>() >= 0 && y.max().item<int64_t>() < w.size(1)),
                 "want labels from 0 to the number of classes less one");
    const at::Tensor all = x.contiguous(), truth = y.contiguous();
    at::Tensor tuned = w.clone(at::MemoryFormat::Contiguous);
    EG_DISPATCH(x, [&] {
      static void (*const run)(const Tune<F> &, F *, F *) = EG_CHOOSE(EG_TUNE);
      Tune<F> z{w.size(1), x.size(1), y.size(1), x.size(2), by->steps};
      z.temperature = F(by->temperature), z.cross_entropy = F(by->cross_entropy), z.marginal = F(by->marginal);
      z.conditional = F(by->conditional), z.rate = by->rate;
      engram::each<F>(x.size(0), z.work(), z.room(), [&](int64_t i, F *room) {
        Tune<F> task = z;
        task.x = engram::at_row<F>(all, i), task.labels = engram::at_row<int64_t>(truth, i);
        run(task, engram::row_of<F>(tuned, i), room);
      });
    });
    return new at::Tensor(tuned);
  });
}
