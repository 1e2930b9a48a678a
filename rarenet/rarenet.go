// Package rarenet implements the few-shot network of Kaiser, Nachum, Roy and Bengio (2017, "Learning to Remember Rare Events"): an
// encoder and a [memory.Rare]. The network sees one image per time step, answers by the nearest key, and then writes the image with
// its label. The memory is empty before each batch of episodes.
package rarenet

import (
	"cmp"
	"math"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// Config configures [New]. Encoder and Letters are required.
type Config struct {
	Encoder encoder.Encoder
	// Letters is the number of labels of an episode.
	Letters int64
	// Width is that of a key; default 128, the paper's.
	Width int64
	// Slots bounds the memory; default 8192. Where the episodes show fewer images, it has one slot for each.
	Slots int64
	// Margin is α of the loss; default 0.1.
	Margin float64
	// Dropout is the chance that a value of an embedding is zeroed in training; the paper's code has 0.7.
	Dropout float64
}

// Net is a network with a memory for rare events.
//
// In training all episodes of a batch share one memory, in which each has labels of its own, so that the images of the others are
// further wrong neighbours, as in the public code. In tests each episode has its own memory: an answer does not depend on the
// batch.
type Net struct {
	config Config
	query  *nn.Linear // embedding to key
}

// New makes a network.
func New(b *nn.Builder, c Config) *Net {
	c.Width, c.Slots = cmp.Or(c.Width, 128), cmp.Or(c.Slots, 8192)
	return &Net{c, nn.NewLinear(b.In("query"), c.Encoder.Width(), c.Width)}
}

// Precision returns the precision of the encoder; see [encoder.Precision]. Everything else computes in float32.
func (n *Net) Precision() string { return encoder.Precision(n.config.Encoder) }

// keys returns the keys of all images before they are normalised, [time, episodes, width].
func (n *Net) keys(p *nn.Pass, s *fewshot.Sequence) *tensor.Tensor {
	x := n.config.Encoder.Forward(p, s.Images.Flatten(0, 1)).To(tensor.Float32)
	return n.query.Forward(p, nn.Dropout(p, x, n.config.Dropout)).Reshape(s.Labels.Dim(0), s.Labels.Dim(1), n.config.Width)
}

func (n *Net) memory(pairs int64) *memory.Rare {
	return memory.NewRare(memory.RareConfig{Slots: min(n.config.Slots, pairs), Margin: n.config.Margin})
}

// Loss implements [fewshot.SequenceNetwork]: the margin loss of the images whose label was shown before, averaged over all images
// but the first ones. The log-probabilities are those of [Net.LogProbs] for the shared memory.
func (n *Net) Loss(p *nn.Pass, s *fewshot.Sequence) (loss, logp *tensor.Tensor) {
	time, episodes := s.Labels.Dim(0), s.Labels.Dim(1)
	keys := n.keys(p, s)
	// The labels of episode i are those from i·letters on.
	own := tensor.Ramp(episodes, tensor.Int64, keys.Device()).MulScalar(float64(n.config.Letters)).To(tensor.Int64)
	sum, read := n.memory(time*episodes).Sequence(keys, s.Labels.Squeeze(2).Add(own), n.config.Letters*episodes)
	at := tensor.Ramp(episodes, tensor.Int64, keys.Device()).Reshape(1, episodes, 1, 1).Expand(time, episodes, 1, n.config.Letters)
	read = read.Reshape(time, episodes, episodes, n.config.Letters).Gather(2, at)
	return sum.MulScalar(1 / float64(max(time-1, 1))), logs(read)
}

// LogProbs implements [fewshot.SequenceNetwork]. Before a label is stored its probability is that of all labels that are not.
func (n *Net) LogProbs(p *nn.Pass, s *fewshot.Sequence) *tensor.Tensor {
	time := s.Labels.Dim(0)
	keys, labels := n.keys(p, s), s.Labels.Squeeze(2)
	var reads []*tensor.Tensor
	for e := range s.Labels.Dim(1) {
		_, read := n.memory(time).Sequence(keys.Narrow(1, e, 1), labels.Narrow(1, e, 1), n.config.Letters)
		reads = append(reads, read)
	}
	return logs(tensor.Cat(1, reads...).Unsqueeze(2))
}

// leastLog is the least log-probability: that of a label that is not stored yet.
const leastLog = -50

// logs returns the log-probabilities of what is read.
func logs(read *tensor.Tensor) *tensor.Tensor {
	return read.ClampMin(math.Exp(leastLog)).Log().LogSoftmax(-1)
}

var _ fewshot.SequenceNetwork = (*Net)(nil)
