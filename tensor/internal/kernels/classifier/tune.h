// Tuning the class weights of few-shot tasks; tensor/tune.go documents it.
#ifndef ENGRAM_KERNELS_TUNE_H
#define ENGRAM_KERNELS_TUNE_H
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

struct eg_tune {
  double temperature, cross_entropy, marginal, conditional, rate;
  int64_t steps;
};

// Returns the tuned weights, or NULL with an error.
void *eg_tune_weights(const struct eg_tune *by, void *weights, void *embeddings, void *labels);

#ifdef __cplusplus
}
#endif
#endif
