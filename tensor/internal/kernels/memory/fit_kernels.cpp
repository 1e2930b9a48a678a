// Fast weights in mini-batches: the dual form of Sun et al. 2024 (2407.04620), section 2.5, with decays, momentum and a
// window; rule.go in memory/fastweight has the rules. A bias is a further row of the weights, for an input of one. For
// keys K [N, key], values V, queries Q [n, key], weights W_l after the last mini-batch, sums S_l and weights F_l at
// which gradients are taken, with g the GELU and LN the layer norm of a residual model:
//
//	X_0 = K,  Z_l = X_l F_l,  X_{l+1} = g(Z_l),  Y = K + LN(Z_last) or Z_last
//	D_last = the gradient of the loss by Z_last,  T_l = D_l F_lᵀ,  D_{l-1} = T_l ⊙ g'(Z_{l-1})
//	P_0 = Q,  O_l = a⊙P_l W_l + b⊙P_l S_l − (C ⊙ P_l X_lᵀ) D_l,  P_{l+1} = g(O_l)
//	W_l' = a_n W_l + b_n S_l − X_lᵀ diag(C_n) D_l,  S_l' = h_n S_l − X_lᵀ diag(c) D_l
//
// Coefficients: token i with rate r, decay e^{d_i} and momentum m_i has
//
//	p_i = m_i p_{i-1} + e_i,  h_i = m_i h_{i-1},  a_i = e^{d_i} a_{i-1}
//	b_i = e^{d_i} b_{i-1} + h_i,  G_i = e^{d_i} G_{i-1} + p_i
//
// with h_0 = a_0 = 1, the rows p and G of a matrix of n columns and the unit vectors e_i; without momentum p_i = e_i
// and h_i = 0. C_ij sums G_ik r_k over the tokens k whose window has j, and c likewise p_n. With positions f_i instead
// of decay and momentum a = 1, b_i = f_i, G_ik = f_i for k ≤ i, p_n = 1 and h_n = 1.
//
// Where the weights are in·softmax(W) over the inputs, or where changes are made orthogonal, each token i has its own
// weights, which are V_li:
//
//	V_li = in·softmax(a_i W_l + b_i S_l − X_lᵀ diag(C_i) D_l)
//	V_li = e^{d_i} V_l,i-1 + r_i NS(M_li),  M_li = h_i S_l − X_lᵀ diag(R_i) D_l,  V_l0 = W_l,  S_l' = M_ln
//
// with the Newton-Schulz iteration NS of orthogonal_kernels.cpp, and R_ij the sum of p_ik over the tokens k whose
// window has j. It reads O_li = P_li V_li, and F_l is in·softmax of what is held.
//
// Gradient, where dx is the derivative of the loss with respect to x. The writes, and likewise those of S_l':
//
//	dW_l = a_n dW_l',  dS_l = b_n dW_l' + h_n dS_l'
//	da_n = ⟨dW_l', W_l⟩,  db_n = ⟨dW_l', S_l⟩,  dh_n = ⟨dS_l', S_l⟩
//	U = X_l dW_l',  dD_l = −diag(C_n) U,  dC_nj = −U_j·D_lj,  dX_l = −diag(C_n) D_l dW_l'ᵀ
//
// The reads, from the last layer to the first, where E = dO_l, M = C ⊙ P_l X_lᵀ and N = C ⊙ E D_lᵀ:
//
//	dP_l = a⊙E W_lᵀ + b⊙E S_lᵀ − N X_l,  da_i += P_li·(E W_lᵀ)_i,  db_i += P_li·(E S_lᵀ)_i
//	dW_l += P_lᵀ (a⊙E),  dS_l += P_lᵀ (b⊙E),  dD_l −= Mᵀ E,  dX_l −= Nᵀ P_l
//	dC −= P_l X_lᵀ ⊙ E D_lᵀ,  dO_{l-1} = dP_l ⊙ g'(O_{l-1}),  dQ += dP_0
//
// The gradients of the loss, first from D_0 up and then from Z_last down, where B = dD_{l-1} ⊙ g'(Z_{l-1}):
//
//	dZ_{l-1} = dD_{l-1} ⊙ T_l ⊙ g''(Z_{l-1}),  dD_l += B F_l,  dF_l += Bᵀ D_l
//	dF_l += X_lᵀ dZ_l,  dX_l += dZ_l F_lᵀ,  dZ_{l-1} += dX_l ⊙ g'(Z_{l-1}),  dK += dX_0
//
// and between them dZ_last follows from dD_last. Through the norm ẑ = (z − mean)·s of n units, where D = s(r − mean(r)
// − ẑ mean(r⊙ẑ)) with r = γ⊙D' and D' the gradient of the loss by Y:
//
//	dr = s(dD − mean(dD) − ẑ mean(dD⊙ẑ)),  dD' = γ⊙dr,  ds = dD·D/s
//	dẑ = −s(dD mean(r⊙ẑ) + r mean(dD⊙ẑ)) + γ⊙dY,  c = s(dẑ − ẑ(dẑ·ẑ + s ds)/n),  dz = c − mean(c)
//
// Coefficients are differentiated from the last token to the first.
#ifndef EG_BYTES
#include "fit_kernels.h"

#include "../arithmetic/simd_includes.h"

