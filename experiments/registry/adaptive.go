package registry

import (
	"fmt"
	"slices"
	"strings"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/head"
	"github.com/engram-go/engram/maml"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/reptile"
	"github.com/engram-go/engram/tensor"
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
	Encoder   schema.Section `yaml:"encoder" family:"encoder" doc:"an image or a text to an embedding"`
	Steps     int            `yaml:"steps" min:"1" doc:"inner steps in training"`
	TestSteps int            `yaml:"test_steps" min:"0" doc:"inner steps in validation and tests; 0 means as many as in training"`
	Rate      float64        `yaml:"rate" above:"0" doc:"of the inner steps, or the initial value of learned rates"`
	Rates     string         `yaml:"rates" enum:"fixed,learned" doc:"learned: one rate for each element of each parameter (Meta-SGD)"`
	Order     string         `yaml:"order" enum:"second,first" doc:"first: the meta-gradient treats inner gradients as constants (FOMAML)"`
	Inner     string         `yaml:"inner" enum:"all,head" doc:"what inner steps change: all parameters, or those of the last layer (ANIL)"`
}

type reptileConfig struct {
	Encoder   schema.Section `yaml:"encoder" family:"encoder" doc:"an image or a text to an embedding"`
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
		FixedWay: true, ByTask: true, Encoder: enc, Frozen: enc.Frozen,
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
	Encoder schema.Section `yaml:"encoder" family:"encoder" doc:"an image or a text to an embedding"`
	Head    schema.Section `yaml:"head" family:"head" doc:"what classifies an episode; a linear or cosine head is also what the encoder is pre-trained with, beside the others a linear layer"`

	Smoothing float64 `yaml:"smoothing" min:"0" below:"1" doc:"of the labels in pre-training: 0.1 spreads a tenth of a label over all classes"`
	Distil    distil  `yaml:"distil" doc:"in pre-training from a run of the same network: self-distillation"`
}

// distil are the keys of self-distillation.
type distil struct {
	trainedRun  `yaml:",inline"`
	Weight      float64 `yaml:"weight" min:"0" max:"1" doc:"of the divergence from the teacher's predictions; the cross-entropy has what is left of 1"`
	Temperature float64 `yaml:"temperature" above:"0" doc:"divides the scores of both in the divergence"`
}

