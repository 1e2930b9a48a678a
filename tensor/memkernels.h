// The inner loops of memories, of the LSTM and of lookups. memkernels.cpp includes this file once for each kind of processor. All work on one sequence of a
// batch, in float or double. A memory lies width-major, [width][slots], so that every loop over slots, the longest there
// is, runs over neighbours.

// e to the power of x, to about two units in the last place, in a form that the compiler puts into vectors.
EG_INLINE float power(float x) {
  x = x < -87.f ? -87.f : x > 88.f ? 88.f : x;
  const float n = (x * 1.44269504f + 12582912.f) - 12582912.f; // rounded
  const float r = (x - n * .693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.f;
  return p * __builtin_bit_cast(float, (int32_t(n) + 127) << 23);
}
EG_INLINE double power(double x) { return std::exp(x); }

// The natural logarithm of a positive normal number, likewise.
EG_INLINE float logarithm(float x) {
  const int32_t bits = __builtin_bit_cast(int32_t, x) - 0x3f3504f3; // from √½, so that the fraction lies around one
  const int32_t e = bits >> 23;
  const float f = __builtin_bit_cast(float, (bits & 0x7fffff) + 0x3f3504f3) - 1.f, z = f * f;
  float p = 7.0376836292e-2f;
  p = p * f - 1.1514610310e-1f;
  p = p * f + 1.1676998740e-1f;
  p = p * f - 1.2420140846e-1f;
  p = p * f + 1.4249322787e-1f;
  p = p * f - 1.6668057665e-1f;
  p = p * f + 2.0000714765e-1f;
  p = p * f - 2.4999993993e-1f;
  p = p * f + 3.3333331174e-1f;
  p = p * f * z - .5f * z;
  return float(e) * .693359375f + (f + (p - float(e) * 2.12194440e-4f));
}
EG_INLINE double logarithm(double x) { return std::log(x); }

// One by the root of a positive normal number, likewise: a guess from its bits and Newton's steps.
EG_INLINE float inverse_root(float x) {
  float y = __builtin_bit_cast(float, 0x5f3759df - (__builtin_bit_cast(int32_t, x) >> 1));
  for (int i = 0; i < 3; i++)
    y *= 1.5f - .5f * x * y * y;
  return y;
}
EG_INLINE double inverse_root(double x) { return 1 / std::sqrt(x); }

template <class F> EG_INLINE F logistic(F x) { return F(1) / (F(1) + power(-x)); }
template <class F> EG_INLINE F hyperbolic(F x) { return F(1) - F(2) / (F(1) + power(F(2) * x)); }
template <class F> EG_INLINE F softplus(F x) { return std::max(x, F(0)) + std::log1p(std::exp(-std::abs(x))); }
template <class F> EG_INLINE F bound(F x, F by) { return x < -by ? -by : x > by ? by : x; }

// ---- vectors, and sums of them ----

template <class F> constexpr int lanes = EG_BYTES / sizeof(F);

// All of a vector, or where it is said to be a part its first n values and for the others fill.
template <bool Part, class V, class F> EG_INLINE void load(const F *from, int64_t n, V &v, F fill = 0) {
  if (!Part) {
    memcpy(&v, from, sizeof(V));
    return;
  }
  F all[lanes<F>];
#pragma omp simd
  for (int l = 0; l < lanes<F>; l++)
    all[l] = l < n ? from[l] : fill;
  memcpy(&v, all, sizeof(V));
}

template <bool Part, class V, class F> EG_INLINE void store(const V &v, int64_t n, F *to) {
  if (!Part) {
    memcpy(to, &v, sizeof(V));
    return;
  }
  F all[lanes<F>];
  memcpy(all, &v, sizeof(V));
#pragma omp simd
  for (int l = 0; l < lanes<F>; l++)
    if (l < n)
      to[l] = all[l];
}

// A vector's values in pairs, of which each takes the place of the other, so many places away.
template <int Away, class V, size_t... L> EG_INLINE V swapped(V v, std::index_sequence<L...>) {
#ifdef __clang__
  return __builtin_shufflevector(v, v, int(L ^ Away)...);
#else
  return __builtin_shuffle(v, decltype(v < v){int(L ^ Away)...});
#endif
}

// The sum, or the largest, of a vector's values: by halves, as one after the other they would wait for each other.
template <class F, int Away = lanes<F> / 2, class V> EG_INLINE F total(V v) {
  if constexpr (Away == 0)
    return v[0];
  else
    return total<F, Away / 2>(v + swapped<Away>(v, std::make_index_sequence<lanes<F>>()));
}
template <class F, int Away = lanes<F> / 2, class V> EG_INLINE F largest(V v) {
  if constexpr (Away == 0) {
    return v[0];
  } else {
    const V other = swapped<Away>(v, std::make_index_sequence<lanes<F>>());
    return largest<F, Away / 2>(v > other ? v : other);
  }
}

// Σ a·b
template <class F> EG_INLINE F dot(const F *a, const F *b, int64_t n) {
  typedef F V __attribute__((vector_size(EG_BYTES)));
  V sum{}, x, y;
  int64_t i = 0;
  for (; i + lanes<F> <= n; i += lanes<F>) {
    load<false>(a + i, 0, x);
    load<false>(b + i, 0, y);
    sum += x * y;
  }
  if (i < n) {
    load<true>(a + i, n - i, x);
    load<true>(b + i, n - i, y);
    sum += x * y;
  }
  return total<F>(sum);
}

template <class F> EG_INLINE void copy_or_zero(const F *from, int64_t n, F *to) {
  if (from)
    std::copy_n(from, n, to);
  else
    std::fill_n(to, n, F(0));
}

// y += a·x
template <class F> EG_INLINE void axpy(F a, const F *x, F *y, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++)
    y[i] += a * x[i];
}

// x becomes its own softmax.
template <class F> EG_INLINE void softmax(F *x, int64_t n) {
  typedef F V __attribute__((vector_size(EG_BYTES)));
  V most = V{} + x[0], sum{}, v;
  int64_t i = 0;
  for (; i + lanes<F> <= n; i += lanes<F>) {
    load<false>(x + i, 0, v);
    most = v > most ? v : most;
  }
  if (i < n) {
    load<true>(x + i, n - i, v, x[0]);
    most = v > most ? v : most;
  }
  const F top = largest<F>(most);
#pragma omp simd
  for (int64_t i = 0; i < n; i++)
    x[i] = power(x[i] - top);
  for (i = 0; i + lanes<F> <= n; i += lanes<F>) {
    load<false>(x + i, 0, v);
    sum += v;
  }
  if (i < n) {
    load<true>(x + i, n - i, v);
    sum += v;
  }
  const F scale = F(1) / total<F>(sum);
#pragma omp simd
  for (int64_t i = 0; i < n; i++)
    x[i] *= scale;
}

