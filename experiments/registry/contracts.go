package registry

import (
	"context"
	"fmt"
	"strings"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/dataset/babi"
	"github.com/engram-go/engram/dataset/sequence"
	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/head"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/metric"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/siamese"
	"github.com/engram-go/engram/tensor"
	"github.com/engram-go/engram/tokenizer"
)

// Shape is what a network needs to know about its images or texts.
type Shape struct {
	Channels, Height, Width int
	Text                    *Text // nil for images; else the numbers are 0
}

// Text is what a network needs to know about its texts. They are rows of tokens, int64 [n, T], where T is the length of the longest row
// in a batch; shorter rows end with zeros.
type Text struct {
	Tokenizer tokenizer.Tokenizer
	// Texts is the number of training texts, and Documents the number of them that contain each token; nil if a trained network is
	// opened without its data.
	Texts     int
	Documents []int
}

// String names the shape for messages.
func (s Shape) String() string {
	if s.Text != nil {
		return "texts"
	}
	return fmt.Sprintf("%d×%d pixels with %d %s", s.Height, s.Width, s.Channels, map[bool]string{true: "channel", false: "channels"}[s.Channels == 1])
}

// Size is the number of an image's values.
func (s Shape) Size() int { return s.Channels * s.Height * s.Width }

// Embedding is the shape of embeddings of a width that replace images; see [encoder.Freeze].
func Embedding(width int) Shape {
	shape := encoder.EmbeddingShape(int64(width))
	return Shape{Channels: int(shape[0]), Height: int(shape[1]), Width: int(shape[2])}
}

func (s Shape) dims() []int64 { return []int64{int64(s.Channels), int64(s.Height), int64(s.Width)} }

// Encoder is a planned encoder.
type Encoder struct {
	// New makes the encoder for images of a shape, its parameters with b. An image that is too small is an error.
	New func(b *nn.Builder, in Shape) (encoder.Encoder, error)
	// Text marks an encoder of texts: New gets a shape with Text, and the encoder gets rows of tokens instead of images.
	Text bool
	// Tokenizer is the tokenizer that the weights of an encoder of texts require; nil for an encoder that learns with any.
	Tokenizer tokenizer.Tokenizer
	// Identity marks an encoder whose embedding is the image itself: it has no blocks to tune, and a metric that compares images
	// can be used on it.
	Identity bool
	// Frozen marks an encoder that training does not change and that takes embeddings instead of images ([encoder.Freeze]).
	Frozen bool
	// ImageNet marks an encoder that begins with published weights of a family whose weights are usually trained on ImageNet.
	ImageNet bool
}

// Metric is a planned metric.
type Metric struct {
	// New makes the metric for an encoder's embeddings. A metric without parameters uses neither argument, and both may be nil.
	New func(b *nn.Builder, e encoder.Encoder) metric.Metric

	Learned    bool // it has parameters, which belong to one network
	OfSupport  bool // it is fitted on a support set, and a lone pair has none
	Similarity bool // it is no distance: no margin can be set on it
	OfImages   bool // it compares images and no embeddings
	OfSums     bool // it compares with a class's summed keys as well as with their mean
}

// Comparison are the keys of a memory that compares queries with keys. A memory's configuration embeds it; the network that the
// memory plugs into gives the defaults.
type Comparison struct {
	Metric schema.Section `yaml:"metric" family:"metric" doc:"how keys and queries are compared; the network gives the default"`
	Scale  float64        `yaml:"scale" above:"0" doc:"multiplies the scores before the softmax; the network gives the default"`
}

// Comparisons are the defaults that a network has for the memory that plugs into it.
type Comparisons struct {
	Comparison `yaml:",inline"`
	Merge      string `yaml:"merge"`
}

func (c *Comparison) comparison() *Comparison { return c }