// teacher makes a teacher for a network from the parameters of the run, which become buffers of b.
func (c *distil) teacher(b *nn.Builder, path string) (*transfer.Teacher, error) {
	t := &transfer.Teacher{Params: map[*nn.Param]*nn.Param{}, Weight: c.Weight, Temperature: c.Temperature}
	own := map[string][]nn.Named{}
	for _, p := range slices.Clone(b.Params().All()) {
		t.Params[p] = b.In("teacher").Buffer(p.Name, nn.Constant(0), p.Value().Shape()...)
		prefix, _, _ := strings.Cut(p.Name, ".")
		own[prefix] = append(own[prefix], nn.Named{Name: p.Name, Tensor: t.Params[p].Value()})
	}
	for prefix, ts := range own {
		if err := loadUnder(path, prefix+".", ts); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func transferred(p *Parts) []Part[FewShot] {
	return []Part[FewShot]{{"transfer", "an encoder trained as a classifier, with a new head for each episode", "Chen et al. 2019",
		Config(transferConfig{
			Encoder: schema.NewSection(kindConv4, nil), Head: schema.NewSection(kindLinear, nil), Distil: distil{Weight: .5, Temperature: 4},
		}, func(c *transferConfig) (FewShot, error) {
			var path string // of the teacher's parameters
			if c.Distil.From != "" {
				var err error
				if path, err = c.Distil.pin(); err != nil {
					return FewShot{}, schema.At("distil.from", err)
				}
			}
			enc, encErr := p.Encoders.Plan(&c.Encoder)
			head, headErr := p.Heads.Plan(&c.Head)
			if headErr == nil {
				headErr = c.fits(&head)
			}
			return FewShot{
				Source: Labelled, Head: &head, Encoder: enc, Frozen: enc.Frozen && path == "",
				NoStream:       "has no memory that a stream could be written to; use protonet or matchingnet",
				NoVerification: noPairs,
				New: func(b *nn.Builder, in FewShotInput) (fewshot.Network, error) {
					e, err := enc.New(b.In("encoder"), in.Shape)
					if err != nil {
						return nil, err
					}
					net := transfer.New(b, e, int64(in.Classes), head.Adaptation)
					net.Smoothing = c.Smoothing
					if path != "" {
						if net.Teacher, err = c.Distil.teacher(b, path); err != nil {
							return nil, fmt.Errorf("network.distil: %w", err)
						}
					}
					return pretrained{net, head}, nil
				},
			}, schema.Join(encErr, headErr)
		})}}
}

// fits refuses a head that does not work with a classifier's encoder.
func (c *transferConfig) fits(h *Head) error {
	switch {
	case h.Learned:
		return c.Head.Errorf("%s has parameters of its own, which are trained on episodes; use network: %s, or another head", c.Head.Kind(), kindEpisodic)
	case h.Centred:
		return c.Head.Errorf("it subtracts the mean embedding of the training images, which is measured for a test; leave it out here, and give it as the head of a test")
	}
	return nil
}

// pretrained is a transfer network as a [Pretrained].
type pretrained struct {
	*transfer.Net
	own Head
}

// LogProbs implements [fewshot.Network]: by the network's own head.
func (n pretrained) LogProbs(p *nn.Pass, t *fewshot.Task) *tensor.Tensor {
	return n.With(n.own, nil).LogProbs(p, t)
}

// Frozen tells whether the network's own head leaves the encoder as it is; see [fewshot.Features].
func (n pretrained) Frozen() bool {
	_, ok := fewshot.Features(n.With(n.own, nil))
	return ok
}

// FromFeatures implements [fewshot.FeatureNetwork]: by the network's own head.
func (n pretrained) FromFeatures(p *nn.Pass, t *fewshot.Task) *tensor.Tensor {
	return n.With(n.own, nil).(fewshot.FeatureNetwork).FromFeatures(p, t)
}

// Loss implements [fewshot.Learner].
func (n pretrained) Loss(p *nn.Pass, t *fewshot.Task) (loss, logp *tensor.Tensor) {
	return n.With(n.own, nil).Loss(p, t)
}

// With implements [Headed].
func (n pretrained) With(h Head, mean []float32) fewshot.Network {
	if h.adapted() {
		return n.Adapted(h.Adaptation)
	}
	return &head.Net{Encoder: n.Encoder, Head: h.New(HeadInput{Width: n.Encoder.Width(), Mean: mean})}
}

// adapted reports whether the head is one of package transfer.
func (h *Head) adapted() bool {
	return h.New == nil || h.Adaptation.Head == transfer.Mean || h.Adaptation.Head == transfer.CosineMean
}

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
	Entropy   float64 `yaml:"entropy" min:"0" doc:"weight of the mean entropy of the queries' predictions in the loss: transductive fine-tuning (Dhillon et al. 2020, who have 1)"`

	Blocks      int     `yaml:"blocks" min:"0" doc:"how many of the encoder's last blocks are tuned with the head; 0 freezes it, more than it has tunes all"`
	EncoderRate float64 `yaml:"encoder_rate" min:"0" doc:"the last block's learning rate"`
	Discount    float64 `yaml:"discount" above:"0" max:"1" doc:"the rate of a block relative to that of the next one"`
}

type cosineHead struct {
	trainedHead `yaml:",inline"`
	Scale       float64 `yaml:"scale" above:"0" doc:"multiplies the cosines"`
}

func heads() []Part[Head] {
	trained := trainedHead{
		Start: "means", Epochs: 100, Batch: 4, Rate: .01, Momentum: .9, Dampening: .9, Decay: .001, EncoderRate: .001, Discount: .4,
	}
	return append([]Part[Head]{
		{kindLinear, "a linear layer (Baseline)", "Chen et al. 2019, section 3.2", Config(trained, func(c *trainedHead) (Head, error) {
			return c.head(kindLinear, transfer.Linear, 0), nil
		})},
		{kindCosine, "cosines with a weight per class (Baseline++)", "Chen et al. 2019, section 3.2", Config(cosineHead{trained, transfer.DefaultScale}, func(c *cosineHead) (Head, error) {
			return c.head(kindCosine, transfer.Cosine, c.Scale), nil
		})},
		{"mean", "the nearest class mean; nothing is trained", "Mensink et al. 2013", Config(meanHead{Metric: kindSquaredEuclidean, Scale: transfer.DefaultScale}, func(c *meanHead) (Head, error) {
			return c.plan(), nil
		})},
	}, featureHeads()...)
}

func (c *trainedHead) head(name string, kind transfer.Kind, scale float64) Head {
	a := Adaptation{
		Head: kind, Scale: scale, Epochs: c.Epochs, Batch: c.Batch, Rate: c.Rate, Momentum: c.Momentum, Dampening: c.Dampening,
		Decay: c.Decay, Entropy: c.Entropy, Blocks: c.Blocks, EncoderRate: c.EncoderRate, Discount: c.Discount,
	}
	if c.Start == "random" {
		a.Start = transfer.AtRandom
	}
	doc := fmt.Sprintf("%s head from %s, %d epochs at %g", name, c.Start, c.Epochs, c.Rate)
	if a.Blocks > 0 {
		doc += fmt.Sprintf(", last %d blocks at %g × %g a block", a.Blocks, a.EncoderRate, a.Discount)
	}
	if a.Transductive() {
		doc += fmt.Sprintf(", entropy of the queries × %g, %s", a.Entropy, transductive)
	}
	return Head{
		Adaptation: a, Doc: doc, Transductive: a.Transductive(),
		NoTraining: "is trained on each support set by gradient descent and cannot be trained through; use maml, or another head",
	}
}
