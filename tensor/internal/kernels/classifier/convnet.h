// Gradients of a convolutional classifier, and gradient descent on it, without an autograd graph; tensor/convnet.go
// documents them.
#ifndef ENGRAM_KERNELS_CONVNET_H
#define ENGRAM_KERNELS_CONVNET_H
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

// If rates is NULL, all values have the learning rate `rate`.
int eg_convnet_descend(const struct eg_convnet *net, void **values, void **rates, double rate, void *x, void *labels,
                       int steps, void **moved);

// Steps of Adam with beta1 = 0. Step i trains on the `batch` images whose numbers are row i of dealt; the squares are
// those after `done` earlier steps.
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
