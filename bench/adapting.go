package main

import (
	"math/rand/v2"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/maml"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/reptile"
	"github.com/engram-go/engram/tensor"
)

// manyTasks returns 5-way tasks with one query per class, on unrelated images. On similar images a unit can be so near zero
// that rounding decides the state of its ReLU, and the two sides diverge after a few steps.
func manyTasks(on tensor.Device, tasks, shot int64) *fewshot.Task {
	const way = 5
	images := uniform(on, 5, tasks, way*(shot+1), 1, size, size)
	names := func(each int64) *tensor.Tensor {
		return tensor.Upload(labels(way, each), on, 1, way*each).Expand(tasks, way*each).Contiguous()
	}
	return &fewshot.Task{
		Way: way, Support: images.Narrow(1, 0, way*shot), SupportLabels: names(shot), Query: images.Narrow(1, way*shot, way), QueryLabels: names(1),
	}
}

// metaStep is a training step of MAML on 5-way 1-shot tasks with one query per class (Finn et al. 2017, appendix A.1): the
// strided network, one inner step at a rate of 0.4, Adam. As in the runner, each task uses one thread, and as many tasks as
// the workload has threads are computed at the same time.
func metaStep(first bool, tasks int64) func(on tensor.Device) func(int) []float64 {
	return func(on tensor.Device) func(int) []float64 {
		workers := tensor.Threads()
		tensor.SetThreads(1)
		b := nn.NewBuilder(0, on)
		e := newConv4(b, encoder.Conv4Config{Strided: true, Mean: true})
		made := len(b.Params().Trained())
		net, params := maml.New(b, e, maml.Config{Way: 5, FirstOrder: first, Workers: workers}), b.Params()
		fill(params.Trained()[made:], 1./8, 50)
		opt, task := nn.NewAdam(params, nn.DefaultAdam()), manyTasks(on, tasks, 1)
		return repeated(func() float64 {
			s := tensor.Enter()
			defer s.Leave()
			grads, loss, _ := net.Gradients(&nn.Pass{Training: true}, task)
			opt.Step(grads, 1e-3)
			return loss.Float()
		})
	}
}

// reptileStep is a meta-step of batched Reptile (Nichol et al. 2018, algorithm 2 and appendix A) as in the runner. A task has as
// many images as an inner step takes, so that their order does not matter.
func reptileStep(tasks int64) func(on tensor.Device) func(int) []float64 {
	return func(on tensor.Device) func(int) []float64 {
		workers := tensor.Threads()
		tensor.SetThreads(1)
		b := nn.NewBuilder(0, on)
		e := newConv4(b, encoder.Conv4Config{Strided: true})
		made := len(b.Params().Trained())
		net, params := reptile.New(b, e, reptile.Config{Way: 5, Workers: workers}), b.Params()
		fill(params.Trained()[made:], 1./16, 50)
		opt, task, order := nn.NewSGD(params, nn.SGDConfig{}), manyTasks(on, tasks, 2), rand.New(rand.NewPCG(1, 0))
		return repeated(func() float64 {
			s := tensor.Enter()
			defer s.Leave()
			grads, loss, _ := net.Gradients(&nn.Pass{Training: true, Rand: order}, task)
			opt.Step(grads, 1)
			return loss.Float()
		})
	}
}