// From the gradient g of a softmax w: that of what it was taken of, in place.
template <class F> EG_INLINE void softmax_back(const F *w, F *g, int64_t n) {
  const F mean = dot(w, g, n);
#pragma omp simd
  for (int64_t i = 0; i < n; i++)
    g[i] = w[i] * (g[i] - mean);
}

// What the sums of a product take of the registers that there are: 32 of AVX-512, else 16.
constexpr int panel_vectors = EG_BYTES == 64 ? 4 : 2, panel_rows = EG_BYTES == 64 ? 4 : 6;

// ---- products of heads with a memory ----
//
// All heads at once: what is loaded of the memory serves every head, and the sums stay in registers, which GCC grants only
// loops that it is told to unroll.

// What mix multiplies by: at[t·term + r·row] for term t and row r.
template <class F> struct Map {
  const F *at;
  int64_t term, row;
};

// What mix adds to: base, or nothing where it is null, less m·along where that is not.
template <class F> struct Start {
  const F *base, *m, *along;
};

// So many rows of mix from row top on, of them so many vectors from slot c on.
template <class F, int Rows, int Vectors, bool Part> EG_INLINE void mix_block(Map<F> map, int64_t top, int64_t terms, const F *in, Start<F> start, F *out, int64_t n, int64_t c) {
  typedef F V __attribute__((vector_size(EG_BYTES)));
  const int64_t first = top * n + c, left = n - c;
  const F *at = map.at + top * map.row;
  V sum[Rows][Vectors];
#pragma GCC unroll 4
  for (int r = 0; r < Rows; r++)
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; v++) {
      sum[r][v] = V{};
      if (start.base)
        load<Part>(start.base + first + r * n + v * lanes<F>, left, sum[r][v]);
    }
  if (start.along) {
    V along[Vectors];
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; v++)
      load<Part>(start.along + c + v * lanes<F>, left, along[v]);
#pragma GCC unroll 4
    for (int r = 0; r < Rows; r++)
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; v++) {
        V m;
        load<Part>(start.m + first + r * n + v * lanes<F>, left, m);
        sum[r][v] -= m * along[v];
      }
  }
  for (int64_t t = 0; t < terms; t++) {
    V x[Vectors];
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; v++)
      load<Part>(in + t * n + c + v * lanes<F>, left, x[v]);
#pragma GCC unroll 4
    for (int r = 0; r < Rows; r++)
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; v++)
        sum[r][v] += at[t * map.term + r * map.row] * x[v];
  }
#pragma GCC unroll 4
  for (int r = 0; r < Rows; r++)
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; v++)
      store<Part>(sum[r][v], left, out + first + r * n + v * lanes<F>);
}

template <class F, int Rows> EG_INLINE void mix_rows(Map<F> map, int64_t r, int64_t terms, const F *in, Start<F> start, F *out, int64_t n) {
  int64_t c = 0;
  for (; c + panel_vectors * lanes<F> <= n; c += panel_vectors * lanes<F>)
    mix_block<F, Rows, panel_vectors, false>(map, r, terms, in, start, out, n, c);
  for (; c + lanes<F> <= n; c += lanes<F>)
    mix_block<F, Rows, 1, false>(map, r, terms, in, start, out, n, c);
  if (c < n)
    mix_block<F, Rows, 1, true>(map, r, terms, in, start, out, n, c);
}

// out[r] = start[r] + Σ map(t, r)·in[t] for rows of n slots. start.base may be out.
template <class F> static void mix(Map<F> map, int64_t rows, int64_t terms, const F *in, Start<F> start, F *out, int64_t n) {
  int64_t r = 0;
  for (; r + 4 <= rows; r += 4)
    mix_rows<F, 4>(map, r, terms, in, start, out, n);
  if (r + 2 <= rows)
    mix_rows<F, 2>(map, r, terms, in, start, out, n), r += 2;
  if (r < rows)
    mix_rows<F, 1>(map, r, terms, in, start, out, n);
}

// Of the places in a vector the lower half, or the upper one (Half is 1), of each Group of places, from a and b in turn by so
// many places as Block.
template <int Group, int Block, int Half, class V, size_t... L> EG_INLINE V interleave(V a, V b, std::index_sequence<L...>) {
  constexpr int n = sizeof...(L);
#define EG_PLACE int(L / Group * Group + Half * Group / 2 + L % Group / (2 * Block) * Block + L % Block + L / Block % 2 * n)...
#ifdef __clang__
  return __builtin_shufflevector(a, b, EG_PLACE);
#else
  return __builtin_shuffle(a, b, decltype(a < b){EG_PLACE});
#endif
#undef EG_PLACE
}

// The sums of so many vectors' values, each as often as there are so many places in a vector. Values are brought together
// within 16 bytes first, which is what processors do fastest.
template <class F, int Count, class V> EG_INLINE V totals(const V *of) {
  if constexpr (Count == 1) {
    return *of;
  } else {
    constexpr int block = Count / 2, near = 16 / sizeof(F), group = block < near ? near : lanes<F>;
    constexpr auto places = std::make_index_sequence<lanes<F>>();
    const V a = totals<F, block>(of), b = totals<F, block>(of + block);
    return interleave<group, block, 0>(a, b, places) + interleave<group, block, 1>(a, b, places);
  }
}

template <bool Part, class F, int Rows, int Cols, class V> EG_INLINE void dots_step(const F *a, const F *b, int64_t n, int64_t left, V *sum) {
  V y[Cols];
#pragma GCC unroll 4
  for (int c = 0; c < Cols; c++)
    load<Part>(b + c * n, left, y[c]);
#pragma GCC unroll 4
  for (int r = 0; r < Rows; r++) {
    V x;
    load<Part>(a + r * n, left, x);
#pragma GCC unroll 4
    for (int c = 0; c < Cols; c++)
      sum[r * Cols + c] += x * y[c];
  }
}

