package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/engram-go/engram/experiments"
	"github.com/engram-go/engram/experiments/runner"
	"github.com/engram-go/engram/internal/small"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/stream"
	"github.com/engram-go/engram/tensor"
)

// The largest differences that rounding explains, relative to the values on the CPU: in float32, and for networks with bfloat16
// convolutions.
const (
	bound     = 1e-4
	halfBound = .1
)

// Parity compares the first training step of an experiment on the device with the CPU's.
type Parity struct {
	Name      string  `json:"name"`
	LossOnCPU float64 `json:"loss_on_cpu"`
	Loss      float64 `json:"loss"`
	LossDiff  float64 `json:"loss_difference"`     // relative
	GradDiff  float64 `json:"gradient_difference"` // the norm of the difference of all gradients, relative to the norm on the CPU
	Untrained bool    `json:"untrained,omitempty"` // the experiment trains nothing, and there is no step to compare
	Error     string  `json:"error,omitempty"`
}

// errUntrained says that an experiment has no batches to train on.
var errUntrained = errors.New("there is no training data")

func (p Parity) allowed() float64 {
	if strings.HasSuffix(p.Name, "-bf16") {
		return halfBound
	}
	return bound
}

// OK reports whether the device computes what the CPU does.
func (p Parity) OK() bool {
	return p.Error == "" && p.LossDiff <= p.allowed() && p.GradDiff <= p.allowed() // false for NaN
}

func (p Parity) String() string {
	verdict := "agrees"
	switch {
	case p.Error != "":
		verdict = "FAILED: " + p.Error
	case p.Untrained:
		return fmt.Sprintf("%-32s trains nothing", p.Name)
	case !p.OK():
		verdict = "DIFFERS"
	}
	return fmt.Sprintf("%-32s loss %.6g, difference %.1e, of gradients %.1e: %s", p.Name, p.Loss, p.LossDiff, p.GradDiff, verdict)
}

// parity takes the first step of the small version of an experiment on both devices.
func parity(ctx context.Context, tool *experiments.Tool, file string, on tensor.Device) (out Parity) {
	var losses [2]float64
	var grads [2][][]float64
	for i, device := range []tensor.Device{tensor.CPU, on} {
		c, err := load(tool, file, small.Overrides, "device="+device.String())
		if err == nil {
			losses[i], grads[i], err = firstStep(ctx, c, device)
		}
		if errors.Is(err, errUntrained) {
			out.Untrained = true
			return out
		}
		if err != nil {
			out.Error = fmt.Sprintf("%s: %v", device, err)
			return out
		}
	}
	out.LossOnCPU, out.Loss = losses[0], losses[1]
	out.LossDiff = math.Abs(losses[0]-losses[1]) / math.Max(math.Abs(losses[0]), 1)
	var difference, norm float64
	for i, want := range grads[0] {
		for k, v := range want {
			norm += v * v
			difference += (v - grads[1][i][k]) * (v - grads[1][i][k])
		}
	}
	out.GradDiff = math.Sqrt(difference / math.Max(norm, 1e-30))
	return out
}

// firstStep returns the loss of an experiment's first training step, and its gradients by parameter.
func firstStep(ctx context.Context, c *experiments.Config, on tensor.Device) (loss float64, grads [][]float64, err error) {
	if err := c.Settle(on); err != nil {
		return 0, nil, err
	}
	if err := c.Work.Load(ctx, runner.Source{Seed: c.Seed, Note: func(string) {}}); err != nil {
		return 0, nil, err
	}
	b := nn.NewBuilder(c.Seed, on)
	defer b.Params().Free()
	if err := tensor.Do(func() error { return c.Work.Build(b) }); err != nil {
		return 0, nil, err
	}
	if err := b.Params().Begin(); err != nil {
		return 0, nil, err
	}
	for batch := range c.Work.Batches(ctx, 0) {
		err := tensor.Do(func() error {
			pass := &nn.Pass{Training: true, Norm: nn.BatchStats, Rand: stream.New(c.Seed, "noise", 0), Carried: c.Clip.Carried}
			of, value, _ := runner.Gradients(batch, pass, b.Params(), on)
			loss = value.Float()
			for _, g := range of {
				var values []float64
				if g != nil {
					values = g.To(tensor.Float64).Floats()
				}
				grads = append(grads, values)
			}
			return nil
		})
		return loss, grads, err
	}
	return 0, nil, cmp.Or(ctx.Err(), errUntrained)
}
