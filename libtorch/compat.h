// Lets all of gotch v0.9.1, written for LibTorch 2.1, compile against LibTorch 1.13 and those after 2.1. gotch.h includes it,
// ahead of gotch's own source, where ENGRAM_GOTCH=all asks for all of gotch; it is no part of the ordinary build.
//
// The file opens a namespace that uses torch's, declares there each function that some LibTorch lacks or declares with other
// arguments, and then defines `torch` as that namespace. Each forwards to LibTorch's function where there is one that takes
// these arguments, which the compiler's choice of the overload decides, and throws where there is none.
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
#include <torch/version.h>

#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace engram_absent {
struct None {};
} // namespace engram_absent
namespace torch {
using namespace ::engram_absent;
} // namespace torch

namespace engram_torch {

using namespace ::torch;

using One = at::Tensor;
// As many results as any absent function has; gotch takes the first of them with std::get.
using Many = ::std::tuple<One, One, One, One, One, One, One>;
using List = ::std::vector<One>;

template <class R> R absent(const char *name) {
  throw ::std::runtime_error(::std::string(name) + " is not in this LibTorch (" TORCH_VERSION ") with gotch's arguments");
}

// 2.1 takes a correction as a Scalar where 1.13 takes an optional integer.
inline int64_t older(const c10::Scalar &s) { return s.to<int64_t>(); }
template <class T> T &&older(T &t, ::std::enable_if_t<!::std::is_same<::std::decay_t<T>, c10::Scalar>::value> * = 0) {
  return static_cast<T &&>(t);
}

template <class Call, class... A> constexpr bool takes() {
  if constexpr (::std::is_invocable<Call, A...>::value)
    return !::std::is_same<::std::invoke_result_t<Call, A...>, engram_absent::None>::value;
  else
    return false;
}

} // namespace engram_torch

