package main

import (
	"sync"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/tensor"
)

// A workload is the same computation in Engram and in PyTorch.
type workload struct {
	name  string
	what  string
	torch string   // the script in torch/
	args  []string // its arguments after the number of threads and the form
	steps int      // per round
	// forms are the script's forms among which the best PyTorch is searched, each under several settings of its process. It
	// is empty where nothing can be improved. Engram is also compared with the form plain.
	forms []string
	// plain and best are the floors: how many times as fast as either Engram must be. 0 means no floor.
	plain, best float64
	// operations is the number of operations of a step's convolutions and linear maps; 0 for workloads dominated by others.
	operations float64
	// bf16 workloads compute convolutions in bfloat16 where that is faster (precision: auto); best is PyTorch's autocast.
	bf16 bool
	// drift is the additional relative tolerance of results after the first. Adam's first step is the gradient's sign, so a
	// gradient near zero moves its weight by a full step in a direction that rounding decides. In bfloat16 this affects most
	// weights, so that only the first result is a real check.
	drift float64
	// setup runs in a scope that stays open. The function that it returns takes n steps and returns their results.
	setup func(on tensor.Device) func(n int) []float64
}

// tolerance returns the relative tolerance of the first result: rounding in float32, or in bfloat16, whose precision is 2⁻⁸.
func (w workload) tolerance() float64 {
	if w.bf16 {
		return .05
	}
	return 1e-4
}

// The forms of most scripts, and of those that can compute all tasks at once.
var (
	twoForms   = []string{"plain", "best"}
	threeForms = []string{"plain", "best", "grouped"}
	halfForms  = []string{"autocast", "autocast-best"}
	kochForms  = []string{"plain", "best", "fourier"} // fourier computes the largest layer by Fourier transforms
	textForms  = []string{"plain", "best", "fused"}   // fused is PyTorch's own transformer layer
	photoForms = []string{"plain", "best", "folded"}  // folded has batch norms in the convolutions
)

// bfloat16Pays measures once, so that a row and its label agree.
var bfloat16Pays = sync.OnceValue(encoder.BFloat16Pays)

