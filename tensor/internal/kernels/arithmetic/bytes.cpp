#include "bytes.h"
#include "../processor.h"

#ifdef EG_X86
#define EG_EACH_PROCESSOR __attribute__((target_clones("avx2", "default")))
#else
#define EG_EACH_PROCESSOR
#endif

// Computed as (v + v/255)/256. The inner quotient may be a product by 1/255, because the sum rounds its error away
// for every v. A division would take twice the time.
EG_EACH_PROCESSOR void eg_of_bytes(float *__restrict out, const uint8_t *__restrict in, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    float v = in[i];
    out[i] = (v + v * (1 / 255.f)) * (1 / 256.f);
  }
}
