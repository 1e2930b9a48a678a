// The inner loops of convblock.cpp, which includes this file once for each kind of processor.

// Outputs are __restrict or written in `omp simd` loops. Otherwise the compiler makes two versions of a loop, which
// round differently, and chooses between them by addresses at run time.

constexpr int lanes = EG_BYTES / sizeof(float);

// A vector of channels. Remaining channels run through the same code with float instead of vec.
typedef float vec __attribute__((vector_size(EG_BYTES)));
typedef int32_t ivec __attribute__((vector_size(EG_BYTES)));
typedef uint32_t uvec __attribute__((vector_size(EG_BYTES)));
typedef uint16_t hvec __attribute__((vector_size(EG_BYTES / 2)));

template <class V> struct Lanes;
template <> struct Lanes<float> {
  static constexpr int width = 1;
  using Int = int32_t;
  using Bits = uint32_t;
  using Half = uint16_t;
  static EG_INLINE Bits widen(const Half &h) { return h; }
  static EG_INLINE Half narrow(const Bits &v) { return Half(v); }
  static EG_INLINE Int codes(const uint8_t *p) { return *p; }
  static EG_INLINE void codes(uint8_t *p, const Int &v) { *p = uint8_t(v); }
};
template <> struct Lanes<vec> {
  static constexpr int width = lanes;
  using Int = ivec;
  using Bits = uvec;
  using Half = hvec;
  static EG_INLINE Bits widen(const Half &h) { return __builtin_convertvector(h, uvec); }
  static EG_INLINE Half narrow(const Bits &v) { return __builtin_convertvector(v, hvec); }
  static EG_INLINE Int codes(const uint8_t *p) {
    int32_t lane[width];
    for (int k = 0; k < width; k++)
      lane[k] = p[k];
    Int v;
    memcpy(&v, lane, sizeof v);
    return v;
  }
  static EG_INLINE void codes(uint8_t *p, const Int &v) {
    int32_t lane[width];
    memcpy(lane, &v, sizeof v);
    for (int k = 0; k < width; k++)
      p[k] = uint8_t(lane[k]);
  }
};

template <class V> EG_INLINE V load(const float *p) {
  V v;
  memcpy(&v, p, sizeof v);
  return v;
}
template <class V> EG_INLINE void store(float *p, const V &v) { memcpy(p, &v, sizeof v); }

// A bfloat is the upper half of a float. Rounding is to nearest, ties to even, and keeps NaN.
template <class V> EG_INLINE V load(const bfloat *p) {
  typename Lanes<V>::Half h;
  memcpy(&h, p, sizeof h);
  const typename Lanes<V>::Bits u = Lanes<V>::widen(h) << 16;
  V v;
  memcpy(&v, &u, sizeof v);
  return v;
}
template <class V> EG_INLINE void store(bfloat *p, const V &v) {
  using Bits = typename Lanes<V>::Bits;
  Bits u;
  memcpy(&u, &v, sizeof u);
  const Bits rounded = (u + (Bits{} + 0x7fff) + ((u >> 16) & 1)) >> 16;
  u = v != v ? Bits{} + 0x7fc0 : rounded;
  const typename Lanes<V>::Half h = Lanes<V>::narrow(u);
  memcpy(p, &h, sizeof h);
}

// Block·width channels at c: their means and sums of squared deviations over one image. Deviations are taken from the
// first pixel and then from the mean, so that a channel far from zero loses no digits and a constant one has none.
template <class V, int Block, class E>
EG_INLINE void moments(const E *x, int64_t pixels, int64_t channels, int64_t c, float *mean, float *square) {
  constexpr int n = Lanes<V>::width;
  V first[Block], sum[Block], sq[Block];
  for (int k = 0; k < Block; k++)
    first[k] = load<V>(x + c + k * n), sum[k] = sq[k] = V{};
  for (int64_t p = 0; p < pixels; p++)
    for (int k = 0; k < Block; k++)
      sum[k] += load<V>(x + p * channels + c + k * n) - first[k];
  for (int k = 0; k < Block; k++)
    first[k] += sum[k] / (V{} + float(pixels));
  for (int64_t p = 0; p < pixels; p++)
    for (int k = 0; k < Block; k++) {
      V d = load<V>(x + p * channels + c + k * n) - first[k];
      sq[k] += d * d;
    }
  for (int k = 0; k < Block; k++)
    store(mean + c + k * n, first[k]), store(square + c + k * n, sq[k]);
}

