package main

import (
	"math"

	"github.com/engram-go/engram/controller"
	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/maml"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/ntm"
	"github.com/engram-go/engram/protonet"
	"github.com/engram-go/engram/tensor"
)

// A workload is a piece of work that both sides do.
type workload struct {
	name  string
	what  string
	torch string   // the script in torch/
	args  []string // and its arguments
	env   []string
	steps int // of a round
	// drift is how far results after the first may be apart. Adam's first step is the gradient's sign, so a gradient of
	// nearly zero moves its weight by a full step in a direction that rounding decides.
	drift float64
	// setup runs in a scope that stays open; the function that it returns does n steps and returns what they computed,
	// for comparison.
	setup func() func(n int) []float64
}

var workloads = []workload{
	{name: "add8", what: "adding two 8-float tensors, made, checked and freed", torch: "add8.py", steps: 20000, setup: add8},
	{name: "chain10", what: "ten operations on [16, 32], forward and backward", torch: "chain10.py", steps: 1000, setup: chain10},
	{name: "conv4", what: "a Conv-4 prototypical step, 400 images, against plain PyTorch", torch: "conv4.py", args: []string{"plain"}, steps: 3, drift: .01, setup: conv4},
	{name: "conv4-best", what: "the same against PyTorch channels-last, glibc told to keep memory", torch: "conv4.py", args: []string{"best"},
		env: []string{"MALLOC_MMAP_MAX_=0", "MALLOC_TRIM_THRESHOLD_=4000000000", "MALLOC_TOP_PAD_=67108864"}, steps: 3, drift: .01, setup: conv4},
	{name: "maml", what: "a second-order MAML step, 5-way 1-shot, 32 tasks, its Omniglot network", torch: "maml.py", args: []string{"second", "32"}, steps: 2, drift: .02, setup: metaStep(false, 32)},
	{name: "fomaml", what: "the same of first order", torch: "maml.py", args: []string{"first", "32"}, steps: 3, drift: .02, setup: metaStep(true, 32)},
	{name: "maml-4", what: "the second-order step of 4 tasks", torch: "maml.py", args: []string{"second", "4"}, steps: 8, drift: .02, setup: metaStep(false, 4)},
	{name: "ntm-1", what: "an NTM step on copy, 20 vectors, one sequence", torch: "ntm.py", args: []string{"1"}, env: oneBLAS, steps: 20, drift: .01, setup: copyNTM(1)},
	{name: "ntm-16", what: "the same, 16 sequences", torch: "ntm.py", args: []string{"16"}, env: oneBLAS, steps: 10, drift: .01, setup: copyNTM(16)},
}

// oneBLAS keeps OpenBLAS's threads out of the way of LibTorch's, which makes PyTorch's recurrent networks faster.
var oneBLAS = []string{"OPENBLAS_NUM_THREADS=1"}

func add8() func(int) []float64 {
	x, y := uniform(1, 8), uniform(2, 8)
	return func(n int) []float64 {
		const each = 100 // operations a scope, as many as a small training step has
		for ; n > 0; n -= each {
			s := tensor.Enter()
			for range min(n, each) {
				x.Add(y)
			}
			s.Leave()
		}
		s := tensor.Enter()
		defer s.Leave()
		return []float64{x.Add(y).Sum().Float()}
	}
}

func chain10() func(int) []float64 {
	x, a, b := uniform(1, 16, 32).RequireGrad(), uniform(2, 16, 32), uniform(3, 16, 32)
	var out []float64
	step := func(last bool) {
		s := tensor.Enter()
		defer s.Leave()
		h := x.Mul(a).Tanh().Add(b).Sigmoid().Mul(x)
		y := h.Sub(a).Square().LogSoftmax(1).Mul(b).Sum()
		g := tensor.Grad(y, x)[0]
		if last {
			out = []float64{y.Float(), g.Square().Sum().Float()}
		}
	}
	return func(n int) []float64 {
		for i := range n {
			step(i == n-1)
		}
		return out
	}
}

const (
	way, shot, query = 20, 5, 15
	size, width      = 28, 64
)

// conv4 is a training step of a Prototypical network (Snell et al. 2017) as the runner takes it: four blocks, batch
// statistics, the squared Euclidean distance of the queries to the means of the classes' shots, Adam.
func conv4() func(int) []float64 {
	b := nn.NewBuilder(0, tensor.CPU)
	e, err := encoder.NewConv4(b, encoder.Conv4Config{Height: size, Width: size, Filters: width})
	if err != nil {
		panic(err) // 28×28 images are not too small
	}
	net, params := protonet.New(e, nil), b.Params()
	// The first values that torch/conv4.py computes too, in the order of its parameters.
	for i, p := range params.Trained() {
		block, kind := i/4, i%4
		in := int64(width)
		if block == 0 {
			in = 1
		}
		if kind > 1 { // gain 1 and bias 0 they have already
			continue
		}
		u := uniform(uint32(10*(block+1)+kind), p.Value().Shape()...)
		p.Value().Assign(u.MulScalar(2).AddScalar(-1).MulScalar(1 / math.Sqrt(9*float64(in))))
	}
	opt := nn.NewAdam(params, nn.AdamConfig{})

	const perClass = shot + query
	kind := uniform(1, way, 1, size*size).Expand(way, perClass, size*size).Reshape(way*perClass, 1, size, size)
	images := kind.MulScalar(.5).Add(uniform(2, way*perClass, 1, size, size).MulScalar(.5)).Reshape(1, way, perClass, 1, size, size)
	labels := func(each int64) *tensor.Tensor {
		names := make([]int64, 0, way*each)
		for i := range int64(way) {
			for range each {
				names = append(names, i)
			}
		}
		return tensor.New(names, 1, way*each)
	}
	task := &fewshot.Task{
		Way:     way,
		Support: images.Narrow(2, 0, shot).Reshape(1, way*shot, 1, size, size), SupportLabels: labels(shot),
		Query: images.Narrow(2, shot, query).Reshape(1, way*query, 1, size, size), QueryLabels: labels(query),
	}
	step := func() float64 {
		s := tensor.Enter()
		defer s.Leave()
		loss, _ := net.Loss(&nn.Pass{Training: true}, task)
		opt.Step(tensor.Grad(loss, params.Tensors()...), 1e-3)
		return loss.Float()
	}
	return repeated(step)
}

