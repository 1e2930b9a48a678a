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
template <class S>
static void moments(const S *__restrict y, int64_t rows, int64_t ch, double eps, S *__restrict mean,
                    S *__restrict inv) {
  column_sums<S>(
      rows, ch, [=](int64_t at, int64_t, S &first, S &) { first += y[at]; },
      [=](int64_t c, double first, double) { mean[c] = S(first / double(rows)); });
  column_sums<S>(
      rows, ch, [=](int64_t at, int64_t c, S &first, S &) { first += (y[at] - mean[c]) * (y[at] - mean[c]); },
      [=](int64_t c, double first, double) { inv[c] = S(1 / std::sqrt(first / double(rows) + eps)); });
}

// y becomes x̂, normalised without gain and bias; z = ReLU(x̂·gain + bias).
template <class S>
static void normalise(S *__restrict y, int64_t rows, int64_t ch, const S *__restrict mean, const S *__restrict inv,
                      const S *__restrict gain, const S *__restrict bias, S *__restrict z) {
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < ch; c++) {
      const S n = (y[r * ch + c] - mean[c]) * inv[c], v = n * gain[c] + bias[c];
      y[r * ch + c] = n;
      z[r * ch + c] = v > 0 ? v : v != v ? v : S(0);
    }
}

// Sums over the rows of G and of G·x̂, where G is the gradient g masked by ReLU.
template <class S>
static void sums(const S *__restrict x, const S *__restrict g, int64_t rows, int64_t ch, const S *__restrict gain,
                 const S *__restrict bias, S *__restrict sum, S *__restrict product) {
  column_sums<S>(
      rows, ch,
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

// dy = gain/σ·(G - mean(G) - x̂·mean(G·x̂)).
template <class S>
static void backward(const S *__restrict x, const S *__restrict g, int64_t rows, int64_t ch, const S *__restrict gain,
                     const S *__restrict bias, const S *__restrict inv, const S *__restrict sum,
                     const S *__restrict product, S *__restrict dy) {
  const S share = S(1) / S(rows);
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < ch; c++) {
      const S n = x[r * ch + c], v = g[r * ch + c], passed = n * gain[c] + bias[c] > 0 ? v : S(0);
      dy[r * ch + c] = gain[c] * inv[c] * (passed - sum[c] * share - n * product[c] * share);
    }
}

// ---- directional derivatives along a change of the parameters; ẏ is that of y, and so on ----

// Means over the rows of ẏ and of x̂·ẏ.
template <class S>
static void change_means(const S *__restrict x, const S *__restrict dot, int64_t rows, int64_t ch, S *__restrict mean,
                         S *__restrict product) {
  column_sums<S>(
      rows, ch,
      [=](int64_t at, int64_t, S &first, S &second) {
        first += dot[at];
        second += dot[at] * x[at];
      },
      [=](int64_t c, double first, double second) {
        mean[c] = S(first / double(rows));
        product[c] = S(second / double(rows));
      });
}

// ẏ becomes the change of x̂, 1/σ·(ẏ - mean(ẏ) - x̂·mean(x̂·ẏ)); zdot is that of z.
template <class S>
static void change_normalise(const S *__restrict x, S *__restrict dot, int64_t rows, int64_t ch,
                             const S *__restrict mean, const S *__restrict product, const S *__restrict inv,
                             const S *__restrict gain, const S *__restrict bias, const S *__restrict gain_dot,
                             const S *__restrict bias_dot, S *__restrict zdot) {
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < ch; c++) {
      const S n = x[r * ch + c], d = inv[c] * (dot[r * ch + c] - mean[c] - n * product[c]),
              moved = d * gain[c] + n * gain_dot[c] + bias_dot[c];
      dot[r * ch + c] = d;
      zdot[r * ch + c] = n * gain[c] + bias[c] > 0 ? moved : S(0);
    }
}

// Sums over the rows of Ġ and of the change of G·x̂; dot is the change of x̂.
template <class S>
static void change_sums(const S *__restrict x, const S *__restrict dot, const S *__restrict g, const S *__restrict gdot,
                        int64_t rows, int64_t ch, const S *__restrict gain, const S *__restrict bias, S *__restrict sum,
                        S *__restrict product) {
  column_sums<S>(
      rows, ch,
      [=](int64_t at, int64_t c, S &first, S &second) {
        const S v = gdot[at], both = v * x[at] + g[at] * dot[at];
        const bool on = x[at] * gain[c] + bias[c] > 0;
        first += on ? v : S(0);
        second += on ? both : S(0);
      },
      [=](int64_t c, double first, double second) {
        sum[c] = S(first);
        product[c] = S(second);
      });
}

// The change of backward's dy. factor is gain/σ and factor_dot its change; the sums are those of sums and of
// change_sums.
template <class S>
static void change_backward(const S *__restrict x, const S *__restrict dot, const S *__restrict g,
                            const S *__restrict gdot, int64_t rows, int64_t ch, const S *__restrict gain,
                            const S *__restrict bias, const S *__restrict factor, const S *__restrict factor_dot,
                            const S *__restrict sum, const S *__restrict product, const S *__restrict sum_dot,
                            const S *__restrict product_dot, S *__restrict dy) {
  const S share = S(1) / S(rows);
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < ch; c++) {
      const int64_t at = r * ch + c;
      const S n = x[at], v = g[at], w = gdot[at], q = product[c] * share;
      const bool on = n * gain[c] + bias[c] > 0;
      const S left = (on ? v : S(0)) - sum[c] * share - n * q;
      const S left_dot = (on ? w : S(0)) - sum_dot[c] * share - dot[at] * q - n * product_dot[c] * share;
      dy[at] = factor_dot[c] * left + factor[c] * left_dot;
    }
}
