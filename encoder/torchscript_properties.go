package encoder

import (
	"math"
	"slices"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/stream"
	"github.com/engram-go/engram/tensor"
)

// HasDropout implements [HasDropout]. It runs a trained module twice in training mode, with different random numbers and
// copies of its buffers, and compares the results. A module that is not trained runs in evaluation mode, without dropout.
func (e *TorchScript) HasDropout() bool {
	if !e.config.Train {
		return false
	}
	return e.differs(func() (a, b *tensor.Tensor) {
		x := e.probeInput(2)
		run := func(seed uint64) *tensor.Tensor {
			return e.Forward(e.onCopies(&nn.Pass{Training: true, Rand: stream.New(seed, "encoder/probe")}), x)
		}
		return run(1), run(2)
	})
}

// UsesBatchStatistics implements [UsesBatchStatistics]. It embeds one input together with a second and together with
// a third, and compares the embeddings. A module that is not trained usually normalises by its running statistics for
// any pass.
func (e *TorchScript) UsesBatchStatistics() bool {
	return e.differs(func() (a, b *tensor.Tensor) {
		x := e.probeInput(3)
		with := func(other int64) *tensor.Tensor {
			pair := tensor.Cat(0, x.Narrow(0, 0, 1), x.Narrow(0, other, 1))
			return e.Forward(e.onCopies(&nn.Pass{Norm: nn.BatchStats}), pair).Narrow(0, 0, 1)
		}
		return with(1), with(2)
	})
}

// probeTolerance is the relative difference of embeddings that rounding in another batch may cause.
const probeTolerance = 1e-3

// differs reports whether two results differ by more than rounding. If the module fails on the probe's input, it
// returns false: the failure is reported when the module is used.
func (e *TorchScript) differs(pair func() (a, b *tensor.Tensor)) (out bool) {
	err := tensor.Do(func() error {
		tensor.NoGrad(func() {
			a, b := pair()
			largest := func(x *tensor.Tensor) float64 { return slices.Max(x.Abs().Floats()) }
			out = largest(a.Sub(b)) > probeTolerance*max(largest(a), largest(b))
		})
		return nil
	})
	return err == nil && out
}

// onCopies returns p with copies of the module's parameters and buffers, so that no call changes them.
func (e *TorchScript) onCopies(p *nn.Pass) *nn.Pass {
	out := p.Clone()
	for _, param := range e.params {
		v := param.Value()
		out.With[param] = v.Detach().Clone().To(v.DType())
	}
	return out
}

// probeInput returns n different inputs. The first is random: pixels between 0 and 1, or the tokens 0 and 1. The others are
// constant, 0 and 1 by turns, so that the statistics of a batch depend on which of them are in it.
func (e *TorchScript) probeInput(n int64) *tensor.Tensor {
	shape := append([]int64{n}, e.config.Input...)
	size := 1
	for _, d := range e.config.Input {
		size *= int(d)
	}
	r := stream.New(0, "encoder/probe")
	values := make([]float32, size*int(n))
	for i := range values {
		switch {
		case i >= size:
			values[i] = float32((i/size - 1) % 2)
		case e.config.Tokens:
			values[i] = float32(math.Round(float64(r.Float32())))
		default:
			values[i] = r.Float32()
		}
	}
	x := tensor.New(values, shape...)
	if e.config.Tokens {
		x = x.To(tensor.Int64)
	}
	return x.On(e.device)
}
