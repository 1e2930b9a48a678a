package experiments

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/engram-go/engram/controller"
	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/dataset/sequence"
	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/metric"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/ntm"
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
type imageShape struct {
	channels, height, width int
	way                     int // classes of a training episode
	cores                   int // that a network may work on at the same time
}

// newFile returns what an experiment file on this kind of data set and network is decoded into, with the values of the
// keys that it leaves out.
func newFile(data, network string) experimentFile {
	if network == "mann" {
		return newMANNFile()
	}
	if network == "memnet" || data == dataset.NameBabi || data == dataset.NameStories {
		return newBabiFile()
	}
	if slices.Contains(sequenceTasks(), data) {
		return newSequenceFile()
	}
	f := newFewshotFile()
	if network == "transfer" {
		f.Train.Batch = 64 // images, where other networks count episodes
	}
	return f
}

// imagesPlan is a data set that has been named but not loaded.
type imagesPlan struct {
	kind     string
	split    string // as results name it
	rotation dataset.Rotation
	// showsRuns is set where alphabets of Lake's runs are trained on.
	showsRuns bool
	image     dataset.ImageOptions // of its images, and what one from elsewhere is brought to
	load      func(ctx context.Context, root string) (dataset.Parts, error)
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
	Split     string           `yaml:"split" enum:"vinyals,lake,koch,random-1200,latin"`
	SplitSeed uint64           `yaml:"split_seed" doc:"of the splits that are shuffled"`
	Rotations dataset.Rotation `yaml:"rotations" enum:"none,classes,train-classes,episode,per-class"`
	Drawers   string           `yaml:"drawers" enum:"all,split" doc:"split: 12 of them to train, 4 others to validate and 4 others to test on, as Koch et al. 2015"`
	Size      int              `yaml:"size" min:"8" max:"105" doc:"side of an image in pixels"`
}

func planImages(s *schema.Section) (imagesPlan, error) {
	switch s.Kind() {
	case dataset.NameStrokes:
		c := strokesConfig{Train: 1028, Val: 172, Test: 423, Instances: 20, Size: 28, Rotations: dataset.RotateNone}
		err := s.Decode(&c)
		return imagesPlan{s.Kind(), fmt.Sprintf("%d/%d/%d", c.Train, c.Val, c.Test), c.Rotations, false, drawings(c.Size), func(context.Context, string) (dataset.Parts, error) {
			set, err := dataset.NewStrokes(c.Seed, dataset.StrokesOptions{
				Train: c.Train, Val: c.Val, Test: c.Test, Instances: c.Instances, Size: c.Size,
			})
			if err != nil {
				return dataset.Parts{}, err
			}
			return set.Split().Parts(set, c.Rotations)
		}}, err
	case dataset.NameOmniglot:
		c := omniglotConfig{Split: dataset.SplitVinyals, Rotations: dataset.RotateClasses, Drawers: "all", Size: 28}
		err := s.Decode(&c)
		name := c.Split
		if c.Drawers == "split" {
			name += ", drawers split"
		}
		showsRuns := c.Split == dataset.SplitVinyals || c.Split == dataset.SplitRandom
		return imagesPlan{s.Kind(), name, c.Rotations, showsRuns, drawings(c.Size), func(ctx context.Context, given string) (dataset.Parts, error) {
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
			parts, err := split.Parts(set, c.Rotations)
			if err != nil || c.Drawers == "all" {
				return parts, err
			}
			return parts.ByDrawers()
		}}, err
	}
	if s.Kind() == dataset.NameImages {
		return planFolder(s)
	}
	return imagesPlan{}, s.UnknownKind(append(append(dataset.Names(), dataset.NameImages), sequenceTasks()...))
}

func planFewshot(s *schema.Section) (func(*nn.Builder, imageShape) (fewshotLearner, error), error) {
	switch s.Kind() {
	case "protonet":
		return planProtonet(s)
	case "matchingnet":
		return planMatchingnet(s)
	case "relationnet":
		return planRelationnet(s)
	case "maml":
		return planMAML(s)
	case "reptile":
		return planReptile(s)
	case "ntm":
		return nil, s.Errorf("ntm goes through sequences, and the data set has images; use one of %s, or another network", strings.Join(sequenceTasks(), ", "))
	}
	return nil, s.UnknownKind([]string{"protonet", "matchingnet", "relationnet", "siamese", "transfer", "maml", "reptile", "mann"})
}

