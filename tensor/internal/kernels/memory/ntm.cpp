// The memory of the Neural Turing Machine: Graves et al. 2014, section 3. memory/ntm.go composes the same step.
//
// For each head, k, β, g, s, γ (and e, a of a write head) come from the emission, and M, w without an index are those
// of the previous step:
//
//	k = tanh, β = softplus, γ = 1 + softplus, g = σ, s = softmax, e = σ, a = tanh   of the clipped emission
//	c   = softmax(β K(k, M))                    (5), (6)  content.h
//	w^g = g c + (1 − g) w                       (7)
//	w̃_i = Σ_j w^g_j s_{i−j}                     (8)       circular
//	w'_i = w̃_i^γ / Σ_j w̃_j^γ                    (9)       computed as softmax(γ log(w̃ + tiny))
//	r   = Σ_i w'_i M_i                          (2)       for read heads
//	M'_i = M_i ∘ Π_h (1 − w'_{h,i} e_h) + Σ_h w'_{h,i} a_h    (3), (4)  for write heads
//
// Gradient, given r̄, w̄' and M̄' (x̄ is the derivative of the loss with respect to x). For write head h and column
// v, with q_i = M̄'_{iv} M_{iv} Π_{o≠h} (1 − w'_{o,i} e_{o,v}):
//
//	ē_{h,v} = −Σ_i q_i w'_{h,i}
//	ā_{h,v} = Σ_i M̄'_{iv} w'_{h,i}
//	w̄'_{h,i} += Σ_v (M̄'_{iv} a_{h,v} − q_i e_{h,v})
//	M̄_i = M̄'_i ∘ Π_h (1 − w'_{h,i} e_h)
//
// For read heads w̄'_{h,i} += r̄_h·M_i and M̄_i += Σ_h w'_{h,i} r̄_h. Then for every head
//
//	ū_i = w'_i (w̄'_i − Σ_j w'_j w̄'_j)           of u = γ log w̃
//	γ̄   = Σ_i ū_i log w̃_i,   ∂w̃_i = γ ū_i / w̃_i
//	w̄^g_j = Σ_i s_{i−j} ∂w̃_i,   s̄_k = Σ_i ∂w̃_i w^g_{i−k}
//	ḡ   = Σ_i w̄^g_i (c_i − w_i),   c̄ = g w̄^g,   w̄ = (1 − g) w̄^g
//
// content.h computes k̄, β̄ and M̄ from c̄. The derivatives of tanh, σ, softmax and softplus lead to the emission,
// whose gradient is zero where it was clipped.
#ifndef EG_BYTES
#include "../arithmetic/simd_includes.h"
#include "heads.h"
#include "memory.h"

namespace engram {
namespace {

// Settings from Go: reads, writes, shift, clip. A negative clip means none.
struct NTM {
  int64_t slots, width, reads, writes, shift;
  double clip;
  int64_t heads() const { return reads + writes; }
  int64_t shifts() const { return 2 * shift + 1; }
  int64_t emission() const { return heads() * (width + 3 + shifts()) + 2 * writes * width; }
  MemorySizes sizes() const {
    MemorySizes s{};
    s.slots = slots, s.width = width, s.heads = reads, s.emission = emission();
    s.kept = emission() + 2 * heads() * slots;
    s.forward_scratch = 2 * slots + 2 * shift;
    s.backward_scratch = (5 + 2 * heads()) * slots + 4 * shift;
    s.forward_work = heads() * slots * (3 * width + 60);
    s.backward_work = heads() * slots * (8 * width + 60);
    s.parts = {{"weightings", heads(), true, true}}; // of the read heads, then of the write heads
    return s;
  }
};

constexpr double tiny = 1e-30; // memory.Sharpen's

#define EG_KERNELS_FILE "memory/ntm.cpp"
#include "../perprocessor.h"

} // namespace

std::shared_ptr<const Memory> make_ntm(int64_t slots, int64_t width, const Settings &s) {
  const NTM z{slots, width, s.integer(0), s.integer(1), s.integer(2), s.number(3)};
  if (z.shift > slots)
    throw std::invalid_argument("the shift is larger than the number of slots");
  const auto kernels = EG_CHOOSE(EG_MEMORY_KERNELS);
  return std::make_shared<KernelMemory<NTM>>(z, kernels);
}

} // namespace engram
#else
#include "../arithmetic/simd.h"
#include "content.h"

// The emission, in the order of memory.NTM.Step, before or after the non-linearities, or its gradient.
template <class F> struct Emission {
  F *keys, *strengths, *gammas, *gates, *shifts, *erase, *add;
  Emission(const NTM &z, F *e)
      : keys(e), strengths(keys + z.heads() * z.width), gammas(strengths + z.heads()), gates(gammas + z.heads()),
        shifts(gates + z.heads()), erase(shifts + z.heads() * z.shifts()), add(erase + z.writes * z.width) {}
};

