#include "../torch.h"

#include "runtime.h"
#include "../guard.h"

#include <ATen/Parallel.h>
#include <dlfcn.h>
#include <malloc.h>
#include <mutex>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/engine.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/version.h>
#include <vector>

namespace {

thread_local char *last_error = nullptr;

constexpr int max_slots = 4096; // threads of a process that compute at once
std::mutex slots_mutex;
std::vector<int> slots_free;
int slots_used = 0;

struct Slot {
  int id = -1;
  int threads = 0; // the count set for this thread
  Slot() {
    std::lock_guard<std::mutex> lock(slots_mutex);
    if (!slots_free.empty()) {
      id = slots_free.back();
      slots_free.pop_back();
    } else if (slots_used < max_slots) {
      id = slots_used++;
    }
  }
  ~Slot() {
    std::lock_guard<std::mutex> lock(slots_mutex);
    if (id >= 0)
      slots_free.push_back(id);
  }
};
thread_local Slot slot;

std::atomic<int> threads{0};

// LeakyReLU keeps its result for the gradient, as LibTorch's ReLU does, where LibTorch's leaky ReLU keeps its input:
// the next convolution needs the result anyhow, so that the input's memory is free after the forward pass. The slope is
// above 0.
struct LeakyReLU : torch::autograd::Function<LeakyReLU> {
  static at::Tensor forward(torch::autograd::AutogradContext *ctx, const at::Tensor &x, double slope) {
    const at::Tensor y = at::leaky_relu(x, slope);
    ctx->save_for_backward({y});
    ctx->saved_data["slope"] = slope;
    return y;
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext *ctx,
                                                 torch::autograd::variable_list grads) {
    const at::Tensor y = ctx->get_saved_variables()[0];
    return {at::leaky_relu_backward(grads[0], y, ctx->saved_data["slope"].toDouble(), /*self_is_result=*/true), {}};
  }
};

} // namespace

namespace engram {
void set_error(const char *what) {
  free(last_error);
  last_error = strdup(what);
}
} // namespace engram

using engram::guarded;
using engram::T;

extern "C" {

int eg_slot(void) { return slot.id; }

int eg_enter(void) {
  int want = threads.load(std::memory_order_relaxed);
  if (want > 0 && slot.threads != want) {
    at::set_num_threads(want);
    slot.threads = want;
  }
  return slot.id;
}

char *eg_error(void) {
  char *e = last_error;
  last_error = nullptr;
  return e;
}

void eg_free(void **tensors, int n) {
  for (int i = 0; i < n; i++)
    delete static_cast<at::Tensor *>(tensors[i]);
}

int eg_grad_mode(int on) {
  bool was = at::GradMode::is_enabled();
  at::GradMode::set_enabled(on != 0);
  return was;
}

int eg_grad(void **outputs, void **grad_outputs, int n, void **inputs, int m, void **result, int retain, int create) {
  return guarded(-1, [&] {
    torch::autograd::edge_list roots, edges;
    torch::autograd::variable_list grads;
    for (int i = 0; i < n; i++) {
      at::Tensor &out = T(outputs[i]);
      if (!out.requires_grad())
        throw std::invalid_argument("output " + std::to_string(i) +
                                    " does not depend on anything that requires a gradient");
      roots.push_back(torch::autograd::impl::gradient_edge(out));
      grads.push_back(grad_outputs && grad_outputs[i] ? T(grad_outputs[i]) : at::ones_like(out));
    }
    for (int i = 0; i < m; i++) {
      at::Tensor &in = T(inputs[i]);
      if (!in.requires_grad())
        throw std::invalid_argument("input " + std::to_string(i) + " does not require a gradient");
      edges.push_back(torch::autograd::impl::gradient_edge(in));
    }
    auto got = torch::autograd::Engine::get_default_engine().execute(roots, grads, retain, create, false, edges);
    for (int i = 0; i < m; i++)
      result[i] = got[i].defined() ? new at::Tensor(std::move(got[i])) : nullptr;
    return 0;
  });
}

int eg_cuda_math(bool tf32, bool deterministic) {
  return guarded(-1, [&] {
    at::Context &context = at::globalContext();
    context.setAllowTF32CuBLAS(tf32);
    context.setAllowTF32CuDNN(tf32);
    context.setBenchmarkCuDNN(false);
    context.setDeterministicCuDNN(deterministic);
    context.setDeterministicAlgorithms(deterministic, /*warn_only=*/false);
    return 0;
  });
}

void eg_set_threads(int n) {
  threads.store(n, std::memory_order_relaxed);
  eg_enter();
  // OpenBLAS built with its own threads neither follows OpenMP's count nor shares its pool; see SetThreads in
  // device.go.
  using parallel_fn = int (*)(void);
  using set_fn = void (*)(int);
  auto parallel = reinterpret_cast<parallel_fn>(dlsym(RTLD_DEFAULT, "openblas_get_parallel"));
  auto set = reinterpret_cast<set_fn>(dlsym(RTLD_DEFAULT, "openblas_set_num_threads"));
  const int own_threads = 1; // OPENBLAS_THREAD
  if (parallel && set && parallel() == own_threads)
    set(1);
}

int eg_get_threads(void) { return at::get_num_threads(); }

void eg_keep_memory(void) {
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, -1); // never
  mallopt(M_TOP_PAD, 64 << 20);
}