template <class E> static void image_moments(const E *x, int64_t pixels, int64_t channels, float *mean, float *square) {
  int64_t c = 0;
  for (; c + 4 * lanes <= channels; c += 4 * lanes)
    moments<vec, 4>(x, pixels, channels, c, mean, square);
  for (; c + lanes <= channels; c += lanes)
    moments<vec, 1>(x, pixels, channels, c, mean, square);
  for (; c < channels; c++)
    moments<float, 1>(x, pixels, channels, c, mean, square);
}

// Replaces best by v where v is larger or NaN. Each selection has a single comparison: the compiler splits a combined
// one into lanes.
template <class V> EG_INLINE void larger(const V &v, int k, V &best, typename Lanes<V>::Int &which) {
  const auto number = typename Lanes<V>::Int{} + k;
  which = v > best ? number : which;
  which = v != v ? number : which;
  best = v > best ? v : best;
  best = v != v ? v : best;
}

// An operand and its norm at a channel.
template <class V, class E> struct Normed {
  const E *at;
  V mean, a, b;
  EG_INLINE Normed(const E *at, const Affine &by, int64_t c)
      : at(at + c), mean(load<V>(by.mean + c)), a(load<V>(by.a + c)), b(load<V>(by.b + c)) {}
  EG_INLINE V centred(int64_t k) const { return load<V>(at + k) - mean; }
  EG_INLINE V value(int64_t k) const { return centred(k) * a + b; }
};

// What is activated at a place of an image: x after its norm, plus the shortcut after its own if there is one.
template <class V, bool Short, class E> struct Sum {
  Normed<V, E> x, shortcut; // without a shortcut, the latter is x again and not used
  EG_INLINE Sum(const Joined<E> &j, int64_t place, int64_t c)
      : x(j.x + place, j.by, c), shortcut(Short ? Normed<V, E>(j.shortcut + place, j.shortcut_by, c) : x) {}
  EG_INLINE V value(int64_t k) const { return Short ? x.value(k) + shortcut.value(k) : x.value(k); }
};

// The maximum of a window, and its position: the first of equal values, and NaN before all others, as in PyTorch.
template <class V, int Window, class S>
EG_INLINE V winner(const S &sum, int64_t row, int64_t channels, typename Lanes<V>::Int &which) {
  V best = sum.value(0);
  which = typename Lanes<V>::Int{};
  for (int k = 1; k < Window * Window; k++)
    larger<V>(sum.value((k / Window) * row + (k % Window) * channels), k, best, which);
  return best;
}

// v where `best` is positive or NaN, else slope·v; exactly 0 for slope 0.
template <class V> EG_INLINE V leaky(const V &best, const V &v, float slope) {
  const V low = slope == 0 ? V{} : slope * v;
  return best <= V{} ? low : v;
}

template <class V, int Window, bool Short, class E>
EG_INLINE void forward(const Image &im, const Joined<E> &j, int64_t from, int64_t to, E *__restrict y) {
  const int64_t ch = im.channels, row = im.width * ch;
  for (int64_t h = 0; h < im.height / Window; h++)
    for (int64_t w = 0; w < im.width / Window; w++, y += ch)
      for (int64_t c = from; c < to; c += Lanes<V>::width) {
        typename Lanes<V>::Int which;
        const V best = winner<V, Window>(Sum<V, Short, E>(j, h * Window * row + w * Window * ch, c), row, ch, which);
        store(y + c, leaky<V>(best, best, im.slope));
      }
}

template <int Window, bool Short, class E> EG_INLINE void all_forward(const Image &im, const Joined<E> &j, E *y) {
  const int64_t whole = im.channels & ~int64_t(lanes - 1);
  forward<vec, Window, Short>(im, j, 0, whole, y);
  forward<float, Window, Short>(im, j, whole, im.channels, y);
}

