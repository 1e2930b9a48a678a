package head

import (
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// LogisticConfig configures [NewLogistic].
type LogisticConfig struct {
	// C is the weight of the cross-entropy, summed over the support set, against half the squared norm of the weights. The bias
	// is not penalised. This is scikit-learn's convention.
	C float64
	// Normalize divides embeddings by their Euclidean norms, as Tian et al. do.
	Normalize bool
	// Iterations is the largest number of iterations; they end earlier where every element of the gradient is below 1e-9.
	Iterations int
}

// Logistic is multinomial logistic regression, the classifier of Tian et al. 2020 (RFS), section 3.2, fitted to convergence. It
// is not trained through.
//
// Of a support set that is smaller than the embedding's width, the weights are combinations of its embeddings, so that an iteration
// costs the square of its size whatever the width. Of a larger one they are fitted as they are, so that time and memory are
// proportional to its size. Iterations are accelerated gradient descent preconditioned by the bound ½ZᵀZ + I/C of the Hessian
// (Böhning 1992).
type Logistic struct{ c LogisticConfig }

// NewLogistic makes the head.
func NewLogistic(c LogisticConfig) *Logistic { return &Logistic{c} }

// LogProbs implements [Head].
func (h *Logistic) LogProbs(_ *nn.Pass, t *fewshot.Task) (logp *tensor.Tensor) {
	tensor.NoGrad(func() {
		z, x := t.Support, t.Query
		if h.c.Normalize {
			z, x = unit(z), unit(x)
		}
		if z.Dim(1) > z.Dim(2) {
			w := h.fitWeights(withOnes(z).To(tensor.Float64), oneHot(t).To(tensor.Float64))
			logp = withOnes(x).MatMul(w.To(x.DType())).LogSoftmax(-1)
			return
		}
		zt := z.Transpose(-2, -1)
		a, bias := h.fit(z.MatMul(zt).To(tensor.Float64), oneHot(t).To(tensor.Float64))
		logp = x.MatMul(zt).MatMul(a.To(x.DType())).Add(bias.To(x.DType())).LogSoftmax(-1)
	})
	return logp
}

// logisticTolerance is the largest element of the gradient at which iterations end.
const logisticTolerance = 1e-9

// fit returns the dual weights a [tasks, n, classes] and the bias [tasks, 1, classes] for inner products k [tasks, n, n] and
// labels y [tasks, n, classes].
func (h *Logistic) fit(k, y *tensor.Tensor) (a, bias *tensor.Tensor) {
	s := tensor.Enter()
	defer s.Leave()
	lambda := 1 / h.c.C
	inverse := k.MulScalar(.5).Add(eye(k, lambda)).Cholesky().SolveCholesky(eye(k, 1).Expand(k.Shape()...))
	rows := inverse.SumKeep(2) // S·1: [tasks, n, 1]
	zero := y.ZerosLike()
	x := h.descend(k, []*tensor.Tensor{zero, zero.Narrow(1, 0, 1)}, func(x []*tensor.Tensor) (moved []*tensor.Tensor, g *tensor.Tensor) {
		a, bias := x[0], x[1]
		g = k.MatMul(a).Add(bias).Softmax(-1).Sub(y).Add(a.MulScalar(lambda))
		sg := inverse.MatMul(g)
		db := sg.SumKeep(1).Div(rows.SumKeep(1)) // keeps the sums of a over the examples at zero
		return []*tensor.Tensor{a.Sub(sg).Add(rows.Mul(db)), bias.Sub(db.MulScalar(2))}, g
	})
	return s.Keep(x[0]), s.Keep(x[1])
}

// fitWeights returns the weights [tasks, width+1, classes], the bias last, for embeddings z [tasks, n, width+1] that end in a one and
// labels y [tasks, n, classes].
func (h *Logistic) fitWeights(z, y *tensor.Tensor) *tensor.Tensor {
	s := tensor.Enter()
	defer s.Leave()
	lambda, zt := 1/h.c.C, z.Transpose(-2, -1)
	k := zt.MatMul(z)
	width := k.Dim(1) - 1
	penalty := tensor.Cat(0, tensor.Full(lambda, k.DType(), k.Device(), width, 1), tensor.Full(0, k.DType(), k.Device(), 1, 1))
	bound := k.MulScalar(.5).Add(eye(k, 1).Mul(penalty))
	inverse := bound.Cholesky().SolveCholesky(eye(k, 1).Expand(k.Shape()...))
	zero := tensor.Full(0, k.DType(), k.Device(), k.Dim(0), width+1, y.Dim(2))
	penalized := k.Narrow(1, 0, width).Narrow(2, 0, width)
	x := h.descend(penalized, []*tensor.Tensor{zero}, func(x []*tensor.Tensor) (moved []*tensor.Tensor, g *tensor.Tensor) {
		g = zt.MatMul(z.MatMul(x[0]).Softmax(-1).Sub(y)).Add(x[0].Mul(penalty))
		return []*tensor.Tensor{x[0].Sub(inverse.MatMul(g))}, g
	})
	return s.Keep(x[0])
}

// descend minimizes with Nesterov's momentum, which is constant: the loss is strongly convex, and in units of its bound its least
// curvature follows from the eigenvalues of k [tasks, n, n]. A step returns where x moves to and the gradient there. The result
// belongs to the caller's scope.
func (h *Logistic) descend(k *tensor.Tensor, x []*tensor.Tensor, step func(x []*tensor.Tensor) (moved []*tensor.Tensor, g *tensor.Tensor)) []*tensor.Tensor {
	largest, _ := k.Abs().Sum(2).Max(1) // rows of |k| bound its eigenvalues
	root := largest.MulScalar(.5*h.c.C).AddScalar(1).PowScalar(-.5).Reshape(-1, 1, 1)
	momentum := root.Neg().AddScalar(1).Div(root.AddScalar(1))
	before := x
	iterate := func() (done bool) {
		s := tensor.Enter()
		defer s.Leave()
		ahead := make([]*tensor.Tensor, len(x))
		for i := range x {
			ahead[i] = x[i].Add(x[i].Sub(before[i]).Mul(momentum))
		}
		moved, g := step(ahead)
		before, x = x, moved
		for i := range x {
			x[i] = s.Keep(x[i])
		}
		most, _ := g.Abs().Flatten(0, -1).Max(0)
		return most.Float() < logisticTolerance
	}
	for range h.c.Iterations {
		if iterate() {
			break
		}
	}
	return x
}