// Memory is a planned memory that is written with keys and values.
type Memory struct {
	// New makes the memory for an encoder's embeddings, its parameters with b.
	New func(b *nn.Builder, e encoder.Encoder) (memory.Associative, error)
	// Metric is the metric that it compares keys by; nil for a memory without comparisons, such as a matrix of fast weights.
	Metric *Metric
	// Section is the section of the file that names the metric, for messages; nil without a metric.
	Section *schema.Section
	Scale   float64
	// Kind is its name.
	Kind string
	// Slots is the largest number of pairs that it holds; 0 for no limit.
	Slots int64
	// Scored is set if it scores its slots one by one ([memory.Matcher]).
	Scored bool
	// Sums is set if it keeps the sum of a class's keys, which only some metrics accept ([Metric.OfSums]).
	Sums bool
	// Compares is set where it can compare two single keys ([siamese.Memory]).
	Compares bool
	// Linear is set where it can read without its softmax ([memory.Linearizer]).
	Linear bool
	// ByClass is set where its values must be labels ([memory.ClassMemory]).
	ByClass bool
	// Learned is set where it has parameters ([Learner]), which belong to the network that trained them.
	Learned bool
	// sized plans it again with another number of slots; nil for a memory without a limit.
	sized func(slots int64) (Memory, error)
}

// MemoryInput is what a memory is made from.
type MemoryInput struct {
	Builder *nn.Builder   // makes its parameters
	Width   int64         // of a key: the width of an embedding
	Metric  metric.Metric // what its configuration names; nil where that has no [Comparison]
	Scale   float64       // multiplies the metric's scores; 1 without a metric
}

// Vectors is the width of keys that no encoder computes. It takes the place of an encoder and is never run.
type Vectors int64

// Forward implements encoder.Encoder. It panics.
func (Vectors) Forward(*nn.Pass, *tensor.Tensor) *tensor.Tensor {
	panic("registry: the keys are vectors already, and nothing encodes them")
}

// Width implements encoder.Encoder.
func (w Vectors) Width() int64 { return int64(w) }

// Associative gives the [Maker] of a memory that is written with keys and values. The methods of its type M determine what else
// it can do: a Relation network can use a [memory.Matcher], a Siamese network a [siamese.Memory].
//
// Where the configuration C embeds [Comparison], files may set the memory's metric and scale, and make is handed the metric.
// Where *C implements [Bounded], streams vary how many pairs the memory holds.
func Associative[C any, M memory.Associative](p *Parts, defaults C, make func(c *C, in MemoryInput) (M, error)) Maker[Memory] {
	var plan func(c *C) (Memory, error)
	plan = func(c *C) (Memory, error) {
		var none M
		out := Memory{Scale: 1}
		_, out.Scored = any(none).(memory.Matcher)
		_, out.Compares = any(none).(siamese.Memory)
		_, out.Linear = any(none).(memory.Linearizer)
		_, out.ByClass = any(none).(memory.ClassMemory)
		if l, ok := any(c).(Learner); ok {
			out.Learned = l.Learns()
		}
		if b, ok := any(c).(Bounded); ok {
			out.Slots = b.Bound()
		}
		if s, ok := any(c).(interface{ Sums() bool }); ok {
			out.Sums = s.Sums()
		}
		if of, ok := any(c).(interface{ comparison() *Comparison }); ok {
			compare := of.comparison()
			m, err := p.Metrics.Plan(&compare.Metric)
			if err != nil {
				return out, err
			}
			out.Metric, out.Section, out.Scale = &m, &compare.Metric, compare.Scale
			if m.OfSupport && !out.Scored {
				return out, compare.Metric.Errorf("%s is fitted on the support set, which only a memory that scores its slots (memory.Matcher) can do; use another metric", compare.Metric.Kind())
			}
		}
		if _, ok := any(c).(Bounded); ok {
			out.sized = func(slots int64) (Memory, error) {
				sized := *c
				any(&sized).(Bounded).SetBound(slots)
				return plan(&sized)
			}
		}
		out.New = func(b *nn.Builder, e encoder.Encoder) (memory.Associative, error) {
			in := MemoryInput{Builder: b, Width: e.Width(), Scale: out.Scale}
			if out.Metric != nil {
				in.Metric = out.Metric.New(b.In("metric"), e)
			}
			return make(c, in)
		}
		return out, nil
	}
	return Config(defaults, plan)
}

