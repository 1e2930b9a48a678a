package fewshot

import (
	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// Net is an encoder and a memory: the embedded support set is written to the memory under its labels, and the embedded
// queries read their classes from it. Which memory and which metric make it the network of which paper, packages protonet
// and matchingnet say.
type Net struct {
	Encoder encoder.Encoder
	Memory  memory.Associative
}

// Encode returns the embeddings [n, width] of images [n, channels, height, width]: the keys and queries of the memory.
func (n *Net) Encode(p *nn.Pass, images *tensor.Tensor) *tensor.Tensor {
	return n.Encoder.Forward(p, images)
}

// LogProbs returns the queries' log-probabilities [tasks, query, way].
func (n *Net) LogProbs(p *nn.Pass, t *Task) *tensor.Tensor {
	support, query := t.Embed(p, n.Encoder)
	return t.Recall(p, n.Memory, support, query)
}

// Loss returns the mean negative log-probability of the true classes, and the log-probabilities.
func (n *Net) Loss(p *nn.Pass, t *Task) (loss, logp *tensor.Tensor) {
	logp = n.LogProbs(p, t)
	return t.NLL(logp), logp
}

// Precision says what the network computes in.
func (n *Net) Precision() string { return encoder.Precision(n.Encoder) }
