// The functions of gotch's C interface that Engram calls. gotch's own file defines 2,600 and takes minutes to compile,
// so libtorch/gotch.h leaves their bodies out and makes them weak: the linker takes those that are here. To use another
// function of gotch, add it here, declared as in gotch's headers; libtorch/gotch_test.go compares the declarations.
#include "../torch.h"
#include <torch/cuda.h>

#include "../guard.h"

#include <tuple>
#include <vector>

namespace {

using tensor = at::Tensor *;
using scalar = at::Scalar *;

using engram::guarded;

void store(tensor *out, at::Tensor t) { *out = new at::Tensor(std::move(t)); }

template <class... Tensors> void store(tensor *out, const std::tuple<Tensors...> &all) {
  std::apply([&](const auto &...t) { ((*out++ = new at::Tensor(t)), ...); }, all);
}

// Stores the results of f. On failure the first one stays null, and the message waits in eg_error.
template <class F> void results(tensor *out, F f) {
  guarded(0, [&] {
    store(out, f());
    return 0;
  });
}

at::Tensor optional(tensor t) { return t ? *t : at::Tensor(); }

std::vector<at::Tensor> list(tensor *data, int len) {
  std::vector<at::Tensor> all;
  for (int i = 0; i < len; i++)
    all.push_back(*data[i]);
  return all;
}

// Calls f with the element type, or without one where it is negative: the type of the operand.
template <class F> at::Tensor typed(int dtype, F f) { return dtype < 0 ? f() : f(at::ScalarType(dtype)); }

at::Device place(int device) { return device < 0 ? at::Device(at::kCPU) : at::Device(at::kCUDA, device); }

at::TensorOptions options(int dtype, int device) { return at::device(place(device)).dtype(at::ScalarType(dtype)); }

using Sizes = at::IntArrayRef;

} // namespace

