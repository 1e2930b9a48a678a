package encoder_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/tensor"
)

const vocabulary, longest = 7, 6

// element is l_kj as in the paper, or as in the authors' code.
func element(e encoder.WordEncoding, k, j, width, words int) float64 {
	switch K, J, d := float64(k), float64(j), float64(width); e {
	case encoder.PositionEncoding:
		return (1 - J/float64(words)) - K/d*(1-2*J/float64(words))
	case encoder.ReleasedPositionEncoding:
		return 1 + 4*(K-(d+1)/2)*(J-(longest+1)/2.)/d/longest
	}
	return 1
}

// summed adds the words one by one.
func summed(e encoder.WordEncoding, sentence []int, table [][]float64) []float64 {
	width := len(table[0])
	m := make([]float64, width)
	for j, w := range sentence {
		for k := range m {
			if w >= 0 {
				m[k] += element(e, k+1, j+1, width, len(sentence)) * table[w][k]
			}
		}
	}
	return m
}

func table(r *rand.Rand, width int) (rows [][]float64, t *tensor.Tensor) {
	var flat []float64
	for range vocabulary {
		row := make([]float64, width)
		for k := range row {
			row[k] = r.NormFloat64()
		}
		rows, flat = append(rows, row), append(flat, row...)
	}
	return rows, tensor.New(flat, vocabulary, int64(width))
}

func encodings(t *testing.T, f func(t *testing.T, e encoder.WordEncoding, r *rand.Rand)) {
	for name, e := range map[string]encoder.WordEncoding{
		"bag": encoder.BagOfWords, "position": encoder.PositionEncoding, "released": encoder.ReleasedPositionEncoding,
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Enter(t)
			f(t, e, rand.New(rand.NewPCG(1, uint64(e))))
		})
	}
}

var sentences = [][]int{{3}, {0, 1, 2}, {6, 6, 0, 2, 1, 5}, {}, {4, -1, 2}, {-1}}

func TestEmbedIsThePlainLoop(t *testing.T) {
	encodings(t, func(t *testing.T, e encoder.WordEncoding, r *rand.Rand) {
		for _, width := range []int{1, 4} {
			a, at := table(r, width)
			b, bt := table(r, width)
			for d, tolerance := range map[tensor.DType]float64{tensor.Float64: 1e-6, tensor.Float32: 1e-5} {
				got := e.Sentences(sentences, nil, vocabulary, longest, tensor.CPU).Embed([]*tensor.Tensor{at.To(d), bt.To(d)}, nil)
				require.Equal(t, []int64{int64(len(sentences)), int64(2 * width)}, got.Shape())
				for i, s := range sentences {
					want := append(summed(e, s, a), summed(e, s, b)...)
					assert.InDeltaSlice(t, want, got.Select(0, int64(i)).Floats(), tolerance, fmt.Sprint(s, d))
				}
			}
		}
	})
}

// A time vector is added to those of the words; a sentence without words and without a time is zero.
func TestTimesAreAdded(t *testing.T) {
	encodings(t, func(t *testing.T, e encoder.WordEncoding, r *rand.Rand) {
		_, a := table(r, 3)
		_, b := table(r, 3)
		ta, tb := tensor.New([]float64{1, 2, 3, 4, 5, 6}, 2, 3), tensor.New([]float64{7, 8, 9, 10, 11, 12}, 2, 3)
		said := [][]int{{3, 1}, {}, {2}, nil}
		plain := e.Sentences(said, nil, vocabulary, longest, tensor.CPU).Embed([]*tensor.Tensor{a, b}, nil)
		timed := e.Sentences(said, []int{1, 0, -1, -1}, vocabulary, longest, tensor.CPU).Embed([]*tensor.Tensor{a, b}, []*tensor.Tensor{ta, tb})
		want := []float64{4, 5, 6, 10, 11, 12, 1, 2, 3, 7, 8, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
		assert.InDeltaSlice(t, want, timed.Sub(plain).Floats(), 1e-6)
		assert.Equal(t, make([]float64, 6), timed.Select(0, 3).Floats())
	})
}

func TestOrderOfWords(t *testing.T) {
	encodings(t, func(t *testing.T, e encoder.WordEncoding, r *rand.Rand) {
		_, a := table(r, 5)
		v := e.Sentences([][]int{{1, 2, 3}, {3, 2, 1}}, nil, vocabulary, longest, tensor.CPU).Embed([]*tensor.Tensor{a}, nil)
		same := v.Select(0, 0).Sub(v.Select(0, 1)).Abs().Sum().Float() < 1e-6
		assert.Equal(t, e == encoder.BagOfWords, same)
	})
}

func TestGradientOfTablesIsTheFiniteDifference(t *testing.T) {
	const h = 1e-6
	encodings(t, func(t *testing.T, e encoder.WordEncoding, r *rand.Rand) {
		_, a := table(r, 3)
		s := e.Sentences(sentences, nil, vocabulary, longest, tensor.CPU)
		loss := func(a *tensor.Tensor) *tensor.Tensor { return s.Embed([]*tensor.Tensor{a}, nil).Square().Sum() }
		a.RequireGrad()
		got, values := tensor.Grad(loss(a), a)[0].Floats(), a.Detach().Floats()
		for i, v := range values {
			at := func(v float64) float64 {
				moved := append([]float64{}, values...)
				moved[i] = v
				return loss(tensor.New(moved, vocabulary, 3)).Float()
			}
			want := (at(v+h) - at(v-h)) / (2 * h)
			assert.InDelta(t, want, got[i], 1e-6*(1+max(want, -want)))
		}
	})
}

func TestWordOutsideTheVocabulary(t *testing.T) {
	testkit.Enter(t)
	err := tensor.Do(func() error {
		encoder.BagOfWords.Sentences([][]int{{vocabulary}}, nil, vocabulary, longest, tensor.CPU)
		return nil
	})
	assert.EqualError(t, err, "tensor: Sentences: word index 7 is outside the vocabulary of 7 words")
}
