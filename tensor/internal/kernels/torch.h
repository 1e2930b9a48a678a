// Includes from LibTorch. custom_function.h replaces torch/torch.h, which takes twice as long to compile.
#ifndef ENGRAM_KERNELS_TORCH_H
#define ENGRAM_KERNELS_TORCH_H
// The same headers, which libtorch/compile.sh compiles once for all files.
#if __has_include(<engram_torch.h>)
#include <engram_torch.h>
#endif
#include <torch/csrc/autograd/custom_function.h>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#endif
