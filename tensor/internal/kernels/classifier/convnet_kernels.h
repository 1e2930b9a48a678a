// The inner loops of convnet.cpp, which includes this file once for each kind of processor. A map is [rows, channels],
// one row per pixel. Sums are accumulated for a tile of channels at a time: in S over a few rows, and those sums in
// double.

constexpr int64_t tile = 64, run = 16;

// Two sums per channel over the rows: add(index, channel, first, second) adds an element's values to its channel's
// sums, and done(channel, first, second) receives the results.
template <class S, class Add, class Done>
static inline __attribute__((always_inline)) void column_sums(int64_t rows, int64_t ch, const Add &add,
                                                              const Done &done) {
  for (int64_t c = 0; c < ch; c += tile) {
    const int64_t n = c + tile < ch ? tile : ch - c;
    double first[tile] = {}, second[tile] = {};
    for (int64_t from = 0; from < rows; from += run) {
      S part_first[tile] = {}, part_second[tile] = {};
      const int64_t end = from + run < rows ? from + run : rows;
      for (int64_t r = from; r < end; r++)
        for (int64_t k = 0; k < n; k++)
          add(r * ch + c + k, c + k, part_first[k], part_second[k]);
      for (int64_t k = 0; k < n; k++) {
        first[k] += part_first[k];
        second[k] += part_second[k];
      }
    }
    for (int64_t k = 0; k < n; k++)
      done(c + k, first[k], second[k]);
  }
}

// Mean and 1/σ of each channel.
template <class S> static void moments(Size size, const S *__restrict y, double eps, Statistics<S> to) {
  const int64_t rows = size.rows, ch = size.channels;
  S *__restrict mean = to.mean, *__restrict inv = to.inv;
  column_sums<S>(
      rows, ch, [=](int64_t at, int64_t, S &first, S &) { first += y[at]; },
      [=](int64_t c, double first, double) { mean[c] = S(first / double(rows)); });
  column_sums<S>(
      rows, ch, [=](int64_t at, int64_t c, S &first, S &) { first += (y[at] - mean[c]) * (y[at] - mean[c]); },
      [=](int64_t c, double first, double) { inv[c] = S(1 / std::sqrt(first / double(rows) + eps)); });
}

// y becomes x̂ = (y - mean)/σ, and z = ReLU(γ·x̂ + β).
template <class S> static void normalise(Size size, S *__restrict y, Statistics<S> of, Affine<S> by, S *__restrict z) {
  const int64_t rows = size.rows, ch = size.channels;
  const S *__restrict mean = of.mean, *__restrict inv = of.inv, *__restrict gain = by.gain, *__restrict bias = by.bias;
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < ch; c++) {
      const S n = (y[r * ch + c] - mean[c]) * inv[c], v = n * gain[c] + bias[c];
      y[r * ch + c] = n;
      z[r * ch + c] = v > 0 ? v : v != v ? v : S(0);
    }
}

// Sums over the rows of G and of G·x̂, where G is the gradient g masked by ReLU. They are the gradients of β and γ.
template <class S> static void sums(Size size, const S *__restrict x, const S *__restrict g, Affine<S> by, Sums<S> to) {
  const S *__restrict gain = by.gain, *__restrict bias = by.bias;
  S *__restrict sum = to.plain, *__restrict product = to.product;
  column_sums<S>(
      size.rows, size.channels,
      [=](int64_t at, int64_t c, S &first, S &second) {
        const S v = g[at], passed = x[at] * gain[c] + bias[c] > 0 ? v : S(0);
        first += passed;
        second += passed * x[at];
      },
      [=](int64_t c, double first, double second) {
        sum[c] = S(first);
        product[c] = S(second);
      });
}