// metaStep is a training step of MAML on so many 5-way 1-shot tasks with a query a class (Finn et al. 2017, appendix A.1): the
// strided network, one inner step at 0.4, Adam. As the runner has it, a task takes one thread, and as many are computed at once
// as the workload has threads.
func metaStep(first bool, tasks int64) func() func(int) []float64 {
	return func() func(int) []float64 {
		workers := tensor.Threads()
		tensor.SetThreads(1)
		const way = 5
		b := nn.NewBuilder(0, tensor.CPU)
		e, err := encoder.NewConv4(b, encoder.Conv4Config{Height: size, Width: size, Filters: width, Strided: true, Mean: true})
		if err != nil {
			panic(err) // 28×28 images are not too small
		}
		net, params := maml.New(b, e, maml.Config{Way: way, FirstOrder: first, Workers: workers}), b.Params()
		// The first values that torch/maml.py computes too, in the order of its parameters.
		for i, p := range params.Trained() {
			block, kind, bound := i/4, i%4, 1/math.Sqrt(width)
			salt := uint32(50 + kind)
			if block < 4 {
				if kind > 1 { // gain 1 and bias 0 they have already
					continue
				}
				if bound = 1. / 3; block > 0 {
					bound /= math.Sqrt(width)
				}
				salt = uint32(10*(block+1) + kind)
			}
			p.Value().Assign(uniform(salt, p.Value().Shape()...).MulScalar(2).AddScalar(-1).MulScalar(bound))
		}
		opt := nn.NewAdam(params, nn.AdamConfig{})
		images := uniform(1, tasks, 2*way, 1, size, size)
		names := make([]int64, 0, tasks*way)
		for i := range tasks * way {
			names = append(names, i%way)
		}
		labels := tensor.New(names, tasks, way)
		task := &fewshot.Task{
			Way: way, Support: images.Narrow(1, 0, way), SupportLabels: labels, Query: images.Narrow(1, way, way), QueryLabels: labels,
		}
		return repeated(func() float64 {
			s := tensor.Enter()
			defer s.Leave()
			grads, loss, _ := net.Gradients(&nn.Pass{Training: true}, task)
			opt.Step(grads, 1e-3)
			return loss.Float()
		})
	}
}

// copyNTM is a training step of a Neural Turing Machine on copy (Graves et al. 2014, section 4.1): an LSTM controller of 100
// units, a memory of 128 slots of width 20, one head of each kind, Adam.
func copyNTM(batch int64) func() func(int) []float64 {
	const bits, length = 8, 20
	return func() func(int) []float64 {
		b := nn.NewBuilder(0, tensor.CPU)
		net := ntm.New(b, ntm.Config{Outputs: bits, Config: controller.Config{
			Inputs: bits + 1, Size: 100, Memory: func(b *nn.Builder, control int64) memory.Recurrent {
				return memory.NewNTM(b, memory.NTMConfig{Control: control})
			},
		}})
		params := b.Params()
		for i, p := range params.Trained() { // the first values that torch/ntm.py has too
			p.Value().Assign(uniform(uint32(10+i), p.Value().Shape()...).MulScalar(.2).AddScalar(-.1))
		}
		opt := nn.NewAdam(params, nn.AdamConfig{})
		vectors := uniform(1, length, batch, bits)
		target := vectors.Gt(vectors.ZerosLike().AddScalar(.5)).To(tensor.Float32)
		x := tensor.Cat(0,
			tensor.Cat(2, target, tensor.Zeros(length, batch, 1)),
			tensor.Cat(2, tensor.Zeros(1, batch, bits), tensor.Ones(1, batch, 1)),
			tensor.Zeros(length, batch, bits+1))
		step := func() float64 {
			s := tensor.Enter()
			defer s.Leave()
			logits := net.Forward(&nn.Pass{Training: true}, x, nil).Narrow(0, length+1, length)
			loss := tensor.BCEWithLogits(logits, target).MulScalar(1 / float64(batch))
			opt.Step(tensor.Grad(loss, params.Tensors()...), 1e-3)
			return loss.Float()
		}
		return repeated(step)
	}
}

// repeated takes a step as many times as it is asked for, and returns their losses.
func repeated(step func() float64) func(n int) []float64 {
	return func(n int) []float64 {
		losses := make([]float64, n)
		for i := range losses {
			losses[i] = step()
		}
		return losses
	}
}
