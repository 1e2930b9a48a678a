// Package tensor holds tensors, their lifetime, autograd, devices and threads. It is the only package of Engram that
// uses gotch and C.
//
// # Lifetime
//
// The garbage collector does not see LibTorch's memory, so lifetime is by scope. An operation's result belongs to the
// innermost open scope of its goroutine and is freed when that scope is left:
//
//	err := tensor.Do(func() error {
//		x := tensor.New([]float32{1, 2, 3}, 3)
//		y := x.Mul(x).Sum()
//		fmt.Println(y.Float())
//		return nil
//	}) // x, y and all intermediate results are freed
//
// [Scope.Keep] moves a tensor to the enclosing scope, [Tensor.Own] to the caller, who frees it. Using a freed tensor
// panics with the operation's name; it never reads freed memory.
//
// # Errors
//
// A wrong shape is a programmer error: the operation panics with an [*Error] that contains its name, the operands'
// shapes and LibTorch's message. [Do] and [Catch] convert the panic to an error at the boundary of a public call.
//
// # Threads
//
// LibTorch's gradient mode and error slot are per OS thread, so an open scope locks its goroutine to a thread. A
// tensor may be read from several goroutines, each with its own scope. At most [MaxScopes] goroutines hold scopes at
// once; others wait, with [DoContext] until a context ends. [Do] documents the cost of a scope.
//
// # Gradients
//
// An operation is recorded for [Grad] where an operand needs a gradient: one that [Tensor.RequireGrad] marked, or a result of
// such. A tensor that was recorded keeps all that it was computed from until it is freed, which [Live] does not count. A
// network's parameters are marked, but a pass that does not train takes them for constants, so that an evaluation records
// nothing; [WithGrad] around it records all the same, and inside [NoGrad] nothing is recorded at all.
//
// # Operations
//
// Most of what this package exports is general:
//
//   - making tensors: [New], [Scalar], [Zeros], [Ones], [Full], [Eye], [Ramp], [Empty], [Made], [OfBytes], [Upload];
//   - the methods of [Tensor] (arithmetic, reductions, shapes, indexing, linear algebra), [Cat], [Stack], [Where];
//   - layers and losses: [Linear], [Conv2d], [MaxPool2d], [BatchNorm], [LSTM], [LSTMStep], [EmbeddingBag], [NLL],
//     [BCEWithLogits]; [Adam]'s update; [ClipGradient]; [Module] for TorchScript.
//
// The rest are fast paths of particular networks. Each has a reference implementation elsewhere, which is composed of general
// operations and used where the fast path does not apply:
//
//   - [ConvNormReLUPool], [NormReLUPool] and [Conv2dFirstOrder], with [ConvNormReLUPoolPlain] and [NormReLUPoolPlain]: the blocks of
//     Conv-4, of ResNets and of other encoders of few-shot networks;
//   - [ConvNet], [MetaGradient], [AdamSteps], [Rates]: MAML and Reptile on Conv-4;
//   - [TuneWeights], [Tuning]: TIM and transductive fine-tuning of class weights;
//   - [MemoryStep], [Unroll], [MemoryKernel], [Unrolled], [UnrolledMemory], [FusesSteps]: the NTM and MANN with their memories;
//   - [TrackEntities]: the Recurrent Entity Network;
//   - [Attend]: the hops of a Memory Network.
package tensor
