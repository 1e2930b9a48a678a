// The memory of Memory-Augmented Neural Networks, with least recently used access: Santoro et al. 2016, section 3.2.
// memory/lrua.go composes the same step.
//
// For each head, k, α (and a, β if they are emitted; otherwise a is k and β is 1) come from the emission, M, w^r and
// w^u are those of the previous step, and ℓ is the set of least used slots, as many as heads:
//
//	k = tanh, α = σ, a = tanh, β = softplus   of the emission
//	w^w_i = α w^r_i + (1 − α) [i ∈ ℓ]                       (7); with own slots, head h has only ℓ_h
//	M'_i  = [slot i is not wiped] M_i + Σ_h w^w_{h,i} a_h    (8); ℓ_0 is wiped, with own slots all of ℓ
//	w^r'  = softmax(β K(k, M'))                             (2), (3)  content.h
//	r     = Σ_i w^r'_i M'_i                                 (4)
//	w^u'  = γ w^u + Σ_h (w^r'_h + w^w_h)                    (5); no gradient, because it only selects slots
//
// Gradient, given r̄, M̄', w̄^r' and w̄^w (x̄ is the derivative of the loss with respect to x):
//
//	w̄^r'_{h,i} += r̄_h·M'_i,   M̄'_i += Σ_h w^r'_{h,i} r̄_h
//	content.h computes k̄, β̄ and M̄' from w̄^r'
//	ā_h = Σ_i w^w_{h,i} M̄'_i,   w̄^w_{h,i} += a_h·M̄'_i
//	ᾱ_h = Σ_i w̄^w_{h,i} (w^r_{h,i} − [i ∈ ℓ]),   w̄^r_h = α_h w̄^w_h
//	M̄_i = [slot i is not wiped] M̄'_i
#ifndef EG_BYTES
#include "../arithmetic/simd_includes.h"
#include "heads.h"
#include "memory.h"

namespace engram {
namespace {

// Settings from Go: heads, decay, and whether the heads emit an add vector, emit a key strength, and have their own
// slots.
struct LRUA {
  int64_t slots, width, heads;
  double decay;
  bool add, strength, own_slots;
  int64_t emission() const { return heads * (width + 1 + (add ? width : 0) + (strength ? 1 : 0)); }
  int64_t wiped() const { return own_slots ? heads : 1; }
  MemorySizes sizes() const {
    MemorySizes s{};
    s.slots = slots, s.width = width, s.heads = heads, s.emission = emission();
    s.kept = emission();
    s.kept_indices = heads;
    s.forward_scratch = slots + wiped() * (heads + width);
    s.backward_scratch = (2 + 2 * heads) * slots + heads;
    s.forward_work = heads * slots * (3 * width + 30);
    s.backward_work = heads * slots * (8 * width + 30);
    s.parts = {
        {"read weightings", heads, true, true}, {"write weightings", heads, false, true}, {"usage", 1, true, false}};
    return s;
  }
};

enum { read_weightings, write_weightings, used };

#define EG_KERNELS_FILE "memory/lrua.cpp"
#include "../perprocessor.h"

} // namespace

std::shared_ptr<const Memory> make_lrua(int64_t slots, int64_t width, const Settings &s) {
  const LRUA z{slots, width, s.integer(0), s.number(1), s.flag(2), s.flag(3), s.flag(4)};
  if (z.heads > slots)
    throw std::invalid_argument("fewer slots than heads");
  const auto kernels = EG_CHOOSE(EG_MEMORY_KERNELS);
  return std::make_shared<KernelMemory<LRUA>>(z, kernels);
}

} // namespace engram
#else
#include "../arithmetic/simd.h"
#include "content.h"

// The emission, in the order of memory.LRUA.Step. If they are not emitted, add is keys and strengths is null.
template <class F> struct Emission {
  F *keys, *gates, *add, *strengths;
  Emission(const LRUA &z, F *e)
      : keys(e), gates(keys + z.heads * z.width), add(z.add ? gates + z.heads : keys),
        strengths(z.strength ? gates + z.heads + (z.add ? z.heads * z.width : 0) : nullptr) {}
};

// The `count` least used slots in ascending order of usage, lower slots first among equals.
template <class F> EG_INLINE void least_used(const F *usage, int64_t n, int64_t count, int64_t *least) {
  F most = 0; // the largest usage in least
  for (int64_t i = 0; i < n; i++) {
    if (i >= count && !(usage[i] < most))
      continue;
    const int64_t last = i < count ? i : count - 1;
    int64_t h = last;
    for (; h > 0 && usage[i] < usage[least[h - 1]]; h--)
      least[h] = least[h - 1];
    least[h] = i;
    most = usage[least[last]];
  }
}

