package memory_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/metric"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// floats makes a float64 tensor whose elements come from f, in row-major order.
func floats(f func() float64, shape ...int64) *tensor.Tensor {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	v := make([]float64, n)
	for i := range v {
		v[i] = f()
	}
	return tensor.New(v, shape...)
}

// rows returns the rows [rows][columns] of one task of a tensor [batch, rows, columns].
func rows(x *tensor.Tensor, task int64) [][]float64 {
	var out [][]float64
	v, w := x.Select(0, task).Floats(), int(x.Dim(2))
	for i := range int(x.Dim(1)) {
		out = append(out, v[i*w:][:w])
	}
	return out
}

func flat(rows [][]float64) (out []float64) {
	for _, r := range rows {
		out = append(out, r...)
	}
	return out
}

// softmax computes by a plain loop.
func softmax(scores []float64) []float64 {
	var sum float64
	largest := math.Inf(-1)
	for _, s := range scores {
		largest = max(largest, s)
	}
	out := make([]float64, len(scores))
	for i, s := range scores {
		out[i] = math.Exp(s - largest)
		sum += out[i]
	}
	for i := range out {
		out[i] /= sum
	}
	return out
}

func negativeSquaredDistance(q, k []float64) (score float64) {
	for i := range q {
		score -= (q[i] - k[i]) * (q[i] - k[i])
	}
	return score
}

func cosine(q, k []float64) float64 {
	var qk, qq, kk float64
	for i := range q {
		qk, qq, kk = qk+q[i]*k[i], qq+q[i]*q[i], kk+k[i]*k[i]
	}
	return qk / math.Sqrt(qq*kk)
}

// subject is a memory and the plain loop that reads one task from the pairs written.
type subject struct {
	name   string
	memory memory.Associative
	plain  func(keys, values, queries [][]float64) (read, attention [][]float64)
}

type score func(q, k []float64) float64

func keyValue(name string, m metric.Metric, scale float64, f score) subject {
	return subject{"KeyValue/" + name, memory.NewKeyValue(memory.KeyValueConfig{Metric: m, Scale: scale}),
		func(keys, values, queries [][]float64) (read, attention [][]float64) {
			for _, q := range queries {
				scores, v := make([]float64, len(keys)), make([]float64, len(values[0]))
				for i, k := range keys {
					scores[i] = max(scale, 1) * f(q, k)
				}
				a := softmax(scores)
				for i := range keys {
					for c := range v {
						v[c] += a[i] * values[i][c]
					}
				}
				read, attention = append(read, v), append(attention, a)
			}
			return read, attention
		}}
}

func prototype(name string, m metric.Metric, scale float64, f score) subject {
	return subject{"Prototype/" + name, memory.NewPrototype(memory.PrototypeConfig{Metric: m, Scale: scale}),
		func(keys, values, queries [][]float64) (read, attention [][]float64) {
			prototypes := make([][]float64, len(values[0]))
			for c := range prototypes {
				prototypes[c] = make([]float64, len(keys[0]))
				var n float64
				for i, k := range keys {
					n += values[i][c]
					for d := range k {
						prototypes[c][d] += values[i][c] * k[d]
					}
				}
				for d := range prototypes[c] {
					prototypes[c][d] /= n
				}
			}
			for _, q := range queries {
				scores := make([]float64, len(prototypes))
				for c := range scores {
					scores[c] = max(scale, 1) * f(q, prototypes[c])
				}
				read = append(read, softmax(scores))
			}
			return read, read
		}}
}

// hopfield is the plain loop of a Hopfield memory: keys and queries normalised, the query moved, then read.
func hopfield(name string, c memory.HopfieldConfig) subject {
	norm := func(x []float64) []float64 {
		out := slices.Clone(x)
		if c.Unnormed {
			return out
		}
		var mean, variance float64
		for _, v := range x {
			mean += v / float64(len(x))
		}
		for _, v := range x {
			variance += (v - mean) * (v - mean) / float64(len(x))
		}
		for i, v := range x {
			out[i] = (v - mean) / math.Sqrt(variance+1e-5)
		}
		return out
	}
	return subject{"Hopfield/" + name, memory.NewHopfield(c), func(keys, values, queries [][]float64) (read, attention [][]float64) {
		beta := c.Beta
		if beta == 0 {
			beta = 1 / math.Sqrt(float64(len(keys[0])))
		}
		for _, q := range queries {
			state := norm(q)
			associate := func() []float64 {
				scores := make([]float64, len(keys))
				for i, k := range keys {
					for j, v := range norm(k) {
						scores[i] += beta * state[j] * v
					}
				}
				return softmax(scores)
			}
			for range c.Updates {
				next := make([]float64, len(q))
				for i, a := range associate() {
					for j, v := range norm(keys[i]) {
						next[j] += a * v
					}
				}
				state = next
			}
			a, v := associate(), make([]float64, len(values[0]))
			for i := range keys {
				for j := range v {
					v[j] += a[i] * values[i][j]
				}
			}
			read, attention = append(read, v), append(attention, a)
		}
		return read, attention
	}}
}

func subjects() []subject {
	return []subject{
		hopfield("one association", memory.HopfieldConfig{}),
		hopfield("three updates", memory.HopfieldConfig{Beta: .7, Updates: 3}),
		hopfield("unnormed", memory.HopfieldConfig{Beta: .5, Updates: 1, Unnormed: true}),
		keyValue("Cosine", metric.Cosine{}, 0, cosine),
		keyValue("Cosine×10", metric.Cosine{}, 10, cosine),
		keyValue("SquaredEuclidean", metric.SquaredEuclidean{}, 0, negativeSquaredDistance),
		prototype("SquaredEuclidean", metric.SquaredEuclidean{}, 0, negativeSquaredDistance),
		prototype("Cosine×10", metric.Cosine{}, 10, cosine),
	}
}

// each runs a test on every memory, in its own scope and with its own generator.
func each(t *testing.T, f func(t *testing.T, s subject, r *rand.Rand)) {
	for i, s := range subjects() {
		t.Run(s.name, func(t *testing.T) {
			testkit.Enter(t)
			f(t, s, rand.New(rand.NewPCG(1, uint64(i))))
		})
	}
}

// support returns n keys per task and one-hot values; key i has class i%classes.
func support(r *rand.Rand, batch, n, classes, width int64) (keys, values *tensor.Tensor) {
	labels := make([]int64, batch*n)
	for i := range labels {
		labels[i] = int64(i) % n % classes
	}
	return floats(r.NormFloat64, batch, n, width), tensor.New(labels, batch, n).OneHot(classes).To(tensor.Float64)
}

// soft returns values that are fractions of classes.
func soft(r *rand.Rand, shape ...int64) *tensor.Tensor {
	return floats(func() float64 { return .05 + r.Float64() }, shape...)
}

func write(m memory.Associative, keys, values *tensor.Tensor) memory.State {
	return m.Write(&nn.Pass{}, m.Init(keys.Dim(0)), keys, values)
}

// both returns what m reads, and its logarithm.
func both(m memory.Associative, keys, values, queries *tensor.Tensor) (read, attention, logs *tensor.Tensor) {
	s := write(m, keys, values)
	read, attention = m.Read(&nn.Pass{}, s, queries)
	return read, attention, memory.LogRead(m, &nn.Pass{}, s, queries)
}
