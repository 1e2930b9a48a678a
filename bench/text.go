package main

import (
	"github.com/engram-go/engram/encoder/transformer"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// The sentences of the rows on text, and the sizes of MiniLM: Wang et al. 2020.
const (
	sentences, tokens = 64, 32
	vocabulary        = 30522
)

var miniLM = transformer.Size{Width: 384, Layers: 6, Heads: 12, Hidden: 1536}

// sentenceEmbedding embeds sentences by MiniLM: the mean over tokens, of length one. The result is a weighted sum of all embeddings, which
// is the loss in training.
func sentenceEmbedding(training bool) func(on tensor.Device) func(int) []float64 {
	return func(on tensor.Device) func(int) []float64 {
		b := nn.NewBuilder(0, on)
		e := must(transformer.NewBERT(b, transformer.BERTConfig{Size: miniLM, Normalize: true}))
		var matrices []*nn.Param
		for _, p := range b.Params().Trained() {
			if p.Value().Rank() == 2 {
				matrices = append(matrices, p)
			}
		}
		fill(matrices, .05, 100)
		rows := tensor.Upload(words(1, vocabulary-1, sentences*tokens), on, sentences, tokens).AddScalar(1).To(tensor.Int64)
		weights := uniform(on, 2, sentences, miniLM.Width)
		loss := func(p *nn.Pass) *tensor.Tensor { return e.Forward(p, rows).Mul(weights).Sum() }
		if training {
			return learning(b.Params(), 1e-5, 0, loss)
		}
		return repeated(func() (value float64) {
			s := tensor.Enter()
			defer s.Leave()
			tensor.NoGrad(func() { value = loss(&nn.Pass{}).Float() })
			return value
		})
	}
}

// embeddingOperations counts the linear maps of the layers.
func embeddingOperations() operations {
	width, hidden := float64(miniLM.Width), float64(miniLM.Hidden)
	each := linear(sentences*tokens, width, 4*width) + 2*linear(sentences*tokens, width, hidden)
	return operations{others: float64(miniLM.Layers) * each}
}
