package memory_test

import (
	"math/rand/v2"
	"testing"

	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/tensor"
	"github.com/stretchr/testify/assert"
)

func plainPrecedence(prev, write [][]float64) [][]float64 {
	out, sum := matrix(1, len(prev[0])), 0.
	for _, w := range write[0] {
		sum += w
	}
	for i := range out[0] {
		out[0][i] = (1-sum)*prev[0][i] + write[0][i]
	}
	return out
}

func plainLink(prev, precedence, write [][]float64) [][]float64 {
	out := matrix(len(prev), len(prev))
	w, p := write[0], precedence[0]
	for i := range prev {
		for j := range prev {
			if i != j {
				out[i][j] = (1-w[i]-w[j])*prev[i][j] + w[i]*p[j]
			}
		}
	}
	return out
}

func plainForward(link, read [][]float64) [][]float64 {
	out := matrix(len(read), len(link))
	for h := range read {
		for i := range link {
			for j := range link {
				out[h][i] += link[i][j] * read[h][j]
			}
		}
	}
	return out
}

func plainBackward(link, read [][]float64) [][]float64 {
	out := matrix(len(read), len(link))
	for h := range read {
		for i := range link {
			for j := range link {
				out[h][i] += link[j][i] * read[h][j]
			}
		}
	}
	return out
}

func plainReadModes(modes, backward, content, forward [][]float64) [][]float64 {
	out := matrix(len(content), len(content[0]))
	for h := range out {
		for i := range out[h] {
			out[h][i] = modes[h][0]*backward[h][i] + modes[h][1]*content[h][i] + modes[h][2]*forward[h][i]
		}
	}
	return out
}

func TestTemporalLinkage(t *testing.T) {
	links := func(r *rand.Rand) *tensor.Tensor { return between(r, 0, .2, seqs, slots, slots) }
	weights := func(r *rand.Rand, heads int64) *tensor.Tensor { return weightings(r, seqs, heads, slots).MulScalar(.9) }
	zero := func(heads int64) *tensor.Tensor { return constants(0, 1, heads, slots) }
	check(t, []primitive{{
		name:  "Precedence",
		args:  func(r *rand.Rand) []*tensor.Tensor { return []*tensor.Tensor{weights(r, 1), weights(r, 1)} },
		call:  func(x []*tensor.Tensor) *tensor.Tensor { return memory.Precedence(x[0], x[1]) },
		plain: func(x [][][]float64) [][]float64 { return plainPrecedence(x[0], x[1]) },
		edges: func() [][]*tensor.Tensor { return [][]*tensor.Tensor{{zero(1), zero(1)}} },
	}, {
		name:  "Link",
		args:  func(r *rand.Rand) []*tensor.Tensor { return []*tensor.Tensor{links(r), weights(r, 1), weights(r, 1)} },
		call:  func(x []*tensor.Tensor) *tensor.Tensor { return memory.Link(x[0], x[1], x[2]) },
		plain: func(x [][][]float64) [][]float64 { return plainLink(x[0], x[1], x[2]) },
		edges: func() [][]*tensor.Tensor { return [][]*tensor.Tensor{{zero(slots), zero(1), zero(1)}} },
	}, {
		name:  "Forward",
		args:  func(r *rand.Rand) []*tensor.Tensor { return []*tensor.Tensor{links(r), weights(r, heads)} },
		call:  func(x []*tensor.Tensor) *tensor.Tensor { return memory.Forward(x[0], x[1]) },
		plain: func(x [][][]float64) [][]float64 { return plainForward(x[0], x[1]) },
		edges: func() [][]*tensor.Tensor { return [][]*tensor.Tensor{{zero(slots), zero(heads)}} },
	}, {
		name:  "Backward",
		args:  func(r *rand.Rand) []*tensor.Tensor { return []*tensor.Tensor{links(r), weights(r, heads)} },
		call:  func(x []*tensor.Tensor) *tensor.Tensor { return memory.Backward(x[0], x[1]) },
		plain: func(x [][][]float64) [][]float64 { return plainBackward(x[0], x[1]) },
		edges: func() [][]*tensor.Tensor { return [][]*tensor.Tensor{{zero(slots), zero(heads)}} },
	}, {
		name: "ReadModes",
		args: func(r *rand.Rand) []*tensor.Tensor {
			return []*tensor.Tensor{weightings(r, seqs, heads, 3), weights(r, heads), weights(r, heads), weights(r, heads)}
		},
		call:  func(x []*tensor.Tensor) *tensor.Tensor { return memory.ReadModes(x[0], x[1], x[2], x[3]) },
		plain: func(x [][][]float64) [][]float64 { return plainReadModes(x[0], x[1], x[2], x[3]) },
		edges: func() [][]*tensor.Tensor {
			return [][]*tensor.Tensor{{constants(0, 1, heads, 3), zero(heads), zero(heads), zero(heads)}}
		},
	}})
}

