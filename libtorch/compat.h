// Lets gotch v0.9.1, written for LibTorch 2.1, compile against the LibTorch 1.13 of Debian 12.
//
// The compiler is told to include this file ahead of every C++ source (env.sh sets CGO_CXXFLAGS), so gotch itself stays
// as its authors released it. The file opens a namespace that uses torch's, declares there what 1.13 lacks or declares
// with other arguments, and then defines `torch` as that namespace. A function that cannot be had throws when it is
// called; nothing of Engram calls one. With LibTorch 2.1 or later the file is empty.
//
// Engram's own C++ defines ENGRAM_NO_COMPAT on the compiler's command line: it sees LibTorch as it is, and compiles sooner.
#if defined(__cplusplus) && !defined(ENGRAM_NO_COMPAT)
#include <torch/version.h>
#if TORCH_VERSION_MAJOR < 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR < 1)
#ifndef ENGRAM_LIBTORCH_COMPAT
#define ENGRAM_LIBTORCH_COMPAT

// All that gotch includes, before the macros below can reach into it.
#include <ATen/autocast_mode.h>
#include <ATen/core/interned_strings.h>
#include <torch/csrc/autograd/engine.h>
#include <torch/csrc/jit/passes/fixup_trace_scope_blocks.h>
#include <torch/csrc/jit/passes/normalize_ops.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/script.h>
#include <torch/torch.h>

#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

