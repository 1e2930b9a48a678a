// A step of an LSTM after its linear maps; nn.LSTMCell composes the same step.
//
// With i, f, g, o the four parts of the gates and c the previous cell (Hochreiter and Schmidhuber 1997 with the
// forget gate of Gers et al. 2000, in PyTorch's order):
//
//	i = σ, f = σ, g = tanh, o = σ   of the gates
//	c' = f c + i g,   h = o tanh(c')
//
// Gradient, given h̄ and c̄' (x̄ is the derivative of the loss with respect to x), with t = tanh(c'):
//
//	∂c' = c̄' + h̄ o (1 − t²)
//	ī = ∂c' g,   f̄ = ∂c' c,   ḡ = ∂c' i,   ō = h̄ t,   c̄ = ∂c' f
//
// and each gate's gradient times σ' = σ (1 − σ), or tanh' = 1 − tanh².
#ifndef EG_BYTES
#include "lstm.h"

#include "../arithmetic/simd_includes.h"

namespace engram {
namespace {

#define EG_KERNELS_FILE "memory/lstm.cpp"
#include "../perprocessor.h"

#define EG_FORWARD(of) of::forward<F>
#define EG_BACKWARD(of) of::backward<F>

} // namespace

template <class F> void lstm_forward(const LSTMForward<F> &x) {
  static void (*const run)(const LSTMForward<F> &) = EG_CHOOSE(EG_FORWARD);
  run(x);
}
template <class F> void lstm_backward(const LSTMBackward<F> &x) {
  static void (*const run)(const LSTMBackward<F> &) = EG_CHOOSE(EG_BACKWARD);
  run(x);
}
template void lstm_forward(const LSTMForward<float> &);
template void lstm_forward(const LSTMForward<double> &);
template void lstm_backward(const LSTMBackward<float> &);
template void lstm_backward(const LSTMBackward<double> &);

} // namespace engram
#else
#include "../arithmetic/simd.h"

template <class F> static void forward(const LSTMForward<F> &x) {
  const int64_t size = x.size;
  const F *cell = x.cell, *in = x.gates, *forget = in + size, *candidate = forget + size, *out = candidate + size;
#pragma omp simd
  for (int64_t k = 0; k < size; k++) {
    const F i = sigmoid(in[k]), f = sigmoid(forget[k]), g = tangent_h(candidate[k]), o = sigmoid(out[k]);
    const F c = f * cell[k] + i * g, t = tangent_h(c);
    x.kept[k] = i, x.kept[size + k] = f, x.kept[2 * size + k] = g, x.kept[3 * size + k] = o, x.kept[4 * size + k] = t;
    x.next[k] = c;
    x.hidden[k] = o * t;
  }
}

template <class F> static void backward(const LSTMBackward<F> &x) {
  const int64_t size = x.size;
  const F *kept = x.kept, *cell = x.cell;
#pragma omp simd
  for (int64_t k = 0; k < size; k++) {
    const F i = kept[k], f = kept[size + k], g = kept[2 * size + k], o = kept[3 * size + k], t = kept[4 * size + k];
    const F dh = x.dhidden ? x.dhidden[k] : F(0), dc = (x.dnext ? x.dnext[k] : F(0)) + dh * o * (1 - t * t);
    x.dgates[k] = dc * g * i * (1 - i);
    x.dgates[size + k] = dc * cell[k] * f * (1 - f);
    x.dgates[2 * size + k] = dc * i * (1 - g * g);
    x.dgates[3 * size + k] = dh * t * o * (1 - o);
    x.dcell[k] = dc * f;
  }
}
#endif
