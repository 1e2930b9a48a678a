// Package registry holds the tables of all parts that an experiment file can name: memories, metrics, encoders, networks, data
// sets, tasks, optimisers and what belongs to them. It is the only place that knows every part.
//
// A table has a row for each part: its name, a sentence, its configuration with defaults, and what plans it. [Standard] returns
// the tables of Engram's own parts; a program adds its own rows to them:
//
//	parts := registry.Standard()
//	parts.Memories.Add(registry.Part[registry.Memory]{Name: "hebbian", Doc: "a matrix of Hebbian fast weights", Make: …})
//	os.Exit(cli.Main(parts))
//
// A part is planned when a file is read, before data is loaded, and made later, when the network is built: what a row's Maker
// returns is a plan with a function New. A network says in its plan what it learns from; see [FewShot], [ThroughTime],
// [Sequential] and [Stories].
package registry

import (
	"fmt"
	"slices"
	"strings"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/tensor"
)

// Parts are the tables, one per family. They implement [schema.Catalog]. Rows are added before the first file is read; after
// that, Parts may be used from many goroutines.
type Parts struct {
	Encoders    Table[Encoder]
	Metrics     Table[Metric]
	Memories    Table[Memory]     // written with keys and values
	Recurrent   Table[Recurrent]  // driven step by step by a controller
	Interfaced  Table[Recurrent]  // those that are driven through one linear layer, for nutm
	Controllers Table[Controller] // of recurrent memories

	FewShot     Table[FewShot]     // networks that learn from episodes, pairs or labelled images
	ThroughTime Table[ThroughTime] // networks that are shown an episode image by image
	Sequential  Table[Sequential]  // networks on sequence tasks
	Stories     Table[Stories]     // networks that answer questions about stories
	Heads       Table[Head]        // classifiers of an episode's embeddings
	PairLosses  Table[PairLoss]    // of networks that compare pairs
	Contexts    Table[Context]     // embeddings that depend on the whole support set
	Labels      Table[Labels]      // what classes are called when images come one by one

	Images     Table[Images]    // data sets of images and texts
	Splits     Table[Split]     // of a folder's classes
	Tokenizers Table[Tokenizer] // texts to tokens
	Tasks      Table[Task]      // on sequences
	StoryData  Table[StoryData]

	TokenNets  Table[TokenNet]  // networks on token sequences
	Mixers     Table[Mixer]     // their layers that mix positions
	TokenTasks Table[TokenTask] // on token sequences

	Optimizers Table[Optimizer]
	Schedules  Table[Schedule]
	Averages   Table[Average] // of the weights over training
}

// The families, as the tags of configurations name them. A question mark after a family's name adds the kind "none".
const (
	familyNone = "?"
	kindNone   = "none"
)

// The names of parts that are another part's default or are in several tables. Other names are only in their own row.
const (
	kindConv4             = "conv4"
	kindCosine            = "cosine"
	kindDNC               = "dnc"
	kindEpisodic          = "episodic"
	kindDot               = "dot"
	kindGatedDelta        = "gated-delta"
	kindKeyValue          = "keyvalue"
	kindFolders           = dataset.SplitFolders
	kindLinear            = "linear"
	kindLRUA              = "lrua"
	kindLSTM              = "lstm"
	kindNTM               = "ntm"
	kindPrototype         = "prototype"
	kindRelation          = "relation"
	kindRidge             = "ridge"
	kindViT               = "vit"
	kindShare             = "share"
	kindWords             = "words"
	kindSquaredEuclidean  = "squared-euclidean"
	kindVerification      = "verification"
	kindWeightedManhattan = "weighted-manhattan"
)

// A Family is a table and what it is called.
type Family struct {
	Name string // as tags name it: "memory"
	Doc  string // a sentence
	Rows []Info
}

type family struct {
	name, doc string
	rows      rows
}

func (p *Parts) families() []family {
	return []family{
		{"few-shot network", "networks that learn to classify from episodes, pairs or labelled images", &p.FewShot},
		{"through-time network", "networks that are shown an episode image by image", &p.ThroughTime},
		{"sequence network", "networks on sequence tasks", &p.Sequential},
		{"story network", "networks that answer questions about stories", &p.Stories},
		{"memory", "memories that are written with keys and values and answer queries", &p.Memories},
		{"recurrent memory", "memories that a controller drives step by step", &p.Recurrent},
		{"interfaced memory", "memories that a controller drives through one linear layer", &p.Interfaced},
		{"controller", "what drives a recurrent memory", &p.Controllers},
		{"metric", "how a memory compares queries with keys", &p.Metrics},
		{"encoder", "an input to an embedding", &p.Encoders},
		{"head", "classifiers of an episode's embeddings", &p.Heads},
		{"pair loss", "losses of networks that compare pairs", &p.PairLosses},
		{"context", "embeddings that depend on the whole support set", &p.Contexts},
		{"labels", "what classes are called when images come one by one", &p.Labels},
		{"images", "data sets of images and texts", &p.Images},
		{"tokenizer", "how texts become tokens", &p.Tokenizers},
		{"split", "how the classes of a folder are split", &p.Splits},
		{"task", "sequence tasks", &p.Tasks},
		{"stories", "data sets of stories with questions", &p.StoryData},
		{"token network", "networks on token sequences", &p.TokenNets},
		{"mixer", "layers that mix the positions of a token sequence", &p.Mixers},
		{"token task", "tasks on token sequences", &p.TokenTasks},
		{"optimizer", "optimisers", &p.Optimizers},
		{"schedule", "schedules of the learning rate", &p.Schedules},
		{"average", "averages of the weights over training", &p.Averages},
	}
}

