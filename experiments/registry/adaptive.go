package registry

import (
	"fmt"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/maml"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/reptile"
	"github.com/engram-go/engram/transfer"
)

func adaptive(p *Parts) []Part[FewShot] {
	conv4 := schema.NewSection(kindConv4, nil)
	return []Part[FewShot]{
		{"maml", "Model-Agnostic Meta-Learning, with Meta-SGD and ANIL as settings", "Finn et al. 2017", Config(
			mamlConfig{Encoder: conv4, Steps: 1, Rate: maml.DefaultRate, Rates: "fixed", Order: "second", Inner: "all"},
			func(c *mamlConfig) (FewShot, error) {
				return p.planAdaptive(&c.Encoder, func(b *nn.Builder, e encoder.Encoder, in FewShotInput) fewshot.Network {
					return maml.New(b, e, maml.Config{
						Way: int64(in.Way), Steps: c.Steps, TestSteps: c.TestSteps, Rate: c.Rate, LearnRates: c.Rates == "learned",
						FirstOrder: c.Order == "first", HeadOnly: c.Inner == "head", Workers: in.Workers,
					})
				})
			})},
		{"reptile", "Reptile", "Nichol et al. 2018", Config(
			reptileConfig{Encoder: conv4, Steps: 5, TestSteps: 50, Batch: 10, TestBatch: 5, Rate: 1e-3},
			func(c *reptileConfig) (FewShot, error) {
				out, err := p.planAdaptive(&c.Encoder, func(b *nn.Builder, e encoder.Encoder, in FewShotInput) fewshot.Network {
					return reptile.New(b, e, reptile.Config{
						Way: int64(in.Way), Steps: c.Steps, TestSteps: c.TestSteps, Batch: c.Batch, TestBatch: c.TestBatch, Rate: c.Rate,
						Workers: in.Workers,
					})
				})
				out.Optimizer = SGD
				out.WhyOptimizer = "reptile moves by sgd, whose rate is the paper's outer step; use {kind: sgd, rate: 1}"
				return out, err
			})},
	}
}

type mamlConfig struct {
	Encoder   schema.Section `yaml:"encoder" family:"encoder" doc:"an image to an embedding"`
	Steps     int            `yaml:"steps" min:"1" doc:"inner steps in training"`
	TestSteps int            `yaml:"test_steps" min:"0" doc:"inner steps in validation and tests; 0 means as many as in training"`
	Rate      float64        `yaml:"rate" above:"0" doc:"of the inner steps, or the initial value of learned rates"`
	Rates     string         `yaml:"rates" enum:"fixed,learned" doc:"learned: one rate for each element of each parameter (Meta-SGD)"`
	Order     string         `yaml:"order" enum:"second,first" doc:"first: the meta-gradient treats inner gradients as constants (FOMAML)"`
	Inner     string         `yaml:"inner" enum:"all,head" doc:"what inner steps change: all parameters, or those of the last layer (ANIL)"`
}

type reptileConfig struct {
	Encoder   schema.Section `yaml:"encoder" family:"encoder" doc:"an image to an embedding"`
	Steps     int            `yaml:"steps" min:"1" doc:"inner steps in training"`
	TestSteps int            `yaml:"test_steps" min:"1" doc:"inner steps in validation and tests"`
	Batch     int64          `yaml:"batch" min:"1" doc:"images per inner step in training"`
	TestBatch int64          `yaml:"test_batch" min:"1" doc:"images per inner step in validation and tests"`
	Rate      float64        `yaml:"rate" above:"0" doc:"of the inner steps' Adam, whose beta1 is 0; the outer step is optimizer.rate"`
}

// planAdaptive plans a network that adapts to each task by gradient descent.
func (p *Parts) planAdaptive(s *schema.Section, make func(b *nn.Builder, e encoder.Encoder, in FewShotInput) fewshot.Network) (FewShot, error) {
	enc, err := p.Encoders.Plan(s)
	return FewShot{
		FixedWay: true, ByTask: true, Identity: enc.Identity,
		NoStream:       "has no memory whose size could be varied; leave it out, or use matchingnet or protonet",
		NoVerification: noPairs,
		New: func(b *nn.Builder, in FewShotInput) (fewshot.Network, error) {
			e, err := enc.New(b.In("encoder"), in.Shape)
			if err != nil {
				return nil, err
			}
			if precision := encoder.Precision(e); precision != encoder.FP32 {
				return nil, s.Errorf("precision: a network that adapts by gradient descent computes in fp32, not in %s; leave precision out", precision)
			}
			if err := fewshot.CheckAdaptable(e); err != nil {
				return nil, s.Errorf("%w", err)
			}
			return make(b, e, in), nil
		},
	}, err
}

// Adaptation is what becomes of a pre-trained network for a task.
type Adaptation = transfer.Adaptation

// transferConfig is the configuration of a network that is pre-trained as a classifier.
type transferConfig struct {
	Encoder schema.Section `yaml:"encoder" family:"encoder" doc:"an image to an embedding"`
	Head    schema.Section `yaml:"head" family:"head" doc:"what it is pre-trained with, and how it is adapted to an episode"`
}

