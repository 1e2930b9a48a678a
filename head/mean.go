package head

import (
	"fmt"

	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/metric"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// Mean is the nearest class mean: the log-softmax of a metric's scores of query and class mean, times a scale. With the squared
// Euclidean distance and a scale of 1 it is the classifier of Snell et al. 2017, with the cosine that of Chen et al. 2021
// (Meta-Baseline), eq. 4.
type Mean struct {
	metric metric.Metric
	scale  scalar
}

// NewMean makes the head. The scale is learned, a parameter of b called scale, unless b is nil.
func NewMean(b *nn.Builder, m metric.Metric, scale float64) *Mean {
	return &Mean{m, newScalar(b, "scale", scale)}
}

// LogProbs implements [Head].
func (h *Mean) LogProbs(p *nn.Pass, t *fewshot.Task) *tensor.Tensor {
	return h.scale.mul(p, h.metric.Score(p, t.Query, means(t.Support, oneHot(t)))).LogSoftmax(-1)
}

// A Form of SimpleShot is what it does to embeddings before it takes class means.
type Form string

// The forms of SimpleShot (Wang et al. 2019, section 3).
const (
	UN   Form = "un"   // nothing
	L2N  Form = "l2n"  // divides each by its Euclidean norm
	CL2N Form = "cl2n" // subtracts the mean embedding of the training images first
)

// SimpleShot is the nearest class mean by the squared Euclidean distance, on transformed embeddings: Wang et al. 2019,
// section 3. It is inductive, and nothing of it is learned.
type SimpleShot struct {
	form   Form
	centre []float32
	scale  float64
}

// NewSimpleShot makes the head. centre is the mean embedding of the training images, for [CL2N]; scale multiplies the negated
// distances before the softmax, which changes probabilities and no prediction. A form CL2N without a centre is a programmer
// error, and panics.
func NewSimpleShot(form Form, centre []float32, scale float64) *SimpleShot {
	if (form == CL2N) != (centre != nil) {
		panic(&tensor.Error{Op: "NewSimpleShot", Msg: fmt.Sprintf("the form %s with a mean of %d values: cl2n needs the mean embedding of the training images, and no other form takes one", form, len(centre))})
	}
	return &SimpleShot{form, centre, scale}
}

// LogProbs implements [Head].
func (h *SimpleShot) LogProbs(_ *nn.Pass, t *fewshot.Task) *tensor.Tensor {
	support, query := h.transform(t.Support), h.transform(t.Query)
	return squaredDistances(query, means(support, oneHot(t))).MulScalar(-h.scale).LogSoftmax(-1)
}

func (h *SimpleShot) transform(x *tensor.Tensor) *tensor.Tensor {
	if h.form == CL2N {
		x = x.Sub(tensor.New(h.centre, int64(len(h.centre))).To(x.DType()).On(x.Device()))
	}
	if h.form == UN {
		return x
	}
	return unit(x)
}
