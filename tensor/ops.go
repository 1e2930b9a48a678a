package tensor

// #include "engram.h"
import "C"

import (
	"unsafe"

	"github.com/sugarme/gotch/libtch"
)

// result moves an operation's output to the innermost scope, or panics if LibTorch failed.
func result(op string, out libtch.Ctensor, operands ...*Tensor) *Tensor {
	if out == nil {
		fail(op, operands...)
	}
	return adopt(op, out)
}

// Most operations are one of the three below. C writes into the new tensor itself, which saves an allocation per
// call.

func unary(op string, f func(*libtch.Ctensor, libtch.Ctensor), t *Tensor) *Tensor {
	out := new(Tensor)
	f(&out.c, t.ptr(op))
	if out.c == nil {
		fail(op, t)
	}
	return out.adopted(op)
}

func binary(op string, f func(*libtch.Ctensor, libtch.Ctensor, libtch.Ctensor), a, b *Tensor) *Tensor {
	out := new(Tensor)
	f(&out.c, a.ptr(op), b.ptr(op))
	if out.c == nil {
		fail(op, a, b)
	}
	return out.adopted(op)
}

// with calls f with a C scalar.
func with(v float64, f func(libtch.Cscalar)) {
	c := libtch.AtsFloat(v)
	defer libtch.AtsFree(c)
	f(c)
}

func scalar(op string, f func(*libtch.Ctensor, libtch.Ctensor, libtch.Cscalar), t *Tensor, v float64) *Tensor {
	out := new(Tensor)
	c := libtch.AtsFloat(v)
	f(&out.c, t.ptr(op), c)
	libtch.AtsFree(c)
	if out.c == nil {
		fail(op, t)
	}
	return out.adopted(op)
}

// Add returns a + b, broadcast.
func (t *Tensor) Add(b *Tensor) *Tensor { return binary("Add", libtch.AtgAdd, t, b) }

// Sub returns a - b, broadcast.
func (t *Tensor) Sub(b *Tensor) *Tensor { return binary("Sub", libtch.AtgSub, t, b) }

// Mul returns the elementwise product a · b, broadcast.
func (t *Tensor) Mul(b *Tensor) *Tensor { return binary("Mul", libtch.AtgMul, t, b) }

// Div returns the elementwise quotient a / b, broadcast.
func (t *Tensor) Div(b *Tensor) *Tensor { return binary("Div", libtch.AtgDiv, t, b) }

// Pow returns the elementwise power of t to p, broadcast.
func (t *Tensor) Pow(p *Tensor) *Tensor { return binary("Pow", libtch.AtgPow, t, p) }

// Maximum returns the elementwise maximum of a and b, broadcast.
func (t *Tensor) Maximum(b *Tensor) *Tensor { return binary("Maximum", libtch.AtgMaximum, t, b) }

// Minimum returns the elementwise minimum of a and b, broadcast.
func (t *Tensor) Minimum(b *Tensor) *Tensor { return binary("Minimum", libtch.AtgMinimum, t, b) }

// MatMul returns the matrix product; leading dimensions are a batch and broadcast.
func (t *Tensor) MatMul(b *Tensor) *Tensor { return binary("MatMul", libtch.AtgMatmul, t, b) }

// Cholesky returns the lower triangular L with LLᵀ = t for symmetric positive-definite t [..., n, n]. It panics if t
// is not positive-definite.
func (t *Tensor) Cholesky() *Tensor {
	tracing().reads("Cholesky") // on CUDA, whether it succeeded
	var out libtch.Ctensor
	libtch.AtgLinalgCholesky(&out, t.ptr("Cholesky"), 0)
	return result("Cholesky", out, t)
}

// SolveLower returns the X with t·X = b for lower triangular t [..., n, n] and b [..., n, m]; leading dimensions are
// a batch and broadcast.
func (t *Tensor) SolveLower(b *Tensor) *Tensor {
	var out libtch.Ctensor
	libtch.AtgLinalgSolveTriangular(&out, t.ptr("SolveLower"), b.ptr("SolveLower"), 0, 1, 0)
	return result("SolveLower", out, t, b)
}

