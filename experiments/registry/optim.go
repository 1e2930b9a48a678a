package registry

import "github.com/engram-go/engram/nn"

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

type stepConfig struct {
	Every  int64   `yaml:"every" min:"1" required:"true" doc:"steps, or epochs where train counts them"`
	Factor float64 `yaml:"factor" above:"0" doc:"multiplies the rate each time"`
}

func schedules() []Part[Schedule] {
	return []Part[Schedule]{
		{"constant", "the rate as it is", "", Plain[Schedule](func(int64) nn.Schedule { return nn.ConstantRate() })},
		{"step", "a factor every so many steps", "", Config(stepConfig{Every: 1, Factor: .5}, func(c *stepConfig) (Schedule, error) {
			return func(int64) nn.Schedule { return nn.StepRate(c.Every, c.Factor) }, nil
		})},
		{kindLinear, "down to zero in a straight line", "", Plain[Schedule](nn.LinearRate)},
		{kindCosine, "down to zero along half a cosine", "Loshchilov and Hutter 2017", Plain[Schedule](nn.CosineRate)},
	}
}