template <class F, int Rows, int Cols> EG_INLINE void dots_block(const F *a, const F *b, int64_t n, F *out, int64_t step, bool add) {
  typedef F V __attribute__((vector_size(EG_BYTES)));
  constexpr int groups = (Rows * Cols + lanes<F> - 1) / lanes<F>;
  V sum[groups * lanes<F>];
#pragma GCC unroll 16
  for (int i = 0; i < groups * lanes<F>; i++)
    sum[i] = V{};
  int64_t i = 0;
  for (; i + lanes<F> <= n; i += lanes<F>)
    dots_step<false, F, Rows, Cols>(a + i, b + i, n, 0, sum);
  if (i < n)
    dots_step<true, F, Rows, Cols>(a + i, b + i, n, n - i, sum);
  F all[groups * lanes<F>];
#pragma GCC unroll 4
  for (int g = 0; g < groups; g++) {
    const V t = totals<F, lanes<F>>(sum + g * lanes<F>);
    memcpy(all + g * lanes<F>, &t, sizeof(V));
  }
  for (int r = 0; r < Rows; r++)
    for (int c = 0; c < Cols; c++)
      out[r * step + c] = all[r * Cols + c] + (add ? out[r * step + c] : F(0));
}

template <class F, int Rows> EG_INLINE void dots_rows(const F *a, const F *b, int64_t cols, int64_t n, F *out, bool add) {
  int64_t c = 0;
  for (; c + panel_vectors <= cols; c += panel_vectors)
    dots_block<F, Rows, panel_vectors>(a, b + c * n, n, out + c, cols, add);
  for (; c < cols; c++)
    dots_block<F, Rows, 1>(a, b + c * n, n, out + c, cols, add);
}

// out [rows, cols] = the products of each of a's rows of n slots with each of b's, and what is there where it says add.
template <class F> static void dots(const F *a, int64_t rows, const F *b, int64_t cols, int64_t n, F *out, bool add) {
  int64_t r = 0;
  for (; r + 4 <= rows; r += 4)
    dots_rows<F, 4>(a + r * n, b, cols, n, out + r * cols, add);
  if (r + 2 <= rows)
    dots_rows<F, 2>(a + r * n, b, cols, n, out + r * cols, add), r += 2;
  if (r < rows)
    dots_rows<F, 1>(a + r * n, b, cols, n, out + r * cols, add);
}

// What heads read, [heads, width], of a memory by weightings [heads, slots].
template <class F> EG_INLINE void read_by(const F *w, int64_t heads, const F *m, int64_t slots, int64_t width, F *read) { dots(w, heads, m, width, slots, read, false); }

// out [width, slots] = start + Σ vector·weighting over the heads, of vectors [heads, width] and weightings [heads, slots].
template <class F> EG_INLINE void write_by(const F *vectors, const F *w, int64_t heads, Start<F> start, int64_t slots, int64_t width, F *out) {
  mix(Map<F>{vectors, width, 1}, width, heads, w, start, out, slots);
}

// out [heads, slots] = base + the products of vectors [heads, width] with a memory's rows; base may be null.
template <class F> EG_INLINE void against(const F *vectors, int64_t heads, const F *m, const F *base, int64_t slots, int64_t width, F *out) {
  mix(Map<F>{vectors, 1, width}, heads, width, m, Start<F>{base, nullptr, nullptr}, out, slots);
}

template <class F, int Vectors, bool Part> EG_INLINE void squares(const F *m, int64_t slots, int64_t width, int64_t c, F *out) {
  typedef F V __attribute__((vector_size(EG_BYTES)));
  V sum[Vectors];
#pragma GCC unroll 4
  for (int v = 0; v < Vectors; v++)
    sum[v] = V{} + F(cosine_eps);
  for (int64_t r = 0; r < width; r++)
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; v++) {
      V x;
      load<Part>(m + r * slots + c + v * lanes<F>, slots - c, x);
      sum[v] += x * x;
    }
#pragma GCC unroll 4
  for (int v = 0; v < Vectors; v++)
    store<Part>(sum[v], slots - c, out + c + v * lanes<F>);
}

// The inverse lengths [slots] of a memory's rows; metric.Cosine has the same eps.
template <class F> EG_INLINE void inverse_lengths(const F *m, int64_t slots, int64_t width, F *out) {
  int64_t c = 0;
  for (; c + 4 * lanes<F> <= slots; c += 4 * lanes<F>)
    squares<F, 4, false>(m, slots, width, c, out);
  for (; c + lanes<F> <= slots; c += lanes<F>)
    squares<F, 1, false>(m, slots, width, c, out);
  if (c < slots)
    squares<F, 1, true>(m, slots, width, c, out);
#pragma omp simd
  for (int64_t i = 0; i < slots; i++)
    out[i] = inverse_root(out[i]);
}

template <class F> EG_INLINE F inverse_length(const F *key, int64_t width) { return inverse_root(dot(key, key, width) + F(cosine_eps)); }

// The cosines [heads, slots] of keys [heads, width] with the rows of a memory.
template <class F> EG_INLINE void cosines(const F *m, const F *lengths, const F *keys, int64_t heads, int64_t slots, int64_t width, F *out) {
  against(keys, heads, m, static_cast<const F *>(nullptr), slots, width, out);
  for (int64_t h = 0; h < heads; h++, out += slots) {
    const F own = inverse_length(keys + h * width, width);
#pragma omp simd
    for (int64_t i = 0; i < slots; i++)
      out[i] *= own * lengths[i];
  }
}

// Content addressing backward: from the gradients dw of the weightings w (which it uses up) to those of keys and strengths, which
// are one where they are null, and adds to dm that of the memory. cos are the cosines; along is room for a row of slots.
template <class F> EG_INLINE void content_back(const F *m, const F *lengths, const F *keys, const F *strengths, const F *cos, const F *w, F *dw, int64_t heads, int64_t slots, int64_t width, F *dkeys, F *dstrengths, F *dm, F *along) {
  std::fill_n(along, slots, F(0)); // the factors of the part that lies along the memory's own rows
  for (int64_t h = 0; h < heads; h++) {
    const F *c = cos + h * slots, strength = strengths ? strengths[h] : F(1), own = inverse_length(keys + h * width, width);
    F *g = dw + h * slots;
    softmax_back(w + h * slots, g, slots);
    dstrengths[h] = dot(g, c, slots);
#pragma omp simd
    for (int64_t i = 0; i < slots; i++) {
      const F d = strength * g[i] * lengths[i];
      along[i] += d * c[i] * lengths[i];
      g[i] = d * own;
    }
  }
  read_by(dw, heads, m, slots, width, dkeys);
  for (int64_t h = 0; h < heads; h++) {
    const F own = inverse_length(keys + h * width, width);
    axpy(-(strengths ? strengths[h] : F(1)) * dstrengths[h] * own * own, keys + h * width, dkeys + h * width, width);
  }
  write_by(keys, dw, heads, Start<F>{dm, m, along}, slots, width, dm);
}

