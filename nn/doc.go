// Package nn holds parameters, layers, initialisers, optimisers, schedules and state files.
//
// A layer is a struct of parameters and settings and holds no state of an evaluation. What differs between
// evaluations, such as the statistics of batch norm, is in the [Pass] that every Forward takes:
//
//	b := nn.NewBuilder(seed, tensor.CPU)
//	hidden, out := nn.NewLinear(b.In("hidden"), 2, 16), nn.NewLinear(b.In("out"), 16, 1)
//	params := b.Params()
//	defer params.Free()
//	opt := nn.NewAdam(params, nn.DefaultAdam())
//	for range steps {
//		s := tensor.Enter()
//		p := &nn.Pass{Training: true}
//		y := out.Forward(p, hidden.Forward(p, x).Tanh())
//		loss := y.Sub(target).Square().Mean()
//		opt.Step(tensor.Grad(loss, params.Tensors()...), 1e-2)
//		s.Leave()
//	}
//
// Wrong shapes panic with a [*tensor.Error]; see package tensor.
package nn