func transferred(p *Parts) []Part[FewShot] {
	return []Part[FewShot]{{"transfer", "an encoder trained as a classifier, with a new head for each episode", "Chen et al. 2019",
		Config(transferConfig{schema.NewSection(kindConv4, nil), schema.NewSection(kindLinear, nil)}, func(c *transferConfig) (FewShot, error) {
			enc, encErr := p.Encoders.Plan(&c.Encoder)
			head, headErr := p.Heads.Plan(&c.Head)
			return FewShot{
				Source: Labelled, Head: &head, Identity: enc.Identity,
				NoStream:       "has no memory that a stream could be written to; use protonet or matchingnet",
				NoVerification: noPairs,
				New: func(b *nn.Builder, in FewShotInput) (fewshot.Network, error) {
					e, err := enc.New(b.In("encoder"), in.Shape)
					if err != nil {
						return nil, err
					}
					return pretrained{transfer.New(b, e, int64(in.Classes), head.Adaptation)}, nil
				},
			}, schema.Join(encErr, headErr)
		})}}
}

// pretrained is a transfer network as a [Pretrained].
type pretrained struct{ *transfer.Net }

// With implements [Pretrained].
func (n pretrained) With(h Head) fewshot.Network { return n.Adapted(h.Adaptation) }

// Quick implements [Pretrained]: the nearest class mean, by cosine where the network's head is a cosine head.
func (n pretrained) Quick() fewshot.Network {
	if n.Adapt.Head == transfer.Cosine || n.Adapt.Head == transfer.CosineMean {
		return n.Adapted(Adaptation{Head: transfer.CosineMean, Scale: n.Adapt.Scale})
	}
	return n.Adapted(Adaptation{Head: transfer.Mean})
}

// trainedHead is a head that is trained on each support set. The defaults are those of Chen et al.'s code but for the start.
type trainedHead struct {
	Start     string  `yaml:"start" enum:"means,random" doc:"the class means of the support set, or a new layer's initial values (Chen et al.)"`
	Epochs    int     `yaml:"epochs" min:"0" doc:"passes over a support set"`
	Batch     int     `yaml:"batch" min:"0" doc:"support images per step; 0 for all"`
	Rate      float64 `yaml:"rate" above:"0" doc:"the head's learning rate"`
	Momentum  float64 `yaml:"momentum" min:"0" below:"1"`
	Dampening float64 `yaml:"dampening" min:"0" max:"1"`
	Decay     float64 `yaml:"decay" min:"0" doc:"weight decay"`

	Blocks      int     `yaml:"blocks" min:"0" doc:"how many of the encoder's last blocks are tuned with the head; 0 freezes it, more than it has tunes all"`
	EncoderRate float64 `yaml:"encoder_rate" min:"0" doc:"the last block's learning rate"`
	Discount    float64 `yaml:"discount" above:"0" max:"1" doc:"the rate of a block relative to that of the next one"`
}

type cosineHead struct {
	trainedHead `yaml:",inline"`
	Scale       float64 `yaml:"scale" above:"0" doc:"multiplies the cosines"`
}

type meanHead struct {
	Metric string  `yaml:"metric" enum:"squared-euclidean,cosine" doc:"of embedding and class mean"`
	Scale  float64 `yaml:"scale" above:"0" doc:"multiplies cosines in pre-training"`
}

func heads() []Part[Head] {
	trained := trainedHead{
		Start: "means", Epochs: 100, Batch: 4, Rate: .01, Momentum: .9, Dampening: .9, Decay: .001, EncoderRate: .001, Discount: .4,
	}
	return []Part[Head]{
		{kindLinear, "a linear layer (Baseline)", "Chen et al. 2019, section 3.2", Config(trained, func(c *trainedHead) (Head, error) {
			return c.head(kindLinear, transfer.Linear, 0), nil
		})},
		{kindCosine, "cosines with a weight per class (Baseline++)", "Chen et al. 2019, section 3.2", Config(cosineHead{trained, transfer.DefaultScale}, func(c *cosineHead) (Head, error) {
			return c.head(kindCosine, transfer.Cosine, c.Scale), nil
		})},
		{"mean", "the nearest class mean; nothing is trained", "Mensink et al. 2013", Config(meanHead{kindSquaredEuclidean, transfer.DefaultScale}, func(c *meanHead) (Head, error) {
			h := Head{Adaptation{Head: transfer.Mean}, "nearest class mean, " + c.Metric}
			if c.Metric == kindCosine {
				h.Adaptation.Head, h.Adaptation.Scale = transfer.CosineMean, c.Scale
			}
			return h, nil
		})},
	}
}

func (c *trainedHead) head(name string, kind transfer.Kind, scale float64) Head {
	a := Adaptation{
		Head: kind, Scale: scale, Epochs: c.Epochs, Batch: c.Batch, Rate: c.Rate, Momentum: c.Momentum, Dampening: c.Dampening,
		Decay: c.Decay, Blocks: c.Blocks, EncoderRate: c.EncoderRate, Discount: c.Discount,
	}
	if c.Start == "random" {
		a.Start = transfer.AtRandom
	}
	doc := fmt.Sprintf("%s head from %s, %d epochs at %g", name, c.Start, c.Epochs, c.Rate)
	if a.Blocks > 0 {
		doc += fmt.Sprintf(", last %d blocks at %g × %g a block", a.Blocks, a.EncoderRate, a.Discount)
	}
	return Head{a, doc}
}