// ---- products of a few rows with a matrix that stays ----

template <class F> constexpr int64_t panel_columns = panel_vectors * lanes<F>;

// Puts b [inner, cols] in panels of so many columns, each [inner, columns] in one piece; the last has the columns that are left.
template <class F> static void panels(const F *b, int64_t bstep, int64_t inner, int64_t cols, F *out) {
  for (int64_t j = 0; j < cols; j += panel_columns<F>) {
    const int64_t n = cols - j < panel_columns<F> ? cols - j : panel_columns<F>;
    for (int64_t k = 0; k < inner; k++, out += n)
      std::copy_n(b + k * bstep + j, n, out);
  }
}

// Rows rows of c: c = a·b + keep·c for a [rows, inner] and a whole panel b.
template <class F, int Rows> EG_INLINE void product_panel(const F *a, int64_t astep, const F *b, F *c, int64_t cstep, int64_t inner, bool keep) {
  typedef F V __attribute__((vector_size(EG_BYTES)));
  constexpr int wide = panel_vectors;
  V sum[Rows][wide];
  for (int r = 0; r < Rows; r++)
    for (int v = 0; v < wide; v++) {
      sum[r][v] = V{};
      if (keep)
        memcpy(&sum[r][v], c + r * cstep + v * lanes<F>, sizeof(V));
    }
  for (int64_t k = 0; k < inner; k++) {
    V row[wide];
    memcpy(row, b + k * wide * lanes<F>, sizeof row);
    for (int r = 0; r < Rows; r++)
      for (int v = 0; v < wide; v++)
        sum[r][v] += a[r * astep + k] * row[v];
  }
  for (int r = 0; r < Rows; r++)
    for (int v = 0; v < wide; v++)
      memcpy(c + r * cstep + v * lanes<F>, &sum[r][v], sizeof(V));
}

// c = a·b + keep·c for a [rows, inner], b [inner, cols] as panels has put it, and c [rows, cols], the first and the last
// row-major; each step is the distance between rows. BLAS copies b into an order of its own at every call, which for a few rows
// costs more than the product.
template <class F> static void product(const F *a, int64_t astep, const F *b, F *c, int64_t cstep, int64_t rows, int64_t inner, int64_t cols, bool keep) {
  constexpr int64_t panel = panel_columns<F>;
  int64_t j = 0;
  for (; j + panel <= cols; j += panel, b += panel * inner) {
    int64_t i = 0;
    for (; i + panel_rows <= rows; i += panel_rows)
      product_panel<F, panel_rows>(a + i * astep, astep, b, c + i * cstep + j, cstep, inner, keep);
    if (panel_rows > 4)
      for (; i + 4 <= rows; i += 4)
        product_panel<F, 4>(a + i * astep, astep, b, c + i * cstep + j, cstep, inner, keep);
    for (; i < rows; i++)
      product_panel<F, 1>(a + i * astep, astep, b, c + i * cstep + j, cstep, inner, keep);
  }
  if (j == cols)
    return;
  for (int64_t i = 0; i < rows; i++) {
    F *out = c + i * cstep + j;
    if (!keep)
      std::fill_n(out, cols - j, F(0));
    for (int64_t k = 0; k < inner; k++)
      axpy(a[i * astep + k], b + k * (cols - j), out, cols - j);
  }
}

// ---- NTM ----

// What heads emit lies in the order of NTM.Step: keys, strengths, sharpenings, gates, shifts, erase and add vectors.
template <class F> static void ntm_activate(const NTMSizes &z, const F *e, F *act) {
  const int64_t heads = z.heads(), keys = heads * z.width, shifts = z.shifts();
  const F by = z.clip < 0 ? std::numeric_limits<F>::max() : F(z.clip);
#pragma omp simd
  for (int64_t i = 0; i < keys; i++)
    act[i] = hyperbolic(bound(e[i], by));
  e += keys, act += keys;
  for (int64_t h = 0; h < heads; h++) {
    act[h] = softplus(bound(e[h], by));
    act[heads + h] = 1 + softplus(bound(e[heads + h], by));
    act[2 * heads + h] = logistic(bound(e[2 * heads + h], by));
    F *s = act + 3 * heads + h * shifts;
#pragma omp simd
    for (int64_t j = 0; j < shifts; j++)
      s[j] = bound(e[3 * heads + h * shifts + j], by);
    softmax(s, shifts);
  }
  e += heads * (3 + shifts), act += heads * (3 + shifts);
  const int64_t written = z.writes * z.width;
#pragma omp simd
  for (int64_t i = 0; i < written; i++) {
    act[i] = logistic(bound(e[i], by));
    act[written + i] = hyperbolic(bound(e[written + i], by));
  }
}

// x, with the reach values of its other end before its beginning and after its end.
template <class F> EG_INLINE void wrap(const F *x, int64_t n, int64_t reach, F *out) {
  std::copy_n(x + n - reach, reach, out);
  std::copy_n(x, n, out + reach);
  std::copy_n(x, reach, out + reach + n);
}

template <class F> static void ntm_forward(const NTMSizes &z, const F *e, const F *m, const F *prev, F *act, F *content, F *shifted, F *w, F *read, F *next, F *room) {
  const int64_t n = z.slots, width = z.width, heads = z.heads(), shifts = z.shifts();
  ntm_activate(z, e, act);
  const F *keys = act, *strengths = keys + heads * width, *gammas = strengths + heads, *gates = gammas + heads, *moves = gates + heads;
  const F *erase = moves + heads * shifts, *add = erase + z.writes * width;
  F *lengths = room, *padded = room + n;
  inverse_lengths(m, n, width, lengths);
  cosines(m, lengths, keys, heads, n, width, content);
  for (int64_t h = 0; h < heads; h++) {
    F *c = content + h * n, *s = shifted + h * n, *out = w + h * n;
    const F *p = prev + h * n;
    const F strength = strengths[h], gate = gates[h], gamma = gammas[h];
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
      c[i] *= strength;
    softmax(c, n);
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
      out[i] = p[i] + gate * (c[i] - p[i]);
    wrap(out, n, z.shift, padded);
    std::fill_n(s, n, F(0));
    for (int64_t j = 0; j < shifts; j++)
      axpy(moves[h * shifts + j], padded + 2 * z.shift - j, s, n);
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
      out[i] = gamma * logarithm(s[i] + F(smallest));
    softmax(out, n);
  }
  read_by(w, z.reads, m, n, width, read);
  const F *writing = w + z.reads * n;
  for (int64_t v = 0; v < width; v++) {
    F *row = next + v * n;
    std::copy_n(m + v * n, n, row);
    for (int64_t h = 0; h < z.writes; h++) {
      const F *ww = writing + h * n, gone = erase[h * width + v];
#pragma omp simd
      for (int64_t i = 0; i < n; i++)
        row[i] *= 1 - ww[i] * gone;
    }
    for (int64_t h = 0; h < z.writes; h++)
      axpy(add[h * width + v], writing + h * n, row, n);
  }
}