// dy = γ/σ·(G - mean(G) - x̂·mean(G·x̂)); `of` holds the sums of G and of G·x̂.
template <class S>
static void backward(Size size, const S *__restrict x, const S *__restrict g, Affine<S> by, const S *__restrict inv,
                     Sums<S> of, S *__restrict dy) {
  const int64_t rows = size.rows, ch = size.channels;
  const S *__restrict gain = by.gain, *__restrict bias = by.bias, *__restrict sum = of.plain,
                      *__restrict product = of.product;
  const S share = S(1) / S(rows);
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < ch; c++) {
      const S n = x[r * ch + c], v = g[r * ch + c], passed = n * gain[c] + bias[c] > 0 ? v : S(0);
      dy[r * ch + c] = gain[c] * inv[c] * (passed - sum[c] * share - n * product[c] * share);
    }
}

// ---- directional derivatives along a change of the parameters (Pearlmutter 1994); ẏ is that of y, and so on ----

// Means over the rows of ẏ and of x̂·ẏ.
template <class S> static void change_means(Size size, const S *__restrict x, const S *__restrict dot, Sums<S> to) {
  const double rows = double(size.rows);
  S *__restrict mean = to.plain, *__restrict product = to.product;
  column_sums<S>(
      size.rows, size.channels,
      [=](int64_t at, int64_t, S &first, S &second) {
        first += dot[at];
        second += dot[at] * x[at];
      },
      [=](int64_t c, double first, double second) {
        mean[c] = S(first / rows);
        product[c] = S(second / rows);
      });
}

// ẏ, in dot, becomes the change of x̂, 1/σ·(ẏ - mean(ẏ) - x̂·mean(x̂·ẏ)); zdot is the change of z.
template <class S>
static void change_normalise(Size size, const S *__restrict x, S *__restrict dot, Sums<S> means,
                             const S *__restrict inv, Affine<S> by, Affine<S> by_dot, S *__restrict zdot) {
  const int64_t rows = size.rows, ch = size.channels;
  const S *__restrict mean = means.plain, *__restrict product = means.product, *__restrict gain = by.gain,
                      *__restrict bias = by.bias, *__restrict gain_dot = by_dot.gain,
                      *__restrict bias_dot = by_dot.bias;
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < ch; c++) {
      const S n = x[r * ch + c], d = inv[c] * (dot[r * ch + c] - mean[c] - n * product[c]),
              moved = d * gain[c] + n * gain_dot[c] + bias_dot[c];
      dot[r * ch + c] = d;
      zdot[r * ch + c] = n * gain[c] + bias[c] > 0 ? moved : S(0);
    }
}

// Sums over the rows of Ġ and of the change of G·x̂; x.dot is the change of x̂.
template <class S> static void change_sums(Size size, Moving<S> x, Moving<S> g, Affine<S> by, Sums<S> to) {
  const S *__restrict xv = x.value, *__restrict xd = x.dot, *__restrict gv = g.value, *__restrict gd = g.dot,
                      *__restrict gain = by.gain, *__restrict bias = by.bias;
  S *__restrict sum = to.plain, *__restrict product = to.product;
  column_sums<S>(
      size.rows, size.channels,
      [=](int64_t at, int64_t c, S &first, S &second) {
        // The factors are masked, not the sum: GCC turns the sum's mask into a branch and then does not vectorise.
        const bool on = xv[at] * gain[c] + bias[c] > 0;
        const S moved = on ? gd[at] : S(0), passed = on ? gv[at] : S(0);
        first += moved;
        second += moved * xv[at] + passed * xd[at];
      },
      [=](int64_t c, double first, double second) {
        sum[c] = S(first);
        product[c] = S(second);
      });
}

