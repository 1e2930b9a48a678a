// Elementary functions and vector reductions for kernels. A kernel file includes this in the namespace of a processor
// (see ../perprocessor.h), so there is no include guard. Requires simd_includes.h.

EG_INLINE float exponential(float x) {
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
EG_INLINE double exponential(double x) { return std::exp(x); }

// The natural logarithm of a positive normal number, to the same accuracy.
EG_INLINE float logarithm(float x) {
  const int32_t bits =
      __builtin_bit_cast(int32_t, x) - 0x3f3504f3; // relative to √½, so that the fraction lies around one
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

// 1/√x of a positive normal number: an estimate from its bits, then three Newton steps.
EG_INLINE float inverse_sqrt(float x) {
  float y = __builtin_bit_cast(float, 0x5f3759df - (__builtin_bit_cast(int32_t, x) >> 1));
  for (int i = 0; i < 3; i++)
    y *= 1.5f - .5f * x * y * y;
  return y;
}
EG_INLINE double inverse_sqrt(double x) { return 1 / std::sqrt(x); }

template <class F> EG_INLINE F sigmoid(F x) { return F(1) / (F(1) + exponential(-x)); }
template <class F> EG_INLINE F tangent_h(F x) { return F(1) - F(2) / (F(1) + exponential(F(2) * x)); }
template <class F> EG_INLINE F softplus(F x) { return std::max(x, F(0)) + std::log1p(std::exp(-std::abs(x))); }
template <class F> EG_INLINE F clamp(F x, F by) { return x < -by ? -by : x > by ? by : x; }

// ---- vectors ----

template <class F> constexpr int lanes = EG_BYTES / sizeof(F);

// Loads a whole vector or, if Part, its first n values, with fill for the others.
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

// Stores a whole vector or, if Part, its first n values.
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

// Exchanges the values that are Away positions apart.
template <int Away, class V, size_t... L> EG_INLINE V swapped(V v, std::index_sequence<L...>) {
#ifdef __clang__
  return __builtin_shufflevector(v, v, int(L ^ Away)...);
#else
  return __builtin_shuffle(v, decltype(v < v){int(L ^ Away)...});
#endif
}

// Calls f(0), ..., f(N - 1) with constants: GCC keeps an array of vectors in registers only where every index is one.
template <class F, size_t... I> EG_INLINE void unrolled(const F &f, std::index_sequence<I...>) {
  (f(std::integral_constant<int, I>()), ...);
}

// The sum and the maximum of a vector's values, by halving: adding one value after another would be a chain of
// dependent operations.
template <class F, int Away = lanes<F> / 2, class V> EG_INLINE F sum_lanes(V v) {
  if constexpr (Away == 0)
    return v[0];
  else
    return sum_lanes<F, Away / 2>(v + swapped<Away>(v, std::make_index_sequence<lanes<F>>()));
}
template <class F, int Away = lanes<F> / 2, class V> EG_INLINE F max_lane(V v) {
  if constexpr (Away == 0) {
    return v[0];
  } else {
    const V other = swapped<Away>(v, std::make_index_sequence<lanes<F>>());
    return max_lane<F, Away / 2>(v > other ? v : other);
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
  return sum_lanes<F>(sum);
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

// Replaces x with its softmax.
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
  const F top = max_lane<F>(most);
#pragma omp simd
  for (int64_t i = 0; i < n; i++)
    x[i] = exponential(x[i] - top);
  for (i = 0; i + lanes<F> <= n; i += lanes<F>) {
    load<false>(x + i, 0, v);
    sum += v;
  }
  if (i < n) {
    load<true>(x + i, n - i, v);
    sum += v;
  }
  const F scale = F(1) / sum_lanes<F>(sum);
#pragma omp simd
  for (int64_t i = 0; i < n; i++)
    x[i] *= scale;
}

// Replaces the gradient g of a softmax w by that of its argument: g_i = w_i·(g_i − Σ_j w_j·g_j).
template <class F> EG_INLINE void softmax_gradient(const F *w, F *g, int64_t n) {
  const F mean = dot(w, g, n);
#pragma omp simd
  for (int64_t i = 0; i < n; i++)
    g[i] = w[i] * (g[i] - mean);
}

// Registers for the sums of a product: 32 with AVX-512, else 16.
