// The inner loops of twice.cpp, which includes this file once for each kind of processor. A map is [rows, channels], a row a
// pixel of an image.

// What batch norm and its derivatives need of a channel.
template <class S> struct Channels {
  const S *mean, *inv, *gain, *bias;
};

// Mean and variance, not corrected, of each channel.
template <class S> static void moments(const S *__restrict x, int64_t rows, int64_t ch, double *__restrict mean, double *__restrict variance) {
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < ch; c++)
      mean[c] += x[r * ch + c];
  for (int64_t c = 0; c < ch; c++)
    mean[c] /= double(rows);
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < ch; c++) {
      const double d = x[r * ch + c] - mean[c];
      variance[c] += d * d;
    }
  for (int64_t c = 0; c < ch; c++)
    variance[c] /= double(rows);
}

template <class S> static void forward(const S *__restrict x, int64_t rows, int64_t ch, const Channels<S> &k, S *__restrict y) {
  const S *__restrict mean = k.mean, *__restrict inv = k.inv, *__restrict gain = k.gain, *__restrict bias = k.bias;
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < ch; c++) {
      const S v = (x[r * ch + c] - mean[c]) * inv[c] * gain[c] + bias[c];
      y[r * ch + c] = v > 0 ? v : v != v ? v : S(0);
    }
}

// What passes ReLU of the gradient g, called G; the sums of G and of G·x̂ over the rows.
template <class S> static void sums(const S *__restrict x, const S *__restrict g, int64_t rows, int64_t ch, const Channels<S> &k, double *__restrict sum, double *__restrict product) {
  const S *__restrict mean = k.mean, *__restrict inv = k.inv, *__restrict gain = k.gain, *__restrict bias = k.bias;
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < ch; c++) {
      const S n = (x[r * ch + c] - mean[c]) * inv[c], passed = n * gain[c] + bias[c] > 0 ? g[r * ch + c] : S(0);
      sum[c] += passed;
      product[c] += passed * n;
    }
}

// dx = gain/σ·(G - mean(G) - x̂·mean(G·x̂)); the means are given.
template <class S> static void backward(const S *__restrict x, const S *__restrict g, int64_t rows, int64_t ch, const Channels<S> &k, const S *__restrict mean_g, const S *__restrict mean_gx, S *__restrict dx) {
  const S *__restrict mean = k.mean, *__restrict inv = k.inv, *__restrict gain = k.gain, *__restrict bias = k.bias;
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < ch; c++) {
      const S n = (x[r * ch + c] - mean[c]) * inv[c], passed = n * gain[c] + bias[c] > 0 ? g[r * ch + c] : S(0);
      dx[r * ch + c] = gain[c] * inv[c] * (passed - mean_g[c] - n * mean_gx[c]);
    }
}

// The sums over the rows of a, a·x̂ and a·G, a being the gradient that comes in for dx.
template <class S> static void second_sums(const S *__restrict a, const S *__restrict x, const S *__restrict g, int64_t rows, int64_t ch, const Channels<S> &k, double *__restrict sum, double *__restrict with_x, double *__restrict with_g) {
  const S *__restrict mean = k.mean, *__restrict inv = k.inv, *__restrict gain = k.gain, *__restrict bias = k.bias;
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < ch; c++) {
      const S n = (x[r * ch + c] - mean[c]) * inv[c], passed = n * gain[c] + bias[c] > 0 ? g[r * ch + c] : S(0), v = a[r * ch + c];
      sum[c] += v;
      with_x[c] += v * n;
      with_g[c] += v * passed;
    }
}

// What a (of dx; NULL for none), b (of the gain's gradient) and d (of the bias's) come to for g and x. The means are those
// that the functions above sum: p = mean(a·x̂), q = mean(G·x̂); spread is mean(a·G) - mean(a)·mean(G) - p·q.
template <class S> struct Second {
  const S *mean_a, *p, *mean_g, *q, *spread, *b, *d;
};

template <class S> static void second(const S *__restrict a, const S *__restrict x, const S *__restrict g, int64_t rows, int64_t ch, const Channels<S> &k, const Second<S> &s, S *__restrict dg, S *__restrict dx) {
  const S *__restrict mean = k.mean, *__restrict inv = k.inv, *__restrict gain = k.gain, *__restrict bias = k.bias;
  const S *__restrict mean_a = s.mean_a, *__restrict p = s.p, *__restrict mean_g = s.mean_g, *__restrict q = s.q, *__restrict spread = s.spread, *__restrict b = s.b, *__restrict d = s.d;
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < ch; c++) {
      const int64_t at = r * ch + c;
      const S n = (x[at] - mean[c]) * inv[c];
      const bool on = n * gain[c] + bias[c] > 0;
      const S rest_g = (on ? g[at] : S(0)) - mean_g[c] - n * q[c], rest_a = (a ? a[at] : S(0)) - mean_a[c] - n * p[c];
      dg[at] = on ? gain[c] * inv[c] * rest_a + b[c] * n + d[c] : S(0);
      dx[at] = b[c] * inv[c] * rest_g - gain[c] * inv[c] * inv[c] * (n * spread[c] + q[c] * rest_a + p[c] * rest_g);
    }
}