// From the gradients of what was read, of the weightings and of the memory, each of which may be null, to those of the
// emission, the memory and the weightings before.
template <class F> static void ntm_backward(const NTMSizes &z, const F *e, const F *m, const F *prev, const F *act, const F *content, const F *shifted, const F *w, const F *dread, const F *dweight, const F *dnext, F *de, F *dm, F *dprev, F *room) {
  const int64_t n = z.slots, width = z.width, heads = z.heads(), shifts = z.shifts(), reach = z.shift;
  const F *keys = act, *strengths = keys + heads * width, *gammas = strengths + heads, *gates = gammas + heads, *moves = gates + heads;
  const F *erase = moves + heads * shifts, *add = erase + z.writes * width;
  F *dkeys = de, *dstrengths = dkeys + heads * width, *dgammas = dstrengths + heads, *dgates = dgammas + heads, *dmoves = dgates + heads;
  F *derase = dmoves + heads * shifts, *dadd = derase + z.writes * width;
  F *lengths = room, *others = lengths + n, *along = others + n, *padded = along + n, *d = padded + n + 2 * reach, *dw = d + n + 2 * reach, *cos = dw + heads * n;

  if (dweight)
    std::copy_n(dweight, heads * n, dw);
  else
    std::fill_n(dw, heads * n, F(0));
  const F *writing = w + z.reads * n;
  F *dwriting = dw + z.reads * n;
  std::fill_n(derase, 2 * z.writes * width, F(0));
  if (!dnext)
    std::fill_n(dm, n * width, F(0));
  for (int64_t v = 0; dnext && v < width; v++) {
    const F *row = m + v * n, *g = dnext + v * n;
    F *out = dm + v * n;
    for (int64_t h = 0; h < z.writes; h++) {
      const F *ww = writing + h * n, gone = erase[h * width + v], added = add[h * width + v];
      F *dww = dwriting + h * n, gone_sum = 0, added_sum = 0;
      // g·m times what the other heads leave
#pragma omp simd
      for (int64_t i = 0; i < n; i++)
        others[i] = g[i] * row[i];
      for (int64_t o = 0; o < z.writes; o++) {
        if (o == h)
          continue;
        const F *wo = writing + o * n, go = erase[o * width + v];
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
          others[i] *= 1 - wo[i] * go;
      }
#pragma omp simd reduction(+ : gone_sum, added_sum)
      for (int64_t i = 0; i < n; i++) {
        gone_sum -= others[i] * ww[i];
        added_sum += g[i] * ww[i];
        dww[i] += g[i] * added - others[i] * gone;
      }
      derase[h * width + v] = gone_sum;
      dadd[h * width + v] = added_sum;
    }
    std::copy_n(g, n, out);
    for (int64_t h = 0; h < z.writes; h++) {
      const F *ww = writing + h * n, gone = erase[h * width + v];
#pragma omp simd
      for (int64_t i = 0; i < n; i++)
        out[i] *= 1 - ww[i] * gone;
    }
  }
  if (dread) {
    against(dread, z.reads, m, dw, n, width, dw);
    write_by(dread, w, z.reads, Start<F>{dm}, n, width, dm);
  }

  for (int64_t h = 0; h < heads; h++) {
    const F *c = content + h * n, *s = shifted + h * n, *p = prev + h * n, gate = gates[h], gamma = gammas[h];
    F *g = dw + h * n, *dp = dprev + h * n, sum = 0;
    softmax_back(w + h * n, g, n);
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++) {
      const F kept = s[i] + F(smallest);
      sum += g[i] * logarithm(kept);
      g[i] *= gamma / kept;
    }
    dgammas[h] = sum;

#pragma omp simd
    for (int64_t i = 0; i < n; i++)
      others[i] = p[i] + gate * (c[i] - p[i]);
    wrap(others, n, reach, padded);
    wrap(g, n, reach, d);
    std::fill_n(g, n, F(0));
    F mean = 0;
    for (int64_t j = 0; j < shifts; j++) {
      const F move = moves[h * shifts + j], dmove = dot(d + reach, padded + 2 * reach - j, n);
      dmoves[h * shifts + j] = dmove;
      mean += move * dmove;
      axpy(move, d + j, g, n);
    }
#pragma omp simd
    for (int64_t j = 0; j < shifts; j++)
      dmoves[h * shifts + j] = moves[h * shifts + j] * (dmoves[h * shifts + j] - mean);

    sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++) {
      sum += g[i] * (c[i] - p[i]);
      dp[i] = (1 - gate) * g[i];
      g[i] *= gate;
    }
    dgates[h] = sum * gate * (1 - gate);
    dgammas[h] *= 1 - std::exp(1 - gamma);
  }
  inverse_lengths(m, n, width, lengths);
  cosines(m, lengths, keys, heads, n, width, cos);
  content_back(m, lengths, keys, strengths, cos, content, dw, heads, n, width, dkeys, dstrengths, dm, along);
  for (int64_t h = 0; h < heads; h++)
    dstrengths[h] *= 1 - std::exp(-strengths[h]); // the logistic function of what it was the softplus of

#pragma omp simd
  for (int64_t i = 0; i < heads * width; i++)
    dkeys[i] *= 1 - keys[i] * keys[i];
#pragma omp simd
  for (int64_t i = 0; i < z.writes * width; i++) {
    derase[i] *= erase[i] * (1 - erase[i]);
    dadd[i] *= 1 - add[i] * add[i];
  }
  if (z.clip >= 0)
