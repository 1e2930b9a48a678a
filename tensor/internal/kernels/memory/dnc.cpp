// The memory of the Differentiable Neural Computer: Graves et al. 2016, Methods. memory/dnc.go composes the same step.
//
// k^w, v, e, β^w, g^a, g^w, and k, β, f, π of each read head come from the interface vector (the emission). M, u, L, p,
// w^r and w^w are those of the previous step, primed symbols those of the next:
//
//	e = σ, β = 1 + softplus, f = σ, g^a = σ, g^w = σ, π = softmax   of the clipped emission; k and v as they are
//	u'   = (u + w^w − u ∘ w^w) ∘ Π_h (1 − f_h w^r_h)        usage
//	a_{φ_j} = (1 − u'_{φ_j}) Π_{i<j} u'_{φ_i}               allocation; φ sorts the slots by u', with a small floor
//	c^w  = softmax(β^w K(k^w, M))                           content.h
//	w^w' = g^w (g^a a + (1 − g^a) c^w)
//	M'   = M ∘ (1 − w^w' eᵀ) + w^w' vᵀ
//	L'_{ij} = (1 − w^w'_i − w^w'_j) L_{ij} + w^w'_i p_j,   L'_{ii} = 0
//	p'   = (1 − Σ_i w^w'_i) p + w^w'
//	f_h  = L' w^r_h,   b_h = L'ᵀ w^r_h,   c_h = softmax(β_h K(k_h, M'))
//	w^r'_h = π_{h,1} b_h + π_{h,2} c_h + π_{h,3} f_h
//	r_h  = Σ_i w^r'_{h,i} M'_i
//
// Without links (content-only) there are no π, L and p, and w^r'_h = c_h. With de-allocation M' is that of M ∘ ψ 1ᵀ in
// the place of M, where ψ = Π_h (1 − f_h w^r_h).
//
// Gradient, given those of r and of the next state, in the order of the code (x̄ is the derivative of the loss with
// respect to x):
//
//	w̄^r'_{h,i} += r̄_h·M'_i,   M̄' += Σ_h w^r'_h r̄_hᵀ
//	π̄_h = (w̄^r'_h·b_h, w̄^r'_h·c_h, w̄^r'_h·f_h)
//	b̄_h = π_{h,1} w̄^r'_h,   c̄_h = π_{h,2} w̄^r'_h,   f̄_h = π_{h,3} w̄^r'_h
//	content.h computes k̄_h, β̄_h and M̄' from c̄_h
//	p̄    = (1 − Σ_i w^w'_i) p̄',   w̄^w'_i += p̄'_i − p̄'·p
//	L̄'_{ij} += Σ_h (w^r_{h,i} b̄_{h,j} + f̄_{h,i} w^r_{h,j}),   L̄'_{ii} = 0
//	w̄^r_{h,i} = Σ_j L'_{ij} b̄_{h,j},   w̄^r_{h,j} += Σ_i L'_{ij} f̄_{h,i}
//	L̄_{ij} = (1 − w^w'_i − w^w'_j) L̄'_{ij},   p̄_j += Σ_i w^w'_i L̄'_{ij}
//	w̄^w'_i += Σ_j L̄'_{ij} (p_j − L_{ij}) − Σ_j L̄'_{ji} L_{ji}
//	ē = −Σ_i w^w'_i M_i ∘ M̄'_i,   v̄ = Σ_i w^w'_i M̄'_i
//	w̄^w'_i += M̄'_i·(v − M_i ∘ e),   M̄ = M̄' ∘ (1 − w^w' eᵀ)
//	ḡ^w = w̄^w'·(g^a a + (1 − g^a) c^w),   ḡ^a = g^w w̄^w'·(a − c^w)
//	ā = g^w g^a w̄^w',   c̄^w = g^w (1 − g^a) w̄^w'
//	content.h computes k̄^w, β̄^w and M̄ from c̄^w
//	ū'_{φ_j} += (Σ_{i>j} ā_{φ_i} a_{φ_i}) / u'_{φ_j} − ā_{φ_j} Π_{i<j} u'_{φ_i}
//	f̄_h = −Σ_i q_{h,i} w^r_{h,i},   w̄^r_h −= f_h q_h,   q_h = ū' ∘ (u + w^w − u ∘ w^w) ∘ Π_{o≠h} (1 − f_o w^r_o)
//	ū = ū' ∘ Π_h (1 − f_h w^r_h) ∘ (1 − w^w),   w̄^w = ū' ∘ Π_h (1 − f_h w^r_h) ∘ (1 − u)
//
// With de-allocation M̄ = ψ ∘ M̄' ∘ (1 − w^w' eᵀ), and Σ_v M_iv (M̄' ∘ (1 − w^w' eᵀ))_iv is added to ū' ∘ (u + w^w − u ∘
// w^w) in q.
#ifndef EG_BYTES
#include "../arithmetic/simd_includes.h"
#include "heads.h"
#include "memory.h"

