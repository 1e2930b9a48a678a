// Package transfer is few-shot classification by transfer learning: an encoder is trained as an ordinary classifier of the
// training classes, and each few-shot task then gets a new head, and where wanted a copy of some of the encoder's blocks that
// is tuned with it. Chen et al. 2019 ("A Closer Look at Few-shot Classification") call the linear head Baseline and the
// cosine head Baseline++, section 3.2.
package transfer

import (
	"math/rand/v2"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/metric"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/stream"
	"github.com/engram-go/engram/tensor"
)

// Kind says how a head scores classes.
type Kind int

// The kinds of head.
const (
	Linear     Kind = iota // w·x + b: Baseline
	Cosine                 // the cosine of w and x, times a scale: Baseline++
	Mean                   // the nearest class mean, by squared distance; nothing is trained
	CosineMean             // the class mean of the largest cosine; nothing is trained
)

// DefaultScale is what Chen et al.'s code multiplies cosines by where classes are many.
const DefaultScale = 10

// Start says what the head of a task begins at.
type Start int

const (
	// AtMeans begins at the class means of the support set: w = c for a cosine head, w = 2c and b = -‖c‖² for a linear one,
	// which then begins as the nearest class mean. Qi et al. 2018 and Triantafillou et al. 2020 begin so; Chen et al. do not.
	AtMeans Start = iota
	// AtRandom begins at PyTorch's values for a linear layer, as Chen et al. do.
	AtRandom
)

// Adaptation says what becomes of the network for a task. The zero value is a linear head that is not trained.
type Adaptation struct {
	Head  Kind
	Start Start
	// Scale multiplies cosines; zero stands for [DefaultScale].
	Scale float64
	// Epochs is how often the support set is gone through; Batch how many of its images make a step, zero for all.
	Epochs, Batch int
	// Rate is the head's learning rate; Momentum, Dampening and Decay are as [fewshot.Tuning] has them.
	Rate, Momentum, Dampening, Decay float64
	// Blocks is how many of the encoder's last blocks are tuned with the head; zero freezes it, and more than it has tunes all
	// of it. EncoderRate is the last block's learning rate, and each block before it has Discount times that of the next:
	// Howard and Ruder 2018, section 3.2. A zero Discount stands for 1.
	Blocks                int
	EncoderRate, Discount float64
}

// Net is an encoder with the head that it is pre-trained with.
type Net struct {
	Encoder encoder.Encoder
	// Adapt is what LogProbs does for a task.
	Adapt  Adaptation
	head   *head
	blocks [][]*nn.Param
}

// New makes the head of a classifier for so many classes beside an encoder whose parameters b has made already. Its kind and
// scale are those of a, the adaptation to tasks; one that trains nothing is pre-trained with a linear or a cosine head.
func New(b *nn.Builder, e encoder.Encoder, classes int64, a Adaptation) *Net {
	n := &Net{Encoder: e, Adapt: a, blocks: Blocks(b.Params())}
	n.head = newHead(b.In("head"), a.Head, a.Scale, nil, classes, e.Width())
	return n
}

// Adapted returns the network, with the same parameters, with another adaptation to tasks.
func (n *Net) Adapted(a Adaptation) *Net {
	other := *n
	other.Adapt = a
	return &other
}

// Precision says what the network computes in.
func (n *Net) Precision() string { return encoder.Precision(n.Encoder) }

// Blocks is the number of the encoder's blocks that can be tuned.
func (n *Net) Blocks() int { return len(n.blocks) }

// Blocks returns the parameters of an encoder that are trained, block by block from the input on. A block is what goes by one
// name: after what all names begin with, the part before the first dot.
func Blocks(ps *nn.Params) [][]*nn.Param {
	var out [][]*nn.Param
	last := ""
	trained := ps.Trained()
	prefix := commonPrefix(trained)
	for i, p := range trained {
		name := part(p.Name[prefix:])
		if i == 0 || name != last {
			out, last = append(out, nil), name
		}
		out[len(out)-1] = append(out[len(out)-1], p)
	}
	return out
}

// Classify returns the loss of a classifier of all training classes on images [n, channels, height, width] with labels [n],
// and the share of them that it gets right.
func (n *Net) Classify(p *nn.Pass, images, labels *tensor.Tensor) (loss *tensor.Tensor, right float64) {
	logp := n.head.scores(p, n.Encoder.Forward(p, images).Unsqueeze(0)).Squeeze(0).LogSoftmax(-1)
	return tensor.NLL(logp, labels), logp.Argmax(-1).Eq(labels).To(tensor.Float64).Mean().Float()
}

// Encode returns the embeddings of images [n, channels, height, width].
func (n *Net) Encode(p *nn.Pass, images *tensor.Tensor) *tensor.Tensor {
	return n.Encoder.Forward(p, images)
}

