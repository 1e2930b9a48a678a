#include "../torch.h"

#include "../arithmetic/adam.h"
#include "convnet.h"
#include "../guard.h"
#include "../operands.h"
#include "../processor.h"
#include "../arithmetic/product.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using namespace engram;

constexpr int64_t side = 3; // of a convolution's window

int64_t halved(int64_t n, int64_t stride) { return (n - 1) / stride + 1; }

// A block, its sizes, and where its parameters are among all of them: weight [out, 3·3·in], gain and bias [out].
struct Block {
  int64_t in, out, height, width, stride, window;
  int64_t weight, gain, bias;
  int64_t conv_height() const { return halved(height, stride); }
  int64_t conv_width() const { return halved(width, stride); }
  int64_t out_height() const { return conv_height() / window; }
  int64_t out_width() const { return conv_width() / window; }
  int64_t taps() const { return side * side * in; }
  int64_t rows(int64_t n) const { return n * conv_height() * conv_width(); }
  int64_t out_rows(int64_t n) const { return n * out_height() * out_width(); }
};

// What the kernels of batch norm take. A block's convolution gives y; x̂ = (y - mean)/σ, z = ReLU(γ·x̂ + β). All maps are
// [rows, channels], and everything else has a value per channel.
struct Size {
  int64_t rows, channels;
};
template <class S> struct Statistics {
  S *mean, *inv; // inv is 1/σ
};
template <class S> struct Affine {
  const S *gain, *bias; // γ and β
};
template <class S> struct Sums {
  S *plain, *product; // of a map, and of its product with x̂
};
// A map, or a value per channel, with its directional derivative.
template <class S> struct Moving { const S *value, *dot; };

#define EG_KERNELS_FILE "convnet_kernels.h"
#include "../perprocessor.h"

template <class S> struct Kernels {
  decltype(&plain::moments<S>) moments;
  decltype(&plain::normalise<S>) normalise;
  decltype(&plain::sums<S>) sums;
  decltype(&plain::backward<S>) backward;
  decltype(&plain::change_means<S>) change_means;
  decltype(&plain::change_normalise<S>) change_normalise;
  decltype(&plain::change_sums<S>) change_sums;
  decltype(&plain::change_backward<S>) change_backward;
  decltype(&plain::pool<S>) pool;
  decltype(&plain::pool_again<S>) pool_again;
  decltype(&plain::unpool<S>) unpool;
};

#define EG_KERNELS(of)                                                                                                 \
  Kernels<S> {                                                                                                         \
    of::moments<S>, of::normalise<S>, of::sums<S>, of::backward<S>, of::change_means<S>, of::change_normalise<S>,      \
        of::change_sums<S>, of::change_backward<S>, of::pool<S>, of::pool_again<S>, of::unpool<S>                      \
  }

// The kernels for this machine's processor.
template <class S> const Kernels<S> kernels = EG_CHOOSE(EG_KERNELS);

// Uninitialised memory for numbers, reused by later calls.
template <class S> class Numbers {
  std::unique_ptr<S[]> at;
  int64_t count = 0;

public:
  // Holds n values; earlier contents are lost.
  S *of(int64_t n) {
    if (n > count) {
      at.reset(new S[n]);
      count = n;
    }
    return at.get();
  }
  S *get() const { return at.get(); }
};

// ---- patches of a 3×3 convolution with padding 1 ----

// Calls f(first pixel's offset in the map, or -1 beyond its edge; pixels) for the runs of pixels that the nine taps of
// every pixel of the convolution are, one after the other.
template <class F> void each_run(const Block &b, int64_t n, const F &f) {
  const int64_t oh = b.conv_height(), ow = b.conv_width();
  for (int64_t image = 0; image < n; image++)
    for (int64_t i = 0; i < oh; i++)
      for (int64_t j = 0; j < ow; j++)
        for (int64_t u = 0; u < side; u++) {
          const int64_t r = i * b.stride + u - 1, c = j * b.stride - 1;
          if (r < 0 || r >= b.height) {
            f(-1, side);
            continue;
          }
          const int64_t from = std::max<int64_t>(c, 0), to = std::min(c + side, b.width);
          if (from > c)
            f(-1, from - c);
          f(((image * b.height + r) * b.width + from) * b.in, to - from);
          if (to < c + side)
            f(-1, c + side - to);
        }
}

