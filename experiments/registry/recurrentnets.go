package registry

import (
	"errors"

	"github.com/engram-go/engram/controller"
	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/mann"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/ntm"
	"github.com/engram-go/engram/rarenet"
	"github.com/engram-go/engram/tensor"
)

// Driven are the keys of a network that is a controller with a memory.
type Driven struct {
	Controller schema.Section `yaml:"controller" family:"controller"`
	Memory     schema.Section `yaml:"memory" family:"recurrent memory" doc:"what the controller drives"`
}

func (p *Parts) planDriven(c *Driven) (controller.Config, error) {
	control, err := p.Controllers.Plan(&c.Controller)
	mem, memErr := p.Recurrent.Plan(&c.Memory)
	return controller.Config{Feedforward: control.Feedforward, Size: control.Size, Layers: control.Layers, Memory: mem}, schema.Join(err, memErr)
}

// ntmConfig is the configuration of a controller with a memory on sequences.
type ntmConfig struct {
	Driven `yaml:",inline"`
	Hidden struct {
		Layers int64 `yaml:"layers" min:"0" doc:"ReLU layers between the controller's output and the network's"`
		Size   int64 `yaml:"size" min:"1" doc:"of a layer"`
	} `yaml:"hidden"`
	Bypass float64 `yaml:"bypass" min:"0" below:"1" doc:"dropout, in training, of the controller's output on its way past the memory: Franke et al. 2018"`
}

// network is the configuration of the network with a planned controller.
func (c *ntmConfig) network(control controller.Config, outputs int64) ntm.Config {
	return ntm.Config{Config: control, Outputs: outputs, Hidden: c.Hidden.Layers, HiddenSize: c.Hidden.Size, Bypass: c.Bypass}
}

func ntmDefaults() (c ntmConfig) {
	c.Driven = Driven{schema.NewSection(kindLSTM, nil), schema.NewSection(kindNTM, nil)}
	c.Hidden.Size = 256
	return c
}

func sequential(p *Parts) []Part[Sequential] {
	return []Part[Sequential]{{kindNTM, "a controller with a memory, from the Neural Turing Machine on", "Graves et al. 2014",
		Config(ntmDefaults(), func(c *ntmConfig) (Sequential, error) {
			control, err := p.planDriven(&c.Driven)
			return Sequential{New: func(b *nn.Builder, inputs, outputs int64) SequenceNetwork {
				config := c.network(control, outputs)
				config.Inputs = inputs
				net := ntm.New(b, config)
				return func(p *nn.Pass, x *tensor.Tensor, seen func(memory.State)) *tensor.Tensor {
					if seen == nil {
						return net.Forward(p, x, nil)
					}
					return net.Forward(p, x, func(_ int64, s ntm.State) { seen(s.Memory) })
				}
			}}, err
		})}}
}

type mannConfig struct {
	Encoder schema.Section `yaml:"encoder" family:"encoder?" doc:"an image to an embedding, or none, which flattens the image"`
	Driven  `yaml:",inline"`
}

func throughTime(p *Parts) []Part[ThroughTime] {
	return []Part[ThroughTime]{
		{"mann", "the Memory-Augmented Neural Network", "Santoro et al. 2016",
			Config(mannConfig{None(), Driven{schema.NewSection(kindLSTM, nil).WithDefaults(struct {
				Size int64 `yaml:"size"`
			}{200}), schema.NewSection(kindLRUA, nil)}}, func(c *mannConfig) (ThroughTime, error) {
				var enc Encoder
				var encErr error
				if !IsNone(&c.Encoder) {
					enc, encErr = p.Encoders.Plan(&c.Encoder)
				}
				control, err := p.planDriven(&c.Driven)
				return ThroughTime{New: func(b *nn.Builder, in ThroughTimeInput) (fewshot.SequenceNetwork, error) {
					var e encoder.Encoder
					inputs := int64(in.Size())
					if enc.New != nil {
						var err error
						if e, err = enc.New(b.In("encoder"), in.Shape); err != nil {
							return nil, err
						}
						inputs = e.Width()
					}
					return mann.New(b, mann.Config{
						Inputs: inputs, Encoder: e, Length: int64(in.Length), Letters: int64(in.Letters), Controller: control,
					}), nil
				}}, schema.Join(encErr, err)
			})},
		{"rarenet", "an encoder with the memory for rare events, which answers by the nearest key", "Kaiser et al. 2017", Config(
			rarenetConfig{Encoder: schema.NewSection(kindConv4, nil), Width: 128, Slots: 8192, Margin: .1, Dropout: 0}, func(c *rarenetConfig) (ThroughTime, error) {
				enc, err := p.Encoders.Plan(&c.Encoder)
				return ThroughTime{New: func(b *nn.Builder, in ThroughTimeInput) (fewshot.SequenceNetwork, error) {
					if in.Length > 1 {
						return nil, errors.New("network: rarenet names a class by one letter; use labels: one-hot")
					}
					e, err := enc.New(b.In("encoder"), in.Shape)
					if err != nil {
						return nil, err
					}
					return rarenet.New(b, rarenet.Config{
						Encoder: e, Letters: int64(in.Letters), Width: c.Width, Slots: c.Slots, Margin: c.Margin, Dropout: c.Dropout,
					}), nil
				}}, err
			})},
	}
}

type rarenetConfig struct {
	Encoder schema.Section `yaml:"encoder" family:"encoder" doc:"an image to an embedding"`
	Width   int64          `yaml:"width" min:"1" doc:"of a key"`
	Slots   int64          `yaml:"slots" min:"1" doc:"the most keys; no more than images are shown"`
	Margin  float64        `yaml:"margin" above:"0" doc:"by which the nearest key of the label should be nearer than that of another"`
	Dropout float64        `yaml:"dropout" min:"0" below:"1" doc:"of embeddings, in training"`
}

type stringsConfig struct {
	Length  int `yaml:"length" min:"1" max:"20" doc:"letters of a label"`
	Letters int `yaml:"letters" min:"2" doc:"of the alphabet"`
}

// OneHot is the kind of labels that are one letter per class.
const OneHot = "one-hot"

func labels() []Part[Labels] {
	return []Part[Labels]{
		{OneHot, "one letter per class of a training episode", "Santoro et al. 2016, section 4.1", Plain(Labels{Length: 1, OneHot: true})},
		{"strings", "random strings of letters", "Santoro et al. 2016, section 4.1", Config(stringsConfig{5, 5}, func(c *stringsConfig) (Labels, error) {
			return Labels{Length: c.Length, Letters: c.Letters}, nil
		})},
	}
}
