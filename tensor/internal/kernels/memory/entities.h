// The recurrence of an entity network; documented in tensor/entities.go.
#ifndef ENGRAM_KERNELS_ENTITIES_H
#define ENGRAM_KERNELS_ENTITIES_H
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Returns the slots [batch, slots, width] after the sentences, or null.
void *eg_entities(void *first, void *sentences, void *inputs, void *from_keys, void *to_keys, void *state, void *slope,
                  const int64_t *lengths, double eps);

#ifdef __cplusplus
}
#endif
#endif