namespace engram {
namespace {

// Settings from Go: reads, clip, and as 0 or 1 whether there are links and whether freed slots are erased. A negative
// clip means none.
struct DNC {
  int64_t slots, width, reads;
  double clip;
  bool links, erases;
  int64_t emission() const { return (reads + 3) * width + (links ? 5 : 2) * reads + 3; }
  MemorySizes sizes() const {
    MemorySizes s{};
    s.slots = slots, s.width = width, s.heads = reads, s.emission = emission();
    s.kept = emission() + (1 + (links ? 3 : 1) * reads) * slots;
    s.kept_indices = slots;
    s.forward_scratch = 3 * slots;
    s.backward_scratch = (12 + 3 * reads + 2 * std::max<int64_t>(reads, 1)) * slots;
    s.forward_work = slots * ((links ? 4 + 2 * reads : 0) * slots + (reads + 2) * (4 * width + 60));
    s.backward_work = slots * ((links ? 8 + 6 * reads : 0) * slots + (reads + 2) * (10 * width + 60));
    const Part usage{"usage", 1, true, true}, link{"link matrix", slots, true, true},
        precedence{"precedence", 1, true, true}, read{"read weightings", reads, true, true},
        write{"write weighting", 1, true, true};
    if (links)
      s.parts = {usage, link, precedence, read, write};
    else
      s.parts = {usage, read, write};
    return s;
  }
};

constexpr double usage_floor = 1e-6; // memory.Allocation's

#define EG_KERNELS_FILE "memory/dnc.cpp"
#include "../perprocessor.h"

} // namespace

std::shared_ptr<const Memory> make_dnc(int64_t slots, int64_t width, const Settings &s) {
  const auto kernels = EG_CHOOSE(EG_MEMORY_KERNELS);
  return std::make_shared<KernelMemory<DNC>>(DNC{slots, width, s.integer(0), s.number(1), s.flag(2), s.flag(3)},
                                             kernels);
}

} // namespace engram
#else
#include "../arithmetic/simd.h"
#include "content.h"

// The interface vector in the order of memory.DNC.Step, before or after the non-linearities, or its gradient.
// Strengths are those of the read heads, then of the write head.
template <class F> struct Emission {
  F *keys, *write_key, *add, *erase, *strengths, *free, *allocation, *write, *modes;
  Emission(const DNC &z, F *e)
      : keys(e), write_key(keys + z.reads * z.width), add(write_key + z.width), erase(add + z.width),
        strengths(erase + z.width), free(strengths + z.reads + 1), allocation(free + z.reads), write(allocation + 1),
        modes(write + 1) {}
};

