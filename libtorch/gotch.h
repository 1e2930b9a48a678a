// Compiles gotch v0.9.1 without the bodies of its 2,600 functions and without LibTorch's headers: in seconds instead of
// minutes, against every LibTorch. The bodies of the functions that Engram calls are in tensor/internal/kernels/bindings. Any
// other function of gotch fails with a message; ENGRAM_GOTCH=all builds all of gotch instead (compat.h).
//
// The compiler is told to include this file ahead of every source (env.sh sets CGO_CXXFLAGS and CGO_CFLAGS), so gotch itself
// stays as its authors released it. Only gotch has torch_api.h on its include path: for other sources the file is empty. env.sh
// also puts files with the names of the LibTorch headers that gotch includes first on the include path. They pass on to
// LibTorch's own, except in gotch.
#if __has_include("torch_api.h")
#ifndef __cplusplus

// cgo learns what each name is by compiling lines such as "atg_add *__cgo_undefined__2;": an error means that the name is no
// type. GCC then compares the undeclared name with all 4,000 that it knows, to suggest one, and needs 40 seconds for gotch. With
// a declaration there is an error too, but nothing to suggest: a pointer cannot be multiplied by a struct.
extern struct engram_nothing {
  char c;
} __cgo_undefined__2;

#else

#ifdef ENGRAM_GOTCH_ALL
#include "compat.h"
#else
#define ENGRAM_GOTCH_WITHOUT_BODIES

#include <cstdint>
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

#endif // ENGRAM_GOTCH_ALL

// Makes gotch's functions weak, so that those of tensor/internal/kernels/bindings replace them: those of the generated file, which
// return nothing, and of the written one those that Engram calls.
extern "C" {
typedef torch::Tensor *tensor;
typedef torch::Scalar *scalar;
#define void __attribute__((weak)) void
#include "torch_api_generated.h"
#undef void
}
#pragma weak at_data_ptr
#pragma weak at_device
#pragma weak at_dim
#pragma weak at_free
#pragma weak at_requires_grad
#pragma weak at_scalar_type
#pragma weak at_shape
#pragma weak atc_cuda_device_count
#pragma weak atc_cuda_is_available
#pragma weak ats_float
#pragma weak ats_free

#ifndef ENGRAM_GOTCH_ALL
#include "torch_api.h"

// Its images are left out too: static functions that nothing calls.
#define STB_IMAGE_STATIC
#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_RESIZE_STATIC

#undef PROTECT
#define PROTECT(...) engram_left_out(__func__);

__attribute__((noinline)) static void engram_left_out(const char *function) {
  std::string message = std::string(function) + " of gotch is left out of this build: add it to tensor/internal/kernels/bindings, or build with ENGRAM_GOTCH=all";
  torch_last_err = strdup(message.c_str());
}

#endif // not ENGRAM_GOTCH_ALL
#endif // __cplusplus
#endif // gotch