namespace engram {

constexpr double fit_smooth = 1e-6; // as in rule.go

int64_t FitSizes::weights() const {
  int64_t sum = 0;
  for (int64_t l = 0; l < layers; l++)
    sum += width[l] * width[l + 1];
  return sum;
}

OrthogonalSizes FitSizes::change(int64_t layer) const {
  const int64_t in = width[layer], out = width[layer + 1];
  return {std::min(in, out), std::max(in, out), orthogonal, newton[0], newton[1], newton[2], fit_smooth};
}

namespace {

// Rows of scratch matrices are whole vectors of every processor, zero beyond the columns.
template <class F> constexpr int64_t padded(int64_t cols) {
  constexpr int64_t vector = 64 / sizeof(F);
  return (cols + vector - 1) / vector * vector;
}

template <class F> struct Grid {
  F *at = nullptr;
  int64_t rows = 0, cols = 0;
  int64_t step() const { return padded<F>(cols); }
  int64_t size() const { return rows * step(); }
  F *operator[](int64_t i) const { return at + i * step(); }
};

template <class F> struct FitLayer {
  int64_t in, width, out; // in is width, and one more with a bias
  Grid<F> w, wt, s, st, f, ft;
  Grid<F> x, xt, z, d, dt, t;  // xt and dt are transposed
  Grid<F> p, o, r;             // r is P Xᵀ
  Grid<F> own, change, moment; // of each token, one below the other
  Grid<F> dw, ds, df, g, gt, gs, gst, dx, dd, dz;
};

// Where things are in the scratch.
template <class F> struct FitRoom {
  FitLayer<F> layer[fit_layers];
  Grid<F> y, hat, dy, read_hat, changes, raw, chain, scaled, more, mixed, dread, dp, dmixed, dchanges, slopes;
  F *matrix[3], *iterations; // contiguous matrices, and the scratch of the iteration
  F *scale, *read_scale, *eta, *keep, *a, *b, *h, *sum, *dsum, *da, *db, *row, *chain_row, *deta;
  int64_t used = 0;

  FitRoom(const FitSizes &z, bool backward, F *base) {
    const auto take = [&](int64_t n) {
      F *at = base ? base + used : nullptr;
      used += padded<F>(n);
      return at;
    };
    const auto grid = [&](int64_t rows, int64_t cols) { return Grid<F>{take(rows * padded<F>(cols)), rows, cols}; };
    int64_t widest = 0;
    for (int64_t l = 0; l < z.layers; l++) {
      FitLayer<F> &y = layer[l];
      y.width = z.width[l], y.in = y.width + z.biased, y.out = z.width[l + 1];
      widest = std::max({widest, y.in, y.out});
      y.w = grid(y.in, y.out);
      y.f = z.started || z.simplex ? grid(y.in, y.out) : y.w;
      if (z.own())
        y.own = grid(z.time * y.in, y.out);
      if (z.orthogonal)
        y.change = grid(z.time * y.in, y.out), y.moment = grid(z.time * y.in, y.out);
      y.ft = grid(y.out, y.in);
      y.x = grid(z.keys, y.in), y.z = grid(z.keys, y.out), y.d = grid(z.keys, y.out), y.t = grid(z.keys, y.width);
      if (z.summed)
        y.s = grid(y.in, y.out);
      if (z.reads)
        y.xt = grid(y.in, z.keys), y.p = grid(z.time, y.in), y.o = grid(z.time, y.out), y.r = grid(z.time, z.keys);
      y.g = grid(y.in, y.out);
      if (!backward)
        continue;
      y.wt = z.started ? grid(y.out, y.in) : y.ft; // not of own weights
      y.dt = grid(y.out, z.keys);
      if (z.summed)
        y.st = grid(y.out, y.in), y.ds = grid(y.in, y.out);
      if (z.sums || z.orthogonal)
        y.gs = grid(y.in, y.out), y.gst = grid(y.out, y.in);
      y.dw = grid(y.in, y.out), y.df = z.started || z.simplex ? grid(y.in, y.out) : y.dw, y.gt = grid(y.out, y.in);
      y.dx = grid(z.keys, y.in), y.dd = grid(z.keys, y.out), y.dz = grid(z.keys, y.out);
    }
    const int64_t out = z.out(), most = std::max(z.keys, z.time);
    y = grid(z.keys, out), hat = grid(z.keys, out), dy = grid(z.keys, out), read_hat = grid(z.time, out);
    changes = grid(z.time, z.keys), raw = grid(z.time, z.time), chain = grid(z.time, z.time);
    scaled = grid(most, widest), more = grid(3, widest), mixed = grid(z.time, z.keys);
    scale = take(z.keys), read_scale = take(z.time);
    eta = take(z.time), keep = take(z.time), a = take(z.time), b = take(z.time), h = take(z.time), sum = take(z.keys);
    if (z.orthogonal) {
      int64_t size = 0, room = 0;
      for (int64_t l = 0; l < z.layers; l++) {
        const OrthogonalSizes c = z.change(l);
        size = std::max(size, c.size());
        room = std::max(room, backward ? c.backward_scratch() : c.forward_scratch());
      }
      for (F *&to : matrix)
        to = take(size);
      iterations = take(room);
    }
    if (!backward)
      return;
    dread = grid(z.time, widest), dp = grid(z.time, widest), dmixed = grid(z.time, z.keys);
    dchanges = grid(z.time, z.keys), slopes = grid(z.keys, out);
    dsum = take(z.keys), da = take(z.time), db = take(z.time), row = take(z.time), chain_row = take(z.time);
    deta = take(z.time);
  }
};

#define EG_KERNELS_FILE "memory/fit_kernels.cpp"
#include "../perprocessor.h"

#define EG_FIT_FORWARD(of) of::forward<F>
#define EG_FIT_BACKWARD(of) of::backward<F>

} // namespace

template <class F> int64_t fit_scratch(const FitSizes &z, bool backward) {
  return FitRoom<F>(z, backward, nullptr).used;
}
template int64_t fit_scratch<float>(const FitSizes &, bool);
template int64_t fit_scratch<double>(const FitSizes &, bool);

template <class F> void fit_forward(const FitSizes &z, const FitForward<F> &x) {
  static void (*const run)(const FitSizes &, const FitForward<F> &) = EG_CHOOSE(EG_FIT_FORWARD);
  run(z, x);
}
template <class F> void fit_backward(const FitSizes &z, const FitBackward<F> &x) {
  static void (*const run)(const FitSizes &, const FitBackward<F> &) = EG_CHOOSE(EG_FIT_BACKWARD);
  run(z, x);
}
template void fit_forward(const FitSizes &, const FitForward<float> &);
template void fit_forward(const FitSizes &, const FitForward<double> &);
template void fit_backward(const FitSizes &, const FitBackward<float> &);
template void fit_backward(const FitSizes &, const FitBackward<double> &);

} // namespace engram
#else
#include "../arithmetic/simd.h"

// ---- matrices ----

// R rows and N vectors of c += a·b, where element (i, k) of a is at a[i·row + k·inner].
template <int R, int N, class F>
EG_INLINE void add_block(int64_t terms, const F *a, int64_t row, int64_t inner, const F *b, int64_t b_step, F *c,
                         int64_t c_step) {
  typedef F V __attribute__((vector_size(EG_BYTES)));
  V sum[R * N];
  const auto each = [](const auto &f) { unrolled(f, std::make_index_sequence<R * N>()); };
  each([&](auto i) { load<false>(c + i / N * c_step + i % N * lanes<F>, 0, sum[i]); });
  for (int64_t k = 0; k < terms; k++) {
    V x[N];
    unrolled([&](auto n) { load<false>(b + k * b_step + n * lanes<F>, 0, x[n]); }, std::make_index_sequence<N>());
    each([&](auto i) { sum[i] += a[i / N * row + k * inner] * x[i % N]; });
  }
  each([&](auto i) { store<false>(sum[i], 0, c + i / N * c_step + i % N * lanes<F>); });
}

template <int N, class F>
EG_INLINE void add_columns(int64_t rows, int64_t terms, const F *a, int64_t row, int64_t inner, const F *b,
                           int64_t b_step, F *c, int64_t c_step) {
  int64_t i = 0;
  for (; i + 4 <= rows; i += 4)
    add_block<4, N>(terms, a + i * row, row, inner, b, b_step, c + i * c_step, c_step);
  for (; i < rows; i++)
    add_block<1, N>(terms, a + i * row, row, inner, b, b_step, c + i * c_step, c_step);
}

