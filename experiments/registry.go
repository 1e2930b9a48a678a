package experiments

import (
	"context"
	"fmt"
	"strings"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/matchingnet"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/metric"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/protonet"
	"github.com/engram-go/engram/tensor"
)

// fewshotLearner is a network that classifies the queries of few-shot tasks.
type fewshotLearner interface {
	// Loss returns what training makes smaller, and the queries' log-probabilities [tasks, query, way].
	Loss(p *nn.Pass, t *fewshot.Task) (loss, logp *tensor.Tensor)
	// LogProbs returns the queries' log-probabilities [tasks, query, way].
	LogProbs(p *nn.Pass, t *fewshot.Task) *tensor.Tensor
}

// imageShape is what a network must know of its input.
type imageShape struct{ channels, height, width int }

// newFile returns what an experiment file on a data set of this kind is decoded into, with the values of the keys that it
// leaves out.
func newFile(string) experimentFile {
	return newFewshotFile()
}

// imagesPlan is a data set that has been named but not loaded.
type imagesPlan struct {
	kind     string
	split    string // as results name it
	rotation dataset.Rotation
	load     func(ctx context.Context, root string) (dataset.Parts, error)
}

type strokesConfig struct {
	Seed      uint64           `yaml:"seed" doc:"of the invented characters"`
	Train     int              `yaml:"train" min:"1" doc:"classes"`
	Val       int              `yaml:"val" min:"1" doc:"classes"`
	Test      int              `yaml:"test" min:"1" doc:"classes"`
	Instances int              `yaml:"instances" min:"2" doc:"images a class"`
	Size      int              `yaml:"size" min:"8" max:"256" doc:"side of an image in pixels"`
	Rotations dataset.Rotation `yaml:"rotations" enum:"none,classes,train-classes,episode,per-class"`
}

type omniglotConfig struct {
	Split     string           `yaml:"split" enum:"vinyals,lake,random-1200"`
	SplitSeed uint64           `yaml:"split_seed" doc:"of the splits that are shuffled"`
	Rotations dataset.Rotation `yaml:"rotations" enum:"none,classes,train-classes,episode,per-class"`
	Size      int              `yaml:"size" min:"8" max:"105" doc:"side of an image in pixels"`
}

func planImages(s *schema.Section) (imagesPlan, error) {
	switch s.Kind() {
	case dataset.NameStrokes:
		c := strokesConfig{Train: 1028, Val: 172, Test: 423, Instances: 20, Size: 28, Rotations: dataset.RotateNone}
		err := s.Decode(&c)
		return imagesPlan{s.Kind(), fmt.Sprintf("%d/%d/%d", c.Train, c.Val, c.Test), c.Rotations, func(context.Context, string) (dataset.Parts, error) {
			set, err := dataset.NewStrokes(c.Seed, dataset.StrokesOptions{
				Train: c.Train, Val: c.Val, Test: c.Test, Instances: c.Instances, Size: c.Size,
			})
			if err != nil {
				return dataset.Parts{}, err
			}
			return set.Split().Parts(set, c.Rotations)
		}}, err
	case dataset.NameOmniglot:
		c := omniglotConfig{Split: dataset.SplitVinyals, Rotations: dataset.RotateClasses, Size: 28}
		err := s.Decode(&c)
		return imagesPlan{s.Kind(), c.Split, c.Rotations, func(ctx context.Context, given string) (dataset.Parts, error) {
			root, err := dataset.Find(dataset.NameOmniglot, given)
			if err != nil {
				return dataset.Parts{}, err
			}
			set, err := dataset.LoadOmniglot(ctx, root, dataset.OmniglotOptions{Size: c.Size})
			if err != nil {
				return dataset.Parts{}, err
			}
			split, err := set.Split(c.Split, c.SplitSeed)
			if err != nil {
				return dataset.Parts{}, err
			}
			return split.Parts(set, c.Rotations)
		}}, err
	}
	return imagesPlan{}, s.UnknownKind(dataset.Names())
}

// netConfig is the configuration of a network that is an encoder and a memory.
type netConfig struct {
	Encoder schema.Section `yaml:"encoder" doc:"an image to an embedding: conv4"`
	Memory  schema.Section `yaml:"memory" doc:"what holds the support set: prototype or keyvalue"`
}

