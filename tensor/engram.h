// The C interface that the Go files of this folder share.
#include "internal/kernels/arithmetic/bytes.h"
#include "internal/kernels/runtime/runtime.h"