// SolveCholesky returns the X with t·tᵀ·X = b for a lower triangular Cholesky factor t [..., n, n] and b [..., n, m]; leading
// dimensions are a batch and broadcast.
func (t *Tensor) SolveCholesky(b *Tensor) *Tensor {
	const op = "SolveCholesky"
	half, upper := t.SolveLower(b), t.Transpose(-2, -1)
	var out libtch.Ctensor
	libtch.AtgLinalgSolveTriangular(&out, upper.ptr(op), half.ptr(op), 1, 1, 0)
	return result(op, out, t, b)
}

// AddScalar returns t + v.
func (t *Tensor) AddScalar(v float64) *Tensor { return scalar("AddScalar", libtch.AtgAddScalar, t, v) }

// MulScalar returns t · v.
func (t *Tensor) MulScalar(v float64) *Tensor { return scalar("MulScalar", libtch.AtgMulScalar, t, v) }

// PowScalar returns t to the power of v.
func (t *Tensor) PowScalar(v float64) *Tensor {
	return scalar("PowScalar", libtch.AtgPowTensorScalar, t, v)
}

// ClampMin returns t with every element at least v.
func (t *Tensor) ClampMin(v float64) *Tensor { return scalar("ClampMin", libtch.AtgClampMin, t, v) }

// ClampMax returns t with every element at most v.
func (t *Tensor) ClampMax(v float64) *Tensor { return scalar("ClampMax", libtch.AtgClampMax, t, v) }

// Clamp returns t with every element between lo and hi.
func (t *Tensor) Clamp(lo, hi float64) *Tensor { return t.ClampMin(lo).ClampMax(hi) }

// Neg returns -t.
func (t *Tensor) Neg() *Tensor { return unary("Neg", libtch.AtgNeg, t) }

// Abs returns |t|; its gradient at zero is zero.
func (t *Tensor) Abs() *Tensor { return unary("Abs", libtch.AtgAbs, t) }

// Exp returns e to the power of t.
func (t *Tensor) Exp() *Tensor { return unary("Exp", libtch.AtgExp, t) }

// Log returns the natural logarithm.
func (t *Tensor) Log() *Tensor { return unary("Log", libtch.AtgLog, t) }

// Sqrt returns the square root; its gradient at zero is infinite.
func (t *Tensor) Sqrt() *Tensor { return unary("Sqrt", libtch.AtgSqrt, t) }

// Square returns t².
func (t *Tensor) Square() *Tensor { return unary("Square", libtch.AtgSquare, t) }

// Reciprocal returns 1/t.
func (t *Tensor) Reciprocal() *Tensor { return unary("Reciprocal", libtch.AtgReciprocal, t) }

// Sigmoid returns 1/(1+e^-t).
func (t *Tensor) Sigmoid() *Tensor { return unary("Sigmoid", libtch.AtgSigmoid, t) }

// Tanh returns the hyperbolic tangent.
func (t *Tensor) Tanh() *Tensor { return unary("Tanh", libtch.AtgTanh, t) }

// ReLU returns max(t, 0).
func (t *Tensor) ReLU() *Tensor { return unary("ReLU", libtch.AtgRelu, t) }

// LeakyReLU returns t where positive and slope · t elsewhere.
func (t *Tensor) LeakyReLU(slope float64) *Tensor {
	const op = "LeakyReLU"
	return result(op, libtch.Ctensor(C.eg_leaky_relu(unsafe.Pointer(t.ptr(op)), C.double(slope))), t)
}

// GELU returns t·Φ(t) with the standard normal distribution function Φ: Hendrycks and Gimpel 2016, eq. 1, exactly and not by the
// hyperbolic tangent.
func (t *Tensor) GELU() *Tensor {
	return result("GELU", libtch.Ctensor(C.eg_gelu(unsafe.Pointer(t.ptr("GELU")))), t)
}

// Softplus returns log(1 + e^t).
func (t *Tensor) Softplus() *Tensor { return unary("Softplus", libtch.AtgSoftplus, t) }

// Softmax returns the softmax over a dimension.
func (t *Tensor) Softmax(dim int) *Tensor {
	var out libtch.Ctensor
	libtch.AtgSoftmax(&out, t.ptr("Softmax"), int64(dim), noDType)
	return result("Softmax", out, t)
}

