// Package transfer implements few-shot classification by transfer learning. An encoder is pre-trained as an ordinary
// classifier of the training classes. For each few-shot task a new head is trained, optionally together with a copy of the
// encoder's last blocks. Chen et al. 2019 ("A Closer Look at Few-shot Classification", section 3.2) call the linear head
// Baseline and the cosine head Baseline++.
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

// Kind is a kind of head: how it scores classes.
type Kind int

// The kinds of head.
const (
	Linear     Kind = iota // w·x + b: Baseline
	Cosine                 // the cosine of w and x times a scale: Baseline++
	Mean                   // the negated squared distance to the class mean; nothing is trained
	CosineMean             // the cosine to the class mean times a scale; nothing is trained
)

// DefaultScale multiplies cosines. It is the value of Chen et al.'s code for many classes.
const DefaultScale = 10

// Start is the initialisation of a task's head.
type Start int

const (
	// AtMeans initialises by the class means c of the support set: w = c for a cosine head, w = 2c and b = -‖c‖² for a linear
	// head, which then is the nearest-mean classifier. Qi et al. 2018 and Triantafillou et al. 2020 do so, Chen et al. do not.
	AtMeans Start = iota
	// AtRandom initialises as PyTorch initialises a linear layer, as Chen et al. do. Each task draws its own values, by its
	// index; see [fewshot.Task].
	AtRandom
)

// Adaptation configures the adaptation to a task. The zero value is a linear head at the class means, without training.
type Adaptation struct {
	Head  Kind
	Start Start
	// Scale multiplies cosines; default [DefaultScale].
	Scale float64
	// Epochs is the number of passes over the support set, Batch the number of its images per step; zero means all.
	Epochs, Batch int
	// Rate is the head's learning rate. Momentum, Dampening and Decay are those of [fewshot.Tuning].
	Rate, Momentum, Dampening, Decay float64
	// Entropy is the weight of the mean entropy of the queries' predictions in the loss on the support set: Dhillon et al. 2020,
	// eq. 8, has 1. Above 0 the adaptation is transductive.
	Entropy float64
	// Blocks is the number of the encoder's last blocks that are tuned with the head. Zero freezes the encoder; a number above
	// that of its blocks tunes all of it. EncoderRate is the last block's learning rate; each earlier block has Discount times
	// the rate of the next one (Howard and Ruder 2018, section 3.2). The default of Discount is 1.
	Blocks                int
	EncoderRate, Discount float64
}

// Net is an encoder with its head for pre-training.
type Net struct {
	Encoder encoder.Encoder
	// Adapt is the adaptation that LogProbs applies.
	Adapt Adaptation
	// Smoothing is that of the labels in pre-training; see [nn.SmoothedNLL].
	Smoothing float64
	// Teacher is what pre-training distils from; nil for none.
	Teacher *Teacher
	head    *head
	blocks  [][]*nn.Param
}

// New makes a network on an encoder of the same builder, with a pre-training head for a number of classes. The head has the
// kind and scale of a; for [Mean] and [CosineMean] it is a linear and a cosine head.
func New(b *nn.Builder, e encoder.Encoder, classes int64, a Adaptation) *Net {
	n := &Net{Encoder: e, Adapt: a, blocks: Blocks(e, b.Params())}
	n.head = newHead(b.In("head"), a.Head, a.Scale, nil, classes, e.Width())
	return n
}

// Adapted returns a network with the same parameters and another adaptation to tasks.
func (n *Net) Adapted(a Adaptation) *Net {
	other := *n
	other.Adapt = a
	return &other
}

// Precision returns the precision of the encoder; see [encoder.Precision].
func (n *Net) Precision() string { return encoder.Precision(n.Encoder) }

// UsesBatchStatistics implements [fewshot.UsesBatchStatistics].
func (n *Net) UsesBatchStatistics() bool { return encoder.UsesBatchStatistics(n.Encoder) }

