package registry

import (
	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/matchingnet"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/protonet"
	"github.com/engram-go/engram/relationnet"
	"github.com/engram-go/engram/siamese"
)

// NetConfig is the configuration of a network that consists of an encoder and a memory. Networks with further keys embed it.
type NetConfig struct {
	Encoder schema.Section `yaml:"encoder" family:"encoder" doc:"an image or a text to an embedding"`
	Memory  schema.Section `yaml:"memory" family:"memory" doc:"what holds the support set"`
}

// netDefaults sets the default memory of a network, and the default metric and scale of any memory that it has.
func netDefaults(memory, metric string, scale float64, merge string) NetConfig {
	return NetConfig{
		Encoder: schema.NewSection(kindConv4, nil),
		Memory: schema.NewSection(memory, nil).WithDefaults(Comparisons{
			Comparison{schema.NewSection(metric, nil), scale}, merge,
		}),
	}
}

// PlanNet plans the encoder and the memory of a network, from which make builds the network. The names of their parameters begin with
// encoder and memory. need gets the planned memory and returns an error if the network cannot use it; it may be nil.
func (p *Parts) PlanNet(c *NetConfig, need func(m *Memory) error, make func(b *nn.Builder, e encoder.Encoder, m memory.Associative) fewshot.Network) (FewShot, error) {
	enc, encErr := p.Encoders.Plan(&c.Encoder)
	mem, memErr := p.Memories.Plan(&c.Memory)
	mem.Kind = c.Memory.Kind()
	out := FewShot{Memory: &mem, Encoder: enc, Frozen: enc.Frozen}
	err := schema.Join(encErr, memErr)
	if memErr == nil && need != nil {
		err = schema.Join(err, need(&mem))
	}
	if err == nil {
		err = fits(enc, &mem)
	}
	if mem.Metric != nil && mem.Metric.Learned {
		out.NoStream = "compares by " + mem.Section.Kind() + ", which is learned and belongs to its own memory; a stream needs a metric that is not learned"
	}
	out.NoVerification = noPairs
	out.New = func(b *nn.Builder, in FewShotInput) (fewshot.Network, error) {
		e, err := enc.New(b.In("encoder"), in.Shape)
		if err != nil {
			return nil, err
		}
		m, err := mem.New(b.In("memory"), e)
		if err != nil {
			return nil, err
		}
		return make(b, e, m), nil
	}
	return out, err
}

// noPairs completes a sentence about a network that cannot be tested on pairs.
const noPairs = "classifies and compares no pairs; use siamese, or another kind of test"

// fits refuses a memory whose metric does not work with the memory or with the encoder.
func fits(e Encoder, m *Memory) error {
	if m.Metric == nil {
		return nil
	}
	if m.Metric.OfImages && !e.Identity {
		return m.Section.Errorf("%s compares images; use encoder: pixels, or another metric", m.Section.Kind())
	}
	if m.Sums && !m.Metric.OfSums {
		return m.Section.Errorf("a memory that sums a class's keys (merge: sum) grows with the examples of a class, which %s takes for a distance; use merge: mean, or metric: relation", m.Section.Kind())
	}
	return nil
}

func metricBased(p *Parts) []Part[FewShot] {
	return []Part[FewShot]{
		{"protonet", "the Prototypical network", "Snell et al. 2017",
			Config(netDefaults(kindPrototype, kindSquaredEuclidean, 1, mergeMean), func(c *NetConfig) (FewShot, error) {
				return p.PlanNet(c, nil, func(_ *nn.Builder, e encoder.Encoder, m memory.Associative) fewshot.Network {
					return protonet.New(e, m)
				})
			})},
		{"matchingnet", "the Matching network", "Vinyals et al. 2016",
			Config(matchingConfig{netDefaults(kindKeyValue, kindCosine, matchingnet.DefaultScale, mergeMean), None()}, func(c *matchingConfig) (FewShot, error) {
				return c.plan(p)
			})},
		{"relationnet", "the Relation network", "Sung et al. 2018",
			Config(relationNetDefaults(), func(c *relationNetConfig) (FewShot, error) { return c.plan(p) })},
		{"siamese", "the Siamese network", "Koch et al. 2015",
			Config(siameseConfig{netDefaults(kindKeyValue, kindWeightedManhattan, siamese.DefaultScale, mergeMean), schema.NewSection(kindVerification, nil), pairsAll},
				func(c *siameseConfig) (FewShot, error) { return c.plan(p) })},
	}
}

