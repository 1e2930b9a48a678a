// Package kinds holds the kinds of experiment: what a file of each says, and the work that the runner gets from it. A kind knows
// networks, data sets and tasks by the contracts of package registry alone.
//
// Experiments on images are composed: training batches are episodes, pairs or labelled images, as the network asks for, and each
// test is one of several kinds. See [FewShot].
package kinds

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/engram-go/engram/experiments/registry"
	"github.com/engram-go/engram/experiments/runner"
	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/tensor"
)

// A Kind is a kind of experiment. The network of a file tells which one it is.
type Kind struct {
	Networks, Data string // the families of its networks and of its data
	Learns         string // what its networks learn from, for messages
	Holds          string // what its data sets hold, for messages
	// New returns what a file is decoded into, with the defaults of the keys that it leaves out.
	New func(p *registry.Parts) File
}

// A File is an experiment file that a document is decoded into.
type File interface {
	// Sections gives the parts that every file has.
	Sections() Sections
	// Plan checks how keys fit together, and returns the work. It is also called for a file with mistakes, so that all mistakes are
	// reported together.
	Plan() (runner.Work, error)
}

// Sections are the parts that every file has.
type Sections struct {
	*Head
	*Tail
	Dataset, Network *schema.Section
	Saving           *runner.Saving
	Patience         int
}

// All lists the kinds.
func All() []Kind {
	return []Kind{
		{"few-shot network", "images", "images", "images", newFewShot},
		{"through-time network", "images", "images", "images", newThroughTime},
		{"sequence network", "task", "sequences", "sequences", newSequences},
		{"token network", "token task", "token sequences", "token sequences", newTokens},
		{"story network", "stories", "stories", "stories", newStories},
	}
}