template <class F> static void forward(const LRUA &z, const MemoryForward<F> &x) {
  const int64_t n = z.slots, width = z.width, keys = z.heads * width, wiped = z.wiped();
  const Emission<const F> e(z, x.emission);
  const Emission<F> a(z, x.kept);
#pragma omp simd
  for (int64_t i = 0; i < keys; i++)
    a.keys[i] = tangent_h(e.keys[i]);
#pragma omp simd
  for (int64_t h = 0; h < z.heads; h++)
    a.gates[h] = sigmoid(e.gates[h]);
  if (z.add)
#pragma omp simd
    for (int64_t i = 0; i < keys; i++)
      a.add[i] = tangent_h(e.add[i]);
  if (z.strength)
    for (int64_t h = 0; h < z.heads; h++)
      a.strengths[h] = softplus(e.strengths[h]);

  const F *m = x.memory, *usage = x.before[used];
  int64_t *least = x.kept_indices;
  F *w = x.after[write_weightings], *content = x.after[read_weightings], *nextusage = x.after[used], *next = x.next;
  least_used(usage, n, z.heads, least);
#pragma omp simd
  for (int64_t i = 0; i < n; i++)
    nextusage[i] = F(z.decay) * usage[i];
  for (int64_t h = 0; h < z.heads; h++) {
    const F gate = a.gates[h], *p = x.before[read_weightings] + h * n;
    F *out = w + h * n;
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
      out[i] = p[i] * gate;
    for (int64_t o = 0; o < z.heads; o++)
      if (!z.own_slots || o == h)
        out[least[o]] = 1 + (p[least[o]] - 1) * gate;
    axpy(F(1), out, nextusage, n);
  }
  add_outer(a.add, w, z.heads, Base<F>{m}, n, width, next);
  // A wiped slot holds only what is written in this step.
  F *norms = x.scratch, *onto = norms + n, *written = onto + wiped * z.heads;
  for (int64_t o = 0; o < wiped; o++)
    for (int64_t h = 0; h < z.heads; h++)
      onto[o * z.heads + h] = w[h * n + least[o]];
  combine(Weights<F>{onto, 1, z.heads}, wiped, z.heads, a.add, Base<F>{}, written, width);
  for (int64_t o = 0; o < wiped; o++)
    for (int64_t v = 0; v < width; v++)
      next[v * n + least[o]] = written[o * width + v];
  inverse_norms(next, n, width, norms);
  cosines(next, norms, a.keys, z.heads, n, width, content);
  for (int64_t h = 0; h < z.heads; h++) {
    F *c = content + h * n;
    if (z.strength)
      weigh_by_content(c, a.strengths[h], n);
    else
      softmax(c, n);
    axpy(F(1), c, nextusage, n);
  }
  read_vectors(content, z.heads, next, n, width, x.read);
}

template <class F> static void backward(const LRUA &z, const MemoryBackward<F> &x) {
  const int64_t n = z.slots, width = z.width, keys = z.heads * width;
  const Emission<const F> a(z, x.kept);
  const Emission<F> d(z, x.demission);
  const F *next = x.next, *content = x.after[read_weightings];
  const int64_t *least = x.kept_indices;
  F *dm = x.dmemory, *dw = x.dbefore[read_weightings];
  F *norms = x.scratch, *along = norms + n, *g = along + n, *cos = g + z.heads * n, *dstrengths = cos + z.heads * n;
  if (x.dread) {
    dot_with_slots(x.dread, z.heads, next, x.dafter[read_weightings], n, width, g);
    add_outer(x.dread, content, z.heads, Base<F>{x.dnext}, n, width, dm);
  } else {
    copy_or_zero(x.dafter[read_weightings], z.heads * n, g);
    copy_or_zero(x.dnext, n * width, dm);
  }
  inverse_norms(next, n, width, norms);
  cosines(next, norms, a.keys, z.heads, n, width, cos);
  content_gradient(ContentGradient<F>{next, norms, a.keys, a.strengths, cos, content, g, d.keys, dstrengths, dm, along},
                   z.heads, n, width);
  for (int64_t h = 0; z.strength && h < z.heads; h++)
    d.strengths[h] =
        dstrengths[h] * (1 - std::exp(-a.strengths[h])); // softplus' is σ, and σ(x) = 1 − exp(−softplus(x))
  dots(x.after[write_weightings], z.heads, dm, width, n, d.add, !z.add);
  dot_with_slots(a.add, z.heads, dm, x.dafter[write_weightings], n, width, dw);
  for (int64_t h = 0; h < z.heads; h++) {
    const F *p = x.before[read_weightings] + h * n, gate = a.gates[h];
    F *g = dw + h * n;
    F sum = dot(g, p, n);
    for (int64_t o = 0; o < z.heads; o++)
      if (!z.own_slots || o == h)
        sum -= g[least[o]];
    d.gates[h] = sum * gate * (1 - gate);
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
      g[i] *= gate;
  }
  for (int64_t o = 0; o < z.wiped(); o++)
    for (int64_t v = 0; v < width; v++)
      dm[v * n + least[o]] = 0;
#pragma omp simd
  for (int64_t i = 0; i < keys; i++) {
    d.keys[i] *= 1 - a.keys[i] * a.keys[i];
    if (z.add)
      d.add[i] *= 1 - a.add[i] * a.add[i];
  }
}
#endif