type matchingConfig struct {
	NetConfig `yaml:",inline"`
	Context   schema.Section `yaml:"context" family:"context?" doc:"embeddings that depend on the whole support set, or none"`
}

// Context makes embeddings that depend on the whole support set.
type Context func(b *nn.Builder, width int64) *matchingnet.Context

type contextConfig struct {
	Reads int `yaml:"reads" min:"1" doc:"how often a query reads the support set"`
}

func contexts() []Part[Context] {
	return []Part[Context]{
		{"full", "full-context embeddings", "Vinyals et al. 2016, section 2.1.2", Config(contextConfig{matchingnet.DefaultReads}, func(c *contextConfig) (Context, error) {
			return func(b *nn.Builder, width int64) *matchingnet.Context {
				return matchingnet.NewContext(b, width, c.Reads)
			}, nil
		})},
	}
}

func (c *matchingConfig) plan(p *Parts) (FewShot, error) {
	var context Context
	var contextErr error
	if !IsNone(&c.Context) {
		context, contextErr = p.Contexts.Plan(&c.Context)
	}
	out, err := p.PlanNet(&c.NetConfig, nil, func(b *nn.Builder, e encoder.Encoder, m memory.Associative) fewshot.Network {
		net := matchingnet.New(e, m)
		if context != nil {
			net.Context = context(b.In("context"), e.Width())
		}
		return net
	})
	if context != nil {
		out.NoStream = "has context embeddings, which depend on a support set, and a stream has none; use context: none"
	}
	return out, schema.Join(contextErr, err)
}

type relationNetConfig struct {
	NetConfig `yaml:",inline"`
	Loss      string `yaml:"loss" enum:"mse,cross-entropy" doc:"on the relation scores, or on a softmax over their logits"`
}

// relationNetDefaults has the paper's encoder, which keeps maps of 5×5 pixels: Sung et al. 2018, section 3.4.
func relationNetDefaults() relationNetConfig {
	c := relationNetConfig{netDefaults(kindPrototype, kindRelation, 1, mergeSum), "mse"}
	c.Encoder = c.Encoder.WithDefaults(struct {
		Pools    int64 `yaml:"pools"`
		Unpadded int64 `yaml:"unpadded"`
	}{2, 2})
	return c
}

func (c *relationNetConfig) plan(p *Parts) (FewShot, error) {
	loss := relationnet.MSE
	if c.Loss == "cross-entropy" {
		loss = relationnet.CrossEntropy
	}
	need := func(m *Memory) error {
		switch {
		case !m.Scored:
			return c.Memory.Errorf("a relation network scores each slot of its memory, and %s has none to score; use protonet or matchingnet, or another memory", c.Memory.Kind())
		case m.Metric == nil || !m.Metric.OfSums:
			section := &c.Memory
			if m.Section != nil {
				section = m.Section
			}
			return section.Errorf("a relation network compares by a learned relation and by no other metric; leave metric out, or use protonet, which goes with %s", section.Kind())
		case loss == relationnet.MSE && m.Scale != 1:
			return c.Memory.Errorf("scale: sharpens a softmax, and with loss: mse there is none; leave it out, or use loss: cross-entropy")
		}
		return nil
	}
	return p.PlanNet(&c.NetConfig, need, func(_ *nn.Builder, e encoder.Encoder, m memory.Associative) fewshot.Network {
		return relationnet.New(e, m.(memory.Matcher), loss)
	})
}