type conv4Config struct {
	Filters  int64 `yaml:"filters" min:"1"`
	Pools    int64 `yaml:"pools" min:"1" max:"4" doc:"how many of the four blocks pool, from the first on"`
	Unpadded int64 `yaml:"unpadded" min:"0" max:"4" doc:"how many of the blocks do without padding, from the first on"`
	Strided  bool  `yaml:"strided" doc:"convolutions of stride 2 in the place of pooling"`
	Mean     bool  `yaml:"mean" doc:"the embedding is the mean of the maps over their positions"`

	Precision string `yaml:"precision" enum:"fp32,bf16,auto" doc:"of the convolutions and of what goes from block to block; auto is bf16 where this machine is faster so, and the result says which"`
}

type kochConfig struct {
	Kernels   []int64 `yaml:"kernels" min:"1" minlen:"4" maxlen:"4" doc:"sides of the convolutions' kernels"`
	Filters   []int64 `yaml:"filters" min:"1" minlen:"4" maxlen:"4" doc:"of the convolutions"`
	Embedding int64   `yaml:"embedding" min:"1" doc:"units of the last layer"`
	Normalize bool    `yaml:"normalize" doc:"batch norm, which the paper does not have, and He's first values"`
	Precision string  `yaml:"precision" enum:"fp32,bf16" doc:"of the convolutions"`
}

// planEncoder reads an encoder; others are kinds that its caller has for itself.
func planEncoder(s *schema.Section, others ...string) (func(*nn.Builder, imageShape) (encoder.Encoder, error), error) {
	switch s.Kind() {
	case "conv4":
		c := conv4Config{Filters: 64, Pools: 4, Precision: encoder.FP32}
		err := s.Decode(&c)
		return func(b *nn.Builder, in imageShape) (encoder.Encoder, error) {
			return encoder.NewConv4(b, encoder.Conv4Config{
				Channels: int64(in.channels), Height: int64(in.height), Width: int64(in.width),
				Filters: c.Filters, Pools: c.Pools, Unpadded: c.Unpadded, Strided: c.Strided, Mean: c.Mean,
				BFloat16: c.Precision == "bf16" || c.Precision == "auto" && encoder.BFloat16Pays(),
			})
		}, err
	case "koch":
		c := kochConfig{Kernels: []int64{10, 7, 4, 4}, Filters: []int64{64, 128, 128, 256}, Embedding: 4096, Precision: encoder.FP32}
		err := s.Decode(&c)
		return func(b *nn.Builder, in imageShape) (encoder.Encoder, error) {
			return encoder.NewKoch(b, encoder.KochConfig{
				Channels: int64(in.channels), Height: int64(in.height), Width: int64(in.width), Kernels: [4]int64(c.Kernels),
				Filters: [4]int64(c.Filters), Embedding: c.Embedding, Normalize: c.Normalize, BFloat16: c.Precision == "bf16",
			})
		}, err
	case "resnet12":
		return planResNet12(s)
	case "torchscript":
		return planTorchScript(s)
	case "pixels":
		return func(_ *nn.Builder, in imageShape) (encoder.Encoder, error) {
			return encoder.NewPixels(int64(in.channels), int64(in.height), int64(in.width)), nil
		}, s.Decode(&struct{}{})
	}
	return nil, s.UnknownKind(append([]string{"conv4", "koch", "resnet12", "torchscript", "pixels"}, others...))
}

// memoryConfig is what every memory of a support set has.
type memoryConfig struct {
	Metric schema.Section `yaml:"metric" doc:"squared-euclidean, euclidean, manhattan, weighted-manhattan, mahalanobis, covariance, cosine, dot, the learned relation, or modified-hausdorff of pixels"`
	Scale  float64        `yaml:"scale" above:"0" doc:"multiplies the scores before the softmax"`
}

func (c *memoryConfig) measure() *memoryConfig { return c }

type prototypeConfig struct {
	memoryConfig `yaml:",inline"`
	Merge        string `yaml:"merge" enum:"mean,sum" doc:"of a class's keys; sum goes with the relation only"`
}

type boundedConfig struct {
	memoryConfig `yaml:",inline"`
	Slots        int64   `yaml:"slots" min:"1" doc:"how many pairs it holds; beyond that something is lost"`
	Gate         float64 `yaml:"gate" min:"0" below:"1" doc:"the share of a writing that goes by content"`
	Decay        float64 `yaml:"decay" above:"0" max:"1" doc:"of usage (lrua)"`
}

// writeRules are the bounded memories.
var writeRules = map[string]memory.WriteRule{"lrua": memory.LRUAWrite, "ntm": memory.NTMWrite, "dnc": memory.DNCWrite}

