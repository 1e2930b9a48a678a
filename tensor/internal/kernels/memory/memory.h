// The interface of a fused memory: its sizes, its step for one sequence, and the gradient of the step. step.cpp and
// unroll.cpp run any memory in the table of memories.cpp. This header does not need LibTorch.
#ifndef ENGRAM_KERNELS_MEMORY_H
#define ENGRAM_KERNELS_MEMORY_H
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <vector>

namespace engram {

constexpr int max_parts = 8;

// A part of the state other than the matrix: [rows, slots] per sequence.
struct Part {
  const char *name; // for error messages
  int64_t rows;
  bool input;    // a step reads the previous value; otherwise a step only returns it
  bool gradient; // differentiable
};

struct MemorySizes {
  int64_t slots, width;
  int64_t heads;    // read heads: a step reads heads·width values
  int64_t emission; // width of the controller's emission
  int64_t kept;     // values and integers kept for the gradient
  int64_t kept_indices;
  int64_t forward_scratch, backward_scratch; // values
  int64_t forward_work, backward_work;       // approximate multiplications, for dividing work among threads
  std::vector<Part> parts;
};

// One step of one sequence. A matrix M [slots, width] is stored as its transpose, [width][slots], so that loops over
// slots, the longest ones, access adjacent values. Arrays do not overlap.
template <class F> struct MemoryForward {
  const F *emission;          // [emission]
  const F *memory;            // M(t-1)
  F *next;                    // M(t)
  const F *before[max_parts]; // the parts of the state at t-1; null for a part that is not an input
  F *after[max_parts];        // the parts at t
  F *read;                    // [heads, width]
  F *kept;                    // for the gradient
  int64_t *kept_indices;
  F *scratch; // aligned to a vector
};

// Its gradient. dx is the derivative of the loss with respect to x. dread, dnext and each of dafter may be null,
// meaning zeros. All of demission, dmemory and dbefore of differentiable inputs are written.
template <class F> struct MemoryBackward {
  const F *emission, *memory, *next;
  const F *before[max_parts], *after[max_parts];
  const F *kept;
  const int64_t *kept_indices;
  const F *dread, *dnext, *dafter[max_parts];
  F *demission, *dmemory, *dbefore[max_parts];
  F *scratch;
};

class Memory {
public:
  explicit Memory(MemorySizes s) : sizes(std::move(s)) {
    if (sizes.parts.size() > max_parts)
      throw std::logic_error("a fused memory has more parts than max_parts");
  }
  virtual ~Memory() = default;
  virtual void forward(const MemoryForward<float> &) const = 0;
  virtual void forward(const MemoryForward<double> &) const = 0;
  virtual void backward(const MemoryBackward<float> &) const = 0;
  virtual void backward(const MemoryBackward<double> &) const = 0;
  const MemorySizes sizes;
};

// The kernels of a memory for one kind of processor. Config holds its settings.
template <class Config> struct MemoryKernels {
  void (*forward_float)(const Config &, const MemoryForward<float> &);
  void (*forward_double)(const Config &, const MemoryForward<double> &);
  void (*backward_float)(const Config &, const MemoryBackward<float> &);
  void (*backward_double)(const Config &, const MemoryBackward<double> &);
};

template <class Config>
MemoryKernels<Config> memory_kernels(void (*forward_float)(const Config &, const MemoryForward<float> &),
                                     void (*forward_double)(const Config &, const MemoryForward<double> &),
                                     void (*backward_float)(const Config &, const MemoryBackward<float> &),
                                     void (*backward_double)(const Config &, const MemoryBackward<double> &)) {
  return {forward_float, forward_double, backward_float, backward_double};
}

// The kernels of a namespace of perprocessor.h, for EG_CHOOSE.
#define EG_MEMORY_KERNELS(of)                                                                                          \
  engram::memory_kernels(of::forward<float>, of::forward<double>, of::backward<float>, of::backward<double>)

template <class Config> class KernelMemory : public Memory {
public:
  KernelMemory(const Config &c, const MemoryKernels<Config> &k) : Memory(c.sizes()), config(c), kernels(k) {}
  void forward(const MemoryForward<float> &s) const override { kernels.forward_float(config, s); }
  void forward(const MemoryForward<double> &s) const override { kernels.forward_double(config, s); }
  void backward(const MemoryBackward<float> &s) const override { kernels.backward_float(config, s); }
  void backward(const MemoryBackward<double> &s) const override { kernels.backward_double(config, s); }

private:
  const Config config;
  const MemoryKernels<Config> kernels;
};

// The settings of a memory from Go, in the order documented in the memory's file.
struct Settings {
  const double *values;
  int count;
  double number(int i) const {
    if (i >= count)
      throw std::invalid_argument("a fused memory got too few settings");
    return values[i];
  }
  int64_t integer(int i) const { return int64_t(number(i)); }
  bool flag(int i) const { return number(i) != 0; }
};

// Makes the memory with a name. Throws if there is none, or if its settings do not fit its sizes.
std::shared_ptr<const Memory> make_memory(const char *name, int64_t slots, int64_t width, const Settings &settings);

} // namespace engram
#endif
