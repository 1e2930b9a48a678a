#include "../torch.h"

#include "conv.h"
#include "sizes.h"
#include "../processor.h"
#include "../arithmetic/product.h"

#include <ATen/Parallel.h>
#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <utility>
#include <vector>

namespace {

using at::Tensor;
using Sizes = engram::ConvSizes;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// A convolution by tiles: the output is cut into tiles of out×out, each of which depends on tile×tile values of the
// input, tile = out+kernel-1. Transforms of the input's tiles and of the kernel turn the convolution into one matrix
// product per frequency, of across·down frequencies, over all tiles and channels,
//
//	[tiles, parts·in]·[parts·in, parts·out channels].
//
// Kernels of size three take the real transforms of Winograd's minimal filtering F(4×4, 3×3), for which parts is 1,
// others the discrete Fourier transform, for which it is 2, a frequency's real and imaginary parts; a complex factor is
// then the matrix [re im; -im re]. All transforms are linear and apply to columns after rows, so gradients use the
// transposed transforms.

// Winograd's transforms of one dimension: Lavin and Gray 2016, section 4.3, at the points 0, 1, -1, 2, -2 and ∞.
constexpr int winograd_tile = 6;
struct WinogradInput {
  static constexpr int side = 6;
  static constexpr float map[winograd_tile][side] = {{4, 0, -5, 0, 1, 0},  {0, -4, -4, 1, 1, 0}, {0, 4, -4, -1, 1, 0},
                                                     {0, -2, -1, 2, 1, 0}, {0, 2, -1, -2, 1, 0}, {0, 4, 0, -5, 0, 1}};
};
struct WinogradKernel {
  static constexpr int side = 3;
  static constexpr float map[winograd_tile][side] = {{1.f / 4, 0, 0},
                                                     {-1.f / 6, -1.f / 6, -1.f / 6},
                                                     {-1.f / 6, 1.f / 6, -1.f / 6},
                                                     {1.f / 24, 1.f / 12, 1.f / 6},
                                                     {1.f / 24, -1.f / 12, 1.f / 6},
                                                     {0, 0, 1}};
};
struct WinogradOutput { // of gradients; its transposed makes outputs
  static constexpr int side = 4;
  static constexpr float map[winograd_tile][side] = {{1, 0, 0, 0}, {1, 1, 1, 1},   {1, -1, 1, -1},
                                                     {1, 2, 4, 8}, {1, -2, 4, -8}, {0, 0, 0, 1}};
};

// The discrete Fourier transform of a tile.
struct Fourier {
  int64_t side; // of a tile of values
  int64_t across, down;
  std::vector<float> first, first_transposed; // of rows: [side, 2·across] and transposed
  std::vector<std::vector<float>> second,
      second_transposed;       // of columns: [2·side, down] and transposed, one for each value of a frequency
  std::vector<int64_t> offset; // where that value lies in a frequency's matrix
};

// The distances between the pixels and the rows of a tile.
struct Steps {
  int64_t pixel, row;
};

#define EG_KERNELS_FILE "tileconv_kernels.h"
#include "../perprocessor.h"

struct FourierKernels {
  decltype(&plain::fourier_analyse) analyse;
  decltype(&plain::fourier_synthesise) synthesise;
};
struct WinogradKernels {
  decltype(&plain::winograd_analyse<WinogradInput>) analyse;
  decltype(&plain::winograd_synthesise<WinogradInput>) synthesise;
};
#define EG_FOURIER(of)                                                                                                 \
  FourierKernels { of::fourier_analyse, of::fourier_synthesise }
#define EG_WINOGRAD(of)                                                                                                \
  WinogradKernels { of::winograd_analyse<T>, of::winograd_synthesise<T> }
const FourierKernels fourier_kernels = EG_CHOOSE(EG_FOURIER);
template <class T> const WinogradKernels winograd_kernels = EG_CHOOSE(EG_WINOGRAD);

constexpr int64_t channel_step = 16; // channels are a multiple of it: the widest vector register
constexpr int64_t chunk = 32;        // channels of a tile that are transformed together

using Matrix2 = std::vector<std::vector<double>>; // [rows][columns]

std::vector<float> flat(const Matrix2 &m, bool transposed) {
  std::vector<float> o;
  if (transposed)
    for (size_t j = 0; j < m[0].size(); j++)
      for (auto &row : m)
        o.push_back(row[j]);
  else
    for (auto &row : m)
      o.insert(o.end(), row.begin(), row.end());
  return o;
}

// The Fourier transform of the first `side` values of a tile, its exponent's sign, and the sign of each part that is
// given.
struct Value {
  int part;
  double sign;
};
Fourier fourier(int64_t tile, int64_t side, double sign, bool weighted, const std::vector<Value> &values,
                std::vector<int64_t> offset) {
  const int64_t across = tile / 2 + 1;
  const auto angle = [&](int64_t k) { return sign * 2 * M_PI * double(k % tile) / double(tile); };
  Matrix2 rows(2 * across, std::vector<double>(side));
  for (int64_t h = 0; h < across; h++) {
    // The frequencies that are left out are conjugates of those that are not their own.
    const double weight = weighted ? (h == 0 || 2 * h == tile ? 1. : 2.) / double(tile * tile) : 1;
    for (int64_t x = 0; x < side; x++) {
      rows[2 * h][x] = weight * std::cos(angle(h * x));
      rows[2 * h + 1][x] = weight * std::sin(angle(h * x));
    }
  }
  Fourier t{side, across, tile, flat(rows, true), flat(rows, false)};
  for (const Value &value : values) {
    Matrix2 m(tile, std::vector<double>(2 * side));
    for (int64_t v = 0; v < tile; v++)
      for (int64_t y = 0; y < side; y++) {
        const double c = value.sign * std::cos(angle(v * y)), s = value.sign * std::sin(angle(v * y));
        m[v][y] = value.part == 0 ? c : s;         // of the real part
        m[v][side + y] = value.part == 0 ? -s : c; // of the imaginary part
      }
    t.second.push_back(flat(m, true));
    t.second_transposed.push_back(flat(m, false));
  }
  t.offset = std::move(offset);
  return t;
}

// How a convolution is cut into tiles.
struct Plan {
  int64_t tile, out, parts, frequencies, down_tiles, across_tiles;
  int64_t tiles() const { return down_tiles * across_tiles; }
};

Plan cut(const Sizes &s, int64_t tile) {
  const bool winograd = s.kernel == 3;
  const int64_t out = tile - s.kernel + 1;
  return {tile,
          out,
          winograd ? 1 : 2,
          tile * (winograd ? tile : tile / 2 + 1),
          (s.out_height() + out - 1) / out,
          (s.out_width() + out - 1) / out};
}

// The cost of a plan, in multiplications of a direct convolution by oneDNN. The factors are measured.
double direct_cost(const Sizes &s) {
  return double(s.images) * s.out_height() * s.out_width() * s.kernel * s.kernel * s.in * s.out;
}
double cost(const Sizes &s, const Plan &p) {
  constexpr double product = 1.25, mixing = 2, fetching = 24;
  const double rows = double(s.images) * p.tiles(), spectrum = double(p.frequencies) * p.parts * p.parts * s.in * s.out;
  const double across = double(p.frequencies) / p.tile * p.parts, second = double(p.frequencies) * p.parts * p.parts;
  const auto mixed = [&](double side) { return side * across * side + second * side; };
  double c = product * rows * spectrum;
  c += mixing *
       (rows * (s.in * mixed(p.tile) + s.out * mixed(p.out)) + double(s.in) * s.out * p.parts * mixed(s.kernel));
  if (spectrum > 1 << 18) // exceeds a core's cache
    c += fetching * 2 * spectrum;
  return c;
}

// The cheapest plan; one without tiles where none is clearly cheaper than the direct convolution.
Plan choose(const Sizes &s) {
  Plan best{0};
  double least = .8 * direct_cost(s);
  const int64_t largest = std::min<int64_t>(32, std::max(s.out_height(), s.out_width()) + s.kernel - 1);
  for (int64_t tile = s.kernel == 3 ? 6 : s.kernel + 1; tile <= (s.kernel == 3 ? 6 : largest); tile++) {
    const Plan p = cut(s, tile);
    if (const double c = cost(s, p); c < least)
      least = c, best = p;
  }
  return best;
}

// How the tiles of a tensor are transformed: by Winograd's kernels, or by Fourier's where `fourier` has a side.
struct Transform {
  int64_t side; // of a tile of values
  WinogradKernels winograd;
  Fourier fourier;
};

template <class T> Transform winograd() { return {T::side, winograd_kernels<T>, {}}; }

struct Transforms {
  Transform input, kernel, output; // the last of gradients; its transposed makes outputs
};

Transforms transforms(const Sizes &s, const Plan &p) {
  if (s.kernel == 3)
    return {winograd<WinogradInput>(), winograd<WinogradKernel>(), winograd<WinogradOutput>()};
  const auto of = [&](int64_t side, double sign, bool weighted, const std::vector<Value> &values,
                      std::vector<int64_t> offset) {
    return Transform{side, {}, fourier(p.tile, side, sign, weighted, values, std::move(offset))};
  };
  return {
      of(p.tile, -1, false, {{0, 1}, {1, 1}}, {0, s.in}),
      // A correlation conjugates the kernel.
      of(s.kernel, 1, false, {{0, 1}, {1, 1}, {1, -1}, {0, 1}}, {0, s.out, s.in * 2 * s.out, s.in * 2 * s.out + s.out}),
      of(p.out, -1, true, {{0, 1}, {1, 1}}, {0, s.out})};
}

// Images [height, width, channels], and tiles of them that may reach beyond their edges.
template <class F> struct Plane {
  F *at;
  int64_t height, width, channels;
  bool inside(int64_t y, int64_t x, int64_t side) const {
    return y >= 0 && x >= 0 && y + side <= height && x + side <= width;
  }
  Steps steps() const { return {channels, width * channels}; }
  F *pixel(int64_t y, int64_t x) const { return at + (y * width + x) * channels; }
  // Calls f for each row of a tile with its part inside the image: first pixel, length in pixels, and place in the
  // tile.
  template <class Body> void rows(int64_t y, int64_t x, int64_t side, const Body &f) const {
    const int64_t from = std::max<int64_t>(0, -x), to = std::min(side, width - x);
    for (int64_t r = std::max<int64_t>(0, -y); r < std::min(side, height - y) && from < to; r++)
      f(pixel(y + r, x + from), to - from, r * side + from);
  }
};

// A thread's scratch memory.
struct Room {
  std::vector<float> between, tile; // of Fourier transforms
  std::vector<float> outside;       // what Winograd's transforms find, or leave, beyond the edges of an image
  Room(const Transform &t, int64_t channels) {
    const Fourier &f = t.fourier;
    if (f.side)
      between.resize(2 * f.across * f.side * chunk), tile.resize(f.side * f.side * chunk);
    else
      outside.resize(channels);
  }
};

// The pixels of a tile that begins at (y, x); beyond the image's edges, those of `outside`.
template <class F> struct Pixels {
  F *at[winograd_tile * winograd_tile];
  Pixels(const Plane<F> &of, int64_t y, int64_t x, int64_t side, float *outside) {
    for (int64_t r = 0; r < side; r++)
      for (int64_t c = 0; c < side; c++)
        at[r * side + c] = of.inside(y + r, x + c, 1) ? of.pixel(y + r, x + c) : outside;
  }
};

// The spectrum of a tile that begins at (y, x), into one row of every frequency's matrix.
void analyse(const Transform &t, const Plane<const float> &from, int64_t y, int64_t x, Room &room, float *row,
             int64_t matrix) {
  if (!t.fourier.side) {
    t.winograd.analyse(Pixels<const float>(from, y, x, t.side, room.outside.data()).at, row, matrix, from.channels);
    return;
  }
  const bool inside = from.inside(y, x, t.side);
  for (int64_t c = 0; c < from.channels; c += chunk) {
    const int64_t width = std::min(chunk, from.channels - c);
    if (inside) {
      fourier_kernels.analyse(t.fourier, from.pixel(y, x) + c, from.steps(), room.between.data(), row + c, matrix,
                              width);
      continue;
    }
    std::fill(room.tile.begin(), room.tile.end(), 0.f);
    from.rows(y, x, t.side, [&](const float *pixel, int64_t count, int64_t place) {
      for (int64_t i = 0; i < count; i++)
        std::copy_n(pixel + i * from.channels + c, width, &room.tile[(place + i) * width]);
    });
    fourier_kernels.analyse(t.fourier, room.tile.data(), {width, t.side * width}, room.between.data(), row + c, matrix,
                            width);
  }
}

// Makes a tile the values start [channels] plus the inverse transform of a row of every frequency's matrix, or, where
// start is null, adds that to the tile.
void synthesise(const Transform &t, const float *row, int64_t matrix, const float *start, Room &room,
                const Plane<float> &to, int64_t y, int64_t x) {
  if (!t.fourier.side) {
    t.winograd.synthesise(row, matrix, start, Pixels<float>(to, y, x, t.side, room.outside.data()).at, to.channels);
    return;
  }
  const bool inside = to.inside(y, x, t.side);
  for (int64_t c = 0; c < to.channels; c += chunk) {
    const int64_t width = std::min(chunk, to.channels - c);
    const float *from = start ? start + c : nullptr;
    if (inside) {
      fourier_kernels.synthesise(t.fourier, row + c, matrix, room.between.data(), from, to.pixel(y, x) + c, to.steps(),
                                 width);
      continue;
    }
    if (!from)
      std::fill(room.tile.begin(), room.tile.end(), 0.f);
    fourier_kernels.synthesise(t.fourier, row + c, matrix, room.between.data(), from, room.tile.data(),
                               {width, t.side * width}, width);
    to.rows(y, x, t.side, [&](float *pixel, int64_t count, int64_t place) {
      for (int64_t i = 0; i < count; i++)
        for (int64_t k = 0; k < width; k++) {
          float &value = pixel[i * to.channels + c + k];
          value = (from ? 0 : value) + room.tile[(place + i) * width + k];
        }
    });
  }
}

// A running convolution: images in blocks whose spectra stay in cache, or are at least no larger than the kernel's.
class Tiles {
  const Sizes s;
  const Plan p;
  const Transforms t;
  const int64_t in, out; // columns of the matrices
  int64_t block;         // images

