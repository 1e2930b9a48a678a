package head

import (
	"math"

	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// RidgeConfig configures [NewRidge].
type RidgeConfig struct {
	// Lambda is the weight of the penalty, above 0.
	Lambda float64
	// Bias adds a column of ones to the embeddings and divides the rows of embeddings and labels by the root of their number,
	// as R2D2 does. Without it the regression is MetaOptNet's, on targets of 2 and without a bias.
	Bias bool
	// Scale multiplies the predicted labels and Shift is added to them, before the softmax. They are learned where the head
	// has a builder.
	Scale, Shift float64
}

// Ridge is ridge regression from embeddings to one-hot labels in closed form: Bertinetto et al. 2019 (R2D2), eqs. 4 to 6, and
// the ridge head of Lee et al. 2019 (MetaOptNet). It is differentiable. It solves for as many unknowns per class as there are
// support examples or embedding dimensions, whichever are fewer; the results are the same (Woodbury's identity).
type Ridge struct {
	c            RidgeConfig
	scale, shift scalar
}

// NewRidge makes the head. Scale and shift are learned, parameters of b called scale and shift, unless b is nil; MetaOptNet's
// regression has no shift.
func NewRidge(b *nn.Builder, c RidgeConfig) *Ridge {
	h := &Ridge{c: c, scale: newScalar(b, "scale", c.Scale)}
	if !c.Bias {
		b = nil
	}
	h.shift = newScalar(b, "shift", c.Shift)
	return h
}

// LogProbs implements [Head].
func (h *Ridge) LogProbs(p *nn.Pass, t *fewshot.Task) *tensor.Tensor {
	z, x, y := t.Support, t.Query, oneHot(t)
	if h.c.Bias {
		root := 1 / math.Sqrt(float64(z.Dim(1)))
		z, x = withOnes(z).MulScalar(root), withOnes(x)
		y = y.MulScalar(root)
	} else {
		y = y.MulScalar(2)
	}
	return h.shift.add(p, h.scale.mul(p, ridge(z, x, y, h.c.Lambda))).LogSoftmax(-1)
}

// ridge returns x·W [tasks, queries, outputs] for the W that minimises ‖z·W - y‖² + λ‖W‖², with z [tasks, n, width] and y
// [tasks, n, outputs]. The system is solved in float64.
func ridge(z, x, y *tensor.Tensor, lambda float64) *tensor.Tensor {
	zt := z.Transpose(-2, -1)
	if z.Dim(1) <= z.Dim(2) {
		return x.MatMul(zt).MatMul(solveRegular(z.MatMul(zt), y, lambda))
	}
	return x.MatMul(solveRegular(zt.MatMul(z), zt.MatMul(y), lambda))
}

// solveRegular returns (k + λI)⁻¹·b for symmetric positive semi-definite k [tasks, n, n].
func solveRegular(k, b *tensor.Tensor, lambda float64) *tensor.Tensor {
	k64 := k.To(tensor.Float64)
	return k64.Add(eye(k64, lambda)).Cholesky().SolveCholesky(b.To(tensor.Float64)).To(b.DType())
}

// eye returns v times the identity, of the size, type and device of k [..., n, n].
func eye(k *tensor.Tensor, v float64) *tensor.Tensor {
	return tensor.Eye(k.Dim(-1), k.DType(), k.Device()).MulScalar(v)
}

// withOnes adds a column of ones to x [tasks, n, width].
func withOnes(x *tensor.Tensor) *tensor.Tensor {
	return tensor.Cat(2, x, tensor.Full(1, x.DType(), x.Device(), x.Dim(0), x.Dim(1), 1))
}
