#include "../torch.h"

#include "convblock.h"
#include "sizes.h"
#include "../processor.h"

#include <ATen/Parallel.h>
#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <vector>

namespace {

using at::Tensor;
using engram::guarded;
using engram::refuse_second_order;
using engram::T;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Images, blocks' outputs and their gradients are float or bfloat; everything else is float.
using bfloat = uint16_t;

constexpr int dead = 4; // the position code of a window whose maximum is not positive

// One image's part of a block: x [height, width, channels], y and g [height/window, width/window, channels]. slope is
// that of the ReLU below zero.
struct Image {
  int64_t height, width, channels, window;
  float slope = 0;
  int64_t pixels() const { return height * width; }
  int64_t out() const { return (height / window) * (width / window); }
};

// Batch norm as an affine map per channel, (x - mean)·a + b.
struct Affine {
  const float *mean, *a, *b;
};
// What a block activates: x, and a shortcut or null, each after its norm.
template <class E> struct Joined {
  const E *x, *shortcut;
  Affine by, shortcut_by;
};
// Sums of a gradient and of its products, which each kernel says.
struct Sums {
  float *plain, *product, *shortcut = nullptr;
};
// A line per channel, base + slope·(x - mean).
struct Line {
  const float *base, *slope;
};
// Where the gradient of an operand goes, and its line.
template <class E> struct Gradient {
  E *at;
  Line line;
};
// A padded image: planes of (height+2)·(width+2).
struct Padded {
  int64_t planes;
  const float *at;
};

#define EG_KERNELS_FILE "convblock_kernels.h"
#include "../perprocessor.h"

template <class E> struct Kernels {
  decltype(&plain::image_moments<E>) moments;
  decltype(&plain::image_forward<E>) forward;
  decltype(&plain::image_sums<E>) sums;
  decltype(&plain::image_backward<E>) backward;
  decltype(&plain::image_patches) patches;
  decltype(&plain::image_conv_forward<E>) conv_forward;
  decltype(&plain::image_conv_sums<E>) conv_sums;
};

#define EG_KERNELS(of)                                                                                                 \
  Kernels<E> {                                                                                                         \
    of::image_moments<E>, of::image_forward<E>, of::image_sums<E>, of::image_backward<E>, of::image_patches,           \
        of::image_conv_forward<E>, of::image_conv_sums<E>                                                              \
  }

// The kernels for this machine's processor.
template <class E> const Kernels<E> kernels = EG_CHOOSE(EG_KERNELS);

// ---- batch norm, ReLU and max pooling ----

// How many images a thread takes at least. Sums are stored per image and added in order, so that they do not depend on
// the number of threads.
int64_t grain(int64_t work) { return std::max<int64_t>(1, (1 << 14) / std::max<int64_t>(work, 1)); }

// An absent operand is a tensor without elements: an autograd function needs all tensors defined.
Tensor operand(void *t) { return t ? T(t) : at::empty({0}, at::kFloat); }
bool present(const Tensor &t) { return t.numel() > 0; }
float *data(const Tensor &t) { return present(t) ? t.data_ptr<float>() : nullptr; }
float number(float v) { return v; }
float number(bfloat v) { return plain::load<float>(&v); }
template <class E> E *elements(const Tensor &t) { return static_cast<E *>(t.data_ptr()); }

// Batch norm as an affine map with its factors. Subtracting first avoids cancellation in a channel far from zero.
struct Norm {
  std::vector<float> a, b, mean, invstd;
};

Norm normalise(const std::vector<double> &mean, const std::vector<double> &variance, const float *gain,
               const float *bias, double eps) {
  const size_t n = mean.size();
  Norm o{std::vector<float>(n), std::vector<float>(n), std::vector<float>(n), std::vector<float>(n)};
  for (size_t c = 0; c < n; c++) {
    const double inv = 1 / std::sqrt(variance[c] + eps), a = inv * (gain ? gain[c] : 1);
    o.a[c] = a;
    o.b[c] = bias ? bias[c] : 0;
    o.mean[c] = mean[c];
    o.invstd[c] = inv;
  }
  return o;
}

// Moves the running statistics towards those of the batch; squares are sums of squared deviations over `count` values.
void follow(const Tensor &running_mean, const Tensor &running_variance, const std::vector<double> &mean,
            const std::vector<double> &squares, double count, double momentum) {
  float *m = data(running_mean), *v = data(running_variance);
  for (size_t c = 0; c < mean.size(); c++) {
    if (m)
      m[c] = momentum * mean[c] + (1 - momentum) * m[c];
    if (v)
      v[c] = momentum * (squares[c] / (count - 1)) + (1 - momentum) * v[c];
  }
}

void given(const Tensor &t, std::vector<double> &out) {
  const float *p = t.data_ptr<float>();
  out.assign(p, p + t.numel());
}

Tensor channels_last_like(const Tensor &t, at::IntArrayRef shape) {
  return at::empty(shape, t.options().requires_grad(false), at::MemoryFormat::ChannelsLast);
}

Tensor pack(const Norm &n) {
  const int64_t ch = n.a.size();
  Tensor t = at::empty({4, ch}, at::kFloat);
  float *p = t.data_ptr<float>();
  for (auto *v : {&n.a, &n.b, &n.mean, &n.invstd}) {
    std::copy(v->begin(), v->end(), p);
    p += ch;
  }
  return t;
}

// A batch norm's operands: those of eg_norm as tensors.
struct NormOperands {
  bool normed = false; // otherwise the norm is the identity
  Tensor gain = operand(nullptr), bias = gain, mean = gain, variance = gain;
  bool batch = false;
  double momentum = 0, eps = 0;
};

// The norm of x under the batch's statistics, which the running ones follow, or under the running ones.
template <class E> Norm normalise(const Tensor &x, const NormOperands &by) {
  const int64_t batch = x.size(0), ch = x.size(1), pixels = x.size(2) * x.size(3), count = batch * pixels;
  if (!by.normed)
    return {std::vector<float>(ch, 1), std::vector<float>(ch), std::vector<float>(ch), std::vector<float>(ch)};
  std::vector<double> m(ch), v(ch);
  if (!by.batch) {
    given(by.mean, m);
    given(by.variance, v);
    return normalise(m, v, data(by.gain), data(by.bias), by.eps);
  }
  const E *px = elements<E>(x);
  std::vector<float> part(2 * batch * ch);
  at::parallel_for(0, batch, grain(pixels * ch), [&](int64_t from, int64_t to) {
    for (int64_t n = from; n < to; n++)
      kernels<E>.moments(px + n * pixels * ch, pixels, ch, &part[n * ch], &part[(batch + n) * ch]);
  });
  for (int64_t n = 0; n < batch; n++)
    for (int64_t c = 0; c < ch; c++)
      m[c] += part[n * ch + c];
  for (auto &e : m)
    e /= double(batch);
  for (int64_t n = 0; n < batch; n++)
    for (int64_t c = 0; c < ch; c++) {
      const double d = part[n * ch + c] - m[c];
      v[c] += part[(batch + n) * ch + c] + pixels * d * d;
    }
  follow(by.mean, by.variance, m, v, count, by.momentum);
  for (auto &e : v)
    e /= double(count);
  return normalise(m, v, data(by.gain), data(by.bias), by.eps);
}

// The gradients of an operand, its gain and its bias, from sums over all images: of the gradient g behind the norm, and
// of its products with the operand minus its mean.
struct NormGradients {
  Tensor dx, dgain, dbias;
  std::vector<float> base, slope; // of the line that batch statistics add to dx
  NormGradients(const Tensor &x, const float *packed, bool normed, bool batch_stats, const std::vector<double> &plain,
                const std::vector<double> &product, int64_t count)
      : dx(channels_last_like(x, x.sizes())), base(plain.size()), slope(plain.size()) {
    const int64_t ch = plain.size();
    const float *a = packed, *invstd = packed + 3 * ch;
    if (!normed)
      return;
    dgain = at::empty({ch}, at::kFloat), dbias = at::empty({ch}, at::kFloat);
    for (int64_t c = 0; c < ch; c++) {
      dgain.data_ptr<float>()[c] = product[c] * invstd[c];
      dbias.data_ptr<float>()[c] = plain[c];
      if (batch_stats) {
        base[c] = -a[c] * plain[c] / count;
        slope[c] = -a[c] * double(invstd[c]) * invstd[c] * product[c] / count;
      }
    }
  }
  template <class E> Gradient<E> of(int64_t place) const {
    return {elements<E>(dx) + place, {base.data(), slope.data()}};
  }
};

template <class E> struct NormReLUPool : torch::autograd::Function<NormReLUPool<E>> {
  // Saved: x, the shortcut or an absent operand, and the norms of both.
  static Affine affine(const Tensor &packed) {
    const int64_t ch = packed.size(1);
    const float *a = packed.data_ptr<float>();
    return {a + 2 * ch, a, a + ch};
  }
  static Joined<E> joined(const Tensor &x, const Tensor &shortcut, const Tensor &norm, const Tensor &shortcut_norm,
                          int64_t place) {
    return {elements<E>(x) + place, present(shortcut) ? elements<E>(shortcut) + place : nullptr, affine(norm),
            affine(shortcut_norm)};
  }

  // Autograd gives gradients to the tensors that are arguments themselves, so gains and biases are, besides being in
  // their norms.
  static Tensor forward(AutogradContext *ctx, const Tensor &x, const Tensor &, const Tensor &, const Tensor &shortcut,
                        const Tensor &, const Tensor &, const NormOperands &norm, const NormOperands &shortcut_norm,
                        double slope, int64_t window) {
    const Image im{x.size(2), x.size(3), x.size(1), window, float(slope)};
    const int64_t batch = x.size(0), ch = im.channels, size = im.pixels() * ch;
    const Tensor by = pack(normalise<E>(x, norm)),
                 shortcut_by = present(shortcut) ? pack(normalise<E>(shortcut, shortcut_norm)) : by;
    Tensor y = channels_last_like(x, {batch, ch, im.height / window, im.width / window});
    E *py = elements<E>(y);
    at::parallel_for(0, batch, grain(size), [&](int64_t from, int64_t to) {
      for (int64_t n = from; n < to; n++)
        kernels<E>.forward(im, joined(x, shortcut, by, shortcut_by, n * size), py + n * im.out() * ch);
    });
    ctx->save_for_backward({x, shortcut, by, shortcut_by});
    ctx->saved_data["normed"] = norm.normed;
    ctx->saved_data["batch"] = norm.batch;
    ctx->saved_data["shortcut_normed"] = shortcut_norm.normed;
    ctx->saved_data["shortcut_batch"] = shortcut_norm.batch;
    ctx->saved_data["slope"] = slope;
    ctx->saved_data["window"] = window;
    return y;
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    refuse_second_order("NormReLUPool");
    const auto saved = ctx->get_saved_variables();
    const Tensor &x = saved[0], &shortcut = saved[1], &by = saved[2], &shortcut_by = saved[3];
    const auto is = [&](const char *name) { return ctx->saved_data[name].toBool(); };
    const Image im{x.size(2), x.size(3), x.size(1), ctx->saved_data["window"].toInt(),
                   float(ctx->saved_data["slope"].toDouble())};
    const int64_t batch = x.size(0), ch = im.channels, size = im.pixels() * ch, count = batch * im.pixels();
    const Tensor grad = grads[0].contiguous(at::MemoryFormat::ChannelsLast);
    const E *pg = elements<E>(grad);

    std::vector<float> part(3 * batch * ch);
    at::parallel_for(0, batch, grain(size), [&](int64_t from, int64_t to) {
      for (int64_t n = from; n < to; n++)
        kernels<E>.sums(im, joined(x, shortcut, by, shortcut_by, n * size), pg + n * im.out() * ch,
                        {&part[n * ch], &part[(batch + n) * ch], &part[(2 * batch + n) * ch]});
    });
    std::vector<double> sum[3];
    for (int64_t i = 0; i < 3; i++) {
      sum[i].resize(ch);
      for (int64_t n = 0; n < batch; n++)
        for (int64_t c = 0; c < ch; c++)
          sum[i][c] += part[(i * batch + n) * ch + c];
    }
    const NormGradients dx(x, by.data_ptr<float>(), is("normed"), is("batch"), sum[0], sum[1], count);
    variable_list out(10);
    out[0] = dx.dx, out[1] = dx.dgain, out[2] = dx.dbias;
    const auto write = [&](const NormGradients &dr) {
      at::parallel_for(0, batch, grain(size), [&](int64_t from, int64_t to) {
        for (int64_t n = from; n < to; n++)
          kernels<E>.backward(im, joined(x, shortcut, by, shortcut_by, n * size), pg + n * im.out() * ch,
                              dx.template of<E>(n * size), dr.template of<E>(n * size));
      });
    };
    if (present(shortcut)) {
      const NormGradients dr(shortcut, shortcut_by.data_ptr<float>(), is("shortcut_normed"), is("shortcut_batch"),
                             sum[0], sum[2], count);
      out[3] = dr.dx, out[4] = dr.dgain, out[5] = dr.dbias;
      write(dr);
    } else if (ctx->needs_input_grad(0)) {
      write(dx);
    }
    for (size_t i = 0; i < 6; i++)
      if (!ctx->needs_input_grad(i))
        out[i] = Tensor();
    return out;
  }
};

// ---- the first block: an image of few channels, which needs no gradient ----
//
// Its convolution takes less time to compute than its output, the network's largest tensor, takes to load, so the
// output is never stored. The batch's statistics come from the moments of the 3×3 patches instead, of which there are
// only taps = 9·in: with patch mean p and covariance C, a channel with weights w has mean w·p and variance w·C·w, and
// the sums that batch norm's gradient needs of its normalised values are products of the same.

constexpr int64_t max_planes = 4; // input channels for which this pays
constexpr int64_t group = 8;      // images whose sums are added in float

// Pads one image.
template <class E> void pad(const Image &im, int64_t planes, const E *x, float *padded) {
  const int64_t pitch = im.width + 2, plane = pitch * (im.height + 2);
  std::fill(padded, padded + planes * plane, 0.f);
  for (int64_t i = 0; i < planes; i++)
    for (int64_t h = 0; h < im.height; h++)
      for (int64_t w = 0; w < im.width; w++)
        padded[i * plane + (h + 1) * pitch + w + 1] = number(x[(i * im.height + h) * im.width + w]);
}

// Mean [taps] and, summed over the patches, covariance [taps, taps] of the patches of a batch.
struct Patches {
  std::vector<double> mean, covariance;
};

template <class E> Patches patch_moments(const Image &im, int64_t batch, int64_t planes, const E *x) {
  const int64_t taps = 9 * planes, size = planes * im.pixels(), groups = (batch + group - 1) / group;
  float shift = 0;
  for (int64_t k = 0; k < size; k++)
    shift += number(x[k]) / float(size);
  if (!std::isfinite(shift))
    shift = 0;
  std::vector<double> part(groups * taps * (taps + 1));
  at::parallel_for(0, groups, grain(size * group * taps), [&](int64_t from, int64_t to) {
    std::vector<float> padded(planes * (im.height + 2) * (im.width + 2)), room(taps * im.pixels());
    for (int64_t n = from * group; n < std::min(to * group, batch); n++) {
      double *sum = &part[n / group * taps * (taps + 1)];
      pad(im, planes, x + n * size, padded.data());
      kernels<E>.patches(im, {planes, padded.data()}, shift, room.data(), sum, sum + taps);
    }
  });
  for (int64_t i = 1; i < groups; i++)
    for (int64_t k = 0; k < taps * (taps + 1); k++)
      part[k] += part[i * taps * (taps + 1) + k];
  const double count = double(batch) * im.pixels();
  const double *sum = part.data(), *square = sum + taps;
  Patches o{std::vector<double>(taps), std::vector<double>(taps * taps)};
  for (int64_t t = 0; t < taps; t++) {
    o.mean[t] = sum[t] / count + shift;
    for (int64_t u = t; u < taps; u++)
      o.covariance[t * taps + u] = o.covariance[u * taps + t] = square[t * taps + u] - sum[t] * sum[u] / count;
  }
  return o;
}

template <class E> struct ImageConvBlock : torch::autograd::Function<ImageConvBlock<E>> {
  static Tensor forward(AutogradContext *ctx, const Tensor &x, const Tensor &w, const Tensor &b, const Tensor &gain,
                        const Tensor &bias, const NormOperands &by, int64_t window) {
    const Image im{x.size(2), x.size(3), w.size(0), window};
    const int64_t batch = x.size(0), planes = x.size(1), ch = im.channels, taps = 9 * planes,
                  size = planes * im.pixels();
    const double count = double(batch) * im.pixels();
    const E *px = elements<E>(x);
    const float *pw = w.data_ptr<float>(), *pb = data(b);
    std::vector<double> m(ch), v(ch);
    Tensor moments = at::empty({0}, at::kDouble);
    if (by.batch) {
      const Patches p = patch_moments(im, batch, planes, px);
      for (int64_t c = 0; c < ch; c++) {
        m[c] = pb ? pb[c] : 0;
        for (int64_t t = 0; t < taps; t++) {
          m[c] += pw[c * taps + t] * p.mean[t];
          double s = 0;
          for (int64_t u = 0; u < taps; u++)
            s += pw[c * taps + u] * p.covariance[t * taps + u];
          v[c] += pw[c * taps + t] * s;
        }
        if (v[c] < 0) // rounding; a NaN stays
          v[c] = 0;
      }
      follow(by.mean, by.variance, m, v, count, by.momentum);
      for (auto &e : v)
        e /= count;
      moments = at::empty({taps + 1, taps}, at::kDouble);
      std::copy(p.mean.begin(), p.mean.end(), moments.data_ptr<double>());
      std::copy(p.covariance.begin(), p.covariance.end(), moments.data_ptr<double>() + taps);
    } else {
      given(by.mean, m);
      given(by.variance, v);
    }
    const Norm norm = normalise(m, v, data(gain), data(bias), by.eps);
    std::vector<float> weights(taps * ch), rest(ch);
    for (int64_t c = 0; c < ch; c++) {
      rest[c] = norm.b[c] + norm.a[c] * ((pb ? pb[c] : 0) - m[c]);
      for (int64_t t = 0; t < taps; t++)
        weights[t * ch + c] = norm.a[c] * pw[c * taps + t];
    }
    Tensor y = channels_last_like(x, {batch, ch, im.height / window, im.width / window});
    Tensor code = at::empty({batch * im.out() * ch}, at::kByte);
    E *py = elements<E>(y);
    uint8_t *pc = code.data_ptr<uint8_t>();
    at::parallel_for(0, batch, grain(im.pixels() * ch), [&](int64_t from, int64_t to) {
      std::vector<float> padded(planes * (im.height + 2) * (im.width + 2));
      for (int64_t n = from; n < to; n++) {
        pad(im, planes, px + n * size, padded.data());
        kernels<E>.conv_forward(im, {planes, padded.data()}, weights.data(), rest.data(), py + n * im.out() * ch,
                                pc + n * im.out() * ch);
      }
    });
    ctx->save_for_backward({x, w, b, pack(norm), code, moments});
    ctx->saved_data["window"] = window;
    return y;
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    refuse_second_order("ConvNormReLUPool");
    const auto saved = ctx->get_saved_variables();
    const Tensor &x = saved[0], &w = saved[1], &b = saved[2], &code = saved[4], &moments = saved[5];
    const Image im{x.size(2), x.size(3), w.size(0), ctx->saved_data["window"].toInt()};
    const int64_t batch = x.size(0), planes = x.size(1), ch = im.channels, taps = 9 * planes,
                  size = planes * im.pixels();
    const double count = double(batch) * im.pixels();
    const int64_t groups = (batch + group - 1) / group;
    const Tensor grad = grads[0].contiguous(at::MemoryFormat::ChannelsLast);
    const E *px = elements<E>(x), *pg = elements<E>(grad);
    const float *pw = w.data_ptr<float>(), *pb = data(b);
    const float *a = saved[3].data_ptr<float>(), *mean = a + 2 * ch, *invstd = a + 3 * ch;
    const uint8_t *pc = code.data_ptr<uint8_t>();

    std::vector<float> part(groups * (taps + 1) * ch);
    at::parallel_for(0, groups, grain(im.pixels() * ch * group), [&](int64_t from, int64_t to) {
      std::vector<float> padded(planes * (im.height + 2) * (im.width + 2));
      for (int64_t n = from * group; n < std::min(to * group, batch); n++) {
        float *plain = &part[n / group * (taps + 1) * ch];
        pad(im, planes, px + n * size, padded.data());
        kernels<E>.conv_sums(im, {planes, padded.data()}, pg + n * im.out() * ch, pc + n * im.out() * ch,
                             {plain, plain + ch});
      }
    });
    std::vector<double> sum((taps + 1) * ch);
    for (int64_t i = 0; i < groups; i++)
      for (int64_t k = 0; k < (taps + 1) * ch; k++)
        sum[k] += part[i * (taps + 1) * ch + k];
    const double *plain = sum.data(), *product = plain + ch;

    Tensor dw = at::empty_like(w, at::MemoryFormat::Contiguous), dgain = at::empty({ch}, at::kFloat),
           dbias = at::empty({ch}, at::kFloat), db;
    if (present(b))
      db = at::zeros({ch}, at::kFloat); // batch statistics cancel the bias
    for (int64_t c = 0; c < ch; c++) {
      // Σ g·(x - mean), from the products with the patches.
      double centred = ((pb ? pb[c] : 0) - mean[c]) * plain[c];
      const double *patch = present(moments) ? moments.data_ptr<double>() : nullptr;
      if (patch)
        centred = 0;
      for (int64_t t = 0; t < taps; t++)
        centred += pw[c * taps + t] * (product[t * ch + c] - (patch ? patch[t] * plain[c] : 0));
      dgain.data_ptr<float>()[c] = centred * invstd[c];
      dbias.data_ptr<float>()[c] = plain[c];
      if (present(b) && !patch)
        db.data_ptr<float>()[c] = a[c] * plain[c];
      for (int64_t t = 0; t < taps; t++) {
        double d = product[t * ch + c];
        if (patch) {
          double s = 0;
          for (int64_t u = 0; u < taps; u++)
            s += pw[c * taps + u] * patch[taps + t * taps + u];
          d -= plain[c] * patch[t] + centred * invstd[c] * invstd[c] / count * s;
        }
        dw.data_ptr<float>()[c * taps + t] = a[c] * d;
      }
    }
    return {Tensor(), dw, db, dgain, dbias, Tensor(), Tensor()};
  }
};

// Whether t is absent or a float32 vector of n on the CPU.
bool vector_of(void *t, int64_t n) {
  if (!t)
    return true;
  const Tensor &v = T(t);
  return v.device().is_cpu() && v.scalar_type() == at::kFloat && v.dim() == 1 && v.size(0) == n && v.is_contiguous();
}

bool is_bfloat(const Tensor &x) { return x.scalar_type() == at::kBFloat16; }

// Calls f with a value of the type of x's elements.
template <class F> Tensor by_elements(const Tensor &x, F f) { return is_bfloat(x) ? f(bfloat()) : f(float()); }

bool image_like(const Tensor &x) { return engram::holds(x, at::kFloat, 4) || engram::holds(x, at::kBFloat16, 4); }

bool norm_fits(int64_t channels, const eg_norm *n) {
  return !n || (vector_of(n->gain, channels) && vector_of(n->bias, channels) && vector_of(n->mean, channels) &&
                vector_of(n->variance, channels) && (n->batch_stats || (n->mean && n->variance)));
}

NormOperands operands(const eg_norm *n) {
  if (!n)
    return {};
  return {true,
          operand(n->gain),
          operand(n->bias),
          operand(n->mean),
          operand(n->variance),
          bool(n->batch_stats),
          n->momentum,
          n->eps};
}

bool window_fits(const Tensor &x, int64_t window) {
  return (window == 1 || window == 2) && x.size(2) >= window && x.size(3) >= window;
}

} // namespace