  template <class F> void over(int64_t from, int64_t to, const F &f) const {
    at::parallel_for(from, to, 1, [&](int64_t a, int64_t b) { f(a, b); });
  }
  // Calls f for every tile of the images [first, last) with the image, the tile's place and its row. Threads share the
  // images, or the rows of tiles of a single one. Where f adds to tiles that overlap, these are first the even rows,
  // then the odd ones, so that no two threads add to the same pixels.
  template <class F> void each(int64_t first, int64_t last, const Transform &of, bool overlapping, const F &f) const {
    const auto row = [&](int64_t i, int64_t a, Room &room) {
      for (int64_t b = 0; b < p.across_tiles; b++)
        f(i, a * p.out, b * p.out, (i - first) * p.tiles() + a * p.across_tiles + b, room);
    };
    const int64_t step = overlapping ? 2 : 1;
    if (last - first > 1 || (overlapping && p.tile > step * p.out)) {
      over(first, last, [&](int64_t from, int64_t to) {
        Room room(of, std::max(s.in, s.out));
        for (int64_t i = from; i < to; i++)
          for (int64_t a = 0; a < p.down_tiles; a++)
            row(i, a, room);
      });
      return;
    }
    for (int64_t begin = 0; begin < step; begin++)
      over(0, (p.down_tiles - begin + step - 1) / step, [&](int64_t from, int64_t to) {
        Room room(of, std::max(s.in, s.out));
        for (int64_t n = from; n < to; n++)
          row(first, begin + n * step, room);
      });
  }
  template <class F> Plane<F> input(F *x, int64_t i) const {
    return {x + i * s.height * s.width * s.in, s.height, s.width, s.in};
  }
  template <class F> Plane<F> output(F *y, int64_t i) const {
    return {y + i * s.out_height() * s.out_width() * s.out, s.out_height(), s.out_width(), s.out};
  }
  // The distance between frequencies' matrices: an odd number of registers, because addresses a power of two apart
  // share a cache set.
  static int64_t apart(int64_t rows, int64_t columns) { return (rows * columns / channel_step | 1) * channel_step; }
  Tensor spectra(int64_t rows, int64_t columns) const {
    return at::empty({p.frequencies * apart(rows, columns)}, at::kFloat);
  }

