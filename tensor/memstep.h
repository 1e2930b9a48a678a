// Steps of recurrent networks in one operation; memstep.go documents them.
#ifndef ENGRAM_TENSOR_MEMSTEP_H
#define ENGRAM_TENSOR_MEMSTEP_H
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

// Each writes its outputs, in the order of its Go twin, to out and returns 0, or leaves a message for eg_error.

int eg_lstm_step(void *gates, void *cell, void **out);
int eg_ntm_step(void *emission, void *memory, void *weightings, int64_t reads, int64_t writes, int64_t shift, double clip,
                void **out);
int eg_lrua_step(void *emission, void *memory, void *read, void *usage, double decay, int add, int strength, int own_slots,
                 void **out);
// in are emission, memory, usage, link, precedence, read and write weightings.
int eg_dnc_step(void **in, double clip, void **out);

#ifdef __cplusplus
}
#endif
#endif