template <class F>
static void add_matrices(int64_t rows, int64_t terms, const F *a, int64_t row, int64_t inner, const F *b,
                         int64_t b_step, F *c, int64_t c_step, int64_t cols) {
  int64_t j = 0;
  for (; j + 2 * lanes<F> <= cols; j += 2 * lanes<F>)
    add_columns<2>(rows, terms, a, row, inner, b + j, b_step, c + j, c_step);
  for (; j < cols; j += lanes<F>)
    add_columns<1>(rows, terms, a, row, inner, b + j, b_step, c + j, c_step);
}

// c += a·b with so many terms in each sum; c += aᵀ·b
template <class F> static void add_product(int64_t terms, Grid<F> a, Grid<F> b, Grid<F> c) {
  add_matrices(c.rows, terms, a.at, a.step(), int64_t(1), b.at, b.step(), c.at, c.step(), c.cols);
}
template <class F> static void add_transposed(Grid<F> a, Grid<F> b, Grid<F> c) {
  add_matrices(c.rows, b.rows, a.at, int64_t(1), a.step(), b.at, b.step(), c.at, c.step(), c.cols);
}

// The same memory as a grid of another shape; columns beyond it may hold anything.
template <class F> EG_INLINE Grid<F> shaped(Grid<F> x, int64_t rows, int64_t cols) { return {x.at, rows, cols}; }
template <class F> EG_INLINE void clear(Grid<F> x) { std::fill_n(x.at, x.size(), F(0)); }

template <class F> static void transpose(Grid<F> x, Grid<F> to) {
  for (int64_t i = 0; i < x.rows; i++)
    for (int64_t j = 0; j < x.cols; j++)
      to[j][i] = x[i][j];
}

// to = by·x, where by has a factor for each row.
template <class F> EG_INLINE void scale_rows(F sign, const F *by, Grid<F> x, Grid<F> to) {
  for (int64_t i = 0; i < x.rows; i++) {
    const F f = sign * by[i];
    const F *from = x[i];
    F *out = to[i];
#pragma omp simd
    for (int64_t j = 0; j < x.step(); j++)
      out[j] = f * from[j];
  }
}

// The whole of a grid as one row: padding is zero.
template <class F> EG_INLINE F inner_product(Grid<F> x, Grid<F> y) { return dot(x.at, y.at, x.size()); }
template <class F> EG_INLINE void set_scaled(F by, Grid<F> x, Grid<F> to) {
#pragma omp simd
  for (int64_t i = 0; i < x.size(); i++)
    to.at[i] = by * x.at[i];
}

// ---- copies from and to tensors ----

template <class F> EG_INLINE void get(const F *from, int64_t cols, Grid<F> to) {
  for (int64_t i = 0; i < to.rows; i++)
    std::copy_n(from + i * cols, cols, to[i]);
}
template <class F> EG_INLINE void put(Grid<F> x, int64_t cols, F *to) {
  if (to)
    for (int64_t i = 0; i < x.rows; i++)
      std::copy_n(x[i], cols, to + i * cols);
}
// The weights of layer l and below them its bias; copies nothing and returns false if there are none.
template <class F, class P> EG_INLINE bool get_layer(const FitLayers<P> &from, int64_t l, Grid<F> to) {
  if (!from.weight[l])
    return false;
  const bool biased = from.bias[l];
  get<F>(from.weight[l], to.cols, {to.at, to.rows - biased, to.cols});
  if (biased)
    std::copy_n(from.bias[l], to.cols, to[to.rows - 1]);
  return true;
}
template <class F> EG_INLINE void put_layer(Grid<F> x, const FitLayers<F> &to, int64_t l) {
  const bool biased = to.bias[l];
  put<F>({x.at, x.rows - biased, x.cols}, x.cols, to.weight[l]);
  if (biased)
    std::copy_n(x[x.rows - 1], x.cols, to.bias[l]);
}

// ---- elementwise ----

// The tanh form of the GELU and its first two derivatives.
template <class F> struct Gelu {
  F t, u1, u2, x; // tanh(u), u' and u''
  EG_INLINE explicit Gelu(F at) : x(at) {
    constexpr F c = F(0.7978845608028654), cubic = F(.044715);
    t = tangent_h(c * (x + cubic * x * x * x));
    u1 = c * (1 + 3 * cubic * x * x);
    u2 = 6 * c * cubic * x;
  }
  EG_INLINE F value() const { return F(.5) * x * (1 + t); }
  EG_INLINE F slope() const { return F(.5) * (1 + t) + F(.5) * x * (1 - t * t) * u1; }
  EG_INLINE F curvature() const { return (1 - t * t) * (u1 + F(.5) * x * u2 - x * t * u1 * u1); }
};

// Rows of x become g of those of z, with a one behind them where there is a bias.
template <class F> EG_INLINE void gelu_rows(Grid<F> z, Grid<F> x) {
  for (int64_t i = 0; i < z.rows; i++) {
    const F *from = z[i];
    F *to = x[i];
#pragma omp simd
    for (int64_t j = 0; j < z.cols; j++)
      to[j] = Gelu<F>(from[j]).value();
    if (x.cols > z.cols)
      to[z.cols] = 1;
  }
}

// to = x ⊙ g'(z)
template <class F> EG_INLINE void times_slope(Grid<F> x, Grid<F> z, Grid<F> to) {
  for (int64_t i = 0; i < z.rows; i++) {
    const F *a = x[i], *at = z[i];
    F *out = to[i];
#pragma omp simd
    for (int64_t j = 0; j < z.cols; j++)
      out[j] = a[j] * Gelu<F>(at[j]).slope();
  }
}

template <class F> EG_INLINE F mean_of(const F *x, int64_t n) {
  F sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t j = 0; j < n; j++)
    sum += x[j];
  return sum / F(n);
}

// hat = (h - mean)/deviation; returns 1/deviation.
template <class F> EG_INLINE F normalize(const F *h, int64_t n, F eps, F *hat) {
  const F mean = mean_of(h, n);
#pragma omp simd
  for (int64_t j = 0; j < n; j++)
    hat[j] = h[j] - mean;
  const F scale = 1 / std::sqrt(dot(hat, hat, n) / F(n) + eps);
#pragma omp simd
  for (int64_t j = 0; j < n; j++)
    hat[j] *= scale;
  return scale;
}

template <class F> EG_INLINE void centre(F *x, int64_t n) {
  const F mean = mean_of(x, n);
#pragma omp simd
  for (int64_t j = 0; j < n; j++)
    x[j] -= mean;
}

// out = scale·(r - mean(r) - hat·mean(r⊙hat)): from the gradient by hat to that by h. Returns mean(r⊙hat). The mean is
// taken off last, so that rounding leaves little of it: weights on a simplex are nearly equal, and multiply the sum.
template <class F> EG_INLINE F through_norm(const F *r, const F *hat, int64_t n, F scale, F *out) {
  const F mean = mean_of(r, n), along = dot(r, hat, n) / F(n);
#pragma omp simd
  for (int64_t j = 0; j < n; j++)
    out[j] = scale * (r[j] - mean - hat[j] * along);
  centre(out, n);
  return along;
}

