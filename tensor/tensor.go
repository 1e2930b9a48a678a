package tensor

// #include "engram.h"
import "C"

import (
	"fmt"
	"math"
	"slices"
	"unsafe"

	"github.com/sugarme/gotch/libtch"
)

// A Tensor is an n-dimensional array in LibTorch's memory. The package documentation describes its lifetime.
type Tensor struct {
	c     libtch.Ctensor // nil once freed
	scope *Scope         // nil if the caller owns it
}

// DType is the type of a tensor's elements.
type DType int32

// Element types; the values are LibTorch's.
const (
	Uint8    DType = 0
	Int64    DType = 4
	Float32  DType = 6
	Float64  DType = 7
	Bool     DType = 11
	BFloat16 DType = 15
)

// String names the type as PyTorch does, also one that Engram does not use.
func (d DType) String() string {
	names := [...]string{"uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64",
		"complex32", "complex64", "complex128", "bool", "qint8", "quint8", "qint32", "bfloat16"}
	if d >= 0 && int(d) < len(names) {
		return names[d]
	}
	return fmt.Sprintf("dtype(%d)", int32(d))
}

// Size returns the size of an element in bytes.
func (d DType) Size() int {
	switch d {
	case Uint8, Bool:
		return 1
	case BFloat16:
		return 2
	case Float32:
		return 4
	}
	return 8
}

// Element lists the Go types of elements.
type Element interface {
	uint8 | int64 | float32 | float64 | bool
}

func dtypeOf[E Element]() DType {
	var e E
	switch any(e).(type) {
	case uint8:
		return Uint8
	case int64:
		return Int64
	case float32:
		return Float32
	case float64:
		return Float64
	}
	return Bool
}

// adopt adds a new tensor from the C side to the innermost scope.
func adopt(op string, c libtch.Ctensor) *Tensor {
	return (&Tensor{c: c}).adopted(op)
}

func (t *Tensor) adopted(op string) *Tensor {
	s := current(op)
	t.scope = s
	s.tensors = append(s.tensors, t)
	live.Add(1)
	return t
}

// ptr returns the C tensor, or panics if it was freed.
func (t *Tensor) ptr(op string) libtch.Ctensor {
	if t == nil || t.c == nil {
		what := "an operand is nil"
		if t != nil {
			what = "an operand was freed; Keep or Own it to use it after its scope"
		}
		panic(&Error{Op: op, Msg: what})
	}
	return t.c
}

// optional is ptr for an optional operand.
func (t *Tensor) optional(op string) libtch.Ctensor {
	if t == nil {
		return nil
	}
	return t.ptr(op)
}

// Own removes t from its scope and returns it. The caller must then free it.
func (t *Tensor) Own() *Tensor {
	t.ptr("Own")
	t.scope = nil
	return t
}

// Free frees t immediately. It may be called repeatedly.
func (t *Tensor) Free() {
	if t == nil || t.c == nil {
		return
	}
	libtch.AtFree(t.c)
	t.c, t.scope = nil, nil
	live.Add(-1)
}

// Freed reports whether t was freed.
func (t *Tensor) Freed() bool { return t.c == nil }

// ints returns a slice for C, which needs a first element even if s is empty.
func ints(s []int64) []int64 {
	if len(s) == 0 {
		return make([]int64, 1)
	}
	return s
}

func count(shape []int64) int64 {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	return n
}

// New makes a tensor on the CPU from a copy of data. It panics if the shape does not match.
func New[E Element](data []E, shape ...int64) *Tensor {
	if int64(len(data)) != count(shape) {
		panic(&Error{Op: "New", Msg: fmt.Sprintf("%d values do not fill the shape %v", len(data), shape)})
	}
	t := Empty(dtypeOf[E](), CPU, shape...)
	tracing().copiesFrom("New", data8(data))
	t.set("New", data8(data))
	return t
}

