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

// A network learns two new classes, horizontal and vertical lines, from two images each. Nothing is trained here; harder
// classes need a trained encoder.
func Example() {
	err := tensor.Do(func() error { // frees the tensors made inside
		b := nn.NewBuilder(1, tensor.CPU)
		defer b.Params().Free()
		e, err := encoder.NewConv4(b, encoder.Conv4Config{Height: 28, Width: 28})
		if err != nil {
			return err
		}
		task := &fewshot.Task{
			Way:           2,
			Support:       tensor.New(images(horizontal(8), horizontal(16), vertical(8), vertical(16)), 1, 4, 1, 28, 28),
			SupportLabels: tensor.New([]int64{0, 0, 1, 1}, 1, 4),
			Query:         tensor.New(images(vertical(12), horizontal(10), horizontal(14)), 1, 3, 1, 28, 28),
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

func horizontal(at int) func(along int) pixel {
	return func(along int) pixel { return pixel{at, along} }
}
func vertical(at int) func(along int) pixel { return func(along int) pixel { return pixel{along, at} } }

// images draws one line of 20 pixels per image of 28×28.
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