func planFewshot(s *schema.Section) (func(*nn.Builder, imageShape) (fewshotLearner, error), error) {
	var c netConfig
	c.Encoder = schema.NewSection("conv4", nil)
	var defaults memoryConfig
	switch s.Kind() {
	case "protonet":
		c.Memory = schema.NewSection("prototype", nil)
		defaults = memoryConfig{Metric: schema.NewSection("squared-euclidean", nil), Scale: 1}
	case "matchingnet":
		c.Memory = schema.NewSection("keyvalue", nil)
		defaults = memoryConfig{Metric: schema.NewSection("cosine", nil), Scale: matchingnet.DefaultScale}
	default:
		return nil, s.UnknownKind([]string{"protonet", "matchingnet"})
	}
	if err := s.Decode(&c); err != nil {
		return nil, err
	}
	encode, encoderErr := planEncoder(&c.Encoder)
	mem, memoryErr := planMemory(&c.Memory, defaults)
	if err := schema.Join(encoderErr, memoryErr); err != nil {
		return nil, err
	}
	return func(b *nn.Builder, in imageShape) (fewshotLearner, error) {
		e, err := encode(b.In("encoder"), in)
		if err != nil {
			return nil, err
		}
		m := mem(b.In("memory"), e.Width())
		if s.Kind() == "protonet" {
			return protonet.New(e, m), nil
		}
		return matchingnet.New(e, m), nil
	}, nil
}

type conv4Config struct {
	Filters int64 `yaml:"filters" min:"1"`
}

func planEncoder(s *schema.Section) (func(*nn.Builder, imageShape) (encoder.Encoder, error), error) {
	switch s.Kind() {
	case "conv4":
		c := conv4Config{Filters: 64}
		err := s.Decode(&c)
		return func(b *nn.Builder, in imageShape) (encoder.Encoder, error) {
			return encoder.NewConv4(b, encoder.Conv4Config{
				Channels: int64(in.channels), Height: int64(in.height), Width: int64(in.width), Filters: c.Filters,
			})
		}, err
	}
	return nil, s.UnknownKind([]string{"conv4"})
}

type memoryConfig struct {
	Metric schema.Section `yaml:"metric" doc:"squared-euclidean, euclidean, manhattan, mahalanobis, cosine or dot"`
	Scale  float64        `yaml:"scale" above:"0" doc:"multiplies the scores before the softmax"`
}

// planMemory reads a memory, which is then made for embeddings of a width; c holds the defaults of the network that it
// plugs into.
func planMemory(s *schema.Section, c memoryConfig) (func(b *nn.Builder, width int64) memory.Associative, error) {
	switch s.Kind() {
	case "prototype", "keyvalue":
	default:
		return nil, s.UnknownKind([]string{"prototype", "keyvalue"})
	}
	if err := s.Decode(&c); err != nil {
		return nil, err
	}
	m, err := planMetric(&c.Metric)
	return func(b *nn.Builder, width int64) memory.Associative {
		metric := m(b.In("metric"), width)
		if s.Kind() == "prototype" {
			return memory.NewPrototype(memory.PrototypeConfig{Metric: metric, Scale: c.Scale})
		}
		return memory.NewKeyValue(memory.KeyValueConfig{Metric: metric, Scale: c.Scale})
	}, err
}

type mahalanobisConfig struct {
	Form string `yaml:"form" enum:"full,diagonal" doc:"a learned matrix, or one number a coordinate"`
}

func planMetric(s *schema.Section) (func(b *nn.Builder, width int64) metric.Metric, error) {
	if s.Kind() == "mahalanobis" {
		c := mahalanobisConfig{Form: "full"}
		err := s.Decode(&c)
		return func(b *nn.Builder, width int64) metric.Metric {
			return metric.NewMahalanobis(b, width, c.Form == "diagonal")
		}, err
	}
	fixed := map[string]metric.Metric{
		"squared-euclidean": metric.SquaredEuclidean{}, "euclidean": metric.Euclidean{}, "manhattan": metric.Manhattan{},
		"cosine": metric.Cosine{}, "dot": metric.Dot{},
	}
	m, ok := fixed[s.Kind()]
	if !ok {
		return nil, s.UnknownKind(strings.Fields("squared-euclidean euclidean manhattan mahalanobis cosine dot"))
	}
	return func(*nn.Builder, int64) metric.Metric { return m }, s.Decode(&struct{}{})
}

