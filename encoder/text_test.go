package encoder_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// texts are rows of tokens of a vocabulary of 7: 0 fills their ends, and 1 is the unknown one.
var (
	texts       = [][]int64{{2, 3, 3, 6}, {4, 1, 0, 0}, {1, 0, 0, 0}, {5, 2, 4, 0}}
	documents   = []int{0, 0, 3, 1, 2, 0, 4}
	vocabulary7 = encoder.Vocabulary{Size: 7, Unknown: 1, Texts: 4, Documents: documents}
)

// rows are texts as a tensor, with more padding than they need.
func rows(texts [][]int64, more int) *tensor.Tensor {
	var flat []int64
	for _, t := range texts {
		flat = append(append(flat, t...), make([]int64, more)...)
	}
	return tensor.New(flat, int64(len(texts)), int64(len(texts[0])+more))
}

func weight(token int64) float64 {
	if token < 2 {
		return 0
	}
	return 1 + math.Log(5/float64(1+documents[token]))
}

func TestBagOfTokensIsTheNaiveCount(t *testing.T) {
	testkit.Enter(t)
	for _, weighted := range []bool{false, true} {
		b := nn.NewBuilder(1, tensor.CPU)
		e, err := encoder.NewBagOfTokens(b, vocabulary7, weighted)
		require.NoError(t, err)
		defer b.Params().Free()
		assert.Empty(t, b.Params().Trained())
		assert.EqualValues(t, 7, e.Width())
		var want []float64
		for _, text := range texts {
			row, length := make([]float64, 7), 0.
			for _, id := range text {
				if weighted {
					row[id] += weight(id)
				} else if id > 1 {
					row[id]++
				}
			}
			for _, v := range row {
				length += v * v
			}
			for i := range row {
				row[i] /= max(math.Sqrt(length), 1e-12)
			}
			want = append(want, row...)
		}
		assert.InDeltaSlice(t, want, e.Forward(&nn.Pass{}, rows(texts, 0)).Floats(), 1e-6)
		assert.InDeltaSlice(t, want, e.Forward(&nn.Pass{}, rows(texts, 3)).Floats(), 1e-6)
	}
}

func textNets() map[string]encoder.TextNetConfig {
	return map[string]encoder.TextNetConfig{
		"mean":        {Vocabulary: vocabulary7, Embedding: 5},
		"weighted":    {Vocabulary: vocabulary7, Embedding: 5, Weighted: true, Hidden: 3},
		"convolution": {Vocabulary: vocabulary7, Embedding: 5, Windows: []int64{1, 2, 3}, Filters: 4},
		"all":         {Vocabulary: vocabulary7, Embedding: 4, Windows: []int64{2}, Filters: 3, Hidden: 6, Weighted: true},
	}
}

// An embedding depends on its own text alone, and not on the padding; gradients are those of finite differences.
func TestTextNet(t *testing.T) {
	for name, c := range textNets() {
		t.Run(name, func(t *testing.T) {
			testkit.Enter(t)
			b := nn.NewBuilder(1, tensor.CPU)
			e, err := encoder.NewTextNet(b, c)
			require.NoError(t, err)
			defer b.Params().Free()
			p := &nn.Pass{}
			all := e.Forward(p, rows(texts, 0))
			require.Equal(t, []int64{4, e.Width()}, all.Shape())
			assert.True(t, all.Finite())
			assert.InDeltaSlice(t, all.Floats(), e.Forward(p, rows(texts, 4)).Floats(), 1e-6)
			for i, text := range texts {
				assert.InDeltaSlice(t, all.Select(0, int64(i)).Floats(), e.Forward(p, rows([][]int64{text}, 0)).Floats(), 1e-6)
			}
			r := rand.New(rand.NewPCG(1, 2))
			testkit.Gradients(t, b.Params(), r, func(p *nn.Pass) *tensor.Tensor {
				out := e.Forward(p, rows(texts, 1))
				return out.Mul(out).Sum()
			})
		})
	}
}

// The convolution is that of a loop over the windows.
func TestTextNetIsTheNaiveConvolution(t *testing.T) {
	testkit.Enter(t)
	const width, filters = 3, 4
	b := nn.NewBuilder(3, tensor.CPU)
	e, err := encoder.NewTextNet(b, encoder.TextNetConfig{Vocabulary: vocabulary7, Embedding: width, Windows: []int64{2}, Filters: filters})
	require.NoError(t, err)
	defer b.Params().Free()
	values := map[string][]float64{}
	for _, p := range b.Params().All() {
		values[p.Name] = p.Value().Floats()
	}
	table, w, bias := values["table"], values["window1.weight"], values["window1.bias"]
	var want []float64
	for _, text := range texts {
		for f := range filters {
			most := 0.
			for at := range text {
				if text[at] == 0 {
					continue
				}
				sum := bias[f]
				for k := range 2 {
					if at+k < len(text) && text[at+k] != 0 {
						for d := range width {
							sum += w[f*2*width+k*width+d] * table[int(text[at+k])*width+d]
						}
					}
				}
				most = max(most, sum)
			}
			want = append(want, most)
		}
	}
	assert.InDeltaSlice(t, want, e.Forward(&nn.Pass{}, rows(texts, 0)).Floats(), 1e-5)
}

func TestEncodersOfTextRefuse(t *testing.T) {
	testkit.Enter(t)
	b := nn.NewBuilder(1, tensor.CPU)
	_, err := encoder.NewTextNet(b, encoder.TextNetConfig{Vocabulary: encoder.Vocabulary{Size: 7, Documents: []int{1}}})
	assert.ErrorContains(t, err, "7 tokens, 1 of them with counts")
	_, err = encoder.NewTextNet(b, encoder.TextNetConfig{Vocabulary: vocabulary7, Windows: []int64{0}})
	assert.ErrorContains(t, err, "a window of 0 tokens")
	e, err := encoder.NewBagOfTokens(b, vocabulary7, true)
	require.NoError(t, err)
	defer b.Params().Free()
	assert.Panics(t, func() { e.Forward(&nn.Pass{}, tensor.Zeros(2, 1, 4, 4)) })
}
