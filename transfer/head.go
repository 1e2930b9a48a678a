package transfer

import (
	"math"
	"math/rand/v2"
	"strings"

	"github.com/engram-go/engram/metric"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// head computes class scores for a number of tasks at once.
type head struct {
	weight *nn.Param // [tasks, classes, width]
	bias   *nn.Param // [tasks, 1, classes]; nil for cosine heads
	scale  float64
}

// newHead makes a head for a number of tasks. The weight is initialised as PyTorch initialises a linear layer, each task's
// from its own generator; the bias is 0. With nil generators it is a head for one task, initialised from b's.
func newHead(b *nn.Builder, k Kind, scale float64, generators []*rand.Rand, classes, width int64) *head {
	h := &head{scale: Adaptation{Head: k, Scale: scale}.scale()}
	uniform := nn.Uniform(1 / math.Sqrt(float64(width)))
	tasks := max(1, int64(len(generators)))
	h.weight = b.Param("weight", func(r *rand.Rand, shape []int64, out []float32) {
		if generators == nil {
			generators = []*rand.Rand{r}
		}
		for i, own := range generators {
			uniform(own, shape[1:], out[int64(i)*classes*width:][:classes*width])
		}
	}, tasks, classes, width)
	if k != Cosine && k != CosineMean {
		h.bias = b.Param("bias", nn.Constant(0), tasks, 1, classes)
	}
	return h
}

// scores returns the scores [tasks, n, classes] of embeddings [tasks, n, width].
func (h *head) scores(p *nn.Pass, x *tensor.Tensor) *tensor.Tensor {
	if h.bias == nil {
		return metric.Cosine{}.Score(p, x, p.Value(h.weight)).MulScalar(h.scale)
	}
	return x.MatMul(p.Value(h.weight).Transpose(-2, -1)).Add(p.Value(h.bias))
}

// startAtMeans sets the head to the class means of embeddings [tasks, n, width] with one-hot labels [tasks, n, classes]; see
// [AtMeans].
func (h *head) startAtMeans(x, labels *tensor.Tensor) {
	s := tensor.Enter()
	defer s.Leave()
	labels = labels.To(x.DType())
	means := labels.Transpose(-2, -1).MatMul(x).Div(labels.Sum(1).ClampMin(1).Unsqueeze(-1)) // [tasks, classes, width]
	if h.bias == nil {
		h.weight.Value().Assign(means)
		return
	}
	h.weight.Value().Assign(means.MulScalar(2))
	h.bias.Value().Assign(means.Square().Sum(-1).Neg().Unsqueeze(1))
}

// commonPrefix returns the length in bytes of the dotted prefix that all parameters' names share.
func commonPrefix(ps []*nn.Param) int {
	if len(ps) == 0 {
		return 0
	}
	prefix := ps[0].Name[:strings.LastIndexByte(ps[0].Name, '.')+1]
	for _, p := range ps {
		for !strings.HasPrefix(p.Name, prefix) {
			prefix = prefix[:strings.LastIndexByte(strings.TrimSuffix(prefix, "."), '.')+1]
		}
	}
	return len(prefix)
}

// firstPart returns the part of a dotted name before the first dot.
func firstPart(name string) string {
	name, _, _ = strings.Cut(name, ".")
	return name
}