// Like plans the named memory as a replacement for m: with the metric and scale of m and, if it is bounded, with the given number
// of slots. A memory of m's own kind keeps all of m's settings.
func (p *Parts) Like(name string, m *Memory, slots int64) (Memory, error) {
	if name == m.Kind {
		if m.sized == nil {
			return *m, nil
		}
		return m.sized(slots)
	}
	config := p.Memories.config(name)
	if of, ok := config.(interface{ comparison() *Comparison }); ok {
		if m.Section == nil {
			return Memory{}, fmt.Errorf("it compares by a metric, and the network's memory %s has none that it could take", m.Kind)
		}
		c := of.comparison()
		c.Metric, c.Scale = *m.Section, m.Scale
	}
	if b, ok := config.(Bounded); ok {
		b.SetBound(slots)
	}
	return p.Memories.find(name).Make.plan(config)
}

// Bounded is the configuration of a memory that holds a limited number of pairs.
type Bounded interface {
	Bound() int64
	SetBound(slots int64)
}

// Learner is the configuration of a memory that may have parameters. Streams replace the network's memory without training, and so
// refuse memories with parameters.
type Learner interface{ Learns() bool }

// LearnedMemory reports whether the memory of a name has parameters of its own by default.
func (p *Parts) LearnedMemory(name string) bool {
	l, ok := p.Memories.config(name).(Learner)
	return ok && l.Learns()
}

// BoundedMemory reports whether the memory of a name is bounded.
func (p *Parts) BoundedMemory(name string) bool {
	_, ok := p.Memories.config(name).(Bounded)
	return ok
}

// Recurrent is a planned memory that a controller of a width drives.
type Recurrent func(b *nn.Builder, control int64) memory.Recurrent

// Controller is a planned controller.
type Controller struct {
	Feedforward  bool
	Size, Layers int64
}

// Further capabilities of a [fewshot.Network], besides [fewshot.AdaptiveNetwork] and [fewshot.Verifier].
type (
	// ImageEncoder gives the embeddings that are the keys of its memory: for streams, and for plots.
	ImageEncoder interface {
		// Encode maps images [n, channels, height, width] to embeddings [n, width].
		Encode(p *nn.Pass, images *tensor.Tensor) *tensor.Tensor
	}
	// Headed has an encoder that tests can combine with another head.
	Headed interface {
		fewshot.Network
		// With returns the network, with the same parameters, under another head. mean is the mean embedding of the training
		// images, for a head that is [Head.Centred]; else nil.
		With(h Head, mean []float32) fewshot.Network
		// Blocks is the number of the encoder's blocks that can be tuned.
		Blocks() int
	}
	// Pretrained is trained as an ordinary classifier of images, and gets a new head for each task.
	Pretrained interface {
		Headed
		// Classify returns the loss on images [n, channels, height, width] with labels [n], and the log-probabilities
		// [n, classes].
		Classify(p *nn.Pass, images, labels *tensor.Tensor) (loss, logp *tensor.Tensor)
		// Quick returns the network with a head like its own that trains nothing, for validation.
		Quick() fewshot.Network
	}
	// Normed reports whether the batch-norm mode changes its answers. A network without this method is assumed to depend on it.
	Normed interface{ UsesBatchStatistics() bool }
	// Precise reports the precision of its computations: a value of encoder.Precision.
	Precise interface{ Precision() string }
)

// Source is what a network is trained on.
type Source int

// The sources of training batches.
const (
	Episodes Source = iota // N-way K-shot tasks
	Pairs                  // pairs of images, half of them of one class: for a [fewshot.Verifier]
	Labelled               // images with their classes: for a [Pretrained] network
)

// FewShot is a planned few-shot network.
type FewShot struct {
	// New makes the network, its parameters with b.
	New func(b *nn.Builder, in FewShotInput) (fewshot.Network, error)
	// Source is what it is trained on.
	Source Source
	// Memory is the memory of its support set; nil for a network without one.
	Memory *Memory
	// NoStream says why the network cannot be tested on streams with other memories; empty if it can.
	NoStream string
	// FixedWay marks a network with one output per class of train.way. It takes only episodes of that way.
	FixedWay bool
	// ByTask marks a network that adapts to each task by itself. The tasks of a batch are shared among the cores, and tests cannot
	// fine-tune it.
	ByTask bool
	// NoVerification says why the network cannot be tested on pairs; empty where it can.
	NoVerification string
	// Head is the head of a [Headed] network; else nil.
	Head *Head
	// Encoder is the encoder of its images or texts.
	Encoder Encoder
	// Frozen marks a network on an encoder that no training changes and that takes embeddings in the place of images.
	Frozen bool
	// Optimizer is the only optimiser that the network can be trained with, and WhyOptimizer the reason; empty if it takes any.
	Optimizer, WhyOptimizer string
}

