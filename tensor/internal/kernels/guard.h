// Error reporting from C++ to Go.
#ifndef ENGRAM_KERNELS_GUARD_H
#define ENGRAM_KERNELS_GUARD_H
#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>

#include <exception>
#include <stdexcept>
#include <string>

namespace engram {

// Stores a copy of the message for this thread's eg_error.
void set_error(const char *what);

inline at::Tensor &T(void *t) { return *static_cast<at::Tensor *>(t); }

// Runs f. On an exception it stores the message for eg_error and returns `failed`.
template <class R, class F> R guarded(R failed, F f) {
  try {
    return f();
  } catch (const c10::Error &e) {
    set_error(e.what_without_backtrace());
  } catch (const std::exception &e) {
    set_error(e.what());
  } catch (...) {
    set_error("unknown C++ exception");
  }
  return failed;
}

// Copies tensors to out, which then owns them. Returns 0 for success.
template <class Tensors> int give(const Tensors &tensors, void **out) {
  for (const at::Tensor &t : tensors)
    *out++ = new at::Tensor(t);
  return 0;
}

inline void refuse_second_order(const char *op) {
  if (at::GradMode::is_enabled())
    throw std::runtime_error(
        std::string(op) +
        " has no second-order gradient; set Pass.HigherOrder where gradients are to be differentiated");
}

} // namespace engram
#endif