#pragma omp simd
    for (int64_t i = 0; i < z.emission(); i++)
      de[i] = std::abs(e[i]) <= F(z.clip) ? de[i] : F(0);
}

// ---- LSTM ----

// gates holds input, forget, cell and output before their non-linearities, [4·size]; act the same after them, and then the
// new cell's tanh, [5·size].
template <class F> static void lstm_forward(int64_t size, const F *gates, const F *cell, F *act, F *hidden, F *next) {
  const F *in = gates, *forget = in + size, *fresh = forget + size, *out = fresh + size;
#pragma omp simd
  for (int64_t k = 0; k < size; k++) {
    const F i = logistic(in[k]), f = logistic(forget[k]), g = hyperbolic(fresh[k]), o = logistic(out[k]);
    const F c = f * cell[k] + i * g, t = hyperbolic(c);
    act[k] = i, act[size + k] = f, act[2 * size + k] = g, act[3 * size + k] = o, act[4 * size + k] = t;
    next[k] = c;
    hidden[k] = o * t;
  }
}

template <class F> static void lstm_backward(int64_t size, const F *act, const F *cell, const F *dhidden, const F *dnext, F *dgates, F *dcell) {
#pragma omp simd
  for (int64_t k = 0; k < size; k++) {
    const F i = act[k], f = act[size + k], g = act[2 * size + k], o = act[3 * size + k], t = act[4 * size + k];
    const F dh = dhidden ? dhidden[k] : F(0), dc = (dnext ? dnext[k] : F(0)) + dh * o * (1 - t * t);
    dgates[k] = dc * g * i * (1 - i);
    dgates[size + k] = dc * cell[k] * f * (1 - f);
    dgates[2 * size + k] = dc * i * (1 - g * g);
    dgates[3 * size + k] = dh * t * o * (1 - o);
    dcell[k] = dc * f;
  }
}

// ---- LRUA ----

// What heads emit lies in the order of LRUA.Step: keys, gates and, where they are emitted, add vectors and strengths.
template <class F> struct LRUAParts {
  F *keys, *gates, *add, *strengths; // add is keys and strengths null where they are not emitted
  LRUAParts(const LRUASizes &z, F *e) : keys(e), gates(keys + z.heads * z.width), add(z.add ? gates + z.heads : keys), strengths(z.strength ? gates + z.heads + (z.add ? z.heads * z.width : 0) : nullptr) {}
};

template <class F> static void lrua_forward(const LRUASizes &z, const F *e, const F *m, const F *prev, const F *usage, F *act, int64_t *least, F *next, F *w, F *content, F *nextusage, F *read, F *room) {
  const int64_t n = z.slots, width = z.width, keys = z.heads * width;
  const LRUAParts<F> a(z, act);
  const LRUAParts<const F> from(z, e);
#pragma omp simd
  for (int64_t i = 0; i < keys; i++)
    a.keys[i] = hyperbolic(from.keys[i]);
#pragma omp simd
  for (int64_t h = 0; h < z.heads; h++)
    a.gates[h] = logistic(from.gates[h]);
  if (z.add)
#pragma omp simd
    for (int64_t i = 0; i < keys; i++)
      a.add[i] = hyperbolic(from.add[i]);
  if (z.strength)
    for (int64_t h = 0; h < z.heads; h++)
      a.strengths[h] = softplus(from.strengths[h]);

  // The least used slots, the least first; of slots used equally the lower ones come first.
  F most = 0; // of the least used, that used most
  for (int64_t i = 0; i < n; i++) {
    if (i >= z.heads && !(usage[i] < most))
      continue;
    const int64_t last = i < z.heads ? i : z.heads - 1;
    int64_t h = last;
    for (; h > 0 && usage[i] < usage[least[h - 1]]; h--)
      least[h] = least[h - 1];
    least[h] = i;
    most = usage[least[last]];
  }
#pragma omp simd
  for (int64_t i = 0; i < n; i++)
    nextusage[i] = F(z.decay) * usage[i];
  for (int64_t h = 0; h < z.heads; h++) {
    const F gate = a.gates[h], *p = prev + h * n;
    F *out = w + h * n;
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
      out[i] = p[i] * gate;
    for (int64_t o = 0; o < z.heads; o++)
      if (!z.own_slots || o == h)
        out[least[o]] = 1 + (p[least[o]] - 1) * gate;
    axpy(F(1), out, nextusage, n);
  }
  write_by(a.add, w, z.heads, Start<F>{m}, n, width, next);
  // Of a wiped slot there is only what is written.
  const int64_t wiped = z.wiped();
  F *lengths = room, *onto = lengths + n, *written = onto + wiped * z.heads;
  for (int64_t o = 0; o < wiped; o++)
    for (int64_t h = 0; h < z.heads; h++)
      onto[o * z.heads + h] = w[h * n + least[o]];
  mix(Map<F>{onto, 1, z.heads}, wiped, z.heads, a.add, Start<F>{}, written, width);
  for (int64_t o = 0; o < wiped; o++)
    for (int64_t v = 0; v < width; v++)
      next[v * n + least[o]] = written[o * width + v];
  inverse_lengths(next, n, width, lengths);
  cosines(next, lengths, a.keys, z.heads, n, width, content);
  for (int64_t h = 0; h < z.heads; h++) {
    F *c = content + h * n;
    if (z.strength)
#pragma omp simd
      for (int64_t i = 0; i < n; i++)
        c[i] *= a.strengths[h];
    softmax(c, n);
    axpy(F(1), c, nextusage, n);
  }
  read_by(content, z.heads, next, n, width, read);
}