extern "C" {

int eg_norm_relu_pool_fits(void *x, const eg_norm *norm, void *shortcut, const eg_norm *shortcut_norm, int64_t window) {
  const Tensor &t = T(x);
  if (!image_like(t) || !window_fits(t, window) || !norm_fits(t.size(1), norm))
    return 0;
  return !shortcut || (image_like(T(shortcut)) && T(shortcut).sizes() == t.sizes() &&
                       T(shortcut).scalar_type() == t.scalar_type() && norm_fits(t.size(1), shortcut_norm));
}

void *eg_norm_relu_pool(void *x, const eg_norm *norm, void *shortcut, const eg_norm *shortcut_norm, double slope,
                        int64_t window) {
  return guarded<void *>(nullptr, [&] {
    return new Tensor(by_elements(T(x), [&](auto e) {
      const auto last = [](const Tensor &t) { return t.contiguous(at::MemoryFormat::ChannelsLast); };
      const NormOperands n = operands(norm), s = operands(shortcut ? shortcut_norm : nullptr);
      return NormReLUPool<decltype(e)>::apply(last(T(x)), n.gain, n.bias,
                                              shortcut ? last(T(shortcut)) : operand(nullptr), s.gain, s.bias, n, s,
                                              slope, window);
    }));
  });
}

int eg_image_conv_block_fits(void *x, void *w, void *b, const eg_norm *norm, int64_t window) {
  const Tensor &t = T(x), &k = T(w);
  return image_like(t) && image_like(k) && !is_bfloat(k) && !t.requires_grad() && t.size(1) <= max_planes &&
         k.size(1) == t.size(1) && k.size(2) == 3 && k.size(3) == 3 && window_fits(t, window) &&
         vector_of(b, k.size(0)) && norm_fits(k.size(0), norm);
}

void *eg_image_conv_block(void *x, void *w, void *b, const eg_norm *norm, int64_t window) {
  return guarded<void *>(nullptr, [&] {
    return new Tensor(by_elements(T(x), [&](auto e) {
      const NormOperands n = operands(norm);
      return ImageConvBlock<decltype(e)>::apply(T(x).contiguous(), T(w).contiguous(), operand(b), n.gain, n.bias, n,
                                                window);
    }));
  });
}

} // extern "C"
