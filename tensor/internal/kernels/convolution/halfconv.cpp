#include "../torch.h"

#include "conv.h"
#include "sizes.h"
#include "../processor.h"

#include <ATen/Parallel.h>
#include <algorithm>
#include <cstring>
#include <vector>

#if defined(EG_X86) && defined(__linux__) && __GNUC__ >= 11
#define EG_MATRICES
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

using bfloat = uint16_t;

// The gradient of a convolution's weights is a product over all positions of all images, of the input, shifted by a tap
// of the kernel, with the gradient of the output. AMX tiles need consecutive positions. An image is
// laid out once for all taps, its rows one after another with the padding between them, and a tap is an offset along
// that sequence.
struct Sizes : engram::ConvSizes {
  using ConvSizes::ConvSizes;
  static constexpr int64_t step = 32; // positions of a matrix
  static int64_t whole(int64_t n) { return (n + step - 1) / step * step; }
  int64_t image_in() const { return height * width * in; }
  int64_t image_out() const { return out_height() * out_width() * out; }
  int64_t pitch() const { return width + 2 * padding; }
  int64_t positions() const { return whole(out_height() * pitch()); }                 // of the output's gradient
  int64_t reach() const { return whole(positions() + (kernel - 1) * (pitch() + 1)); } // of the input
};

constexpr int64_t side = 16;       // of a matrix: rows, and columns of float
constexpr int64_t pair = 2 * side; // channels are a multiple of it: two tiles, each used twice per load

#ifdef EG_MATRICES
#pragma GCC push_options
#pragma GCC target("amx-tile,amx-bf16,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2,prefer-vector-width=512")

// 16 channels of two positions, position beside position.
inline __m512i paired(const bfloat *x, int64_t channels, int64_t position) {
  const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(x + position * channels));
  const __m256i b = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(x + (position + 1) * channels));
  return _mm512_or_si512(_mm512_cvtepu16_epi32(a), _mm512_slli_epi32(_mm512_cvtepu16_epi32(b), 16));
}

// From [positions, channels] to [channels/16, positions/2, 16, 2]: the second factor of a product of matrices.
void pair_up(const bfloat *x, int64_t positions, int64_t channels, bfloat *out) {
  for (int64_t c = 0; c < channels; c += side)
    for (int64_t p = 0; p < positions; p += 2)
      _mm512_storeu_si512(out + c * positions + p * side, paired(x + c, channels, p));
}