// LogSoftmax returns the logarithm of the softmax over a dimension.
func (t *Tensor) LogSoftmax(dim int) *Tensor {
	var out libtch.Ctensor
	libtch.AtgLogSoftmax(&out, t.ptr("LogSoftmax"), int64(dim), noDType)
	return result("LogSoftmax", out, t)
}

// LogSumExp returns log Σ e^t over a dimension, which it removes.
func (t *Tensor) LogSumExp(dim int) *Tensor {
	var out libtch.Ctensor
	libtch.AtgLogsumexp(&out, t.ptr("LogSumExp"), []int64{int64(dim)}, 1, 0)
	return result("LogSumExp", out, t)
}

// noDType lets LibTorch choose the type of a result.
const noDType = -1

// Sum returns the sum over the given dimensions, or all, and removes them.
func (t *Tensor) Sum(dims ...int64) *Tensor { return t.reduce("Sum", libtch.AtgSumDimIntlist, 0, dims) }

// SumKeep is Sum, but keeps the dimensions with size one.
func (t *Tensor) SumKeep(dims ...int64) *Tensor {
	return t.reduce("Sum", libtch.AtgSumDimIntlist, 1, dims)
}

// Mean returns the mean over the given dimensions, or all, and removes them.
func (t *Tensor) Mean(dims ...int64) *Tensor { return t.reduce("Mean", libtch.AtgMeanDim, 0, dims) }

// MeanKeep is Mean, but keeps the dimensions with size one.
func (t *Tensor) MeanKeep(dims ...int64) *Tensor { return t.reduce("Mean", libtch.AtgMeanDim, 1, dims) }

func (t *Tensor) reduce(op string, f func(*libtch.Ctensor, libtch.Ctensor, []int64, int, int32, int32), keep int32, dims []int64) *Tensor {
	if len(dims) == 0 {
		dims = make([]int64, t.Rank())
		for i := range dims {
			dims[i] = int64(i)
		}
	}
	var out libtch.Ctensor
	f(&out, t.ptr(op), ints(dims), len(dims), keep, noDType)
	return result(op, out, t)
}

// Max returns the largest value over a dimension, which it removes, and its index (int64).
func (t *Tensor) Max(dim int) (values, indices *Tensor) {
	var out [2]libtch.Ctensor
	libtch.AtgMaxDim(&out[0], t.ptr("Max"), int64(dim), 0)
	return result("Max", out[0], t), result("Max", out[1], t)
}

// TopK returns the k largest values over a dimension, largest first, and their indices (int64).
func (t *Tensor) TopK(k int64, dim int) (values, indices *Tensor) {
	var out [2]libtch.Ctensor
	libtch.AtgTopk(&out[0], t.ptr("TopK"), k, int64(dim), 1, 1)
	return result("TopK", out[0], t), result("TopK", out[1], t)
}

// Argmax returns the index of the largest value over a dimension (int64), which it removes.
func (t *Tensor) Argmax(dim int) *Tensor {
	var out libtch.Ctensor
	libtch.AtgArgmax(&out, t.ptr("Argmax"), int64(dim), 0, 0)
	return result("Argmax", out, t)
}

// Sort returns the sorted values over a dimension, and their indices (int64).
func (t *Tensor) Sort(dim int, descending bool) (values, indices *Tensor) {
	var out [2]libtch.Ctensor
	libtch.AtgSort(&out[0], t.ptr("Sort"), int64(dim), truth(descending))
	return result("Sort", out[0], t), result("Sort", out[1], t)
}

// CumSum returns the running sum over a dimension.
func (t *Tensor) CumSum(dim int) *Tensor {
	var out libtch.Ctensor
	libtch.AtgCumsum(&out, t.ptr("CumSum"), int64(dim), noDType)
	return result("CumSum", out, t)
}

// CumProd returns the running product over a dimension.
func (t *Tensor) CumProd(dim int) *Tensor {
	var out libtch.Ctensor
	libtch.AtgCumprod(&out, t.ptr("CumProd"), int64(dim), noDType)
	return result("CumProd", out, t)
}

// Eq returns whether a equals b, as bool, broadcast.
func (t *Tensor) Eq(b *Tensor) *Tensor { return binary("Eq", libtch.AtgEqTensor, t, b) }