// φ: the slots in ascending order of usage, lower slots first among equals; a usage below zero counts as zero. An
// insertion sort: fewer moves than the link matrix has elements.
template <class F> EG_INLINE void least_used_first(const F *usage, int64_t n, int64_t *order, F *sorted) {
  for (int64_t i = 0; i < n; i++) {
    const F u = usage[i] > 0 ? usage[i] : F(0);
    int64_t from = 0, to = i;
    while (from < to) {
      const int64_t middle = (from + to) / 2;
      if (sorted[middle] <= u)
        from = middle + 1;
      else
        to = middle;
    }
    memmove(sorted + from + 1, sorted + from, (i - from) * sizeof(F));
    memmove(order + from + 1, order + from, (i - from) * sizeof(int64_t));
    sorted[from] = u;
    order[from] = i;
  }
}

// The usage in an allocation, with memory.Allocation's floor.
template <class F> EG_INLINE F floored(F usage) { return usage * F(1 - usage_floor) + F(usage_floor); }

// The parts of a state; without links there is no link matrix and no precedence.
template <class F> struct State {
  F *usage, *link = nullptr, *precedence = nullptr, *read, *write;
  State(const DNC &z, F *const *parts) : usage(parts[0]), read(parts[z.links ? 3 : 1]), write(parts[z.links ? 4 : 2]) {
    if (z.links)
      link = parts[1], precedence = parts[2];
  }
};

// Values kept for the gradient: the activated emission, c^w [slots], and c, b and f of the read heads [reads, slots];
// without links neither b nor f.
template <class F> struct Kept {
  F *activated, *write_content, *content, *backward, *forward;
  Kept(const DNC &z, F *at)
      : activated(at), write_content(at + z.emission()), content(write_content + z.slots),
        backward(content + z.reads * z.slots), forward(backward + z.reads * z.slots) {}
};

// ψ [slots] = Π_h (1 − f_h w^r_h)
template <class F> EG_INLINE void retention(const DNC &z, const F *read, const F *free, F *out) {
  std::fill_n(out, z.slots, F(1));
  for (int64_t h = 0; h < z.reads; h++) {
    const F *r = read + h * z.slots, gate = free[h];
#pragma omp simd
    for (int64_t i = 0; i < z.slots; i++)
      out[i] *= 1 - gate * r[i];
  }
}

template <class F> static void forward(const DNC &z, const MemoryForward<F> &x) {
  const int64_t n = z.slots, width = z.width, reads = z.reads, emission = z.emission();
  const State<const F> prev(z, x.before);
  const State<F> after(z, x.after);
  const Kept<F> kept(z, x.kept);
  const Emission<F> a(z, kept.activated);
  const F *e = x.emission, *m = x.memory;
  F *act = kept.activated, *next = x.next;
  int64_t *order = x.kept_indices;
  const F by = z.clip < 0 ? std::numeric_limits<F>::max() : F(z.clip);
#pragma omp simd
  for (int64_t i = 0; i < emission; i++)
    act[i] = clamp(e[i], by);
  for (int64_t i = 0; i < width; i++)
    a.erase[i] = sigmoid(a.erase[i]);
  for (int64_t h = 0; h <= reads; h++)
    a.strengths[h] = 1 + softplus(a.strengths[h]);
  for (int64_t h = 0; h < reads + 2; h++)
    a.free[h] = sigmoid(a.free[h]);
  for (int64_t h = 0; z.links && h < reads; h++)
    softmax(a.modes + 3 * h, 3);

  F *norms = x.scratch, *sorted = norms + n, *retained = sorted + n, *content = kept.write_content;
  F *usage = after.usage, *w = after.write;
  retention(z, prev.read, a.free, retained);
#pragma omp simd
  for (int64_t i = 0; i < n; i++)
    usage[i] = (prev.usage[i] + prev.write[i] - prev.usage[i] * prev.write[i]) * retained[i];
  if (!z.erases)
    std::fill_n(retained, n, F(1)); // of the memory
  least_used_first(usage, n, order, sorted);
  inverse_norms(m, n, width, norms);
  cosines(m, norms, a.write_key, 1, n, width, content);
  weigh_by_content(content, a.strengths[reads], n);
  F all = 1;
  for (int64_t j = 0; j < n; j++) {
    const F s = floored(usage[order[j]]);
    w[order[j]] = (1 - s) * all;
    all *= s;
  }
  const F allocation = *a.allocation, gate = *a.write;
  F sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; i++) {
    w[i] = gate * (content[i] + (w[i] - content[i]) * allocation);
    sum += w[i];
  }
  for (int64_t v = 0; v < width; v++) {
    const F *row = m + v * n, gone = a.erase[v], added = a.add[v];
    F *out = next + v * n;
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
      out[i] = row[i] * retained[i] * (1 - w[i] * gone) + w[i] * added;
  }

  inverse_norms(next, n, width, norms);
  cosines(next, norms, a.keys, reads, n, width, kept.content);
  for (int64_t h = 0; h < reads; h++)
    weigh_by_content(kept.content + h * n, a.strengths[h], n);
  if (!z.links) {
    std::copy_n(kept.content, reads * n, after.read);
    read_vectors(after.read, reads, next, n, width, x.read);
    return;
  }

  F *back = kept.backward, *ahead = kept.forward;
  std::fill_n(back, reads * n, F(0));
  for (int64_t i = 0; i < n; i++) {
    const F *from = prev.link + i * n, own = w[i];
    F *to = after.link + i * n;
#pragma omp simd
    for (int64_t j = 0; j < n; j++)
      to[j] = (1 - own - w[j]) * from[j] + own * prev.precedence[j];
    to[i] = 0;
    for (int64_t h = 0; h < reads; h++) {
      const F *r = prev.read + h * n;
      ahead[h * n + i] = dot(to, r, n);
      axpy(r[i], to, back + h * n, n);
    }
  }
