// The inner loops of convnet.cpp, which includes this file once for each kind of processor. A map is [rows, channels], a row a
// pixel of an image. Sums are kept for a tile of channels at a time, in S over a few rows and in double over those.

constexpr int64_t tile = 64, run = 16;

// Mean and 1/σ of each channel.
template <class S> static void moments(const S *__restrict y, int64_t rows, int64_t ch, double eps, S *__restrict mean, S *__restrict inv) {
  double total[tile];
  for (int64_t c = 0; c < ch; c += tile) {
    const int64_t n = c + tile < ch ? tile : ch - c;
    for (int pass = 0; pass < 2; pass++) {
      for (int64_t k = 0; k < n; k++)
        total[k] = 0;
      for (int64_t r0 = 0; r0 < rows; r0 += run) {
        S part[tile] = {};
        const int64_t end = r0 + run < rows ? r0 + run : rows;
        for (int64_t r = r0; r < end; r++) {
          const S *__restrict at = y + r * ch + c;
          if (pass == 0)
            for (int64_t k = 0; k < n; k++)
              part[k] += at[k];
          else
            for (int64_t k = 0; k < n; k++)
              part[k] += (at[k] - mean[c + k]) * (at[k] - mean[c + k]);
        }
        for (int64_t k = 0; k < n; k++)
          total[k] += part[k];
      }
      for (int64_t k = 0; k < n; k++)
        if (pass == 0)
          mean[c + k] = S(total[k] / double(rows));
        else
          inv[c + k] = S(1 / std::sqrt(total[k] / double(rows) + eps));
    }
  }
}

// y becomes x̂, what is left of it after batch norm without gain and bias; z is what ReLU passes of x̂·gain + bias.
template <class S> static void normalise(S *__restrict y, int64_t rows, int64_t ch, const S *__restrict mean, const S *__restrict inv, const S *__restrict gain, const S *__restrict bias, S *__restrict z) {
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < ch; c++) {
      const S n = (y[r * ch + c] - mean[c]) * inv[c], v = n * gain[c] + bias[c];
      y[r * ch + c] = n;
      z[r * ch + c] = v > 0 ? v : v != v ? v : S(0);
    }
}

// Sums over the rows of G and of G·x̂, G being what passes ReLU of the gradient g.
template <class S> static void sums(const S *__restrict x, const S *__restrict g, int64_t rows, int64_t ch, const S *__restrict gain, const S *__restrict bias, S *__restrict sum, S *__restrict product) {
  for (int64_t c = 0; c < ch; c += tile) {
    const int64_t n = c + tile < ch ? tile : ch - c;
    double total[tile] = {}, total_product[tile] = {};
    for (int64_t r0 = 0; r0 < rows; r0 += run) {
      S part[tile] = {}, part_product[tile] = {};
      const int64_t end = r0 + run < rows ? r0 + run : rows;
      for (int64_t r = r0; r < end; r++) {
        const S *__restrict xs = x + r * ch + c, *__restrict gs = g + r * ch + c;
        for (int64_t k = 0; k < n; k++) {
          const S v = gs[k], passed = xs[k] * gain[c + k] + bias[c + k] > 0 ? v : S(0);
          part[k] += passed;
          part_product[k] += passed * xs[k];
        }
      }
      for (int64_t k = 0; k < n; k++) {
        total[k] += part[k];
        total_product[k] += part_product[k];
      }
    }
    for (int64_t k = 0; k < n; k++) {
      sum[c + k] = S(total[k]);
      product[c + k] = S(total_product[k]);
    }
  }
}

// dy = gain/σ·(G - mean(G) - x̂·mean(G·x̂)).
template <class S> static void backward(const S *__restrict x, const S *__restrict g, int64_t rows, int64_t ch, const S *__restrict gain, const S *__restrict bias, const S *__restrict inv, const S *__restrict sum, const S *__restrict product, S *__restrict dy) {
  const S share = S(1) / S(rows);
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < ch; c++) {
      const S n = x[r * ch + c], v = g[r * ch + c], passed = n * gain[c] + bias[c] > 0 ? v : S(0);
      dy[r * ch + c] = gain[c] * inv[c] * (passed - sum[c] * share - n * product[c] * share);
    }
}

