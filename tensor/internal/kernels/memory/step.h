// Steps of recurrent networks in one operation; documented in tensor/memstep.go. Plain C for cgo.
#ifndef ENGRAM_KERNELS_STEP_H
#define ENGRAM_KERNELS_STEP_H
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

enum { EG_STEP_OUTPUTS = 10 }; // maximum number of outputs of a step: the values read, the memory, its parts

// Writes the hidden state and the next cell to out. Returns 0, or -1 and leaves a message for eg_error.
int eg_lstm_step(void *gates, void *cell, void **out);

// One step of the fused memory with a name. in holds the emission, the memory and the input parts of the state; out
// gets the values read, the memory and all parts. Returns the number of outputs, or -1 and leaves a message for
// eg_error.
int eg_memory_step(const char *name, const double *settings, int settings_count, void **in, int in_count, void **out);

#ifdef __cplusplus
}
#endif
#endif
