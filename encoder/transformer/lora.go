package transformer

import (
	"fmt"
	"slices"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// Layer names a linear layer of a transformer's layers.
type Layer string

// The linear layers.
const (
	Query Layer = "query"
	Key   Layer = "key"
	Value Layer = "value"
	Out   Layer = "out"  // after attention
	Up    Layer = "up"   // the first of the multilayer perceptron
	Down  Layer = "down" // the second
)

// Layers lists the linear layers.
func Layers() []Layer { return []Layer{Query, Key, Value, Out, Up, Down} }

// LoRA are low-rank adapters: Hu et al. 2022, eq. 3. A linear layer W computes W·x + Alpha/Rank·B·A·x, with A [rank, in] and
// B [out, rank], which begins at zero. Only A and B are trained. The zero value has no adapters.
type LoRA struct {
	Rank  int64
	Alpha float64 // default: Rank, so that the factor is 1
	// Dropout is the chance that a value of x is zeroed before A, in training.
	Dropout float64
	// On are the layers with adapters; default [Query] and [Value], those of the paper's section 4.2.
	On []Layer
}

func (l LoRA) check() error {
	if l.Rank == 0 {
		if l.Alpha != 0 || l.Dropout != 0 || len(l.On) > 0 {
			return fmt.Errorf("transformer: adapters (LoRA) without a rank; give one of at least 1")
		}
		return nil
	}
	if l.Rank < 0 || l.Alpha < 0 {
		return fmt.Errorf("transformer: adapters (LoRA) of rank %d with alpha %g: neither may be negative", l.Rank, l.Alpha)
	}
	if l.Dropout < 0 || l.Dropout >= 1 {
		return fmt.Errorf("transformer: adapters (LoRA) with dropout %g: it must be at least 0 and below 1", l.Dropout)
	}
	for _, on := range l.On {
		if !slices.Contains(Layers(), on) {
			return fmt.Errorf("transformer: no layer %q for an adapter (LoRA); there are %q", on, Layers())
		}
	}
	return nil
}

// adapter makes the adapter of a part of a linear layer, or returns nil where it has none.
func (l LoRA) adapter(b *nn.Builder, of Layer, prefix string, in, out int64) *adapter {
	on := l.On
	if len(on) == 0 {
		on = []Layer{Query, Value}
	}
	if l.Rank == 0 || !slices.Contains(on, of) {
		return nil
	}
	alpha := l.Alpha
	if alpha == 0 {
		alpha = float64(l.Rank)
	}
	return &adapter{
		a:     b.Param(prefix+"lora_A", nn.FanInUniform, l.Rank, in),
		b:     b.Param(prefix+"lora_B", nn.Constant(0), out, l.Rank),
		scale: alpha / float64(l.Rank), dropout: l.Dropout,
	}
}

type adapter struct {
	a, b           *nn.Param // [rank, in], [out, rank]
	scale, dropout float64
}

// forward maps x [..., in] to [..., out].
func (a *adapter) forward(p *nn.Pass, x *tensor.Tensor) *tensor.Tensor {
	low := tensor.Linear(nn.Dropout(p, x, a.dropout), p.Value(a.a), nil)
	return tensor.Linear(low, p.Value(a.b), nil).MulScalar(a.scale)
}

// linear is a linear layer whose output has one part, or several of the same width with their own adapters.
type linear struct {
	weight, bias *nn.Param  // [out, in], [out]
	adapters     []*adapter // one for each part, nil for none
}

// forward maps x [..., in] to [..., out] for a layer of one part.
func (l *linear) forward(p *nn.Pass, x *tensor.Tensor) *tensor.Tensor { return l.parts(p, x)[0] }

// parts returns the parts of the output for x [..., in]. In training passes the adapters are branches of their own, as in the
// paper's figure 1, because their products with the few rows of A and B take less time than a gradient of the whole weight.
// In other passes they are added to the weight first (section 4.1: no additional latency).
func (l *linear) parts(p *nn.Pass, x *tensor.Tensor) []*tensor.Tensor {
	w, bias := l.values(p)
	y := tensor.Linear(x, w, bias)
	if len(l.adapters) < 2 {
		if p.Training && len(l.adapters) == 1 && l.adapters[0] != nil {
			y = y.Add(l.adapters[0].forward(p, x))
		}
		return []*tensor.Tensor{y}
	}
	parts := y.Split(-1, len(l.adapters))
	for i, a := range l.adapters {
		if p.Training && a != nil {
			parts[i] = parts[i].Add(a.forward(p, x))
		}
	}
	return parts
}

// joined returns the parts of the outputs of layers that have the same input, by one product with all their weights where no adapter
// is trained.
func joined(p *nn.Pass, x *tensor.Tensor, layers []*linear) (parts []*tensor.Tensor) {
	if len(layers) == 1 || p.Training && slices.ContainsFunc(layers, (*linear).adapted) {
		for _, l := range layers {
			parts = append(parts, l.parts(p, x)...)
		}
		return parts
	}
	var ws, biases []*tensor.Tensor
	for _, l := range layers {
		w, bias := l.values(p)
		ws, biases = append(ws, w), append(biases, bias)
	}
	return tensor.Linear(x, tensor.Cat(0, ws...), tensor.Cat(0, biases...)).Split(-1, len(layers))
}

// adapted reports whether a part of the layer has an adapter.
func (l *linear) adapted() bool {
	return slices.ContainsFunc(l.adapters, func(a *adapter) bool { return a != nil })
}

// values returns the weight, with the adapters added to it in passes that do not train, and the bias.
func (l *linear) values(p *nn.Pass) (w, bias *tensor.Tensor) {
	w = p.Value(l.weight)
	if !p.Training {
		w = l.merged(p, w)
	}
	return w, p.Value(l.bias)
}

// gelu is the GELU of the output.
func (l *linear) gelu(p *nn.Pass, x *tensor.Tensor) *tensor.Tensor {
	if p.Training {
		return l.forward(p, x).GELU()
	}
	w, bias := l.values(p)
	return tensor.LinearGELU(x, w, bias)
}

// normalized is the layer norm of the output added to a residual, with dropout in training.
func (l *linear) normalized(p *nn.Pass, x, residual *tensor.Tensor, norm *nn.LayerNorm, dropout float64) *tensor.Tensor {
	if p.Training {
		return norm.Forward(p, residual.Add(nn.Dropout(p, l.forward(p, x), dropout)))
	}
	w, bias := l.values(p)
	return norm.After(p, residual, tensor.Linear(x, w, nil), bias)
}

// merged returns the weight w with the products of the adapters added to it.
func (l *linear) merged(p *nn.Pass, w *tensor.Tensor) *tensor.Tensor {
	if !l.adapted() {
		return w
	}
	rows := w.Dim(0) / int64(len(l.adapters))
	parts := make([]*tensor.Tensor, len(l.adapters))
	for i, a := range l.adapters {
		if a == nil {
			parts[i] = w.Narrow(0, int64(i)*rows, rows)
			continue
		}
		parts[i] = w.Narrow(0, int64(i)*rows, rows).Add(p.Value(a.b).MatMul(p.Value(a.a)).MulScalar(a.scale))
	}
	return tensor.Cat(0, parts...)
}
