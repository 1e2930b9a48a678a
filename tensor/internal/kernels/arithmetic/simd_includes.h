// Includes of kernels at file scope, before ../perprocessor.h.
#ifndef ENGRAM_KERNELS_SIMD_INCLUDES_H
#define ENGRAM_KERNELS_SIMD_INCLUDES_H
#include "../processor.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <utility>
#endif
