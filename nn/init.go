package nn

import (
	"math"
	"math/rand/v2"
)

// Constant fills with one value.
func Constant(v float64) Init {
	return func(_ *rand.Rand, _ []int64, out []float32) {
		for i := range out {
			out[i] = float32(v)
		}
	}
}

// Uniform draws from [-bound, bound).
func Uniform(bound float64) Init {
	return func(r *rand.Rand, _ []int64, out []float32) {
		for i := range out {
			out[i] = float32((2*r.Float64() - 1) * bound)
		}
	}
}

// Normal draws from a normal distribution.
func Normal(mean, std float64) Init {
	return func(r *rand.Rand, _ []int64, out []float32) {
		for i := range out {
			out[i] = float32(mean + std*r.NormFloat64())
		}
	}
}

// FanInUniform draws from U(-1/√fan, 1/√fan) with fan the number of inputs per output: PyTorch's default for linear
// and convolutional weights (kaiming_uniform with a = √5), with standard deviation 1/√(3·fan).
func FanInUniform(r *rand.Rand, shape []int64, out []float32) {
	Uniform(1/math.Sqrt(float64(fanIn(shape))))(r, shape, out)
}

// KaimingNormal draws from N(0, 2/fan) with fan the number of inputs per output, for layers followed by a ReLU: He et
// al. 2015, eq. 10.
func KaimingNormal(r *rand.Rand, shape []int64, out []float32) {
	Normal(0, math.Sqrt(2/float64(fanIn(shape))))(r, shape, out)
}

// XavierUniform draws from U(-b, b) with b = √(6/(inputs + outputs)): Glorot and Bengio 2010, eq. 16.
func XavierUniform(r *rand.Rand, shape []int64, out []float32) {
	fan := fanIn(shape) + fanOut(shape)
	Uniform(math.Sqrt(6/float64(fan)))(r, shape, out)
}

// fanIn returns the number of inputs per output for weights [out, in, kernel...].
func fanIn(shape []int64) int64 {
	n := int64(1)
	for _, d := range shape[1:] {
		n *= d
	}
	return n
}

// fanOut returns the number of outputs per input for weights [out, in, kernel...].
func fanOut(shape []int64) int64 {
	n := shape[0]
	for _, d := range shape[2:] {
		n *= d
	}
	return n
}

// Identity fills a square matrix with the identity.
func Identity(_ *rand.Rand, shape []int64, out []float32) {
	clear(out)
	for i := range shape[0] {
		out[i*shape[1]+i] = 1
	}
}