template <class S> void unfold(const Block &b, int64_t n, const S *x, S *out) {
  each_run(b, n, [&, ch = b.in](int64_t at, int64_t pixels) {
    if (at < 0)
      std::fill_n(out, pixels * ch, S(0));
    else
      std::copy_n(x + at, pixels * ch, out);
    out += pixels * ch;
  });
}

// Adds the patches to the pixels that they were taken from.
template <class S> void fold(const Block &b, int64_t n, const S *in, S *x) {
  std::memset(x, 0, n * b.height * b.width * b.in * sizeof(S));
  each_run(b, n, [&, ch = b.in](int64_t at, int64_t pixels) {
    if (at >= 0) {
      S *__restrict to = x + at;
      const S *__restrict from = in;
      for (int64_t k = 0; k < pixels * ch; k++)
        to[k] += from[k];
    }
    in += pixels * ch;
  });
}

// ---- the network ----

// What the gradient needs of a block's evaluation.
template <class S> struct Kept {
  Numbers<S> patches, x; // x̂, which batch norm makes of the convolution's output
  Numbers<S> mean, inv;
  Numbers<int32_t> which;         // of each pooled value
  Numbers<S> g, sum, product, dy; // of the loss for what ReLU gives, its sums, and for the convolution's output
};

// What an evaluation of the network keeps for its gradient and for the gradient's derivative.
template <class S> struct Tape {
  int64_t images = 0;
  std::vector<Kept<S>> blocks;
  Numbers<S> features, logp, dlogits;
  double loss = 0;
};

// Images, channels last, and their labels.
template <class S> struct Examples {
  const S *images;
  const int64_t *labels;
  int64_t count;
};

// Examples that own their tensors.
template <class S> class Laid {
  Tensor images, labels;

public:
  Laid(const Tensor &x, const Tensor &y)
      : images(x.contiguous(at::MemoryFormat::ChannelsLast)), labels(y.contiguous()) {}
  operator Examples<S>() const { return {images.data_ptr<S>(), labels.data_ptr<int64_t>(), images.size(0)}; }
};