// Networks lists the networks of all kinds.
func Networks(p *registry.Parts) (names []string) {
	for _, k := range All() {
		for _, name := range schema.KindNames(p, k.Networks) {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// With lists the kinds that have a network of a name. The first is that of a file whose data set does not tell.
func With(p *registry.Parts, network string) (kinds []Kind) {
	for _, k := range All() {
		if slices.Contains(schema.KindNames(p, k.Networks), network) {
			kinds = append(kinds, k)
		}
	}
	return kinds
}

// Of returns the kind of a file by the kinds of its network and its data set, either of which may be missing or unknown.
func Of(p *registry.Parts, network, data string) Kind {
	has := func(k Kind) bool { return slices.Contains(schema.KindNames(p, k.Data), data) }
	all, with := All(), With(p, network)
	if i := slices.IndexFunc(with, has); i >= 0 {
		return with[i]
	}
	if len(with) > 0 {
		return with[0]
	}
	return all[max(slices.IndexFunc(all, has), 0)]
}

// Mismatch is the error that a known network and a known data set do not fit together. It is nil if they fit or if one is unknown.
func (k Kind) Mismatch(p *registry.Parts, network, data *schema.Section) error {
	own := schema.KindNames(p, k.Data)
	if slices.Contains(own, data.Kind()) || !slices.Contains(schema.KindNames(p, k.Networks), network.Kind()) {
		return nil
	}
	for _, other := range All() {
		if slices.Contains(schema.KindNames(p, other.Data), data.Kind()) {
			holds := other.Holds
			if p.HoldsTexts(data.Kind()) {
				holds = "texts"
			}
			return network.Errorf("%s learns from %s, and %s holds %s; use one of %s, or another network",
				network.Kind(), k.Learns, data.Kind(), holds, strings.Join(own, ", "))
		}
	}
	return nil
}

// Head are the first keys of every file.
type Head struct {
	Name  string `yaml:"name" required:"true" minlen:"1" doc:"what the run folder and the tables call the experiment"`
	About string `yaml:"about" doc:"what it reproduces, in a sentence"`
	Seed  uint64 `yaml:"seed" doc:"of initialisation, training data and noise; test data do not depend on it"`
}

// Tail are the keys after a file's data set and network.
type Tail struct {
	From      *From          `yaml:"from" doc:"the run whose model training starts from: its folder, or a mapping"`
	Optimizer schema.Section `yaml:"optimizer" family:"optimizer"`
	Schedule  schema.Section `yaml:"schedule" family:"schedule" doc:"of the learning rate"`
	Average   schema.Section `yaml:"average" family:"average?" doc:"of the weights over training, which is what is validated and kept; or none"`

	Device        string `yaml:"device" doc:"cpu, cuda, cuda:N, or auto, which is the CPU"`
	TF32          bool   `yaml:"tf32" doc:"on CUDA, products and convolutions in TensorFloat-32"`
	Deterministic bool   `yaml:"deterministic" doc:"on CUDA, only algorithms that give the same bits each time; some are slower"`
	CUDAGraphs    bool   `yaml:"cuda_graphs" doc:"on CUDA, training steps are captured as CUDA graphs and replayed; not yet tested on a GPU. On the CPU it only tests the same steps, and is slower"`
	Slurm         *Slurm `yaml:"slurm" doc:"what engram sweep --on slurm asks for; no part of a run"`
	Threads       int    `yaml:"threads" min:"0" doc:"for one operation, or for as many tasks with methods that adapt to each task; 0 means all cores"`
}

// From says which run's model training starts from.
type From struct {
	runner.From `yaml:",inline"`
}

// Validate implements [schema.Validator]: it pins the model.
func (f *From) Validate() error { return schema.At("run", f.Pin()) }

// Slurm is what a job requests from Slurm. Keys that are left out are not requested.
type Slurm struct {
	Partition string   `yaml:"partition" doc:"as sbatch reads it"`
	Time      string   `yaml:"time" doc:"the time limit of a job, as sbatch reads it: minutes, or D-HH:MM:SS in quotes; a run may take several jobs"`
	Memory    string   `yaml:"memory" doc:"of a job, as sbatch reads it: 4G"`
	CPUs      int      `yaml:"cpus" min:"0" doc:"cores of a job; 0 stands for threads"`
	GPUs      int      `yaml:"gpus" min:"0"`
	AtOnce    int      `yaml:"at_once" min:"0" doc:"the most jobs at a time; 0 for no bound"`
	Sbatch    []string `yaml:"sbatch" doc:"further options of sbatch, such as --account=lab"`
}

func newHead() Head { return Head{Seed: 1} }

func newTail() Tail {
	return Tail{Optimizer: schema.NewSection(registry.Adam, nil), Schedule: schema.NewSection("constant", nil), Average: registry.None(), Device: "auto", Deterministic: true}
}

// Validate implements [schema.Validator]: a name must be a valid path of folders, separated by slashes, below runs.
func (h *Head) Validate() error {
	if strings.ContainsFunc(h.Name, unicode.IsControl) {
		return schema.At("name", fmt.Errorf("%q has a line break or another control character, and a folder is named after it", h.Name))
	}
	if h.Name != "" && !filepath.IsLocal(h.Name) || h.Name != path.Clean(h.Name) && h.Name != "" || h.Name == "." {
		return schema.At("name", fmt.Errorf("%q is no name of a folder, and the run folder is named after it", h.Name))
	}
	return nil
}

// Validate implements [schema.Validator].
func (t *Tail) Validate() error {
	on, err := tensor.ParseDevice(t.Device)
	switch {
	case err != nil:
		return schema.At("device", err)
	case t.TF32 && on == tensor.CPU:
		return schema.At("tf32", fmt.Errorf("is a precision of CUDA devices, and device: %s computes in float32; leave it out", t.Device))
	}
	return nil
}

// needBatch refuses an empty batch for files without a default.
func needBatch(n int) error {
	if n == 0 {
		return schema.At("train.batch", errors.New("must be at least 1, got 0"))
	}
	return nil
}

// noCarried refuses clip.carried, which only networks on sequences have.
func noCarried(c runner.Clip) error {
	if c.Carried > 0 {
		return schema.At("train.clip.carried", errors.New("is for networks that run over a sequence; leave it out"))
	}
	return nil
}

// needNetwork refuses a file whose network is null.
func needNetwork(s *schema.Section) error {
	if s.Kind() == "" {
		return schema.At("network", errors.New("there is none to train; give its kind"))
	}
	return nil
}

// duplicates refuses a test that says the same as an earlier one under every key.
func duplicates[T fmt.Stringer](tests []T) error {
	var errs []error
	seen := map[string]bool{}
	for i := range tests {
		text, err := schema.Encode(&tests[i])
		if err != nil {
			continue // reported where it is decoded
		}
		if seen[string(text)] {
			errs = append(errs, schema.At(fmt.Sprintf("test.%d", i), fmt.Errorf("the same test as an earlier one: %s", tests[i])))
		}
		seen[string(text)] = true
	}
	return errors.Join(errs...)
}

// evaluationSeed draws validation and test examples. It does not depend on the run's seed: every method and every seed is measured
// on the same examples, so that two runs can be compared example by example.
const evaluationSeed = 0
