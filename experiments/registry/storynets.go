package registry

import (
	"context"
	"fmt"
	"slices"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/dataset/babi"
	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/entnet"
	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/memnet"
	"github.com/engram-go/engram/nn"
)

type memnetConfig struct {
	Width    int64   `yaml:"width" min:"1" doc:"of a word vector"`
	Hops     int     `yaml:"hops" min:"1" doc:"how often the memory is read"`
	Slots    int     `yaml:"slots" min:"1" doc:"the most sentences the memory holds, the last ones of a longer story; fewer where no training story has as many"`
	Encoding string  `yaml:"encoding" enum:"bag,position,released" doc:"of sentences: bag of words, or the position encoding of the paper or of its released code"`
	Tying    string  `yaml:"tying" enum:"adjacent,layer-wise" doc:"which tables of word vectors are shared"`
	Time     bool    `yaml:"time" doc:"tell the network the order of the sentences"`
	Noise    float64 `yaml:"noise" min:"0" max:"1" doc:"in training, the largest share of times without a sentence"`
	ReLU     bool    `yaml:"relu" doc:"a rectifier after each hop"`

	Memory schema.Section `yaml:"memory" family:"memory" doc:"what holds the sentences"`
}

func stories(p *Parts) []Part[Stories] {
	out := []Part[Stories]{
		{"memnet", "the end-to-end Memory Network", "Sukhbaatar et al. 2015", Config(
			memnetConfig{Width: 20, Hops: 3, Slots: 50, Encoding: "position", Tying: "adjacent", Time: true, Memory: storyMemory()},
			func(c *memnetConfig) (Stories, error) {
				mem, err := p.planStoryMemory(&c.Memory)
				out := Stories{New: func(b *nn.Builder, in StoriesInput) (Answerer, error) {
					holds, err := mem.New(b.In("memory"), Vectors(c.Width))
					if err != nil {
						return nil, err
					}
					longest := in.Words
					if c.Time {
						longest++ // the released code counts the time as a word
					}
					return memnet.New(b, memnet.Config{
						Words: int64(in.Vocabulary), Width: c.Width, Hops: c.Hops, Slots: min(c.Slots, max(in.Sentences, 1)),
						Encoding: map[string]encoder.WordEncoding{
							"bag": encoder.BagOfWords, "position": encoder.PositionEncoding, "released": encoder.ReleasedPositionEncoding,
						}[c.Encoding],
						Longest: longest, Tying: map[string]memnet.Tying{"adjacent": memnet.Adjacent, "layer-wise": memnet.LayerWise}[c.Tying],
						Timeless: !c.Time, Noise: c.Noise, ReLU: c.ReLU, Memory: holds,
					}), nil
				}}
				if !mem.Linear {
					out.NoLinearStart = fmt.Sprintf("the memory %s reads by no softmax over sentences that could be left out", mem.Kind)
				}
				return out, err
			})},
		{"entnet", "the Recurrent Entity Network, which reads sentences into slots with keys", "Henaff et al. 2017", Config(
			entnetConfig{Width: 100, Slots: 20, Sentences: 70}, func(c *entnetConfig) (Stories, error) {
				return Stories{NoLinearStart: "an Entity Network reads by no softmax over sentences that could be left out", New: func(b *nn.Builder, in StoriesInput) (Answerer, error) {
					return entnet.New(b, entnet.Config{
						Words: int64(in.Vocabulary), Longest: in.Words, Width: c.Width, Slots: c.Slots, Sentences: c.Sentences,
					}), nil
				}}, nil
			})},
	}
	for _, n := range tokenNets(p) { // stories are token sequences, too
		out = append(out, Part[Stories]{n.Name, n.Doc + ", which reads word by word", n.Paper, as(n.Make, func(net TokenNet) Stories {
			return Stories{Reads: &net, NoLinearStart: "a network that reads word by word has no softmax over sentences that could be left out"}
		})})
	}
	return out
}

type entnetConfig struct {
	Width     int64 `yaml:"width" min:"1" doc:"of a word vector and of a slot"`
	Slots     int64 `yaml:"slots" min:"1"`
	Sentences int   `yaml:"sentences" min:"1" doc:"the last sentences of a story, which are read; the paper reads 150 for task 3"`
}

// storyMemory is the paper's: section 2.1.
func storyMemory() schema.Section {
	return schema.NewSection(kindKeyValue, nil).WithDefaults(Comparisons{Comparison{schema.NewSection(kindDot, nil), 1}, mergeMean})
}

// planStoryMemory plans a memory for sentences, which are vectors without a class.
func (p *Parts) planStoryMemory(s *schema.Section) (Memory, error) {
	m, err := p.Memories.Plan(s)
	m.Kind = s.Kind()
	switch {
	case err != nil:
	case m.ByClass:
		err = s.Errorf("%s merges keys by class, and the sentences of a story have none; use %s", m.Kind, kindKeyValue)
	case m.Metric != nil && m.Metric.OfImages:
		err = m.Section.Errorf("%s compares images, and sentences are vectors; use another metric", m.Section.Kind())
	case m.Metric != nil && m.Metric.OfSupport:
		err = m.Section.Errorf("%s is fitted on the classes of a support set, and the sentences of a story have none; use another metric", m.Section.Kind())
	}
	return m, err
}

type babiConfig struct {
	Folder string `yaml:"folder" minlen:"1" doc:"en has 1,000 training questions per task, en-10k 10,000; or another folder of the release"`
	Tasks  []int  `yaml:"tasks" min:"1" max:"20" doc:"all where none is named"`
}

// Validate implements [schema.Validator].
func (c *babiConfig) Validate() error {
	if tasks := slices.Compact(slices.Sorted(slices.Values(c.Tasks))); len(tasks) < len(c.Tasks) {
		return schema.At("tasks", fmt.Errorf("one is named twice in %v", c.Tasks))
	}
	return nil
}

type storiesConfig struct {
	Seed  uint64 `yaml:"seed" doc:"of the invented stories"`
	Train int    `yaml:"train" min:"10" doc:"questions per task"`
	Test  int    `yaml:"test" min:"10" doc:"questions per task"`
}

func storyData() []Part[StoryData] {
	return []Part[StoryData]{
		{dataset.NameStories, "invented stories of a few kinds, as many as you like", "", Config(storiesConfig{Train: 1000, Test: 1000}, func(c *storiesConfig) (StoryData, error) {
			return StoryData{fmt.Sprint(c.Train), func(context.Context, string) (*babi.Data, error) {
				return babi.NewStories(c.Seed, babi.StoriesOptions{Train: c.Train, Test: c.Test})
			}}, nil
		})},
		{dataset.NameBabi, "the twenty bAbI tasks", "Weston et al. 2015", Config(babiConfig{Folder: babi.Folder1k}, func(c *babiConfig) (StoryData, error) {
			return StoryData{c.Folder, func(ctx context.Context, given string) (*babi.Data, error) {
				source, err := dataset.Find(dataset.NameBabi, given)
				if err != nil {
					return nil, err
				}
				return babi.Load(ctx, source, c.Folder, c.Tasks...)
			}}, nil
		})},
	}
}
