package protonet_test

import (
	"fmt"
	"log"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/protonet"
	"github.com/engram-go/engram/tensor"
)

// Two classes that the network has never seen, lines that lie and lines that stand, are learned from two images each.
// Nothing is trained: the examples are all that a class takes. For harder classes load a trained encoder.
func Example() {
	err := tensor.Do(func() error { // frees the tensors that are made in it
		b := nn.NewBuilder(1, tensor.CPU)
		defer b.Params().Free()
		e, err := encoder.NewConv4(b, encoder.Conv4Config{Height: 28, Width: 28})
		if err != nil {
			return err
		}
		task := &fewshot.Task{
			Way:           2,
			Support:       tensor.New(images(lies(8), lies(16), stands(8), stands(16)), 1, 4, 1, 28, 28),
			SupportLabels: tensor.New([]int64{0, 0, 1, 1}, 1, 4),
			Query:         tensor.New(images(stands(12), lies(10), lies(14)), 1, 3, 1, 28, 28),
		}
		logp := protonet.New(e, nil).LogProbs(&nn.Pass{}, task) // [tasks, query, way]
		fmt.Println(tensor.Values[int64](logp.Argmax(-1)))
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: [1 0 0]
}

type pixel struct{ row, column int }

func lies(at int) func(along int) pixel   { return func(along int) pixel { return pixel{at, along} } }
func stands(at int) func(along int) pixel { return func(along int) pixel { return pixel{along, at} } }

// images draws lines of 20 pixels, one an image of 28×28.
func images(lines ...func(along int) pixel) []float32 {
	out := make([]float32, len(lines)*28*28)
	for i, line := range lines {
		for along := 4; along < 24; along++ {
			p := line(along)
			out[(i*28+p.row)*28+p.column] = 1
		}
	}
	return out
}