  void analyse_input(const float *x, int64_t first, int64_t last, int64_t rows, float *to) const {
    each(first, last, t.input, false, [&](int64_t i, int64_t y, int64_t xx, int64_t row, Room &room) {
      analyse(t.input, input(x, i), y - s.padding, xx - s.padding, room, to + row * in, apart(rows, in));
    });
  }
  Tensor analyse_kernel(const Tensor &w) const {
    const Tensor transposed = w.view({s.out, -1}).t().contiguous(); // [in·kernel·kernel, out]
    const Tensor o = spectra(in, out);
    const float *from = transposed.data_ptr<float>();
    float *to = o.data_ptr<float>();
    over(0, s.in, [&](int64_t a, int64_t b) {
      Room room(t.kernel, s.out);
      for (int64_t i = a; i < b; i++)
        analyse(t.kernel, {from + i * s.kernel * s.kernel * s.out, s.kernel, s.kernel, s.out}, 0, 0, room, to + i * out,
                apart(in, out));
    });
    return o;
  }
  Tensor synthesise_kernel(const Tensor &spectrum) const {
    const Tensor transposed = at::empty({s.in * s.kernel * s.kernel, s.out}, at::kFloat);
    const std::vector<float> zeros(s.out);
    const float *from = spectrum.data_ptr<float>();
    float *to = transposed.data_ptr<float>();
    over(0, s.in, [&](int64_t a, int64_t b) {
      Room room(t.kernel, s.out);
      for (int64_t i = a; i < b; i++)
        synthesise(t.kernel, from + i * out, apart(in, out), zeros.data(), room,
                   {to + i * s.kernel * s.kernel * s.out, s.kernel, s.kernel, s.out}, 0, 0);
    });
    return transposed.t().contiguous().view({s.out, s.in, s.kernel, s.kernel});
  }

public:
  Tiles(const Sizes &s, const Plan &p) : s(s), p(p), t(transforms(s, p)), in(p.parts * s.in), out(p.parts * s.out) {
    const int64_t image = p.frequencies * p.tiles() * (in + out), kernel = p.frequencies * in * out;
    block = std::clamp<int64_t>(std::max<int64_t>(1 << 20, 2 * kernel) / image, 1, s.images);
  }

