// What a fast-weight memory writes and asks, of what a linear layer emits; documented in tensor/tokens.go.
#ifndef ENGRAM_KERNELS_TOKENS_H
#define ENGRAM_KERNELS_TOKENS_H
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

struct eg_emission {
  int64_t heads, key, value, writes;
  int64_t channels;   // of the decay; 0 for none
  int features;       // of keys and queries: 0 identity, 1 elu + 1, 2 SiLU
  double unit;        // added to the squared length where keys and queries are normalised; 0 where they are not
  double query_scale; // multiplies queries
  double max_rate;    // 0 for no rates
  int momentum;       // whether there is one
  int ones;           // whether a one follows each value
};

// decay_rate and decay_bias are NULL without a decay. Writes queries, keys and values to out, and then rates, decays
// and momenta where there are such. Returns their number, or -1.
int eg_fast_weight_tokens(const struct eg_emission *e, void *emission, void *decay_rate, void *decay_bias, void **out);

#ifdef __cplusplus
}
#endif
#endif