// Lookup in torch finds its own functions, else those of the namespaces that it uses: at's, and one of engram_absent that takes
// anything, which the compiler chooses last.
#define ENGRAM_FORWARD(R, name)                                                                                        \
  namespace engram_absent {                                                                                            \
  None name(...);                                                                                                      \
  }                                                                                                                    \
  namespace engram_torch {                                                                                             \
  struct call_##name {                                                                                                 \
    template <class... A> auto operator()(A &&...a) const -> decltype(::torch::name(::std::forward<A>(a)...)) {        \
      return ::torch::name(::std::forward<A>(a)...);                                                                   \
    }                                                                                                                  \
  };                                                                                                                   \
  template <class... A> auto name(A &&...a) {                                                                          \
    if constexpr (takes<call_##name, A...>())                                                                          \
      return call_##name()(::std::forward<A>(a)...);                                                                   \
    else if constexpr (takes<call_##name, decltype(older(a))...>())                                                    \
      return call_##name()(older(a)...);                                                                               \
    else                                                                                                               \
      return absent<R>(#name);                                                                                         \
  }                                                                                                                    \
  }

// For a function whose results have changed: gotch's can be had from no LibTorch but 2.1.
#define ENGRAM_ABSENT(R, name)                                                                                         \
  namespace engram_torch {                                                                                             \
  template <class... A> R name(A &&...) { return absent<R>(#name); }                                                   \
  }

ENGRAM_FORWARD(One, _cslt_compress)
ENGRAM_FORWARD(One, _cslt_sparse_mm)
ENGRAM_FORWARD(Many, _ctc_loss_out)
ENGRAM_FORWARD(Many, _efficient_attention_backward)
ENGRAM_FORWARD(One, _fill_mem_eff_dropout_mask_)
ENGRAM_FORWARD(Many, _flash_attention_backward)
ENGRAM_FORWARD(One, _functional_assert_async)
ENGRAM_FORWARD(One, _functional_sym_constrain_range)
ENGRAM_FORWARD(One, _functional_sym_constrain_range_for_size)
ENGRAM_FORWARD(int64_t, _fused_sdp_choice)
ENGRAM_FORWARD(One, _int_mm)
ENGRAM_FORWARD(One, _int_mm_out)
ENGRAM_FORWARD(One, _is_all_true)
ENGRAM_FORWARD(One, _is_any_true)
ENGRAM_ABSENT(Many, _lstm_mps)
ENGRAM_FORWARD(Many, _lstm_mps_out)
ENGRAM_FORWARD(One, _make_dep_token)
ENGRAM_FORWARD(Many, _native_batch_norm_legit)
ENGRAM_FORWARD(Many, _native_batch_norm_legit_functional)
ENGRAM_FORWARD(Many, _native_batch_norm_legit_no_training)
ENGRAM_FORWARD(Many, _native_batch_norm_legit_no_training_out)
ENGRAM_FORWARD(Many, _native_batch_norm_legit_out)
ENGRAM_FORWARD(One, _nested_view_from_buffer)
ENGRAM_FORWARD(One, _nested_view_from_buffer_copy)
ENGRAM_FORWARD(One, _nested_view_from_buffer_copy_out)
ENGRAM_FORWARD(One, _prelu_kernel)
ENGRAM_FORWARD(Many, _prelu_kernel_backward)
ENGRAM_FORWARD(One, _propagate_xla_data)
ENGRAM_FORWARD(One, _reshape_copy)
ENGRAM_FORWARD(Many, _scaled_dot_product_attention_math)
ENGRAM_FORWARD(Many, _scaled_dot_product_efficient_attention)
ENGRAM_FORWARD(Many, _scaled_dot_product_flash_attention_backward)
ENGRAM_FORWARD(Many, _scaled_mm)
ENGRAM_FORWARD(Many, _scaled_mm_out)
ENGRAM_FORWARD(One, _sparse_coo_tensor_unsafe)
ENGRAM_FORWARD(One, _sparse_coo_tensor_with_dims_and_tensors)
ENGRAM_FORWARD(One, _sparse_coo_tensor_with_dims_and_tensors_out)
ENGRAM_FORWARD(One, _sparse_mask_projection_out)
ENGRAM_FORWARD(One, _sparse_mm)
ENGRAM_FORWARD(Many, _sparse_mm_reduce_impl)
ENGRAM_FORWARD(One, _sparse_semi_structured_linear)
ENGRAM_FORWARD(One, _test_check_tensor)
ENGRAM_FORWARD(One, _test_functorch_fallback)
ENGRAM_FORWARD(One, _test_functorch_fallback_out)
ENGRAM_FORWARD(One, _to_dense_out)
ENGRAM_FORWARD(One, _to_sparse_bsc_out)
ENGRAM_FORWARD(One, _to_sparse_bsr_out)
ENGRAM_FORWARD(One, _to_sparse_csc_out)
ENGRAM_FORWARD(One, _to_sparse_csr_out)
ENGRAM_FORWARD(One, _to_sparse_out)
ENGRAM_FORWARD(Many, _to_sparse_semi_structured)
ENGRAM_FORWARD(One, _unsafe_index)
ENGRAM_FORWARD(One, _unsafe_index_put)
ENGRAM_FORWARD(List, align_tensors)
ENGRAM_FORWARD(One, cholesky)
ENGRAM_FORWARD(One, cholesky_out)
ENGRAM_FORWARD(One, empty_permuted)
ENGRAM_FORWARD(One, empty_permuted_out)
ENGRAM_FORWARD(One, max_out)
ENGRAM_FORWARD(One, max_pool2d_backward)
ENGRAM_FORWARD(One, max_pool2d_backward_out)
ENGRAM_FORWARD(One, min_out)
ENGRAM_FORWARD(One, mkldnn_reorder_conv2d_weight)
ENGRAM_FORWARD(One, mkldnn_reorder_conv2d_weight_out)
ENGRAM_FORWARD(Many, mkldnn_rnn_layer)
ENGRAM_FORWARD(Many, mkldnn_rnn_layer_backward)
ENGRAM_FORWARD(Many, mkldnn_rnn_layer_backward_out)
ENGRAM_FORWARD(Many, mkldnn_rnn_layer_out)
ENGRAM_FORWARD(One, nonzero_static)
ENGRAM_FORWARD(One, nonzero_static_out)
ENGRAM_FORWARD(Many, qr)
ENGRAM_FORWARD(Many, qr_out)
ENGRAM_FORWARD(One, quantized_max_pool3d)
ENGRAM_FORWARD(One, quantized_max_pool3d_out)
ENGRAM_FORWARD(One, scaled_dot_product_attention)
ENGRAM_FORWARD(One, sparse_coo_tensor)
ENGRAM_FORWARD(One, squeeze)
ENGRAM_FORWARD(One, squeeze_copy)
ENGRAM_FORWARD(One, squeeze_copy_out)
ENGRAM_FORWARD(Many, std_mean)
ENGRAM_FORWARD(Many, std_mean_out)
ENGRAM_FORWARD(One, std_out)
ENGRAM_FORWARD(One, sym_constrain_range)
ENGRAM_FORWARD(One, sym_constrain_range_for_size)
ENGRAM_FORWARD(One, to_dense_backward)
ENGRAM_FORWARD(One, var)
ENGRAM_FORWARD(Many, var_mean)
ENGRAM_FORWARD(Many, var_mean_out)
ENGRAM_FORWARD(One, var_out)

ENGRAM_FORWARD(One, std)

namespace engram_torch {
// A member that is absent becomes an addition whose operand throws.
inline c10::Scalar absent_member(const char *name) { return absent<c10::Scalar>(name); }
inline int64_t squeeze_dim(int64_t dim) { return dim; }
inline int64_t squeeze_dim(at::IntArrayRef) { return absent<int64_t>("squeeze_ with several dimensions"); }
} // namespace engram_torch

// Named tensors go; their members are called by nobody.
#define align_as(...) add(engram_torch::absent_member("align_as"))

// Of members the compiler cannot choose, so these go by the version.
#if TORCH_VERSION_MAJOR < 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR < 1)
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
#endif

#define torch engram_torch

#endif // ENGRAM_LIBTORCH_COMPAT
