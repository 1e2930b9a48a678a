package registry

import (
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/memory/fastweight"
	"github.com/engram-go/engram/nn"
)

// A fastSetting is a named setting of the fast-weight memory: a row of memories that a controller drives and, unless it needs a
// controller, of memories of keys and values.
type fastSetting struct {
	name, doc, paper string
	recurrent        Maker[Recurrent]
	associative      func(p *Parts) Maker[Memory] // nil where it needs a controller
	mixer            Maker[Mixer]
}

func fastSettings() []fastSetting {
	// nominal is the largest rate of the named setting, in the unit of the key rate; store is the default for memories of keys and
	// values, which hold tens of pairs and not thousands of tokens.
	deep := func(name, doc, paper string, nominal, store float64, batch int64, of func(width int64) fastweight.Config) fastSetting {
		return fastSetting{name, doc, paper,
			Config(deepFastConfig{4, 16, nominal, batch}, func(c *deepFastConfig) (Recurrent, error) {
				return func(b *nn.Builder, control int64) memory.Recurrent {
					out := of(c.Width)
					out.Heads, out.MiniBatch = c.Heads, c.MiniBatch
					out.MaxRate *= c.Rate / nominal
					out.Positions = out.Positions && c.MiniBatch > 1
					return fastweight.NewRecurrent(b, control, out)
				}, nil
			}),
			func(p *Parts) Maker[Memory] {
				return Associative(p, deepStoreConfig{store, 1, 10}, func(c *deepStoreConfig, in MemoryInput) (*fastweight.Associative, error) {
					out := of(in.Width)
					out.MiniBatch, out.Positions = c.MiniBatch, out.Positions && c.MiniBatch > 1
					out.MaxRate *= c.Rate / nominal
					return fastweight.NewAssociative(in.Builder, fastweight.AssociativeConfig{Config: out, Learned: true, Scale: c.Scale}), nil
				})
			},
			layer(layerConfig{Heads: 2, Rate: nominal, Writes: 1, MiniBatch: max(batch, 16), Conv: 4}, of),
		}
	}
	return []fastSetting{
		{"linear-attention", "a matrix to which the outer products of keys and values are added", "Katharopoulos et al. 2020",
			Config(fastSizes{4, 16, 16}, func(c *fastSizes) (Recurrent, error) { return c.plan(fastweight.LinearAttention()), nil }),
			func(p *Parts) Maker[Memory] {
				return Associative(p, struct{}{}, func(_ *struct{}, in MemoryInput) (*fastweight.Associative, error) {
					out := fastweight.LinearAttention()
					out.Key = in.Width
					return fastweight.NewAssociative(in.Builder, fastweight.AssociativeConfig{Config: out}), nil
				})
			}, matrixLayer(1, 1, fastweight.LinearAttention)},
		{"delta", "a matrix written by the delta rule", "Schlag et al. 2021; Yang et al. 2024", driveMatrix(fastweight.Delta),
			func(p *Parts) Maker[Memory] {
				return Associative(p, deltaStoreConfig{Gates: gatesConstant, Rate: 1, Scale: 10}, func(c *deltaStoreConfig, in MemoryInput) (*fastweight.Associative, error) {
					return storeMatrix(fastweight.Delta(), in, c.Gates, c.Rate, 1, c.Scale), nil
				})
			}, matrixLayer(1, 1, fastweight.Delta)},
		{kindGatedDelta, "the delta rule with a decay", "Yang, Kautz and Hatamizadeh 2024", driveMatrix(fastweight.GatedDelta),
			func(p *Parts) Maker[Memory] {
				return Associative(p, gatedStoreConfig{deltaStoreConfig{gatesConstant, 1, 10}, .99}, func(c *gatedStoreConfig, in MemoryInput) (*fastweight.Associative, error) {
					return storeMatrix(fastweight.GatedDelta(), in, c.Gates, c.Rate, c.Keep, c.Scale), nil
				})
			}, matrixLayer(1, 1, fastweight.GatedDelta)},
		{"kda", "the delta rule with a decay per channel, Kimi Delta Attention", "Kimi Linear 2025", driveMatrix(fastweight.KDA),
			func(p *Parts) Maker[Memory] {
				return Associative(p, channelStoreConfig{1, 10}, func(c *channelStoreConfig, in MemoryInput) (*fastweight.Associative, error) {
					return storeMatrix(fastweight.KDA(), in, gatesLearned, c.Rate, 1, c.Scale), nil
				})
			}, matrixLayer(1, 1, fastweight.KDA)},
		{"delta-product", "several steps of the delta rule per token", "Siems et al. 2025",
			Config(productConfig{fastSizes{4, 16, 16}, 2, 2, false}, func(c *productConfig) (Recurrent, error) {
				out := fastweight.DeltaProduct(c.Writes)
				if out.MaxRate = c.Rate; c.Gated {
					out.Gate, out.DecayFirst = fastweight.PerHead, true
				}
				return c.plan(out), nil
			}), nil, matrixLayer(2, 2, func() fastweight.Config { return fastweight.DeltaProduct(2) })},
		deep("ttt-linear", "a linear model in a residual block, trained at test time", "Sun et al. 2024", 1, 32, 16, fastweight.TTTLinear),
		deep("ttt-mlp", "a model of two layers in a residual block, trained at test time", "Sun et al. 2024", .1, 8, 16, fastweight.TTTMLP),
		deep("titans", "a model of two layers written with momentum and decay", "Behrouz et al. 2025, Titans", .01, .1, 1, fastweight.Titans),
		deep("omega", "titans with the losses of the last 8 tokens at each write", "Behrouz et al. 2025, ATLAS", .00125, .05, 1, fastweight.Omega),
		deep("atlas", "omega with nearly orthogonal changes of the weights", "Behrouz et al. 2025, ATLAS", .1, .05, 1, fastweight.Atlas),
		deep("yaad", "a model of two layers written under a Huber loss", "Behrouz et al. 2025, MIRAS", .01, .3, 1, fastweight.Yaad),
		deep("moneta", "a model of two layers written under the p-norm, p = 3", "Behrouz et al. 2025, MIRAS", .01, .3, 1, fastweight.Moneta),
		deep("memora", "a model of two layers with positive weights of constant sums", "Behrouz et al. 2025, MIRAS", .1, 16, 1, fastweight.Memora),
	}
}