// planMemory reads a memory, which is then made for an encoder's embeddings; c holds the defaults of the network that it
// plugs into.
func planMemory(s *schema.Section, c prototypeConfig) (func(b *nn.Builder, e encoder.Encoder) memory.Matcher, error) {
	if rule, ok := writeRules[s.Kind()]; ok {
		c := boundedConfig{c.memoryConfig, 128, 0, .95}
		if err := s.Decode(&c); err != nil {
			return nil, err
		}
		m, err := planMetric(&c.Metric)
		return func(b *nn.Builder, e encoder.Encoder) memory.Matcher {
			return memory.NewBounded(memory.BoundedConfig{
				Rule: rule, Slots: c.Slots, Metric: m(b.In("metric"), e), Scale: c.Scale, Gate: c.Gate, Decay: c.Decay,
			})
		}, err
	}
	switch s.Kind() {
	case "prototype":
		usual := c.Merge
		if err := s.Decode(&c); err != nil {
			return nil, err
		}
		if c.Merge == "sum" && usual != "sum" && c.Metric.Kind() != "relation" { // a network that sums by itself minds its metric
			return nil, s.Errorf("merge: sum grows with the examples of a class, which %s takes for a distance; use mean, or metric: relation", c.Metric.Kind())
		}
		m, err := planMetric(&c.Metric)
		return func(b *nn.Builder, e encoder.Encoder) memory.Matcher {
			return memory.NewPrototype(memory.PrototypeConfig{Metric: m(b.In("metric"), e), Scale: c.Scale, Sum: c.Merge == "sum"})
		}, err
	case "keyvalue":
		c := c.memoryConfig
		if err := s.Decode(&c); err != nil {
			return nil, err
		}
		m, err := planMetric(&c.Metric)
		return func(b *nn.Builder, e encoder.Encoder) memory.Matcher {
			return memory.NewKeyValue(memory.KeyValueConfig{Metric: m(b.In("metric"), e), Scale: c.Scale})
		}, err
	}
	return nil, s.UnknownKind([]string{"prototype", "keyvalue", "lrua", "ntm", "dnc"})
}

type mahalanobisConfig struct {
	Form string `yaml:"form" enum:"full,diagonal" doc:"a learned matrix, or one number a coordinate"`
}

type covarianceConfig struct {
	Form  string  `yaml:"form" enum:"class,shared" doc:"the support set's covariance: one a class, or one for all"`
	Ridge float64 `yaml:"ridge" above:"0" doc:"what is added to its diagonal"`
}

type relationConfig struct {
	Filters int64 `yaml:"filters" min:"1" doc:"of its two convolutions"`
	Hidden  int64 `yaml:"hidden" min:"1" doc:"units between its two linear layers"`
}

func planMetric(s *schema.Section) (func(b *nn.Builder, e encoder.Encoder) metric.Metric, error) {
	switch s.Kind() {
	case "weighted-manhattan":
		return func(b *nn.Builder, e encoder.Encoder) metric.Metric {
			return metric.NewWeightedManhattan(b, e.Width())
		}, s.Decode(&struct{}{})
	case "mahalanobis":
		c := mahalanobisConfig{Form: "full"}
		err := s.Decode(&c)
		return func(b *nn.Builder, e encoder.Encoder) metric.Metric {
			return metric.NewMahalanobis(b, e.Width(), c.Form == "diagonal")
		}, err
	case "covariance":
		c := covarianceConfig{"class", 1}
		err := s.Decode(&c)
		return func(*nn.Builder, encoder.Encoder) metric.Metric {
			return metric.NewCovariance(metric.CovarianceConfig{PerClass: c.Form == "class", Ridge: c.Ridge})
		}, err
	case "relation":
		c := relationConfig{64, 8}
		err := s.Decode(&c)
		return func(b *nn.Builder, e encoder.Encoder) metric.Metric {
			channels, height, width := encoder.Maps(e)
			return metric.NewRelation(b, metric.RelationConfig{
				Channels: channels, Height: height, Width: width, Filters: c.Filters, Hidden: c.Hidden,
			})
		}, err
	}
	fixed := map[string]metric.Metric{
		"squared-euclidean": metric.SquaredEuclidean{}, "euclidean": metric.Euclidean{}, "manhattan": metric.Manhattan{},
		"cosine": metric.Cosine{}, "dot": metric.Dot{}, "modified-hausdorff": metric.ModifiedHausdorff{},
	}
	m, ok := fixed[s.Kind()]
	if !ok {
		return nil, s.UnknownKind(strings.Fields("squared-euclidean euclidean manhattan weighted-manhattan mahalanobis covariance cosine dot relation modified-hausdorff"))
	}
	return func(*nn.Builder, encoder.Encoder) metric.Metric { return m }, s.Decode(&struct{}{})
}