template <class S> class Net {
public:
  Net(const eg_convnet &of, void **values, const Tensor &x) : mean(of.mean), eps(of.eps) {
    int64_t channels = x.size(1), height = x.size(2), width = x.size(3);
    for (int i = 0; i < of.blocks; i++) {
      const Tensor &w = T(values[3 * i]);
      Block b{channels, w.size(0), height, width, of.stride[i], of.window[i], size, 0, 0};
      b.gain = b.weight + b.out * b.taps();
      b.bias = b.gain + b.out;
      size = b.bias + b.out;
      blocks.push_back(b);
      channels = b.out, height = b.out_height(), width = b.out_width();
    }
    pixels = height * width;
    positions = mean ? 1 : pixels;
    features = channels * positions;
    way = T(values[3 * of.blocks]).size(0);
    head = size;
    head_bias = head + way * features;
    size = head_bias + way;
    like = T(values[0]).options().requires_grad(false);
  }

  int64_t count() const { return size; }
  int64_t classes() const { return way; }

  // All parameters in one array, laid out as the loops of this file read them.
  std::vector<S> pack(void **values) const {
    std::vector<S> flat(size);
    auto put = [&](const Tensor &t, int64_t at) {
      std::memcpy(flat.data() + at, t.data_ptr<S>(), t.numel() * sizeof(S));
    };
    for (size_t i = 0; i < blocks.size(); i++) {
      put(T(values[3 * i]).permute({0, 2, 3, 1}).contiguous(), blocks[i].weight);
      put(T(values[3 * i + 1]).contiguous(), blocks[i].gain);
      put(T(values[3 * i + 2]).contiguous(), blocks[i].bias);
    }
    put(T(values[3 * blocks.size()]).reshape({way, features / positions, positions}).transpose(1, 2).contiguous(),
        head);
    put(T(values[3 * blocks.size() + 1]).contiguous(), head_bias);
    return flat;
  }

  void unpack(const std::vector<S> &flat, void **values) const {
    std::vector<Tensor> made;
    auto take = [&](at::IntArrayRef shape, int64_t at) {
      Tensor t = at::empty(shape, like);
      std::memcpy(t.data_ptr<S>(), flat.data() + at, t.numel() * sizeof(S));
      return t;
    };
    for (const Block &b : blocks) {
      made.push_back(take({b.out, side, side, b.in}, b.weight).permute({0, 3, 1, 2}));
      made.push_back(take({b.out}, b.gain));
      made.push_back(take({b.out}, b.bias));
    }
    made.push_back(take({way, positions, features / positions}, head).transpose(1, 2).reshape({way, features}));
    made.push_back(take({way}, head_bias));
    for (size_t i = 0; i < made.size(); i++)
      values[i] = new Tensor(made[i]);
  }

  // The log-probabilities of images and the mean loss, and its gradient for the parameters.
  void gradient(const std::vector<S> &theta, const Examples<S> &of, Tape<S> &tape, std::vector<S> &grads) {
    forward(theta, of, tape);
    grads.resize(size);
    const int64_t n = tape.images;
    linear_backward(tape, tape.dlogits.get(), grads.data());
    S *d = spread.of(n * features);
    multiply(AsIs, Matrix<const S>{tape.dlogits.get(), n, way, way}, AsIs,
             Matrix<const S>{theta.data() + head, way, features, features}, Matrix<S>{d, n, features, features}, false);
    to_map(n, d);
    for (int64_t i = int64_t(blocks.size()) - 1; i >= 0; i--) {
      const Block &b = blocks[i];
      Kept<S> &k = tape.blocks[i];
      const int64_t rows = b.rows(n);
      const Size to{rows, b.out};
      const Affine<S> by = affine(b, theta);
      const Sums<S> totals{k.sum.of(b.out), k.product.of(b.out)};
      to_relu(b, n, map.get(), k.which, k.g);
      kernels<S>.sums(to, k.x.get(), k.g.get(), by, totals);
      kernels<S>.backward(to, k.x.get(), k.g.get(), by, k.inv.get(), totals, k.dy.of(rows * b.out));
      std::memcpy(grads.data() + b.gain, k.product.get(), b.out * sizeof(S));
      std::memcpy(grads.data() + b.bias, k.sum.get(), b.out * sizeof(S));
      weight_gradient(b, rows, k.dy.get(), k.patches.get(), grads.data() + b.weight, false);
      if (i > 0) {
        S *p = unfolded.of(rows * b.taps());
        through_weights(b, rows, k.dy.get(), theta.data() + b.weight, p, false);
        fold(b, n, p, map.of(n * b.height * b.width * b.in));
      }
    }
  }

  // The product of the Hessian of the loss that the tape is of, at theta, and of v: the directional derivative of
  // the gradient along v (Pearlmutter 1994). It runs forward and backward over what the tape kept.
  void hessian_times(const std::vector<S> &theta, const std::vector<S> &v, Tape<S> &tape, std::vector<S> &out) {
    const int64_t n = tape.images, last = int64_t(blocks.size()) - 1;
    out.resize(size);
    changes.resize(blocks.size());
    for (int64_t i = 0; i <= last; i++) {
      const Block &b = blocks[i];
      Kept<S> &k = tape.blocks[i];
      Change &c = changes[i];
      const int64_t rows = b.rows(n);
      S *dot = c.x.of(rows * b.out), *zdot = relu.of(rows * b.out);
      to_weights(b, rows, k.patches.get(), v.data() + b.weight, dot, false);
      if (i > 0) { // the images do not change
        unfold(b, n, map.get(), c.patches.of(rows * b.taps()));
        to_weights(b, rows, c.patches.get(), theta.data() + b.weight, dot, true);
      }
      const Size to{rows, b.out};
      const Sums<S> means{c.mean.of(b.out), c.product.of(b.out)};
      kernels<S>.change_means(to, k.x.get(), dot, means);
      kernels<S>.change_normalise(to, k.x.get(), dot, means, k.inv.get(), affine(b, theta), affine(b, v), zdot);
      if (b.window > 1)
        kernels<S>.pool_again(b, n, zdot, k.which.get(), map.of(b.out_rows(n) * b.out));
      else
        std::swap(map, relu);
    }
    S *fdot = feature_change.of(n * features);
    to_features(n, map.get(), fdot);
    S *ldot = logit_change.of(n * way);
    multiply(AsIs, Matrix<const S>{fdot, n, features, features}, Transposed,
             Matrix<const S>{theta.data() + head, way, features, features}, Matrix<S>{ldot, n, way, way}, false);
    multiply(AsIs, Matrix<const S>{tape.features.get(), n, features, features}, Transposed,
             Matrix<const S>{v.data() + head, way, features, features}, Matrix<S>{ldot, n, way, way}, true);
    for (int64_t r = 0; r < n; r++) { // the directional derivative of softmax
      const S *logp = tape.logp.get() + r * way, *by = v.data() + head_bias;
      S *d = ldot + r * way, sum = 0;
      for (int64_t c = 0; c < way; c++) {
        d[c] += by[c];
        sum += std::exp(logp[c]) * d[c];
      }
      for (int64_t c = 0; c < way; c++)
        d[c] = std::exp(logp[c]) * (d[c] - sum) / S(n);
    }
    linear_backward(tape, ldot, out.data());
    multiply(Transposed, Matrix<const S>{tape.dlogits.get(), n, way, way}, AsIs,
             Matrix<const S>{fdot, n, features, features}, Matrix<S>{out.data() + head, way, features, features}, true);
    S *d = spread.of(n * features);
    multiply(AsIs, Matrix<const S>{ldot, n, way, way}, AsIs,
             Matrix<const S>{theta.data() + head, way, features, features}, Matrix<S>{d, n, features, features}, false);
    multiply(AsIs, Matrix<const S>{tape.dlogits.get(), n, way, way}, AsIs,
             Matrix<const S>{v.data() + head, way, features, features}, Matrix<S>{d, n, features, features}, true);
    to_map(n, d);
    for (int64_t i = last; i >= 0; i--) {
      const Block &b = blocks[i];
      Kept<S> &k = tape.blocks[i];
      Change &c = changes[i];
      const int64_t rows = b.rows(n);
      const Size to{rows, b.out};
      const Affine<S> by = affine(b, theta);
      const S *inv = k.inv.get();
      to_relu(b, n, map.get(), k.which, relu);
      const Moving<S> x{k.x.get(), c.x.get()}, g{k.g.get(), relu.get()};
      const Sums<S> totals{k.sum.get(), k.product.get()}, moving{c.sum.of(b.out), c.total.of(b.out)};
      kernels<S>.change_sums(to, x, g, by, moving);
      std::memcpy(out.data() + b.gain, moving.product, b.out * sizeof(S));
      std::memcpy(out.data() + b.bias, moving.plain, b.out * sizeof(S));
      S *factor = c.factor.of(b.out), *factor_dot = c.factor_dot.of(b.out); // γ/σ and its change
      for (int64_t ch = 0; ch < b.out; ch++) {
        factor[ch] = by.gain[ch] * inv[ch];
        factor_dot[ch] = v[b.gain + ch] * inv[ch] - by.gain[ch] * inv[ch] * inv[ch] * c.product.get()[ch];
      }
      S *dy = c.dy.of(rows * b.out);
      kernels<S>.change_backward(to, x, g, by, {factor, factor_dot}, totals, moving, dy);
      weight_gradient(b, rows, dy, k.patches.get(), out.data() + b.weight, false);
      if (i > 0) {
        weight_gradient(b, rows, k.dy.get(), c.patches.get(), out.data() + b.weight, true);
        S *p = unfolded.of(rows * b.taps());
        through_weights(b, rows, dy, theta.data() + b.weight, p, false);
        through_weights(b, rows, k.dy.get(), v.data() + b.weight, p, true);
        fold(b, n, p, map.of(n * b.height * b.width * b.in));
      }
    }
  }

private:
  struct Change {
    Numbers<S> patches, x, mean, product, sum, total, factor, factor_dot, dy;
  };

  void forward(const std::vector<S> &theta, const Examples<S> &of, Tape<S> &tape) {
    const int64_t n = of.count;
    tape.images = n;
    tape.blocks.resize(blocks.size());
    const S *in = of.images;
    for (size_t i = 0; i < blocks.size(); i++) {
      const Block &b = blocks[i];
      Kept<S> &k = tape.blocks[i];
      const int64_t rows = b.rows(n);
      S *p = k.patches.of(rows * b.taps()), *y = k.x.of(rows * b.out), *z = relu.of(rows * b.out);
      unfold(b, n, in, p);
      to_weights(b, rows, p, theta.data() + b.weight, y, false);
      const Size to{rows, b.out};
      const Statistics<S> statistics{k.mean.of(b.out), k.inv.of(b.out)};
      kernels<S>.moments(to, y, eps, statistics);
      kernels<S>.normalise(to, y, statistics, affine(b, theta), z);
      if (b.window > 1)
        kernels<S>.pool(b, n, z, map.of(b.out_rows(n) * b.out), k.which.of(b.out_rows(n) * b.out));
      else
        std::swap(map, relu);
      in = map.get();
    }
    S *f = tape.features.of(n * features);
    to_features(n, in, f);
    S *logp = tape.logp.of(n * way), *d = tape.dlogits.of(n * way);
    multiply(AsIs, Matrix<const S>{f, n, features, features}, Transposed,
             Matrix<const S>{theta.data() + head, way, features, features}, Matrix<S>{logp, n, way, way}, false);
    tape.loss = 0;
    for (int64_t r = 0; r < n; r++) {
      S *l = logp + r * way, most = -std::numeric_limits<S>::infinity();
      for (int64_t c = 0; c < way; c++)
        most = std::max(most, l[c] += theta[head_bias + c]);
      double sum = 0;
      for (int64_t c = 0; c < way; c++)
        sum += std::exp(double(l[c] - most));
      const S log_sum = most + S(std::log(sum));
      const int64_t label = of.labels[r];
      if (label < 0 || label >= way)
        throw std::out_of_range("label " + std::to_string(label) + " is none of " + std::to_string(way) + " classes");
      for (int64_t c = 0; c < way; c++) {
        l[c] -= log_sum;
        d[r * way + c] = S((std::exp(double(l[c])) - (c == label)) / double(n));
      }
      tape.loss -= double(l[label]) / double(n);
    }
  }

  static Affine<S> affine(const Block &b, const std::vector<S> &theta) {
    return {theta.data() + b.gain, theta.data() + b.bias};
  }

  // y = p·Wᵀ
  static void to_weights(const Block &b, int64_t rows, const S *p, const S *w, S *y, bool keep) {
    multiply(AsIs, Matrix<const S>{p, rows, b.taps(), b.taps()}, Transposed,
             Matrix<const S>{w, b.out, b.taps(), b.taps()}, Matrix<S>{y, rows, b.out, b.out}, keep);
  }
  // p = dy·W
  static void through_weights(const Block &b, int64_t rows, const S *dy, const S *w, S *p, bool keep) {
    multiply(AsIs, Matrix<const S>{dy, rows, b.out, b.out}, AsIs, Matrix<const S>{w, b.out, b.taps(), b.taps()},
             Matrix<S>{p, rows, b.taps(), b.taps()}, keep);
  }
  // dW = dyᵀ·p
  static void weight_gradient(const Block &b, int64_t rows, const S *dy, const S *p, S *dw, bool keep) {
    multiply(Transposed, Matrix<const S>{dy, rows, b.out, b.out}, AsIs, Matrix<const S>{p, rows, b.taps(), b.taps()},
             Matrix<S>{dw, b.out, b.taps(), b.taps()}, keep);
  }

  void linear_backward(const Tape<S> &tape, const S *d, S *grads) const {
    const int64_t n = tape.images;
    multiply(Transposed, Matrix<const S>{d, n, way, way}, AsIs,
             Matrix<const S>{tape.features.get(), n, features, features},
             Matrix<S>{grads + head, way, features, features}, false);
    for (int64_t c = 0; c < way; c++) {
      S sum = 0;
      for (int64_t r = 0; r < n; r++)
        sum += d[r * way + c];
      grads[head_bias + c] = sum;
    }
  }

  // The last maps [n, pixels, channels] as features, and back, into `map`.
  void to_features(int64_t n, const S *maps, S *f) const {
    if (!mean) {
      std::memcpy(f, maps, n * features * sizeof(S));
      return;
    }
    for (int64_t r = 0; r < n; r++)
      for (int64_t c = 0; c < features; c++) {
        S sum = 0;
        for (int64_t p = 0; p < pixels; p++)
          sum += maps[(r * pixels + p) * features + c];
        f[r * features + c] = sum / S(pixels);
      }
  }
  void to_map(int64_t n, const S *d) {
    const int64_t channels = features / positions;
    S *to = map.of(n * pixels * channels);
    if (!mean) {
      std::memcpy(to, d, n * features * sizeof(S));
      return;
    }
    for (int64_t r = 0; r < n; r++)
      for (int64_t p = 0; p < pixels; p++)
        for (int64_t c = 0; c < channels; c++)
          to[(r * pixels + p) * channels + c] = d[r * features + c] / S(pixels);
  }

  // Takes the gradient of a block's output to that of ReLU's output.
  static void to_relu(const Block &b, int64_t n, const S *d, const Numbers<int32_t> &which, Numbers<S> &g) {
    S *to = g.of(b.rows(n) * b.out);
    if (b.window > 1)
      kernels<S>.unpool(b, n, d, which.get(), to);
    else
      std::memcpy(to, d, b.rows(n) * b.out * sizeof(S));
  }

  std::vector<Block> blocks;
  bool mean;
  double eps;
  int64_t size = 0, pixels = 1, positions = 1, features = 0, way = 0, head = 0, head_bias = 0;
  at::TensorOptions like;
  // Scratch memory: maps and their gradients between blocks.
  Numbers<S> map, relu, unfolded, spread, feature_change, logit_change;
  std::vector<Change> changes;
};

