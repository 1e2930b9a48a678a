package experiments

import (
	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/matchingnet"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/protonet"
	"github.com/engram-go/engram/relationnet"
)

// netConfig is the configuration of a network that is an encoder and a memory.
type netConfig struct {
	Encoder schema.Section `yaml:"encoder" doc:"an image to an embedding: conv4, koch, resnet12, torchscript, or pixels for the image itself"`
	Memory  schema.Section `yaml:"memory" doc:"what holds the support set: prototype, keyvalue, or bounded: lrua, ntm, dnc"`
}

// measure returns how the memory compares, once it is decoded.
func (c *netConfig) measure() *memoryConfig {
	return c.Memory.Resolved().(interface{ measure() *memoryConfig }).measure()
}

type matchingnetConfig struct {
	netConfig `yaml:",inline"`
	Context   schema.Section `yaml:"context" doc:"full: embeddings that depend on the whole support set; or none"`
}

type contextConfig struct {
	Reads int `yaml:"reads" min:"1" doc:"how often a query reads the support set"`
}

type relationnetConfig struct {
	netConfig `yaml:",inline"`
	Loss      string `yaml:"loss" enum:"mse,cross-entropy" doc:"on the relation scores, or on a softmax of what they are the sigmoid of"`
}

// parts makes an encoder and a memory for it.
type parts func(b *nn.Builder, in imageShape) (encoder.Encoder, memory.Matcher, error)

// planParts reads the encoder and the memory of a network that has been decoded; defaults are those of its memory's keys.
func planParts(c *netConfig, defaults prototypeConfig) (parts, error) {
	encode, encoderErr := planEncoder(&c.Encoder)
	remember, memoryErr := planMemory(&c.Memory, defaults)
	err := schema.Join(encoderErr, memoryErr)
	if err == nil && c.measure().Metric.Kind() == "modified-hausdorff" && c.Encoder.Kind() != "pixels" {
		err = c.measure().Metric.Errorf("modified-hausdorff compares images; use encoder: pixels, or another metric")
	}
	return func(b *nn.Builder, in imageShape) (encoder.Encoder, memory.Matcher, error) {
		e, err := encode(b.In("encoder"), in)
		if err != nil {
			return nil, nil, err
		}
		return e, remember(b.In("memory"), e), nil
	}, err
}

func planProtonet(s *schema.Section) (func(*nn.Builder, imageShape) (fewshotLearner, error), error) {
	c := netConfig{Encoder: schema.NewSection("conv4", nil), Memory: schema.NewSection("prototype", nil)}
	if err := s.Decode(&c); err != nil {
		return nil, err
	}
	parts, err := planParts(&c, prototypeConfig{memoryConfig{schema.NewSection("squared-euclidean", nil), 1}, "mean"})
	return func(b *nn.Builder, in imageShape) (fewshotLearner, error) {
		e, m, err := parts(b, in)
		if err != nil {
			return nil, err
		}
		return protonet.New(e, m), nil
	}, err
}

func planMatchingnet(s *schema.Section) (func(*nn.Builder, imageShape) (fewshotLearner, error), error) {
	c := matchingnetConfig{
		netConfig{Encoder: schema.NewSection("conv4", nil), Memory: schema.NewSection("keyvalue", nil)}, schema.NewSection("none", nil),
	}
	if err := s.Decode(&c); err != nil {
		return nil, err
	}
	parts, err := planParts(&c.netConfig, prototypeConfig{memoryConfig{schema.NewSection("cosine", nil), matchingnet.DefaultScale}, "mean"})
	errs := []error{err}
	context := contextConfig{matchingnet.DefaultReads}
	switch c.Context.Kind() {
	case "none":
		errs = append(errs, c.Context.Decode(&struct{}{}))
	case "full":
		errs = append(errs, c.Context.Decode(&context))
	default:
		errs = append(errs, c.Context.UnknownKind([]string{"none", "full"}))
	}
	return func(b *nn.Builder, in imageShape) (fewshotLearner, error) {
		e, m, err := parts(b, in)
		if err != nil {
			return nil, err
		}
		net := matchingnet.New(e, m)
		if c.Context.Kind() == "full" {
			net.Context = matchingnet.NewContext(b.In("context"), e.Width(), context.Reads)
		}
		return net, nil
	}, schema.Join(errs...)
}

func planRelationnet(s *schema.Section) (func(*nn.Builder, imageShape) (fewshotLearner, error), error) {
	paper := conv4Config{Filters: 64, Pools: 2, Unpadded: 2, Precision: encoder.FP32} // 28×28 images to maps of 5×5
	c := relationnetConfig{
		netConfig{Encoder: schema.NewSection("conv4", paper), Memory: schema.NewSection("prototype", nil)}, "mse",
	}
	if err := s.Decode(&c); err != nil {
		return nil, err
	}
	parts, err := planParts(&c.netConfig, prototypeConfig{memoryConfig{schema.NewSection("relation", nil), 1}, "sum"})
	if err != nil {
		return nil, err
	}
	measure := c.measure()
	if kind := measure.Metric.Kind(); kind != "relation" {
		return nil, measure.Metric.Errorf("relationnet compares by a learned relation and by no other metric; leave metric out, or take protonet, which goes with %s", kind)
	}
	loss := relationnet.MSE
	if c.Loss == "cross-entropy" {
		loss = relationnet.CrossEntropy
	} else if measure.Scale != 1 {
		return nil, c.Memory.Errorf("scale: sharpens a softmax, and with loss: mse there is none; leave it out, or take loss: cross-entropy")
	}
	return func(b *nn.Builder, in imageShape) (fewshotLearner, error) {
		e, m, err := parts(b, in)
		if err != nil {
			return nil, err
		}
		return relationnet.New(e, m, loss), nil
	}, nil
}