// Values kept for the gradient: the activated emission, c and w̃ [heads, slots].
template <class F> struct Kept {
  F *activated, *content, *shifted;
  Kept(const NTM &z, F *at) : activated(at), content(at + z.emission()), shifted(content + z.heads() * z.slots) {}
};

template <class F> static void activate(const NTM &z, const F *emission, F *activated) {
  const int64_t heads = z.heads(), keys = heads * z.width, shifts = z.shifts(), written = z.writes * z.width;
  const F by = z.clip < 0 ? std::numeric_limits<F>::max() : F(z.clip);
  const Emission<const F> e(z, emission);
  const Emission<F> a(z, activated);
#pragma omp simd
  for (int64_t i = 0; i < keys; i++)
    a.keys[i] = tangent_h(clamp(e.keys[i], by));
  for (int64_t h = 0; h < heads; h++) {
    a.strengths[h] = softplus(clamp(e.strengths[h], by));
    a.gammas[h] = 1 + softplus(clamp(e.gammas[h], by));
    a.gates[h] = sigmoid(clamp(e.gates[h], by));
    const F *from = e.shifts + h * shifts;
    F *s = a.shifts + h * shifts;
#pragma omp simd
    for (int64_t j = 0; j < shifts; j++)
      s[j] = clamp(from[j], by);
    softmax(s, shifts);
  }
#pragma omp simd
  for (int64_t i = 0; i < written; i++) {
    a.erase[i] = sigmoid(clamp(e.erase[i], by));
    a.add[i] = tangent_h(clamp(e.add[i], by));
  }
}

// Extends x with its last `reach` values at the beginning and its first ones at the end.
template <class F> EG_INLINE void wrap(const F *x, int64_t n, int64_t reach, F *out) {
  std::copy_n(x + n - reach, reach, out);
  std::copy_n(x, n, out + reach);
  std::copy_n(x, reach, out + reach + n);
}

template <class F> static void forward(const NTM &z, const MemoryForward<F> &x) {
  const int64_t n = z.slots, width = z.width, heads = z.heads(), shifts = z.shifts();
  const Kept<F> kept(z, x.kept);
  activate(z, x.emission, kept.activated);
  const Emission<const F> a(z, kept.activated);
  const F *m = x.memory;
  F *w = x.after[0], *norms = x.scratch, *padded = norms + n;
  inverse_norms(m, n, width, norms);
  cosines(m, norms, a.keys, heads, n, width, kept.content);
  for (int64_t h = 0; h < heads; h++) {
    F *c = kept.content + h * n, *s = kept.shifted + h * n, *out = w + h * n;
    const F *p = x.before[0] + h * n;
    const F gate = a.gates[h], gamma = a.gammas[h];
    weigh_by_content(c, a.strengths[h], n);
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
      out[i] = p[i] + gate * (c[i] - p[i]);
    wrap(out, n, z.shift, padded);
    std::fill_n(s, n, F(0));
    for (int64_t j = 0; j < shifts; j++)
      axpy(a.shifts[h * shifts + j], padded + 2 * z.shift - j, s, n);
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
      out[i] = gamma * logarithm(s[i] + F(tiny));
    softmax(out, n);
  }
  read_vectors(w, z.reads, m, n, width, x.read);
  const F *writing = w + z.reads * n;
  for (int64_t v = 0; v < width; v++) {
    F *row = x.next + v * n;
    std::copy_n(m + v * n, n, row);
    for (int64_t h = 0; h < z.writes; h++) {
      const F *ww = writing + h * n, erase = a.erase[h * width + v];
#pragma omp simd
      for (int64_t i = 0; i < n; i++)
        row[i] *= 1 - ww[i] * erase;
    }
    for (int64_t h = 0; h < z.writes; h++)
      axpy(a.add[h * width + v], writing + h * n, row, n);
  }
}

// The gradient of eqs. 3 and 4, from M̄': writes ē, ā and M̄ and adds to w̄' of the write heads. q is scratch, [slots].
template <class F>
static void write_gradient(const NTM &z, const MemoryBackward<F> &x, const Emission<const F> &a, const Emission<F> &d,
                           F *dw, F *q) {
  const int64_t n = z.slots, width = z.width;
  const F *writing = x.after[0] + z.reads * n;
  F *dwriting = dw + z.reads * n;
  for (int64_t v = 0; v < width; v++) {
    const F *row = x.memory + v * n, *g = x.dnext + v * n;
    F *out = x.dmemory + v * n;
    for (int64_t h = 0; h < z.writes; h++) {
      const F *ww = writing + h * n, erase = a.erase[h * width + v], add = a.add[h * width + v];
      F *dww = dwriting + h * n, derase = 0, dadd = 0;
#pragma omp simd
      for (int64_t i = 0; i < n; i++)
        q[i] = g[i] * row[i];
      for (int64_t o = 0; o < z.writes; o++) {
        if (o == h)
          continue;
        const F *wo = writing + o * n, eo = a.erase[o * width + v];
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
          q[i] *= 1 - wo[i] * eo;
      }
#pragma omp simd reduction(+ : derase, dadd)
      for (int64_t i = 0; i < n; i++) {
        derase -= q[i] * ww[i];
        dadd += g[i] * ww[i];
        dww[i] += g[i] * add - q[i] * erase;
      }
      d.erase[h * width + v] = derase;
      d.add[h * width + v] = dadd;
    }
    std::copy_n(g, n, out);
    for (int64_t h = 0; h < z.writes; h++) {
      const F *ww = writing + h * n, erase = a.erase[h * width + v];
#pragma omp simd
      for (int64_t i = 0; i < n; i++)
        out[i] *= 1 - ww[i] * erase;
    }
  }
}