// On returns a network for tests on an encoder that was trained otherwise, whose blocks are those of its parameters. It has no
// head for pre-training.
func On(e encoder.Encoder, blocks [][]*nn.Param, a Adaptation) *Net {
	return &Net{Encoder: e, Adapt: a, blocks: blocks}
}

// Blocks returns the number of encoder blocks that can be tuned.
func (n *Net) Blocks() int { return len(n.blocks) }

// Blocks groups the trained parameters of an encoder into blocks, from input to output: as it says where it is an
// [encoder.Blocker]. Of others, consecutive parameters are one block if their names, without the dotted prefix that all of them
// share, have the same part before the first dot.
func Blocks(e encoder.Encoder, ps *nn.Params) [][]*nn.Param {
	if own := encoder.Blocks(e); own != nil {
		return own
	}
	var out [][]*nn.Param
	last := ""
	trained := ps.Trained()
	prefix := commonPrefix(trained)
	for i, p := range trained {
		name := firstPart(p.Name[prefix:])
		if i == 0 || name != last {
			out, last = append(out, nil), name
		}
		out[len(out)-1] = append(out[len(out)-1], p)
	}
	return out
}

// Classify returns the pre-training loss on images [n, channels, height, width] with labels [n], and the
// log-probabilities [n, classes] of the training classes.
func (n *Net) Classify(p *nn.Pass, images, labels *tensor.Tensor) (loss, logp *tensor.Tensor) {
	scores := n.classScores(p, images)
	logp = scores.LogSoftmax(-1)
	loss = nn.SmoothedNLL(logp, labels, n.Smoothing)
	if t := n.Teacher; t != nil {
		loss = loss.MulScalar(1 - t.Weight).Add(t.divergence(n, images, scores).MulScalar(t.Weight))
	}
	return loss, logp
}

// classScores returns the scores [n, classes] of the pre-training head.
func (n *Net) classScores(p *nn.Pass, images *tensor.Tensor) *tensor.Tensor {
	return n.head.scores(p, n.Encoder.Forward(p, images).Unsqueeze(0)).Squeeze(0)
}

// Teacher is a trained network of the same kind as the one that is trained: self-distillation, Tian et al. 2020 (RFS), section
// 3.3. The loss is (1-Weight) times the cross-entropy, plus Weight times the divergence of the predictions from the teacher's,
// both at a temperature (Hinton et al. 2015).
type Teacher struct {
	// Params gives the teacher's value for each parameter and buffer of the network.
	Params map[*nn.Param]*nn.Param
	Weight float64
	// Temperature T divides the scores of both; the divergence is multiplied by T².
	Temperature float64
}

// divergence returns T² times the mean Kullback-Leibler divergence of predictions by scores [n, classes] from the teacher's, who
// normalises by its running statistics.
func (t *Teacher) divergence(n *Net, images, scores *tensor.Tensor) *tensor.Tensor {
	pass := &nn.Pass{Norm: nn.RunningStats, With: map[*nn.Param]*tensor.Tensor{}}
	for own, of := range t.Params {
		pass.With[own] = of.Value()
	}
	var logp *tensor.Tensor
	tensor.NoGrad(func() {
		logp = tensor.Eval(func() *tensor.Tensor {
			return n.classScores(pass, images).MulScalar(1 / t.Temperature).LogSoftmax(-1)
		})
	})
	student := scores.MulScalar(1 / t.Temperature).LogSoftmax(-1)
	return logp.Exp().Mul(logp.Sub(student)).Sum(-1).Mean().MulScalar(t.Temperature * t.Temperature)
}

// Encode returns the embeddings of images [n, channels, height, width].
func (n *Net) Encode(p *nn.Pass, images *tensor.Tensor) *tensor.Tensor {
	return n.Encoder.Forward(p, images)
}