// ---- the same in the direction of a change of the parameters; ẏ is the change of y, and so on ----

// Means over the rows of ẏ and of x̂·ẏ.
template <class S> static void change_means(const S *__restrict x, const S *__restrict dot, int64_t rows, int64_t ch, S *__restrict mean, S *__restrict product) {
  for (int64_t c = 0; c < ch; c += tile) {
    const int64_t n = c + tile < ch ? tile : ch - c;
    double total[tile] = {}, total_product[tile] = {};
    for (int64_t r0 = 0; r0 < rows; r0 += run) {
      S part[tile] = {}, part_product[tile] = {};
      const int64_t end = r0 + run < rows ? r0 + run : rows;
      for (int64_t r = r0; r < end; r++) {
        const S *__restrict xs = x + r * ch + c, *__restrict ds = dot + r * ch + c;
        for (int64_t k = 0; k < n; k++) {
          part[k] += ds[k];
          part_product[k] += ds[k] * xs[k];
        }
      }
      for (int64_t k = 0; k < n; k++) {
        total[k] += part[k];
        total_product[k] += part_product[k];
      }
    }
    for (int64_t k = 0; k < n; k++) {
      mean[c + k] = S(total[k] / double(rows));
      product[c + k] = S(total_product[k] / double(rows));
    }
  }
}

// ẏ becomes the change of x̂, 1/σ·(ẏ - mean(ẏ) - x̂·mean(x̂·ẏ)); zdot is that of z.
template <class S>
static void change_normalise(const S *__restrict x, S *__restrict dot, int64_t rows, int64_t ch, const S *__restrict mean, const S *__restrict product, const S *__restrict inv, const S *__restrict gain, const S *__restrict bias,
                             const S *__restrict gain_dot, const S *__restrict bias_dot, S *__restrict zdot) {
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < ch; c++) {
      const S n = x[r * ch + c], d = inv[c] * (dot[r * ch + c] - mean[c] - n * product[c]), moved = d * gain[c] + n * gain_dot[c] + bias_dot[c];
      dot[r * ch + c] = d;
      zdot[r * ch + c] = n * gain[c] + bias[c] > 0 ? moved : S(0);
    }
}

// Sums over the rows of Ġ and of the change of G·x̂; dot is the change of x̂.
template <class S>
static void change_sums(const S *__restrict x, const S *__restrict dot, const S *__restrict g, const S *__restrict gdot, int64_t rows, int64_t ch, const S *__restrict gain, const S *__restrict bias, S *__restrict sum, S *__restrict product) {
  for (int64_t c = 0; c < ch; c += tile) {
    const int64_t n = c + tile < ch ? tile : ch - c;
    double total[tile] = {}, total_product[tile] = {};
    for (int64_t r0 = 0; r0 < rows; r0 += run) {
      S part[tile] = {}, part_product[tile] = {};
      const int64_t end = r0 + run < rows ? r0 + run : rows;
      for (int64_t r = r0; r < end; r++) {
        const int64_t at = r * ch + c;
        const S *__restrict xs = x + at, *__restrict ds = dot + at, *__restrict gs = g + at, *__restrict gds = gdot + at;
        for (int64_t k = 0; k < n; k++) {
          const S v = gds[k], both = v * xs[k] + gs[k] * ds[k];
          const bool on = xs[k] * gain[c + k] + bias[c + k] > 0;
          part[k] += on ? v : S(0);
          part_product[k] += on ? both : S(0);
        }
      }
      for (int64_t k = 0; k < n; k++) {
        total[k] += part[k];
        total_product[k] += part_product[k];
      }
    }
    for (int64_t k = 0; k < n; k++) {
      sum[c + k] = S(total[k]);
      product[c + k] = S(total_product[k]);
    }
  }
}

// The change of backward's dy. factor is gain/σ and factor_dot its change; the sums are those of sums and of change_sums.
template <class S>
static void change_backward(const S *__restrict x, const S *__restrict dot, const S *__restrict g, const S *__restrict gdot, int64_t rows, int64_t ch, const S *__restrict gain, const S *__restrict bias, const S *__restrict factor,
                            const S *__restrict factor_dot, const S *__restrict sum, const S *__restrict product, const S *__restrict sum_dot, const S *__restrict product_dot, S *__restrict dy) {
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
