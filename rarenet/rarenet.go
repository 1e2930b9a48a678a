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
	m := n.memory(time * episodes)
	state := m.Init(1)
	loss = keys.Mul(keys.ZerosLike()).Sum()
	var answers []*tensor.Tensor
	for t := range time {
		query := keys.Select(0, t).Unsqueeze(0) // [1, episodes, width]
		labels := s.Labels.Select(0, t).Squeeze(1).Add(own)
		classes := labels.OneHot(n.config.Letters * episodes).Unsqueeze(0)
		if t == 0 {
			answers = append(answers, n.uniform(keys, episodes))
		} else {
			loss = loss.Add(m.Loss(p, state, query, classes).MulScalar(1 / float64(time-1)))
			tensor.NoGrad(func() {
				all := logRead(m, p, state, query).Reshape(episodes, episodes, n.config.Letters)
				at := tensor.Ramp(episodes, tensor.Int64, keys.Device()).Reshape(episodes, 1, 1).Expand(episodes, 1, n.config.Letters)
				answers = append(answers, all.Gather(1, at).Squeeze(1))
			})
		}
		state = m.Write(p, state, query, classes)
	}
	return loss, n.shaped(answers)
}

// LogProbs implements [fewshot.SequenceNetwork]. Before a label is stored its probability is that of all labels that are not.
func (n *Net) LogProbs(p *nn.Pass, s *fewshot.Sequence) *tensor.Tensor {
	time, episodes := s.Labels.Dim(0), s.Labels.Dim(1)
	keys := n.keys(p, s)
	m := n.memory(time)
	state := m.Init(episodes)
	var answers []*tensor.Tensor
	for t := range time {
		query := keys.Select(0, t).Unsqueeze(1) // [episodes, 1, width]
		if t == 0 {
			answers = append(answers, n.uniform(keys, episodes))
		} else {
			answers = append(answers, logRead(m, p, state, query).Squeeze(1))
		}
		state = m.Write(p, state, query, s.Labels.Select(0, t).OneHot(n.config.Letters))
	}
	return n.shaped(answers)
}

// leastLog is the least log-probability: that of a label that is not stored yet.
const leastLog = -50

// logRead returns the logarithm of what is read, at least leastLog. [memory.Rare.LogRead] would be exact below, for numbers of
// queries·slots·values, which are hundreds of megabytes for the memory of 16 episodes of 20 classes.
func logRead(m *memory.Rare, p *nn.Pass, state memory.State, queries *tensor.Tensor) *tensor.Tensor {
	values, _ := m.Read(p, state, queries)
	return values.ClampMin(math.Exp(leastLog)).Log()
}

// uniform returns equal scores [episodes, letters].
func (n *Net) uniform(like *tensor.Tensor, episodes int64) *tensor.Tensor {
	return tensor.Full(0, like.DType(), like.Device(), episodes, n.config.Letters)
}

// shaped returns the answers of all steps, each [episodes, letters], as log-probabilities [time, episodes, 1, letters].
func (n *Net) shaped(answers []*tensor.Tensor) *tensor.Tensor {
	return tensor.Stack(0, answers...).LogSoftmax(-1).Unsqueeze(2)
}

var _ fewshot.SequenceNetwork = (*Net)(nil)
