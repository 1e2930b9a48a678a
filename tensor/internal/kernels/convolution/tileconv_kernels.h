// The inner loops of tileconv.cpp, which includes this file once for each kind of processor.

constexpr int lanes = EG_BYTES / sizeof(float);
typedef float vec __attribute__((vector_size(EG_BYTES)));

EG_INLINE vec load(const float *p) {
  vec v;
  memcpy(&v, p, sizeof v);
  return v;
}

EG_INLINE void store(float *p, const vec &v) { memcpy(p, &v, sizeof v); }

// Where sums begin: at zero, or at values that are `step` apart.
struct Start {
  const float *at;
  int64_t step;
  Start operator+(int64_t n) const { return {at ? at + n : nullptr, step}; }
  EG_INLINE vec value(int64_t row, int64_t n) const { return at ? load(at + row * step + n) : vec{}; }
};

// ---- the discrete Fourier transform, a product with a matrix ----

// out[r] = start[r] + Σ_t map[t][r]·in[t], for vectors of channels.
template <int Rows, int Vectors>
EG_INLINE void mix(const float *map, int64_t stride, int64_t terms, const float *in, int64_t in_step, Start start,
                   float *out, int64_t out_step) {
  vec sum[Rows][Vectors];
#pragma GCC unroll 16
  for (int r = 0; r < Rows; r++)
#pragma GCC unroll 2
    for (int v = 0; v < Vectors; v++)
      sum[r][v] = start.value(r, v * lanes);
  for (int64_t t = 0; t < terms; t++) {
    vec x[Vectors];
#pragma GCC unroll 2
    for (int v = 0; v < Vectors; v++)
      x[v] = load(in + t * in_step + v * lanes);
#pragma GCC unroll 16
    for (int r = 0; r < Rows; r++)
#pragma GCC unroll 2
      for (int v = 0; v < Vectors; v++)
        sum[r][v] += map[t * stride + r] * x[v];
  }
#pragma GCC unroll 16
  for (int r = 0; r < Rows; r++)
#pragma GCC unroll 2
    for (int v = 0; v < Vectors; v++)
      store(out + r * out_step + v * lanes, sum[r][v]);
}

constexpr int most_rows = EG_BYTES == 64 ? 6 : 4; // of two vectors each, which fit the registers

template <int Vectors>
EG_INLINE void mix_all(const float *map, int64_t rows, int64_t terms, const float *in, int64_t in_step, Start start,
                       float *out, int64_t out_step) {
  int64_t r = 0;
  for (; r + most_rows <= rows; r += most_rows)
    mix<most_rows, Vectors>(map + r, rows, terms, in, in_step, start + r * start.step, out + r * out_step, out_step);
  if (r + 4 <= rows)
    mix<4, Vectors>(map + r, rows, terms, in, in_step, start + r * start.step, out + r * out_step, out_step), r += 4;
  if (r + 2 <= rows)
    mix<2, Vectors>(map + r, rows, terms, in, in_step, start + r * start.step, out + r * out_step, out_step), r += 2;
  if (r < rows)
    mix<1, Vectors>(map + r, rows, terms, in, in_step, start + r * start.step, out + r * out_step, out_step);
}

// The same for `width` channels, a multiple of channel_step. map is [terms, rows].
static void mix_rows(const float *map, int64_t rows, int64_t terms, const float *in, int64_t in_step, Start start,
                     float *out, int64_t out_step, int64_t width) {
  int64_t c = 0;
  for (; c + 2 * lanes <= width; c += 2 * lanes)
    mix_all<2>(map, rows, terms, in + c, in_step, start + c, out + c, out_step);
  for (; c < width; c += lanes)
    mix_all<1>(map, rows, terms, in + c, in_step, start + c, out + c, out_step);
}

// Prefetches the next rows: they are a matrix apart, which hardware prefetchers do not predict.
template <bool Write> EG_INLINE void ask(const float *at, int64_t step, int64_t rows, int64_t width) {
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < width; c += 16)
      __builtin_prefetch(at + r * step + c, Write, 3);
}

static void fourier_analyse(const Fourier &t, const float *tile, Steps in, float *room, float *spectrum, int64_t matrix,
                            int64_t width) {
  const int64_t side = t.side, column = 2 * side * width;
  for (int64_t y = 0; y < side; y++)
    mix_rows(t.first.data(), 2 * t.across, side, tile + y * in.row, in.pixel, {}, room + y * width, side * width,
             width);
  for (int64_t h = 0; h < t.across; h++)
    for (size_t g = 0; g < t.second.size(); g++) {
      const size_t n = g + 1 < t.second.size() ? g + 1 : 0;
      ask<true>(spectrum + t.offset[n] + (n ? h : h + 1) * t.down * matrix, matrix, t.down, width);
      mix_rows(t.second[g].data(), t.down, 2 * side, room + h * column, width, {},
               spectrum + t.offset[g] + h * t.down * matrix, matrix, width);
    }
}

// start is null where the transform is added to the tile, else the values [width] that it is added to.
static void fourier_synthesise(const Fourier &t, const float *spectrum, int64_t matrix, float *room, const float *start,
                               float *tile, Steps out, int64_t width) {
  const int64_t side = t.side, column = 2 * side * width;
  for (int64_t h = 0; h < t.across; h++)
    for (size_t g = 0; g < t.second.size(); g++) {
      const size_t n = g + 1 < t.second.size() ? g + 1 : 0;
      ask<false>(spectrum + t.offset[n] + (n ? h : h + 1) * t.down * matrix, matrix, t.down, width);
      float *to = room + h * column;
      mix_rows(t.second_transposed[g].data(), 2 * side, t.down, spectrum + t.offset[g] + h * t.down * matrix, matrix,
               {g ? to : nullptr, width}, to, width, width);
    }
  for (int64_t y = 0; y < side; y++) {
    float *to = tile + y * out.row;
    mix_rows(t.first_transposed.data(), side, 2 * t.across, room + y * width, side * width,
             start ? Start{start, 0} : Start{to, out.pixel}, to, out.pixel, width);
  }
}