template <class F> EG_INLINE F power(F x, F by) { return exponential(by * logarithm(x)); }

// The gradient d of the loss by the output y, and with Slopes the derivatives of d by y, elementwise.
template <bool Slopes, class F>
EG_INLINE void loss_gradient(const FitSizes &z, const F *y, const F *v, F *d, F *slopes) {
  const int64_t n = z.out();
  const F by = F(z.scale), smooth = F(fit_smooth);
  if (z.loss == FitDot) {
    for (int64_t j = 0; j < n; j++) {
      d[j] = -by * v[j];
      if (Slopes)
        slopes[j] = 0;
    }
    return;
  }
  bool far = false;
  if (z.loss == FitHuber) {
    F length = 0;
    for (int64_t j = 0; j < n; j++)
      length += (y[j] - v[j]) * (y[j] - v[j]);
    far = length > F(z.threshold) * F(z.threshold);
  }
  if (z.loss == FitPNorm) {
    const F p = F(z.p);
#pragma omp simd
    for (int64_t j = 0; j < n; j++) {
      const F e = y[j] - v[j], square = e * e + smooth, q = by * p * power(square, (p - 2) / 2);
      d[j] = q * e;
      if (Slopes)
        slopes[j] = q * (1 + (p - 2) * e * e / square);
    }
  } else if (far) {
    const F t = by * F(z.threshold);
#pragma omp simd
    for (int64_t j = 0; j < n; j++) {
      const F e = y[j] - v[j], square = e * e + smooth, q = t / std::sqrt(square);
      d[j] = q * e;
      if (Slopes)
        slopes[j] = q * smooth / square;
    }
  } else {
#pragma omp simd
    for (int64_t j = 0; j < n; j++) {
      d[j] = by * (y[j] - v[j]);
      if (Slopes)
        slopes[j] = by;
    }
  }
}

// ---- forward ----

template <class F> static void coefficients(const FitSizes &z, const FitTokens<const F> &t, const FitRoom<F> &m) {
  const int64_t n = z.time;
  clear(m.raw), clear(m.chain), clear(m.changes);
  std::fill_n(m.sum, z.keys, F(0));
  for (int64_t i = 0; i < n; i++) {
    m.eta[i] = t.rate ? t.rate[i] : F(1);
    F *g = m.raw[i], *p = m.chain[i];
    if (z.positions) {
      m.keep[i] = m.a[i] = m.h[i] = 1, m.b[i] = t.positions[i];
      std::fill_n(g, i + 1, t.positions[i]);
      std::fill_n(p, i + 1, F(1));
      continue;
    }
    const F keep = m.keep[i] = t.decay ? exponential(t.decay[i]) : F(1), by = t.momentum ? t.momentum[i] : F(0);
    m.a[i] = keep * (i ? m.a[i - 1] : F(1));
    m.h[i] = by * (i ? m.h[i - 1] : F(1));
    m.b[i] = keep * (i ? m.b[i - 1] : F(0)) + m.h[i];
    for (int64_t j = 0; j < i; j++)
      p[j] = by * m.chain[i - 1][j];
    p[i] = 1;
    for (int64_t j = 0; j <= i; j++)
      g[j] = (i ? keep * m.raw[i - 1][j] : F(0)) + p[j];
  }
  for (int64_t j = 0; j < n; j++) {
    const int64_t last = z.keys - n + j, first = std::max<int64_t>(0, last - z.window + 1);
    for (int64_t k = first; k <= last; k++) {
      for (int64_t i = j; i < n; i++)
        m.changes[i][k] += z.orthogonal ? m.chain[i][j] : m.raw[i][j] * m.eta[j];
      m.sum[k] += m.chain[n - 1][j] * m.eta[j];
    }
  }
}

template <class F> static void gradients(const FitSizes &z, const FitTokens<const F> &t, FitRoom<F> &m) {
  FitLayer<F> *y = m.layer;
  const int64_t last = z.layers - 1, out = z.out();
  get(t.key, z.width[0], y[0].x);
  if (z.biased)
    for (int64_t i = 0; i < z.keys; i++)
      y[0].x[i][z.width[0]] = 1;
  for (int64_t l = 0; l <= last; l++) {
    transpose(y[l].f, y[l].ft);
    clear(y[l].z);
    add_product(y[l].in, y[l].x, y[l].f, y[l].z);
    if (l < last)
      gelu_rows(y[l].z, y[l + 1].x);
  }
  for (int64_t i = 0; i < z.keys; i++) {
    const F *h = y[last].z[i], *k = t.key + i * z.width[0];
    F *o = m.y[i], *hat = m.hat[i], *d = y[last].d[i];
    if (!z.residual) {
      std::copy_n(h, out, o);
    } else {
      m.scale[i] = normalize(h, out, F(z.eps), hat);
#pragma omp simd
      for (int64_t j = 0; j < out; j++)
        o[j] = k[j] + hat[j] * t.gain[j] + t.bias[j];
    }
    F *dy = z.residual ? m.dy[i] : d;
    if (m.slopes.at)
      loss_gradient<true>(z, o, t.value + i * out, dy, m.slopes[i]);
    else
      loss_gradient<false>(z, o, t.value + i * out, dy, static_cast<F *>(nullptr));
    if (z.residual) {
      F *r = m.more[0];
#pragma omp simd
      for (int64_t j = 0; j < out; j++)
        r[j] = dy[j] * t.gain[j];
      through_norm(r, hat, out, m.scale[i], d);
    }
  }
  for (int64_t l = last; l > 0; l--) {
    const Grid<F> back = shaped(m.scaled, z.keys, y[l].in); // with a column for the bias, which leads nowhere
    clear(back);
    add_product(y[l].out, y[l].d, y[l].ft, back);
    for (int64_t i = 0; i < z.keys; i++)
      std::copy_n(back[i], y[l].width, y[l].t[i]);
    times_slope(y[l].t, y[l - 1].z, y[l - 1].d);
  }
}

// The values read before the layer norm of the last layer, and what the gradient needs.
template <class F> static void reads(const FitSizes &z, const FitTokens<const F> &t, FitRoom<F> &m) {
  FitLayer<F> *y = m.layer;
  get(t.query, z.width[0], y[0].p);
  if (z.biased)
    for (int64_t i = 0; i < z.time; i++)
      y[0].p[i][z.width[0]] = 1;
  for (int64_t l = 0; l < z.layers; l++) {
    transpose(y[l].x, y[l].xt);
    clear(y[l].r);
    add_product(y[l].in, y[l].p, y[l].xt, y[l].r);
    for (int64_t i = 0; i < z.time; i++)
#pragma omp simd
      for (int64_t j = 0; j < z.keys; j++)
        m.mixed[i][j] = -m.changes[i][j] * y[l].r[i][j];
    Grid<F> by = shaped(m.scaled, z.time, y[l].in);
    scale_rows(F(1), m.a, y[l].p, by);
    clear(y[l].o);
    add_product(y[l].in, by, y[l].w, y[l].o);
    if (z.summed) {
      scale_rows(F(1), m.b, y[l].p, by);
      add_product(y[l].in, by, y[l].s, y[l].o);
    }
    add_product(z.keys, m.mixed, y[l].d, y[l].o);
    if (l + 1 < z.layers)
      gelu_rows(y[l].o, y[l + 1].p);
  }
  if (z.residual)
    for (int64_t i = 0; i < z.time; i++)
      m.read_scale[i] = normalize(y[z.layers - 1].o[i], z.out(), F(z.eps), m.read_hat[i]);
}

