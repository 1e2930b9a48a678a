package nn

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/engram-go/engram/tensor"
)

// An Optimizer updates parameters by their gradients. Its state is saved and loaded like parameters.
type Optimizer interface {
	// Step updates each parameter by its gradient, in the order of [Params.Trained]; a nil gradient leaves its
	// parameter and state unchanged. If a gradient's shape or type does not match its parameter's, it panics and
	// updates nothing.
	Step(grads []*tensor.Tensor, lr float64)
	// State returns the state to save.
	State() []Named
	// Load copies a saved state. It returns an error and changes nothing if names or shapes do not match.
	Load(state *State) error
	// Free releases the state's tensors.
	Free()
}

// optimizerState is per-parameter tensors, each list in the order of the parameters, and the step count.
type optimizerState struct {
	params []*Param
	names  []string
	lists  map[string][]*tensor.Tensor
	step   *tensor.Tensor // [1], int64
	steps  int64
}

func newOptimizerState(ps *Params, names ...string) *optimizerState {
	s := &optimizerState{params: ps.Trained(), names: names, lists: map[string][]*tensor.Tensor{}}
	scope := tensor.Enter()
	defer scope.Leave()
	for _, name := range names {
		for _, p := range s.params {
			s.lists[name] = append(s.lists[name], p.value.Detach().ZerosLike().Own())
		}
	}
	s.step = tensor.New([]int64{0}, 1).Own()
	return s
}

// advance counts a step. It panics if the gradients do not match the parameters.
func (s *optimizerState) advance(grads []*tensor.Tensor) int64 {
	if len(grads) != len(s.params) {
		panic(&tensor.Error{Op: "Step", Msg: fmt.Sprintf("got %d gradients for %d parameters", len(grads), len(s.params))})
	}
	for i, g := range grads {
		if g == nil {
			continue
		}
		p := s.params[i]
		if !tensor.SameShape(g, p.value) || g.DType() != p.value.DType() {
			panic(&tensor.Error{Op: "Step", Shapes: [][]int64{p.value.Shape(), g.Shape()}, Msg: fmt.Sprintf(
				"the gradient is %v, but %s is %v", g.DType(), p.Name, p.value.DType())})
		}
	}
	s.steps++
	s.step.Set(binary.NativeEndian.AppendUint64(nil, uint64(s.steps)))
	return s.steps
}

func (s *optimizerState) values() []*tensor.Tensor {
	out := make([]*tensor.Tensor, len(s.params))
	for i, p := range s.params {
		out[i] = p.value
	}
	return out
}

// State implements [Optimizer].
func (s *optimizerState) State() []Named {
	out := []Named{{"step", s.step}}
	for _, name := range s.names {
		for i, p := range s.params {
			out = append(out, Named{name + "." + p.Name, s.lists[name][i]})
		}
	}
	return out
}

// Load implements [Optimizer].
func (s *optimizerState) Load(state *State) error {
	if err := state.CopyInto(s.State()); err != nil {
		return err
	}
	scope := tensor.Enter()
	defer scope.Leave()
	s.steps = tensor.Values[int64](s.step)[0]
	return nil
}

// Free implements [Optimizer].
func (s *optimizerState) Free() {
	s.step.Free()
	for _, list := range s.lists {
		for _, t := range list {
			t.Free()
		}
	}
}

// each calls f for every parameter that has a gradient, without recording.
func (s *optimizerState) each(grads []*tensor.Tensor, f func(i int, p, g *tensor.Tensor)) {
	scope := tensor.Enter()
	defer scope.Leave()
	tensor.NoGrad(func() {
		for i, p := range s.params {
			if grads[i] != nil {
				f(i, p.value, grads[i])
			}
		}
	})
}

// The parameters that weight decay acts on.
const (
	// DecayAll is the default, and PyTorch's.
	DecayAll = "all"
	// DecayWeights leaves out the parameters with fewer than two dimensions: biases, gains of norms and learned scales.
	DecayWeights = "weights"
)

// decays reports whether a parameter of a tensor decays.
func decays(on string, t *tensor.Tensor) bool { return on != DecayWeights || t.Rank() > 1 }