// The change of backward's dy. factor is γ/σ; `of` holds the sums of sums, and of_dot those of change_sums.
template <class S>
static void change_backward(Size size, Moving<S> x, Moving<S> g, Affine<S> by, Moving<S> factor, Sums<S> of,
                            Sums<S> of_dot, S *__restrict dy) {
  const int64_t rows = size.rows, ch = size.channels;
  const S *__restrict xv = x.value, *__restrict xd = x.dot, *__restrict gv = g.value, *__restrict gd = g.dot,
                      *__restrict gain = by.gain, *__restrict bias = by.bias, *__restrict fv = factor.value,
                      *__restrict fd = factor.dot, *__restrict sum = of.plain, *__restrict product = of.product,
                      *__restrict sum_dot = of_dot.plain, *__restrict product_dot = of_dot.product;
  const S share = S(1) / S(rows);
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < ch; c++) {
      const int64_t at = r * ch + c;
      const S n = xv[at], v = gv[at], w = gd[at], q = product[c] * share;
      const bool on = n * gain[c] + bias[c] > 0;
      const S left = (on ? v : S(0)) - sum[c] * share - n * q;
      const S left_dot = (on ? w : S(0)) - sum_dot[c] * share - xd[at] * q - n * product_dot[c] * share;
      dy[at] = fd[c] * left + fv[c] * left_dot;
    }
}

// ---- max pooling ----

// Calls f(offset among the pooled, first offset of its window) for the windows, which do not overlap.
template <class F>
static inline __attribute__((always_inline)) void each_window(const Block &b, int64_t n, const F &f) {
  for (int64_t image = 0; image < n; image++)
    for (int64_t i = 0; i < b.out_height(); i++)
      for (int64_t j = 0; j < b.out_width(); j++)
        f(((image * b.out_height() + i) * b.out_width() + j) * b.out,
          ((image * b.conv_height() + i * b.window) * b.conv_width() + j * b.window) * b.out);
}

// The position of a window's maximum is stored as its pixel's offset from the window's first. The first of equal values
// is chosen, and a NaN before all numbers.
template <class S> static void pool(const Block &b, int64_t n, const S *z, S *out, int32_t *which) {
  each_window(b, n, [=, ch = b.out](int64_t to, int64_t from) {
    S *__restrict best = out + to;
    int32_t *__restrict at = which + to;
    for (int64_t c = 0; c < ch; c++) {
      best[c] = z[from + c];
      at[c] = 0;
    }
    for (int64_t u = 0; u < b.window; u++)
      for (int64_t v = u == 0; v < b.window; v++) {
        const int32_t pixel = int32_t(u * b.conv_width() + v);
        const S *__restrict values = z + from + pixel * ch;
        for (int64_t c = 0; c < ch; c++) {
          const S value = values[c], so_far = best[c];
          const bool better = value > so_far || value != value;
          best[c] = better ? value : so_far;
          at[c] = better ? pixel : at[c];
        }
      }
  });
}

// Takes from another map the values at the positions that pool chose.
template <class S>
static void pool_again(const Block &b, int64_t n, const S *z, const int32_t *which, S *__restrict out) {
  each_window(b, n, [=, ch = b.out](int64_t to, int64_t from) {
    for (int64_t c = 0; c < ch; c++)
      out[to + c] = z[from + which[to + c] * ch + c];
  });
}

// The gradient of pool: g at the positions that pool chose, and 0 elsewhere.
template <class S> static void unpool(const Block &b, int64_t n, const S *g, const int32_t *which, S *dz) {
  if (b.conv_height() % b.window != 0 || b.conv_width() % b.window != 0) // there are pixels outside all windows
    std::memset(dz, 0, b.rows(n) * b.out * sizeof(S));
  each_window(b, n, [=, ch = b.out](int64_t to, int64_t from) {
    const S *__restrict given = g + to;
    const int32_t *__restrict at = which + to;
    for (int64_t u = 0; u < b.window; u++)
      for (int64_t v = 0; v < b.window; v++) {
        const int32_t pixel = int32_t(u * b.conv_width() + v);
        S *__restrict into = dz + from + pixel * ch;
        for (int64_t c = 0; c < ch; c++)
          into[c] = at[c] == pixel ? given[c] : S(0);
      }
  });
}