// LogProbs implements [fewshot.Network]: it adapts a copy of the network to each task. The result is not differentiable.
func (n *Net) LogProbs(p *nn.Pass, t *fewshot.Task) *tensor.Tensor {
	var out *tensor.Tensor
	tensor.NoGrad(func() {
		if n.Frozen() {
			out = n.FromFeatures(p, t.Embedded(p, n.Encoder))
			return
		}
		var all []*tensor.Tensor
		for i := range t.Support.Dim(0) { // each task tunes its own copy
			all = append(all, tensor.Eval(func() *tensor.Tensor { return n.adapt(p, t.Only(i), n.Encoder) }))
		}
		out = tensor.Cat(0, all...)
	})
	return out
}

// Frozen reports whether the adaptation leaves the encoder as it is; see [fewshot.Features].
func (n *Net) Frozen() bool { return n.Adapt.Blocks == 0 || n.Adapt.means() }

// FromFeatures implements [fewshot.FeatureNetwork], for an adaptation that leaves the encoder as it is.
func (n *Net) FromFeatures(p *nn.Pass, t *fewshot.Task) (logp *tensor.Tensor) {
	tensor.NoGrad(func() {
		if n.Adapt.means() {
			logp = t.Recall(p, memory.NewPrototype(memory.PrototypeConfig{Metric: n.Adapt.measure(), Scale: n.Adapt.scale()}), t.Support, t.Query)
			return
		}
		logp = tensor.Eval(func() *tensor.Tensor { return n.adapt(p, n.Adapt.reduce(t), nil) })
	})
	return logp
}

// Loss implements [fewshot.Learner]: the mean negative log-probability of the true classes after adaptation. It is not
// differentiable: the network is trained by [Net.Classify].
func (n *Net) Loss(p *nn.Pass, t *fewshot.Task) (loss, logp *tensor.Tensor) {
	logp = n.LogProbs(p, t)
	return t.NLL(logp), logp
}

// Transductive reports whether the adaptation lets the queries of a task influence one another.
func (a Adaptation) Transductive() bool { return a.Entropy > 0 && !a.means() }

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

// adapt trains one head per task and returns the queries' log-probabilities [tasks, query, way]. With an encoder e it also
// tunes a copy of its last blocks. If e is nil, the task holds embeddings instead of images.
func (n *Net) adapt(p *nn.Pass, t *fewshot.Task, e encoder.Encoder) *tensor.Tensor {
	b := nn.NewBuilder(0, t.Support.Device())
	defer b.Params().Free()
	a := n.Adapt
	tasks := t.Support.Dim(0)
	var heads, orders []*rand.Rand
	for i := range uint64(tasks) {
		heads, orders = append(heads, stream.New(0, "transfer/head", t.First+i)), append(orders, stream.New(0, "transfer/order", t.First+i))
	}
	width := n.Encoder.Width()
	if e == nil {
		width = t.Support.Dim(2)
	}
	net := &adapted{encoder: e, head: newHead(b, a.Head, a.Scale, heads, t.Way, width), queries: t.Query, entropy: a.Entropy}
	if a.Start == AtMeans {
		net.head.startAtMeans(net.embed(p, t.Support), t.SupportLabels.OneHot(t.Way))
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

// tuned returns the parameters of the encoder's last blocks with their learning rates.
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

// adapted is a head, and optionally an encoder, during adaptation to a support set.
type adapted struct {
	encoder encoder.Encoder // nil if the task holds embeddings
	head    *head
	queries *tensor.Tensor // of which the entropy is part of the loss, unless its weight is 0
	entropy float64
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

// Loss implements [fewshot.Learner]: the sum over the tasks, since each has its own head.
func (a *adapted) Loss(p *nn.Pass, t *fewshot.Task) (loss, logp *tensor.Tensor) {
	logp = a.logProbs(p, t.Query)
	loss = t.NLL(logp).MulScalar(float64(t.Query.Dim(0)))
	if a.entropy > 0 {
		of := a.logProbs(p, a.queries)
		loss = loss.Sub(of.Exp().Mul(of).Sum(-1).Mean(1).Sum().MulScalar(a.entropy))
	}
	return loss, logp
}

var _ fewshot.FeatureNetwork = (*Net)(nil)