var workloads = []workload{
	{name: "add8", what: "adding two 8-float tensors, with allocation, error check and freeing", torch: "add8.py", steps: 20000, setup: add8},
	{name: "chain10", what: "ten operations on [16, 32], forward and backward", torch: "chain10.py", steps: 1000, setup: chain10},
	{name: "ntm-1", what: "an NTM step on copy, 20 vectors, one sequence", torch: "ntm.py", args: []string{"1"}, steps: 20, forms: twoForms,
		plain: 10, best: 10, drift: .01, setup: copying(1, ntmMemory)},
	{name: "ntm-16", what: "the same, 16 sequences", torch: "ntm.py", args: []string{"16"}, steps: 10, forms: twoForms,
		plain: 6, best: 6, drift: .01, setup: copying(16, ntmMemory)},
	{name: "mann-16", what: "a MANN step, 16 episodes of 5 classes with 10 images of 20×20 each, LSTM 200, LRUA 128×40, 4 heads", torch: "mann.py",
		args: []string{"16"}, steps: 5, forms: twoForms, plain: 5, best: 5, drift: .01, setup: remembering(16)},
	{name: "dnc-16", what: "a DNC step on copy, 20 vectors, 16 sequences, memory 128×20", torch: "dnc.py", args: []string{"16"}, steps: 3,
		forms: []string{"plain"}, plain: 5, best: 5, drift: .01, setup: copying(16, dncMemory)},
	{name: "gated-delta", what: "the gated delta rule, forward and backward, 16 sequences of 256 tokens, 4 heads of 64", torch: "gated_delta.py",
		steps: 1, forms: twoForms, plain: 5, best: 1.3, drift: .01, setup: gatedDelta},
	{name: "conv4-5x1", what: "a Conv-4 prototypical step, 5-way 1-shot, 15 queries per class, 80 images", torch: "conv4.py",
		args: []string{"5", "1", "15"}, steps: 10, forms: twoForms, plain: 2.5, best: 1.3, operations: trained(conv4(80)), drift: .01,
		setup: prototypes(characters, 5, 1, 15, false)},
	{name: "conv4-20x5", what: "the same, 20-way 5-shot, 15 queries per class, 400 images", torch: "conv4.py", args: []string{"20", "5", "15"}, steps: 3,
		forms: twoForms, plain: 2.5, best: 1.3, operations: trained(conv4(400)), drift: .01, setup: prototypes(characters, 20, 5, 15, false)},
	{name: "conv4-60x1", what: "the same, 60-way 1-shot, 5 queries per class, 360 images", torch: "conv4.py", args: []string{"60", "1", "5"}, steps: 3,
		forms: twoForms, plain: 2.5, best: 1.3, operations: trained(conv4(360)), drift: .01, setup: prototypes(characters, 60, 1, 5, false)},
	{name: "conv4-5x1-auto", what: "conv4-5x1 in the precision that is faster on this machine", torch: "conv4.py",
		args: []string{"5", "1", "15"}, steps: 10, forms: halfForms, plain: 5, best: 1.6, operations: trained(conv4(80)), bf16: true, drift: 3,
		setup: prototypes(characters, 5, 1, 15, true)},
	{name: "conv4-20x5-auto", what: "conv4-20x5 in that precision", torch: "conv4.py", args: []string{"20", "5", "15"}, steps: 3,
		forms: halfForms, plain: 5, best: 1.6, operations: trained(conv4(400)), bf16: true, drift: 3, setup: prototypes(characters, 20, 5, 15, true)},
	{name: "conv4-60x1-auto", what: "conv4-60x1 in that precision", torch: "conv4.py", args: []string{"60", "1", "5"}, steps: 3,
		forms: halfForms, plain: 5, best: 1.6, operations: trained(conv4(360)), bf16: true, drift: 3, setup: prototypes(characters, 60, 1, 5, true)},
	{name: "conv4-32", what: "conv4-5x1 on colour images of 32×32, 20-way 5-shot, 10 queries per class, 300 images", torch: "conv4.py",
		args: []string{"20", "5", "10", "train", "3", "32"}, steps: 3, forms: twoForms, plain: 2.5, best: 1.3,
		operations: trained(coloured(300, 3, 32, 16, 8, 4)), drift: .01, setup: prototypes(cifar, 20, 5, 10, false)},
	{name: "conv4-84", what: "conv4-5x1 on colour images of 84×84, 80 images", torch: "conv4.py",
		args: []string{"5", "1", "15", "train", "3", "84"}, steps: 2, forms: twoForms, plain: 3.5, best: 1.6,
		operations: trained(coloured(80, 3, 84, 42, 21, 10)), drift: .01, setup: prototypes(imageNet, 5, 1, 15, false)},
	{name: "resnet12-32", what: "a step of a classifier of 64 classes on ResNet-12, 64 colour images of 32×32", torch: "resnet12.py",
		args: []string{"64", "32", "train"}, steps: 1, forms: twoForms, plain: 2.5, best: 1.4, operations: trained(resnet12(64, 32)), drift: .02,
		setup: classifier(cifar, 64)},
	{name: "resnet12-84", what: "the embeddings of 100 colour images of 84×84 by that encoder, inductive", torch: "resnet12.py",
		args: []string{"100", "84", "evaluate"}, steps: 1, forms: twoForms, operations: evaluated(resnet12(100, 84)), setup: embedding(imageNet, 100)},
	{name: "resnet18-224", what: "the embeddings of 16 colour images of 224×224 by ResNet-18, inductive", torch: "resnet18.py", args: []string{"16"},
		steps: 1, forms: photoForms, plain: 1, best: 1, operations: evaluated(resnet18(16)), setup: photographs(16)},
	{name: "matching-fce", what: "a Matching network step with full context, 5 reads, 20-way 1-shot, 5 queries per class", torch: "matching.py",
		args: []string{"20", "1", "5"}, steps: 5, forms: twoForms, plain: 3, best: 1.5, operations: matchingOperations(20, 1, 5), drift: .02,
		setup: matching(20, 1, 5)},
	{name: "matching", what: "a Matching network step, 20-way 1-shot, 5 queries per class, by cosines", torch: "attention.py",
		args: []string{"20", "1", "5", "cosine"}, steps: 5, forms: twoForms, operations: trained(conv4(120)), drift: .02, setup: attending(nil, 20, 1, 5)},
	{name: "matching-hopfield", what: "the same with a modern Hopfield network as memory", torch: "attention.py",
		args: []string{"20", "1", "5", "hopfield"}, steps: 5, forms: twoForms, operations: trained(conv4(120)), drift: .02,
		setup: attending(memory.NewHopfield(memory.HopfieldConfig{}), 20, 1, 5)},
	{name: "relation", what: "a Relation network step, 20-way 1-shot, 5 queries per class, 2000 pairs", torch: "relation.py",
		args: []string{"20", "1", "5"}, steps: 3, forms: twoForms, plain: 2, best: 1.2, operations: relationOperations(20, 1, 5), drift: .01,
		setup: relation(20, 1, 5)},
	{name: "siamese", what: "a step of Koch's Siamese network, batch norm, 8 pairs of 105×105", torch: "siamese.py", args: []string{"8"}, steps: 1,
		forms: kochForms, plain: 2, best: 1.2, operations: kochOperations(8), drift: .02, setup: koch(8)},
	{name: "maml", what: "a second-order MAML step, 5-way 1-shot, 32 tasks, its Omniglot network", torch: "maml.py", args: []string{"second", "32"},
		steps: 2, forms: threeForms, plain: 3, best: 2, operations: metaOperations(false, 32), drift: .02, setup: metaStep(false, 32)},
	{name: "fomaml", what: "the same, first order", torch: "maml.py", args: []string{"first", "32"}, steps: 3, forms: threeForms,
		operations: metaOperations(true, 32), drift: .02, setup: metaStep(true, 32)},
	{name: "maml-4", what: "the second-order step on 4 tasks", torch: "maml.py", args: []string{"second", "4"}, steps: 8, forms: threeForms,
		plain: 3, best: 2, operations: metaOperations(false, 4), drift: .02, setup: metaStep(false, 4)},
	{name: "reptile", what: "a meta-step of Reptile, 5 tasks, 5 inner steps on 10 images each, its Omniglot network", torch: "reptile.py",
		args: []string{"5"}, steps: 3, forms: threeForms, plain: 2, best: 1.5, operations: reptileOperations(5), drift: .02, setup: reptileStep(5)},
	{name: "memnet", what: "a Memory Network step, 32 questions on 50 sentences of 6 words, width 20, 3 hops", torch: "memnet.py", steps: 50,
		forms: twoForms, plain: 2, best: 1.5, drift: .01, setup: answering},
	{name: "sampling", what: "an episode drawn and put into tensors, 20-way 5-shot, 15 queries per class, from 20,000 images", torch: "sampling.py",
		args: []string{"20", "5", "15"}, steps: 300, forms: []string{"best"}, plain: 20, best: 1, setup: sampling(20, 5, 15)},
	{name: "evaluation", what: "an evaluation of a Prototypical network on Conv-4, 20-way 5-shot, 15 queries per class, inductive", torch: "conv4.py",
		args: []string{"20", "5", "15", "evaluate"}, steps: 5, forms: twoForms, operations: evaluated(conv4(400)), setup: evaluation(20, 5, 15)},
	{name: "minilm", what: "MiniLM embeds 64 sentences of 32 tokens", torch: "minilm.py", steps: 2, forms: textForms, plain: 1, best: 1,
		operations: evaluated(embeddingOperations()), setup: sentenceEmbedding(false)},
	{name: "minilm-train", what: "the same, a training step of all parameters", torch: "minilm.py", args: []string{"train"}, steps: 1, forms: textForms,
		plain: 2, best: 1.5, operations: trained(embeddingOperations()), drift: .05, setup: sentenceEmbedding(true)},
}

func add8(on tensor.Device) func(int) []float64 {
	x, y := uniform(on, 1, 8), uniform(on, 2, 8)
	return func(n int) []float64 {
		const each = 100 // operations per scope, as in a small training step
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

func chain10(on tensor.Device) func(int) []float64 {
	x, a, b := uniform(on, 1, 16, 32).RequireGrad(), uniform(on, 2, 16, 32), uniform(on, 3, 16, 32)
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
