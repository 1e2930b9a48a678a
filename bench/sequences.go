package main

import (
	"github.com/engram-go/engram/controller"
	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/mann"
	"github.com/engram-go/engram/memnet"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/memory/fastweight"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/ntm"
	"github.com/engram-go/engram/tensor"
)

func ntmMemory(b *nn.Builder, control int64) memory.Recurrent {
	return memory.NewNTM(b, memory.NTMConfig{Control: control})
}

func dncMemory(b *nn.Builder, control int64) memory.Recurrent {
	return memory.NewDNC(b, memory.DNCConfig{Control: control})
}

// copying is a training step on copy (Graves et al. 2014, section 4.1): an LSTM controller of 100 units, a memory of
// 128 slots of width 20, one head of each kind, Adam.
func copying(batch int64, mem func(b *nn.Builder, control int64) memory.Recurrent) func(on tensor.Device) func(int) []float64 {
	const bits, length = 8, 20
	return func(on tensor.Device) func(int) []float64 {
		b := nn.NewBuilder(0, on)
		net := ntm.New(b, ntm.Config{Outputs: bits, Config: controller.Config{Inputs: bits + 1, Size: 100, Memory: mem}})
		fill(b.Params().Trained(), .1, 10)
		zeros := func(shape ...int64) *tensor.Tensor { return tensor.Full(0, tensor.Float32, on, shape...) }
		vectors := uniform(on, 1, length, batch, bits)
		target := vectors.Gt(vectors.ZerosLike().AddScalar(.5)).To(tensor.Float32)
		x := tensor.Cat(0,
			tensor.Cat(2, target, zeros(length, batch, 1)),
			tensor.Cat(2, zeros(1, batch, bits), tensor.Full(1, tensor.Float32, on, 1, batch, 1)),
			zeros(length, batch, bits+1))
		return learning(b.Params(), 1e-3, 0, func(p *nn.Pass) *tensor.Tensor {
			logits := net.Forward(p, x, nil).Narrow(0, length+1, length)
			return tensor.BCEWithLogits(logits, target).MulScalar(1 / float64(batch))
		})
	}
}

// remembering is a training step of MANN (Santoro et al. 2016) with the memory of its experiment, on batch episodes
// of five one-hot classes with ten images each.
func remembering(batch int64) func(on tensor.Device) func(int) []float64 {
	const classes, time, side = 5, 50, 20
	return func(on tensor.Device) func(int) []float64 {
		b := nn.NewBuilder(0, on)
		net := mann.New(b, mann.Config{Inputs: side * side, Controller: controller.Config{
			Memory: func(b *nn.Builder, control int64) memory.Recurrent {
				return memory.NewLRUA(b, memory.LRUAConfig{Control: control, Add: true, Strength: true, OwnSlots: true})
			},
		}})
		fill(b.Params().Trained(), .1, 10)
		task := &fewshot.Sequence{
			Images: uniform(on, 1, time, batch, 1, side, side), Labels: tensor.Upload(words(2, classes, time*batch), on, time, batch, 1),
		}
		return learning(b.Params(), 1e-3, 0, func(p *nn.Pass) *tensor.Tensor {
			loss, _ := net.Loss(p, task)
			return loss
		})
	}
}

// answering is a training step of a Memory Network (Sukhbaatar et al. 2015) as in the runner, from word indices: the sum of
// the losses, each parameter's gradient clipped separately, plain gradient descent.
func answering(on tensor.Device) func(int) []float64 {
	const questions, facts, long, asked, vocabulary = 32, 50, 6, 3, 160
	b := nn.NewBuilder(0, on)
	net, params := memnet.New(b, memnet.Config{Words: vocabulary, Encoding: encoder.PositionEncoding}), b.Params()
	fill(params.Trained(), .17, 10)
	told, ask, answers := words(1, vocabulary, questions*facts*long), words(2, vocabulary, questions*asked), words(3, vocabulary, questions)
	next := func(from *[]int64, n int) []int {
		sentence := make([]int, n)
		for i := range sentence {
			sentence[i] = int((*from)[i])
		}
		*from = (*from)[n:]
		return sentence
	}
	stories := make([]encoder.Story, questions)
	for i := range stories {
		for range facts {
			stories[i].Facts = append(stories[i].Facts, next(&told, long))
		}
		stories[i].Question = next(&ask, asked)
	}
	opt := nn.NewSGD(params, nn.SGDConfig{})
	return repeated(func() float64 {
		s := tensor.Enter()
		defer s.Leave()
		scores, _ := net.Forward(&nn.Pass{Training: true}, stories)
		loss := tensor.NLL(scores.LogSoftmax(-1), tensor.Upload(answers, on, questions)).MulScalar(questions)
		opt.Step(nn.ClipEachByNorm(tensor.Grad(loss, params.Tensors()...), 40), .02)
		return loss.Float()
	})
}

// gatedDelta is the gated delta rule (Yang, Kautz and Hatamizadeh 2024), forward and backward, on 16 sequences of 256 tokens with 4
// heads of 64.
func gatedDelta(on tensor.Device) func(int) []float64 {
	const batch, heads, time, size = 16, 4, 256, 64
	leaf := func(salt uint32, width int64) *tensor.Tensor {
		return uniform(on, salt, batch, heads, time, width).MulScalar(2).AddScalar(-1).MulScalar(.1).Detach().RequireGrad()
	}
	rule := fastweight.Rule{Loss: fastweight.Squared, DecayFirst: true}
	leaves := []*tensor.Tensor{leaf(1, size), leaf(2, size), leaf(3, size), leaf(4, 1), leaf(5, 1)}
	start := fastweight.State{Weights: []*tensor.Tensor{tensor.Full(0, tensor.Float32, on, batch, heads, size, size)}}
	return repeated(func() float64 {
		s := tensor.Enter()
		defer s.Leave()
		read, _ := rule.Run(fastweight.Shared{}, start, fastweight.Tokens{
			Query: leaves[0], Key: leaves[1], Value: leaves[2], Rate: leaves[3].Sigmoid(), Decay: leaves[4].Softplus().Neg(),
		})
		loss := read.Square().Sum()
		out := loss.Float()
		for _, g := range tensor.Grad(loss, leaves...) {
			out += g.Square().Sum().Float()
		}
		return out
	})
}
