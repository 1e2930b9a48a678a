package encoder

import (
	"fmt"
	"slices"
	"strings"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// TorchScriptConfig configures [NewTorchScript].
type TorchScriptConfig struct {
	Path string // of a file written by torch.jit.save
	// Input is the shape of one input without the batch: channels, height and width of an image, or the length of a
	// token sequence.
	Input  []int64
	Tokens bool // inputs are int64 token indices
	// Train trains the module's parameters. Otherwise they and the running statistics are saved with the network but
	// never change.
	Train bool
	// Repeat repeats the channel of a grey image, for modules that need colour; 0 and 1 mean no repetition.
	Repeat int64
	// Mean is subtracted from each channel, which is then divided by Std, after repeating. Nil means no
	// normalisation: values lie between 0 and 1.
	Mean, Std []float64
}

// TorchScript is a module exported from PyTorch by torch.jit.script or torch.jit.trace, such as a ResNet, a
// detector's backbone or a language model. Its parameters and buffers belong to the network, under the names of
// PyTorch's state dict: they are trained, saved, replaced by [nn.Pass.With] and differentiated twice like others. A
// traced module always behaves as when it was traced; script a module that is to be fine-tuned with batch statistics
// or dropout.
type TorchScript struct {
	module                  *tensor.Module
	params                  []*nn.Param
	config                  TorchScriptConfig
	channels, height, width int64
}

// NewTorchScript loads a module and calls it once on zeros. It returns an error if the module does not accept the
// input or its output is not an embedding.
func NewTorchScript(b *nn.Builder, c TorchScriptConfig) (_ *TorchScript, err error) {
	defer tensor.Catch(&err)
	scope := tensor.Enter()
	defer scope.Leave()
	e := &TorchScript{config: c}
	module, ts, err := tensor.LoadModule(c.Path, b.Device())
	if err != nil {
		return nil, fmt.Errorf("encoder: %s is not a TorchScript module that this LibTorch (%s) reads; write it by torch.jit.script(net).save(path): %s",
			c.Path, tensor.Version(), lastLine(err))
	}
	e.module = module
	in := slices.Clone(c.Input)
	if c.Repeat > 1 {
		if in[0] != 1 {
			return nil, fmt.Errorf("encoder: %s: images of %d channels are not grey and cannot be repeated; leave out repeat", c.Path, in[0])
		}
		in[0] = c.Repeat
	}
	for _, list := range []struct {
		name   string
		values []float64
	}{{"mean", c.Mean}, {"std", c.Std}} {
		if n := len(list.values); n > 0 && int64(n) != in[0] {
			return nil, fmt.Errorf("encoder: %s: %s has %d values for %d channels; give one per channel", c.Path, list.name, n, in[0])
		}
		if list.name == "std" && slices.Contains(list.values, 0) {
			return nil, fmt.Errorf("encoder: %s: std must not contain 0", c.Path)
		}
	}
	for _, t := range ts {
		trained := t.Parameter && c.Train
		if d := t.DType(); trained && d != tensor.Float32 {
			return nil, fmt.Errorf("encoder: %s: %s is %v, but parameters must be float32; export net.float()", c.Path, t.Name, d)
		}
		e.params = append(e.params, b.FromTensor(t.Name, t.Tensor, trained))
	}
	return e, e.probe(b.Device(), in)
}

// probe calls the module on two inputs to determine the shape of its output.
func (e *TorchScript) probe(on tensor.Device, in []int64) error {
	x := tensor.Zeros(append([]int64{2}, e.config.Input...)...).On(on)
	if e.config.Tokens {
		x = x.To(tensor.Int64)
	}
	input := fmt.Sprintf("an input of shape %v", append([]int64{2}, in...))
	var y *tensor.Tensor
	err := tensor.Do(func() error {
		tensor.NoGrad(func() { y = e.forward(&nn.Pass{Norm: nn.RunningStats}, x).Own() })
		return nil
	})
	if err != nil {
		return fmt.Errorf("encoder: %s does not map %s to a tensor: %s", e.config.Path, input, lastLine(err))
	}
	defer y.Free()
	shape := y.Shape()
	switch {
	case len(shape) > 0 && shape[0] != 2:
		return fmt.Errorf("encoder: %s maps %s to %v: the batch dimension must not change", e.config.Path, input, shape)
	case len(shape) != 2 && len(shape) != 4:
		return fmt.Errorf("encoder: %s maps %s to %v: an embedding is [batch, width] or [batch, channels, height, width]; export a module that pools the rest",
			e.config.Path, input, shape)
	case y.DType() != tensor.Float32:
		return fmt.Errorf("encoder: %s returns %v, but embeddings must be float32; export net.float()", e.config.Path, y.DType())
	}
	e.channels, e.height, e.width = shape[1], 1, 1
	if len(shape) == 4 {
		e.height, e.width = shape[2], shape[3]
	}
	if e.Width() < 1 {
		return fmt.Errorf("encoder: %s maps %s to %v, which is empty", e.config.Path, input, shape)
	}
	return nil
}

// lastLine returns the essential line of LibTorch's trace of a failure inside a module.
func lastLine(err error) string {
	lines := strings.Split(strings.TrimSpace(err.Error()), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		if text, ok := strings.CutPrefix(strings.TrimSpace(lines[i]), "RuntimeError: "); ok {
			return text
		}
	}
	return strings.TrimSpace(lines[0])
}

// Width implements [Encoder].
func (e *TorchScript) Width() int64 { return e.channels * e.height * e.width }

// Maps implements [Mapper].
func (e *TorchScript) Maps() (channels, height, width int64) { return e.channels, e.height, e.width }

// Forward maps inputs [n, Input...] to embeddings [n, Width]. A module that is not trained always runs in evaluation
// mode.
func (e *TorchScript) Forward(p *nn.Pass, x *tensor.Tensor) *tensor.Tensor {
	return e.forward(p, x).Flatten(1, -1)
}

func (e *TorchScript) forward(p *nn.Pass, x *tensor.Tensor) *tensor.Tensor {
	if e.config.Repeat > 1 {
		shape := slices.Clone(x.Shape())
		shape[1] = e.config.Repeat
		x = x.Expand(shape...)
	}
	channelwise := func(values []float64) *tensor.Tensor {
		v := make([]float32, len(values))
		for i := range values {
			v[i] = float32(values[i])
		}
		return tensor.New(v, 1, int64(len(v)), 1, 1).On(x.Device())
	}
	if len(e.config.Mean) > 0 {
		x = x.Sub(channelwise(e.config.Mean))
	}
	if len(e.config.Std) > 0 {
		x = x.Div(channelwise(e.config.Std))
	}
	call := tensor.ModuleCall{Training: e.config.Train && p.Training, BatchStats: e.config.Train && p.Norm == nn.BatchStats}
	tensors := make([]*tensor.Tensor, len(e.params))
	for i, param := range e.params {
		tensors[i] = p.Value(param)
		if param.Buffer && call.BatchStats && !p.Training { // an evaluation updates nothing
			tensors[i] = tensors[i].Clone().To(tensors[i].DType())
		}
	}
	if call.Training {
		call = call.Seeded(p.Rand)
	}
	return e.module.Forward(x, tensors, call)
}

var _ Mapper = (*TorchScript)(nil)