extern "C" {

void at_free(tensor t) { delete t; }
int at_device(tensor t) {
  return guarded(-99, [&] { return t->is_cuda() ? int(t->get_device()) : -1; });
}
size_t at_dim(tensor t) {
  return guarded(size_t(-1), [&] { return size_t(t->dim()); });
}
void at_shape(tensor t, int64_t *dims) {
  guarded(0, [&] {
    for (int64_t size : t->sizes())
      *dims++ = size;
    return 0;
  });
}
int at_scalar_type(tensor t) {
  return guarded(-1, [&] { return int(t->scalar_type()); });
}
void *at_data_ptr(tensor t) {
  return guarded<void *>(nullptr, [&] { return t->data_ptr(); });
}
int at_requires_grad(tensor t) {
  return guarded(-1, [&] { return int(t->requires_grad()); });
}

scalar ats_float(double v) { return new at::Scalar(v); }
void ats_free(scalar s) { delete s; }

int atc_cuda_device_count() {
  return guarded(0, [] { return int(torch::cuda::device_count()); });
}
int atc_cuda_is_available() {
  return guarded(0, [] { return int(torch::cuda::is_available()); });
}

// Tensors that are new.

void atg_arange(tensor *out__, scalar end, int options_kind, int options_device) {
  results(out__, [&] { return at::arange(*end, options(options_kind, options_device)); });
}
void atg_eye(tensor *out__, int64_t n, int options_kind, int options_device) {
  results(out__, [&] { return at::eye(n, options(options_kind, options_device)); });
}
void atg_full(tensor *out__, int64_t *size_data, int size_len, scalar fill_value, int options_kind,
              int options_device) {
  results(out__,
          [&] { return at::full(Sizes(size_data, size_len), *fill_value, options(options_kind, options_device)); });
}
void atg_ones_like(tensor *out__, tensor self) {
  results(out__, [&] { return at::ones_like(*self); });
}
void atg_zeros_like(tensor *out__, tensor self) {
  results(out__, [&] { return at::zeros_like(*self); });
}
void atg_one_hot(tensor *out__, tensor self, int64_t num_classes) {
  results(out__, [&] { return at::one_hot(*self, num_classes); });
}

// One value at a time.

void atg_abs(tensor *out__, tensor self) {
  results(out__, [&] { return at::abs(*self); });
}
void atg_exp(tensor *out__, tensor self) {
  results(out__, [&] { return at::exp(*self); });
}
void atg_log(tensor *out__, tensor self) {
  results(out__, [&] { return at::log(*self); });
}
void atg_neg(tensor *out__, tensor self) {
  results(out__, [&] { return at::neg(*self); });
}
void atg_reciprocal(tensor *out__, tensor self) {
  results(out__, [&] { return at::reciprocal(*self); });
}
void atg_relu(tensor *out__, tensor self) {
  results(out__, [&] { return at::relu(*self); });
}
void atg_prelu(tensor *out__, tensor self, tensor weight) {
  results(out__, [&] { return at::prelu(*self, *weight); });
}
void atg_sigmoid(tensor *out__, tensor self) {
  results(out__, [&] { return at::sigmoid(*self); });
}
void atg_softplus(tensor *out__, tensor self) {
  results(out__, [&] { return at::softplus(*self); });
}
void atg_sqrt(tensor *out__, tensor self) {
  results(out__, [&] { return at::sqrt(*self); });
}
void atg_square(tensor *out__, tensor self) {
  results(out__, [&] { return at::square(*self); });
}
void atg_tanh(tensor *out__, tensor self) {
  results(out__, [&] { return at::tanh(*self); });
}
void atg_add(tensor *out__, tensor self, tensor other) {
  results(out__, [&] { return at::add(*self, *other); });
}
void atg_add_scalar(tensor *out__, tensor self, scalar other) {
  results(out__, [&] { return at::add(*self, *other); });
}
void atg_sub(tensor *out__, tensor self, tensor other) {
  results(out__, [&] { return at::sub(*self, *other); });
}
void atg_mul(tensor *out__, tensor self, tensor other) {
  results(out__, [&] { return at::mul(*self, *other); });
}
void atg_mul_scalar(tensor *out__, tensor self, scalar other) {
  results(out__, [&] { return at::mul(*self, *other); });
}
void atg_div(tensor *out__, tensor self, tensor other) {
  results(out__, [&] { return at::div(*self, *other); });
}
void atg_pow(tensor *out__, tensor self, tensor exponent) {
  results(out__, [&] { return at::pow(*self, *exponent); });
}
void atg_pow_tensor_scalar(tensor *out__, tensor self, scalar exponent) {
  results(out__, [&] { return at::pow(*self, *exponent); });
}
void atg_maximum(tensor *out__, tensor self, tensor other) {
  results(out__, [&] { return at::maximum(*self, *other); });
}
void atg_minimum(tensor *out__, tensor self, tensor other) {
  results(out__, [&] { return at::minimum(*self, *other); });
}
void atg_clamp_max(tensor *out__, tensor self, scalar max) {
  results(out__, [&] { return at::clamp_max(*self, *max); });
}
void atg_clamp_min(tensor *out__, tensor self, scalar min) {
  results(out__, [&] { return at::clamp_min(*self, *min); });
}
void atg_eq_tensor(tensor *out__, tensor self, tensor other) {
  results(out__, [&] { return at::eq(*self, *other); });
}
void atg_gt_tensor(tensor *out__, tensor self, tensor other) {
  results(out__, [&] { return at::gt(*self, *other); });
}
void atg_where_self(tensor *out__, tensor condition, tensor self, tensor other) {
  results(out__, [&] { return at::where(*condition, *self, *other); });
}

// Over a dimension.

void atg_sum_dim_intlist(tensor *out__, tensor self, int64_t *dim_data, int dim_len, int keepdim, int dtype) {
  results(out__, [&] {
    return typed(dtype, [&](auto... type) { return at::sum(*self, Sizes(dim_data, dim_len), keepdim != 0, type...); });
  });
}
void atg_mean_dim(tensor *out__, tensor self, int64_t *dim_data, int dim_len, int keepdim, int dtype) {
  results(out__, [&] {
    return typed(dtype, [&](auto... type) { return at::mean(*self, Sizes(dim_data, dim_len), keepdim != 0, type...); });
  });
}
void atg_logsumexp(tensor *out__, tensor self, int64_t *dim_data, int dim_len, int keepdim) {
  results(out__, [&] { return at::logsumexp(*self, Sizes(dim_data, dim_len), keepdim != 0); });
}
void atg_softmax(tensor *out__, tensor self, int64_t dim, int dtype) {
  results(out__, [&] { return typed(dtype, [&](auto... type) { return at::softmax(*self, dim, type...); }); });
}
void atg_log_softmax(tensor *out__, tensor self, int64_t dim, int dtype) {
  results(out__, [&] { return typed(dtype, [&](auto... type) { return at::log_softmax(*self, dim, type...); }); });
}
void atg_cumsum(tensor *out__, tensor self, int64_t dim, int dtype) {
  results(out__, [&] { return typed(dtype, [&](auto... type) { return at::cumsum(*self, dim, type...); }); });
}
void atg_cumprod(tensor *out__, tensor self, int64_t dim, int dtype) {
  results(out__, [&] { return typed(dtype, [&](auto... type) { return at::cumprod(*self, dim, type...); }); });
}
void atg_max_dim(tensor *out__, tensor self, int64_t dim, int keepdim) {
  results(out__, [&] { return at::max(*self, dim, keepdim != 0); });
}
void atg_argmax(tensor *out__, tensor self, int64_t dim_v, uint8_t dim_null, int keepdim) {
  results(out__,
          [&] { return dim_null ? at::argmax(*self, {}, keepdim != 0) : at::argmax(*self, dim_v, keepdim != 0); });
}
void atg_topk(tensor *out__, tensor self, int64_t k, int64_t dim, int largest, int sorted) {
  results(out__, [&] { return at::topk(*self, k, dim, largest != 0, sorted != 0); });
}
void atg_sort(tensor *out__, tensor self, int64_t dim, int descending) {
  results(out__, [&] { return at::sort(*self, dim, descending != 0); });
}

// Parts and arrangements.

void atg_cat(tensor *out__, tensor *tensors_data, int tensors_len, int64_t dim) {
  results(out__, [&] { return at::cat(list(tensors_data, tensors_len), dim); });
}
void atg_stack(tensor *out__, tensor *tensors_data, int tensors_len, int64_t dim) {
  results(out__, [&] { return at::stack(list(tensors_data, tensors_len), dim); });
}
void atg_reshape(tensor *out__, tensor self, int64_t *shape_data, int shape_len) {
  results(out__, [&] { return at::reshape(*self, Sizes(shape_data, shape_len)); });
}
void atg_flatten(tensor *out__, tensor self, int64_t start_dim, int64_t end_dim) {
  results(out__, [&] { return at::flatten(*self, start_dim, end_dim); });
}
void atg_expand(tensor *out__, tensor self, int64_t *size_data, int size_len, int implicit) {
  results(out__, [&] { return self->expand(Sizes(size_data, size_len), implicit != 0); });
}
void atg_permute(tensor *out__, tensor self, int64_t *dims_data, int dims_len) {
  results(out__, [&] { return at::permute(*self, Sizes(dims_data, dims_len)); });
}
void atg_transpose(tensor *out__, tensor self, int64_t dim0, int64_t dim1) {
  results(out__, [&] { return at::transpose(*self, dim0, dim1); });
}
void atg_squeeze_dim(tensor *out__, tensor self, int64_t dim) {
  results(out__, [&] { return at::squeeze(*self, dim); });
}
void atg_unsqueeze(tensor *out__, tensor self, int64_t dim) {
  results(out__, [&] { return at::unsqueeze(*self, dim); });
}
void atg_select(tensor *out__, tensor self, int64_t dim, int64_t index) {
  results(out__, [&] { return at::select(*self, dim, index); });
}
void atg_narrow(tensor *out__, tensor self, int64_t dim, int64_t start, int64_t length) {
  results(out__, [&] { return at::narrow(*self, dim, start, length); });
}
void atg_index_select(tensor *out__, tensor self, int64_t dim, tensor index) {
  results(out__, [&] { return at::index_select(*self, dim, *index); });
}
void atg_gather(tensor *out__, tensor self, int64_t dim, tensor index, int sparse_grad) {
  results(out__, [&] { return at::gather(*self, dim, *index, sparse_grad != 0); });
}
void atg_scatter(tensor *out__, tensor self, int64_t dim, tensor index, tensor src) {
  results(out__, [&] { return at::scatter(*self, dim, *index, *src); });
}
void atg_flip(tensor *out__, tensor self, int64_t *dims_data, int dims_len) {
  results(out__, [&] { return at::flip(*self, Sizes(dims_data, dims_len)); });
}
void atg_roll(tensor *out__, tensor self, int64_t *shifts_data, int shifts_len, int64_t *dims_data, int dims_len) {
  results(out__, [&] { return at::roll(*self, Sizes(shifts_data, shifts_len), Sizes(dims_data, dims_len)); });
}
void atg_contiguous(tensor *out__, tensor self) {
  results(out__, [&] { return self->contiguous(); });
}
void atg_detach(tensor *out__, tensor self) {
  results(out__, [&] { return at::detach(*self); });
}
void atg_set_requires_grad(tensor *out__, tensor self, int r) {
  results(out__, [&] { return self->set_requires_grad(r != 0); });
}
void atg_to(tensor *out__, tensor self, int device) {
  results(out__, [&] { return self->to(place(device)); });
}
void atg_to_dtype(tensor *out__, tensor self, int dtype, int non_blocking, int copy) {
  results(out__, [&] { return self->to(at::ScalarType(dtype), non_blocking != 0, copy != 0); });
}

// Linear algebra and layers.

void atg_matmul(tensor *out__, tensor self, tensor other) {
  results(out__, [&] { return at::matmul(*self, *other); });
}
void atg_linear(tensor *out__, tensor input, tensor weight, tensor bias) {
  results(out__, [&] { return at::linear(*input, *weight, optional(bias)); });
}
void atg_cholesky_solve(tensor *out__, tensor self, tensor input2, int upper) {
  results(out__, [&] { return at::cholesky_solve(*self, *input2, upper != 0); });
}
void atg_linalg_cholesky(tensor *out__, tensor self, int upper) {
  results(out__, [&] { return at::linalg_cholesky(*self, upper != 0); });
}
void atg_linalg_solve_triangular(tensor *out__, tensor self, tensor B, int upper, int left, int unitriangular) {
  results(out__, [&] { return at::linalg_solve_triangular(*self, *B, upper != 0, left != 0, unitriangular != 0); });
}
void atg_conv2d(tensor *out__, tensor input, tensor weight, tensor bias, int64_t *stride_data, int stride_len,
                int64_t *padding_data, int padding_len, int64_t *dilation_data, int dilation_len, int64_t groups) {
  results(out__, [&] {
    return at::conv2d(*input, *weight, optional(bias), Sizes(stride_data, stride_len), Sizes(padding_data, padding_len),
                      Sizes(dilation_data, dilation_len), groups);
  });
}
void atg_max_pool2d(tensor *out__, tensor self, int64_t *kernel_size_data, int kernel_size_len, int64_t *stride_data,
                    int stride_len, int64_t *padding_data, int padding_len, int64_t *dilation_data, int dilation_len,
                    int ceil_mode) {
  results(out__, [&] {
    return at::max_pool2d(*self, Sizes(kernel_size_data, kernel_size_len), Sizes(stride_data, stride_len),
                          Sizes(padding_data, padding_len), Sizes(dilation_data, dilation_len), ceil_mode != 0);
  });
}
void atg_batch_norm(tensor *out__, tensor input, tensor weight, tensor bias, tensor running_mean, tensor running_var,
                    int training, double momentum, double eps, int cudnn_enabled) {
  results(out__, [&] {
    return at::batch_norm(*input, optional(weight), optional(bias), optional(running_mean), optional(running_var),
                          training != 0, momentum, eps, cudnn_enabled != 0);
  });
}
void atg_layer_norm(tensor *out__, tensor input, int64_t *normalized_shape_data, int normalized_shape_len,
                    tensor weight, tensor bias, double eps, int cudnn_enable) {
  results(out__, [&] {
    return at::layer_norm(*input, Sizes(normalized_shape_data, normalized_shape_len), optional(weight), optional(bias),
                          eps, bool(cudnn_enable));
  });
}
void atg_lstm(tensor *out__, tensor input, tensor *hx_data, int hx_len, tensor *params_data, int params_len,
              int has_biases, int64_t num_layers, double dropout, int train, int bidirectional, int batch_first) {
  results(out__, [&] {
    return at::lstm(*input, list(hx_data, hx_len), list(params_data, params_len), has_biases != 0, num_layers, dropout,
                    train != 0, bidirectional != 0, batch_first != 0);
  });
}
void atg_embedding_bag(tensor *out__, tensor weight, tensor indices, tensor offsets, int scale_grad_by_freq,
                       int64_t mode, int sparse, tensor per_sample_weights, int include_last_offset) {
  results(out__, [&] {
    return at::embedding_bag(*weight, *indices, *offsets, scale_grad_by_freq != 0, mode, sparse != 0,
                             optional(per_sample_weights), include_last_offset != 0);
  });
}
void atg_nll_loss(tensor *out__, tensor self, tensor target, tensor weight, int64_t reduction, int64_t ignore_index) {
  results(out__, [&] { return at::nll_loss(*self, *target, optional(weight), reduction, ignore_index); });
}
void atg_binary_cross_entropy_with_logits(tensor *out__, tensor self, tensor target, tensor weight, tensor pos_weight,
                                          int64_t reduction) {
  results(out__, [&] {
    return at::binary_cross_entropy_with_logits(*self, *target, optional(weight), optional(pos_weight), reduction);
  });
}

} // extern "C"
