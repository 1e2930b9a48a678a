// Includes from LibTorch. custom_function.h replaces torch/torch.h, which takes twice as long to compile.
// libtorch/compile.sh compiles this file once for all others.
#ifndef ENGRAM_KERNELS_TORCH_H
#define ENGRAM_KERNELS_TORCH_H
#include <torch/csrc/autograd/custom_function.h>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#endif