type adamConfig struct {
	Rate  float64 `yaml:"rate" above:"0" doc:"learning rate"`
	Beta1 float64 `yaml:"beta1" min:"0" below:"1"`
	Beta2 float64 `yaml:"beta2" min:"0" below:"1"`
	Eps   float64 `yaml:"eps" above:"0"`
	Decay float64 `yaml:"decay" min:"0" doc:"weight decay: on the gradient (adam) or on the weights (adamw)"`
}

type rmspropConfig struct {
	Rate     float64 `yaml:"rate" above:"0" doc:"learning rate"`
	Alpha    float64 `yaml:"alpha" min:"0" below:"1"`
	Momentum float64 `yaml:"momentum" min:"0" below:"1"`
	Eps      float64 `yaml:"eps" above:"0"`
	Form     string  `yaml:"form" enum:"graves,plain" doc:"graves: centred, eps under the root; plain: PyTorch's default"`
}

type sgdConfig struct {
	Rate     float64 `yaml:"rate" above:"0" doc:"learning rate"`
	Momentum float64 `yaml:"momentum" min:"0" below:"1"`
	Decay    float64 `yaml:"decay" min:"0"`
	Nesterov bool    `yaml:"nesterov"`
}

func planOptimizer(s *schema.Section) (func(*nn.Params) nn.Optimizer, float64, error) {
	switch s.Kind() {
	case "adam", "adamw":
		c := adamConfig{Rate: 1e-3, Beta1: .9, Beta2: .999, Eps: 1e-8}
		err := s.Decode(&c)
		return func(ps *nn.Params) nn.Optimizer {
			return nn.NewAdam(ps, nn.AdamConfig{
				Beta1: zeroIsMeant(c.Beta1), Beta2: zeroIsMeant(c.Beta2), Eps: c.Eps, Decay: c.Decay, Decoupled: s.Kind() == "adamw",
			})
		}, c.Rate, err
	case "rmsprop":
		c := rmspropConfig{Rate: 1e-4, Alpha: .95, Momentum: .9, Eps: 1e-4, Form: "graves"}
		err := s.Decode(&c)
		return func(ps *nn.Params) nn.Optimizer {
			return nn.NewRMSProp(ps, nn.RMSPropConfig{
				Alpha: zeroIsMeant(c.Alpha), Momentum: zeroIsMeant(c.Momentum), Eps: c.Eps, Plain: c.Form == "plain",
			})
		}, c.Rate, err
	case "sgd":
		c := sgdConfig{Rate: 1e-2}
		err := s.Decode(&c)
		return func(ps *nn.Params) nn.Optimizer {
			return nn.NewSGD(ps, nn.SGDConfig{Momentum: c.Momentum, Decay: c.Decay, Nesterov: c.Nesterov})
		}, c.Rate, err
	}
	return nil, 0, s.UnknownKind([]string{"adam", "adamw", "rmsprop", "sgd"})
}

// zeroIsMeant passes a zero that a file states to a setting whose zero value stands for a default.
func zeroIsMeant(v float64) float64 {
	if v == 0 {
		return -1
	}
	return v
}

type stepConfig struct {
	Every  int64   `yaml:"every" min:"1" required:"true" doc:"steps"`
	Factor float64 `yaml:"factor" above:"0" doc:"multiplies the rate each time"`
}

func planSchedule(s *schema.Section, steps int64) (nn.Schedule, error) {
	none := struct{}{}
	switch s.Kind() {
	case "constant":
		return nn.ConstantRate(), s.Decode(&none)
	case "step":
		c := stepConfig{Every: 1, Factor: .5}
		err := s.Decode(&c)
		return nn.StepRate(c.Every, c.Factor), err
	case "linear":
		return nn.LinearRate(steps), s.Decode(&none)
	case "cosine":
		return nn.CosineRate(steps), s.Decode(&none)
	}
	return nil, s.UnknownKind(strings.Fields("constant step linear cosine"))
}
