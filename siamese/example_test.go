package siamese_test

import (
	"fmt"
	"log"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/siamese"
	"github.com/engram-go/engram/tensor"
)

// The network is trained for 20 steps on the pairs of one small task. It then classifies queries, and verifies whether two
// images show the same class.
func Example() {
	err := tensor.Do(func() error { // frees the tensors made inside
		b := nn.NewBuilder(1, tensor.CPU)
		defer b.Params().Free()
		e, err := encoder.NewConv4(b.In("encoder"), encoder.Conv4Config{Height: 28, Width: 28, Filters: 8})
		if err != nil {
			return err
		}
		net := siamese.New(b, e, siamese.Config{})
		opt := nn.NewAdam(b.Params(), nn.DefaultAdam())
		defer opt.Free()
		t := task()
		for range 20 {
			step := tensor.Enter()
			loss, _ := net.Loss(&nn.Pass{Training: true}, t)
			opt.Step(tensor.Grad(loss, b.Params().Tensors()...), 1e-2)
			step.Leave()
		}
		logp := net.LogProbs(&nn.Pass{}, t) // [tasks, query, way]
		fmt.Println("classes:", tensor.Values[int64](logp.Argmax(-1)))

		pairs := &fewshot.Pairs{
			Left:  tensor.New(append(lines(true, 8), lines(true, 8)...), 2, 1, 28, 28),
			Right: tensor.New(append(lines(true, 16), lines(false, 16)...), 2, 1, 28, 28),
			Same:  tensor.New([]float32{1, 0}, 2),
		}
		for _, logit := range net.Logits(&nn.Pass{}, pairs).Floats() {
			fmt.Println("same class:", logit > 0)
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// classes: [1 0 0]
	// same class: true
	// same class: false
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