// Slots 2, 0 and 3 are written in this order: forward from slot 2 is slot 0, and backward from slot 3 is slot 0.
func TestLinksFollowTheOrderOfWriting(t *testing.T) {
	testkit.Enter(t)
	link, precedence := constants(0, 1, 4, 4), constants(0, 1, 1, 4)
	for _, slot := range []int64{2, 0, 3} {
		link, precedence = memory.Link(link, precedence, at(4, slot)), memory.Precedence(precedence, at(4, slot))
	}
	assert.Equal(t, at(4, 3).Floats(), precedence.Floats(), "slot 3 was the last")
	assert.Equal(t, at(4, 0, 3).Floats(), memory.Forward(link, at(4, 2, 0)).Floats())
	assert.Equal(t, at(4, 0, 2).Floats(), memory.Backward(link, at(4, 3, 0)).Floats())
	assert.Equal(t, []float64{0, 0, 0, 0}, memory.Forward(link, at(4, 3)).Floats(), "nothing was written after slot 3")
	// Writing slot 0 again breaks its old links: now it follows slot 3.
	link = memory.Link(link, precedence, at(4, 0))
	assert.Equal(t, at(4, 0).Floats(), memory.Forward(link, at(4, 3)).Floats())
	assert.Equal(t, []float64{0, 0, 0, 0}, memory.Forward(link, at(4, 2)).Floats())
}

func TestReadModesSelect(t *testing.T) {
	testkit.Enter(t)
	b, c, f := at(4, 0), at(4, 1), at(4, 2)
	for mode, want := range []*tensor.Tensor{b, c, f} {
		assert.Equal(t, want.Floats(), memory.ReadModes(at(3, int64(mode)), b, c, f).Floats())
	}
}

// Rows and columns of the link matrix, and the precedence, sum to at most one, the diagonal is zero, nothing is negative.
func TestLinkMatrixStaysInRange(t *testing.T) {
	testkit.Enter(t)
	r := rand.New(rand.NewPCG(1, 1))
	for _, d := range []tensor.DType{tensor.Float32, tensor.Float64} {
		link, precedence := constants(0, seqs, slots, slots).To(d), constants(0, seqs, 1, slots).To(d)
		for step := range 50 {
			w := floats(func() float64 { return 5 * r.NormFloat64() }, seqs, 1, slots).Softmax(-1).MulScalar(r.Float64())
			if step%7 == 0 {
				w = tensor.Cat(0, at(slots, r.Int64N(slots)), at(slots, r.Int64N(slots)))
			}
			w = w.To(d)
			link, precedence = memory.Link(link, precedence, w), memory.Precedence(precedence, w)
			for i, v := range link.Floats() {
				assert.GreaterOrEqual(t, v, -1e-7)
				if i/slots%slots == i%slots {
					assert.Zero(t, v)
				}
			}
			for _, sums := range []*tensor.Tensor{link.Sum(1), link.Sum(2), precedence.Sum(2)} {
				for _, v := range sums.Floats() {
					assert.LessOrEqual(t, v, 1+1e-6)
				}
			}
		}
	}
}
