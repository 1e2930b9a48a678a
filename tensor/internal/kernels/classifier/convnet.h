// Gradients of a convolutional classifier, and what descends by them, without a graph; convnet.go documents them.
#ifndef ENGRAM_TENSOR_CONVNET_H
#define ENGRAM_TENSOR_CONVNET_H
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

#define EG_CONVNET_BLOCKS 16

struct eg_convnet {
  int blocks, mean;
  int64_t stride[EG_CONVNET_BLOCKS], window[EG_CONVNET_BLOCKS];
  double eps;
};

// values are weight, gain and bias of each block, and weight and bias of the linear layer; grads and moved are as many.
int eg_convnet_fits(const struct eg_convnet *net, void **values, void *x);

// rates is NULL where rate is that of all values.
int eg_convnet_descend(const struct eg_convnet *net, void **values, void **rates, double rate, void *x, void *labels,
                       int steps, void **moved);

// Steps of Adam whose beta1 is 0, each on batch images, whose numbers are dealt; done steps made the squares.
struct eg_adam_steps {
  double rate, beta2, eps;
  int64_t done, steps, batch;
  const int64_t *dealt; // [steps, batch]
};
int eg_convnet_adam(const struct eg_convnet *net, void **values, void **squares, const struct eg_adam_steps *by,
                    void *x, void *labels, void **moved, void **squares_moved, void **loss);

int eg_convnet_meta(const struct eg_convnet *net, void **values, void **rates, double rate, void *support,
                    void *support_labels, void *query, void *query_labels, int steps, int second, void **grads,
                    void **rate_grads, void **loss, void **logp);

#ifdef __cplusplus
}
#endif
#endif