// byDecay calls step for all gradients with the decay, or, where it does not act on all parameters, for those that decay and for
// the others without; a nil gradient leaves its parameter as it is.
func byDecay(decay float64, on string, values, grads []*tensor.Tensor, step func(grads []*tensor.Tensor, decay float64)) {
	if decay == 0 || on != DecayWeights {
		step(grads, decay)
		return
	}
	decaying, others := make([]*tensor.Tensor, len(grads)), make([]*tensor.Tensor, len(grads))
	for i, g := range grads {
		if decays(on, values[i]) {
			decaying[i] = g
		} else {
			others[i] = g
		}
	}
	step(decaying, decay)
	step(others, 0)
}

// AdamConfig configures [NewAdam]. Start from [DefaultAdam]; zero is not replaced by a default.
type AdamConfig struct {
	Rate  float64 `yaml:"rate" above:"0" doc:"learning rate"`
	Beta1 float64 `yaml:"beta1" min:"0" below:"1" doc:"decay of the mean gradient"`
	Beta2 float64 `yaml:"beta2" min:"0" below:"1" doc:"decay of the mean squared gradient"`
	Eps   float64 `yaml:"eps" above:"0" doc:"added to the root of the mean squared gradient"`
	Decay float64 `yaml:"decay" min:"0" doc:"weight decay: on the gradient (adam) or on the weights (adamw)"`
	// DecayOn is [DecayAll], also where it is empty, or [DecayWeights].
	DecayOn string `yaml:"decay_on" enum:"all,weights" doc:"all parameters, or all but biases, gains of norms and learned scales"`
	// Decoupled subtracts the decay from the weights instead of adding it to the gradient: AdamW.
	Decoupled bool `yaml:"-"`
}

// DefaultAdam returns the settings of Kingma and Ba 2015, which are PyTorch's too.
func DefaultAdam() AdamConfig {
	return AdamConfig{Rate: 1e-3, Beta1: .9, Beta2: .999, Eps: 1e-8, DecayOn: DecayAll}
}

// Adam is Kingma and Ba 2015, algorithm 1; with Decoupled it is AdamW, Loshchilov and Hutter 2019, algorithm 2.
type Adam struct {
	*optimizerState
	config AdamConfig
}

// NewAdam makes Adam for the trained parameters. It panics if Eps is not above zero.
func NewAdam(ps *Params, c AdamConfig) *Adam {
	needEps("NewAdam", c.Eps)
	return &Adam{newOptimizerState(ps, "m", "v"), c}
}

// Step implements [Optimizer].
func (a *Adam) Step(grads []*tensor.Tensor, lr float64) {
	c, step := a.config, a.advance(grads)
	values := a.values()
	byDecay(c.Decay, c.DecayOn, values, grads, func(grads []*tensor.Tensor, decay float64) {
		tensor.Adam(values, grads, a.lists["m"], a.lists["v"], lr, c.Beta1, c.Beta2, c.Eps, decay, c.Decoupled, step)
	})
}

// needEps panics for settings that divide by zero.
func needEps(op string, eps float64) {
	if eps <= 0 {
		panic(&tensor.Error{Op: op, Msg: fmt.Sprintf("eps must be above 0, got %g; start from the default settings", eps)})
	}
}

// Forms of RMSProp.
const (
	// RMSPropGraves centres the variance and puts Eps under the root.
	RMSPropGraves = "graves"
	// RMSPropPlain does not centre the variance and puts Eps outside the root, as PyTorch does by default.
	RMSPropPlain = "plain"
)

// RMSPropConfig configures [NewRMSProp]. Start from [DefaultRMSProp]; zero is not replaced by a default.
type RMSPropConfig struct {
	Rate     float64 `yaml:"rate" above:"0" doc:"learning rate"`
	Alpha    float64 `yaml:"alpha" min:"0" below:"1" doc:"decay of the mean squared gradient"`
	Momentum float64 `yaml:"momentum" min:"0" below:"1"`
	Eps      float64 `yaml:"eps" above:"0"`
	Form     string  `yaml:"form" enum:"graves,plain" doc:"graves: centred, eps under the root; plain: PyTorch's default"`
}