// θ' = θ - α·g
template <class S>
std::vector<S> moved(const std::vector<S> &theta, const std::vector<S> &grads, const std::vector<S> &rates,
                     double rate) {
  std::vector<S> out(theta.size());
  for (size_t i = 0; i < out.size(); i++)
    out[i] = theta[i] - (rates.empty() ? S(rate) : rates[i]) * grads[i];
  return out;
}

Tensor number(double v, const Tensor &like) { return at::full({}, v, like.options().requires_grad(false)); }

bool numbers(const Tensor &t, const Tensor &like, at::IntArrayRef shape) {
  return t.device().is_cpu() && t.layout() == at::kStrided && t.scalar_type() == like.scalar_type() &&
         t.sizes() == shape;
}

void want_images(const eg_convnet *net, void **values, const Tensor &x, const Tensor &labels) {
  want(eg_convnet_fits(net, values, const_cast<Tensor *>(&x)),
       "the images and the network's parameters do not fit together");
  want(labels.device().is_cpu() && labels.scalar_type() == at::kLong && labels.dim() == 1 &&
           labels.size(0) == x.size(0),
       "want a label (int64) for each image");
}

} // namespace

extern "C" {

int eg_convnet_fits(const eg_convnet *net, void **values, void *images) {
  const Tensor &x = T(images);
  if (!x.device().is_cpu() || x.layout() != at::kStrided || x.dim() != 4 || x.numel() == 0 ||
      (x.scalar_type() != at::kFloat && x.scalar_type() != at::kDouble))
    return 0;
  int64_t channels = x.size(1), height = x.size(2), width = x.size(3);
  for (int i = 0; i < net->blocks; i++) {
    const Tensor &w = T(values[3 * i]);
    if (net->stride[i] < 1 || net->window[i] < 1 || w.dim() != 4)
      return 0;
    const int64_t out = w.size(0);
    if (!numbers(w, x, {out, channels, side, side}) || !numbers(T(values[3 * i + 1]), x, {out}) ||
        !numbers(T(values[3 * i + 2]), x, {out}))
      return 0;
    channels = out, height = halved(height, net->stride[i]) / net->window[i],
    width = halved(width, net->stride[i]) / net->window[i];
    if (channels * height * width == 0)
      return 0;
  }
  const Tensor &head = T(values[3 * net->blocks]);
  return head.dim() == 2 && head.size(0) > 0 &&
         numbers(head, x, {head.size(0), net->mean ? channels : channels * height * width}) &&
         numbers(T(values[3 * net->blocks + 1]), x, {head.size(0)});
}

int eg_convnet_descend(const eg_convnet *how, void **values, void **rates, double rate, void *x, void *labels,
                       int steps, void **to) {
  return guarded(-1, [&] {
    want_images(how, values, T(x), T(labels));
    EG_DISPATCH(T(x), [&] {
      Net<F> net(*how, values, T(x));
      const Laid<F> all(T(x), T(labels));
      Tape<F> tape;
      std::vector<F> theta = net.pack(values), by = rates ? net.pack(rates) : std::vector<F>(), got;
      for (int i = 0; i < steps; i++) {
        net.gradient(theta, all, tape, got);
        theta = moved(theta, got, by, rate);
      }
      net.unpack(theta, to);
    });
    return 0;
  });
}

int eg_convnet_adam(const eg_convnet *how, void **values, void **squares, const struct eg_adam_steps *by, void *x,
                    void *labels, void **to, void **squares_to, void **loss) {
  return guarded(-1, [&] {
    want_images(how, values, T(x), T(labels));
    want(eg_convnet_fits(how, squares, x), "the squares are not as the values");
    for (int64_t i = 0; i < by->steps * by->batch; i++)
      want(by->dealt[i] >= 0 && by->dealt[i] < T(x).size(0), "an image is dealt out that is not there");
    EG_DISPATCH(T(x), [&] {
      Net<F> net(*how, values, T(x));
      const Laid<F> laid(T(x), T(labels));
      const Examples<F> all = laid;
      const int64_t pixels = T(x).numel() / all.count;
      Tape<F> tape;
      std::vector<F> theta = net.pack(values), v = net.pack(squares), got, images(by->batch * pixels);
      std::vector<int64_t> names(by->batch);
      double total = 0;
      for (int64_t i = 0; i < by->steps; i++) {
        for (int64_t k = 0; k < by->batch; k++) {
          const int64_t one = by->dealt[i * by->batch + k];
          std::copy_n(all.images + one * pixels, pixels, images.data() + k * pixels);
          names[k] = all.labels[one];
        }
        net.gradient(theta, {images.data(), names.data(), by->batch}, tape, got);
        adam<F>(theta.data(), nullptr, v.data(), got.data(), int64_t(theta.size()),
                AdamStep<F>(by->rate, 0, by->beta2, by->eps, 0, false, by->done + i + 1));
        total += tape.loss / double(by->steps);
      }
      net.unpack(theta, to);
      net.unpack(v, squares_to);
      *loss = new Tensor(number(total, T(x)));
    });
    return 0;
  });
}

int eg_convnet_meta(const eg_convnet *how, void **values, void **rates, double rate, void *support,
                    void *support_labels, void *query, void *query_labels, int steps, int second, void **grads,
                    void **rate_grads, void **loss, void **logp) {
  return guarded(-1, [&] {
    want_images(how, values, T(support), T(support_labels));
    want_images(how, values, T(query), T(query_labels));
    EG_DISPATCH(T(support), [&] {
      Net<F> net(*how, values, T(support));
      const std::vector<F> by = rates ? net.pack(rates) : std::vector<F>();
      std::vector<std::vector<F>> theta{net.pack(values)}, inner(steps);
      std::vector<Tape<F>> tapes(second ? steps : 1); // of inner steps
      const Laid<F> given(T(support), T(support_labels));
      for (int i = 0; i < steps; i++) {
        net.gradient(theta[i], given, tapes[second ? i : 0], inner[i]);
        theta.push_back(moved(theta[i], inner[i], by, rate));
      }
      Tape<F> asked;
      std::vector<F> back, along, product, rate_back(rates ? net.count() : 0);
      net.gradient(theta[steps], Laid<F>(T(query), T(query_labels)), asked, back);
      // The gradient for the values before a step is (I - H·diag(α)) times that for those after it.
      for (int i = steps - 1; i >= 0; i--) {
        for (size_t k = 0; k < rate_back.size(); k++)
          rate_back[k] -= inner[i][k] * back[k];
        if (!second)
          continue;
        along.resize(back.size());
        for (size_t k = 0; k < back.size(); k++)
          along[k] = (by.empty() ? F(rate) : by[k]) * back[k];
        net.hessian_times(theta[i], along, tapes[i], product);
        for (size_t k = 0; k < back.size(); k++)
          back[k] -= product[k];
      }
      net.unpack(back, grads);
      if (rates)
        net.unpack(rate_back, rate_grads);
      *loss = new Tensor(number(asked.loss, T(support)));
      Tensor answers = fresh(T(support), {T(query).size(0), net.classes()});
      std::memcpy(answers.data_ptr<F>(), asked.logp.get(), answers.numel() * sizeof(F));
      *logp = new Tensor(answers);
    });
    return 0;
  });
}

} // extern "C"
