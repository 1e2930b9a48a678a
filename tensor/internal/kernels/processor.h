// The kinds of processor that kernels are compiled for, and the kind of this machine.
#ifndef ENGRAM_KERNELS_PROCESSOR_H
#define ENGRAM_KERNELS_PROCESSOR_H

#define EG_INLINE inline __attribute__((always_inline))

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define EG_X86

namespace engram {

// The kinds of perprocessor.h.
inline bool has_avx512() {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
inline bool has_avx2() {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

} // namespace engram

// of(namespace) for the namespace of perprocessor.h that fits this machine's processor.
#define EG_CHOOSE(of) (engram::has_avx512() ? of(avx512) : engram::has_avx2() ? of(avx2) : of(plain))
#else
#define EG_CHOOSE(of) of(plain)
#endif
#endif