#pragma omp simd
  for (int64_t i = 0; i < n; i++)
    after.precedence[i] = prev.precedence[i] * (1 - sum) + w[i];

  for (int64_t h = 0; h < reads; h++) {
    F *r = after.read + h * n;
    const F *c = kept.content + h * n, *b = back + h * n, *f = ahead + h * n, *mode = a.modes + 3 * h;
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
      r[i] = mode[0] * b[i] + mode[1] * c[i] + mode[2] * f[i];
  }
  read_vectors(after.read, reads, next, n, width, x.read);
}

// Precedence and link: adds to the gradients of w^w' and of w^r, and writes those of p and L. row and rest are scratch,
// [slots].
template <class F>
EG_INLINE void link_backward(const DNC &z, const State<const F> &prev, const State<const F> &after,
                             const State<const F> &dafter, const State<F> &dprev, const F *dback, const F *dahead,
                             F *row, F *rest, F *dw) {
  const int64_t n = z.slots, reads = z.reads;
  const F *w = after.write;
  F sum = 0, moved = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; i++)
    sum += w[i];
  if (dafter.precedence) {
    moved = dot(dafter.precedence, prev.precedence, n);
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
      dprev.precedence[i] = dafter.precedence[i] * (1 - sum);
      dw[i] += dafter.precedence[i] - moved;
    }
  } else {
    std::fill_n(dprev.precedence, n, F(0));
  }
  std::fill_n(rest, n, F(0)); // Σ_i L̄'_{ij} L_{ij}
  for (int64_t i = 0; i < n; i++) {
    const F *link = prev.link + i * n, *made = after.link + i * n, own = w[i];
    copy_or_zero(dafter.link ? dafter.link + i * n : nullptr, n, row);
    for (int64_t h = 0; h < reads; h++) {
      const F *r = prev.read + h * n, *db = dback + h * n, at = r[i], df = dahead[h * n + i];
      F *dr = dprev.read + h * n, s = 0;
#pragma omp simd reduction(+ : s)
      for (int64_t j = 0; j < n; j++) {
        row[j] += at * db[j] + df * r[j];
        s += made[j] * db[j];
        dr[j] += made[j] * df;
      }
      dr[i] += s;
    }
    row[i] = 0;
    F *out = dprev.link + i * n, s = 0;
#pragma omp simd reduction(+ : s)
    for (int64_t j = 0; j < n; j++) {
      s += row[j] * (prev.precedence[j] - link[j]);
      rest[j] += row[j] * link[j];
      dprev.precedence[j] += row[j] * own;
      out[j] = row[j] * (1 - own - w[j]);
    }
    dw[i] += s;
  }