// sequenceTasks lists the tasks of the NTM paper, as files name them.
func sequenceTasks() []string {
	return []string{"copy", "repeat-copy", "associative-recall", "ngrams", "priority-sort"}
}

type copyConfig struct {
	Bits      int `yaml:"bits" min:"1" doc:"of a vector"`
	MinLength int `yaml:"min_length" min:"1" doc:"vectors of a training sequence"`
	MaxLength int `yaml:"max_length" min:"1"`
}

type repeatCopyConfig struct {
	Bits       int  `yaml:"bits" min:"1" doc:"of a vector"`
	MinLength  int  `yaml:"min_length" min:"1" doc:"vectors of a training sequence"`
	MaxLength  int  `yaml:"max_length" min:"1"`
	MinRepeats int  `yaml:"min_repeats" min:"1"`
	MaxRepeats int  `yaml:"max_repeats" min:"1"`
	Delimiter  bool `yaml:"delimiter" doc:"flag the repeat number on a channel of its own"`
}

type recallConfig struct {
	Bits     int `yaml:"bits" min:"1" doc:"of a vector"`
	Vectors  int `yaml:"vectors" min:"1" doc:"of an item"`
	MinItems int `yaml:"min_items" min:"2" doc:"of a training sequence"`
	MaxItems int `yaml:"max_items" min:"2"`
}

type ngramsConfig struct {
	N      int `yaml:"n" min:"1" doc:"a bit depends on the n-1 before it"`
	Length int `yaml:"length" min:"1" doc:"bits of a sequence"`
}

type prioritySortConfig struct {
	Bits      int  `yaml:"bits" min:"1" doc:"of a vector"`
	Length    int  `yaml:"length" min:"1" doc:"vectors of a training sequence"`
	Top       int  `yaml:"top" min:"1" doc:"vectors asked for"`
	Delimiter bool `yaml:"delimiter" doc:"mark the end of the vectors"`
}

// planSequence reads a sequence task; the defaults are the paper's settings.
func planSequence(s *schema.Section) (sequence.Task, error) {
	made := func(t sequence.Task, err error) (sequence.Task, error) {
		if err != nil {
			return nil, s.Errorf("%w", err)
		}
		return t, nil
	}
	switch s.Kind() {
	case "copy":
		c := copyConfig{8, 1, 20}
		if err := s.Decode(&c); err != nil {
			return nil, err
		}
		return made(sequence.NewCopy(sequence.CopyOptions(c)))
	case "repeat-copy":
		c := repeatCopyConfig{8, 1, 10, 1, 10, false}
		if err := s.Decode(&c); err != nil {
			return nil, err
		}
		return made(sequence.NewRepeatCopy(sequence.RepeatCopyOptions(c)))
	case "associative-recall":
		c := recallConfig{6, 3, 2, 6}
		if err := s.Decode(&c); err != nil {
			return nil, err
		}
		return made(sequence.NewRecall(sequence.RecallOptions(c)))
	case "ngrams":
		c := ngramsConfig{6, 200}
		if err := s.Decode(&c); err != nil {
			return nil, err
		}
		return made(sequence.NewNGrams(sequence.NGramsOptions(c)))
	case "priority-sort":
		c := prioritySortConfig{8, 20, 16, false}
		if err := s.Decode(&c); err != nil {
			return nil, err
		}
		return made(sequence.NewPrioritySort(sequence.PrioritySortOptions(c)))
	}
	return nil, s.UnknownKind(sequenceTasks())
}

type ntmConfig struct {
	Controller schema.Section `yaml:"controller" doc:"lstm or feedforward"`
	Memory     schema.Section `yaml:"memory" doc:"ntm, lrua, dnc, or none for the baseline without memory"`
}

type controllerConfig struct {
	Size   int64 `yaml:"size" min:"1" doc:"of a layer"`
	Layers int64 `yaml:"layers" min:"1"`
}

func planSequenceNetwork(s *schema.Section) (func(b *nn.Builder, inputs, outputs int64) sequenceLearner, error) {
	if s.Kind() != "ntm" {
		return nil, s.UnknownKind([]string{"ntm"})
	}
	c := ntmConfig{Controller: schema.NewSection("lstm", nil), Memory: schema.NewSection("ntm", nil)}
	if err := s.Decode(&c); err != nil {
		return nil, err
	}
	control, err := planController(&c.Controller, &c.Memory, controllerConfig{Size: 100, Layers: 1})
	return func(b *nn.Builder, inputs, outputs int64) sequenceLearner {
		c := control
		c.Inputs = inputs
		net := ntm.New(b, ntm.Config{Config: c, Outputs: outputs})
		return func(p *nn.Pass, x *tensor.Tensor, seen func(memory.State)) *tensor.Tensor {
			if seen == nil {
				return net.Forward(p, x, nil)
			}
			return net.Forward(p, x, func(_ int64, s ntm.State) { seen(s.Memory) })
		}
	}, err
}

