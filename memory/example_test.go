package memory_test

import (
	"fmt"

	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// An LSTM drives a memory: its input is the network's input and the last read, and its output controls the memory.
func ExampleRecurrent() {
	scope := tensor.Enter()
	defer scope.Leave()
	const batch, in, hidden = 2, 8, 100
	b := nn.NewBuilder(1, tensor.CPU)
	defer b.Params().Free()
	var m memory.Recurrent = memory.NewNTM(b.In("memory"), memory.NTMConfig{Control: hidden})
	cell := nn.NewLSTMCell(b.In("controller"), in+m.ReadWidth(), hidden)

	p := &nn.Pass{}
	controller, state, read := cell.Init(batch), m.Init(p, batch), tensor.Zeros(batch, m.ReadWidth())
	for range 5 {
		x := tensor.Zeros(batch, in)
		controller = cell.Step(p, tensor.Cat(1, x, read), controller)
		read, state = m.Step(p, controller.Hidden, state)
	}
	fmt.Println("read", read.Shape())
	for _, n := range state.Tensors() {
		fmt.Println(n.Name, n.Tensor.Shape())
	}
	// Output:
	// read [2 20]
	// memory [2 128 20]
	// weightings [2 2 128]
}
