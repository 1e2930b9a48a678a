package nn

import (
	"math"

	"github.com/engram-go/engram/tensor"
)

// Hidden is the score of a position that attention must not see. It is finite, so that a row without any visible position attends
// to all of them equally, instead of having no softmax.
const Hidden = -1e30

// Attention is scaled dot-product attention, softmax(q·kᵀ/√d + mask)·v: Vaswani et al. 2017, eq. 1. Queries [..., queries, d], keys
// [..., keys, d] and values [..., keys, value] have the same leading dimensions: of a batch, of heads. mask is 0 where a query sees
// a key and [Hidden] elsewhere; it is broadcast to [..., queries, keys], and nil hides nothing. The result is [..., queries, value].
func Attention(q, k, v, mask *tensor.Tensor) *tensor.Tensor {
	scores := q.MatMul(k.Transpose(-2, -1)).MulScalar(1 / math.Sqrt(float64(q.Dim(-1))))
	if mask != nil {
		scores = scores.Add(mask)
	}
	return scores.Softmax(-1).MatMul(v)
}

// MultiHead is [Attention] by several heads, of queries [batch, queries, width], and keys and values [batch, keys, width], each head
// with its part of the width: Vaswani et al. 2017, section 3.2.2, without the linear maps. The result is [batch, queries, width].
func MultiHead(p *Pass, q, k, v, mask *tensor.Tensor, heads int64) *tensor.Tensor {
	if !p.HigherOrder && tensor.FusesSteps(q) {
		return tensor.AttendHeads(q, k, v, mask, heads)
	}
	return JoinHeads(Attention(Heads(q, heads), Heads(k, heads), Heads(v, heads), mask))
}

// Heads splits x [batch, time, width] into heads [batch, heads, time, width/heads].
func Heads(x *tensor.Tensor, heads int64) *tensor.Tensor {
	return x.Reshape(x.Dim(0), x.Dim(1), heads, x.Dim(2)/heads).Transpose(1, 2)
}

// JoinHeads is the inverse of [Heads].
func JoinHeads(x *tensor.Tensor) *tensor.Tensor {
	return x.Transpose(1, 2).Reshape(x.Dim(0), x.Dim(2), x.Dim(1)*x.Dim(3))
}