// The weights of logits, in·softmax over the rows. They may be the same grid.
template <class F> static void to_simplex(Grid<F> logits, Grid<F> to) {
  for (int64_t j = 0; j < logits.cols; j++) {
    F most = logits[0][j], sum = 0;
    for (int64_t i = 1; i < logits.rows; i++)
      most = std::max(most, logits[i][j]);
    for (int64_t i = 0; i < logits.rows; i++)
      sum += to[i][j] = exponential(logits[i][j] - most);
    const F by = F(logits.rows) / sum;
    for (int64_t i = 0; i < logits.rows; i++)
      to[i][j] *= by;
  }
}

// Replaces the gradient g by such weights w by that of their logits.
template <class F> static void simplex_gradient(Grid<F> w, Grid<F> g) {
  for (int64_t j = 0; j < w.cols; j++) {
    F mean = 0;
    for (int64_t i = 0; i < w.rows; i++)
      mean += w[i][j] * g[i][j];
    mean /= F(w.rows);
    for (int64_t i = 0; i < w.rows; i++)
      g[i][j] = w[i][j] * (g[i][j] - mean);
  }
}

// The part of a grid that belongs to token i.
template <class F> EG_INLINE Grid<F> token(Grid<F> all, int64_t rows, int64_t i) {
  return {all[i * rows], rows, all.cols};
}

// A matrix as the iteration takes it: contiguous, with no more rows than columns.
template <class F> EG_INLINE void to_wide(Grid<F> x, F *to) {
  for (int64_t i = 0; i < x.rows; i++)
    for (int64_t j = 0; j < x.cols; j++)
      to[x.rows <= x.cols ? i * x.cols + j : j * x.rows + i] = x[i][j];
}
template <class F> EG_INLINE void from_wide(const F *from, Grid<F> x) {
  for (int64_t i = 0; i < x.rows; i++)
    for (int64_t j = 0; j < x.cols; j++)
      x[i][j] = from[x.rows <= x.cols ? i * x.cols + j : j * x.rows + i];
}

// The weights after each token. Of a simplex g has the logits after the last one.
template <class F> static void own_weights(const FitSizes &z, FitRoom<F> &m) {
  for (int64_t l = 0; l < z.layers; l++) {
    FitLayer<F> &y = m.layer[l];
    const Grid<F> by = shaped(m.scaled, z.keys, y.out);
    for (int64_t i = 0; i < z.time; i++) {
      const Grid<F> to = z.orthogonal ? token(y.moment, y.in, i) : y.g, own = token(y.own, y.in, i);
      if (z.orthogonal)
        clear(to);
      else
        set_scaled(m.a[i], y.w, to);
      if (z.summed)
        axpy(z.orthogonal ? m.h[i] : m.b[i], y.s.at, to.at, to.size());
      scale_rows(F(-1), m.changes[i], y.d, by);
      add_transposed(y.x, by, to);
      if (z.simplex) {
        to_simplex(to, own);
        continue;
      }
      const Grid<F> change = token(y.change, y.in, i);
      to_wide(to, m.matrix[0]);
      orthogonal_forward(z.change(l), m.matrix[0], m.matrix[1], m.iterations);
      from_wide(m.matrix[1], change);
      set_scaled(m.keep[i], i ? token(y.own, y.in, i - 1) : y.w, own);
      axpy(m.eta[i], change.at, own.at, own.size());
    }
  }
}

// reads for own weights.
template <class F> static void own_reads(const FitSizes &z, const FitTokens<const F> &t, FitRoom<F> &m) {
  FitLayer<F> *y = m.layer;
  get(t.query, z.width[0], y[0].p);
  for (int64_t l = 0; l < z.layers; l++) {
    clear(y[l].o);
    for (int64_t i = 0; i < z.time; i++)
      add_matrices(1, y[l].in, y[l].p[i], int64_t(0), int64_t(1), y[l].own[i * y[l].in], y[l].own.step(), y[l].o[i],
                   y[l].o.step(), y[l].out);
    if (l + 1 < z.layers)
      gelu_rows(y[l].o, y[l + 1].p);
  }
  if (z.residual)
    for (int64_t i = 0; i < z.time; i++)
      m.read_scale[i] = normalize(y[z.layers - 1].o[i], z.out(), F(z.eps), m.read_hat[i]);
}

template <class F, class X> static void get_weights(const FitSizes &z, const X &x, FitRoom<F> &m) {
  for (int64_t l = 0; l < z.layers; l++) {
    get_layer(x.weights, l, m.layer[l].w);
    if (z.started)
      get_layer(x.starts, l, m.layer[l].f);
    if (z.simplex) {
      if (!z.started)
        std::copy_n(m.layer[l].w.at, m.layer[l].w.size(), m.layer[l].f.at);
      to_simplex(m.layer[l].f, m.layer[l].f);
    }
    if (z.summed)
      get_layer(x.sums, l, m.layer[l].s);
  }
}

template <class F> static void forward(const FitSizes &z, const FitForward<F> &x) {
  FitRoom<F> m(z, false, x.scratch);
  const FitTokens<const F> &t = x.tokens;
  get_weights(z, x, m);
  coefficients(z, t, m);
  gradients(z, t, m);
  const int64_t n = z.time, out = z.out();
  if (z.own())
    own_weights(z, m);
  if (z.reads) {
    if (z.own())
      own_reads(z, t, m);
    else
      reads(z, t, m);
    for (int64_t i = 0; i < n; i++) {
      F *to = x.read + i * out;
      if (!z.residual) {
        std::copy_n(m.layer[z.layers - 1].o[i], out, to);
        continue;
      }
      const F *hat = m.read_hat[i], *q = t.query + i * out;
#pragma omp simd
      for (int64_t j = 0; j < out; j++)
        to[j] = q[j] + hat[j] * t.gain[j] + t.bias[j];
    }
  }
  for (int64_t l = 0; l < z.layers; l++) {
    FitLayer<F> &y = m.layer[l];
    if (z.orthogonal) {
      put_layer(token(y.own, y.in, n - 1), x.next, l);
      if (z.sums)
        put_layer(token(y.moment, y.in, n - 1), x.next_sums, l);
      continue;
    }
    const Grid<F> change = shaped(m.scaled, z.keys, y.out);
    scale_rows(F(-1), m.changes[n - 1], y.d, change);
    set_scaled(m.a[n - 1], y.w, y.g);
    if (z.summed)
      for (int64_t i = 0; i < y.g.size(); i++)
        y.g.at[i] += m.b[n - 1] * y.s.at[i];
    add_transposed(y.x, change, y.g);
    put_layer(y.g, x.next, l);
    if (!z.sums)
      continue;
    scale_rows(F(-1), m.sum, y.d, change);
    if (z.summed)
      set_scaled(m.h[n - 1], y.s, y.g);
    else
      clear(y.g);
    add_transposed(y.x, change, y.g);
    put_layer(y.g, x.next_sums, l);
  }
}