// From the gradients of what was read, of the memory, of the read and of the write weightings, each of which may be null,
// to those of the emission, the memory and the read weightings before. next is the memory after the step.
template <class F> static void lrua_backward(const LRUASizes &z, const F *prev, const F *act, const int64_t *least, const F *next, const F *w, const F *content, const F *dread, const F *dnext, const F *dcontent, const F *dwrite, F *de, F *dm, F *dprev, F *room) {
  const int64_t n = z.slots, width = z.width, keys = z.heads * width;
  const LRUAParts<const F> a(z, act);
  const LRUAParts<F> d(z, de);
  F *lengths = room, *along = lengths + n, *g = along + n, *cos = g + z.heads * n, *dstrengths = cos + z.heads * n;
  if (dread) {
    against(dread, z.heads, next, dcontent, n, width, g);
    write_by(dread, content, z.heads, Start<F>{dnext}, n, width, dm);
  } else {
    copy_or_zero(dcontent, z.heads * n, g);
    copy_or_zero(dnext, n * width, dm);
  }
  inverse_lengths(next, n, width, lengths);
  cosines(next, lengths, a.keys, z.heads, n, width, cos);
  content_back(next, lengths, a.keys, a.strengths, cos, content, g, z.heads, n, width, d.keys, dstrengths, dm, along);
  for (int64_t h = 0; z.strength && h < z.heads; h++)
    d.strengths[h] = dstrengths[h] * (1 - std::exp(-a.strengths[h]));
  dots(w, z.heads, dm, width, n, d.add, !z.add);
  against(a.add, z.heads, dm, dwrite, n, width, dprev);
  for (int64_t h = 0; h < z.heads; h++) {
    const F *p = prev + h * n, gate = a.gates[h];
    F *g = dprev + h * n;
    F sum = dot(g, p, n);
    for (int64_t o = 0; o < z.heads; o++)
      if (!z.own_slots || o == h)
        sum -= g[least[o]];
    d.gates[h] = sum * gate * (1 - gate);
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
      g[i] *= gate;
  }
  for (int64_t o = 0; o < z.wiped(); o++)
    for (int64_t v = 0; v < width; v++)
      dm[v * n + least[o]] = 0;
#pragma omp simd
  for (int64_t i = 0; i < keys; i++) {
    d.keys[i] *= 1 - a.keys[i] * a.keys[i];
    if (z.add)
      d.add[i] *= 1 - a.add[i] * a.add[i];
  }
}

// ---- DNC ----

// What heads emit lies in the order of DNC.Step: read keys, write key, add and erase vectors, strengths, gates and read modes.
template <class F> struct DNCEmission {
  F *keys, *write_key, *add, *erase, *strengths, *free, *allocation, *write, *modes;
  DNCEmission(const DNCSizes &z, F *e)
      : keys(e), write_key(keys + z.reads * z.width), add(write_key + z.width), erase(add + z.width), strengths(erase + z.width), free(strengths + z.reads + 1), allocation(free + z.reads), write(allocation + 1), modes(write + 1) {}
};

// The slots by their usage, the least used first, of slots used equally the lower ones; what is used no more than nothing is
// used equally. A slot is put among those before it: fewer moves than the link has elements.
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

// The usage that an allocation is computed from.
template <class F> EG_INLINE F floored(F usage) { return usage * F(1 - usage_floor) + F(usage_floor); }

template <class F> static void dnc_forward(const DNCSizes &z, const F *e, const F *m, const DNCParts<const F> &prev, F *act, F *kept, int64_t *order, F *next, const DNCParts<F> &after, F *read, F *room) {
  const int64_t n = z.slots, width = z.width, reads = z.reads, emission = z.emission();
  const DNCEmission<F> a(z, act);
  const F by = z.clip < 0 ? std::numeric_limits<F>::max() : F(z.clip);
#pragma omp simd
  for (int64_t i = 0; i < emission; i++)
    act[i] = bound(e[i], by);
  for (int64_t i = 0; i < width; i++)
    a.erase[i] = logistic(a.erase[i]);
  for (int64_t h = 0; h <= reads; h++)
    a.strengths[h] = 1 + softplus(a.strengths[h]);
  for (int64_t h = 0; h < reads + 2; h++)
    a.free[h] = logistic(a.free[h]);
  for (int64_t h = 0; h < reads; h++)
    softmax(a.modes + 3 * h, 3);

  F *usage = after.usage, *w = after.write;
#pragma omp simd
  for (int64_t i = 0; i < n; i++)
    usage[i] = prev.usage[i] + prev.write[i] - prev.usage[i] * prev.write[i];
  for (int64_t h = 0; h < reads; h++) {
    const F *r = prev.read + h * n, gate = a.free[h];
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
      usage[i] *= 1 - gate * r[i];
  }

  F *lengths = room, *sorted = room + n, *content = kept;
  least_used_first(usage, n, order, sorted);
  inverse_lengths(m, n, width, lengths);
  cosines(m, lengths, a.write_key, 1, n, width, content);
#pragma omp simd
  for (int64_t i = 0; i < n; i++)
    content[i] *= a.strengths[reads];
  softmax(content, n);
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
      out[i] = row[i] * (1 - w[i] * gone) + w[i] * added;
  }

  F *back = kept + (1 + reads) * n, *ahead = back + reads * n;
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

  inverse_lengths(next, n, width, lengths);
  cosines(next, lengths, a.keys, reads, n, width, kept + n);
  for (int64_t h = 0; h < reads; h++) {
    F *c = kept + (1 + h) * n, *r = after.read + h * n;
    const F *b = back + h * n, *f = ahead + h * n, *mode = a.modes + 3 * h;
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
      c[i] *= a.strengths[h];
    softmax(c, n);
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
      r[i] = mode[0] * b[i] + mode[1] * c[i] + mode[2] * f[i];
  }
  read_by(after.read, reads, next, n, width, read);
}