template <class E> static void image_forward(const Image &im, const Joined<E> &j, E *y) {
  if (im.window == 2)
    j.shortcut ? all_forward<2, true>(im, j, y) : all_forward<2, false>(im, j, y);
  else
    j.shortcut ? all_forward<1, true>(im, j, y) : all_forward<1, false>(im, j, y);
}

// Sums over one image of the gradient before pooling and ReLU, and of its products with the operands minus their means.
template <class V, int Window, bool Short, int Block, class E>
EG_INLINE void sums(const Image &im, const Joined<E> &j, const E *g, int64_t c, const Sums &to) {
  constexpr int n = Lanes<V>::width;
  const int64_t ch = im.channels, row = im.width * ch;
  V s[Block], p[Block], q[Block];
  for (int k = 0; k < Block; k++)
    s[k] = p[k] = q[k] = V{};
  for (int64_t h = 0; h < im.height / Window; h++)
    for (int64_t w = 0; w < im.width / Window; w++, g += ch)
      for (int k = 0; k < Block; k++) {
        const int64_t at = c + k * n;
        const Sum<V, Short, E> sum(j, h * Window * row + w * Window * ch, at);
        typename Lanes<V>::Int which;
        const V best = winner<V, Window>(sum, row, ch, which);
        const V gv = leaky<V>(best, load<V>(g + at), im.slope);
        V x = sum.x.centred(0), r = Short ? sum.shortcut.centred(0) : V{};
        for (int i = 1; i < Window * Window; i++) {
          const int64_t place = (i / Window) * row + (i % Window) * ch;
          x = which == i ? sum.x.centred(place) : x;
          if (Short)
            r = which == i ? sum.shortcut.centred(place) : r;
        }
        s[k] += gv;
        p[k] += gv * x;
        if (Short)
          q[k] += gv * r;
      }
  for (int k = 0; k < Block; k++) {
    store(to.plain + c + k * n, s[k]), store(to.product + c + k * n, p[k]);
    if (Short)
      store(to.shortcut + c + k * n, q[k]);
  }
}

template <int Window, bool Short, class E>
EG_INLINE void all_sums(const Image &im, const Joined<E> &j, const E *g, const Sums &to) {
  constexpr int block = Short ? 2 : 4;
  int64_t c = 0;
  for (; c + block * lanes <= im.channels; c += block * lanes)
    sums<vec, Window, Short, block>(im, j, g, c, to);
  for (; c + lanes <= im.channels; c += lanes)
    sums<vec, Window, Short, 1>(im, j, g, c, to);
  for (; c < im.channels; c++)
    sums<float, Window, Short, 1>(im, j, g, c, to);
}

template <class E> static void image_sums(const Image &im, const Joined<E> &j, const E *g, const Sums &to) {
  if (im.window == 2)
    j.shortcut ? all_sums<2, true>(im, j, g, to) : all_sums<2, false>(im, j, g, to);
  else
    j.shortcut ? all_sums<1, true>(im, j, g, to) : all_sums<1, false>(im, j, g, to);
}

// The gradient of an operand: a·g at the positions of the maxima, plus base + slope·(x - mean) everywhere, the part
// from the batch statistics.
template <class V, int Window, bool Short, class E>
EG_INLINE void backward(const Image &im, const Joined<E> &j, const E *g, int64_t from, int64_t to,
                        const Gradient<E> &dx, const Gradient<E> &dr) {
  const int64_t ch = im.channels, row = im.width * ch, rows = im.height / Window, cols = im.width / Window;
  const auto put = [](const Gradient<E> &d, const Normed<V, E> &of, int64_t start, int64_t k, int64_t c, const V &g)
      __attribute__((always_inline)) {
    store(d.at + start + k + c, load<V>(d.line.base + c) + load<V>(d.line.slope + c) * of.centred(k) + of.a * g);
  };
  const auto rest = [&](int64_t start) __attribute__((always_inline)) {
#pragma GCC ivdep
    for (int64_t c = from; c < to; c += Lanes<V>::width) {
      const Sum<V, Short, E> sum(j, start, c);
      put(dx, sum.x, start, 0, c, V{});
      if (Short)
        put(dr, sum.shortcut, start, 0, c, V{});
    }
  };
  for (int64_t h = 0; h < rows; h++) {
    for (int64_t w = 0; w < cols; w++, g += ch) {
      const int64_t start = h * Window * row + w * Window * ch;
#pragma GCC ivdep
      for (int64_t c = from; c < to; c += Lanes<V>::width) {
        typename Lanes<V>::Int which;
        const Sum<V, Short, E> sum(j, start, c);
        const V best = winner<V, Window>(sum, row, ch, which);
        const V gv = leaky<V>(best, load<V>(g + c), im.slope);
        for (int q = 0; q < Window * Window; q++) {
          const int64_t place = (q / Window) * row + (q % Window) * ch;
          const V own = which == q ? gv : V{};
          put(dx, sum.x, start, place, c, own);
          if (Short)
            put(dr, sum.shortcut, start, place, c, own);
        }
      }
    }
    for (int64_t w = cols * Window; w < im.width; w++) // columns that no window covers
      for (int64_t k = 0; k < Window; k++)
        rest((h * Window + k) * row + w * ch);
  }
  for (int64_t h = rows * Window; h < im.height; h++)
    for (int64_t w = 0; w < im.width; w++)
      rest(h * row + w * ch);
}

