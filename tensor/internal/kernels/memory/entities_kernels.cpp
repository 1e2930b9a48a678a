// Henaff et al. 2017, section 2.2. For slot h of a story, its key's part κ = W·w, and a sentence s with x = V·s and b =
// s·w + bias:
//
//	a = U h + x + κ,  c = PReLU(a),  g = σ(s·h + b),  n = h + g c,  r = 1/√(‖n‖² + ε),  h' = r n
//
// Gradient, given h̄'. x̄ is the derivative of the loss with respect to x:
//
//	n̄ = r (h̄' − (h'·h̄') h'),  c̄ = g n̄,  ā = c̄ PReLU'(a),  b̄ = g (1 − g) (c·n̄)
//	h̄ = n̄ + b̄ s + Uᵀ ā,  s̄ = Σ b̄ h,  x̄ = Σ ā over the slots,  κ̄ = Σ ā over steps and stories
#ifndef EG_BYTES
#include "entities_kernels.h"

#include "../arithmetic/simd_includes.h"

namespace engram {
namespace {

#define EG_KERNELS_FILE "memory/entities_kernels.cpp"
#include "../perprocessor.h"

#define EG_ENTITIES_FORWARD(of) of::forward<F>
#define EG_ENTITIES_BACKWARD(of) of::backward<F>

} // namespace

template <class F>
void entities_forward(const EntitiesSizes &z, const EntitiesStory<F> &s, const EntitiesTape<F> &tape, bool keep,
                      F *slots) {
  static void (*const run)(const EntitiesSizes &, const EntitiesStory<F> &, const EntitiesTape<F> &, bool, F *) =
      EG_CHOOSE(EG_ENTITIES_FORWARD);
  run(z, s, tape, keep, slots);
}
template <class F>
void entities_backward(const EntitiesSizes &z, const EntitiesStory<F> &s, const EntitiesTape<F> &tape,
                       const EntitiesGradient<F> &d) {
  static void (*const run)(const EntitiesSizes &, const EntitiesStory<F> &, const EntitiesTape<F> &,
                           const EntitiesGradient<F> &) = EG_CHOOSE(EG_ENTITIES_BACKWARD);
  run(z, s, tape, d);
}
template void entities_forward(const EntitiesSizes &, const EntitiesStory<float> &, const EntitiesTape<float> &, bool,
                               float *);
template void entities_forward(const EntitiesSizes &, const EntitiesStory<double> &, const EntitiesTape<double> &, bool,
                               double *);
template void entities_backward(const EntitiesSizes &, const EntitiesStory<float> &, const EntitiesTape<float> &,
                                const EntitiesGradient<float> &);
template void entities_backward(const EntitiesSizes &, const EntitiesStory<double> &, const EntitiesTape<double> &,
                                const EntitiesGradient<double> &);

} // namespace engram
#else
#include "../arithmetic/simd.h"

template <class F>
static void forward(const EntitiesSizes &z, const EntitiesStory<F> &s, const EntitiesTape<F> &tape, bool keep,
                    F *slots) {
  const int64_t width = z.width, all = z.numbers();
  for (int64_t t = 0; t < s.steps; t++) {
    const int64_t at = keep ? t : 0;
    const F *sentence = s.sentences + t * s.apart * width, *input = s.inputs + t * s.apart * width;
    const F *bias = s.to_keys + t * s.apart * z.slots;
    F *a = tape.a + at * all;
    if (keep)
      std::copy_n(slots, all, tape.h + at * all);
    multiply_panels(PanelProduct<F>{slots, width, s.panels, a, width, z.slots, width, width, false});
    for (int64_t j = 0; j < z.slots; j++) {
      F *h = slots + j * width, *aj = a + j * width;
      const F *key = s.from_keys + j * width;
      const F g = sigmoid(dot(h, sentence, width) + bias[j]);
#pragma omp simd
      for (int64_t k = 0; k < width; k++) {
        const F v = aj[k] + input[k] + key[k];
        aj[k] = v;
        h[k] += g * (v > 0 ? v : s.slope[k] * v);
      }
      const F r = F(1) / std::sqrt(dot(h, h, width) + F(z.eps));
#pragma omp simd
      for (int64_t k = 0; k < width; k++)
        h[k] *= r;
      tape.g[at * z.slots + j] = g, tape.r[at * z.slots + j] = r;
    }
  }
}

template <class F>
static void backward(const EntitiesSizes &z, const EntitiesStory<F> &s, const EntitiesTape<F> &tape,
                     const EntitiesGradient<F> &d) {
  const int64_t width = z.width, all = z.numbers();
  for (int64_t t = s.steps - 1; t >= 0; t--) {
    const F *sentence = s.sentences + t * s.apart * width;
    const F *before = tape.h + t * all, *after = t + 1 < s.steps ? before + all : d.last;
    F *a = tape.a + t * all, *ds = d.dsentences + t * s.apart * width, *dx = d.dinputs + t * s.apart * width;
    std::fill_n(ds, width, F(0));
    std::fill_n(dx, width, F(0));
    for (int64_t j = 0; j < z.slots; j++) {
      const F *h = before + j * width, *next = after + j * width;
      F *dh = d.dslots + j * width, *aj = a + j * width, *dkey = d.dfrom_keys + j * width;
      const F g = tape.g[t * z.slots + j], r = tape.r[t * z.slots + j], along = dot(next, dh, width);
      F dg = 0;
#pragma omp simd reduction(+ : dg)
      for (int64_t k = 0; k < width; k++) {
        const F v = aj[k], dn = r * (dh[k] - along * next[k]), dc = g * dn, slope = s.slope[k];
        const F c = v > 0 ? v : slope * v, da = v > 0 ? dc : slope * dc;
        d.dslope[k] += v > 0 ? F(0) : dc * v;
        dg += c * dn;
        dh[k] = dn;
        aj[k] = da;
        dx[k] += da;
        dkey[k] += da;
      }
      const F db = g * (1 - g) * dg;
      d.dto_keys[t * s.apart * z.slots + j] = db;
#pragma omp simd
      for (int64_t k = 0; k < width; k++) {
        ds[k] += db * h[k];
        dh[k] += db * sentence[k];
      }
    }
    multiply_panels(PanelProduct<F>{a, width, s.panels, d.dslots, width, z.slots, width, width, true});
  }
}
#endif