// Upload makes a tensor on a device from a copy of data. Copying to a CUDA device is asynchronous, from pinned
// memory. It panics if the shape does not match.
func Upload[E Element](data []E, on Device, shape ...int64) *Tensor {
	const op = "Upload"
	if on == CPU || len(data) == 0 {
		return New(data, shape...).On(on)
	}
	if int64(len(data)) != count(shape) {
		panic(&Error{Op: op, Msg: fmt.Sprintf("%d values do not fill the shape %v", len(data), shape)})
	}
	raw, traced := data8(data), tracing()
	traced.copiesFrom(op, raw)
	return traced.crosses(op, func() *Tensor {
		p := C.eg_upload(unsafe.Pointer(&raw[0]), (*C.int64_t)(unsafe.Pointer(&ints(shape)[0])), C.int(len(shape)), C.int(dtypeOf[E]()), C.int(on))
		return result(op, libtch.Ctensor(p))
	})
}

// Made makes a tensor that f fills. f gets the tensor's own memory, initially zero, so that the values are not
// copied.
func Made[E Element](f func(values []E), shape ...int64) *Tensor {
	t := Empty(dtypeOf[E](), CPU, shape...)
	if n := t.Numel(); n > 0 {
		values := unsafe.Slice((*E)(libtch.AtDataPtr(t.ptr("Made"))), n)
		clear(values)
		f(values)
		tracing().copiesFrom("Made", data8(values))
	}
	return t
}

// OfBytes makes a float32 tensor of v/255 for each byte v, on a device. The values are the same on every device. It
// panics if the shape does not match.
func OfBytes(data []byte, on Device, shape ...int64) *Tensor {
	const op = "OfBytes"
	if int64(len(data)) != count(shape) {
		panic(&Error{Op: op, Msg: fmt.Sprintf("%d bytes do not fill the shape %v", len(data), shape)})
	}
	if on != CPU {
		v := Upload(data, on, shape...).To(Float32)
		return v.Add(v.MulScalar(1 / 255.)).MulScalar(1 / 256.) // rounds like the CPU kernel
	}
	t := Empty(Float32, CPU, shape...)
	if len(data) > 0 {
		tracing().copiesFrom(op, data)
		C.eg_of_bytes((*C.float)(libtch.AtDataPtr(t.ptr(op))), (*C.uint8_t)(unsafe.Pointer(&data[0])), C.int64_t(len(data)))
	}
	return t
}

// Scalar makes a tensor of rank 0.
func Scalar(v float32) *Tensor { return New([]float32{v}) }

// data8 returns the memory of a slice as bytes.
func data8[E Element](data []E) []byte {
	if len(data) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&data[0])), len(data)*int(unsafe.Sizeof(data[0])))
}

// Set overwrites t with the bytes of a contiguous tensor, without recording a gradient.
func (t *Tensor) Set(data []byte) {
	const op = "Set"
	if traced := tracing(); traced != nil {
		traced.refuse(op, "copies data to a tensor that outlives it")
	}
	t.set(op, data)
}

func (t *Tensor) set(op string, data []byte) {
	var p unsafe.Pointer
	if len(data) > 0 {
		p = unsafe.Pointer(&data[0])
	}
	if C.eg_copy_from(unsafe.Pointer(t.ptr(op)), p, C.int64_t(len(data))) != 0 {
		fail(op, t)
	}
}

// Bytes returns a copy of t as the bytes of a contiguous tensor.
func (t *Tensor) Bytes() []byte {
	tracing().reads("Bytes")
	return t.bytes()
}

func (t *Tensor) bytes() []byte {
	data := make([]byte, t.Numel()*int64(t.DType().Size()))
	t.read(data)
	return data
}

func (t *Tensor) read(data []byte) {
	var p unsafe.Pointer
	if len(data) > 0 {
		p = unsafe.Pointer(&data[0])
	}
	if C.eg_copy_to(unsafe.Pointer(t.ptr("Values")), p, C.int64_t(len(data))) != 0 {
		fail("Values", t)
	}
}

// Values returns a copy of the values in row-major order. It panics if t does not hold E.
func Values[E Element](t *Tensor) []E {
	if got, want := t.DType(), dtypeOf[E](); got != want {
		failWith("Values", fmt.Sprintf("it holds %v, not %v", got, want), t)
	}
	tracing().reads("Values")
	out := make([]E, t.Numel())
	t.read(data8(out))
	return out
}

// Floats returns a copy of the values as float64, for any type.
func (t *Tensor) Floats() []float64 {
	s := Enter()
	defer s.Leave()
	return Values[float64](t.To(Float64))
}

// Float returns the value of a tensor with one element.
func (t *Tensor) Float() float64 {
	if t.Numel() != 1 {
		failWith("Float", "it has more or less than one element", t)
	}
	return t.Floats()[0]
}