namespace engram_torch {

using namespace ::torch;

using One = at::Tensor;
// As many results as any absent function has; gotch takes the first of them with std::get.
using Many = ::std::tuple<One, One, One, One, One, One, One>;

template <class R> R absent(const char *name) {
  throw ::std::runtime_error(::std::string(name) + " is not in this LibTorch (" TORCH_VERSION ")");
}

// 2.1 takes a correction as a Scalar where 1.13 takes an optional integer.
inline c10::optional<int64_t> older(const c10::Scalar &s) { return s.to<int64_t>(); }
template <class T> T &&older(T &t, ::std::enable_if_t<!::std::is_same<::std::decay_t<T>, c10::Scalar>::value> * = 0) {
  return static_cast<T &&>(t);
}

#define ENGRAM_ABSENT(R, name)                                                                                         \
  template <class... A> R name(A &&...) { return absent<R>(#name); }

// Calls LibTorch's function where it takes these arguments, or takes them in their older form; else it is absent.
#define ENGRAM_FORWARD(R, name)                                                                                        \
  struct call_##name {                                                                                                 \
    template <class... A> auto operator()(A &&...a) const -> decltype(::torch::name(::std::forward<A>(a)...)) {        \
      return ::torch::name(::std::forward<A>(a)...);                                                                   \
    }                                                                                                                  \
  };                                                                                                                   \
  template <class... A> auto name(A &&...a) {                                                                          \
    if constexpr (::std::is_invocable<call_##name, A...>::value)                                                       \
      return call_##name()(::std::forward<A>(a)...);                                                                   \
    else if constexpr (::std::is_invocable<call_##name, decltype(older(a))...>::value)                                 \
      return call_##name()(older(a)...);                                                                               \
    else                                                                                                               \
      return absent<R>(#name);                                                                                         \
  }

ENGRAM_ABSENT(One, _cslt_compress)
ENGRAM_ABSENT(One, _cslt_sparse_mm)
ENGRAM_ABSENT(Many, _efficient_attention_backward)
ENGRAM_ABSENT(One, _fill_mem_eff_dropout_mask_)
ENGRAM_ABSENT(Many, _flash_attention_backward)
ENGRAM_ABSENT(One, _functional_assert_async)
ENGRAM_ABSENT(One, _functional_sym_constrain_range)
ENGRAM_ABSENT(One, _functional_sym_constrain_range_for_size)
ENGRAM_ABSENT(int64_t, _fused_sdp_choice)
ENGRAM_ABSENT(One, _int_mm)
ENGRAM_ABSENT(One, _int_mm_out)
ENGRAM_ABSENT(One, _is_all_true)
ENGRAM_ABSENT(One, _is_any_true)
ENGRAM_ABSENT(One, _make_dep_token)
ENGRAM_ABSENT(Many, _native_batch_norm_legit)
ENGRAM_ABSENT(Many, _native_batch_norm_legit_functional)
ENGRAM_ABSENT(Many, _native_batch_norm_legit_no_training)
ENGRAM_ABSENT(Many, _native_batch_norm_legit_no_training_out)
ENGRAM_ABSENT(Many, _native_batch_norm_legit_out)
ENGRAM_ABSENT(One, _prelu_kernel)
ENGRAM_ABSENT(Many, _prelu_kernel_backward)
ENGRAM_ABSENT(One, _propagate_xla_data)
ENGRAM_ABSENT(One, _reshape_copy)
ENGRAM_ABSENT(Many, _scaled_dot_product_efficient_attention)
ENGRAM_ABSENT(Many, _scaled_dot_product_flash_attention_backward)
ENGRAM_ABSENT(Many, _scaled_mm)
ENGRAM_ABSENT(Many, _scaled_mm_out)
ENGRAM_ABSENT(One, _sparse_mask_projection_out)
ENGRAM_ABSENT(Many, _sparse_mm_reduce_impl)
ENGRAM_ABSENT(One, _sparse_semi_structured_linear)
ENGRAM_ABSENT(One, _test_check_tensor)
ENGRAM_ABSENT(One, _test_functorch_fallback)
ENGRAM_ABSENT(One, _test_functorch_fallback_out)
ENGRAM_ABSENT(One, _to_sparse_bsc_out)
ENGRAM_ABSENT(One, _to_sparse_bsr_out)
ENGRAM_ABSENT(One, _to_sparse_csc_out)
ENGRAM_ABSENT(One, _to_sparse_csr_out)
ENGRAM_ABSENT(One, _to_sparse_out)
ENGRAM_ABSENT(Many, _to_sparse_semi_structured)
ENGRAM_ABSENT(One, _unsafe_index)
ENGRAM_ABSENT(One, _unsafe_index_put)
ENGRAM_ABSENT(One, empty_permuted)
ENGRAM_ABSENT(One, empty_permuted_out)
ENGRAM_ABSENT(One, max_pool2d_backward)
ENGRAM_ABSENT(One, max_pool2d_backward_out)
ENGRAM_ABSENT(Many, mkldnn_rnn_layer)
ENGRAM_ABSENT(Many, mkldnn_rnn_layer_backward)
ENGRAM_ABSENT(Many, mkldnn_rnn_layer_backward_out)
ENGRAM_ABSENT(Many, mkldnn_rnn_layer_out)
ENGRAM_ABSENT(One, nonzero_static)
ENGRAM_ABSENT(One, nonzero_static_out)
ENGRAM_ABSENT(One, quantized_max_pool3d)
ENGRAM_ABSENT(One, quantized_max_pool3d_out)
ENGRAM_ABSENT(One, scaled_dot_product_attention)
ENGRAM_ABSENT(One, sym_constrain_range)
ENGRAM_ABSENT(One, sym_constrain_range_for_size)

ENGRAM_FORWARD(Many, _ctc_loss_out)
ENGRAM_ABSENT(Many, _lstm_mps)
ENGRAM_FORWARD(Many, _lstm_mps_out)
ENGRAM_FORWARD(One, _nested_view_from_buffer)
ENGRAM_FORWARD(One, _nested_view_from_buffer_copy)
ENGRAM_FORWARD(One, _nested_view_from_buffer_copy_out)
ENGRAM_FORWARD(Many, _scaled_dot_product_attention_math)
ENGRAM_FORWARD(One, _sparse_coo_tensor_unsafe)
ENGRAM_FORWARD(One, _sparse_coo_tensor_with_dims_and_tensors)
ENGRAM_FORWARD(One, _sparse_coo_tensor_with_dims_and_tensors_out)
ENGRAM_FORWARD(One, _sparse_mm)
ENGRAM_FORWARD(One, _to_dense_out)
ENGRAM_FORWARD(One, max_out)
ENGRAM_FORWARD(One, min_out)
ENGRAM_FORWARD(One, mkldnn_reorder_conv2d_weight)
ENGRAM_FORWARD(One, mkldnn_reorder_conv2d_weight_out)
ENGRAM_FORWARD(One, sparse_coo_tensor)
ENGRAM_FORWARD(One, squeeze)
ENGRAM_FORWARD(One, squeeze_copy)
ENGRAM_FORWARD(One, squeeze_copy_out)
ENGRAM_FORWARD(Many, std_mean)
ENGRAM_FORWARD(Many, std_mean_out)
ENGRAM_FORWARD(One, std_out)
ENGRAM_FORWARD(One, to_dense_backward)
ENGRAM_FORWARD(One, var)
ENGRAM_FORWARD(Many, var_mean)
ENGRAM_FORWARD(Many, var_mean_out)
ENGRAM_FORWARD(One, var_out)

// A member that is absent becomes an addition whose operand throws.
inline c10::Scalar absent_member(const char *name) { return absent<c10::Scalar>(name); }
inline int64_t squeeze_dim(int64_t dim) { return dim; }
inline int64_t squeeze_dim(at::IntArrayRef) { return absent<int64_t>("squeeze_ with several dimensions"); }

// Last: from here on `std` is this function inside the namespace.
ENGRAM_FORWARD(One, std)

} // namespace engram_torch

#define _sparse_mask_projection(...) add(engram_torch::absent_member("_sparse_mask_projection"))
#define _to_dense(...) add(engram_torch::absent_member("_to_dense"))
#define _to_sparse(...) add(engram_torch::absent_member("_to_sparse"))
#define _to_sparse_bsc(...) add(engram_torch::absent_member("_to_sparse_bsc"))
#define _to_sparse_bsr(...) add(engram_torch::absent_member("_to_sparse_bsr"))
#define _to_sparse_csc(...) add(engram_torch::absent_member("_to_sparse_csc"))
#define _to_sparse_csr(...) add(engram_torch::absent_member("_to_sparse_csr"))
#define to_dense(...) add(engram_torch::absent_member("to_dense"))
#define to_sparse(...) add(engram_torch::absent_member("to_sparse"))
#define to_sparse_bsc(...) add(engram_torch::absent_member("to_sparse_bsc"))
#define to_sparse_bsr(...) add(engram_torch::absent_member("to_sparse_bsr"))
#define to_sparse_csc(...) add(engram_torch::absent_member("to_sparse_csc"))
#define to_sparse_csr(...) add(engram_torch::absent_member("to_sparse_csr"))
#define squeeze_(...) squeeze_(__VA_OPT__(engram_torch::squeeze_dim(__VA_ARGS__)))

#define torch engram_torch

#endif // ENGRAM_LIBTORCH_COMPAT
#endif // older than 2.1
#endif // __cplusplus