// DefaultRMSProp returns the settings of Graves 2013, with the learning rate of the NTM paper.
func DefaultRMSProp() RMSPropConfig {
	return RMSPropConfig{Rate: 1e-4, Alpha: .95, Momentum: .9, Eps: 1e-4, Form: RMSPropGraves}
}

// RMSProp is the form of Graves 2013 (Generating Sequences With Recurrent Neural Networks), eqs. 38 to 41: the
// running variance is centred, and Eps is under the root. PyTorch's centred form adds it outside.
//
//	n ← α·n + (1-α)·ε²;  g ← α·g + (1-α)·ε;  Δ ← β·Δ - lr·ε/√(n - g² + eps);  w ← w + Δ
type RMSProp struct {
	*optimizerState
	config RMSPropConfig
}

// NewRMSProp makes RMSProp for the trained parameters. It panics if Eps is not above zero.
func NewRMSProp(ps *Params, c RMSPropConfig) *RMSProp {
	needEps("NewRMSProp", c.Eps)
	return &RMSProp{newOptimizerState(ps, "n", "g", "delta"), c}
}

// Step implements [Optimizer].
func (r *RMSProp) Step(grads []*tensor.Tensor, lr float64) {
	r.advance(grads)
	c := r.config
	r.each(grads, func(i int, p, grad *tensor.Tensor) {
		n, g, delta := r.lists["n"][i], r.lists["g"][i], r.lists["delta"][i]
		n.Assign(n.MulScalar(c.Alpha).Add(grad.Square().MulScalar(1 - c.Alpha)))
		var scale *tensor.Tensor
		if c.Form == RMSPropPlain {
			scale = n.Sqrt().AddScalar(c.Eps)
		} else {
			g.Assign(g.MulScalar(c.Alpha).Add(grad.MulScalar(1 - c.Alpha)))
			scale = n.Sub(g.Square()).ClampMin(0).AddScalar(c.Eps).Sqrt()
		}
		delta.Assign(delta.MulScalar(c.Momentum).Sub(grad.Div(scale).MulScalar(lr)))
		p.Assign(p.Add(delta))
	})
}

// SGDConfig configures [NewSGD]. The zero value is plain gradient descent.
type SGDConfig struct {
	Rate     float64 `yaml:"rate" above:"0" doc:"learning rate"`
	Momentum float64 `yaml:"momentum" min:"0" below:"1"`
	Decay    float64 `yaml:"decay" min:"0" doc:"weight decay, added to the gradient"`
	DecayOn  string  `yaml:"decay_on" enum:"all,weights" doc:"all parameters, or all but biases, gains of norms and learned scales"`
	Nesterov bool    `yaml:"nesterov"`
}

// DefaultSGD returns gradient descent without momentum at a rate of 0.01.
func DefaultSGD() SGDConfig { return SGDConfig{Rate: 1e-2, DecayOn: DecayAll} }

// SGD is gradient descent with momentum in PyTorch's form, v ← μ·v + g; w ← w - lr·v, which differs from Sutskever et al.
// 2013 in that the rate is not part of v.
type SGD struct {
	*optimizerState
	config SGDConfig
}

// NewSGD makes gradient descent for the trained parameters.
func NewSGD(ps *Params, c SGDConfig) *SGD { return &SGD{newOptimizerState(ps, "v"), c} }

// Step implements [Optimizer].
func (o *SGD) Step(grads []*tensor.Tensor, lr float64) {
	o.advance(grads)
	c, values := o.config, o.values()
	byDecay(c.Decay, c.DecayOn, values, grads, func(grads []*tensor.Tensor, decay float64) {
		tensor.SGD(values, grads, o.lists["v"], lr, c.Momentum, decay, c.Nesterov)
	})
}

var (
	_ Optimizer = (*Adam)(nil)
	_ Optimizer = (*RMSProp)(nil)
	_ Optimizer = (*SGD)(nil)
	_ Optimizer = (*Averager)(nil)
)

// ClipByValue returns the gradients with every element clipped to ±limit, as Graves 2013 does. Nil stays nil.
func ClipByValue(grads []*tensor.Tensor, limit float64) []*tensor.Tensor {
	out := make([]*tensor.Tensor, len(grads))
	for i, g := range grads {
		if g != nil {
			out[i] = g.Clamp(-limit, limit)
		}
	}
	return out
}

