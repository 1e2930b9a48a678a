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
// The weights are combinations of the support embeddings, so that an iteration costs the square of the support set's size
// whatever the embedding's width. Iterations are accelerated gradient descent preconditioned by the bound ½ZᵀZ + I/C of the
// Hessian (Böhning 1992).
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
	// The least curvature in units of the bound; rows of |k| bound its eigenvalues.
	largest, _ := k.Abs().Sum(2).Max(1)
	root := largest.MulScalar(.5/lambda).AddScalar(1).PowScalar(-.5).Reshape(-1, 1, 1)
	momentum := root.Neg().AddScalar(1).Div(root.AddScalar(1))
	a = y.ZerosLike()
	bias = a.Narrow(1, 0, 1)
	a0, bias0 := a, bias
	iterate := func() (done bool) {
		inner := tensor.Enter()
		defer inner.Leave()
		ahead, biasAhead := a.Add(a.Sub(a0).Mul(momentum)), bias.Add(bias.Sub(bias0).Mul(momentum))
		g := k.MatMul(ahead).Add(biasAhead).Softmax(-1).Sub(y).Add(ahead.MulScalar(lambda))
		largest := g.Abs().Flatten(0, -1)
		most, _ := largest.Max(0)
		sg := inverse.MatMul(g)
		db := sg.SumKeep(1).Div(rows.SumKeep(1)) // keeps the sums of a over the examples at zero
		a0, bias0 = a, bias
		a, bias = inner.Keep(ahead.Sub(sg).Add(rows.Mul(db))), inner.Keep(biasAhead.Sub(db.MulScalar(2)))
		return most.Float() < logisticTolerance
	}
	for range h.c.Iterations {
		if iterate() {
			break
		}
	}
	return s.Keep(a), s.Keep(bias)
}
