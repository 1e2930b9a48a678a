package nn

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/engram-go/engram/stream"
	"github.com/engram-go/engram/tensor"
)

// A Param is a named tensor of a network: a trained parameter, or a buffer, such as a running statistic, which is
// only saved.
type Param struct {
	Name   string
	Buffer bool
	value  *tensor.Tensor
}

// Value returns the stored tensor. In a Forward use [Pass.Value], which may replace it.
func (p *Param) Value() *tensor.Tensor { return p.value }

// Params are a network's parameters and buffers, in order of creation.
type Params struct {
	all   []*Param
	begin []func() error
}

// All returns parameters and buffers.
func (ps *Params) All() []*Param { return ps.all }

// Trained returns the parameters without the buffers.
func (ps *Params) Trained() []*Param {
	var out []*Param
	for _, p := range ps.all {
		if !p.Buffer {
			out = append(out, p)
		}
	}
	return out
}

// Tensors returns the values of [Params.Trained], in its order, for [tensor.Grad].
func (ps *Params) Tensors() []*tensor.Tensor {
	var out []*tensor.Tensor
	for _, p := range ps.Trained() {
		out = append(out, p.value)
	}
	return out
}

// Count returns the number of trained values.
func (ps *Params) Count() int64 {
	var n int64
	for _, t := range ps.Tensors() {
		n += t.Numel()
	}
	return n
}

// Begin gives parameters the initial values that come from elsewhere, such as published weights: it calls the functions that
// [Builder.Begin] was given. Whoever begins to use a new network calls it; a network whose saved state is loaded needs none of it.
func (ps *Params) Begin() error {
	for _, f := range ps.begin {
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}

// Free releases all tensors. The network cannot be used afterwards.
func (ps *Params) Free() {
	for _, p := range ps.all {
		p.value.Free()
	}
}

// State returns all parameters and buffers with their names, for [Save].
func (ps *Params) State() []Named {
	out := make([]Named, len(ps.all))
	for i, p := range ps.all {
		out[i] = Named{p.Name, p.value}
	}
	return out
}

// Load copies a saved state into the parameters and buffers. It returns an error and changes nothing if a name is
// missing or unknown or a shape differs.
func (ps *Params) Load(state *State) error { return state.CopyInto(ps.State()) }

// LoadPart is [Params.Load] for the parameters and buffers whose names begin with part and a dot: the others keep their values, and
// of the state only what begins so is used.
func (ps *Params) LoadPart(part string, state *State) error {
	var own []Named
	for _, t := range ps.State() {
		if rest, ok := strings.CutPrefix(t.Name, part+"."); ok {
			own = append(own, Named{rest, t.Tensor})
		}
	}
	return state.Sub(part + ".").CopyInto(own)
}

// An Init fills a parameter of the given shape with its initial values.
type Init func(r *rand.Rand, shape []int64, out []float32)

// A Builder makes the parameters of a network under dotted names. Each parameter draws its initial values from a
// stream named after it, so that they depend on the seed and the name only.
type Builder struct {
	params *Params
	prefix string
	seed   uint64
	device tensor.Device
	names  map[string]bool
	shapes bool
}

// NewBuilder starts a network with parameters on a device.
func NewBuilder(seed uint64, device tensor.Device) *Builder {
	return &Builder{params: &Params{}, seed: seed, device: device, names: map[string]bool{}}
}

// NewShapes starts a network whose parameters have their names and shapes and, instead of values, one zero each: to see what a
// network is made of without computing its initial values or holding them in memory.
func NewShapes() *Builder {
	b := NewBuilder(0, tensor.CPU)
	b.shapes = true
	return b
}

// In returns a builder for the part of the same network called name.
func (b *Builder) In(name string) *Builder {
	inner := *b
	inner.prefix = b.prefix + name + "."
	return &inner
}

// OnCPU returns b for parameters that stay on the CPU, such as a count that every pass reads.
func (b *Builder) OnCPU() *Builder {
	inner := *b
	inner.device = tensor.CPU
	return &inner
}

// Params returns all parameters made so far by any builder of the network.
func (b *Builder) Params() *Params { return b.params }

// Begin has [Params.Begin] call f, which gives parameters of the network their initial values.
func (b *Builder) Begin(f func() error) { b.params.begin = append(b.params.begin, f) }

// Device returns the device of the parameters.
func (b *Builder) Device() tensor.Device { return b.device }

// Param makes a trained parameter.
func (b *Builder) Param(name string, init Init, shape ...int64) *Param {
	p := b.add(name, init, shape)
	p.value.RequireGrad()
	return p
}

// Buffer makes a tensor that is saved with the parameters but not trained.
func (b *Builder) Buffer(name string, init Init, shape ...int64) *Param {
	p := b.add(name, init, shape)
	p.Buffer = true
	return p
}

// FromTensor makes a parameter or a buffer from a copy of a tensor.
func (b *Builder) FromTensor(name string, value *tensor.Tensor, trained bool) *Param {
	s := tensor.Enter()
	defer s.Leave()
	p := b.keep(b.named(name), value.Detach().Clone().To(value.DType()).On(b.device).Own())
	if p.Buffer = !trained; trained {
		p.value.RequireGrad()
	}
	return p
}

// named prefixes and reserves a name.
func (b *Builder) named(name string) string {
	name = b.prefix + name
	if b.names[name] {
		panic(&tensor.Error{Op: "Param", Msg: fmt.Sprintf("two parameters are called %s", name)})
	}
	b.names[name] = true
	return name
}

func (b *Builder) keep(name string, value *tensor.Tensor) *Param {
	p := &Param{Name: name, value: value}
	b.params.all = append(b.params.all, p)
	return p
}

func (b *Builder) add(name string, init Init, shape []int64) *Param {
	name = b.named(name)
	s := tensor.Enter()
	defer s.Leave()
	if b.shapes {
		return b.keep(name, tensor.Zeros(1).Expand(shape...).Own())
	}
	value := tensor.Made(func(values []float32) { init(stream.New(b.seed, "init/"+name), shape, values) }, shape...)
	return b.keep(name, value.On(b.device).Own())
}