// FewShotInput is what a few-shot network is made for.
type FewShotInput struct {
	Shape
	Way     int // classes of a training episode
	Classes int // of the training data, for a [Pretrained] network
	Workers int // tasks that a network may work on at the same time, each on a core
}

// Head is a planned classifier of a task's embeddings.
type Head struct {
	// Adaptation is how package transfer adapts to an episode, for a head of its kinds. Whatever the head, its kind is that of the
	// layer that an encoder is pre-trained with.
	Adaptation Adaptation
	// New makes a head of package head; nil for one that is trained on each support set by gradient descent.
	New func(in HeadInput) head.Head
	// Doc is its name in results, which says so if it is transductive.
	Doc string
	// Transductive marks a head that lets the queries of an episode influence one another.
	Transductive bool
	// Centred marks a head that needs the mean embedding of the training images, of Images of each class; 0 for all.
	Centred bool
	Images  int
	// Learned marks a head whose parameters must be trained on episodes, so that it goes with no other encoder than its own.
	Learned bool
	// NoTraining completes a sentence about why an encoder cannot be trained through the head; empty if it can.
	NoTraining string
}

// HeadInput is what a head is made for.
type HeadInput struct {
	// Builder makes what the head learns; nil keeps it at its initial value.
	Builder *nn.Builder
	Width   int64     // of an embedding
	Mean    []float32 // embedding of the training images, for a head that is [Head.Centred]
}

// ThroughTime is a planned network that is shown images one after another, each with the label of the one before.
type ThroughTime struct {
	New func(b *nn.Builder, in ThroughTimeInput) (fewshot.SequenceNetwork, error)
}

// Watched is the capability of a [fewshot.SequenceNetwork] whose memory can be seen at work.
type Watched interface {
	// Watch returns what LogProbs does, and shows the memory's state after every time step.
	Watch(p *nn.Pass, s *fewshot.Sequence, seen func(memory.State)) *tensor.Tensor
}

// ThroughTimeInput is what such a network is made for.
type ThroughTimeInput struct {
	Shape
	Labels
}

// Labels name the classes: Length letters per class, of an alphabet of Letters. A one-hot label is a single letter of an alphabet
// with one letter per class.
type Labels struct {
	Length, Letters int
	// OneHot limits tests to as many classes as training episodes have.
	OneHot bool
}

// Sequential is a planned network on sequences of inputs and outputs of some width.
type Sequential struct {
	New func(b *nn.Builder, inputs, outputs int64) SequenceNetwork
}

// SequenceNetwork maps inputs [time, sequences, inputs] to outputs before the sigmoid, [time, sequences, outputs]. seen, which
// may be nil, is shown the memory's state after every step.
type SequenceNetwork func(p *nn.Pass, inputs *tensor.Tensor, seen func(memory.State)) *tensor.Tensor

// Stories is a planned network that answers questions about stories.
type Stories struct {
	// New makes a network that takes a story as sentences, with one question; nil where Reads is set.
	New func(b *nn.Builder, in StoriesInput) (Answerer, error)
	// Reads is a network that reads a story word by word, with all its questions, and names the words of the answers.
	Reads *TokenNet
	// NoLinearStart says why training cannot begin without the softmaxes over the sentences; empty where it can.
	NoLinearStart string
}

// StoriesInput is what such a network needs to know about its training data.
type StoriesInput struct {
	Vocabulary int // words, the unknown one among them
	Words      int // of the longest sentence
	Sentences  int // of the longest story
}

// Story is a story with a question, as numbers of words.
type Story = encoder.Story

// Answerer is a network that answers questions with a word.
type Answerer interface {
	// Forward returns the words' scores [stories, vocabulary], and for each hop the attention [stories, slots] to the sentences,
	// nil where the memory has no slot per sentence.
	Forward(p *nn.Pass, stories []Story) (scores *tensor.Tensor, attention []*tensor.Tensor)
	// SetLinear switches the softmax over the sentences off or on, and Linear reports whether it is off. This is part of the network's
	// state.
	SetLinear(on bool)
	Linear() bool
}

