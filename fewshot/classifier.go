package fewshot

import (
	"errors"
	"fmt"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// Classifier is an encoder and a linear layer on it that tells a fixed number of classes apart: what methods that adapt by
// gradient descent start from.
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

// Fused is a [Classifier] as a tensor.ConvNet, whose gradients take no graph.
type Fused struct {
	tensor.ConvNet
	Params []*nn.Param // in the order of the network's values
}

// Values returns what a pass uses for the parameters, as constants.
func (f *Fused) Values(p *nn.Pass) []*tensor.Tensor {
	out := make([]*tensor.Tensor, len(f.Params))
	for i, param := range f.Params {
		out[i] = p.Value(param).Detach()
	}
	return out
}

// By returns what belongs to the network's values, in their order, by the parameter that it belongs to.
func (f *Fused) By(ts []*tensor.Tensor) map[*nn.Param]*tensor.Tensor {
	out := make(map[*nn.Param]*tensor.Tensor, len(ts))
	for i, t := range ts {
		out[f.Params[i]] = t
	}
	return out
}

// Fused returns the classifier in a form that computes what [Classifier.Classify] and differentiation do in one operation, or nil
// where its encoder, its device or its type has none.
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

// Embed returns the embeddings [n, width] of images [n, channels, height, width] with the batch's own statistics, which move no
// running ones.
func (c *Classifier) Embed(p *nn.Pass, images *tensor.Tensor) *tensor.Tensor {
	own := *p
	own.Norm, own.Training = nn.BatchStats, false
	return c.Encoder.Forward(&own, images)
}

// Tell returns the log-probabilities [n, way] of embeddings [n, width].
func (c *Classifier) Tell(p *nn.Pass, embedded *tensor.Tensor) *tensor.Tensor {
	return c.Head.Forward(p, embedded).LogSoftmax(-1)
}

// Classify returns the log-probabilities [n, way] of images as [Classifier.Embed] embeds them.
func (c *Classifier) Classify(p *nn.Pass, images *tensor.Tensor) *tensor.Tensor {
	return c.Tell(p, c.Embed(p, images))
}

// Ask returns the log-probabilities [1, query, way] of the queries of a single task.
//
// An adapted network has no running statistics. With [nn.BatchStats] the queries are normalised by their own, which is
// transductive: as in the code of Finn et al. 2017. Otherwise each query is normalised by the statistics of itself and the
// support set, and knows nothing of the other queries: Nichol et al. 2018, section 6.1.
func (c *Classifier) Ask(p *nn.Pass, t *Task) *tensor.Tensor {
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

// Fits panics where a task has other than the classifier's number of classes.
func (c *Classifier) Fits(op string, t *Task) {
	if way := c.Head.Bias.Value().Dim(0); t.Way != way {
		panic(&tensor.Error{Op: op, Msg: fmt.Sprintf("a %d-way task for a network that was made for %d classes", t.Way, way)})
	}
}
