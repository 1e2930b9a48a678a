// Reading, writing and content addressing, with gradients. A kernel file includes this per processor, after
// ../arithmetic/simd.h, and heads.h at file scope.
//
// Graves et al. 2014, eqs. 5 and 6; ‖x‖ is √(Σx² + ε), as in metric.Cosine. For key k, strength β and row M_i:
//
//	K_i = k·M_i / (‖k‖ ‖M_i‖)
//	w_i = exp(β K_i) / Σ_j exp(β K_j)
//
// Gradient, given w̄. x̄ is the derivative of the loss with respect to x:
//
//	s̄_i = w_i (w̄_i − Σ_j w_j w̄_j)                          of s = β K, the softmax's argument
//	β̄   = Σ_i s̄_i K_i
//	k̄   = Σ_i β s̄_i (M_i / (‖k‖ ‖M_i‖) − K_i k / ‖k‖²) = Σ_i g_i M_i − β β̄ k / ‖k‖²
//	M̄_i = Σ_h β s̄_i (k / (‖k‖ ‖M_i‖) − K_i M_i / ‖M_i‖²) = Σ_h g_i k − along_i M_i
//
// with g_i = β s̄_i / (‖k‖ ‖M_i‖) of head h and along_i = Σ_h β s̄_i K_i / ‖M_i‖².

using engram::heads::EG_PROCESSOR::combine;
using engram::heads::EG_PROCESSOR::dots;
using engram::heads::EG_PROCESSOR::inverse_norms; // 1/‖M_i‖, [slots]

// read [heads, width] = w·M for weightings w [heads, slots].
template <class F>
EG_INLINE void read_vectors(const F *w, int64_t heads, const F *m, int64_t slots, int64_t width, F *read) {
  dots(w, heads, m, width, slots, read, false);
}

// out [width, slots] = start + Σ_h vectors_h ⊗ w_h for vectors [heads, width] and weightings w [heads, slots].
template <class F>
EG_INLINE void add_outer(const F *vectors, const F *w, int64_t heads, Base<F> start, int64_t slots, int64_t width,
                         F *out) {
  combine(Weights<F>{vectors, width, 1}, width, heads, w, start, out, slots);
}

// out [heads, slots] = base + vectors·Mᵀ for vectors [heads, width]; base may be null.
template <class F>
EG_INLINE void dot_with_slots(const F *vectors, int64_t heads, const F *m, const F *base, int64_t slots, int64_t width,
                              F *out) {
  combine(Weights<F>{vectors, 1, width}, heads, width, m, Base<F>{base, nullptr, nullptr}, out, slots);
}

// 1/‖k‖
template <class F> EG_INLINE F inverse_norm(const F *key, int64_t width) {
  return inverse_sqrt(dot(key, key, width) + F(cosine_eps));
}

// K [heads, slots] of keys [heads, width] and a memory's rows, given the inverse norms of the rows.
template <class F>
EG_INLINE void cosines(const F *m, const F *norms, const F *keys, int64_t heads, int64_t slots, int64_t width, F *out) {
  dot_with_slots(keys, heads, m, static_cast<const F *>(nullptr), slots, width, out);
  for (int64_t h = 0; h < heads; h++, out += slots) {
    const F own = inverse_norm(keys + h * width, width);
#pragma omp simd
    for (int64_t i = 0; i < slots; i++)
      out[i] *= own * norms[i];
  }
}

// Scales K [slots] by β and applies the softmax, in place.
template <class F> EG_INLINE void weigh_by_content(F *k, F strength, int64_t slots) {
#pragma omp simd
  for (int64_t i = 0; i < slots; i++)
    k[i] *= strength;
  softmax(k, slots);
}

// Operands of content_gradient. Arrays per head are [heads, width] for keys and [heads, slots] for the others.
template <class F> struct ContentGradient {
  const F *memory, *norms;   // M and 1/‖M_i‖
  const F *keys, *strengths; // strengths may be null, meaning ones
  const F *cos, *w;          // K and w
  F *dw;                     // w̄; overwritten with g
  F *dkeys, *dstrengths;     // k̄ and β̄; written
  F *dmemory;                // M̄; added to
  F *along;                  // scratch, [slots]
};

template <class F>
EG_INLINE void content_gradient(const ContentGradient<F> &c, int64_t heads, int64_t slots, int64_t width) {
  F *along = c.along;
  std::fill_n(along, slots, F(0));
  for (int64_t h = 0; h < heads; h++) {
    const F *cos = c.cos + h * slots, *norms = c.norms;
    const F strength = c.strengths ? c.strengths[h] : F(1), own = inverse_norm(c.keys + h * width, width);
    F *g = c.dw + h * slots;
    softmax_gradient(c.w + h * slots, g, slots);
    c.dstrengths[h] = dot(g, cos, slots);
#pragma omp simd
    for (int64_t i = 0; i < slots; i++) {
      const F d = strength * g[i] * norms[i];
      along[i] += d * cos[i] * norms[i];
      g[i] = d * own;
    }
  }
  read_vectors(c.dw, heads, c.memory, slots, width, c.dkeys);
  for (int64_t h = 0; h < heads; h++) {
    const F *key = c.keys + h * width, own = inverse_norm(key, width);
    axpy(-(c.strengths ? c.strengths[h] : F(1)) * c.dstrengths[h] * own * own, key, c.dkeys + h * width, width);
  }
  add_outer(c.keys, c.dw, heads, Base<F>{c.dmemory, c.memory, along}, slots, width, c.dmemory);
}