// From [positions, channels] to [channels, positions]: the first factor.
void turn(const bfloat *x, int64_t positions, int64_t channels, bfloat *out) {
  for (int64_t p = 0; p < positions; p += Sizes::step)
    for (int64_t c = 0; c < channels; c += side) {
      __m512i r[16], s[16];
      for (int i = 0; i < 16; i++)
        r[i] = paired(x + c, channels, p + 2 * i);
      // A matrix of 16×16 pairs, transposed: pairs of rows, of pairs of rows, and then quarters of registers.
      for (int i = 0; i < 16; i += 2) {
        s[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        s[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
      }
      for (int i = 0; i < 16; i += 4) {
        r[i] = _mm512_unpacklo_epi64(s[i], s[i + 2]);
        r[i + 1] = _mm512_unpackhi_epi64(s[i], s[i + 2]);
        r[i + 2] = _mm512_unpacklo_epi64(s[i + 1], s[i + 3]);
        r[i + 3] = _mm512_unpackhi_epi64(s[i + 1], s[i + 3]);
      }
      for (int i = 0; i < 4; i++) {
        s[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
        s[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
        s[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
        s[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
      }
      for (int i = 0; i < 4; i++) {
        r[i] = _mm512_shuffle_i32x4(s[i], s[i + 8], 0x88);
        r[i + 4] = _mm512_shuffle_i32x4(s[i + 4], s[i + 12], 0x88);
        r[i + 8] = _mm512_shuffle_i32x4(s[i], s[i + 8], 0xdd);
        r[i + 12] = _mm512_shuffle_i32x4(s[i + 4], s[i + 12], 0xdd);
      }
      for (int i = 0; i < 16; i++)
        _mm512_storeu_si512(out + (c + i) * positions + p, r[i]);
    }
}

struct alignas(64) Config {
  uint8_t palette = 1, start = 0, reserved[14] = {};
  uint16_t bytes[16] = {};
  uint8_t rows[16] = {};
};

// Writes the gradient of `count` images for the weights of the inputs first to last - 1, multiples of `pair`, to dw
// [kernel, kernel, in, out], or adds it: x is [in, reach] and g [out/16, positions/2, 16, 2] per image.
void add_products(const Sizes &s, int64_t first, int64_t last, int64_t count, const bfloat *x, const bfloat *g,
                  float *dw, bool add) {
  Config config;
  for (int i = 0; i < 8; i++)
    config.bytes[i] = 64, config.rows[i] = side;
  _tile_loadconfig(&config);
  const int64_t reach = s.reach(), positions = s.positions(), row = s.out * sizeof(float);
  for (int64_t a = first; a < last; a += pair)
    for (int64_t b = 0; b < s.out; b += pair)
      for (int64_t tap = 0; tap < s.kernel * s.kernel; tap++) {
        float *to = dw + (tap * s.in + a) * s.out + b;
        const int64_t away = tap / s.kernel * s.pitch() + tap % s.kernel;
        if (add) {
          _tile_loadd(0, to, row);
          _tile_loadd(1, to + side, row);
          _tile_loadd(2, to + side * s.out, row);
          _tile_loadd(3, to + side * s.out + side, row);
        } else {
          _tile_zero(0);
          _tile_zero(1);
          _tile_zero(2);
          _tile_zero(3);
        }
        for (int64_t n = 0; n < count; n++) {
          const bfloat *px = x + (n * s.in + a) * reach + away, *pg = g + (n * s.out + b) * positions;
          for (int64_t p = 0; p < positions; p += Sizes::step) {
            _tile_loadd(4, px + p, reach * sizeof(bfloat));
            _tile_loadd(6, pg + p * side, 64);
            _tile_dpbf16ps(0, 4, 6);
            _tile_loadd(7, pg + (positions + p) * side, 64);
            _tile_dpbf16ps(1, 4, 7);
            _tile_loadd(5, px + p + side * reach, reach * sizeof(bfloat));
            _tile_dpbf16ps(2, 5, 6);
            _tile_dpbf16ps(3, 5, 7);
          }
        }
        _tile_stored(0, to, row);
        _tile_stored(1, to + side, row);
        _tile_stored(2, to + side * s.out, row);
        _tile_stored(3, to + side * s.out + side, row);
      }
  _tile_release();
}

// Adds an image's gradient to that of the bias.
void add_up(const bfloat *g, int64_t positions, int64_t channels, float *sum) {
  for (int64_t c = 0; c < channels; c += side) {
    __m512 t = _mm512_loadu_ps(sum + c);
    for (int64_t p = 0; p < positions; p++)
      t = _mm512_add_ps(
          t,
          _mm512_castsi512_ps(_mm512_slli_epi32(
              _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(g + p * channels + c))), 16)));
    _mm512_storeu_ps(sum + c, t);
  }
}
#pragma GCC pop_options

// Whether the processor has matrices of bfloat16 and the system lets this process use them.
bool has_matrices() {
  if (!engram::has_avx512())
    return false;
  unsigned a, b, c, d;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d >> 22 & 1) || !(d >> 24 & 1)) // AMX-BF16, AMX-TILE
    return false;
  constexpr long ask = 0x1023, matrices = 18; // ARCH_REQ_XCOMP_PERM of XTILEDATA
  return syscall(SYS_arch_prctl, ask, matrices) == 0;
}
#else
void pair_up(const bfloat *, int64_t, int64_t, bfloat *) {}
void turn(const bfloat *, int64_t, int64_t, bfloat *) {}
void add_products(const Sizes &, int64_t, int64_t, int64_t, const bfloat *, const bfloat *, float *, bool) {}
void add_up(const bfloat *, int64_t, int64_t, float *) {}
bool has_matrices() { return false; }
#endif

constexpr int64_t together = 4; // images laid out at a time: they stay in a core's cache

// Room in which images are laid out. The padding between rows stays zero: every image writes to the same places.
struct Layout {
  const Sizes &s;
  std::vector<bfloat> wide, tall;
  explicit Layout(const Sizes &s) : s(s), wide(s.reach() * s.in), tall(s.positions() * s.out) {}

  // Lays out an image and the gradient of its output, and adds the latter to that of the bias.
  void image(const bfloat *x, const bfloat *g, bfloat *transposed, bfloat *paired, float *sum) {
    const int64_t pitch = s.pitch();
    for (int64_t y = 0; y < s.height; y++)
      std::copy_n(x + y * s.width * s.in, s.width * s.in, &wide[((y + s.padding) * pitch + s.padding) * s.in]);
    turn(wide.data(), s.reach(), s.in, transposed);
    for (int64_t y = 0; y < s.out_height(); y++)
      std::copy_n(g + y * s.out_width() * s.out, s.out_width() * s.out, &tall[y * pitch * s.out]);
    pair_up(tall.data(), s.positions(), s.out, paired);
    add_up(tall.data(), s.positions(), s.out, sum);
  }
};

// The sums [groups, weights + out] over groups of images, of the weights [kernel, kernel, in, out] and the bias. A
// thread takes whole groups.
void sums_by_images(const Sizes &s, int64_t group, int64_t groups, const bfloat *x, const bfloat *g, float *all) {
  const int64_t weights = s.kernel * s.kernel * s.in * s.out;
  at::parallel_for(0, groups, 1, [&](int64_t from, int64_t to) {
    Layout layout(s);
    const int64_t wide = s.reach() * s.in, tall = s.positions() * s.out;
    std::vector<bfloat> transposed(together * wide), paired(together * tall);
    for (int64_t k = from; k < to; k++) {
      float *sum = all + k * (weights + s.out);
      std::fill_n(sum + weights, s.out, 0.f);
      const int64_t start = k * group, end = std::min(start + group, s.images);
      for (int64_t first = start; first < end; first += together) {
        const int64_t count = std::min(together, end - first);
        for (int64_t i = 0; i < count; i++)
          layout.image(x + (first + i) * s.image_in(), g + (first + i) * s.image_out(), &transposed[i * wide],
                       &paired[i * tall], sum + weights);
        add_products(s, 0, s.in, count, transposed.data(), paired.data(), sum, first > start);
      }
    }
  });
}

// The same for one group, where the weights are more than what is laid out of a few images: many images are laid out
// first, and a thread takes the weights of some inputs, whose sums over these images stay in tiles.
void sums_by_inputs(const Sizes &s, const bfloat *x, const bfloat *g, float *sum) {
  constexpr int64_t room = 8 << 20; // values
  const int64_t weights = s.kernel * s.kernel * s.in * s.out, wide = s.reach() * s.in, tall = s.positions() * s.out;
  const int64_t most = std::min(s.images, std::max<int64_t>(1, room / (wide + tall)));
  const Tensor memory = at::empty({most * (wide + tall)}, at::kBFloat16), biases = at::zeros({most, s.out}, at::kFloat);
  bfloat *transposed = static_cast<bfloat *>(memory.data_ptr()), *paired = transposed + most * wide;
  float *bias = biases.data_ptr<float>();
  for (int64_t first = 0; first < s.images; first += most) {
    const int64_t count = std::min(most, s.images - first);
    at::parallel_for(0, count, 1, [&](int64_t from, int64_t to) {
      Layout layout(s);
      for (int64_t i = from; i < to; i++)
        layout.image(x + (first + i) * s.image_in(), g + (first + i) * s.image_out(), transposed + i * wide,
                     paired + i * tall, bias + i * s.out);
    });
    at::parallel_for(0, s.in / pair, 1, [&](int64_t from, int64_t to) {
      add_products(s, from * pair, to * pair, count, transposed, paired, sum, first > 0);
    });
  }
  std::fill_n(sum + weights, s.out, 0.f);
  for (int64_t i = 0; i < most; i++)
    for (int64_t o = 0; o < s.out; o++)
      sum[weights + o] += bias[i * s.out + o];
}

// The gradients of w and b, from x [images, height, width, in] and g [images, out height, out width, out]. The order of
// additions does not depend on the threads.
void weight_gradients(const Sizes &s, const bfloat *x, const bfloat *g, float *dw, float *db) {
  const int64_t taps = s.kernel * s.kernel, weights = taps * s.in * s.out, sums = weights + s.out;
  const bool by_inputs = weights > together * (s.reach() * s.in + s.positions() * s.out);
  const int64_t group = by_inputs ? s.images : (s.images + 7) / 8, groups = (s.images + group - 1) / group;
  const Tensor memory = at::empty({groups * sums}, at::kFloat);
  float *all = memory.data_ptr<float>();
  if (by_inputs)
    sums_by_inputs(s, x, g, all);
  else
    sums_by_images(s, group, groups, x, g, all);
  at::parallel_for(0, s.out / side, 1, [&](int64_t from, int64_t to) {
    for (int64_t o = from * side; o < to * side; o += side)
      for (int64_t i = 0; i < s.in; i++)
        for (int64_t t = 0; t < taps; t++) {
          const float *part = all + (t * s.in + i) * s.out + o;
          float sum[side];
          std::copy_n(part, side, sum);
          for (int64_t k = 1; k < groups; k++)
            for (int64_t j = 0; j < side; j++)
              sum[j] += part[k * sums + j];
          for (int64_t j = 0; j < side; j++)
            dw[((o + j) * s.in + i) * taps + t] = sum[j];
        }
  });
  std::copy_n(all + weights, s.out, db);
  for (int64_t k = 1; k < groups; k++)
    for (int64_t o = 0; o < s.out; o++)
      db[o] += all[k * sums + weights + o];
}

// Float weights rounded to bfloat16, in the order [out, kernel, kernel, in] that convolutions of channels-last images
// take.
Tensor rounded(const Tensor &w) {
  const int64_t in = w.size(1), taps = w.size(2) * w.size(3);
  Tensor half = at::empty(w.sizes(), w.options().dtype(at::kBFloat16), at::MemoryFormat::ChannelsLast);
  const float *from = w.data_ptr<float>();
  at::BFloat16 *to = half.data_ptr<at::BFloat16>();
  at::parallel_for(0, w.size(0), 1, [&](int64_t first, int64_t last) {
    for (int64_t o = first; o < last; o++)
      for (int64_t t = 0; t < taps; t++)
        for (int64_t i = 0; i < in; i++)
          to[(o * taps + t) * in + i] = from[(o * in + i) * taps + t];
  });
  return half;
}

struct HalfConv : torch::autograd::Function<HalfConv> {
  static Tensor forward(AutogradContext *ctx, const Tensor &x, const Tensor &w, const Tensor &b, int64_t padding) {
    const Tensor half = rounded(w);
    ctx->save_for_backward({x, half});
    ctx->saved_data["padding"] = padding;
    return at::conv2d(x, half, b.numel() ? b.to(at::kBFloat16) : Tensor(), 1, padding);
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    engram::refuse_second_order("Conv2dFirstOrder");
    const auto saved = ctx->get_saved_variables();
    const Tensor &x = saved[0], &w = saved[1];
    const int64_t padding = ctx->saved_data["padding"].toInt();
    const Sizes s(x, w, padding);
    const Tensor grad = grads[0].contiguous(at::MemoryFormat::ChannelsLast);
    Tensor dx, dw, db;
    if (ctx->needs_input_grad(0))
      dx = std::get<0>(at::convolution_backward(grad, x, w, at::IntArrayRef{s.out}, {1, 1}, {padding, padding}, {1, 1},
                                                false, {0, 0}, 1, {true, false, false}));
    if (ctx->needs_input_grad(1) || ctx->needs_input_grad(2)) {
      dw = at::empty(w.sizes(), at::kFloat);
      db = at::empty({s.out}, at::kFloat);
      weight_gradients(s, static_cast<const bfloat *>(x.data_ptr()), static_cast<const bfloat *>(grad.data_ptr()),
                       dw.data_ptr<float>(), db.data_ptr<float>());
    }
    return {dx, ctx->needs_input_grad(1) ? dw : Tensor(), ctx->needs_input_grad(2) ? db : Tensor(), Tensor()};
  }
};

} // namespace

extern "C" {

int eg_half_conv_fits(void *x, void *w, void *b, int64_t padding) {
  static const bool matrices = has_matrices();
  return matrices && engram::convolves(x, at::kBFloat16, w, b, padding, pair);
}

void *eg_half_conv(void *x, void *w, void *b, int64_t padding) { return engram::convolved<HalfConv>(x, w, b, padding); }

} // extern "C"