// planController reads a controller and its memory; def holds the defaults of the network that it drives.
func planController(s, mem *schema.Section, def controllerConfig) (controller.Config, error) {
	var err error
	switch s.Kind() {
	case "lstm", "feedforward":
		err = s.Decode(&def)
	default:
		err = s.UnknownKind([]string{"lstm", "feedforward"})
	}
	memory, memoryErr := planRecurrent(mem)
	return controller.Config{Feedforward: s.Kind() == "feedforward", Size: def.Size, Layers: def.Layers, Memory: memory}, schema.Join(err, memoryErr)
}

type ntmMemoryConfig struct {
	Slots  int64  `yaml:"slots" min:"1"`
	Width  int64  `yaml:"width" min:"1" doc:"of a slot"`
	Reads  int64  `yaml:"reads" min:"1" doc:"read heads"`
	Writes int64  `yaml:"writes" min:"1" doc:"write heads"`
	Shift  int64  `yaml:"shift" min:"1" doc:"how far a head can move a step"`
	Start  string `yaml:"start" enum:"constant,learned,random" doc:"the memory before the first step"`
}

type lruaMemoryConfig struct {
	Slots    int64   `yaml:"slots" min:"1"`
	Width    int64   `yaml:"width" min:"1" doc:"of a slot"`
	Heads    int64   `yaml:"heads" min:"1" doc:"each reads and writes"`
	Decay    float64 `yaml:"decay" above:"0" below:"1" doc:"of usage"`
	Add      bool    `yaml:"add" doc:"write a vector of its own; the paper writes the key"`
	Strength bool    `yaml:"strength" doc:"with a key strength a head; the paper has none"`
	OwnSlots bool    `yaml:"own_slots" doc:"a least used slot a head; in the paper each head writes to all of them"`
	Start    string  `yaml:"start" enum:"constant,learned,random" doc:"the memory before the first step"`
}

type dncMemoryConfig struct {
	Slots int64  `yaml:"slots" min:"1"`
	Width int64  `yaml:"width" min:"1" doc:"of a slot"`
	Reads int64  `yaml:"reads" min:"1" doc:"read heads"`
	Start string `yaml:"start" enum:"constant,learned,random" doc:"the memory before the first step"`
}

// planRecurrent reads a memory that a controller drives step by step.
func planRecurrent(s *schema.Section) (func(b *nn.Builder, control int64) memory.Recurrent, error) {
	start := map[string]memory.Initial{"constant": memory.ConstantMemory, "learned": memory.LearnedMemory, "random": memory.RandomMemory}
	switch s.Kind() {
	case "none":
		return func(*nn.Builder, int64) memory.Recurrent { return memory.None{} }, s.Decode(&struct{}{})
	case "ntm":
		c := ntmMemoryConfig{128, 20, 1, 1, 1, "constant"}
		err := s.Decode(&c)
		return func(b *nn.Builder, control int64) memory.Recurrent {
			return memory.NewNTM(b, memory.NTMConfig{
				Control: control, Slots: c.Slots, Width: c.Width, Reads: c.Reads, Writes: c.Writes, Shift: c.Shift, Memory: start[c.Start],
			})
		}, err
	case "lrua":
		c := lruaMemoryConfig{Slots: 128, Width: 40, Heads: 4, Decay: .95, Start: "constant"}
		err := s.Decode(&c)
		return func(b *nn.Builder, control int64) memory.Recurrent {
			return memory.NewLRUA(b, memory.LRUAConfig{
				Control: control, Slots: c.Slots, Width: c.Width, Heads: c.Heads, Decay: c.Decay,
				Add: c.Add, Strength: c.Strength, OwnSlots: c.OwnSlots, Memory: start[c.Start],
			})
		}, err
	case "dnc":
		c := dncMemoryConfig{128, 20, 1, "constant"}
		err := s.Decode(&c)
		return func(b *nn.Builder, control int64) memory.Recurrent {
			return memory.NewDNC(b, memory.DNCConfig{Control: control, Slots: c.Slots, Width: c.Width, Reads: c.Reads, Memory: start[c.Start]})
		}, err
	}
	return nil, s.UnknownKind([]string{"ntm", "lrua", "dnc", "none"})
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
	Every  int64   `yaml:"every" min:"1" required:"true" doc:"steps, or epochs where train counts them"`
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