// ---- backward ----

// What the weights, or the sums, after the mini-batch pass on to the keys' inputs and slopes: g is the gradient by
// them, by their coefficients of the tokens.
template <class F>
static void through_writes(const FitSizes &z, FitRoom<F> &m, FitLayer<F> &y, Grid<F> g, Grid<F> gt, const F *by,
                           F *dby) {
  const Grid<F> u = shaped(m.scaled, z.keys, y.out);
  clear(u);
  add_product(y.in, y.x, g, u);
  for (int64_t i = 0; i < z.keys; i++) {
    dby[i] -= dot(u[i], y.d[i], y.out);
    axpy(-by[i], u[i], y.dd[i], y.out);
  }
  scale_rows(F(-1), by, y.d, u);
  transpose(g, gt);
  add_product(y.out, u, gt, y.dx);
}

// What the sums after the mini-batch pass on. Returns the gradient by h_n.
template <class F> static F through_last_sums(const FitSizes &z, const FitBackward<F> &x, FitRoom<F> &m) {
  F dh = 0;
  for (int64_t l = 0; z.sums && l < z.layers; l++) {
    FitLayer<F> &y = m.layer[l];
    if (!get_layer(x.dnext_sums, l, y.gs))
      continue;
    if (z.summed) {
      axpy(m.h[z.time - 1], y.gs.at, y.ds.at, y.ds.size());
      dh += inner_product(y.gs, y.s);
    }
    through_writes(z, m, y, y.gs, y.gst, m.sum, m.dsum);
  }
  return dh;
}

// From the gradient by what token i reads to that by the last layer's output.
template <class F>
static void through_output(const FitSizes &z, const FitBackward<F> &x, FitRoom<F> &m, int64_t i, F *to) {
  const int64_t out = z.out();
  const F *from = x.dread + i * out;
  if (!z.residual) {
    std::copy_n(from, out, to);
    return;
  }
  std::copy_n(from, out, x.dtokens.query + i * out);
  const F *hat = m.read_hat[i];
  F *r = m.more[0];
#pragma omp simd
  for (int64_t j = 0; j < out; j++) {
    r[j] = from[j] * x.tokens.gain[j];
    x.dtokens.gain[j] += from[j] * hat[j];
    x.dtokens.bias[j] += from[j];
  }
  through_norm(r, hat, out, m.read_scale[i], to);
}

template <class F> static void through_reads(const FitSizes &z, const FitBackward<F> &x, FitRoom<F> &m) {
  FitLayer<F> *y = m.layer;
  Grid<F> grad = shaped(m.dread, z.time, z.out());
  clear(m.dread);
  for (int64_t i = 0; i < z.time; i++)
    through_output(z, x, m, i, grad[i]);
  for (int64_t l = z.layers - 1; l >= 0; l--) {
    const int64_t in = y[l].in;
    const Grid<F> dp = shaped(m.dp, z.time, in), back = shaped(m.scaled, z.time, in);
    clear(back);
    add_product(y[l].out, grad, y[l].wt, back);
    for (int64_t i = 0; i < z.time; i++)
      m.da[i] += dot(y[l].p[i], back[i], in);
    scale_rows(F(1), m.a, back, dp);
    if (z.summed) {
      clear(back);
      add_product(y[l].out, grad, y[l].st, back);
      for (int64_t i = 0; i < z.time; i++) {
        m.db[i] += dot(y[l].p[i], back[i], in);
        axpy(m.b[i], back[i], dp[i], in);
      }
    }
    transpose(y[l].d, y[l].dt);
    clear(m.dmixed);
    add_product(y[l].out, grad, y[l].dt, m.dmixed); // of the products with the slopes
    for (int64_t i = 0; i < z.time; i++)
#pragma omp simd
      for (int64_t j = 0; j < z.keys; j++) {
        const F f = m.dmixed[i][j];
        m.dchanges[i][j] -= y[l].r[i][j] * f;
        m.mixed[i][j] = -m.changes[i][j] * y[l].r[i][j];
        m.dmixed[i][j] = -m.changes[i][j] * f;
      }
    add_product(z.keys, m.dmixed, y[l].x, dp);
    add_transposed(m.dmixed, y[l].p, y[l].dx);
    add_transposed(m.mixed, grad, y[l].dd);
    const Grid<F> weighted = shaped(m.scaled, z.time, y[l].out);
    scale_rows(F(1), m.a, grad, weighted);
    add_transposed(y[l].p, weighted, y[l].dw);
    if (z.summed) {
      scale_rows(F(1), m.b, grad, weighted);
      add_transposed(y[l].p, weighted, y[l].ds);
    }
    if (l > 0) {
      grad = shaped(m.dread, z.time, y[l - 1].out);
      clear(grad);
      times_slope(dp, y[l - 1].o, grad);
    } else {
      for (int64_t i = 0; i < z.time; i++)
        axpy(F(1), dp[i], x.dtokens.query + i * z.width[0], z.width[0]);
    }
  }
}

// What token i reads of its own weights; g receives the gradients by them in addition.
template <class F> static void through_own_read(const FitSizes &z, const FitBackward<F> &x, FitRoom<F> &m, int64_t i) {
  FitLayer<F> *y = m.layer;
  F *grad = m.dread[0], *dp = m.dp[0];
  through_output(z, x, m, i, grad);
  for (int64_t l = z.layers - 1; l >= 0; l--) {
    const Grid<F> own = token(y[l].own, y[l].in, i);
    const F *p = y[l].p[i];
    for (int64_t r = 0; r < y[l].in; r++) {
      dp[r] = dot(own[r], grad, y[l].out);
      axpy(p[r], grad, y[l].g[r], y[l].out);
    }
    if (l == 0) {
      axpy(F(1), dp, x.dtokens.query + i * z.width[0], z.width[0]);
      continue;
    }
    const F *at = y[l - 1].o[i];
#pragma omp simd
    for (int64_t j = 0; j < y[l].in; j++)
      grad[j] = dp[j] * Gelu<F>(at[j]).slope();
  }
}

