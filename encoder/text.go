package encoder

import (
	"fmt"
	"math"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// Vocabulary is what an encoder of texts knows of their tokens. Rows of tokens are int64 [n, T], and 0 fills their ends.
type Vocabulary struct {
	Size    int64 // tokens lie in [0, Size)
	Unknown int64 // stands for what has no token of its own
	// Texts is the number of training texts, and Documents of each token the number of those that hold it, [Size]; nil counts as
	// none, for an encoder whose state is then loaded.
	Texts     int
	Documents []int
}

// inverseFrequency makes the buffer of the tokens' weights, [Size]: 1 + ln((1 + texts) / (1 + documents)), the smoothed inverse
// document frequency of scikit-learn (Spärck Jones 1972). The padding and what has no token of its own weigh nothing.
func (v Vocabulary) inverseFrequency(b *nn.Builder) *nn.Param {
	weights := make([]float32, v.Size)
	for i := range weights {
		documents := 0
		if v.Documents != nil {
			documents = v.Documents[i]
		}
		weights[i] = float32(1 + math.Log(float64(1+v.Texts)/float64(1+documents)))
	}
	weights[0], weights[v.Unknown] = 0, 0
	s := tensor.Enter()
	defer s.Leave()
	return b.FromTensor("inverse_frequency", tensor.New(weights, v.Size), false)
}

func (v Vocabulary) check() error {
	if v.Size < 2 || v.Unknown < 0 || v.Unknown >= v.Size || v.Documents != nil && int64(len(v.Documents)) != v.Size {
		return fmt.Errorf("encoder: a vocabulary of %d tokens, %d of them with counts, of which %d is the unknown one", v.Size, len(v.Documents), v.Unknown)
	}
	return nil
}

// checkTokens panics for an input that holds no tokens of the vocabulary.
func checkTokens(op string, x *tensor.Tensor) {
	if x.Rank() != 2 || x.DType() != tensor.Int64 {
		panic(&tensor.Error{Op: op, Msg: fmt.Sprintf("the input is %v of the shape %v: texts are rows of int64 tokens, [n, T]", x.DType(), x.Shape())})
	}
}

// BagOfTokens is the baseline of texts: the counts of their tokens, each times the token's weight, scaled to the length 1. Nothing is
// trained. A text without any known word is the zero vector.
type BagOfTokens struct {
	weights *nn.Param // [size]
}

// NewBagOfTokens makes the encoder. weighted weighs the tokens by their inverse document frequency (tf-idf); else all weigh 1.
func NewBagOfTokens(b *nn.Builder, v Vocabulary, weighted bool) (*BagOfTokens, error) {
	if err := v.check(); err != nil {
		return nil, err
	}
	if !weighted {
		v.Texts, v.Documents = 0, nil
	}
	return &BagOfTokens{v.inverseFrequency(b)}, nil
}

// Width implements [Encoder].
func (e *BagOfTokens) Width() int64 { return e.weights.Value().Dim(0) }

// Forward maps rows of tokens [n, T] to vectors [n, Width].
func (e *BagOfTokens) Forward(p *nn.Pass, x *tensor.Tensor) *tensor.Tensor {
	checkTokens("BagOfTokens", x)
	n, length, width := x.Dim(0), int(x.Dim(1)), e.Width()
	tokens := tensor.Values[int64](x.On(tensor.CPU).Contiguous())
	weights := p.Value(e.weights)
	counts := tensor.Made(func(counts []float32) {
		for i, id := range tokens {
			counts[int64(i/length)*width+id]++
		}
	}, n, width).On(x.Device()).To(weights.DType())
	weighed := counts.Mul(weights)
	return weighed.Div(weighed.Square().SumKeep(1).Sqrt().ClampMin(1e-12))
}

// UsesBatchStatistics implements [UsesBatchStatistics].
func (e *BagOfTokens) UsesBatchStatistics() bool { return false }

// TextNetConfig configures [NewTextNet].
type TextNetConfig struct {
	Vocabulary Vocabulary
	Embedding  int64   // width of a token's vector; default 128
	Windows    []int64 // lengths of the convolutions' windows; none averages the vectors instead
	Filters    int64   // of each window; default 128
	Hidden     int64   // units of a layer with ReLU on top; 0 for none
	// Weighted weighs the vectors by the tokens' inverse document frequency, in the average and before convolutions.
	Weighted bool
	Drop     float64 // the probability that a value of the pooled vector is dropped in training
}

// WithDefaults returns the configuration with its zero values replaced by the defaults.
func (c TextNetConfig) WithDefaults() TextNetConfig {
	if c.Embedding == 0 {
		c.Embedding = 128
	}
	if c.Filters == 0 {
		c.Filters = 128
	}
	return c
}

// TextNet is a small encoder of texts, trained from scratch: a vector per token, pooled over the text. Without windows the pooled
// vector is the mean, as in deep averaging networks (Iyyer et al. 2015); with windows it is the largest value of each filter over
// the text (Kim 2014). A layer may follow.
type TextNet struct {
	config  TextNetConfig
	table   *nn.Param // [size, embedding]
	weights *nn.Param // [size]; nil where all tokens weigh 1
	windows []*nn.Linear
	hidden  *nn.Linear // nil for none
}

// NewTextNet makes the encoder.
func NewTextNet(b *nn.Builder, c TextNetConfig) (*TextNet, error) {
	c = c.WithDefaults()
	if err := c.Vocabulary.check(); err != nil {
		return nil, err
	}
	for _, w := range c.Windows {
		if w < 1 {
			return nil, fmt.Errorf("encoder: a window of %d tokens", w)
		}
	}
	e := &TextNet{config: c}
	e.table = b.Param("table", nn.Normal(0, 1/math.Sqrt(float64(c.Embedding))), c.Vocabulary.Size, c.Embedding)
	if c.Weighted {
		e.weights = c.Vocabulary.inverseFrequency(b)
	}
	width := c.Embedding
	for i, w := range c.Windows {
		e.windows = append(e.windows, nn.NewLinear(b.In(fmt.Sprintf("window%d", i+1)), w*c.Embedding, c.Filters))
	}
	if len(c.Windows) > 0 {
		width = int64(len(c.Windows)) * c.Filters
	}
	if c.Hidden > 0 {
		e.hidden = nn.NewLinear(b.In("hidden"), width, c.Hidden)
	}
	return e, nil
}

// Width implements [Encoder].
func (e *TextNet) Width() int64 {
	switch {
	case e.hidden != nil:
		return e.config.Hidden
	case len(e.windows) > 0:
		return int64(len(e.windows)) * e.config.Filters
	}
	return e.config.Embedding
}

// Forward maps rows of tokens [n, T] to embeddings [n, Width]. What fills the ends of rows changes nothing.
func (e *TextNet) Forward(p *nn.Pass, x *tensor.Tensor) *tensor.Tensor {
	checkTokens("TextNet", x)
	n, length := x.Dim(0), x.Dim(1)
	flat := x.Reshape(n * length)
	table := p.Value(e.table)
	there := x.Gt(x.ZerosLike()).To(table.DType()).Unsqueeze(2) // [n, T, 1]
	weights := there
	if e.weights != nil {
		weights = p.Value(e.weights).IndexSelect(0, flat).Reshape(n, length, 1).Mul(there)
	}
	vectors := table.IndexSelect(0, flat).Reshape(n, length, e.config.Embedding).Mul(weights) // [n, T, embedding]
	var out *tensor.Tensor
	if len(e.windows) == 0 {
		out = vectors.Sum(1).Div(weights.Sum(1).ClampMin(1e-6))
	} else {
		out = e.convolve(p, vectors, there)
	}
	out = nn.Dropout(p, out, e.config.Drop)
	if e.hidden != nil {
		out = e.hidden.Forward(p, out).ReLU()
	}
	return out
}

// convolve returns the largest value of each filter over the windows that begin inside the text; a window reaches over its end,
// where vectors are zero.
func (e *TextNet) convolve(p *nn.Pass, vectors, there *tensor.Tensor) *tensor.Tensor {
	n, length := vectors.Dim(0), vectors.Dim(1)
	var pooled []*tensor.Tensor
	for i, layer := range e.windows {
		w := e.config.Windows[i]
		padded := vectors
		if w > 1 {
			padded = tensor.Cat(1, vectors, tensor.Full(0, vectors.DType(), vectors.Device(), n, w-1, e.config.Embedding))
		}
		shifted := make([]*tensor.Tensor, w)
		for k := range w {
			shifted[k] = padded.Narrow(1, k, length)
		}
		values := layer.Forward(p, tensor.Cat(2, shifted...)).ReLU().Mul(there) // [n, T, filters], at least 0
		most, _ := values.Max(1)
		pooled = append(pooled, most)
	}
	return tensor.Cat(1, pooled...)
}

// HasDropout implements [HasDropout].
func (e *TextNet) HasDropout() bool { return e.config.Drop > 0 }

// UsesBatchStatistics implements [UsesBatchStatistics].
func (e *TextNet) UsesBatchStatistics() bool { return false }

var _, _ Encoder = (*BagOfTokens)(nil), (*TextNet)(nil)
