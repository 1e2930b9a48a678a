// Includes EG_KERNELS_FILE once for each kind of processor, in the namespaces avx512, avx2 and plain; EG_BYTES is what a register
// holds. To be included where the kernels are to be, after processor.h. That it is a whole file and not a function by
// target_clones has a reason: GCC takes a vector apart for the oldest processor before it makes the clones; nor does it compare
// vectors that are wider than the processor's but value by value.
#ifdef EG_X86
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2,prefer-vector-width=512")
namespace avx512 {
#define EG_BYTES 64
#include EG_KERNELS_FILE
#undef EG_BYTES
}
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx2,fma,bmi2")
namespace avx2 {
#define EG_BYTES 32
#include EG_KERNELS_FILE
#undef EG_BYTES
}
#pragma GCC pop_options
#endif
namespace plain {
#define EG_BYTES 16
#include EG_KERNELS_FILE
#undef EG_BYTES
}
#undef EG_KERNELS_FILE
