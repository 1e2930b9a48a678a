// Package gradcheck compares gradients with finite differences: the test that the author of a layer, a memory or a fused
// operation writes first.
package gradcheck

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// Options are the settings of a check. The zero value stands for the defaults, which suit float64.
type Options struct {
	// Step is how far a value is moved in either direction; zero stands for 1e-6.
	Step float64
	// Absolute and Relative bound the difference by Absolute + Relative·|finite difference|; zeros stand for 1e-6 and 1e-5.
	Absolute, Relative float64
	// Elements is how many elements of each tensor are checked, drawn by Rand; zero stands for all. Every element costs two
	// evaluations.
	Elements int
	// Rand draws elements and, in [Params], values. Nil stands for a generator of a fixed seed.
	Rand *rand.Rand
}

func (o Options) withDefaults() Options {
	set := func(v *float64, def float64) {
		if *v == 0 {
			*v = def
		}
	}
	set(&o.Step, 1e-6)
	set(&o.Absolute, 1e-6)
	set(&o.Relative, 1e-5)
	if o.Rand == nil {
		o.Rand = rand.New(rand.NewPCG(1, 0))
	}
	return o
}

// Params checks the gradient of a loss for each trained parameter. It puts float64 values near the parameters' own into the
// With of the pass that it calls loss with, so loss must use that pass, compute in float64 and return a single element. It
// must depend on every parameter and be the same at each call. The parameters stay as they are. A scope must be open.
func Params(ps *nn.Params, loss func(p *nn.Pass) *tensor.Tensor, o Options) error {
	o = o.withDefaults()
	p := &nn.Pass{With: map[*nn.Param]*tensor.Tensor{}}
	for _, param := range ps.All() {
		// Away from the first values, some of which are all alike.
		v := param.Value().Detach().To(tensor.Float64)
		noise := make([]float64, v.Numel())
		for i := range noise {
			noise[i] = .3 * o.Rand.NormFloat64()
		}
		p.With[param] = v.Add(tensor.New(noise, v.Shape()...).On(v.Device())).Detach()
	}
	var names []string
	var leaves []*tensor.Tensor
	for _, param := range ps.Trained() {
		names, leaves = append(names, param.Name), append(leaves, p.With[param].RequireGrad())
	}
	return check(names, leaves, func() *tensor.Tensor { return loss(p) }, o)
}

// Tensors checks the gradient of what f returns, a single element, for float64 leaves that require a gradient. It moves the
// leaves in place and puts them back. Where f does not depend on a leaf, the gradient counts as zero. A scope must be open.
func Tensors(leaves []*tensor.Tensor, f func() *tensor.Tensor, o Options) error {
	names := make([]string, len(leaves))
	for i, leaf := range leaves {
		names[i] = fmt.Sprintf("leaf %d of %v", i, leaf.Shape())
	}
	return check(names, leaves, f, o.withDefaults())
}

func check(names []string, leaves []*tensor.Tensor, f func() *tensor.Tensor, o Options) error {
	var wrong []error
	for i, g := range tensor.Grad(f(), leaves...) {
		leaf := leaves[i]
		values := leaf.Detach().Floats()
		got := make([]float64, len(values))
		if g != nil {
			got = g.Floats()
		}
		for _, k := range elements(len(values), o) {
			at := func(v float64) float64 {
				scope := tensor.Enter()
				defer scope.Leave()
				moved := append([]float64{}, values...)
				moved[k] = v
				leaf.Assign(tensor.New(moved, leaf.Shape()...))
				return f().Float()
			}
			want := (at(values[k]+o.Step) - at(values[k]-o.Step)) / (2 * o.Step)
			if d := math.Abs(got[k] - want); !(d <= o.Absolute+o.Relative*math.Abs(want)) { // so that NaN fails
				wrong = append(wrong, fmt.Errorf("%s[%d]: the gradient is %g, the finite difference %g", names[i], k, got[k], want))
			}
		}
		scope := tensor.Enter()
		leaf.Assign(tensor.New(values, leaf.Shape()...))
		scope.Leave()
	}
	return errors.Join(wrong...)
}

// elements returns the indices to check out of n.
func elements(n int, o Options) []int {
	if o.Elements == 0 || o.Elements >= n {
		all := make([]int, n)
		for i := range all {
			all[i] = i
		}
		return all
	}
	return o.Rand.Perm(n)[:o.Elements]
}