template <int Window, bool Short, class E>
EG_INLINE void all_backward(const Image &im, const Joined<E> &j, const E *g, const Gradient<E> &dx,
                            const Gradient<E> &dr) {
  const int64_t whole = im.channels & ~int64_t(lanes - 1);
  backward<vec, Window, Short>(im, j, g, 0, whole, dx, dr);
  backward<float, Window, Short>(im, j, g, whole, im.channels, dx, dr);
}

template <class E>
static void image_backward(const Image &im, const Joined<E> &j, const E *g, const Gradient<E> &dx,
                           const Gradient<E> &dr) {
  if (im.window == 2)
    j.shortcut ? all_backward<2, true>(im, j, g, dx, dr) : all_backward<2, false>(im, j, g, dx, dr);
  else
    j.shortcut ? all_backward<1, true>(im, j, g, dx, dr) : all_backward<1, false>(im, j, g, dx, dr);
}

// Adds to sum [taps] and square [taps, taps] (the upper triangle) those of the image's patches, minus a shift that
// avoids cancellation. patches is scratch for [taps, pixels].
static void image_patches(const Image &im, const Padded &padded, float shift, float *__restrict patches, double *sum,
                          double *square) {
  const int64_t taps = 9 * padded.planes, pixels = im.height * im.width, pitch = im.width + 2,
                plane = pitch * (im.height + 2);
  for (int64_t t = 0; t < taps; t++)
    for (int64_t h = 0; h < im.height; h++) {
      const float *from = padded.at + (t / 9) * plane + (h + t % 9 / 3) * pitch + t % 3;
      float *to = patches + t * pixels + h * im.width;
      for (int64_t w = 0; w < im.width; w++)
        to[w] = from[w] - shift;
    }
  for (int64_t t = 0; t < taps; t++) {
    const float *p = patches + t * pixels;
    float s = 0;
#pragma omp simd reduction(+ : s)
    for (int64_t k = 0; k < pixels; k++)
      s += p[k];
    sum[t] += s;
    for (int64_t u = t; u < taps; u++) {
      const float *q = patches + u * pixels;
      float d = 0;
#pragma omp simd reduction(+ : d)
      for (int64_t k = 0; k < pixels; k++)
        d += p[k] * q[k];
      square[t * taps + u] += d;
    }
  }
}

// weights [taps, channels] include batch norm's scale, and b the rest of its affine map.
template <class V, int Window, bool One, class E>
EG_INLINE void conv_forward(const Image &im, const Padded &padded, const float *weights, const float *b, int64_t c,
                            E *y, uint8_t *code) {
  using Int = typename Lanes<V>::Int;
  const int64_t ch = im.channels, pitch = im.width + 2, plane = pitch * (im.height + 2);
  const V bv = load<V>(b + c);
  V held[9];
  for (int t = 0; t < 9; t++)
    held[t] = load<V>(weights + t * ch + c);
  for (int64_t i = 0; i < im.height / Window; i++)
    for (int64_t j = 0; j < im.width / Window; j++, y += ch, code += ch) {
      V acc[Window * Window];
      for (int q = 0; q < Window * Window; q++)
        acc[q] = bv;
      for (int64_t k = 0; k < (One ? 1 : padded.planes); k++) {
        const float *at = padded.at + k * plane + i * Window * pitch + j * Window;
#pragma GCC unroll 9
        for (int t = 0; t < 9; t++) {
          const V w = One ? held[t] : load<V>(weights + (k * 9 + t) * ch + c);
#pragma GCC unroll 4
          for (int q = 0; q < Window * Window; q++)
            acc[q] += w * at[(q / Window + t / 3) * pitch + q % Window + t % 3];
        }
      }
      V best = acc[0];
      Int which = Int{};
#pragma GCC unroll 4
      for (int q = 1; q < Window * Window; q++)
        larger<V>(acc[q], q, best, which);
      store(y + c, best <= V{} ? V{} : best);
      Lanes<V>::codes(code + c, best <= V{} ? Int{} + dead : which);
    }
}

