package metric

import (
	"fmt"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// RelationConfig configures [NewRelation]. The defaults are the paper's.
type RelationConfig struct {
	Channels, Height, Width int64 // of the feature maps; keys and queries are these, flattened in this order
	Filters                 int64 // per convolution; default 64
	Hidden                  int64 // units between the two linear layers; default 8
}

// Relation scores by a learned network: Sung et al. 2018, section 3.4 and figure 2. The feature maps of key and query are
// concatenated along the channels, in this order, and pass through two blocks of 3×3 convolution, batch norm, ReLU and 2×2
// max pooling, and two linear layers. A block with an input smaller than 2×2 pixels does not pool; the paper's maps of 5×5
// become 2×2 and 1×1.
//
// The score is the logit of the paper's relation score. It is not symmetric in key and query.
type Relation struct {
	Blocks [2]*nn.ConvBlock
	Hidden *nn.Linear
	Out    *nn.Linear
	config RelationConfig
}

// NewRelation makes a learned relation, initialised as in PyTorch. It panics for empty feature maps.
func NewRelation(b *nn.Builder, c RelationConfig) *Relation {
	if c.Channels < 1 || c.Height < 1 || c.Width < 1 {
		panic(&tensor.Error{Op: "NewRelation", Msg: fmt.Sprintf("feature maps must not be empty, got %d×%d×%d", c.Channels, c.Height, c.Width)})
	}
	if c.Filters == 0 {
		c.Filters = 64
	}
	if c.Hidden == 0 {
		c.Hidden = 8
	}
	r := &Relation{config: c}
	in, h, w := 2*c.Channels, c.Height, c.Width
	for i := range r.Blocks {
		window := int64(1)
		if min(h, w) > 1 {
			window = 2
		}
		r.Blocks[i] = nn.NewConvBlock(b.In(fmt.Sprintf("block%d", i+1)), nn.ConvBlockConfig{In: in, Out: c.Filters, Window: window})
		in, h, w = c.Filters, h/window, w/window
	}
	r.Hidden = nn.NewLinear(b.In("hidden"), c.Filters*h*w, c.Hidden)
	r.Out = nn.NewLinear(b.In("out"), c.Hidden, 1)
	return r
}

// Score implements [Metric]. The first convolution is linear, so it is applied to keys and queries separately, and the results
// are added for every pair. Passes with HigherOrder set compute the reference implementation, the convolution of the
// concatenated maps of every pair.
func (r *Relation) Score(p *nn.Pass, queries, keys *tensor.Tensor) *tensor.Tensor {
	batch, nq, nk := queries.Dim(0), queries.Dim(1), keys.Dim(1)
	var x *tensor.Tensor // [batch·queries·keys, filters, ...]
	if p.HigherOrder {
		x = r.Blocks[0].Forward(p, r.concatenated(queries, keys))
	} else {
		x = r.Blocks[0].AfterConv(p, r.added(p, queries, keys))
	}
	x = r.Blocks[1].Forward(p, x).Flatten(1, -1)
	x = r.Out.Forward(p, r.Hidden.Forward(p, x).ReLU())
	return x.Reshape(batch, nq, nk)
}

// concatenated returns the concatenated maps of all pairs, [batch·queries·keys, 2·channels, height, width].
func (r *Relation) concatenated(queries, keys *tensor.Tensor) *tensor.Tensor {
	c := r.config
	batch, nq, nk := queries.Dim(0), queries.Dim(1), keys.Dim(1)
	all := []int64{batch, nq, nk, c.Channels, c.Height, c.Width}
	k := keys.Reshape(batch, 1, nk, c.Channels, c.Height, c.Width).Expand(all...)
	q := queries.Reshape(batch, nq, 1, c.Channels, c.Height, c.Width).Expand(all...)
	return tensor.Cat(3, k, q).Flatten(0, 2)
}

// added returns the first convolution of all pairs, [batch·queries·keys, filters, height, width] in channels-last layout.
func (r *Relation) added(p *nn.Pass, queries, keys *tensor.Tensor) *tensor.Tensor {
	c := r.config
	conv := r.Blocks[0].Conv
	weight, bias := p.Value(conv.Weight), p.Value(conv.Bias)
	convolved := func(x *tensor.Tensor, from int64, bias *tensor.Tensor) *tensor.Tensor { // [batch, n, height, width, filters]
		maps := x.Reshape(-1, c.Channels, c.Height, c.Width).ChannelsLast()
		y := tensor.Conv2d(maps, weight.Narrow(1, from, c.Channels), bias, 1, 1, 1)
		return y.Permute(0, 2, 3, 1).Reshape(x.Dim(0), x.Dim(1), c.Height, c.Width, c.Filters)
	}
	k, q := convolved(keys, 0, bias), convolved(queries, c.Channels, nil)
	return q.Unsqueeze(2).Add(k.Unsqueeze(1)).Flatten(0, 2).Permute(0, 3, 1, 2)
}

var _ Metric = (*Relation)(nil)