#pragma omp simd
  for (int64_t i = 0; i < n; i++)
    dw[i] -= rest[i];
}

template <class F> static void backward(const DNC &z, const MemoryBackward<F> &x) {
  const int64_t n = z.slots, width = z.width, reads = z.reads;
  const State<const F> prev(z, x.before), after(z, x.after), dafter(z, x.dafter);
  const State<F> dprev(z, x.dbefore);
  const Kept<const F> kept(z, x.kept);
  const Emission<const F> a(z, kept.activated);
  const Emission<F> d(z, x.demission);
  const F *e = x.emission, *m = x.memory, *next = x.next, *dread = x.dread, *dnext = x.dnext;
  F *de = x.demission, *dm = x.dmemory;
  const int64_t *order = x.kept_indices;
  const F *content = kept.write_content, *back = kept.backward, *ahead = kept.forward, *w = after.write;
  F *norms = x.scratch, *along = norms + n, *g = along + n, *dw = g + n, *row = dw + n, *dusage = row + n,
    *before = dusage + n;
  F *dallocation = before + n, *allocated = dallocation + n, *rest = allocated + n;
  F *retained = rest + n, *dretained = retained + n; // of the memory
  // [reads, slots] each
  F *dweights = dretained + n, *dback = dweights + reads * n, *dahead = dback + reads * n,
    *dcontent = dahead + reads * n, *cos = dcontent + reads * n;
  copy_or_zero(dafter.write, n, dw);
  copy_or_zero(dafter.usage, n, dusage);
  copy_or_zero(dafter.read, reads * n, dweights);

  // Reading. dm holds M̄' until the memory's gradient below.
  if (dread) {
    dot_with_slots(dread, reads, next, dweights, n, width, dweights);
    add_outer(dread, after.read, reads, Base<F>{dnext}, n, width, dm);
  } else {
    copy_or_zero(dnext, n * width, dm);
  }
  if (!z.links)
    std::copy_n(dweights, reads * n, dcontent);
  for (int64_t h = 0; z.links && h < reads; h++) {
    F *dr = dweights + h * n, *dmode = d.modes + 3 * h;
    const F *mode = a.modes + 3 * h, *c = kept.content + h * n;
    dmode[0] = dot(dr, back + h * n, n);
    dmode[1] = dot(dr, c, n);
    dmode[2] = dot(dr, ahead + h * n, n);
    softmax_gradient(mode, dmode, 3);
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
      dback[h * n + i] = mode[0] * dr[i];
      dcontent[h * n + i] = mode[1] * dr[i];
      dahead[h * n + i] = mode[2] * dr[i];
    }
  }
  inverse_norms(next, n, width, norms);
  cosines(next, norms, a.keys, reads, n, width, cos);
  content_gradient(
      ContentGradient<F>{next, norms, a.keys, a.strengths, cos, kept.content, dcontent, d.keys, d.strengths, dm, along},
      reads, n, width);

  std::fill_n(dprev.read, reads * n, F(0));
  if (z.links)
    link_backward(z, prev, after, dafter, dprev, dback, dahead, row, rest, dw);

  // Writing to the memory.
  if (z.erases)
    retention(z, prev.read, a.free, retained);
  else
    std::fill_n(retained, n, F(1));
  std::fill_n(dretained, n, F(0));
  for (int64_t v = 0; v < width; v++) {
    const F *mv = m + v * n, gone = a.erase[v], added = a.add[v];
    F *out = dm + v * n, derase = 0, dadd = 0;
#pragma omp simd reduction(+ : derase, dadd)
    for (int64_t i = 0; i < n; i++) {
      const F gm = out[i], held = mv[i] * retained[i], dheld = gm * (1 - w[i] * gone);
      derase -= gm * held * w[i];
      dadd += gm * w[i];
      dw[i] += gm * (added - held * gone);
      dretained[i] += dheld * mv[i];
      out[i] = dheld * retained[i];
    }
    d.erase[v] = derase * gone * (1 - gone);
    d.add[v] = dadd;
  }

  // The write weighting. before[j] is Π_{i<j} u'_{φ_i}.
  F all = 1;
  for (int64_t j = 0; j < n; j++) {
    const F s = floored(after.usage[order[j]]);
    before[j] = all;
    allocated[order[j]] = (1 - s) * all;
    all *= s;
  }
  const F allocation = *a.allocation, gate = *a.write;
  F dgate = 0, dallocated = 0;