// ---- Winograd's transforms ----
//
// A transform T of `side` values has the constant matrix T::map [winograd_tile, side]. Its rows 1 and 2, and 3 and 4,
// belong to a point and its negative: they differ by the sign of their odd columns, so that both are the sum and the
// difference of an even and an odd part.

// sum + factor·x, where the factor is T::map[Row][Column], known to the compiler.
template <class T, int Row, int Column> EG_INLINE vec plus_term(const vec &sum, const vec &x) {
  constexpr float factor = T::map[Row][Column];
  if constexpr (factor == 0)
    return sum;
  else if constexpr (factor == 1)
    return sum + x;
  else if constexpr (factor == -1)
    return sum - x;
  else
    return sum + factor * x;
}

// The columns Column, Column + Step, ... of a row times x, added to sum.
template <class T, int Row, int Column, int Step> EG_INLINE vec plus_terms(const vec &sum, const vec *x) {
  if constexpr (Column >= T::side)
    return sum;
  else
    return plus_terms<T, Row, Column + Step, Step>(plus_term<T, Row, Column>(sum, x[Column]), x);
}
template <class T, int Row, int Column, int Step> EG_INLINE vec terms(const vec *x) {
  if constexpr (T::map[Row][Column] == 0)
    return terms<T, Row, Column + Step, Step>(x);
  else
    return plus_terms<T, Row, Column + Step, Step>(
        T::map[Row][Column] == 1 ? x[Column] : T::map[Row][Column] * x[Column], x);
}

// y = map·x
template <class T> EG_INLINE void analyse_line(const vec *x, vec *y) {
  const vec even1 = terms<T, 1, 0, 2>(x), odd1 = terms<T, 1, 1, 2>(x);
  const vec even2 = terms<T, 3, 0, 2>(x), odd2 = terms<T, 3, 1, 2>(x);
  y[0] = terms<T, 0, 0, 1>(x);
  y[1] = even1 + odd1;
  y[2] = even1 - odd1;
  y[3] = even2 + odd2;
  y[4] = even2 - odd2;
  y[5] = terms<T, 5, 0, 1>(x);
}

// x = mapᵀ·y
template <class T, size_t... Column>
EG_INLINE void synthesise_line(const vec *y, vec *x, std::index_sequence<Column...>) {
  const vec both1[] = {y[1] + y[2], y[1] - y[2]}, both2[] = {y[3] + y[4], y[3] - y[4]};
  ((x[Column] = plus_term<T, 5, Column>(
        plus_term<T, 0, Column>(plus_term<T, 3, Column>(T::map[1][Column] * both1[Column % 2], both2[Column % 2]),
                                y[0]),
        y[5])),
   ...);
}

// The spectrum of a tile of pixels [side·side], each of `channels` values, into a row of every frequency's matrix.
template <class T>
static void winograd_analyse(const float *const *pixels, float *spectrum, int64_t matrix, int64_t channels) {
  constexpr int side = T::side, tile = winograd_tile;
  vec room[tile][side], in[side], out[tile];
  for (int64_t c = 0; c < channels; c += lanes) {
#pragma GCC unroll 1
    for (int y = 0; y < side; y++) {
#pragma GCC unroll 8
      for (int x = 0; x < side; x++)
        in[x] = load(pixels[y * side + x] + c);
      analyse_line<T>(in, out);
#pragma GCC unroll 8
      for (int h = 0; h < tile; h++)
        room[h][y] = out[h];
    }
#pragma GCC unroll 1
    for (int h = 0; h < tile; h++) {
      float *to = spectrum + h * tile * matrix + c;
      analyse_line<T>(room[h], out);
#pragma GCC unroll 8
      for (int v = 0; v < tile; v++)
        store(to + v * matrix, out[v]);
    }
  }
}

// The transposed transform of a row of every frequency's matrix. start is null where it is added to the pixels, else
// the values [channels] that it is added to.
template <class T>
static void winograd_synthesise(const float *spectrum, int64_t matrix, const float *start, float *const *pixels,
                                int64_t channels) {
  constexpr int side = T::side, tile = winograd_tile;
  vec room[side][tile], in[tile], out[side];
  for (int64_t c = 0; c < channels; c += lanes) {
#pragma GCC unroll 1
    for (int h = 0; h < tile; h++) {
      const float *from = spectrum + h * tile * matrix + c;
#pragma GCC unroll 8
      for (int v = 0; v < tile; v++)
        in[v] = load(from + v * matrix);
      synthesise_line<T>(in, out, std::make_index_sequence<side>());
#pragma GCC unroll 8
      for (int y = 0; y < side; y++)
        room[y][h] = out[y];
    }
#pragma GCC unroll 1
    for (int y = 0; y < side; y++) {
      synthesise_line<T>(room[y], out, std::make_index_sequence<side>());
#pragma GCC unroll 8
      for (int x = 0; x < side; x++) {
        float *to = pixels[y * side + x] + c;
        store(to, load(start ? start + c : to) + out[x]);
      }
    }
  }
}