// Families lists the tables with their rows.
func (p *Parts) Families() []Family {
	var out []Family
	for _, f := range p.families() {
		out = append(out, Family{f.name, f.doc, f.rows.infos()})
	}
	return out
}

func (p *Parts) family(name string) rows {
	all := p.families()
	i := slices.IndexFunc(all, func(f family) bool { return f.name == name })
	if i < 0 {
		panic("registry: a tag names the family " + name + ", which is none")
	}
	return all[i].rows
}

// Kinds implements [schema.Catalog].
func (p *Parts) Kinds(family string) []schema.Kind {
	family, optional := strings.CutSuffix(family, familyNone)
	var out []schema.Kind
	for _, i := range p.family(family).infos() {
		out = append(out, schema.Kind{Name: i.Name, Doc: i.Doc})
	}
	if optional {
		out = append(out, schema.Kind{Name: kindNone, Doc: "nothing"})
	}
	return out
}

// Config implements [schema.Catalog].
func (p *Parts) Config(family, kind string) any {
	family, optional := strings.CutSuffix(family, familyNone)
	if optional && kind == kindNone {
		return &struct{}{}
	}
	return p.family(family).config(kind)
}

// uses says how the memories of each family are used.
func uses() map[string]string {
	return map[string]string{
		"memory":           "is written with keys and values",
		"recurrent memory": "is driven step by step by a controller",

		"interfaced memory": "is driven through one linear layer",
	}
}

// Explain implements [schema.Explainer]: it says what a memory of another family cannot do.
func (p *Parts) Explain(family, kind string) string {
	need, ok := uses()[family]
	if !ok {
		return ""
	}
	for _, other := range p.families() {
		if does, ok := uses()[other.name]; ok && other.rows.config(kind) != nil {
			return fmt.Sprintf("%s %s, and this network's memory %s", kind, does, need)
		}
	}
	return ""
}

// A Settler is a configuration with a setting that depends on the machine on which a run starts. Settle fixes the setting before the
// configuration is written to the run folder, so that it stays the same when the run is resumed or tested elsewhere.
type Settler interface {
	Settle(on tensor.Device) error
}

// None is the default of an optional section.
func None() schema.Section { return schema.NewSection(kindNone, nil) }

// IsNone reports whether a section is of the kind "none".
func IsNone(s *schema.Section) bool { return s.Kind() == kindNone }

// Standard returns the tables with Engram's own parts.
func Standard() *Parts {
	p := &Parts{}
	p.Encoders.Add(encoders()...)
	p.Encoders.Add(textEncoders()...)
	p.Metrics.Add(metrics()...)
	p.Memories.Add(memories(p)...)
	p.Recurrent.Add(recurrent(p)...)
	p.Interfaced.Add(interfaced()...)
	p.Controllers.Add(controllers()...)
	p.FewShot.Add(metricBased(p)...)
	p.FewShot.Add(adaptive(p)...)
	p.FewShot.Add(transferred(p)...)
	p.FewShot.Add(episodic(p)...)
	p.ThroughTime.Add(throughTime(p)...)
	p.Sequential.Add(sequential(p)...)
	p.Stories.Add(stories(p)...)
	p.Heads.Add(heads()...)
	p.PairLosses.Add(pairLosses()...)
	p.Contexts.Add(contexts()...)
	p.Labels.Add(labels()...)
	p.Images.Add(images(p)...)
	p.Images.Add(texts(p)...)
	p.Splits.Add(splits()...)
	p.Tokenizers.Add(tokenizers()...)
	p.Tasks.Add(tasks()...)
	p.StoryData.Add(storyData()...)
	p.TokenNets.Add(tokenNets(p)...)
	p.Mixers.Add(mixers()...)
	p.TokenTasks.Add(tokenTasks()...)
	p.Optimizers.Add(optimizers()...)
	p.Schedules.Add(schedules()...)
	p.Averages.Add(averages()...)
	return p
}
