// Includes EG_KERNELS_FILE once per kind of processor, in the namespaces avx512, avx2 and plain, with EG_BYTES the
// bytes of a vector register and EG_PROCESSOR the namespace. Include it where the kernels belong, after processor.h.
// A path in EG_KERNELS_FILE is relative to this folder or to the including one. A kernel file may include itself: its
// kernels are then in the branch where EG_BYTES is defined.
//
// Whole files instead of functions with target_clones, because GCC lowers vectors for the baseline processor before
// it clones, and compares vectors wider than the processor's registers one value at a time.
#ifdef EG_X86
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2,prefer-vector-width=512")
#define EG_PROCESSOR avx512
#define EG_BYTES 64
namespace avx512 {
#include EG_KERNELS_FILE
} // namespace avx512
#undef EG_BYTES
#undef EG_PROCESSOR
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx2,fma,bmi2")
#define EG_PROCESSOR avx2
#define EG_BYTES 32
namespace avx2 {
#include EG_KERNELS_FILE
} // namespace avx2
#undef EG_BYTES
#undef EG_PROCESSOR
#pragma GCC pop_options
#endif
#define EG_PROCESSOR plain
#define EG_BYTES 16
namespace plain {
#include EG_KERNELS_FILE
} // namespace plain
#undef EG_BYTES
#undef EG_PROCESSOR
#undef EG_KERNELS_FILE
