package maml_test

import (
	"fmt"
	"log"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/maml"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// A training step moves the initial values by the meta-gradient of a batch of tasks. In a test the network adapts to each
// task's support set before it classifies the queries.
func Example() {
	err := tensor.Do(func() error { // frees the tensors made inside
		b := nn.NewBuilder(1, tensor.CPU)
		defer b.Params().Free()
		e, err := encoder.NewConv4(b.In("encoder"), encoder.Conv4Config{Height: 28, Width: 28, Filters: 8, Strided: true})
		if err != nil {
			return err
		}
		net := maml.New(b, e, maml.Config{Way: 2, Steps: 1, TestSteps: 5, Rate: .1})
		opt := nn.NewAdam(b.Params(), nn.DefaultAdam())
		defer opt.Free()
		t := task()
		for range 5 {
			step := tensor.Enter()
			grads, _, _ := net.Gradients(&nn.Pass{Training: true}, t)
			opt.Step(grads, 1e-3)
			step.Leave()
		}
		logp := net.LogProbs(&nn.Pass{}, t) // [tasks, query, way]
		fmt.Println(tensor.Values[int64](logp.Argmax(-1)))
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// [1 0 0]
}

// lines draws one line of 20 pixels per image of 28×28, horizontal or vertical, at the given rows or columns.
func lines(horizontal bool, at ...int) []float32 {
	out := make([]float32, len(at)*28*28)
	for i, k := range at {
		for along := 4; along < 24; along++ {
			row, column := k, along
			if !horizontal {
				row, column = along, k
			}
			out[(i*28+row)*28+column] = 1
		}
	}
	return out
}

// task has two classes, horizontal and vertical lines, with two support examples each and three queries.
func task() *fewshot.Task {
	support := append(lines(true, 8, 16), lines(false, 8, 16)...)
	queries := append(lines(false, 12), lines(true, 10, 14)...)
	return &fewshot.Task{
		Way:     2,
		Support: tensor.New(support, 1, 4, 1, 28, 28), SupportLabels: tensor.New([]int64{0, 0, 1, 1}, 1, 4),
		Query: tensor.New(queries, 1, 3, 1, 28, 28), QueryLabels: tensor.New([]int64{1, 0, 0}, 1, 3),
	}
}