// Images is a planned data set of images, or of texts. A plan gives Split, Options and Load; the other fields may be zero.
type Images struct {
	Split    string           // as results name it
	Rotation dataset.Rotation // none where it is empty
	// Folder is where a user's own images lie; empty for data that its name tells.
	Folder string
	// TrainsOnLake is set if training classes include alphabets of Lake's one-shot runs, which then cannot be a test.
	TrainsOnLake bool
	// Options are the shape of the images that Load returns and that the network is built for, and say how other images are prepared
	// for it. Height and Width have no defaults here.
	Options dataset.ImageOptions
	// Text marks a data set of texts: Load returns sets for which dataset.HoldsTexts is true, and Options are zero.
	Text bool
	// Tokenizer is the section of the file that says how texts become tokens; nil leaves it to the encoder.
	Tokenizer *schema.Section
	// FullWay marks a data set whose test examples are of the training classes, for tests that ask about all of these.
	FullWay bool
	// Outside marks a data set that also has texts of no class, [Loaded.Outside], which full-way tests ask about too.
	Outside bool
	// InImageNet completes the sentence "ImageNet contains" for a data set whose test classes are in ImageNet, so that they are
	// not new to weights trained on it; empty for others.
	InImageNet string
	// Norm is how the values of images are normalised for the network; nil for not at all. Where it is computed from the data, it
	// is set once Load has returned.
	Norm *dataset.Normalization
	// Load reads the data: training, validation and test classes. Its images have the shape that Options give.
	Load func(ctx context.Context, from Place) (Loaded, error)
}

// PlanImages plans the data set of images that a section of a file names.
func (p *Parts) PlanImages(s *schema.Section) (Images, error) {
	i, err := p.Images.Plan(s)
	if i.Rotation == "" {
		i.Rotation = dataset.RotateNone
	}
	if err == nil && !i.Text && (i.Options.Height < 1 || i.Options.Width < 1) {
		err = s.Errorf("the plan of %s gives images of %s; set Height and Width of registry.Images.Options", s.Kind(), i.Shape())
	}
	return i, err
}

// Place says where to look for data first, and receives notes about what was read.
type Place struct {
	Given string       // a folder; see dataset.Find
	Note  func(string) // receives what the user should know
}

// Loaded is a data set that has been read.
type Loaded struct {
	dataset.Parts
	Split string // as results name it, where only the data tells; else empty
	// Outside are validation and test texts that are of none of the classes, where [Images.Outside] is set; there is no training part.
	Outside dataset.Parts
}

// Prepared says how images are prepared for a test, as results name it: "resized to 96, centre 84, normalised"; empty for images
// that are only brought to their size.
func (i *Images) Prepared() string {
	var all []string
	if i.Options.Resize > 0 {
		all = append(all, fmt.Sprintf("resized to %d, centre %d", i.Options.Resize, i.Options.Height))
	}
	if i.Norm != nil {
		all = append(all, "normalised")
	}
	return strings.Join(all, ", ")
}

// Shape is the shape of the images; nothing for texts, whose tokens are known once the data is.
func (i *Images) Shape() Shape {
	if i.Text {
		return Shape{}
	}
	return Shape{Channels: i.Options.Channels(), Height: i.Options.Height, Width: i.Options.Width}
}

// Split is how the classes of a folder are shared out among training, validation and test.
type Split struct {
	Name string // as results name it
	// Of splits a set's classes. It may name the split by what it finds in the data; else the name is empty.
	Of func(set dataset.Set, root string) (split dataset.Split, name string, err error)
}

// Task is a planned task on sequences.
type Task = sequence.Task

// StoryData is a planned data set of stories.
type StoryData struct {
	Split string // as results name it
	Load  func(ctx context.Context, given string) (*babi.Data, error)
}

// Optimizer is a planned optimiser.
type Optimizer struct {
	New  func(ps *nn.Params) nn.Optimizer
	Rate float64 // before the schedule
}

// Schedule is a planned schedule for a number of units of training: steps, or epochs where training counts epochs.
type Schedule func(units int64) nn.Schedule
