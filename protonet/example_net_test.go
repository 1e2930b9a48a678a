package protonet_test

import (
	"fmt"
	"log"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/episode"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/protonet"
	"github.com/engram-go/engram/tensor"
)

// A training step draws an episode, computes the loss and its gradients, and updates the parameters.
func ExampleNet_Loss() {
	set, err := dataset.NewStrokes(1, dataset.DrawnOptions{})
	if err != nil {
		log.Fatal(err)
	}
	sampler, err := episode.New(set, episode.Spec{Way: 5, Shot: 1, Query: 5, Rotation: dataset.RotateNone}, 1, "train")
	if err != nil {
		log.Fatal(err)
	}
	b := nn.NewBuilder(1, tensor.CPU)
	defer b.Params().Free()
	e, err := encoder.NewConv4(b, encoder.Conv4Config{Height: 28, Width: 28, Filters: 8})
	if err != nil {
		log.Fatal(err)
	}
	net, opt := protonet.New(e, nil), nn.NewAdam(b.Params(), nn.DefaultAdam())
	defer opt.Free()
	for step := range uint64(3) {
		err := tensor.Do(func() error {
			loss, logp := net.Loss(&nn.Pass{Training: true}, fewshot.NewTask(sampler.Batch(step, 1), tensor.CPU))
			opt.Step(tensor.Grad(loss, b.Params().Tensors()...), 1e-3)
			fmt.Println("step", step+1, "on", logp.Dim(1), "queries")
			return nil
		})
		if err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// step 1 on 25 queries
	// step 2 on 25 queries
	// step 3 on 25 queries
}

// A trained network is loaded from the model file in a run folder of engram run.
func ExampleNet_LogProbs() {
	var examples, queries []float32 // images of 28×28: three examples of each of five classes; some queries
	var labels []int64              // the examples' classes, from 0 to 4
	err := tensor.Do(func() error {
		b := nn.NewBuilder(0, tensor.CPU)
		defer b.Params().Free()
		e, err := encoder.NewConv4(b.In("encoder"), encoder.Conv4Config{Height: 28, Width: 28})
		if err != nil {
			return err
		}
		trained, err := nn.Open("model.safetensors")
		if err != nil {
			return err
		}
		if err := b.Params().Load(trained); err != nil {
			return err
		}
		task := &fewshot.Task{
			Way: 5, Support: tensor.New(examples, 1, 15, 1, 28, 28), SupportLabels: tensor.New(labels, 1, 15),
			Query: tensor.New(queries, 1, int64(len(queries))/(28*28), 1, 28, 28),
		}
		inductive := &nn.Pass{Norm: nn.RunningStats} // independent of the other queries
		logp := protonet.New(e, nil).LogProbs(inductive, task)
		fmt.Println(tensor.Values[int64](logp.Argmax(-1)))
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
}
