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
// or dropout. A module that changes its input in place gets a copy of it.
type TorchScript struct {
	module                  *tensor.Module
	params                  []*nn.Param
	config                  TorchScriptConfig
	device                  tensor.Device
	channels, height, width int64
}

// NewTorchScript loads a module and calls it on a few inputs. It returns an error, which says how to export the module, if the
// module does not accept the input, if its output is not an embedding, or if an embedding in evaluation depends on the other
// inputs of the batch, on random numbers or on earlier calls, as those of a module traced in training mode do; and with Train
// if nothing in it can be trained.
func NewTorchScript(b *nn.Builder, c TorchScriptConfig) (_ *TorchScript, err error) {
	defer tensor.Catch(&err)
	scope := tensor.Enter()
	defer scope.Leave()
	e := &TorchScript{config: c, device: b.Device()}
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
	if c.Train && !slices.ContainsFunc(ts, func(t tensor.ModuleTensor) bool { return t.Parameter }) {
		return nil, fmt.Errorf("encoder: %s has no parameters to train: torch.jit.freeze makes constants of them; export the module without freezing it, or leave out train", c.Path)
	}
	if err := e.probeShape(in); err != nil {
		return nil, err
	}
	if err := e.probeEvaluation(); err != nil {
		return nil, err
	}
	return e, e.probeGradient()
}

// probeShape calls the module on two inputs to determine the shape of its output.
func (e *TorchScript) probeShape(in []int64) error {
	x := e.probeInput(2)
	input := fmt.Sprintf("an input of shape %v", append([]int64{2}, in...))
	var y *tensor.Tensor
	err := tensor.Do(func() error {
		tensor.NoGrad(func() { y = e.forward(e.onCopies(&nn.Pass{Norm: nn.RunningStats}), x).Own() })
		return nil
	})
	if err != nil {
		text := lastLine(err)
		if d := e.otherType(); d != "" || strings.Contains(text, "float16") {
			text += "; its parameters are not of float32, which images are: export net.float()"
		}
		return fmt.Errorf("encoder: %s does not map %s to a tensor: %s", e.config.Path, input, text)
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

// otherType returns the type of a parameter or buffer of floating point that is not float32, and "" where there is none.
func (e *TorchScript) otherType() string {
	for _, p := range e.params {
		switch name := p.Value().DType().String(); name {
		case "float16", "bfloat16", "float64":
			return name
		}
	}
	return ""
}

// probeEvaluation refuses a module whose embeddings are not functions of their inputs alone.
func (e *TorchScript) probeEvaluation() error {
	const remedy = "; call net.eval() before torch.jit.trace or torch.jit.script exports it"
	x := e.probeInput(3)
	embed := func(other int64) *tensor.Tensor {
		pair := tensor.Cat(0, x.Narrow(0, 0, 1), x.Narrow(0, other, 1))
		return e.Forward(e.onCopies(&nn.Pass{Norm: nn.RunningStats}), pair).Narrow(0, 0, 1)
	}
	if e.differs(func() (a, b *tensor.Tensor) { return embed(1), embed(1) }) {
		return fmt.Errorf("encoder: %s embeds the same input differently at each call: it draws random numbers, as dropout does in a module that was traced in training mode%s", e.config.Path, remedy)
	}
	if e.differs(func() (a, b *tensor.Tensor) { return embed(1), embed(2) }) {
		return fmt.Errorf("encoder: %s embeds an input differently beside other inputs: its batch norm takes the statistics of the batch, as it does in a module that was traced in training mode or that keeps no running statistics%s", e.config.Path, remedy)
	}
	changed, err := "", error(nil)
	err = tensor.Do(func() error {
		tensor.NoGrad(func() {
			p := e.onCopies(&nn.Pass{Norm: nn.RunningStats})
			e.Forward(p, x)
			for _, param := range e.params {
				if p.With[param].To(tensor.Float32).Sub(param.Value().To(tensor.Float32)).Abs().Sum().Float() > 0 {
					changed = param.Name
					return
				}
			}
		})
		return nil
	})
	if err == nil && changed != "" {
		return fmt.Errorf("encoder: %s changes its own %s whenever it embeds, so that embeddings depend on earlier calls%s", e.config.Path, changed, remedy)
	}
	return nil
}

// probeGradient refuses a module that is to be trained and gives no parameter a gradient.
func (e *TorchScript) probeGradient() error {
	if !e.config.Train {
		return nil
	}
	var values []*tensor.Tensor
	for _, p := range e.params {
		if !p.Buffer {
			values = append(values, p.Value())
		}
	}
	reached := false
	err := tensor.Do(func() error {
		tensor.WithGrad(func() {
			p := &nn.Pass{Norm: nn.RunningStats}
			y := e.Forward(p, e.probeInput(2))
			reached = y.RequiresGrad() && slices.ContainsFunc(tensor.Grad(y.Square().Sum(), values...), func(g *tensor.Tensor) bool { return g != nil })
		})
		return nil
	})
	if err != nil {
		return fmt.Errorf("encoder: %s cannot be differentiated: %s; leave out train, or export a module that can", e.config.Path, lastLine(err))
	}
	if !reached {
		return fmt.Errorf("encoder: %s gives none of its parameters a gradient: its forward runs under torch.no_grad or detaches its output; export it without that, or leave out train", e.config.Path)
	}
	return nil
}

// lastLine returns the essential line of LibTorch's trace of a failure inside a module.
func lastLine(err error) string {
	return strings.NewReplacer("c10::Half", "float16", "c10::BFloat16", "bfloat16").Replace(lastOf(err))
}

func lastOf(err error) string {
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
	if len(e.config.Mean)+len(e.config.Std) == 0 { // a module may change its input in place
		x = x.Clone().To(x.DType())
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