template <class F> static void backward(const NTM &z, const MemoryBackward<F> &x) {
  const int64_t n = z.slots, width = z.width, heads = z.heads(), shifts = z.shifts(), reach = z.shift;
  const Kept<const F> kept(z, x.kept);
  const Emission<const F> a(z, kept.activated);
  const Emission<F> d(z, x.demission);
  const F *m = x.memory, *w = x.after[0];
  F *norms = x.scratch, *row = norms + n, *along = row + n, *padded = along + n, *wrapped = padded + n + 2 * reach;
  F *dw = wrapped + n + 2 * reach, *cos = dw + heads * n; // [heads, slots] each

  copy_or_zero(x.dafter[0], heads * n, dw);
  std::fill_n(d.erase, 2 * z.writes * width, F(0)); // and d.add
  if (x.dnext)
    write_gradient(z, x, a, d, dw, row);
  else
    std::fill_n(x.dmemory, n * width, F(0));
  if (x.dread) {
    dot_with_slots(x.dread, z.reads, m, dw, n, width, dw);
    add_outer(x.dread, w, z.reads, Base<F>{x.dmemory}, n, width, x.dmemory);
  }

  for (int64_t h = 0; h < heads; h++) {
    const F *c = kept.content + h * n, *s = kept.shifted + h * n, *p = x.before[0] + h * n;
    const F gate = a.gates[h], gamma = a.gammas[h];
    F *g = dw + h * n, *dp = x.dbefore[0] + h * n, sum = 0;
    softmax_gradient(w + h * n, g, n);
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++) {
      const F shifted = s[i] + F(tiny);
      sum += g[i] * logarithm(shifted);
      g[i] *= gamma / shifted;
    }
    d.gammas[h] = sum;

#pragma omp simd
    for (int64_t i = 0; i < n; i++)
      row[i] = p[i] + gate * (c[i] - p[i]);
    wrap(row, n, reach, padded);
    wrap(g, n, reach, wrapped);
    std::fill_n(g, n, F(0));
    const F *move = a.shifts + h * shifts;
    F *dmove = d.shifts + h * shifts, mean = 0;
    for (int64_t j = 0; j < shifts; j++) {
      const F by = move[j], dby = dot(wrapped + reach, padded + 2 * reach - j, n);
      dmove[j] = dby;
      mean += by * dby;
      axpy(by, wrapped + j, g, n);
    }
#pragma omp simd
    for (int64_t j = 0; j < shifts; j++)
      dmove[j] = move[j] * (dmove[j] - mean);

    sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++) {
      sum += g[i] * (c[i] - p[i]);
      dp[i] = (1 - gate) * g[i];
      g[i] *= gate;
    }
    d.gates[h] = sum * gate * (1 - gate);
    d.gammas[h] *= 1 - std::exp(1 - gamma); // softplus' is σ, and σ(x) = 1 − exp(−softplus(x))
  }
  inverse_norms(m, n, width, norms);
  cosines(m, norms, a.keys, heads, n, width, cos);
  content_gradient(
      ContentGradient<F>{m, norms, a.keys, a.strengths, cos, kept.content, dw, d.keys, d.strengths, x.dmemory, along},
      heads, n, width);
  for (int64_t h = 0; h < heads; h++)
    d.strengths[h] *= 1 - std::exp(-a.strengths[h]);

#pragma omp simd
  for (int64_t i = 0; i < heads * width; i++)
    d.keys[i] *= 1 - a.keys[i] * a.keys[i];
#pragma omp simd
  for (int64_t i = 0; i < z.writes * width; i++) {
    d.erase[i] *= a.erase[i] * (1 - a.erase[i]);
    d.add[i] *= 1 - a.add[i] * a.add[i];
  }
  if (z.clip >= 0)
#pragma omp simd
    for (int64_t i = 0; i < z.emission(); i++)
      x.demission[i] = std::abs(x.emission[i]) <= F(z.clip) ? x.demission[i] : F(0);
}
#endif
