package weights

import (
	"encoding/binary"
	"math"
)

// dtype is an element type.
type dtype struct {
	name  string                 // PyTorch's
	size  int                    // bytes
	float func(b []byte) float32 // decodes the first element of b; nil for other than floating point
}

// dtypes maps the names in files to types: PyTorch's storage classes and safetensors' short names.
var dtypes = func() map[string]dtype {
	out := map[string]dtype{}
	for _, d := range []struct {
		torch, safetensors string
		dtype
	}{
		{"FloatStorage", "f32", dtype{"float32", 4, func(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) }}},
		{"DoubleStorage", "f64", dtype{"float64", 8, func(b []byte) float32 { return float32(math.Float64frombits(binary.LittleEndian.Uint64(b))) }}},
		{"HalfStorage", "f16", dtype{"float16", 2, func(b []byte) float32 { return half(binary.LittleEndian.Uint16(b)) }}},
		{"BFloat16Storage", "bf16", dtype{"bfloat16", 2, func(b []byte) float32 { return math.Float32frombits(uint32(binary.LittleEndian.Uint16(b)) << 16) }}},
		{"LongStorage", "i64", dtype{"int64", 8, nil}},
		{"IntStorage", "i32", dtype{"int32", 4, nil}},
		{"ShortStorage", "i16", dtype{"int16", 2, nil}},
		{"CharStorage", "i8", dtype{"int8", 1, nil}},
		{"ByteStorage", "u8", dtype{"uint8", 1, nil}},
		{"BoolStorage", "bool", dtype{"bool", 1, nil}},
		{"ComplexFloatStorage", "c64", dtype{"complex64", 8, nil}},
		{"ComplexDoubleStorage", "c128", dtype{"complex128", 16, nil}},
		{"QInt8Storage", "qint8", dtype{"qint8", 1, nil}},
		{"QUInt8Storage", "quint8", dtype{"quint8", 1, nil}},
		{"QInt32Storage", "qint32", dtype{"qint32", 4, nil}},
	} {
		out[d.torch], out[d.safetensors] = d.dtype, d.dtype
	}
	return out
}()

// half decodes an IEEE 754 binary16.
func half(h uint16) float32 {
	exponent, fraction := int(h>>10&31), float64(h&1023)
	var v float64
	switch exponent {
	case 0:
		v = math.Ldexp(fraction, -24)
	case 31:
		if v = math.Inf(1); fraction != 0 {
			v = math.NaN()
		}
	default:
		v = math.Ldexp(1024+fraction, exponent-25)
	}
	if h>>15 != 0 {
		v = -v
	}
	return float32(v)
}
