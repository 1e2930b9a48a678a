package fewshot

import (
	"errors"
	"fmt"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// Classifier is an encoder with a linear head for a fixed number of classes: the network that gradient-based methods adapt.
type Classifier struct {
	Encoder encoder.Encoder
	Head    *nn.Linear
}

// CheckAdaptable returns an error for an encoder that inner steps of gradient descent cannot adapt as it is configured:
// they run in passes without Training set, so that no running statistics move, and would silently skip its dropout.
func CheckAdaptable(e encoder.Encoder) error {
	if encoder.HasDropout(e) {
		return errors.New("fewshot: the encoder has dropout, which inner steps of gradient descent on a task do not apply; use an encoder without dropout (drop: 0)")
	}
	return nil
}

// NewClassifier makes the linear layer, named head, for a number of classes. It panics where [CheckAdaptable] refuses the
// encoder.
func NewClassifier(b *nn.Builder, e encoder.Encoder, way int64) *Classifier {
	if err := CheckAdaptable(e); err != nil {
		panic(&tensor.Error{Op: "NewClassifier", Msg: err.Error()})
	}
	return &Classifier{e, nn.NewLinear(b.In("head"), e.Width(), way)}
}

// Fused is a [Classifier] in the form of a [tensor.ConvNet], which computes gradients without an autograd graph.
type Fused struct {
	tensor.ConvNet
	Params []*nn.Param // in the order in which the operations take their values
}

// Values returns the values of the parameters in a pass, detached.
func (f *Fused) Values(p *nn.Pass) []*tensor.Tensor {
	out := make([]*tensor.Tensor, len(f.Params))
	for i, param := range f.Params {
		out[i] = p.Value(param).Detach()
	}
	return out
}

// ByParam returns a map from each parameter to the element of ts at its position in f.Params.
func (f *Fused) ByParam(ts []*tensor.Tensor) map[*nn.Param]*tensor.Tensor {
	out := make(map[*nn.Param]*tensor.Tensor, len(ts))
	for i, t := range ts {
		out[f.Params[i]] = t
	}
	return out
}

// Fused returns the classifier in the form of fused operations, whose reference implementation is [Classifier.Classify] and
// automatic differentiation. It returns nil where they do not support its encoder, device or type.
func (c *Classifier) Fused(p *nn.Pass, images *tensor.Tensor) *Fused {
	e, ok := c.Encoder.(interface {
		ConvNet() (tensor.ConvNet, []*nn.Param, bool)
	})
	if !ok {
		return nil
	}
	net, params, ok := e.ConvNet()
	f := &Fused{net, append(params, c.Head.Weight, c.Head.Bias)}
	if !ok || !f.Fits(f.Values(p), images) {
		return nil
	}
	return f
}

// Embed returns the embeddings [n, width] of images [n, channels, height, width] under batch statistics. It leaves running
// statistics unchanged.
func (c *Classifier) Embed(p *nn.Pass, images *tensor.Tensor) *tensor.Tensor {
	inner := *p
	inner.Norm, inner.Training = nn.BatchStats, false
	return c.Encoder.Forward(&inner, images)
}

// HeadLogProbs returns the head's log-probabilities [n, way] for embeddings [n, width].
func (c *Classifier) HeadLogProbs(p *nn.Pass, embedded *tensor.Tensor) *tensor.Tensor {
	return c.Head.Forward(p, embedded).LogSoftmax(-1)
}

// Classify returns the log-probabilities [n, way] of images [n, channels, height, width], embedded by [Classifier.Embed].
func (c *Classifier) Classify(p *nn.Pass, images *tensor.Tensor) *tensor.Tensor {
	return c.HeadLogProbs(p, c.Embed(p, images))
}

// QueryLogProbs returns the log-probabilities [1, query, way] of the queries of a single task.
//
// An adapted network has no running statistics. Under [nn.BatchStats] the queries are normalised by the statistics of all
// queries, which is transductive, as in the code of Finn et al. 2017. Otherwise each query is normalised by the statistics
// of the support set and that query, independently of the other queries: Nichol et al. 2018, section 6.1.
func (c *Classifier) QueryLogProbs(p *nn.Pass, t *Task) *tensor.Tensor {
	query := t.Query.Flatten(0, 1)
	if p.Norm == nn.BatchStats {
		return c.Classify(p, query).Unsqueeze(0)
	}
	support := t.Support.Flatten(0, 1)
	n := query.Dim(0)
	alone := make([]*tensor.Tensor, n)
	for i := range n {
		alone[i] = tensor.Eval(func() *tensor.Tensor {
			return c.Classify(p, tensor.Cat(0, query.Narrow(0, i, 1), support)).Narrow(0, 0, 1)
		})
	}
	return tensor.Cat(0, alone...).Unsqueeze(0)
}

// CheckWay panics if a task does not have the classifier's number of classes. op is the caller's name for the message.
func (c *Classifier) CheckWay(op string, t *Task) {
	if way := c.Head.Bias.Value().Dim(0); t.Way != way {
		panic(&tensor.Error{Op: op, Msg: fmt.Sprintf("the task has %d classes, the network has a head for %d", t.Way, way)})
	}
}
