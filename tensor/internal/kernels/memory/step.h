// Steps of recurrent networks as one operation; tensor/memstep.go documents them. Plain C, so that cgo reads it.
#ifndef ENGRAM_KERNELS_STEP_H
#define ENGRAM_KERNELS_STEP_H
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

enum { EG_STEP_OUTPUTS = 10 }; // the most outputs of a step: what is read, the memory, and the parts of the state

// Writes the hidden state and the next cell to out. Returns 0, or -1 and leaves a message for eg_error.
int eg_lstm_step(void *gates, void *cell, void **out);

// One step of the fused memory of that name. in holds the emission, the memory and the parts of the state that the step
// reads; out gets what is read, the memory and all parts. Returns the number of outputs, or -1 and leaves a message for
// eg_error.
int eg_memory_step(const char *name, const double *settings, int settings_count, void **in, int in_count, void **out);

#ifdef __cplusplus
}
#endif
#endif
