#include "../torch.h"

#include "../guard.h"
#include "../operands.h"
#include "few_rows.h"
#include "lstm.h"
#include "memory.h"
#include "programs.h"
#include "unroll.h"

#include <string>

#include <stdexcept>
#include <vector>

namespace {

using namespace engram;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// ---- the tape ----

// A buffer with one row per step, or without a gradient two rows, used alternately.
struct Steps {
  Tensor t;
  int64_t size = 0, rows = 0;
  Steps() = default;
  Steps(const Tensor &like, int64_t rows, int64_t size, at::ScalarType type)
      : t(at::empty({rows, size}, like.options().requires_grad(false).dtype(type))), size(size), rows(rows) {}
  Steps(const Tensor &like, int64_t rows, int64_t size) : Steps(like, rows, size, like.scalar_type()) {}
  template <class F> F *row(int64_t i) const { return t.data_ptr<F>() + (i % rows) * size; }
  // Sequence i's part of the row of a step.
  template <class F> F *of(int64_t at, int64_t i, int64_t batch) const { return row<F>(at) + i * (size / batch); }
};

struct Layer {
  int64_t in, size;
  Tensor wi, wh, b; // a feedforward layer has no wh; b is the sum of an LSTM's biases
  // The factors of a step, forward and backward: in for the input from the layer below or for the read vector.
  Panels in_ahead, hidden_ahead, in_back, hidden_back;
  Steps out;       // [time+1, batch·size]; step t at t+1
  Steps gates;     // before the non-linearities
  Steps act, cell; // of LSTM layers; cells are indexed like out
};

struct Tape : torch::CustomClassHolder {
  eg_network how;
  bool keep; // for backward
  int64_t time, batch, inputs, read;
  Tensor x, we, be, keys, gain, shift;
  Panels emit_ahead, emit_back;
  std::vector<Layer> layers;
  std::shared_ptr<const Memory> memory; // null without a memory
  Steps raw, mixture;                   // of programs: what the layer emits, and what their gradient needs
  Steps e, kept, kept_indices;          // of the memory
  Steps normal, spread;                 // of the norm: the normalised emission, and 1/σ of each sequence
  Steps m;                              // the matrix; step t at t+1, like parts
  std::vector<Steps> parts;             // the other parts of its state, in the order of MemorySizes.parts
  Tensor hidden;
  int64_t size() const { return layers.back().size; }
  int64_t out() const { return size() + read; }
  template <class F> Programs<F> programs() const {
    return {how.programs, keys.size(1), memory->sizes.emission, keys.data_ptr<F>()};
  }
};

template <class F> Matrix<F> matrix(F *at, int64_t rows, int64_t cols, int64_t step) { return {at, rows, cols, step}; }
template <class F> Matrix<const F> weights(const Tensor &w, int64_t from, int64_t cols) {
  return {w.data_ptr<F>() + from, w.size(0), cols, w.size(1)};
}

template <class F> void put_bias(F *to, int64_t rows, const Tensor &b) {
  const F *from = b.data_ptr<F>();
  for (int64_t i = 0; i < rows; i++)
    std::copy_n(from, b.numel(), to + i * b.numel());
}

// A range of a batch's sequences. A thread computes all steps of its range, so that threads do not wait for one
// another. With fewer sequences than threads there is one share, and threads divide the work within steps instead.
struct Share {
  int64_t from, to;
  int64_t rows() const { return to - from; }
};

template <class Body> void in_shares(const Tape &p, const Body &f) {
  if (p.batch < at::get_num_threads())
    return f(Share{0, p.batch});
  at::parallel_for(0, p.batch, 1, [&](int64_t from, int64_t to) { f(Share{from, to}); });
}

// A share's rows of a matrix with one row per sequence.
template <class F> Matrix<F> matrix(F *at, Share s, int64_t cols, int64_t step) {
  return {at + s.from * step, s.rows(), cols, step};
}

// Copies the initial state, which has the tape's shape [batch, ...], to a step's row.
template <class F> void start(const Tensor &first, const Steps &steps) {
  std::copy_n(first.data_ptr<F>(), steps.size, steps.row<F>(0));
}

template <class F> void memory_forward(const Tape &p, Share s, int64_t t, F *hidden) {
  const MemorySizes &z = p.memory->sizes;
  each<F>(s.from, s.to, z.forward_work, z.forward_scratch, [&](int64_t i, F *scratch) {
    MemoryForward<F> x{};
    x.emission = p.e.of<F>(t, i, p.batch), x.memory = p.m.of<F>(t, i, p.batch), x.next = p.m.of<F>(t + 1, i, p.batch);
    for (size_t k = 0; k < z.parts.size(); k++) {
      x.before[k] = z.parts[k].input ? p.parts[k].of<F>(t, i, p.batch) : nullptr;
      x.after[k] = p.parts[k].of<F>(t + 1, i, p.batch);
    }
    x.read = hidden + i * p.out() + p.size();
    x.kept = p.kept.of<F>(t, i, p.batch), x.kept_indices = p.kept_indices.of<int64_t>(t, i, p.batch);
    x.scratch = scratch;
    p.memory->forward(x);
  });
}

// Layer norm of a step's emissions, in place: x̂ = (x − μ)/√(σ² + eps), y = gain·x̂ + shift.
template <class F> void norm_forward(const Tape &p, Share s, int64_t t) {
  const int64_t n = p.memory->sizes.emission;
  const F *gain = p.gain.data_ptr<F>(), *shift = p.shift.data_ptr<F>();
  for (int64_t i = s.from; i < s.to; i++) {
    F *e = p.e.of<F>(t, i, p.batch), *normal = p.normal.of<F>(t, i, p.batch), mean = 0, variance = 0;
#pragma omp simd reduction(+ : mean)
    for (int64_t j = 0; j < n; j++)
      mean += e[j];
    mean /= F(n);
#pragma omp simd reduction(+ : variance)
    for (int64_t j = 0; j < n; j++)
      variance += (e[j] - mean) * (e[j] - mean);
    const F scale = 1 / std::sqrt(variance / F(n) + F(p.how.norm));
    *p.spread.of<F>(t, i, p.batch) = scale;
#pragma omp simd
    for (int64_t j = 0; j < n; j++) {
      normal[j] = (e[j] - mean) * scale;
      e[j] = gain[j] * normal[j] + shift[j];
    }
  }
}

// Its gradient with respect to x, from that with respect to y: x̄ = (g − mean(g) − x̂·mean(g·x̂))/√(σ² + eps) with g =
// gain·ȳ. Both are [batch, emission].
template <class F> void norm_backward(const Tape &p, Share s, int64_t t, const F *dy, F *dx) {
  const int64_t n = p.memory->sizes.emission;
  const F *gain = p.gain.data_ptr<F>();
  for (int64_t i = s.from; i < s.to; i++) {
    const F *d = dy + i * n, *normal = p.normal.of<F>(t, i, p.batch), scale = *p.spread.of<F>(t, i, p.batch);
    F *out = dx + i * n, mean = 0, along = 0;
#pragma omp simd reduction(+ : mean, along)
    for (int64_t j = 0; j < n; j++) {
      const F g = gain[j] * d[j];
      mean += g;
      along += g * normal[j];
    }
    mean /= F(n), along /= F(n);
#pragma omp simd
    for (int64_t j = 0; j < n; j++)
      out[j] = (gain[j] * d[j] - mean - normal[j] * along) * scale;
  }
}

// A step of a share, without the first layer's product with the inputs; hidden is [time, batch, out].
template <class F> void forward_step(const Tape &p, Share s, int64_t t, F *hidden) {
  const int64_t batch = p.batch, size = p.size(), out = p.out();
  const F *before = t ? hidden + (t - 1) * batch * out : nullptr; // [batch, out]
  for (size_t k = 0; k < p.layers.size(); k++) {
    const Layer &l = p.layers[k];
    F *gates = l.gates.row<F>(t);
    const int64_t wide = l.b.numel();
    const auto into = matrix<F>(gates, s, wide, wide);
    if (k > 0) {
      put_bias(into.at, s.rows(), l.b);
      multiply_few(matrix<const F>(p.layers[k - 1].out.row<F>(t + 1), s, l.in, l.in), l.in_ahead, into, true);
    } else if (before && p.read) {
      multiply_few(matrix<const F>(before + size, s, p.read, out), l.in_ahead, into, true);
    }
    F *y = l.out.row<F>(t + 1);
    if (!p.how.lstm) {
      for (int64_t i = s.from * l.size; i < s.to * l.size; i++)
        y[i] = std::tanh(gates[i]);
      continue;
    }
    if (t)
      multiply_few(matrix<const F>(l.out.row<F>(t), s, l.size, l.size), l.hidden_ahead, into, true);
    F *act = l.act.row<F>(t), *cell = l.cell.row<F>(t), *next = l.cell.row<F>(t + 1);
    each<F>(s.from, s.to, 50 * l.size, 0, [&](int64_t i, F *) {
      lstm_forward(LSTMForward<F>{l.size, gates + i * wide, cell + i * l.size, act + i * 5 * l.size, y + i * l.size,
                                  next + i * l.size});
    });
  }
  const F *top = p.layers.back().out.row<F>(t + 1);
  F *now = hidden + t * batch * out;
  for (int64_t i = s.from; i < s.to; i++)
    std::copy_n(top + i * size, size, now + i * out);
  if (!p.memory)
    return;
  const int64_t emitted = p.be.numel();
  const auto e = matrix<F>((p.how.programs ? p.raw : p.e).row<F>(t), s, emitted, emitted);
  put_bias(e.at, s.rows(), p.be);
  multiply_few(matrix<const F>(top, s, size, size), p.emit_ahead, e, true);
  if (p.how.programs)
    for (int64_t i = s.from; i < s.to; i++)
      p.programs<F>().forward(p.raw.of<F>(t, i, batch), p.mixture.of<F>(t, i, batch), p.e.of<F>(t, i, batch));
  if (p.how.norm)
    norm_forward<F>(p, s, t);
  memory_forward<F>(p, s, t, now);
}

template <class F> void forward(Tape &p) {
  F *hidden = p.hidden.data_ptr<F>();
  {
    // The first layer's product with the inputs covers all steps at once, because it does not depend on earlier
    // steps.
    const Layer &l = p.layers[0];
    const int64_t wide = l.b.numel(), rows = p.time * p.batch;
    put_bias(l.gates.row<F>(0), rows, l.b);
    multiply(AsIs, matrix<const F>(p.x.data_ptr<F>(), rows, p.inputs, p.inputs), Transposed,
             weights<F>(l.wi, 0, p.inputs), matrix<F>(l.gates.row<F>(0), rows, wide, wide), true);
  }
  in_shares(p, [&](Share s) {
    for (int64_t t = 0; t < p.time; t++)
      forward_step<F>(p, s, t, hidden);
  });
}

// The gradients that a step of the memory passes to the previous step; those that step t passes on are in row t. A
// part without a gradient, or that is not an input, has none.
struct Carry {
  Steps m;
  std::vector<Steps> parts;
};

// Clips v to ±by unless by is zero.
template <class F> void clip(F *v, int64_t n, double by) {
  if (by == 0)
    return;
  const F b = F(by);
#pragma omp simd
  for (int64_t i = 0; i < n; i++)
    v[i] = v[i] < -b ? -b : v[i] > b ? b : v[i];
}

template <class F> void memory_backward(const Tape &p, Share s, int64_t t, const F *dread, F *de, const Carry &c) {
  const MemorySizes &z = p.memory->sizes;
  const bool last = t + 1 == p.time;
  each<F>(s.from, s.to, z.backward_work, z.backward_scratch, [&](int64_t i, F *scratch) {
    MemoryBackward<F> x{};
    x.emission = p.e.of<F>(t, i, p.batch), x.memory = p.m.of<F>(t, i, p.batch), x.next = p.m.of<F>(t + 1, i, p.batch);
    x.kept = p.kept.of<F>(t, i, p.batch), x.kept_indices = p.kept_indices.of<int64_t>(t, i, p.batch);
    x.dread = dread + i * p.read, x.dnext = last ? nullptr : c.m.of<F>(t + 1, i, p.batch);
    x.demission = de + i * z.emission, x.dmemory = c.m.of<F>(t, i, p.batch);
    for (size_t k = 0; k < z.parts.size(); k++) {
      x.before[k] = z.parts[k].input ? p.parts[k].of<F>(t, i, p.batch) : nullptr;
      x.after[k] = p.parts[k].of<F>(t + 1, i, p.batch);
      if (!c.parts[k].rows)
        continue;
      x.dafter[k] = last ? nullptr : c.parts[k].of<F>(t + 1, i, p.batch);
      x.dbefore[k] = c.parts[k].of<F>(t, i, p.batch);
    }
    x.scratch = scratch;
    p.memory->backward(x);
  });
}

// From the gradient of the outputs [time, batch, out] to those of all tensors of eg_unroll, in order; that of x only
// if needed.
template <class F> variable_list backward(Tape &p, const Tensor &dhidden, bool want_x) {
  const int64_t time = p.time, batch = p.batch, size = p.size(), out = p.out(), n = int64_t(p.layers.size());
  const F *dout = dhidden.data_ptr<F>();
  const Tensor &x = p.x;
  const bool memory = p.memory != nullptr;
  const int64_t emission = memory ? p.memory->sizes.emission : 0, emitted = memory ? p.be.numel() : 0;
  Tensor de = memory ? fresh(x, {time, batch, emission}) : Tensor();           // of what drives the memory
  Tensor dmix = memory && p.how.norm ? fresh(x, {time, batch, emission}) : de; // of what the programs emit together
  Tensor demit = p.how.programs ? fresh(x, {time, batch, emitted}) : dmix;     // of what the layer emits
  // Of the keys, for each sequence.
  Tensor dkeys = p.how.programs ? at::zeros({batch, p.keys.size(0), p.keys.size(1)}, p.keys.options()) : Tensor();
  std::vector<Tensor> dgates;
  std::vector<std::vector<F>> dh, dc,
      above; // of this step: passed back by the next step, and from the layer above
  for (const Layer &l : p.layers) {
    dgates.push_back(fresh(x, {time, batch, l.b.numel()}));
    dh.emplace_back(l.out.size, F(0));
    dc.emplace_back(l.out.size, F(0));
    above.emplace_back(l.out.size, F(0));
  }
  std::vector<F> dread(batch * p.read, F(0));
  Carry carry;
  if (memory) {
    carry.m = Steps(x, 2, p.m.size);
    for (size_t k = 0; k < p.parts.size(); k++) {
      const Part &part = p.memory->sizes.parts[k];
      carry.parts.push_back(part.input && part.gradient ? Steps(x, 2, p.parts[k].size) : Steps());
    }
  }

  // A share's part of a row of the batch.
  const auto clip_share = [&](F *row, Share s, int64_t columns) {
    clip(row + s.from * columns, s.rows() * columns, p.how.carried);
  };
  in_shares(p, [&](Share s) {
    for (int64_t t = time - 1; t >= 0; t--) {
      const F *d = dout + t * batch * out;
      F *top = above[n - 1].data();
      for (int64_t i = s.from; i < s.to; i++) {
        std::copy_n(d + i * out, size, top + i * size);
        for (int64_t k = 0; k < p.read; k++)
          dread[i * p.read + k] += d[i * out + size + k];
      }
      if (memory) {
        F *e = de.data_ptr<F>() + t * batch * emission;
        memory_backward<F>(p, s, t, dread.data(), e, carry);
        clip_share(carry.m.row<F>(t), s, p.m.size / batch);
        for (const Steps &part : carry.parts)
          if (part.rows)
            clip_share(part.row<F>(t), s, part.size / batch);
        if (p.how.norm) {
          F *mix = dmix.data_ptr<F>() + t * batch * emission;
          norm_backward<F>(p, s, t, e, mix);
          e = mix;
        }
        F *raw = demit.data_ptr<F>() + t * batch * emitted;
        if (p.how.programs)
          for (int64_t i = s.from; i < s.to; i++)
            p.programs<F>().backward(p.raw.of<F>(t, i, batch), p.mixture.of<F>(t, i, batch), e + i * emission,
                                     raw + i * emitted, dkeys.data_ptr<F>() + i * p.keys.numel());
        multiply_few(matrix<const F>(raw, s, emitted, emitted), p.emit_back, matrix<F>(top, s, size, size), true);
      }
      for (int64_t k = n - 1; k >= 0; k--) {
        const Layer &l = p.layers[k];
        const int64_t wide = l.b.numel(), first = s.from * l.size, last = s.to * l.size;
        F *g = dgates[k].data_ptr<F>() + t * batch * wide, *dy = above[k].data();
        const auto from = matrix<const F>(g, s, wide, wide);
        if (p.how.lstm) {
          const F *act = l.act.row<F>(t), *cell = l.cell.row<F>(t);
          F *h = dh[k].data(), *c = dc[k].data();
          for (int64_t i = first; i < last; i++)
            dy[i] += h[i];
          each<F>(s.from, s.to, 30 * l.size, 0, [&](int64_t i, F *) {
            lstm_backward(LSTMBackward<F>{l.size, act + i * 5 * l.size, cell + i * l.size, dy + i * l.size,
                                          c + i * l.size, g + i * wide, c + i * l.size});
          });
          clip_share(c, s, l.size);
          if (t)
            multiply_few(from, l.hidden_back, matrix<F>(h, s, l.size, l.size), false);
          clip_share(h, s, l.size);
        } else {
          const F *y = l.out.row<F>(t + 1);
          for (int64_t i = first; i < last; i++)
            g[i] = dy[i] * (1 - y[i] * y[i]);
        }
        if (k > 0)
          multiply_few(from, l.in_back, matrix<F>(above[k - 1].data(), s, l.in, l.in), false);
        else if (t && p.read)
          multiply_few(from, l.in_back, matrix<F>(dread.data(), s, p.read, p.read), false);
      }
      clip_share(dread.data(), s, p.read);
    }
  });

  // The gradients of the weights, over all steps at once.
  variable_list grads;
  const int64_t rows = time * batch, later = (time - 1) * batch;
  Tensor dx;
  if (want_x) {
    dx = fresh(x, {time, batch, p.inputs});
    const int64_t wide = p.layers[0].b.numel();
    multiply(AsIs, matrix<const F>(dgates[0].data_ptr<F>(), rows, wide, wide), AsIs,
             weights<F>(p.layers[0].wi, 0, p.inputs), matrix<F>(dx.data_ptr<F>(), rows, p.inputs, p.inputs), false);
  }
  grads.push_back(dx);
  for (int64_t k = 0; k < n; k++) {
    const Layer &l = p.layers[k];
    const int64_t wide = l.b.numel();
    const F *g = dgates[k].data_ptr<F>();
    const auto all = matrix<const F>(g, rows, wide, wide), after = matrix<const F>(g + batch * wide, later, wide, wide);
    Tensor dwi = fresh(x, l.wi.sizes());
    F *to = dwi.data_ptr<F>();
    const int64_t step = l.wi.size(1);
    if (k == 0) {
      multiply(Transposed, all, AsIs, matrix<const F>(x.data_ptr<F>(), rows, p.inputs, p.inputs),
               matrix<F>(to, wide, p.inputs, step), false);
      if (p.read && later)
        multiply(Transposed, after, AsIs, matrix<const F>(p.hidden.data_ptr<F>() + size, later, p.read, out),
                 matrix<F>(to + p.inputs, wide, p.read, step), false);
      else if (p.read)
        dwi.narrow(1, p.inputs, p.read).zero_();
    } else {
      multiply(Transposed, all, AsIs, matrix<const F>(p.layers[k - 1].out.row<F>(1), rows, l.in, l.in),
               matrix<F>(to, wide, l.in, step), false);
    }
    const Tensor db = dgates[k].sum(at::IntArrayRef{0, 1});
    grads.push_back(dwi);
    if (p.how.lstm) {
      Tensor dwh = at::zeros_like(l.wh);
      if (later)
        multiply(Transposed, after, AsIs, matrix<const F>(l.out.row<F>(1), later, l.size, l.size),
                 matrix<F>(dwh.data_ptr<F>(), wide, l.size, l.size), false);
      grads.push_back(dwh);
      grads.push_back(db);
      grads.push_back(db.clone()); // each bias owns its gradient
    } else {
      grads.push_back(db);
    }
  }
  if (memory) {
    Tensor dwe = fresh(x, p.we.sizes());
    multiply(Transposed, matrix<const F>(demit.data_ptr<F>(), rows, emitted, emitted), AsIs,
             matrix<const F>(p.layers.back().out.row<F>(1), rows, size, size),
             matrix<F>(dwe.data_ptr<F>(), emitted, size, size), false);
    grads.push_back(dwe);
    grads.push_back(demit.sum(at::IntArrayRef{0, 1}));
    if (p.how.programs)
      grads.push_back(dkeys.sum(0));
    if (p.how.norm) {
      grads.push_back((de * p.normal.t.view({time, batch, emission})).sum(at::IntArrayRef{0, 1}));
      grads.push_back(de.sum(at::IntArrayRef{0, 1}));
    }
    const MemorySizes &z = p.memory->sizes;
    const auto first = [&](const Steps &of, at::IntArrayRef shape) { return of.t.select(0, 0).view(shape).clone(); };
    grads.push_back(first(carry.m, {batch, z.width, z.slots}).transpose(1, 2));
    for (size_t k = 0; k < z.parts.size(); k++)
      if (z.parts[k].input)
        grads.push_back(carry.parts[k].rows ? first(carry.parts[k], {batch, z.parts[k].rows, z.slots}) : Tensor());
  }
  return grads;
}

struct ClipGradient : torch::autograd::Function<ClipGradient> {
  static Tensor forward(AutogradContext *ctx, const Tensor &x, double by) {
    ctx->saved_data["by"] = by;
    return x.view_as(x);
  }
  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    const double by = ctx->saved_data["by"].toDouble();
    return {grads[0].clamp(-by, by), Tensor()};
  }
};