// Reads and writes of tokens with own weights, from the last token to the first. Of a simplex g is the gradient by the
// weights after a token and then by their logits, of orthogonal changes the gradient by the weights, which goes on.
// Returns the gradient by h_n, which of orthogonal changes is in db.
template <class F> static F through_own_weights(const FitSizes &z, const FitBackward<F> &x, FitRoom<F> &m) {
  for (int64_t l = 0; l < z.layers; l++)
    clear(m.layer[l].g);
  for (int64_t i = z.time - 1; i >= 0; i--) {
    const bool last = i == z.time - 1;
    for (int64_t l = 0; l < z.layers; l++) {
      if (z.simplex)
        clear(m.layer[l].g);
      else if (last)
        get_layer(x.dnext, l, m.layer[l].g);
    }
    if (x.dread)
      through_own_read(z, x, m, i);
    for (int64_t l = 0; l < z.layers; l++) {
      FitLayer<F> &y = m.layer[l];
      if (z.simplex) {
        simplex_gradient(token(y.own, y.in, i), y.g);
        if (last && get_layer(x.dnext, l, y.df))
          axpy(F(1), y.df.at, y.g.at, y.g.size());
        clear(y.df);
        axpy(m.a[i], y.g.at, y.dw.at, y.dw.size());
        m.da[i] += inner_product(y.g, y.w);
        if (z.summed) {
          axpy(m.b[i], y.g.at, y.ds.at, y.ds.size());
          m.db[i] += inner_product(y.g, y.s);
        }
        through_writes(z, m, y, y.g, y.gt, m.changes[i], m.dchanges[i]);
        continue;
      }
      const Grid<F> change = token(y.change, y.in, i), moment = token(y.moment, y.in, i), dmoment = y.gs;
      m.deta[i] += inner_product(y.g, change);
      m.da[i] += inner_product(y.g, i ? token(y.own, y.in, i - 1) : y.w); // by the share that is kept
      to_wide(moment, m.matrix[0]);
      to_wide(y.g, m.matrix[1]);
      orthogonal_backward(z.change(l), m.matrix[0], m.matrix[1], m.matrix[2], m.iterations);
      clear(dmoment);
      if (last && z.sums)
        get_layer(x.dnext_sums, l, dmoment);
      for (int64_t r = 0; r < y.in; r++)
        for (int64_t j = 0; j < y.out; j++)
          dmoment[r][j] += m.eta[i] * m.matrix[2][y.in <= y.out ? r * y.out + j : j * y.in + r];
      if (z.summed) {
        axpy(m.h[i], dmoment.at, y.ds.at, y.ds.size());
        m.db[i] += inner_product(dmoment, y.s); // by h
      }
      through_writes(z, m, y, dmoment, y.gst, m.changes[i], m.dchanges[i]);
      set_scaled(m.keep[i], y.g, y.g);
      if (i == 0)
        std::copy_n(y.g.at, y.g.size(), y.dw.at);
    }
  }
  return z.simplex ? through_last_sums(z, x, m) : F(0);
}

// through_coefficients for orthogonal changes: db has the gradient by h, da by the share that is kept, and deta is
// done.
template <class F> static void through_gathering(const FitSizes &z, const FitTokens<F> &dt, FitRoom<F> &m) {
  const int64_t n = z.time;
  std::fill_n(m.chain_row, n, F(0));
  F dh = 0;
  for (int64_t i = n - 1; i >= 0; i--) {
    dh += m.db[i];
    F momentum = dh * (i ? m.h[i - 1] : F(1));
    for (int64_t j = 0; j <= i; j++) {
      const int64_t last = z.keys - n + j, first = std::max<int64_t>(0, last - z.window + 1);
      for (int64_t k = first; k <= last; k++)
        m.chain_row[j] += m.dchanges[i][k];
      if (j < i)
        momentum += m.chain_row[j] * m.chain[i - 1][j];
    }
    const F by = dt.momentum ? (i ? m.chain[i][i - 1] : m.h[0]) : F(0);
    if (dt.rate)
      dt.rate[i] = m.deta[i];
    if (dt.decay)
      dt.decay[i] = m.da[i] * m.keep[i];
    if (dt.momentum)
      dt.momentum[i] = momentum;
    dh *= by;
    for (int64_t j = 0; j < i; j++)
      m.chain_row[j] *= by;
  }
}

// Back through the gradients of the loss: dd and dx have what came from reads and writes.
template <class F> static void through_gradients(const FitSizes &z, const FitBackward<F> &x, FitRoom<F> &m) {
  FitLayer<F> *y = m.layer;
  const int64_t last = z.layers - 1, out = z.out();
  const FitTokens<const F> &t = x.tokens;
  const FitTokens<F> &dt = x.dtokens;
  for (int64_t l = 1; l <= last; l++) {
    const Grid<F> back = shaped(m.scaled, z.keys, y[l].width);
    clear(back);
    for (int64_t i = 0; i < z.keys; i++) {
      const F *dd = y[l - 1].dd[i], *at = y[l - 1].z[i], *from = y[l].t[i];
      F *dz = y[l - 1].dz[i], *to = back[i];
#pragma omp simd
      for (int64_t j = 0; j < y[l].width; j++) {
        const Gelu<F> g(at[j]);
        dz[j] = dd[j] * from[j] * g.curvature();
        to[j] = dd[j] * g.slope();
      }
    }
    add_product(y[l].width, back, y[l].f, y[l].dd);
    add_transposed(back, y[l].d, shaped(y[l].df, y[l].width, y[l].out));
  }
  for (int64_t i = 0; i < z.keys; i++) {
    const F *dd = y[last].dd[i], *hat = m.hat[i], *slope = m.slopes[i];
    F *dz = y[last].dz[i], *dkey = dt.key + i * z.width[0], *dvalue = dt.value + i * out;
    F *dy = m.more[0], *dhat = m.more[1];
    std::fill_n(dkey, z.width[0], F(0));
    F dscale = 0;
    const F *into = dd; // the gradient by the loss's gradient
    if (z.residual) {
      const F scale = m.scale[i], *d = m.dy[i];
      F *r = m.more[2];
#pragma omp simd
      for (int64_t j = 0; j < out; j++)
        r[j] = d[j] * t.gain[j];
      const F along = through_norm(dd, hat, out, scale, dy), across = dot(r, hat, out) / F(out);
      dscale = dot(dd, y[last].d[i], out) / scale;
#pragma omp simd
      for (int64_t j = 0; j < out; j++) {
        dhat[j] = -scale * (dd[j] * across + r[j] * along);
        dt.gain[j] += dy[j] * d[j];
        dy[j] *= t.gain[j];
      }
      into = dy;
    }
    if (z.loss == FitDot) {
      for (int64_t j = 0; j < out; j++)
        dvalue[j] = -F(z.scale) * into[j];
      if (z.residual)
        std::fill_n(dy, out, F(0));
    } else {
#pragma omp simd
      for (int64_t j = 0; j < out; j++) {
        const F e = into[j] * slope[j];
        dvalue[j] = -e;
        dy[j] = e;
      }
    }
    if (!z.residual) {
      if (z.loss == FitDot)
        std::fill_n(dz, out, F(0));
      else
        std::copy_n(dy, out, dz);
      continue;
    }
#pragma omp simd
    for (int64_t j = 0; j < out; j++) {
      dkey[j] = dy[j];
      dhat[j] += dy[j] * t.gain[j];
      dt.gain[j] += dy[j] * hat[j];
      dt.bias[j] += dy[j];
    }
    // hat is c·s for the centred c and s = (mean(c²) + eps)^(-1/2).
    const F scale = m.scale[i], along = dot(dhat, hat, out) + dscale * scale;
#pragma omp simd
    for (int64_t j = 0; j < out; j++)
      dz[j] = scale * (dhat[j] - along * hat[j] / F(out));
    centre(dz, out);
  }
  for (int64_t l = last; l >= 0; l--) {
    add_transposed(y[l].x, y[l].dz, y[l].df);
    add_product(y[l].out, y[l].dz, y[l].ft, y[l].dx);
    for (int64_t i = 0; i < z.keys; i++) {
      const F *from = y[l].dx[i];
      if (l == 0) {
        axpy(F(1), from, dt.key + i * z.width[0], z.width[0]);
        continue;
      }
      const F *at = y[l - 1].z[i];
      F *to = y[l - 1].dz[i];
#pragma omp simd
      for (int64_t j = 0; j < y[l].width; j++)
        to[j] += from[j] * Gelu<F>(at[j]).slope();
    }
  }
}

