// Package small makes experiments small enough for tests.
package small

import (
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/engram-go/engram/experiments"
)

// The networks with keys of their own.
const (
	networkSequences = "ntm"
	networkTokens    = "blocks"
	networkStories   = "memnet"
	networkTime      = "mann"
	networkRare      = "rarenet"
	networkTransfer  = "transfer"
)

// sizes is what the overrides depend on.
type sizes struct {
	Dataset struct {
		Kind      string `yaml:"kind"`
		Size      int    `yaml:"size"`
		Normalize string `yaml:"normalize"` // of photographs
		Tokenizer any    `yaml:"tokenizer"` // of texts
	} `yaml:"dataset"`
	Network struct {
		Encoder struct {
			Kind      string `yaml:"kind"`
			Precision string `yaml:"precision"`
		} `yaml:"encoder"`
		Controller struct {
			Layers int `yaml:"layers"`
		} `yaml:"controller"`
		Memory yaml.Node `yaml:"memory"`
	} `yaml:"network"`
	Train struct {
		Way   int `yaml:"way"`
		Steps int `yaml:"steps"`
	} `yaml:"train"`
	Test   []map[string]any `yaml:"test"`
	Stream map[string]any   `yaml:"stream"`
}

func read(c *experiments.Config) (s sizes, err error) {
	text, err := c.Encode()
	if err == nil {
		err = yaml.Unmarshal(text, &s)
	}
	return s, err
}

// stories reports whether an experiment is on stories.
func (s *sizes) stories() bool { return s.Dataset.Kind == "babi" || s.Dataset.Kind == "stories" }

// each gives an override of every test.
func (s *sizes) each(key string) (out []string) {
	for i := range s.Test {
		out = append(out, fmt.Sprintf("test.%d.%s", i, key))
	}
	return out
}

// images is the override by invented images of the size of the experiment's, in colour where those are photographs; of texts by
// invented ones.
func (s *sizes) images(counts string) string {
	if s.Dataset.Tokenizer != nil {
		return fmt.Sprintf("dataset={kind: requests, %s}", strings.TrimSuffix(counts, ", "))
	}
	if s.Dataset.Normalize != "" && s.Dataset.Kind != "images" {
		return fmt.Sprintf("dataset={kind: textures, %ssize: %d, normalize: %s}", counts, s.Dataset.Size, s.Dataset.Normalize)
	}
	return fmt.Sprintf("dataset={kind: strokes, %ssize: %d}", counts, s.Dataset.Size)
}

// Overrides returns overrides, KEY=VALUE, that make a run of an experiment one of seconds, with all of its parts, on data that
// need no download.
func Overrides(c *experiments.Config) ([]string, error) {
	file, err := read(c)
	if err != nil {
		return nil, err
	}
	sets := []string{"threads=1", "train.report=1"}
	if file.Network.Encoder.Precision == "auto" { // which depends on a measurement
		sets = append(sets, "network.encoder.precision=fp32")
	}
	images := file.images("train: 12, val: 8, test: 8, instances: 12, ")
	switch network := c.Network; {
	case network == networkStories:
		return append(sets, "dataset={kind: stories, train: 60, test: 20}", "train.epochs=2", "train.linear_start.epochs=1"), nil
	case file.stories():
		var memory struct {
			Slots int `yaml:"slots"`
		}
		if file.Network.Memory.Kind == yaml.MappingNode && file.Network.Memory.Decode(&memory) == nil && memory.Slots > 0 {
			sets = append(sets, "network.memory.slots=16") // each word is a step
		}
		if network == networkSequences {
			sets = append(sets, "train.batch=16") // stories
		}
		return append(sets, "dataset={kind: stories, train: 60, test: 20}", "train.epochs=2"), nil
	case network == networkSequences:
		if file.Network.Controller.Layers > 1 { // the baselines, of many units
			sets = append(sets, "network.controller.size=32")
		}
		return append(append(sets, "train.steps=2", "train.batch=2", "validation.sequences=2", "validation.every=2"), file.each("sequences=2")...), nil
	case network == networkTokens:
		return append(append(sets, "train.steps=2", "train.batch=2", "validation.sequences=2", "validation.every=2"), file.each("sequences=2")...), nil
	case network == networkTime, network == networkRare:
		return append(sets, images, "train.way=5", "train.steps=2", "train.batch=2", "train.samples=3", "validation.episodes=2", "validation.every=2",
			"test=[{way: 5, episodes: 3}]"), nil
	case network == networkTransfer:
		sets = append(sets, "train.batch=8")
	default:
		sets = append(sets, "train.way=4", "train.shot=1", "train.query=2", "train.batch=1", "train.within_alphabet=false")
	}
	sets = append(sets, images, fmt.Sprintf("train.steps=%d", min(2, file.Train.Steps)), "validation.way=4", "validation.shot=1", "validation.query=2", "validation.episodes=2",
		"validation.every=2", "test=[{way: 4, shot: 1, query: 2, episodes: 5}]")
	if c.Network == "reptile" {
		sets = append(sets, "network.test_steps=3")
	}
	if file.Network.Encoder.Kind == "koch" { // has 39 million parameters
		sets = append(sets, "train.steps=1", "validation.every=1", "train.way=2", "validation.way=2", "test=[{way: 2, shot: 1, query: 1, episodes: 2}]")
	}
	if c.Network != networkTransfer {
		sets = append(sets, "validation.within_alphabet=false")
	}
	if file.Stream != nil {
		sets = append(sets, "stream.classes=6", "stream.shot=2", "stream.asked=2", "stream.streams=2", "stream.slots=[8]")
	}
	return sets, nil
}

// Short returns overrides that make a run of an experiment one of a number of steps at its own sizes, with a quick test, on data
// that need no download.
func Short(c *experiments.Config, steps int) ([]string, error) {
	file, err := read(c)
	if err != nil {
		return nil, err
	}
	sets := []string{"train.report=10"}
	train := fmt.Sprintf("train.steps=%d", min(steps, file.Train.Steps)) // of an experiment that trains nothing, none
	switch images, network := file.images(""), c.Network; {
	case network == networkStories:
		return append(sets, "dataset={kind: stories, train: 500, test: 20}", "train.epochs=2", "train.linear_start.epochs=1"), nil
	case file.stories():
		return append(sets, "dataset={kind: stories, train: 500, test: 20}", "train.epochs=2"), nil
	case network == networkSequences, network == networkTokens:
		return append(append(sets, train, "validation.sequences=0"), file.each("sequences=2")...), nil
	case network == networkTime, network == networkRare:
		return append(sets, images, train, "validation.episodes=0", fmt.Sprintf("test=[{way: %d, episodes: 2}]", file.Train.Way)), nil
	default:
		sets = append(sets, images, train, "validation.episodes=0", fmt.Sprintf("test=[{way: %d, shot: 1, episodes: 2}]", max(file.Train.Way, 2)))
		if c.Network != networkTransfer {
			sets = append(sets, "train.within_alphabet=false", "validation.within_alphabet=false")
		}
		if file.Stream != nil {
			sets = append(sets, "stream=null")
		}
		return sets, nil
	}
}
