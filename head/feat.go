package head

import (
	"math"

	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// FEATConfig configures [NewFEAT].
type FEATConfig struct {
	// Temperature divides the negated squared distances to the adapted class means; above 0.
	Temperature float64
	// Weight is that of the contrastive term in the loss, and ContrastTemperature divides its distances; above 0.
	Weight, ContrastTemperature float64
	// Drop is the probability of dropout before the residual connection, in training.
	Drop float64
}

// FEAT adapts the class means to one another by a set-to-set function, one head of self-attention with a residual connection and
// layer norm, and classifies by the distance to them: Ye et al. 2020, section 4.1 and eq. 7, with the settings of its code. The
// contrastive term of training (eq. 8) adapts all embeddings of a class as a set, and classifies them by the means of the
// adapted ones; it needs the same number of support examples, and of queries, of every class.
type FEAT struct {
	c                      FEATConfig
	query, key, value, mix *nn.Param // [width, width]
	bias                   *nn.Param // [width]
	gain, shift            *nn.Param // of the layer norm: [width]
	width                  int64
}

// NewFEAT makes the head for embeddings of a width. Its parameters are b's.
func NewFEAT(b *nn.Builder, width int64, c FEATConfig) *FEAT {
	projection := nn.Normal(0, math.Sqrt(1/float64(width)))
	return &FEAT{
		c: c, width: width,
		query: b.Param("query", projection, width, width), key: b.Param("key", projection, width, width), value: b.Param("value", projection, width, width),
		mix: b.Param("mix.weight", projection, width, width), bias: b.Param("mix.bias", nn.Constant(0), width),
		gain: b.Param("norm.weight", nn.Constant(1), width), shift: b.Param("norm.bias", nn.Constant(0), width),
	}
}

// layerNormEps is PyTorch's.
const layerNormEps = 1e-5

// adapt applies the set-to-set function to sets x [sets, elements, width].
func (h *FEAT) adapt(p *nn.Pass, x *tensor.Tensor) *tensor.Tensor {
	project := func(w *nn.Param) *tensor.Tensor { return tensor.Linear(x, p.Value(w), nil) }
	attention := project(h.query).MatMul(project(h.key).Transpose(-2, -1)).MulScalar(1 / math.Sqrt(float64(h.width))).Softmax(-1)
	mixed := tensor.Linear(attention.MatMul(project(h.value)), p.Value(h.mix), p.Value(h.bias))
	sum := x.Add(nn.Dropout(p, mixed, h.c.Drop))
	centred := sum.Sub(sum.MeanKeep(-1))
	return centred.Div(centred.Square().MeanKeep(-1).AddScalar(layerNormEps).Sqrt()).Mul(p.Value(h.gain)).Add(p.Value(h.shift))
}

// LogProbs implements [Head].
func (h *FEAT) LogProbs(p *nn.Pass, t *fewshot.Task) *tensor.Tensor {
	prototypes := h.adapt(p, means(t.Support, oneHot(t)))
	return squaredDistances(t.Query, prototypes).MulScalar(-1 / h.c.Temperature).LogSoftmax(-1)
}

// Penalty implements [Regularized]: the contrastive term, with its weight.
func (h *FEAT) Penalty(p *nn.Pass, t *fewshot.Task) *tensor.Tensor {
	if h.c.Weight == 0 {
		return tensor.Full(0, t.Support.DType(), t.Support.Device())
	}
	tasks, width := t.Support.Dim(0), t.Support.Dim(2)
	// byClass sorts embeddings [tasks, n, width] by their labels: [tasks, way, n/way, width].
	byClass := func(x, labels *tensor.Tensor) *tensor.Tensor {
		_, order := labels.Sort(1, false)
		return x.Gather(1, order.Unsqueeze(-1).Expand(tasks, x.Dim(1), width)).Reshape(tasks, t.Way, -1, width)
	}
	sets := tensor.Cat(2, byClass(t.Support, t.SupportLabels), byClass(t.Query, t.QueryLabels))
	centres := h.adapt(p, sets.Flatten(0, 1)).Mean(1).Reshape(tasks, t.Way, width)
	logits := squaredDistances(sets.Flatten(1, 2), centres).MulScalar(-1 / h.c.ContrastTemperature)
	labels := make([]int64, 0, tasks*sets.Dim(1)*sets.Dim(2))
	for range tasks {
		for class := range t.Way {
			for range sets.Dim(2) {
				labels = append(labels, class)
			}
		}
	}
	at := tensor.New(labels, int64(len(labels))).On(t.Support.Device())
	return tensor.NLL(logits.Flatten(0, 1).LogSoftmax(-1), at).MulScalar(h.c.Weight)
}

var _ Regularized = (*FEAT)(nil)
