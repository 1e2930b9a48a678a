package runner

import (
	"fmt"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/stream"
	"github.com/engram-go/engram/tensor"
)

// Fixed is a batch whose step is a function of a few tensors, so that it can be captured as a CUDA graph and replayed with others of
// the same shapes: see [tensor.Graph].
type Fixed interface {
	Batch
	// Fixed returns the tensors, on a device, and what makes a batch of such tensors. Steps with equal keys, and tensors of equal
	// shapes and types, differ in the values of the tensors alone. It is called in a scope.
	Fixed(on tensor.Device) (key string, in []*tensor.Tensor, bind func(in []*tensor.Tensor) Batch)
}

// FixedFunc is a [Fixed] batch from its two functions.
type FixedFunc struct {
	LossFunc
	Of func(on tensor.Device) (key string, in []*tensor.Tensor, bind func(in []*tensor.Tensor) Batch)
}

// Fixed implements [Fixed].
func (f FixedFunc) Fixed(on tensor.Device) (string, []*tensor.Tensor, func([]*tensor.Tensor) Batch) {
	return f.Of(on)
}

// maxGraphs is the number of different shapes that are captured.
const maxGraphs = 32

// graphs are the captured steps of a training.
type graphs struct {
	set   *tensor.Graphs
	steps map[string]*capturedStep
	why   string // no step is captured
	full  bool   // there was no room for a further one
	said  bool
}

// capturedStep is the step of batches of one shape.
type capturedStep struct {
	in    []*tensor.Tensor // of the batch
	noise nn.Noise
	pass  *nn.Pass // of this run
	score Score    // reads tensors that a replay overwrites
	graph *tensor.Graph
}

// newGraphs makes the graphs of a training on a device.
func newGraphs(on tensor.Device) (*graphs, error) {
	set, err := tensor.NewGraphs(on)
	if err != nil {
		return nil, fmt.Errorf("cuda_graphs: %w; leave the key out to train without", err)
	}
	return &graphs{set: set, steps: map[string]*capturedStep{}}, nil
}

func (g *graphs) free() {
	if g == nil {
		return
	}
	g.drop()
	g.set.Free()
}

// drop frees all steps.
func (g *graphs) drop() {
	for key, s := range g.steps {
		s.graph.Free()
		s.noise.Free()
		for _, t := range s.in {
			t.Free()
		}
		delete(g.steps, key)
	}
}

// gradients returns the [Gradients] of a step, from a graph where there is one.
func (t *trainer) gradients(b Batch, step int64) (grads []*tensor.Tensor, loss *tensor.Tensor, score Score) {
	pass := func() *nn.Pass { return t.config.pass(step) }
	g := t.graphs
	if g == nil || g.why != "" {
		return Gradients(b, pass(), t.params, t.device)
	}
	fixed, ok := b.(Fixed)
	if !ok {
		g.why = "its batches differ in more than the values of tensors"
		return Gradients(b, pass(), t.params, t.device)
	}
	key, in, bind := fixed.Fixed(t.device)
	for _, x := range in {
		key += fmt.Sprintf(" %v%v", x.DType(), x.Shape())
	}
	s := g.steps[key]
	if s == nil {
		if len(g.steps) == maxGraphs {
			g.full = true
			return Gradients(b, pass(), t.params, t.device)
		}
		s = &capturedStep{}
		for _, x := range in {
			s.in = append(s.in, tensor.Empty(x.DType(), x.Device(), x.Shape()...).Own())
		}
		bound := bind(s.in)
		s.graph = g.set.New(func() []*tensor.Tensor {
			grads, loss, score := Gradients(bound, s.pass, t.params, t.device)
			s.score = score
			return append(grads, loss)
		})
		g.steps[key] = s
	}
	for i, x := range in {
		s.in[i].Assign(x)
	}
	first := s.pass == nil
	s.pass = pass()
	if first {
		s.noise.Record(s.pass)
	} else {
		s.noise.Renew(s.pass)
	}
	out := s.graph.Run()
	grads, loss, score = out[:len(out)-1], out[len(out)-1], s.score
	switch {
	case first && !s.noise.Whole():
		g.why = "it draws random numbers that are not drawn through nn.Drawn"
	case s.graph.Problem() != "":
		g.why = s.graph.Problem()
	}
	return grads, loss, score
}

// note returns what the user is told, once: that steps are not captured.
func (g *graphs) note() string {
	if g == nil || g.said || g.why == "" && !g.full {
		return ""
	}
	g.said = true
	if g.why == "" {
		return fmt.Sprintf("cuda_graphs: the steps of %d shapes are captured; those of others run without a graph", maxGraphs)
	}
	g.drop()
	return "cuda_graphs: the training step cannot be captured, and runs without a graph: " + g.why
}

// pass returns the settings of a training step.
func (c *Config) pass(step int64) *nn.Pass {
	return &nn.Pass{Training: true, Norm: nn.BatchStats, Rand: stream.New(c.Seed, "noise", uint64(step)), Carried: c.Clip.Carried}
}

// Gradients returns what the trainer takes a step by: the gradients of a batch's loss and of its penalties with respect to the
// trained parameters, the loss, and the score. It is called in a scope.
func Gradients(b Batch, pass *nn.Pass, params *nn.Params, on tensor.Device) (grads []*tensor.Tensor, loss *tensor.Tensor, score Score) {
	if d, ok := b.(Derived); ok {
		return d.Gradients(pass, on)
	}
	loss, score = b.Loss(pass, on)
	whole := loss
	for _, penalty := range pass.Penalties {
		whole = whole.Add(penalty)
	}
	return tensor.Grad(whole, params.Tensors()...), loss, score
}