const char *eg_version(void) { return TORCH_VERSION; }

int eg_old_abi(void) { return !_GLIBCXX_USE_CXX11_ABI; }

char *eg_library(const char *symbol) {
  void *address = dlsym(RTLD_DEFAULT, symbol);
  Dl_info info;
  if (!address || !dladdr(address, &info) || !info.dli_fname)
    return nullptr;
  return strdup(info.dli_fname);
}

int eg_copy_from(void *tensor, const void *data, int64_t bytes) {
  return guarded(-1, [&] {
    at::NoGradGuard guard;
    at::Tensor &t = T(tensor);
    if (int64_t(t.nbytes()) != bytes)
      throw std::invalid_argument("the data has " + std::to_string(bytes) + " bytes, the tensor " +
                                  std::to_string(t.nbytes()));
    if (t.device().is_cpu() && t.is_contiguous())
      memcpy(t.data_ptr(), data, bytes);
    else
      t.copy_(at::from_blob(const_cast<void *>(data), t.sizes(), t.options().device(at::kCPU).requires_grad(false)));
    return 0;
  });
}

int eg_copy_to(void *tensor, void *data, int64_t bytes) {
  return guarded(-1, [&] {
    at::NoGradGuard guard;
    at::Tensor t = T(tensor).cpu().contiguous();
    if (int64_t(t.nbytes()) != bytes)
      throw std::invalid_argument("the data has " + std::to_string(bytes) + " bytes, the tensor " +
                                  std::to_string(t.nbytes()));
    memcpy(data, t.data_ptr(), bytes);
    return 0;
  });
}

void *eg_empty(const int64_t *shape, int rank, int dtype, int device) {
  return guarded<void *>(nullptr, [&] {
    auto where = device < 0 ? at::Device(at::kCPU) : at::Device(at::kCUDA, device);
    return new at::Tensor(
        at::empty(at::IntArrayRef(shape, rank), at::TensorOptions().dtype(at::ScalarType(dtype)).device(where)));
  });
}

void *eg_upload(const void *data, const int64_t *shape, int rank, int dtype, int device) {
  return guarded<void *>(nullptr, [&] {
    at::NoGradGuard guard;
    const auto options = at::TensorOptions().dtype(at::ScalarType(dtype));
    const at::Tensor host = at::empty(at::IntArrayRef(shape, rank), options.pinned_memory(true));
    memcpy(host.data_ptr(), data, host.nbytes());
    return new at::Tensor(host.to(at::Device(at::kCUDA, device), /*non_blocking=*/true));
  });
}

void *eg_channels_last(void *tensor) {
  return guarded<void *>(nullptr, [&] { return new at::Tensor(T(tensor).contiguous(at::MemoryFormat::ChannelsLast)); });
}

void *eg_gelu(void *tensor) {
  return guarded<void *>(nullptr, [&] { return new at::Tensor(at::gelu(T(tensor))); });
}

void *eg_leaky_relu(void *tensor, double slope) {
  return guarded<void *>(nullptr, [&] {
    const at::Tensor &x = T(tensor);
    return new at::Tensor(slope > 0 ? LeakyReLU::apply(x, slope) : at::leaky_relu(x, slope));
  });
}

int eg_split(void *tensor, int64_t dim, int n, void **parts) {
  return guarded(-1, [&] {
    const at::Tensor &t = T(tensor);
    const int64_t size = t.size(dim);
    if (n < 1 || size < n || size % n != 0)
      throw std::invalid_argument("cannot be split into " + std::to_string(n) + " equal parts");
    return engram::give(t.split(size / n, dim), parts);
  });
}

int eg_flatten_lstm(void **weights, int n, int64_t layers, bool bidirectional) {
  return guarded(-1, [&] {
    std::vector<at::Tensor> all;
    for (int i = 0; i < n; i++)
      all.push_back(T(weights[i]));
    if (!at::cudnn_is_acceptable(all[0]))
      return 0;
    const at::NoGradGuard no_grad;
    constexpr int64_t per_layer = 4, lstm = 2 /* cuDNN's CUDNN_LSTM */, projection = 0;
    at::_cudnn_rnn_flatten_weight(all, per_layer, all[0].size(1), lstm, all[1].size(1), projection, layers,
                                  /*batch_first=*/false, bidirectional);
    return 0;
  });
}

int eg_assign(void *to, void *from) {
  return guarded(-1, [&] {
    at::NoGradGuard guard;
    if (!T(to).sizes().equals(T(from).sizes()))
      throw std::invalid_argument("the shapes differ");
    T(to).copy_(T(from));
    return 0;
  });
}

} // extern "C"