// Gt returns whether a is greater than b, as bool, broadcast.
func (t *Tensor) Gt(b *Tensor) *Tensor { return binary("Gt", libtch.AtgGtTensor, t, b) }

// Where returns a where the condition (bool) holds and b elsewhere, broadcast.
func Where(condition, a, b *Tensor) *Tensor {
	var out libtch.Ctensor
	libtch.AtgWhereSelf(&out, condition.ptr("Where"), a.ptr("Where"), b.ptr("Where"))
	return result("Where", out, condition, a, b)
}

// To returns t in another type, or t itself if it has the type.
func (t *Tensor) To(d DType) *Tensor {
	var out libtch.Ctensor
	libtch.AtgToDtype(&out, t.ptr("To"), int32(d), 0, 0)
	return result("To", out, t)
}

// On returns t on a device, or t itself if it is there.
func (t *Tensor) On(d Device) *Tensor {
	const op = "On"
	move := func() *Tensor {
		var out libtch.Ctensor
		libtch.AtgTo(&out, t.ptr(op), int32(d))
		return result(op, out, t)
	}
	traced := tracing()
	if traced == nil || t.Device() == d {
		return move()
	}
	if d == CPU {
		traced.reads(op)
		return move()
	}
	traced.copiesFrom(op, t.bytes())
	return traced.crosses(op, move)
}

// Clone returns a copy of t through which gradients flow.
func (t *Tensor) Clone() *Tensor { return t.MulScalar(1) }

// Contiguous returns t in row-major order, or t itself if it is contiguous.
func (t *Tensor) Contiguous() *Tensor { return unary("Contiguous", libtch.AtgContiguous, t) }

// ChannelsLast returns images [batch, channels, height, width] with the channels of a pixel adjacent in memory, the
// fastest layout for convolutions. The shape does not change.
func (t *Tensor) ChannelsLast() *Tensor {
	if t.Rank() == 4 && t.Dim(1) == 1 {
		// One channel has both layouts at once, and LibTorch then chooses the slower one unless the strides say
		// otherwise.
		return t.Contiguous().Squeeze(1).Unsqueeze(-1).Permute(0, 3, 1, 2)
	}
	p := C.eg_channels_last(unsafe.Pointer(t.ptr("ChannelsLast")))
	return result("ChannelsLast", libtch.Ctensor(p), t)
}

// Reshape returns t with another shape; one size may be -1.
func (t *Tensor) Reshape(shape ...int64) *Tensor {
	var out libtch.Ctensor
	libtch.AtgReshape(&out, t.ptr("Reshape"), ints(shape), len(shape))
	return result("Reshape", out, t)
}

// Flatten merges the dimensions from..to, inclusive; negative ones count from the last.
func (t *Tensor) Flatten(from, to int) *Tensor {
	var out libtch.Ctensor
	libtch.AtgFlatten(&out, t.ptr("Flatten"), int64(from), int64(to))
	return result("Flatten", out, t)
}

// Transpose exchanges two dimensions.
func (t *Tensor) Transpose(a, b int) *Tensor {
	var out libtch.Ctensor
	libtch.AtgTranspose(&out, t.ptr("Transpose"), int64(a), int64(b))
	return result("Transpose", out, t)
}

// Permute reorders the dimensions.
func (t *Tensor) Permute(dims ...int64) *Tensor {
	var out libtch.Ctensor
	libtch.AtgPermute(&out, t.ptr("Permute"), ints(dims), len(dims))
	return result("Permute", out, t)
}

// Squeeze removes a dimension of size one.
func (t *Tensor) Squeeze(dim int) *Tensor {
	var out libtch.Ctensor
	libtch.AtgSqueezeDim(&out, t.ptr("Squeeze"), int64(dim))
	return result("Squeeze", out, t)
}

// Unsqueeze inserts a dimension of size one.
func (t *Tensor) Unsqueeze(dim int) *Tensor {
	var out libtch.Ctensor
	libtch.AtgUnsqueeze(&out, t.ptr("Unsqueeze"), int64(dim))
	return result("Unsqueeze", out, t)
}

// Expand repeats dimensions of size one without copying; -1 keeps a dimension.
func (t *Tensor) Expand(shape ...int64) *Tensor {
	var out libtch.Ctensor
	libtch.AtgExpand(&out, t.ptr("Expand"), ints(shape), len(shape), 0)
	return result("Expand", out, t)
}

