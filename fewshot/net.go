package fewshot

import (
	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// Net is an encoder and a memory: the embedded support set is written to the memory with its labels, and the embedded
// queries read their classes from it. Packages protonet and matchingnet choose the memories and metrics of the papers.
type Net struct {
	Encoder encoder.Encoder
	Memory  memory.Associative
}

// Encode returns the embeddings [n, width] of images [n, channels, height, width]. They are the memory's keys and queries.
func (n *Net) Encode(p *nn.Pass, images *tensor.Tensor) *tensor.Tensor {
	return n.Encoder.Forward(p, images)
}

// LogProbs implements [Network].
func (n *Net) LogProbs(p *nn.Pass, t *Task) *tensor.Tensor {
	support, query := t.Embed(p, n.Encoder)
	return t.Recall(p, n.Memory, support, query)
}

// Loss implements [Learner]: the mean negative log-probability of the true classes.
func (n *Net) Loss(p *nn.Pass, t *Task) (loss, logp *tensor.Tensor) {
	logp = n.LogProbs(p, t)
	return t.NLL(logp), logp
}

// Precision returns the precision of the encoder; see [encoder.Precision].
func (n *Net) Precision() string { return encoder.Precision(n.Encoder) }

// UsesBatchStatistics reports whether answers under [nn.BatchStats] depend on the other images; see
// [encoder.UsesBatchStatistics].
func (n *Net) UsesBatchStatistics() bool { return encoder.UsesBatchStatistics(n.Encoder) }