// matrixLayer is a matrix as a layer, with its largest rate and its writes per token.
func matrixLayer(rate float64, writes int64, of func() fastweight.Config) Maker[Mixer] {
	return layer(layerConfig{Heads: 2, Rate: rate, Writes: writes, MiniBatch: 1, Conv: 4}, func(int64) fastweight.Config { return of() })
}

func fastRecurrent() (out []Part[Recurrent]) {
	for _, s := range fastSettings() {
		out = append(out, Part[Recurrent]{s.name, s.doc, s.paper, s.recurrent})
	}
	return out
}

func fastMemories(p *Parts) (out []Part[Memory]) {
	for _, s := range fastSettings() {
		if s.associative != nil {
			out = append(out, Part[Memory]{s.name, s.doc, s.paper, s.associative(p)})
		}
	}
	return out
}

// fastSizes are the sizes of a matrix memory that a controller drives.
type fastSizes struct {
	Heads int64 `yaml:"heads" min:"1" doc:"independent matrices"`
	Key   int64 `yaml:"key" min:"1" doc:"the width of a key, the rows of a matrix"`
	Value int64 `yaml:"value" min:"1" doc:"the width of a value, the columns of a matrix"`
}

func (c *fastSizes) plan(out fastweight.Config) Recurrent {
	return func(b *nn.Builder, control int64) memory.Recurrent {
		out := out
		out.Heads, out.Key, out.Value = c.Heads, c.Key, c.Value
		return fastweight.NewRecurrent(b, control, out)
	}
}

type deltaConfig struct {
	fastSizes `yaml:",inline"`
	Rate      float64 `yaml:"rate" above:"0" max:"2" doc:"the largest learning rate; above 1 the transition can have negative eigenvalues"`
}

func driveMatrix(of func() fastweight.Config) Maker[Recurrent] {
	return Config(deltaConfig{fastSizes{4, 16, 16}, 1}, func(c *deltaConfig) (Recurrent, error) {
		out := of()
		out.MaxRate = c.Rate
		return c.plan(out), nil
	})
}

type productConfig struct {
	fastSizes `yaml:",inline"`
	Writes    int64   `yaml:"writes" min:"1" doc:"steps per token"`
	Rate      float64 `yaml:"rate" above:"0" max:"2" doc:"the largest learning rate; above 1 the transition can have negative eigenvalues"`
	Gated     bool    `yaml:"gated" doc:"with a decay per head"`
}

type deepFastConfig struct {
	Heads     int64   `yaml:"heads" min:"1" doc:"independent models"`
	Width     int64   `yaml:"width" min:"2" doc:"of a head's keys and values"`
	Rate      float64 `yaml:"rate" above:"0" doc:"the largest learning rate"`
	MiniBatch int64   `yaml:"mini_batch" min:"1" doc:"tokens whose gradients are taken at the same weights"`
}

// The gates of a memory of keys and values.
const (
	gatesConstant = "constant"
	gatesLearned  = "learned"
)

type deltaStoreConfig struct {
	Gates string  `yaml:"gates" enum:"constant,learned" doc:"the rate, and the decay where there is one: constants, or learned functions of the key"`
	Rate  float64 `yaml:"rate" above:"0" max:"2" doc:"the learning rate; the largest one where it is learned"`
	Scale float64 `yaml:"read_scale" above:"0" doc:"multiplies what is read before the softmax over classes"`
}

// Learns implements [Learner].
func (c *deltaStoreConfig) Learns() bool { return c.Gates == gatesLearned }

type gatedStoreConfig struct {
	deltaStoreConfig `yaml:",inline"`
	Keep             float64 `yaml:"keep" above:"0" max:"1" doc:"the factor that is kept at each write, where it is a constant"`
}

type channelStoreConfig struct {
	Rate  float64 `yaml:"rate" above:"0" max:"2" doc:"the largest learning rate"`
	Scale float64 `yaml:"read_scale" above:"0" doc:"multiplies what is read before the softmax over classes"`
}

// Learns implements [Learner].
func (*channelStoreConfig) Learns() bool { return true }

type deepStoreConfig struct {
	Rate      float64 `yaml:"rate" above:"0" doc:"the largest learning rate"`
	MiniBatch int64   `yaml:"mini_batch" min:"1" doc:"pairs whose gradients are taken at the same weights"`
	Scale     float64 `yaml:"read_scale" above:"0" doc:"multiplies what is read before the softmax over classes"`
}

// Learns implements [Learner].
func (*deepStoreConfig) Learns() bool { return true }

func storeMatrix(c fastweight.Config, in MemoryInput, gates string, rate, keep, scale float64) *fastweight.Associative {
	c.Key, c.MaxRate = in.Width, rate
	return fastweight.NewAssociative(in.Builder, fastweight.AssociativeConfig{
		Config: c, Learned: gates == gatesLearned, Rate: rate, Keep: keep, Scale: scale,
	})
}