// Narrow returns length elements of a dimension from start on, without copying.
func (t *Tensor) Narrow(dim int, start, length int64) *Tensor {
	var out libtch.Ctensor
	libtch.AtgNarrow(&out, t.ptr("Narrow"), int64(dim), start, length)
	return result("Narrow", out, t)
}

// Split returns n equal parts of a dimension, without copying. Their gradient is assembled in one pass; the same
// number of calls of [Tensor.Narrow] takes one pass over the whole each.
func (t *Tensor) Split(dim, n int) []*Tensor {
	out := make([]unsafe.Pointer, max(n, 1))
	ok := C.eg_split(unsafe.Pointer(t.ptr("Split")), C.int64_t(dim), C.int(n), &out[0])
	return several("Split", out, ok == 0, t)
}

// Select returns one element of a dimension, which it removes, without copying.
func (t *Tensor) Select(dim int, index int64) *Tensor {
	var out libtch.Ctensor
	libtch.AtgSelect(&out, t.ptr("Select"), int64(dim), index)
	return result("Select", out, t)
}

// IndexSelect returns the elements of a dimension at the indices [n] (int64).
func (t *Tensor) IndexSelect(dim int, indices *Tensor) *Tensor {
	var out libtch.Ctensor
	libtch.AtgIndexSelect(&out, t.ptr("IndexSelect"), int64(dim), indices.ptr("IndexSelect"))
	return result("IndexSelect", out, t, indices)
}

// Gather selects elements of a dimension: out[i][j] = t[i][index[i][j]] for dim 1. Indices are int64.
func (t *Tensor) Gather(dim int, indices *Tensor) *Tensor {
	var out libtch.Ctensor
	libtch.AtgGather(&out, t.ptr("Gather"), int64(dim), indices.ptr("Gather"), 0)
	return result("Gather", out, t, indices)
}

// Scatter returns t with src written at the indices of a dimension, the inverse of Gather.
func (t *Tensor) Scatter(dim int, indices, src *Tensor) *Tensor {
	var out libtch.Ctensor
	libtch.AtgScatter(&out, t.ptr("Scatter"), int64(dim), indices.ptr("Scatter"), src.ptr("Scatter"))
	return result("Scatter", out, t, indices, src)
}

// OneHot converts int64 indices [...] to float32 vectors [..., classes].
func (t *Tensor) OneHot(classes int64) *Tensor {
	var out libtch.Ctensor
	libtch.AtgOneHot(&out, t.ptr("OneHot"), classes)
	return result("OneHot", out, t).To(Float32)
}

// Roll rotates the elements of a dimension towards higher indices.
func (t *Tensor) Roll(dim int, shift int64) *Tensor {
	var out libtch.Ctensor
	libtch.AtgRoll(&out, t.ptr("Roll"), []int64{shift}, 1, []int64{int64(dim)}, 1)
	return result("Roll", out, t)
}

// Flip reverses a dimension.
func (t *Tensor) Flip(dim int) *Tensor {
	var out libtch.Ctensor
	libtch.AtgFlip(&out, t.ptr("Flip"), []int64{int64(dim)}, 1)
	return result("Flip", out, t)
}

// Cat concatenates tensors along a dimension.
func Cat(dim int, ts ...*Tensor) *Tensor { return join("Cat", libtch.AtgCat, dim, ts) }

// Stack concatenates tensors along a new dimension.
func Stack(dim int, ts ...*Tensor) *Tensor { return join("Stack", libtch.AtgStack, dim, ts) }

func join(op string, f func(*libtch.Ctensor, []libtch.Ctensor, int, int64), dim int, ts []*Tensor) *Tensor {
	if len(ts) == 0 {
		panic(&Error{Op: op, Msg: "no tensors to join"})
	}
	cs := make([]libtch.Ctensor, len(ts))
	for i, t := range ts {
		cs[i] = t.ptr(op)
	}
	var out libtch.Ctensor
	f(&out, cs, len(cs), int64(dim))
	return result(op, out, ts...)
}

func truth(b bool) int32 {
	if b {
		return 1
	}
	return 0
}
