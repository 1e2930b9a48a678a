// Compiles gotch v0.9.1 without the bodies of its 2,600 functions and without LibTorch's headers: in a second instead of
// minutes, against every LibTorch. The bodies of the functions that Engram calls are in tensor/internal/kernels/bindings;
// gotch's own are marked weak here. Any other function of gotch fails with a message; ENGRAM_GOTCH=all builds all of
// gotch instead (compat.h).
//
// The compiler is told to include this file ahead of every C++ source (env.sh sets CGO_CXXFLAGS), so gotch itself stays as
// its authors released it. Only gotch has torch_api.h on its include path: for other sources the file is empty. env.sh also
// puts files with the names of the LibTorch headers that gotch includes first on the include path. They pass on to
// LibTorch's own, except in gotch.
#if defined(__cplusplus) && __has_include("torch_api.h")
#define ENGRAM_GOTCH_WITHOUT_BODIES

#include <memory>
#include <sstream>
#include <stdexcept>
#include <string.h>
#include <tuple>
#include <vector>

// What gotch's declarations, and its code outside PROTECT, name.
namespace c10 {
template <class T> struct List {
  List(std::vector<T>) {}
};
template <class T> struct optional {
  template <class... A> optional(A &&...) {}
};
constexpr int nullopt = 0;
struct AnyType {
  static int get() { return 0; }
};
template <class K, class V> struct Dict {
  Dict(int, int) {}
};
} // namespace c10

namespace at {
constexpr int kCPU = 0, kCUDA = 1, kVulkan = 2;
struct Device {
  Device(int, int = 0) {}
};
namespace autocast {
inline void clear_cache() {}
} // namespace autocast
struct Context {
  void setBenchmarkCuDNN(bool) {}
};
inline Context globalContext() { return {}; }
} // namespace at

namespace torch {
struct Tensor {};
struct Scalar {};
inline void manual_seed(uint64_t) {}
namespace optim {
struct OptimizerOptions {
  virtual ~OptimizerOptions() {}
};
struct OptimizerParamGroup {
  OptimizerOptions &options();
};
struct Optimizer {
  OptimizerOptions &defaults();
  std::vector<OptimizerParamGroup> &param_groups();
};
} // namespace optim
namespace jit {
struct IValue {};
namespace script {
struct Module {};
} // namespace script
} // namespace jit
} // namespace torch

#pragma weak at_data_ptr
#pragma weak at_device
#pragma weak at_dim
#pragma weak at_free
#pragma weak at_requires_grad
#pragma weak at_scalar_type
#pragma weak at_shape
#pragma weak atc_cuda_device_count
#pragma weak atc_cuda_is_available
#pragma weak atg_abs
#pragma weak atg_add
#pragma weak atg_add_scalar
#pragma weak atg_argmax
#pragma weak atg_batch_norm
#pragma weak atg_binary_cross_entropy_with_logits
#pragma weak atg_cat
#pragma weak atg_clamp_max
#pragma weak atg_clamp_min
#pragma weak atg_contiguous
#pragma weak atg_conv2d
#pragma weak atg_cumprod
#pragma weak atg_cumsum
#pragma weak atg_detach
#pragma weak atg_div
#pragma weak atg_embedding_bag
#pragma weak atg_eq_tensor
#pragma weak atg_exp
#pragma weak atg_expand
#pragma weak atg_eye
#pragma weak atg_flatten
#pragma weak atg_flip
#pragma weak atg_full
#pragma weak atg_gather
#pragma weak atg_gt_tensor
#pragma weak atg_index_select
#pragma weak atg_linalg_cholesky
#pragma weak atg_linalg_solve_triangular
#pragma weak atg_linear
#pragma weak atg_log
#pragma weak atg_log_softmax
#pragma weak atg_logsumexp
#pragma weak atg_lstm
#pragma weak atg_matmul
#pragma weak atg_max_dim
#pragma weak atg_max_pool2d
#pragma weak atg_maximum
#pragma weak atg_mean_dim
#pragma weak atg_minimum
#pragma weak atg_mul
#pragma weak atg_mul_scalar
#pragma weak atg_narrow
#pragma weak atg_neg
#pragma weak atg_nll_loss
#pragma weak atg_one_hot
#pragma weak atg_ones_like
#pragma weak atg_permute
#pragma weak atg_pow
#pragma weak atg_pow_tensor_scalar
#pragma weak atg_prelu
#pragma weak atg_reciprocal
#pragma weak atg_relu
#pragma weak atg_reshape
#pragma weak atg_roll
#pragma weak atg_scatter
#pragma weak atg_select
#pragma weak atg_set_requires_grad
#pragma weak atg_sigmoid
#pragma weak atg_softmax
#pragma weak atg_softplus
#pragma weak atg_sort
#pragma weak atg_sqrt
#pragma weak atg_square
#pragma weak atg_squeeze_dim
#pragma weak atg_stack
#pragma weak atg_sub
#pragma weak atg_sum_dim_intlist
#pragma weak atg_tanh
#pragma weak atg_to
#pragma weak atg_to_dtype
#pragma weak atg_topk
#pragma weak atg_transpose
#pragma weak atg_unsqueeze
#pragma weak atg_where_self
#pragma weak atg_zeros_like
#pragma weak ats_float
#pragma weak ats_free

#include "torch_api.h"

// Its images are left out too: static functions that nothing calls.
#define STB_IMAGE_STATIC
#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_RESIZE_STATIC

#undef PROTECT
#define PROTECT(...) engram_left_out(__func__);

__attribute__((noinline)) static void engram_left_out(const char *function) {
  std::string message = std::string(function) + " of gotch is not in this build; build with ENGRAM_GOTCH=all";
  torch_last_err = strdup(message.c_str());
}
#endif
