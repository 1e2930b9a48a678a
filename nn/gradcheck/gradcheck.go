// Package gradcheck compares gradients with finite differences: the first test to write for a layer, a memory or a
// fused operation.
package gradcheck

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// Options configures a check. The defaults suit float64.
type Options struct {
	// Step is the distance by which a value is moved in either direction; default 1e-6.
	Step float64
	// Absolute and Relative limit the difference to Absolute + Relative·|finite difference|; defaults 1e-6 and 1e-5.
	Absolute, Relative float64
	// Elements is the number of elements checked per tensor, drawn by Rand; default all. Every element costs two
	// evaluations.
	Elements int
	// Rand draws elements and, in [Params], values. The default is a generator with a fixed seed.
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

// Params checks the gradient of a loss with respect to each trained parameter. The pass given to loss replaces the
// parameters by float64 values near theirs, so loss must use this pass, compute in float64 and return a single
// element. The loss must depend on every parameter and be deterministic. The parameters do not change. A scope must
// be open.
func Params(ps *nn.Params, loss func(p *nn.Pass) *tensor.Tensor, o Options) error {
	o = o.withDefaults()
	p := &nn.Pass{With: map[*nn.Param]*tensor.Tensor{}}
	for _, param := range ps.All() {
		// Initial values are perturbed because some are all equal.
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

// Tensors checks the gradient of the single element that f returns with respect to float64 leaves that require a
// gradient. It changes the leaves in place and restores them. If f does not depend on a leaf, its gradient counts as
// zero. A scope must be open.
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