// The pairs that a Siamese network learns from.
const (
	pairsAll          = "all"
	pairsSupportQuery = "support-query"
	pairsDrawn        = "drawn"
)

// siameseConfig is the configuration of a Siamese network. The metric of its memory compares pairs.
type siameseConfig struct {
	NetConfig `yaml:",inline"`
	Loss      schema.Section `yaml:"loss" family:"pair loss"`
	Pairs     string         `yaml:"pairs" enum:"all,support-query,drawn" doc:"the training pairs: all of an episode, those of support and query, or pairs drawn one by one, train.batch of them per step"`
}

// PairLoss is a planned loss of a Siamese network.
type PairLoss struct {
	Loss siamese.Loss
	// OfDistance marks a loss with a margin on a distance.
	OfDistance bool
	// OfTasks marks a loss that needs whole tasks and not only pairs. It sets no threshold either.
	OfTasks bool
}

type verificationConfig struct {
	Different float64 `yaml:"different" above:"0" doc:"the weight of all pairs of different classes together, relative to those of the same class"`
}

type marginConfig struct {
	Margin float64 `yaml:"margin" above:"0" doc:"how far apart classes are pushed"`
}

func pairLosses() []Part[PairLoss] {
	return []Part[PairLoss]{
		{kindVerification, "the cross-entropy of same and different", "Koch et al. 2015, section 3.2", Config(verificationConfig{1},
			func(c *verificationConfig) (PairLoss, error) {
				return PairLoss{Loss: siamese.Verification{Different: c.Different}}, nil
			})},
		{"contrastive", "squared distances, up to a margin", "Hadsell et al. 2006", Config(marginConfig{1}, func(c *marginConfig) (PairLoss, error) {
			return PairLoss{Loss: siamese.Contrastive{Margin: c.Margin}, OfDistance: true}, nil
		})},
		{"triplet", "an anchor nearer to its class than to another, by a margin", "Schroff et al. 2015, section 3.1", Config(marginConfig{.2}, func(c *marginConfig) (PairLoss, error) {
			return PairLoss{Loss: siamese.Triplet{Margin: c.Margin}, OfTasks: true}, nil
		})},
	}
}

func (c *siameseConfig) plan(p *Parts) (FewShot, error) {
	loss, lossErr := p.PairLosses.Plan(&c.Loss)
	need := func(m *Memory) error {
		switch {
		case !m.Compares || m.Metric == nil:
			return c.Memory.Errorf("a siamese network compares pairs of keys, and %s compares none; use protonet or matchingnet, or another memory", c.Memory.Kind())
		case m.Metric.OfSupport:
			return m.Section.Errorf("%s is fitted on a support set, and a pair has none; use another metric", m.Section.Kind())
		case loss.OfDistance && m.Metric.Similarity:
			return c.Loss.Errorf("the %s loss needs a distance, and %s is none; use the triplet loss, or a metric such as euclidean or weighted-manhattan", c.Loss.Kind(), m.Section.Kind())
		}
		return nil
	}
	out, err := p.PlanNet(&c.NetConfig, need, func(b *nn.Builder, e encoder.Encoder, m memory.Associative) fewshot.Network {
		return siamese.New(b, e, siamese.Config{Memory: m.(siamese.Memory), Loss: loss.Loss, SupportQuery: c.Pairs == pairsSupportQuery})
	})
	out.NoVerification = ""
	if c.Pairs == pairsDrawn {
		out.Source = Pairs
	}
	if loss.OfTasks {
		out.NoVerification = "with the " + c.Loss.Kind() + " loss has no distance beyond which two images are different; use another loss, or another kind of test"
		if c.Pairs == pairsDrawn {
			lossErr = schema.Join(lossErr, c.Loss.Errorf("a triplet is an anchor and two others, which pairs drawn one by one do not give; use pairs: all"))
		}
	}
	return out, schema.Join(lossErr, err)
}
