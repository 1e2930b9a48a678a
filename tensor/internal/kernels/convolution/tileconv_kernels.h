// The inner loops of tileconv.cpp, which includes this file once for each kind of processor.

constexpr int lanes = EG_BYTES / sizeof(float);
typedef float vec __attribute__((vector_size(EG_BYTES)));

EG_INLINE vec load(const float *p) {
  vec v;
  memcpy(&v, p, sizeof v);
  return v;
}

// out[r] = Σ_t map[t][r]·in[t], added to out if add, for vectors of channels.
template <int Rows, int Vectors>
EG_INLINE void mix(const float *map, int64_t stride, int64_t terms, const float *in, int64_t in_step,
                   float *__restrict out, int64_t out_step, bool add) {
  vec sum[Rows][Vectors];
#pragma GCC unroll 16
  for (int r = 0; r < Rows; r++)
#pragma GCC unroll 2
    for (int v = 0; v < Vectors; v++)
      sum[r][v] = add ? load(out + r * out_step + v * lanes) : vec{};
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
      memcpy(out + r * out_step + v * lanes, &sum[r][v], sizeof(vec));
}

constexpr int most_rows = EG_BYTES == 64 ? 6 : 4; // of two vectors each, which fit the registers

template <int Vectors>
EG_INLINE void mix_all(const float *map, int64_t rows, int64_t terms, const float *in, int64_t in_step, float *out,
                       int64_t out_step, bool add) {
  int64_t r = 0;
  for (; r + most_rows <= rows; r += most_rows)
    mix<most_rows, Vectors>(map + r, rows, terms, in, in_step, out + r * out_step, out_step, add);
  if (r + 4 <= rows)
    mix<4, Vectors>(map + r, rows, terms, in, in_step, out + r * out_step, out_step, add), r += 4;
  if (r + 2 <= rows)
    mix<2, Vectors>(map + r, rows, terms, in, in_step, out + r * out_step, out_step, add), r += 2;
  if (r < rows)
    mix<1, Vectors>(map + r, rows, terms, in, in_step, out + r * out_step, out_step, add);
}

// The same for `width` channels, a multiple of channel_step. map is [terms, rows].
static void mix_rows(const float *map, int64_t rows, int64_t terms, const float *in, int64_t in_step, float *out,
                     int64_t out_step, int64_t width, bool add) {
  int64_t c = 0;
  for (; c + 2 * lanes <= width; c += 2 * lanes)
    mix_all<2>(map, rows, terms, in + c, in_step, out + c, out_step, add);
  for (; c < width; c += lanes)
    mix_all<1>(map, rows, terms, in + c, in_step, out + c, out_step, add);
}

// Prefetches the next rows: they are a matrix apart, which hardware prefetchers do not predict.
template <bool Write> EG_INLINE void ask(const float *at, int64_t step, int64_t rows, int64_t width) {
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < width; c += 16)
      __builtin_prefetch(at + r * step + c, Write, 3);
}

static void analyse(const Transform &t, const float *tile, Steps in, float *room, float *spectrum, int64_t matrix,
                    int64_t width) {
  const int64_t side = t.side, column = t.parts * side * width;
  for (int64_t y = 0; y < side; y++)
    mix_rows(t.first.data(), t.parts * t.across, side, tile + y * in.row, in.pixel, room + y * width, side * width,
             width, false);
  for (int64_t h = 0; h < t.across; h++)
    for (size_t g = 0; g < t.second.size(); g++) {
      const size_t n = g + 1 < t.second.size() ? g + 1 : 0;
      ask<true>(spectrum + t.offset[n] + (n ? h : h + 1) * t.down * matrix, matrix, t.down, width);
      mix_rows(t.second[g].data(), t.down, t.parts * side, room + h * column, width,
               spectrum + t.offset[g] + h * t.down * matrix, matrix, width, false);
    }
}

static void synthesise(const Transform &t, const float *spectrum, int64_t matrix, float *room, float *tile, Steps out,
                       int64_t width) {
  const int64_t side = t.side, column = t.parts * side * width;
  for (int64_t h = 0; h < t.across; h++)
    for (size_t g = 0; g < t.second.size(); g++) {
      const size_t n = g + 1 < t.second.size() ? g + 1 : 0;
      ask<false>(spectrum + t.offset[n] + (n ? h : h + 1) * t.down * matrix, matrix, t.down, width);
      mix_rows(t.second_transposed[g].data(), t.parts * side, t.down, spectrum + t.offset[g] + h * t.down * matrix,
               matrix, room + h * column, width, width, g > 0);
    }
  for (int64_t y = 0; y < side; y++)
    mix_rows(t.first_transposed.data(), side, t.parts * t.across, room + y * width, side * width, tile + y * out.row,
             out.pixel, width, true);
}