// Empty makes a tensor with uninitialised values.
func Empty(d DType, on Device, shape ...int64) *Tensor {
	p := C.eg_empty((*C.int64_t)(unsafe.Pointer(&ints(shape)[0])), C.int(len(shape)), C.int(d), C.int(on))
	if p == nil {
		fail("Empty")
	}
	return adopt("Empty", libtch.Ctensor(p))
}

// Zeros makes a float32 tensor of zeros on the CPU.
func Zeros(shape ...int64) *Tensor { return Full(0, Float32, CPU, shape...) }

// Ones makes a float32 tensor of ones on the CPU.
func Ones(shape ...int64) *Tensor { return Full(1, Float32, CPU, shape...) }

// Full makes a tensor of one value.
func Full(v float64, d DType, on Device, shape ...int64) *Tensor {
	var out libtch.Ctensor
	with(v, func(c libtch.Cscalar) {
		libtch.AtgFull(&out, ints(shape), len(shape), c, int32(d), int32(on))
	})
	return result("Full", out)
}

// Eye makes the n×n identity on a device.
func Eye(n int64, d DType, on Device) *Tensor {
	var out libtch.Ctensor
	libtch.AtgEye(&out, n, int32(d), int32(on))
	return result("Eye", out)
}

// Ramp makes the numbers 0 to n-1 on a device.
func Ramp(n int64, d DType, on Device) *Tensor {
	var out libtch.Ctensor
	with(float64(n), func(c libtch.Cscalar) { libtch.AtgArange(&out, c, int32(d), int32(on)) })
	return result("Ramp", out)
}

// ZerosLike makes a tensor of zeros of t's shape, type and device.
func (t *Tensor) ZerosLike() *Tensor { return unary("ZerosLike", libtch.AtgZerosLike, t) }

// OnesLike makes a tensor of ones of t's shape, type and device.
func (t *Tensor) OnesLike() *Tensor { return unary("OnesLike", libtch.AtgOnesLike, t) }

// Shape returns the sizes of t's dimensions.
func (t *Tensor) Shape() []int64 {
	c := t.ptr("Shape")
	shape := make([]int64, libtch.AtDim(c), 8)
	libtch.AtShape(c, unsafe.Pointer(&shape[:1][0]))
	return shape
}

// Dim returns the size of dimension i; negative i counts from the last.
func (t *Tensor) Dim(i int) int64 {
	shape := t.Shape()
	if i < 0 {
		i += len(shape)
	}
	if i < 0 || i >= len(shape) {
		failWith("Dim", fmt.Sprintf("no dimension %d", i), t)
	}
	return shape[i]
}

// Rank returns the number of dimensions.
func (t *Tensor) Rank() int { return int(libtch.AtDim(t.ptr("Rank"))) }

// Numel returns the number of elements.
func (t *Tensor) Numel() int64 { return count(t.Shape()) }

// DType returns the type of the elements.
func (t *Tensor) DType() DType { return DType(libtch.AtScalarType(t.ptr("DType"))) }

// Device returns the device of t.
func (t *Tensor) Device() Device { return Device(int32(libtch.AtDevice(t.ptr("Device")))) }

// String describes the shape, the type and, for a small tensor, the values.
func (t *Tensor) String() string {
	if t == nil || t.c == nil {
		return "tensor(freed)"
	}
	if t.Numel() > 64 {
		return fmt.Sprintf("%v%v", t.DType(), t.Shape())
	}
	return fmt.Sprintf("%v%v%v", t.DType(), t.Shape(), t.Floats())
}

// SameShape reports whether a and b have the same shape.
func SameShape(a, b *Tensor) bool { return slices.Equal(a.Shape(), b.Shape()) }

// Finite reports whether no element of t is infinite or NaN.
func (t *Tensor) Finite() bool {
	s := Enter()
	defer s.Leave()
	v := t.Detach().MulScalar(0).Sum().Float()
	return !math.IsNaN(v)
}

// Assign copies from into t in place without recording a gradient, to update a parameter or a running statistic.
func (t *Tensor) Assign(from *Tensor) {
	if C.eg_assign(unsafe.Pointer(t.ptr("Assign")), unsafe.Pointer(from.ptr("Assign"))) != 0 {
		fail("Assign", t, from)
	}
}