  void forward(const float *x, const Tensor &w, const float *bias, float *y) const {
    const Tensor kernel = analyse_kernel(w), a = spectra(block * p.tiles(), in), c = spectra(block * p.tiles(), out);
    const float *pk = kernel.data_ptr<float>();
    float *pa = a.data_ptr<float>(), *pc = c.data_ptr<float>();
    const std::vector<float> zeros(s.out);
    const float *start = bias ? bias : zeros.data();
    for (int64_t first = 0; first < s.images; first += block) {
      const int64_t last = std::min(first + block, s.images), rows = (last - first) * p.tiles();
      analyse_input(x, first, last, rows, pa);
      over(0, p.frequencies, [&](int64_t from, int64_t to) {
        for (int64_t f = from; f < to; f++)
          engram::multiply(engram::AsIs, {pa + f * apart(rows, in), rows, in, in}, engram::AsIs,
                           {pk + f * apart(in, out), in, out, out}, {pc + f * apart(rows, out), rows, out, out}, false);
      });
      each(first, last, t.output, false, [&](int64_t i, int64_t yy, int64_t xx, int64_t row, Room &room) {
        synthesise(t.output, pc + row * out, apart(rows, out), start, room, output(y, i), yy, xx);
      });
    }
  }

  // The gradient of w, and of x where dx is not null.
  Tensor backward(const float *x, const Tensor &w, const float *dy, float *dx) const {
    Tensor kernel;
    if (dx)
      kernel = analyse_kernel(w);
    const Tensor a = spectra(block * p.tiles(), in), c = spectra(block * p.tiles(), out), dk = spectra(in, out);
    const float *pk = dx ? kernel.data_ptr<float>() : nullptr;
    float *pa = a.data_ptr<float>(), *pc = c.data_ptr<float>(), *pd = dk.data_ptr<float>();
    for (int64_t first = 0; first < s.images; first += block) {
      const int64_t last = std::min(first + block, s.images), rows = (last - first) * p.tiles();
      analyse_input(x, first, last, rows, pa);
      each(first, last, t.output, false, [&](int64_t i, int64_t yy, int64_t xx, int64_t row, Room &room) {
        analyse(t.output, output(dy, i), yy, xx, room, pc + row * out, apart(rows, out));
      });
      over(0, p.frequencies, [&](int64_t from, int64_t to) {
        for (int64_t f = from; f < to; f++) {
          float *fa = pa + f * apart(rows, in), *fc = pc + f * apart(rows, out);
          engram::multiply(engram::Transposed, {fa, rows, in, in}, engram::AsIs, {fc, rows, out, out},
                           {pd + f * apart(in, out), in, out, out}, first > 0);
          if (dx) // in the place of the input's spectra, which have been used
            engram::multiply(engram::AsIs, {fc, rows, out, out}, engram::Transposed,
                             {pk + f * apart(in, out), in, out, out}, {fa, rows, in, in}, false);
        }
      });
      if (!dx)
        continue;
      const int64_t row = s.width * s.in;
      over(first * s.height, last * s.height,
           [&](int64_t from, int64_t to) { std::fill(dx + from * row, dx + to * row, 0.f); });
      each(first, last, t.input, true, [&](int64_t i, int64_t yy, int64_t xx, int64_t row, Room &room) {
        synthesise(t.input, pa + row * in, apart(rows, in), nullptr, room, input(dx, i), yy - s.padding,
                   xx - s.padding);
      });
    }
    return synthesise_kernel(dk);
  }
};

struct TileConv : torch::autograd::Function<TileConv> {
  static Tensor forward(AutogradContext *ctx, const Tensor &x, const Tensor &w, const Tensor &b, int64_t padding) {
    const Sizes s(x, w, padding);
    Tensor y = at::empty({s.images, s.out, s.out_height(), s.out_width()}, x.options().requires_grad(false),
                         at::MemoryFormat::ChannelsLast);
    Tiles(s, choose(s)).forward(x.data_ptr<float>(), w, b.numel() ? b.data_ptr<float>() : nullptr, y.data_ptr<float>());
    ctx->save_for_backward({x, w});
    ctx->saved_data["padding"] = padding;
    return y;
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    engram::refuse_second_order("Conv2dFirstOrder");
    const auto saved = ctx->get_saved_variables();
    const Tensor &x = saved[0], &w = saved[1];
    const Sizes s(x, w, ctx->saved_data["padding"].toInt());
    const Tensor grad = grads[0].contiguous(at::MemoryFormat::ChannelsLast);
    Tensor dx, dw, db;
    if (ctx->needs_input_grad(0))
      dx = at::empty(x.sizes(), x.options().requires_grad(false), at::MemoryFormat::ChannelsLast);
    dw = Tiles(s, choose(s))
             .backward(x.data_ptr<float>(), w, grad.data_ptr<float>(), dx.defined() ? dx.data_ptr<float>() : nullptr);
    if (!ctx->needs_input_grad(1))
      dw = Tensor();
    if (ctx->needs_input_grad(2))
      db = grad.sum({0, 2, 3});
    return {dx, dw, db, Tensor()};
  }
};

} // namespace

extern "C" {

int eg_tile_conv_fits(void *x, void *w, void *b, int64_t padding) {
  if (!engram::convolves(x, at::kFloat, w, b, padding, channel_step))
    return 0;
  const Sizes s(engram::T(x), engram::T(w), padding);
  return s.kernel > 2 && choose(s).tile > 0;
}

void *eg_tile_conv(void *x, void *w, void *b, int64_t padding) { return engram::convolved<TileConv>(x, w, b, padding); }

} // extern "C"