// LogProbs adapts to each task and returns the queries' log-probabilities [tasks, query, way]. What it adapts is a copy, of
// which no gradient goes back to the network.
func (n *Net) LogProbs(p *nn.Pass, t *fewshot.Task) *tensor.Tensor {
	var out *tensor.Tensor
	tensor.NoGrad(func() {
		if n.Adapt.Blocks == 0 || n.Adapt.means() {
			support, query := t.Embed(p, n.Encoder)
			if n.Adapt.means() {
				out = t.Recall(p, memory.NewPrototype(memory.PrototypeConfig{Metric: n.Adapt.measure(), Scale: n.Adapt.scale()}), support, query)
				return
			}
			embedded := *t
			embedded.Support, embedded.Query = support, query
			out = n.adapt(p, &embedded, nil)
			return
		}
		var all []*tensor.Tensor
		for i := range t.Support.Dim(0) { // each task tunes a copy of its own
			all = append(all, tensor.Eval(func() *tensor.Tensor { return n.adapt(p, t.Only(i), n.Encoder) }))
		}
		out = tensor.Cat(0, all...)
	})
	return out
}

// Loss returns the mean negative log-probability of a task's true classes after adaptation, and the log-probabilities.
func (n *Net) Loss(p *nn.Pass, t *fewshot.Task) (loss, logp *tensor.Tensor) {
	logp = n.LogProbs(p, t)
	return t.NLL(logp), logp
}

func (a Adaptation) means() bool { return a.Head == Mean || a.Head == CosineMean }

func (a Adaptation) measure() metric.Metric {
	if a.Head == CosineMean {
		return metric.Cosine{}
	}
	return metric.SquaredEuclidean{}
}

func (a Adaptation) scale() float64 {
	switch {
	case a.Head != Cosine && a.Head != CosineMean:
		return 1
	case a.Scale == 0:
		return DefaultScale
	}
	return a.Scale
}

// adapt trains a head for a batch of tasks, and with e a copy of the encoder's last blocks. Without it support and queries are
// embeddings.
func (n *Net) adapt(p *nn.Pass, t *fewshot.Task, e encoder.Encoder) *tensor.Tensor {
	b := nn.NewBuilder(0, t.Support.Device())
	defer b.Params().Free()
	a := n.Adapt
	tasks := t.Support.Dim(0)
	var heads, orders []*rand.Rand
	for i := range uint64(tasks) {
		heads, orders = append(heads, stream.New(0, "transfer/head", t.First+i)), append(orders, stream.New(0, "transfer/order", t.First+i))
	}
	net := &adapted{e, newHead(b, a.Head, a.Scale, heads, t.Way, n.Encoder.Width())}
	if a.Start == AtMeans {
		net.head.begin(net.embed(p, t.Support), t.SupportLabels.OneHot(t.Way))
	}
	params := fewshot.Tuned(b.Params().Trained(), a.Rate)
	if e != nil {
		params = append(params, n.tuned()...)
	}
	examples := int(t.SupportLabels.Dim(1))
	steps := a.Epochs
	if a.Batch > 0 {
		steps *= (examples + a.Batch - 1) / a.Batch
	}
	tuned := fewshot.Tune(p, net, params, t, fewshot.Tuning{
		Steps: steps, Batch: a.Batch, Rand: orders, Momentum: a.Momentum, Dampening: a.Dampening, Decay: a.Decay,
	})
	return net.logProbs(tuned, t.Query)
}

// tuned lists the parameters of the encoder's last blocks, with their rates.
func (n *Net) tuned() []fewshot.TunedParam {
	var out []fewshot.TunedParam
	rate := n.Adapt.EncoderRate
	for i := len(n.blocks) - 1; i >= max(0, len(n.blocks)-n.Adapt.Blocks); i-- {
		out = append(out, fewshot.Tuned(n.blocks[i], rate)...)
		if n.Adapt.Discount > 0 {
			rate *= n.Adapt.Discount
		}
	}
	return out
}

// adapted is what is trained on a support set.
type adapted struct {
	encoder encoder.Encoder // nil where a task holds embeddings
	head    *head
}

// embed maps inputs [tasks, n, ...] to [tasks, n, width].
func (a *adapted) embed(p *nn.Pass, x *tensor.Tensor) *tensor.Tensor {
	if a.encoder == nil {
		return x
	}
	return a.encoder.Forward(p, x.Flatten(0, 1)).Reshape(x.Dim(0), x.Dim(1), a.encoder.Width())
}

func (a *adapted) logProbs(p *nn.Pass, x *tensor.Tensor) *tensor.Tensor {
	return a.head.scores(p, a.embed(p, x)).LogSoftmax(-1)
}

// Loss implements fewshot.Learner: the sum over the tasks, each of which has a head of its own.
func (a *adapted) Loss(p *nn.Pass, t *fewshot.Task) (loss, logp *tensor.Tensor) {
	logp = a.logProbs(p, t.Query)
	return t.NLL(logp).MulScalar(float64(t.Query.Dim(0))), logp
}

var _ fewshot.Network = (*Net)(nil)
