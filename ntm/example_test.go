package ntm_test

import (
	"fmt"
	"log"

	"github.com/engram-go/engram/controller"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/ntm"
	"github.com/engram-go/engram/tensor"
)

// A small machine learns to repeat each input bit one time step later.
func Example() {
	err := tensor.Do(func() error { // frees the tensors made inside
		b := nn.NewBuilder(1, tensor.CPU)
		defer b.Params().Free()
		net := ntm.New(b, ntm.Config{
			Config: controller.Config{Inputs: 1, Size: 16, Memory: func(b *nn.Builder, control int64) memory.Recurrent {
				return memory.NewNTM(b, memory.NTMConfig{Control: control, Slots: 8, Width: 4})
			}},
			Outputs: 1,
		})
		opt := nn.NewAdam(b.Params(), nn.DefaultAdam())
		defer opt.Free()
		x := tensor.New([]float32{1, 0, 0, 1, 1, 0}, 6, 1, 1) // [time, batch, inputs]
		y := tensor.New([]float32{0, 1, 0, 0, 1, 1}, 6, 1, 1) // [time, batch, outputs]
		for range 100 {
			step := tensor.Enter()
			loss := tensor.BCEWithLogits(net.Forward(&nn.Pass{Training: true}, x, nil), y)
			opt.Step(tensor.Grad(loss, b.Params().Tensors()...), 1e-2)
			step.Leave()
		}
		for _, logit := range net.Forward(&nn.Pass{}, x, nil).Floats() {
			fmt.Print(logit > 0, " ")
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// false true false false true true
}