#pragma omp simd reduction(+ : dgate, dallocated)
  for (int64_t i = 0; i < n; i++) {
    const F apart = allocated[i] - content[i], dboth = dw[i] * gate;
    dgate += dw[i] * (content[i] + apart * allocation);
    dallocated += dboth * apart;
    dallocation[i] = dboth * allocation;
    g[i] = dboth * (1 - allocation);
  }
  *d.write = dgate * gate * (1 - gate);
  *d.allocation = dallocated * allocation * (1 - allocation);
  inverse_norms(m, n, width, norms);
  cosines(m, norms, a.write_key, 1, n, width, cos);
  content_gradient(ContentGradient<F>{m, norms, a.write_key, a.strengths + reads, cos, content, g, d.write_key,
                                      d.strengths + reads, dm, along},
                   1, n, width);
  F later = 0; // Σ ā_{φ_i} a_{φ_i} over the slots later in the order
  for (int64_t j = n - 1; j >= 0; j--) {
    const int64_t i = order[j];
    dusage[i] += F(1 - usage_floor) * (later / floored(after.usage[i]) - dallocation[i] * before[j]);
    later += dallocation[i] * allocated[i];
  }

  // Usage.
#pragma omp simd
  for (int64_t i = 0; i < n; i++)
    g[i] = dusage[i];
  for (int64_t h = 0; h < reads; h++) {
    const F *r = prev.read + h * n, free = a.free[h];
    F *dr = dprev.read + h * n, dfree = 0;
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
      row[i] = dusage[i] * (prev.usage[i] + prev.write[i] - prev.usage[i] * prev.write[i]) +
               (z.erases ? dretained[i] : F(0));
    for (int64_t o = 0; o < reads; o++) {
      if (o == h)
        continue;
      const F *ro = prev.read + o * n, fo = a.free[o];
#pragma omp simd
      for (int64_t i = 0; i < n; i++)
        row[i] *= 1 - fo * ro[i];
    }
#pragma omp simd reduction(+ : dfree)
    for (int64_t i = 0; i < n; i++) {
      dfree -= row[i] * r[i];
      dr[i] -= row[i] * free;
      g[i] *= 1 - free * r[i];
    }
    d.free[h] = dfree * free * (1 - free);
  }
#pragma omp simd
  for (int64_t i = 0; i < n; i++) {
    dprev.usage[i] = g[i] * (1 - prev.write[i]);
    dprev.write[i] = g[i] * (1 - prev.usage[i]);
  }

  for (int64_t h = 0; h <= reads; h++)
    d.strengths[h] *= 1 - std::exp(1 - a.strengths[h]); // softplus' is σ, and σ(x) = 1 − exp(−softplus(x))
  if (z.clip >= 0)
#pragma omp simd
    for (int64_t i = 0; i < z.emission(); i++)
      de[i] = std::abs(e[i]) <= F(z.clip) ? de[i] : F(0);
}
#endif