// GlobalNorm returns the Euclidean norm of all gradients taken as one vector.
func GlobalNorm(grads []*tensor.Tensor) float64 {
	var sum float64
	for _, square := range squares(grads) {
		sum += square
	}
	return math.Sqrt(sum)
}

// DeviceNorm is [GlobalNorm] as a scalar of float64 on the gradients' device: nothing waits for it. There must be a gradient.
func DeviceNorm(grads []*tensor.Tensor) *tensor.Tensor {
	return tensor.Stack(0, squaresOf(grads)...).Sum().Sqrt()
}

// squares returns the sum of squares of each gradient that is not nil. It reads the device once.
func squares(grads []*tensor.Tensor) []float64 {
	scope := tensor.Enter()
	defer scope.Leave()
	sums := squaresOf(grads)
	if len(sums) == 0 {
		return nil
	}
	return tensor.Stack(0, sums...).Floats()
}

// squaresOf returns the sum of squares of each gradient that is not nil, as scalars.
func squaresOf(grads []*tensor.Tensor) []*tensor.Tensor {
	var sums []*tensor.Tensor
	for _, g := range grads {
		if g != nil {
			// In float64: float32 overflows on the squares of just those gradients that need clipping.
			sums = append(sums, g.Detach().To(tensor.Float64).Square().Sum())
		}
	}
	return sums
}

// ClipByNorm returns the gradients scaled so that their global norm is at most limit: Pascanu et al. 2013, algorithm
// 1. Gradients with a non-finite norm are returned unchanged, for the caller to detect.
func ClipByNorm(grads []*tensor.Tensor, limit float64) []*tensor.Tensor {
	return ClipNorm(grads, GlobalNorm(grads), limit)
}

// ClipByDeviceNorm is [ClipByNorm] without reading the device. The gradients are multiplied by 1 where the norm is within the limit,
// and are not finite where the norm is not.
func ClipByDeviceNorm(grads []*tensor.Tensor, limit float64) []*tensor.Tensor {
	factor := shrink(DeviceNorm(grads), limit)
	out := make([]*tensor.Tensor, len(grads))
	for i, g := range grads {
		if g != nil {
			out[i] = g.Mul(factor.To(g.DType()))
		}
	}
	return out
}

// ClipEachByDeviceNorm is [ClipEachByNorm] without reading the device, as [ClipByDeviceNorm] is [ClipByNorm].
func ClipEachByDeviceNorm(grads []*tensor.Tensor, limit float64) []*tensor.Tensor {
	out := make([]*tensor.Tensor, len(grads))
	square := squaresOf(grads)
	for i, g := range grads {
		if g != nil {
			out[i], square = g.Mul(shrink(square[0].Sqrt(), limit).To(g.DType())), square[1:]
		}
	}
	return out
}

// shrink is the factor that scales a vector with a norm to the limit: min(1, limit/norm), and NaN for a norm that is not finite.
func shrink(norm *tensor.Tensor, limit float64) *tensor.Tensor {
	return norm.ClampMin(limit).Reciprocal().MulScalar(limit).Add(norm.Sub(norm))
}

// ClipNorm is [ClipByNorm] for gradients whose [GlobalNorm] is known.
func ClipNorm(grads []*tensor.Tensor, norm, limit float64) []*tensor.Tensor {
	out := make([]*tensor.Tensor, len(grads))
	for i, g := range grads {
		if g != nil {
			out[i] = clipped(g, norm, limit)
		}
	}
	return out
}

// clipped scales a gradient by limit/norm if the norm is above the limit.
func clipped(g *tensor.Tensor, norm, limit float64) *tensor.Tensor {
	if !(norm > limit) || math.IsInf(norm, 0) {
		return g
	}
	return g.MulScalar(limit / norm)
}

// ClipEachByNorm returns the gradients with each scaled so that its own norm is at most limit. Nil stays nil.
func ClipEachByNorm(grads []*tensor.Tensor, limit float64) []*tensor.Tensor {
	out := make([]*tensor.Tensor, len(grads))
	square := squares(grads)
	for i, g := range grads {
		if g != nil {
			out[i], square = clipped(g, math.Sqrt(square[0]), limit), square[1:]
		}
	}
	return out
}