// From the gradients of what was read, of the memory and of the rest of the state, each of which may be null, to those of the
// emission and of the state before.
template <class F> static void dnc_backward(const DNCSizes &z, const F *e, const F *m, const DNCParts<const F> &prev, const F *act, const F *kept, const int64_t *order, const F *next, const DNCParts<const F> &after, const F *dread, const F *dnext, const DNCParts<const F> &dafter, F *de, F *dm, const DNCParts<F> &dprev, F *room) {
  const int64_t n = z.slots, width = z.width, reads = z.reads;
  const DNCEmission<const F> a(z, act);
  const DNCEmission<F> d(z, de);
  const F *content = kept, *back = kept + (1 + reads) * n, *ahead = back + reads * n, *w = after.write;
  F *lengths = room, *along = lengths + n, *g = along + n, *dw = g + n, *row = dw + n, *dusage = row + n, *before = dusage + n;
  F *dallocation = before + n, *allocated = dallocation + n, *rest = allocated + n;
  // [reads, slots] each
  F *dweights = rest + n, *dback = dweights + reads * n, *dahead = dback + reads * n, *dcontent = dahead + reads * n, *cos = dcontent + reads * n;
  copy_or_zero(dafter.write, n, dw);
  copy_or_zero(dafter.usage, n, dusage);
  copy_or_zero(dafter.read, reads * n, dweights);

  // What was read; dm is meanwhile the gradient of the memory after the step.
  if (dread) {
    against(dread, reads, next, dweights, n, width, dweights);
    write_by(dread, after.read, reads, Start<F>{dnext}, n, width, dm);
  } else {
    copy_or_zero(dnext, n * width, dm);
  }
  for (int64_t h = 0; h < reads; h++) {
    F *dr = dweights + h * n, *dmode = d.modes + 3 * h;
    const F *mode = a.modes + 3 * h, *c = kept + (1 + h) * n;
    dmode[0] = dot(dr, back + h * n, n);
    dmode[1] = dot(dr, c, n);
    dmode[2] = dot(dr, ahead + h * n, n);
    softmax_back(mode, dmode, 3);
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
      dback[h * n + i] = mode[0] * dr[i];
      dcontent[h * n + i] = mode[1] * dr[i];
      dahead[h * n + i] = mode[2] * dr[i];
    }
  }
  inverse_lengths(next, n, width, lengths);
  cosines(next, lengths, a.keys, reads, n, width, cos);
  content_back(next, lengths, a.keys, a.strengths, cos, kept + n, dcontent, reads, n, width, d.keys, d.strengths, dm, along);

  // Precedence and link.
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
  std::fill_n(dprev.read, reads * n, F(0));
  std::fill_n(rest, n, F(0)); // of w by columns
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

  // The memory.
  for (int64_t v = 0; v < width; v++) {
    const F *mv = m + v * n, gone = a.erase[v], added = a.add[v];
    F *out = dm + v * n, derase = 0, dadd = 0;
#pragma omp simd reduction(+ : derase, dadd)
    for (int64_t i = 0; i < n; i++) {
      const F gm = out[i];
      derase -= gm * mv[i] * w[i];
      dadd += gm * w[i];
      dw[i] += gm * (added - mv[i] * gone);
      out[i] = gm * (1 - w[i] * gone);
    }
    d.erase[v] = derase * gone * (1 - gone);
    d.add[v] = dadd;
  }

  // The write weighting. before is what the slots used less leave of all.
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
  inverse_lengths(m, n, width, lengths);
  cosines(m, lengths, a.write_key, 1, n, width, cos);
  content_back(m, lengths, a.write_key, a.strengths + reads, cos, content, g, 1, n, width, d.write_key, d.strengths + reads, dm, along);
  F later = 0;
  for (int64_t j = n - 1; j >= 0; j--) {
    const int64_t i = order[j];
    dusage[i] += F(1 - usage_floor) * (later / floored(after.usage[i]) - dallocation[i] * before[j]);
    later += dallocation[i] * allocated[i];
  }

  // The usage.
#pragma omp simd
  for (int64_t i = 0; i < n; i++)
    g[i] = dusage[i];
  for (int64_t h = 0; h < reads; h++) {
    const F *r = prev.read + h * n, free = a.free[h];
    F *dr = dprev.read + h * n, dfree = 0;
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
      row[i] = dusage[i] * (prev.usage[i] + prev.write[i] - prev.usage[i] * prev.write[i]);
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
    d.strengths[h] *= 1 - std::exp(1 - a.strengths[h]); // the logistic function of what 1 + softplus was taken of
  if (z.clip >= 0)
#pragma omp simd
    for (int64_t i = 0; i < z.emission(); i++)
      de[i] = std::abs(e[i]) <= F(z.clip) ? de[i] : F(0);
}

// ---- lookups ----

// The sums of bags from..to, into out [bags, cols].
template <class F> static void bags_forward(const Bags &z, const F *table, const F *weights, int64_t from, int64_t to, F *out) {
  for (int64_t bag = from; bag < to; bag++) {
    F *sum = out + bag * z.cols;
    std::fill_n(sum, z.cols, F(0));
    for (int64_t i = z.offsets[bag]; i < z.end(bag); i++)
      axpy(weights[i], table + z.indices[i] * z.cols, sum, z.cols);
  }
}

// Adds to columns from..to of dtable the gradient for the table. All bags are taken by one thread for a column, in order, so that
// sums do not depend on the threads.
template <class F> static void bags_backward(const Bags &z, const F *weights, const F *dout, int64_t from, int64_t to, F *dtable) {
  for (int64_t bag = 0; bag < z.bags; bag++)
    for (int64_t i = z.offsets[bag]; i < z.end(bag); i++)
      axpy(weights[i], dout + bag * z.cols + from, dtable + z.indices[i] * z.cols + from, to - from);
}

// Reads of one task's slots, keys k and values v, whose rows lie kstep and vstep apart, by queries q [queries, key].
template <class F> static void attend_forward(const AttendSizes &z, const F *q, const F *k, int64_t kstep, const F *v, int64_t vstep, F *attention, F *read) {
  for (int64_t n = 0; n < z.queries; n++, q += z.key, attention += z.slots, read += z.value) {
    for (int64_t i = 0; i < z.slots; i++)
      attention[i] = F(z.scale) * dot(q, k + i * kstep, z.key);
    if (z.softmax)
      softmax(attention, z.slots);
    std::fill_n(read, z.value, F(0));
    for (int64_t i = 0; i < z.slots; i++)
      axpy(attention[i], v + i * vstep, read, z.value);
  }
}

// From the gradients of attention and read, each of which may be null, to those of queries, keys and values, whose rows lie in one
// piece.
template <class F> static void attend_backward(const AttendSizes &z, const F *q, const F *k, int64_t kstep, const F *v, int64_t vstep, const F *attention, const F *dattention, const F *dread, F *dq, F *dk, F *dv, F *room) {
  std::fill_n(dq, z.queries * z.key, F(0));
  std::fill_n(dk, z.slots * z.key, F(0));
  std::fill_n(dv, z.slots * z.value, F(0));
  for (int64_t n = 0; n < z.queries; n++, q += z.key, dq += z.key, attention += z.slots) {
    if (dattention)
      std::copy_n(dattention + n * z.slots, z.slots, room);
    else
      std::fill_n(room, z.slots, F(0));
    for (int64_t i = 0; dread && i < z.slots; i++) {
      room[i] += dot(dread + n * z.value, v + i * vstep, z.value);
      axpy(attention[i], dread + n * z.value, dv + i * z.value, z.value);
    }
    if (z.softmax)
      softmax_back(attention, room, z.slots);
    for (int64_t i = 0; i < z.slots; i++) {
      const F d = F(z.scale) * room[i];
      axpy(d, k + i * kstep, dq, z.key);
      axpy(d, q, dk + i * z.key, z.key);
    }
  }
}