// Back through the coefficients, of which the gradients are in da, db, dchanges, dsum and dh.
template <class F> static void through_coefficients(const FitSizes &z, const FitTokens<F> &dt, FitRoom<F> &m, F dh) {
  const int64_t n = z.time;
  clear(m.mixed); // the gradient of G, [n, n]
  const Grid<F> dg = shaped(m.mixed, n, z.keys);
  std::fill_n(m.deta, n, F(0));
  std::fill_n(m.row, n, F(0));
  std::fill_n(m.chain_row, n, F(0));
  for (int64_t j = 0; j < n; j++) {
    const int64_t last = z.keys - n + j, first = std::max<int64_t>(0, last - z.window + 1);
    for (int64_t i = j; i < n; i++) {
      F sum = 0;
      for (int64_t k = first; k <= last; k++)
        sum += m.dchanges[i][k];
      m.deta[j] += sum * m.raw[i][j];
      dg[i][j] = sum * m.eta[j];
    }
    if (!z.sums)
      continue;
    F sum = 0;
    for (int64_t k = first; k <= last; k++)
      sum += m.dsum[k];
    m.deta[j] += sum * m.chain[n - 1][j];
    m.chain_row[j] = sum * m.eta[j];
  }
  if (dt.rate)
    std::copy_n(m.deta, n, dt.rate);
  if (z.positions) {
    for (int64_t i = 0; i < n; i++) {
      dt.positions[i] = m.db[i];
      for (int64_t j = 0; j <= i; j++)
        dt.positions[i] += dg[i][j];
    }
    return;
  }
  F da = 0, db = 0;
  for (int64_t i = n - 1; i >= 0; i--) {
    da += m.da[i], db += m.db[i], dh += db;
    F decay = da * (i ? m.a[i - 1] : F(1)) + db * (i ? m.b[i - 1] : F(0)), momentum = dh * (i ? m.h[i - 1] : F(1));
    for (int64_t j = 0; j <= i; j++) {
      m.row[j] += dg[i][j];
      m.chain_row[j] += m.row[j];
      if (j < i) {
        decay += m.row[j] * m.raw[i - 1][j];
        momentum += m.chain_row[j] * m.chain[i - 1][j];
      }
    }
    const F by = dt.momentum ? (i ? m.chain[i][i - 1] : m.h[0]) : F(0);
    if (dt.decay)
      dt.decay[i] = decay * m.keep[i];
    if (dt.momentum)
      dt.momentum[i] = momentum;
    da *= m.keep[i], db *= m.keep[i], dh *= by;
    for (int64_t j = 0; j < i; j++)
      m.row[j] *= m.keep[i], m.chain_row[j] *= by;
  }
}

// What the weights and sums after the mini-batch pass on. Returns the gradient by h_n.
template <class F> static F through_last_weights(const FitSizes &z, const FitBackward<F> &x, FitRoom<F> &m) {
  const int64_t last = z.time - 1;
  for (int64_t l = 0; l < z.layers; l++) {
    FitLayer<F> &y = m.layer[l];
    if (!get_layer(x.dnext, l, y.g))
      continue;
    set_scaled(m.a[last], y.g, y.dw);
    m.da[last] += inner_product(y.g, y.w);
    if (z.summed) {
      set_scaled(m.b[last], y.g, y.ds);
      m.db[last] += inner_product(y.g, y.s);
    }
    through_writes(z, m, y, y.g, y.gt, m.changes[last], m.dchanges[last]);
  }
  return through_last_sums(z, x, m);
}

template <class F> static void backward(const FitSizes &z, const FitBackward<F> &x) {
  FitRoom<F> m(z, true, x.scratch);
  const FitTokens<const F> &t = x.tokens;
  const FitTokens<F> &dt = x.dtokens;
  const int64_t n = z.time;
  get_weights(z, x, m);
  coefficients(z, t, m);
  gradients(z, t, m);
  for (F *to : {m.da, m.db})
    std::fill_n(to, n, F(0));
  std::fill_n(m.dsum, z.keys, F(0));
  clear(m.dchanges);
  if (z.residual)
    for (F *to : {dt.gain, dt.bias})
      std::fill_n(to, z.out(), F(0));
  if (z.reads)
    std::fill_n(dt.query, n * z.width[0], F(0));
  for (int64_t l = 0; l < z.layers; l++) {
    const FitLayer<F> &y = m.layer[l];
    for (const Grid<F> &to : {y.dw, y.ds, y.df, y.dx, y.dd})
      clear(to);
  }
  F dh = 0;
  if (z.own()) {
    std::fill_n(m.deta, n, F(0));
    own_weights(z, m);
    if (x.dread)
      own_reads(z, t, m);
    dh = through_own_weights(z, x, m);
  } else {
    dh = through_last_weights(z, x, m);
    if (x.dread) {
      reads(z, t, m);
      for (int64_t l = 0; l < z.layers; l++) {
        if (z.started)
          transpose(m.layer[l].w, m.layer[l].wt);
        if (z.summed)
          transpose(m.layer[l].s, m.layer[l].st);
      }
      through_reads(z, x, m);
    }
  }
  through_gradients(z, x, m);
  if (z.orthogonal)
    through_gathering(z, dt, m);
  else
    through_coefficients(z, dt, m, dh);
  for (int64_t l = 0; l < z.layers; l++) {
    if (z.simplex) {
      simplex_gradient(m.layer[l].f, m.layer[l].df);
      if (!z.started)
        axpy(F(1), m.layer[l].df.at, m.layer[l].dw.at, m.layer[l].dw.size());
    }
    put_layer(m.layer[l].dw, x.dweights, l);
    if (z.started)
      put_layer(m.layer[l].df, x.dstarts, l);
    if (z.summed)
      put_layer(m.layer[l].ds, x.dsums, l);
  }
}
#endif
