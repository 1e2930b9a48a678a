package matchingnet_test

import (
	"fmt"
	"log"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/matchingnet"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// The network classifies three queries by attention over four labelled images. Nothing is trained here; harder classes need a
// trained encoder.
func Example() {
	err := tensor.Do(func() error { // frees the tensors made inside
		b := nn.NewBuilder(1, tensor.CPU)
		defer b.Params().Free()
		e, err := encoder.NewConv4(b.In("encoder"), encoder.Conv4Config{Height: 28, Width: 28})
		if err != nil {
			return err
		}
		logp := matchingnet.New(e, nil).LogProbs(&nn.Pass{}, task()) // [tasks, query, way]
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
