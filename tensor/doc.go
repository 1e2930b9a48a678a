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
// An operation is recorded for [Grad] if an operand requires a gradient: one marked by [Tensor.RequireGrad], or a
// result of such. A recorded tensor keeps everything it was computed from until it is freed; [Live] does not count
// that. A network's parameters are marked, but passes outside training take them as constants, so that an evaluation
// records nothing. [WithGrad] makes it record, and [NoGrad] disables all recording.
package tensor
