package head

import (
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// SVMConfig configures [NewSVM].
type SVMConfig struct {
	// C bounds the dual variables, above 0.
	C float64
	// Iterations of the interior-point method. The code of Lee et al. 2019 takes 15, after which the duality gap is of the
	// order of rounding errors.
	Iterations int
	// Scale multiplies the scores before the softmax. It is learned where the head has a builder.
	Scale float64
}

// SVM is a multi-class support-vector machine: the head of Lee et al. 2019 (MetaOptNet), section 3.2 and its code. With K the
// inner products of the support embeddings and Y their one-hot labels it solves Crammer and Singer's dual problem
//
//	min ½ Σ_m α_mᵀ(K + I)α_m - Σ α⊙Y,  α ≤ C·Y,  Σ_m α_im = 0,
//
// and scores a query by its inner products with the support embeddings, weighted by α.
//
// It is differentiable by the problem's optimality conditions (Amos and Kolter 2017, section 3), and not twice.
type SVM struct {
	c     SVMConfig
	scale scalar
}

// NewSVM makes the head. The scale is learned, a parameter of b called scale, unless b is nil.
func NewSVM(b *nn.Builder, c SVMConfig) *SVM { return &SVM{c, newScalar(b, "scale", c.Scale)} }

// LogProbs implements [Head].
func (h *SVM) LogProbs(p *nn.Pass, t *fewshot.Task) *tensor.Tensor {
	k := t.Support.MatMul(t.Support.Transpose(-2, -1)).To(tensor.Float64)
	alpha := crammerSinger(k.Add(eye(k, 1)), oneHot(t).To(tensor.Float64), h.c.C, h.c.Iterations)
	scores := t.Query.MatMul(t.Support.Transpose(-2, -1)).MatMul(alpha.To(t.Query.DType()))
	return h.scale.mul(p, scores).LogSoftmax(-1)
}

// crammerSinger returns the α [tasks, n, classes] that minimises ½ Σ_m α_mᵀQα_m - Σ α⊙y subject to α ≤ c·y and Σ_m α_im = 0,
// for positive-definite Q [tasks, n, n] and one-hot y [tasks, n, classes], both float64. It is differentiable in Q.
//
// It is Mehrotra's predictor-corrector method with slacks s = c·y - α, their multipliers z and the multipliers v of the sums.
// The Newton system falls apart into one of n unknowns per class, which v connects.
func crammerSinger(q, y *tensor.Tensor, c float64, iterations int) *tensor.Tensor {
	s := tensor.Enter()
	defer s.Leave()
	var x, z, v *tensor.Tensor
	var at *newton
	tensor.NoGrad(func() {
		constant := q.Detach()
		x, z, v = y.ZerosLike(), y.OnesLike(), y.ZerosLike().Narrow(2, 0, 1) // v: [tasks, n, 1]
		slack := y.OnesLike()
		bound := y.MulScalar(c)
		iterate := func() {
			inner := tensor.Enter()
			defer inner.Leave()
			dual := constant.MatMul(x).Sub(y).Add(z).Add(v)
			primal, sums := x.Add(slack).Sub(bound), x.SumKeep(2)
			step := newNewton(constant, z.Div(slack))
			// direction solves for complementarity slack·z + gap = 0.
			direction := func(gap *tensor.Tensor) (dx, dv, ds, dz *tensor.Tensor) {
				dx, dv = step.solve(gap.Sub(z.Mul(primal)).Div(slack).Sub(dual), sums)
				ds = primal.Add(dx).Neg()
				dz = gap.Add(z.Mul(ds)).Div(slack).Neg()
				return dx, dv, ds, dz
			}
			product := slack.Mul(z)
			mu := product.MeanKeep(1, 2)
			_, _, ds, dz := direction(product)
			length := stepLength(slack, ds).Minimum(stepLength(z, dz))
			after := slack.Add(ds.Mul(length)).Mul(z.Add(dz.Mul(length))).MeanKeep(1, 2)
			centre := after.Div(mu.AddScalar(tiny * tiny)).PowScalar(3).Mul(mu)
			dx, dv, ds, dz := direction(product.Add(ds.Mul(dz)).Sub(centre))
			length = stepLength(slack, ds).Minimum(stepLength(z, dz)).MulScalar(.99)
			x, v = move(inner, x, dx, length), move(inner, v, dv, length)
			slack, z = move(inner, slack, ds, length), move(inner, z, dz, length)
		}
		for range iterations {
			iterate()
		}
		at = newNewton(constant, z.Div(slack))
	})
	// A last Newton step of constant complementarity. Its value refines x by what is left of the residual; its derivative with
	// respect to Q is that of the solution.
	residual := q.MatMul(x).Sub(y).Add(z).Add(v)
	dx, _ := at.solve(residual.Neg(), x.SumKeep(2))
	return s.Keep(x.Add(dx))
}

// move returns a + length·da, kept beyond the scope of an iteration.
func move(s *tensor.Scope, a, da, length *tensor.Tensor) *tensor.Tensor {
	return s.Keep(a.Add(da.Mul(length)))
}

// stepLength returns the largest step up to 1 along da for which a [tasks, n, classes] stays at or above zero: [tasks, 1, 1].
func stepLength(a, da *tensor.Tensor) *tensor.Tensor {
	ratio := tensor.Where(da.ZerosLike().Gt(da), a.Div(da.Neg().ClampMin(tiny*tiny)), a.OnesLike())
	least, _ := ratio.Flatten(1, 2).Neg().Max(1)
	return least.Neg().ClampMax(1).Reshape(-1, 1, 1)
}

// newton is the linear system of a Newton step, (Q + diag(d_m))·dx_m + dv = r_m for each class m, Σ_m dx_m = -sums.
type newton struct {
	inverse *tensor.Tensor // of Q + diag(d_m): [tasks, classes, n, n]
	schur   *tensor.Tensor // Cholesky factor of their sum [tasks, n, n]
}

func newNewton(q, d *tensor.Tensor) *newton {
	n := q.Dim(-1)
	unit := eye(q, 1)
	diagonals := d.Transpose(1, 2).Unsqueeze(-1).Mul(unit) // [tasks, classes, n, n]
	lower := q.Unsqueeze(1).Add(diagonals).Cholesky()
	inverse := lower.SolveCholesky(unit.Expand(lower.Dim(0), lower.Dim(1), n, n))
	return &newton{inverse, inverse.Sum(1).Cholesky()}
}

// solve returns dx [tasks, n, classes] and dv [tasks, n, 1] for r [tasks, n, classes] and sums [tasks, n, 1].
func (w *newton) solve(r, sums *tensor.Tensor) (dx, dv *tensor.Tensor) {
	u := w.inverse.MatMul(r.Transpose(1, 2).Unsqueeze(-1)).Squeeze(-1) // [tasks, classes, n]
	dv = w.schur.SolveCholesky(u.Sum(1).Unsqueeze(-1).Add(sums))
	dx = u.Sub(w.inverse.MatMul(dv.Unsqueeze(1)).Squeeze(-1)).Transpose(1, 2)
	return dx, dv
}