template <int Window, bool One, class E>
EG_INLINE void all_conv_forward(const Image &im, const Padded &padded, const float *weights, const float *b, E *y,
                                uint8_t *code) {
  int64_t c = 0;
  for (; c + lanes <= im.channels; c += lanes)
    conv_forward<vec, Window, One>(im, padded, weights, b, c, y, code);
  for (; c < im.channels; c++)
    conv_forward<float, Window, One>(im, padded, weights, b, c, y, code);
}

template <class E>
static void image_conv_forward(const Image &im, const Padded &padded, const float *weights, const float *b, E *y,
                               uint8_t *code) {
  if (im.window == 2 && padded.planes == 1)
    all_conv_forward<2, true>(im, padded, weights, b, y, code);
  else if (im.window == 2)
    all_conv_forward<2, false>(im, padded, weights, b, y, code);
  else if (padded.planes == 1)
    all_conv_forward<1, true>(im, padded, weights, b, y, code);
  else
    all_conv_forward<1, false>(im, padded, weights, b, y, code);
}

// Adds to plain [channels] the gradients before pooling and ReLU, and to product [taps, channels] their products with
// the patches at the same positions.
template <class V, int Window, class E>
EG_INLINE void conv_sums(const Image &im, const Padded &padded, const E *g, const uint8_t *code, int64_t c,
                         const Sums &to) {
  float *plain = to.plain, *product = to.product;
  const int64_t ch = im.channels, pitch = im.width + 2, plane = pitch * (im.height + 2);
  for (int64_t k = 0; k < padded.planes; k++) {
    V acc[9], s = V{};
    for (int t = 0; t < 9; t++)
      acc[t] = V{};
    for (int64_t i = 0; i < im.height / Window; i++)
      for (int64_t j = 0; j < im.width / Window; j++) {
        const int64_t out = (i * (im.width / Window) + j) * ch + c;
        const float *at = padded.at + k * plane + i * Window * pitch + j * Window;
        const V gv = load<V>(g + out);
        const auto which = Lanes<V>::codes(code + out);
        s += which == dead ? V{} : gv;
#pragma GCC unroll 4
        for (int q = 0; q < Window * Window; q++) {
          const V gq = which == q ? gv : V{};
#pragma GCC unroll 9
          for (int t = 0; t < 9; t++)
            acc[t] += gq * at[(q / Window + t / 3) * pitch + q % Window + t % 3];
        }
      }
    for (int t = 0; t < 9; t++)
      store(product + (k * 9 + t) * ch + c, load<V>(product + (k * 9 + t) * ch + c) + acc[t]);
    if (k == 0)
      store(plain + c, load<V>(plain + c) + s);
  }
}

template <class E>
static void image_conv_sums(const Image &im, const Padded &padded, const E *g, const uint8_t *code, const Sums &to) {
  int64_t c = 0;
  if (im.window == 2) {
    for (; c + lanes <= im.channels; c += lanes)
      conv_sums<vec, 2>(im, padded, g, code, c, to);
    for (; c < im.channels; c++)
      conv_sums<float, 2>(im, padded, g, code, c, to);
  } else {
    for (; c + lanes <= im.channels; c += lanes)
      conv_sums<vec, 1>(im, padded, g, code, c, to);
    for (; c < im.channels; c++)
      conv_sums<float, 1>(im, padded, g, code, c, to);
  }
}
