package nn

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/engram-go/engram/tensor"
)

// An Optimizer moves parameters along their gradients. It keeps its own state, which saves and loads like parameters.
type Optimizer interface {
	// Step moves each parameter by its gradient, in the order of [Params.Trained]; a nil gradient leaves its parameter
	// and its state as they are. It panics where a gradient's shape or type is not its parameter's, and moves nothing.
	Step(grads []*tensor.Tensor, lr float64)
	// State returns the state to save.
	State() []Named
	// Load copies a saved state in; it changes nothing where the names or shapes do not fit.
	Load(state *State) error
	// Free gives the state's memory back.
	Free()
}

// slots are an optimiser's state: per-parameter tensors, each list in the order of the parameters, and the step count.
type slots struct {
	params []*Param
	names  []string
	lists  map[string][]*tensor.Tensor
	step   *tensor.Tensor // [1], int64
	steps  int64
}

func newSlots(ps *Params, names ...string) *slots {
	s := &slots{params: ps.Trained(), names: names, lists: map[string][]*tensor.Tensor{}}
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

// advance counts a step, or panics before anything has moved where the gradients do not belong to the parameters.
func (s *slots) advance(grads []*tensor.Tensor) int64 {
	if len(grads) != len(s.params) {
		panic(&tensor.Error{Op: "Step", Msg: fmt.Sprintf("there are %d gradients for %d parameters", len(grads), len(s.params))})
	}
	for i, g := range grads {
		if g == nil {
			continue
		}
		p := s.params[i]
		if !tensor.SameShape(g, p.value) || g.DType() != p.value.DType() {
			panic(&tensor.Error{Op: "Step", Shapes: [][]int64{p.value.Shape(), g.Shape()}, Msg: fmt.Sprintf(
				"a gradient of %v does not fit %s of %v", g.DType(), p.Name, p.value.DType())})
		}
	}
	s.steps++
	s.step.Set(binary.NativeEndian.AppendUint64(nil, uint64(s.steps)))
	return s.steps
}

func (s *slots) values() []*tensor.Tensor {
	out := make([]*tensor.Tensor, len(s.params))
	for i, p := range s.params {
		out[i] = p.value
	}
	return out
}

// State implements [Optimizer].
func (s *slots) State() []Named {
	out := []Named{{"step", s.step}}
	for _, name := range s.names {
		for i, p := range s.params {
			out = append(out, Named{name + "." + p.Name, s.lists[name][i]})
		}
	}
	return out
}

// Load implements [Optimizer].
func (s *slots) Load(state *State) error {
	if err := state.CopyInto(s.State()); err != nil {
		return err
	}
	scope := tensor.Enter()
	defer scope.Leave()
	s.steps = tensor.Values[int64](s.step)[0]
	return nil
}

// Free implements [Optimizer].
func (s *slots) Free() {
	s.step.Free()
	for _, list := range s.lists {
		for _, t := range list {
			t.Free()
		}
	}
}

// each runs f without recording for every parameter that has a gradient.
func (s *slots) each(grads []*tensor.Tensor, f func(i int, p, g *tensor.Tensor)) {
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

// AdamConfig are the settings of [NewAdam], which takes them as they are; [DefaultAdam] gives the usual ones.
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
	*slots
	config AdamConfig
}

// NewAdam starts Adam for the trained parameters.
//
// It panics where Eps is not above zero, as in settings that do not begin with [DefaultAdam].
func NewAdam(ps *Params, c AdamConfig) *Adam {
	needEps("NewAdam", c.Eps)
	return &Adam{newSlots(ps, "m", "v"), c}
}

// Step implements [Optimizer].
func (a *Adam) Step(grads []*tensor.Tensor, lr float64) {
	c, step := a.config, a.advance(grads)
	values := a.values()
	if c.Decay == 0 || c.DecayOn != DecayWeights {
		tensor.Adam(values, grads, a.lists["m"], a.lists["v"], lr, c.Beta1, c.Beta2, c.Eps, c.Decay, c.Decoupled, step)
		return
	}
	for _, on := range []bool{true, false} { // a nil gradient leaves its parameter as it is
		own, decay := make([]*tensor.Tensor, len(grads)), 0.
		if on {
			decay = c.Decay
		}
		for i, g := range grads {
			if decays(c.DecayOn, values[i]) == on {
				own[i] = g
			}
		}
		tensor.Adam(values, own, a.lists["m"], a.lists["v"], lr, c.Beta1, c.Beta2, c.Eps, decay, c.Decoupled, step)
	}
}

// needEps refuses settings that divide by zero.
func needEps(op string, eps float64) {
	if eps <= 0 {
		panic(&tensor.Error{Op: op, Msg: fmt.Sprintf("eps must be above 0, got %g; begin with the default settings", eps)})
	}
}

// The forms of RMSProp.
const (
	// RMSPropGraves centres the variance and puts Eps under the root.
	RMSPropGraves = "graves"
	// RMSPropPlain leaves the mean gradient out of the variance and puts Eps outside the root, as PyTorch's default does.
	RMSPropPlain = "plain"
)

// RMSPropConfig are the settings of [NewRMSProp], which takes them as they are; [DefaultRMSProp] gives the usual ones.
type RMSPropConfig struct {
	Rate     float64 `yaml:"rate" above:"0" doc:"learning rate"`
	Alpha    float64 `yaml:"alpha" min:"0" below:"1" doc:"decay of the mean squared gradient"`
	Momentum float64 `yaml:"momentum" min:"0" below:"1"`
	Eps      float64 `yaml:"eps" above:"0"`
	Form     string  `yaml:"form" enum:"graves,plain" doc:"graves: centred, eps under the root; plain: PyTorch's default"`
}

// DefaultRMSProp returns the settings of Graves 2013, with the rate of the NTM paper.
func DefaultRMSProp() RMSPropConfig {
	return RMSPropConfig{Rate: 1e-4, Alpha: .95, Momentum: .9, Eps: 1e-4, Form: RMSPropGraves}
}

// RMSProp is the form of Graves 2013 (Generating Sequences With Recurrent Neural Networks), eqs. 38 to 41: the running
// variance is centred, and Eps stands under the root. PyTorch's centred form adds it outside.
//
//	n ← α·n + (1-α)·ε²;  g ← α·g + (1-α)·ε;  Δ ← β·Δ - lr·ε/√(n - g² + eps);  w ← w + Δ
type RMSProp struct {
	*slots
	config RMSPropConfig
}

// NewRMSProp starts RMSProp for the trained parameters.
//
// It panics where Eps is not above zero, as in settings that do not begin with [DefaultRMSProp].
func NewRMSProp(ps *Params, c RMSPropConfig) *RMSProp {
	needEps("NewRMSProp", c.Eps)
	return &RMSProp{newSlots(ps, "n", "g", "delta"), c}
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

// SGDConfig are the settings of [NewSGD]. The zero value is plain gradient descent.
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
	*slots
	config SGDConfig
}

// NewSGD starts gradient descent for the trained parameters.
func NewSGD(ps *Params, c SGDConfig) *SGD { return &SGD{newSlots(ps, "v"), c} }

// Step implements [Optimizer].
func (o *SGD) Step(grads []*tensor.Tensor, lr float64) {
	o.advance(grads)
	c := o.config
	o.each(grads, func(i int, p, g *tensor.Tensor) {
		if c.Decay != 0 && decays(c.DecayOn, p) {
			g = g.Add(p.MulScalar(c.Decay))
		}
		if c.Momentum != 0 {
			v := o.lists["v"][i]
			v.Assign(v.MulScalar(c.Momentum).Add(g))
			if c.Nesterov {
				g = g.Add(v.MulScalar(c.Momentum))
			} else {
				g = v
			}
		}
		p.Assign(p.Sub(g.MulScalar(lr)))
	})
}

var (
	_ Optimizer = (*Adam)(nil)
	_ Optimizer = (*RMSProp)(nil)
	_ Optimizer = (*SGD)(nil)
	_ Optimizer = (*Averager)(nil)
)

// ClipByValue returns the gradients with every element within ±limit, as Graves clips: nil stays nil.
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

// squares returns the sum of squares of each gradient that is not nil. It reads the device once.
func squares(grads []*tensor.Tensor) []float64 {
	scope := tensor.Enter()
	defer scope.Leave()
	var sums []*tensor.Tensor
	for _, g := range grads {
		if g != nil {
			// In float64: float32 cannot hold the squares of the very gradients that need clipping.
			sums = append(sums, g.Detach().To(tensor.Float64).Square().Sum())
		}
	}
	if len(sums) == 0 {
		return nil
	}
	return tensor.Stack(0, sums...).Floats()
}

// ClipByNorm returns the gradients scaled down so that their norm taken together is at most limit: Pascanu et al. 2013,
// algorithm 1. A norm that is not finite is left as it is, for the caller to notice.
func ClipByNorm(grads []*tensor.Tensor, limit float64) []*tensor.Tensor {
	norm := GlobalNorm(grads)
	out := make([]*tensor.Tensor, len(grads))
	for i, g := range grads {
		if g != nil {
			out[i] = shortened(g, norm, limit)
		}
	}
	return out
}

// shortened scales a gradient by limit/norm where the norm is above the limit.
func shortened(g *tensor.Tensor, norm, limit float64) *tensor.Tensor {
	if !(norm > limit) || math.IsInf(norm, 0) {
		return g
	}
	return g.MulScalar(limit / norm)
}

// ClipEachByNorm returns the gradients with each scaled down by itself so that its norm is at most limit: nil stays nil.
func ClipEachByNorm(grads []*tensor.Tensor, limit float64) []*tensor.Tensor {
	out := make([]*tensor.Tensor, len(grads))
	square := squares(grads)
	for i, g := range grads {
		if g != nil {
			out[i], square = shortened(g, math.Sqrt(square[0]), limit), square[1:]
		}
	}
	return out
}
