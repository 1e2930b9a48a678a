package transfer

import (
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/tensor"
)

// reduce returns a task that holds embeddings with coordinates in their place, whose inner products with those of the support set
// and whose norms are the same. A head that begins at the class means and is trained on the support set alone by gradient descent
// stays in the span of the support embeddings, so that its scores are the same, and a step costs the square of the support set's
// size whatever the width. The task itself is returned where that does not hold, or saves nothing.
//
// The coordinates are in an orthonormal basis of the span, by the Cholesky factor of the support's inner products in float64, and
// a last one for what lies outside it, which is zero for the support set.
func (a Adaptation) reduce(t *fewshot.Task) *fewshot.Task {
	n, width := t.Support.Dim(1), t.Support.Dim(2)
	if a.Start != AtMeans || a.Entropy != 0 || n+1 >= width {
		return t
	}
	// spanned bounds the smallest square of a pivot, in shares of the mean square of a norm: embeddings may be equal or zero.
	const spanned = 1e-10
	support, query := t.Support.To(tensor.Float64), t.Query.To(tensor.Float64)
	transposed := support.Transpose(-2, -1)
	unit := tensor.Eye(n, tensor.Float64, support.Device())
	squares := support.Square().SumKeep(2)
	least := squares.MeanKeep(1).MulScalar(spanned).AddScalar(1e-30)
	lower := support.MatMul(transposed).Add(unit.Mul(least)).Cholesky()
	rows := lower.Mul(squares.Div(squares.Add(least)).Sqrt())                             // with the norms of the embeddings: zero stays zero
	inside := lower.SolveLower(support.MatMul(query.Transpose(-2, -1))).Transpose(-2, -1) // [tasks, query, support]
	outside := query.Square().SumKeep(-1).Sub(inside.Square().SumKeep(-1)).ClampMin(0).Sqrt()
	out := *t
	out.Support = tensor.Cat(2, rows, rows.Narrow(2, 0, 1).ZerosLike()).To(t.Support.DType())
	out.Query = tensor.Cat(2, inside, outside).To(t.Query.DType())
	return &out
}
