// The C interface that several Go files of this folder use.
#include "internal/kernels/arithmetic/bytes.h"
#include "internal/kernels/runtime/runtime.h"