struct Unroll : torch::autograd::Function<Unroll> {
  static Tensor forward(AutogradContext *ctx, at::TensorList ts, const c10::intrusive_ptr<Tape> &tape) {
    Tape &p = *tape;
    EG_DISPATCH(p.x, [&] { ::forward<F>(p); });
    Tensor hidden = p.hidden;
    if (p.keep) {
      p.hidden = hidden.detach(); // keeping the output itself would be a cycle: its graph holds the tape
      ctx->saved_data["tape"] = at::IValue::make_capsule(tape);
      ctx->saved_data["x"] = ts[0].requires_grad();
    }
    return hidden;
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    refuse_second_order("Unroll");
    auto tape = c10::static_intrusive_pointer_cast<Tape>(ctx->saved_data["tape"].toCapsule());
    const Tensor d = grads[0].contiguous();
    variable_list got;
    EG_DISPATCH(d, [&] { got = ::backward<F>(*tape, d, ctx->saved_data["x"].toBool()); });
    got.emplace_back(); // of the tape
    return got;
  }
};

} // namespace

extern "C" void *eg_clip_gradient(void *x, double by) {
  return guarded<void *>(nullptr, [&] { return new Tensor(ClipGradient::apply(T(x), by)); });
}

extern "C" void *eg_unroll(void **tensors, int n, const struct eg_network *how, const double *settings) {
  return guarded<void *>(nullptr, [&] {
    std::vector<Tensor> ts;
    bool grad = false;
    for (int i = 0; i < n; i++) {
      ts.push_back(T(tensors[i]));
      grad |= ts.back().requires_grad();
    }
    auto tape = c10::make_intrusive<Tape>();
    Tape &p = *tape;
    p.how = *how;
    p.keep = grad && at::GradMode::is_enabled();
    want(ts[0].dim() == 3, "want x [time, batch, inputs]");
    for (const Tensor &t : ts)
      want(alike(t, ts[0]) && (t.scalar_type() == at::kFloat || t.scalar_type() == at::kDouble),
           "want all tensors of the type of x, float32 or float64, on the CPU");
    // The values below have no graph.
    at::NoGradGuard guard;
    size_t next = 0;
    const auto take = [&]() {
      want(next < ts.size(), "fewer tensors than the network has");
      return ts[next++].detach().contiguous();
    };
    p.x = take();
    p.time = p.x.size(0), p.batch = p.x.size(1), p.inputs = p.x.size(2);
    want(p.time > 0 && p.batch > 0, "want at least one step and one sequence");
    for (int k = 0; k < how->layers; k++) {
      Layer l;
      l.wi = take();
      if (how->lstm) {
        l.wh = take();
        const Tensor bi = take(), bh = take();
        want(l.wh.dim() == 2 && l.wh.size(0) == 4 * l.wh.size(1) && bi.numel() == l.wh.size(0) &&
                 bh.numel() == l.wh.size(0),
             "want LSTM layers with weights [4·size, in] and [4·size, size] and biases [4·size]");
        l.b = bi + bh;
        l.size = l.wh.size(1);
      } else {
        l.b = take();
        l.size = l.b.numel();
      }
      want(l.wi.dim() == 2 && l.wi.size(0) == l.b.numel(), "a layer's weight and bias differ in size");
      l.in = l.wi.size(1);
      if (k > 0)
        want(l.in == p.layers.back().size, "the input width of a layer is not the output width of the layer below");
      p.layers.push_back(l);
    }
    const int64_t steps = p.keep ? p.time : 2, states = p.keep ? p.time + 1 : 2;
    p.read = 0;
    if (how->memory) {
      p.we = take(), p.be = take();
      if (how->programs)
        p.keys = take();
      if (how->norm)
        p.gain = take(), p.shift = take();
      const Tensor m = take();
      want(m.dim() == 3 && m.size(0) == p.batch, "want a memory [batch, slots, width]");
      p.memory = make_memory(how->memory, m.size(1), m.size(2), {settings, how->settings_count});
      const MemorySizes &z = p.memory->sizes;
      p.read = z.heads * z.width;
      int64_t emitted = z.emission;
      if (how->programs) {
        want(p.keys.dim() == 2 && p.keys.size(0) == how->programs, "want a key for each program");
        const Programs<float> sizes{how->programs, p.keys.size(1), z.emission, nullptr};
        emitted = sizes.emitted();
        p.raw = Steps(p.x, steps, p.batch * emitted);
        p.mixture = Steps(p.x, steps, p.batch * sizes.kept());
      }
      want(p.we.dim() == 2 && p.we.size(0) == emitted && p.be.numel() == emitted && p.we.size(1) == p.size(),
           "want an emission layer from the controller's output to " + std::to_string(emitted) + " values");
      if (how->norm) {
        want(p.gain.numel() == z.emission && p.shift.numel() == z.emission,
             "want a gain and a bias for each value of the emission");
        p.normal = Steps(p.x, steps, p.batch * z.emission);
        p.spread = Steps(p.x, steps, p.batch);
      }
      p.emit_ahead = Panels(p.we.t());
      if (p.keep)
        p.emit_back = Panels(p.we);
      p.e = Steps(p.x, steps, p.batch * z.emission);
      p.kept = Steps(p.x, steps, p.batch * z.kept);
      p.kept_indices = Steps(p.x, steps, p.batch * z.kept_indices, at::kLong);
      p.m = Steps(p.x, states, p.batch * z.slots * z.width);
      const auto begin = [&](const Tensor &first, const Steps &rows) {
        EG_DISPATCH(m, [&] { start<F>(first, rows); });
      };
      begin(m.transpose(1, 2).contiguous(), p.m);
      for (const Part &part : z.parts) {
        p.parts.push_back(Steps(p.x, states, p.batch * part.rows * z.slots));
        if (!part.input)
          continue;
        const Tensor first = take();
        want_part(first, m, part.rows, part.name);
        begin(first, p.parts.back());
      }
    }
    want(next == ts.size(), "more tensors than the network has");
    want(p.layers[0].in == p.inputs + p.read, "the first layer's input width is not that of x and the read vector");
    for (Layer &l : p.layers) {
      const bool first = &l == &p.layers[0];
      l.gates = Steps(p.x, first ? p.time : 1, p.batch * l.b.numel());
      const int64_t from = first ? p.inputs : 0; // the product with the inputs covers all steps at once
      const Tensor own = l.wi.narrow(1, from, l.in - from);
      l.in_ahead = Panels(own.t());
      if (p.keep)
        l.in_back = Panels(own);
      l.out = Steps(p.x, states, p.batch * l.size);
      if (how->lstm) {
        l.hidden_ahead = Panels(l.wh.t());
        if (p.keep)
          l.hidden_back = Panels(l.wh);
        l.act = Steps(p.x, steps, p.batch * 5 * l.size);
        l.cell = Steps(p.x, states, p.batch * l.size);
        l.cell.t.select(0, 0).zero_();
      }
    }
    p.hidden = fresh(p.x, {p.time, p.batch, p.out()});
    at::AutoGradMode mode(p.keep);
    return new Tensor(Unroll::apply(at::TensorList(ts), tape));
  });
}
