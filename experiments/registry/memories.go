package registry

import (
	"fmt"

	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

func memories(p *Parts) []Part[Memory] {
	bounded := func(rule memory.WriteRule) Maker[Memory] {
		return Associative(p, boundedConfig{Slots: 128, Decay: .95}, func(c *boundedConfig, in MemoryInput) (*memory.Bounded, error) {
			return memory.NewBounded(memory.BoundedConfig{
				Rule: rule, Slots: c.Slots, Metric: in.Metric, Scale: in.Scale, Gate: c.Gate, Decay: c.Decay,
			}), nil
		})
	}
	return append([]Part[Memory]{
		{kindPrototype, "one slot per class: the mean, or the sum, of its keys", "Snell et al. 2017, section 2.2",
			Associative(p, prototypeConfig{}, func(c *prototypeConfig, in MemoryInput) (*memory.Prototype, error) {
				return memory.NewPrototype(memory.PrototypeConfig{Metric: in.Metric, Scale: in.Scale, Sum: c.Merge == mergeSum}), nil
			})},
		{kindKeyValue, "one slot per key, all of them kept", "Vinyals et al. 2016, section 2.1",
			Associative(p, keyValueConfig{}, func(_ *keyValueConfig, in MemoryInput) (*memory.KeyValue, error) {
				return memory.NewKeyValue(memory.KeyValueConfig{Metric: in.Metric, Scale: in.Scale}), nil
			})},
		{kindLRUA, "a bounded memory that overwrites the slot least recently used", "Santoro et al. 2016, section 3", bounded(memory.LRUAWrite)},
		{kindNTM, "a bounded memory with the write rule of the Neural Turing Machine", "Graves et al. 2014, section 3.2", bounded(memory.NTMWrite)},
		{kindDNC, "a bounded memory with the allocation of the Differentiable Neural Computer", "Graves et al. 2016, methods", bounded(memory.DNCWrite)},
		{"hopfield", "a modern Hopfield network of all keys", "Ramsauer et al. 2020",
			Associative(p, hopfieldConfig{Normalise: true}, func(c *hopfieldConfig, _ MemoryInput) (*memory.Hopfield, error) {
				return memory.NewHopfield(memory.HopfieldConfig{Beta: c.Beta, Updates: c.Updates, Unnormed: !c.Normalise}), nil
			})},
		{"rare", "a bounded lifelong memory of classes, without gradients in what it stores", "Kaiser et al. 2017",
			Associative(p, rareConfig{8192, 40}, func(c *rareConfig, _ MemoryInput) (*memory.Rare, error) {
				return memory.NewRare(memory.RareConfig{Slots: c.Slots, Scale: c.Scale}), nil
			})},
	}, fastMemories(p)...)
}

type hopfieldConfig struct {
	Beta      float64 `yaml:"beta" min:"0" doc:"the inverse temperature; 0 is 1/√width"`
	Updates   int     `yaml:"updates" min:"0" doc:"how often a query is moved towards the stored keys before it reads"`
	Normalise bool    `yaml:"normalise" doc:"bring keys and queries to mean 0 and variance 1 over their width"`
}

type rareConfig struct {
	Slots int64   `yaml:"slots" min:"1" doc:"how many keys it holds; beyond that the oldest is lost"`
	Scale float64 `yaml:"scale" above:"0" doc:"multiplies the cosines before the softmax over slots"`
}

// Bound implements [Bounded].
func (c *rareConfig) Bound() int64 { return c.Slots }

// SetBound implements [Bounded].
func (c *rareConfig) SetBound(slots int64) { c.Slots = slots }

type keyValueConfig struct {
	Comparison `yaml:",inline"`
}

const (
	mergeMean = "mean"
	mergeSum  = "sum"
)

type prototypeConfig struct {
	Comparison `yaml:",inline"`
	Merge      string `yaml:"merge" enum:"mean,sum" doc:"of a class's keys; sum goes with a metric that compares sums, such as relation"`
}

// Sums tells [Associative] that the memory keeps the sum of a class's keys.
func (c *prototypeConfig) Sums() bool { return c.Merge == mergeSum }

// boundedConfig is that of a memory of few slots.
type boundedConfig struct {
	Comparison `yaml:",inline"`
	Slots      int64   `yaml:"slots" min:"1" doc:"how many pairs it holds; beyond that something is lost"`
	Gate       float64 `yaml:"gate" min:"0" below:"1" doc:"the share of a write that is addressed by content"`
	Decay      float64 `yaml:"decay" above:"0" max:"1" doc:"of usage, for the rule that has one"`
}

// Bound implements [Bounded].
func (c *boundedConfig) Bound() int64 { return c.Slots }

// SetBound implements [Bounded].
func (c *boundedConfig) SetBound(slots int64) { c.Slots = slots }

func controllers() []Part[Controller] {
	controller := func(feedforward bool) Maker[Controller] {
		return Config(controllerConfig{Size: 100, Layers: 1}, func(c *controllerConfig) (Controller, error) {
			return Controller{feedforward, c.Size, c.Layers}, nil
		})
	}
	return []Part[Controller]{
		{kindLSTM, "LSTM layers", "", controller(false)},
		{"feedforward", "layers without a state", "", controller(true)},
	}
}

type controllerConfig struct {
	Size   int64 `yaml:"size" min:"1" doc:"of a layer"`
	Layers int64 `yaml:"layers" min:"1"`
}

// interfaced are the memories that are driven through one linear layer ([memory.Interfaced]), whose interfaces nutm can store.
func interfaced() []Part[Recurrent] {
	return append([]Part[Recurrent]{
		{kindNTM, "the memory of the Neural Turing Machine", "Graves et al. 2014, section 3", Config(
			ntmMemoryConfig{128, 20, 1, 1, 1, "constant"}, (*ntmMemoryConfig).plan)},
		{kindLRUA, "least recently used access", "Santoro et al. 2016, section 3.2", Config(
			lruaMemoryConfig{Slots: 128, Width: 40, Heads: 4, Decay: .95, Start: "constant"}, (*lruaMemoryConfig).plan)},
		{kindDNC, "the memory of the Differentiable Neural Computer", "Graves et al. 2016, methods", Config(
			dncMemoryConfig{Slots: 128, Width: 20, Reads: 1, Writes: 1, Start: "constant"}, (*dncMemoryConfig).plan)},
		{"sparse", "a memory of many slots, of which a step reads and writes a few", "Rae et al. 2016", Config(
			sparseMemoryConfig{Slots: 128, Width: 32, Heads: 4, Reads: 4, Search: "exact"}, (*sparseMemoryConfig).plan)},
	}, fastRecurrent()...)
}

func recurrent(p *Parts) []Part[Recurrent] {
	return append(interfaced(), []Part[Recurrent]{
		{"relational", "a memory whose slots attend to one another at each step, the relational memory core", "Santoro et al. 2018", Config(
			relationalMemoryConfig{Slots: 8, Heads: 8, Width: 32, Blocks: 1, Layers: 2, Gates: "unit"}, (*relationalMemoryConfig).plan)},
		{"nutm", "another memory under several stored interfaces", "Le, Tran and Venkatesh 2020", Config(
			nutmConfig{Memory: schema.NewSection(kindLRUA, nil), Programs: 2, Key: 16}, func(c *nutmConfig) (Recurrent, error) { return c.plan(p) })},
		{kindNone, "no memory, for the baseline", "", Plain[Recurrent](func(*nn.Builder, int64) memory.Recurrent { return memory.None{} })},
	}...)
}

// start is the memory before the first step, by the name that files give it.
func start(name string) memory.Initial {
	return map[string]memory.Initial{"constant": memory.ConstantMemory, "learned": memory.LearnedMemory, "random": memory.RandomMemory}[name]
}

type ntmMemoryConfig struct {
	Slots  int64  `yaml:"slots" min:"1"`
	Width  int64  `yaml:"width" min:"1" doc:"of a slot"`
	Reads  int64  `yaml:"reads" min:"1" doc:"read heads"`
	Writes int64  `yaml:"writes" min:"1" doc:"write heads"`
	Shift  int64  `yaml:"shift" min:"1" doc:"how far a head can move in a step"`
	Start  string `yaml:"start" enum:"constant,learned,random" doc:"the memory before the first step"`
}

func (c *ntmMemoryConfig) plan() (Recurrent, error) {
	return func(b *nn.Builder, control int64) memory.Recurrent {
		return memory.NewNTM(b, memory.NTMConfig{
			Control: control, Slots: c.Slots, Width: c.Width, Reads: c.Reads, Writes: c.Writes, Shift: c.Shift, Memory: start(c.Start),
		})
	}, nil
}

type lruaMemoryConfig struct {
	Slots    int64   `yaml:"slots" min:"1"`
	Width    int64   `yaml:"width" min:"1" doc:"of a slot"`
	Heads    int64   `yaml:"heads" min:"1" doc:"each reads and writes"`
	Decay    float64 `yaml:"decay" above:"0" below:"1" doc:"of usage"`
	Add      bool    `yaml:"add" doc:"write a vector of its own; the paper writes the key"`
	Strength bool    `yaml:"strength" doc:"with a key strength per head; the paper has none"`
	OwnSlots bool    `yaml:"own_slots" doc:"one least used slot per head; in the paper each head writes to all of them"`
	Start    string  `yaml:"start" enum:"constant,learned,random" doc:"the memory before the first step"`
}

// Validate implements [schema.Validator].
func (c *lruaMemoryConfig) Validate() error {
	if c.Slots < c.Heads {
		return schema.At("slots", fmt.Errorf("%d heads write to a least used slot each, and there are %d; use at least as many slots as heads", c.Heads, c.Slots))
	}
	return nil
}

func (c *lruaMemoryConfig) plan() (Recurrent, error) {
	return func(b *nn.Builder, control int64) memory.Recurrent {
		return memory.NewLRUA(b, memory.LRUAConfig{
			Control: control, Slots: c.Slots, Width: c.Width, Heads: c.Heads, Decay: c.Decay,
			Add: c.Add, Strength: c.Strength, OwnSlots: c.OwnSlots, Memory: start(c.Start),
		})
	}, nil
}

type dncMemoryConfig struct {
	Slots  int64  `yaml:"slots" min:"1"`
	Width  int64  `yaml:"width" min:"1" doc:"of a slot"`
	Reads  int64  `yaml:"reads" min:"1" doc:"read heads"`
	Writes int64  `yaml:"writes" min:"1" doc:"write heads"`
	Start  string `yaml:"start" enum:"constant,learned,random" doc:"the memory before the first step"`

	Masked      bool `yaml:"masked" doc:"compare keys and slots under a mask that a head emits: Csordás and Schmidhuber 2019"`
	Deallocated bool `yaml:"deallocated" doc:"erase the slots that are freed: the same"`
	Sharpened   bool `yaml:"sharpened" doc:"sharpen the weightings along temporal links: the same"`
	ContentOnly bool `yaml:"content_only" doc:"read by content alone, without temporal links: Franke et al. 2018"`
	LayerNorm   bool `yaml:"layer_norm" doc:"normalise the interface vector: the same"`
}

// Validate implements [schema.Validator].
func (c *dncMemoryConfig) Validate() error {
	if c.ContentOnly && c.Sharpened {
		return schema.At("sharpened", fmt.Errorf("sharpens temporal links, which content_only leaves out; leave one of them out"))
	}
	return nil
}

func (c *dncMemoryConfig) plan() (Recurrent, error) {
	return func(b *nn.Builder, control int64) memory.Recurrent {
		return memory.NewDNC(b, memory.DNCConfig{
			Control: control, Slots: c.Slots, Width: c.Width, Reads: c.Reads, Writes: c.Writes, Memory: start(c.Start),
			Masked: c.Masked, Deallocated: c.Deallocated, Sharpened: c.Sharpened, ContentOnly: c.ContentOnly, LayerNorm: c.LayerNorm,
		})
	}, nil
}

type relationalMemoryConfig struct {
	Slots  int64  `yaml:"slots" min:"1"`
	Heads  int64  `yaml:"heads" min:"1" doc:"of the attention"`
	Width  int64  `yaml:"width" min:"1" doc:"of a head; a slot is as wide as its heads together"`
	Blocks int64  `yaml:"blocks" min:"1" doc:"of attention and layers at each step"`
	Layers int64  `yaml:"layers" min:"1" doc:"after the attention of a block"`
	Gates  string `yaml:"gates" enum:"unit,slot,none" doc:"between the old memory and the new one: one per number, one per slot, or none"`
}

func (c *relationalMemoryConfig) plan() (Recurrent, error) {
	gates := map[string]memory.RelationalGates{"unit": memory.UnitGates, "slot": memory.SlotGates, "none": memory.NoGates}[c.Gates]
	return func(b *nn.Builder, control int64) memory.Recurrent {
		return memory.NewRelational(b, memory.RelationalConfig{
			Control: control, Slots: c.Slots, Heads: c.Heads, Width: c.Width, Blocks: c.Blocks, Layers: c.Layers, Gates: gates,
		})
	}, nil
}

type nutmConfig struct {
	Memory   schema.Section `yaml:"memory" family:"interfaced memory" doc:"what the programs drive"`
	Programs int64          `yaml:"programs" min:"1" doc:"interfaces that are stored; 1 is the memory itself"`
	Key      int64          `yaml:"key" min:"1" doc:"the width of a program's key"`
	Penalty  float64        `yaml:"penalty" min:"0" doc:"weight of the cosines between the keys of programs, which is added to the loss"`
}

func (c *nutmConfig) plan(p *Parts) (Recurrent, error) {
	held, err := p.Interfaced.Plan(&c.Memory)
	if err != nil {
		return nil, err
	}
	b := nn.NewBuilder(0, tensor.CPU)
	defer b.Params().Free()
	if _, ok := held(b, 1).(memory.Interfaced); !ok {
		return nil, c.Memory.Errorf("nutm stores interfaces of a memory that is driven through one linear layer, and %s has none; use another memory", c.Memory.Kind())
	}
	return func(b *nn.Builder, control int64) memory.Recurrent {
		return memory.NewNUTM(b, memory.NUTMConfig{
			Control: control, Programs: c.Programs, Key: c.Key, Penalty: c.Penalty,
			Memory: func(b *nn.Builder, control int64) memory.Interfaced { return held(b, control).(memory.Interfaced) },
		})
	}, nil
}

type sparseMemoryConfig struct {
	Slots  int64  `yaml:"slots" min:"1"`
	Width  int64  `yaml:"width" min:"1" doc:"of a slot"`
	Heads  int64  `yaml:"heads" min:"1" doc:"each reads and writes"`
	Reads  int64  `yaml:"reads" min:"1" doc:"slots that a head reads"`
	Search string `yaml:"search" enum:"exact,hashed" doc:"compare a query with every slot that was written, or with those of a few buckets of locality-sensitive hashing"`
}

// Validate implements [schema.Validator].
func (c *sparseMemoryConfig) Validate() error {
	if c.Slots < max(c.Heads, c.Reads) {
		return schema.At("slots", fmt.Errorf("%d heads that read %d slots each need at least %d, and there are %d", c.Heads, c.Reads, max(c.Heads, c.Reads), c.Slots))
	}
	return nil
}

func (c *sparseMemoryConfig) plan() (Recurrent, error) {
	return func(b *nn.Builder, control int64) memory.Recurrent {
		return memory.NewSparse(b, memory.SparseConfig{
			Control: control, Slots: c.Slots, Width: c.Width, Heads: c.Heads, Reads: c.Reads, Hashed: c.Search == "hashed",
		})
	}, nil
}
