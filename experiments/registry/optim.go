package registry

import (
	"fmt"

	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/nn"
)

// The kinds of optimisers that files of some networks begin with.
const (
	Adam = "adam"
	SGD  = "sgd" // plain gradient descent
)

func optimizers() []Part[Optimizer] {
	adam := func(decoupled bool) Maker[Optimizer] {
		return Config(nn.DefaultAdam(), func(c *nn.AdamConfig) (Optimizer, error) {
			c.Decoupled = decoupled
			return Optimizer{func(ps *nn.Params) nn.Optimizer { return nn.NewAdam(ps, *c) }, c.Rate}, nil
		})
	}
	return []Part[Optimizer]{
		{Adam, "Adam", "Kingma and Ba 2015", adam(false)},
		{"adamw", "Adam with decoupled weight decay", "Loshchilov and Hutter 2019", adam(true)},
		{"rmsprop", "RMSProp", "Graves 2013, eqs. 38 to 45", Config(nn.DefaultRMSProp(), func(c *nn.RMSPropConfig) (Optimizer, error) {
			return Optimizer{func(ps *nn.Params) nn.Optimizer { return nn.NewRMSProp(ps, *c) }, c.Rate}, nil
		})},
		{SGD, "stochastic gradient descent", "", Config(nn.DefaultSGD(), func(c *nn.SGDConfig) (Optimizer, error) {
			return Optimizer{func(ps *nn.Params) nn.Optimizer { return nn.NewSGD(ps, *c) }, c.Rate}, nil
		})},
	}
}

// warmUp is the key that every schedule has.
type warmUp struct {
	WarmUp int64 `yaml:"warm_up" min:"0" doc:"steps, or epochs where train counts them, over which the rate first rises from near zero to the schedule's"`
}

func (c warmUp) warm(s nn.Schedule) nn.Schedule {
	if c.WarmUp == 0 {
		return s
	}
	return nn.WarmUp(c.WarmUp, s)
}

type stepConfig struct {
	Every  int64   `yaml:"every" min:"1" required:"true" doc:"steps, or epochs where train counts them"`
	Factor float64 `yaml:"factor" above:"0" doc:"multiplies the rate each time"`
	warmUp `yaml:",inline"`
}

type multiStepConfig struct {
	At      []int64   `yaml:"at" required:"true" min:"1" minlen:"1" doc:"the steps after which the rate changes, in increasing order; epochs where train counts them"`
	Factor  float64   `yaml:"factor" above:"0" doc:"multiplies the rate each time"`
	Factors []float64 `yaml:"factors" above:"0" doc:"one for each of at, in the place of factor"`
	warmUp  `yaml:",inline"`
}

// Validate implements [schema.Validator].
func (c *multiStepConfig) Validate() error {
	for i := 1; i < len(c.At); i++ {
		if c.At[i] <= c.At[i-1] {
			return schema.At("at", fmt.Errorf("%d comes after %d; give the steps in increasing order", c.At[i], c.At[i-1]))
		}
	}
	if n := len(c.Factors); n > 0 && n != len(c.At) {
		return schema.At("factors", fmt.Errorf("there are %d for %d steps; give one for each, or factor for all", n, len(c.At)))
	}
	return nil
}

func schedules() []Part[Schedule] {
	over := func(f func(units int64) nn.Schedule) Maker[Schedule] {
		return Config(warmUp{}, func(c *warmUp) (Schedule, error) {
			return func(units int64) nn.Schedule { return c.warm(f(units)) }, nil
		})
	}
	return []Part[Schedule]{
		{"constant", "the rate as it is", "", over(func(int64) nn.Schedule { return nn.ConstantRate() })},
		{"step", "a factor every so many steps", "", Config(stepConfig{Every: 1, Factor: .5}, func(c *stepConfig) (Schedule, error) {
			return func(int64) nn.Schedule { return c.warm(nn.StepRate(c.Every, c.Factor)) }, nil
		})},
		{"multi-step", "a factor at each of some steps", "", Config(multiStepConfig{Factor: .1}, func(c *multiStepConfig) (Schedule, error) {
			factors := c.Factors
			if len(factors) == 0 {
				factors = []float64{c.Factor}
			}
			return func(int64) nn.Schedule { return c.warm(nn.MultiStepRate(c.At, factors...)) }, nil
		})},
		{kindLinear, "down to zero in a straight line", "", over(nn.LinearRate)},
		{kindCosine, "down to zero along half a cosine", "Loshchilov and Hutter 2017", over(nn.CosineRate)},
	}
}

// Average is a planned average of the weights over training: it wraps the optimizer of the parameters ps.
type Average func(ps *nn.Params, opt nn.Optimizer) nn.Optimizer

type emaConfig struct {
	Decay float64 `yaml:"decay" above:"0" below:"1" doc:"what is kept of the average at each step"`
	From  int64   `yaml:"from" min:"1" doc:"the first step whose weights count"`
}

type swaConfig struct {
	From  int64 `yaml:"from" min:"1" required:"true" doc:"the first step whose weights count"`
	Every int64 `yaml:"every" min:"1" doc:"steps between weights that count"`
}

func averages() []Part[Average] {
	wrap := func(c nn.AverageConfig) (Average, error) {
		return func(ps *nn.Params, opt nn.Optimizer) nn.Optimizer { return nn.NewAverager(ps, opt, c) }, nil
	}
	return []Part[Average]{
		{"ema", "the exponential moving average", "Polyak and Juditsky 1992", Config(emaConfig{.999, 1}, func(c *emaConfig) (Average, error) {
			return wrap(nn.AverageConfig{Decay: c.Decay, From: c.From})
		})},
		{"swa", "the mean over the last part of training", "Izmailov et al. 2018", Config(swaConfig{1, 1}, func(c *swaConfig) (Average, error) {
			return wrap(nn.AverageConfig{From: c.From, Every: c.Every})
		})},
	}
}
