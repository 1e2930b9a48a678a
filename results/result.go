// Package results holds what runs came to: the result file, and the tables that are generated from such files. It does
// not know how a number was trained.
package results

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"

	"gonum.org/v1/gonum/stat"
)

// FileName is the name of a run's result file.
const FileName = "result.json"

// Result is what a run came to: result.json of its folder, which tables are generated from.
type Result struct {
	Name     string   `json:"name"`
	About    string   `json:"about,omitempty"`
	Network  string   `json:"network"`
	Seed     uint64   `json:"seed"`
	Figures  []Figure `json:"figures"`
	Training Training `json:"training"`
	Build    Build    `json:"build"`
	Machine  Machine  `json:"machine"`
	Config   string   `json:"config"` // the resolved experiment file
}

// Figure is one measured number with all that moves it.
type Figure struct {
	Name     string   `json:"name"`     // "5-way 1-shot"
	Metric   string   `json:"metric"`   // "accuracy", in percent, or one of sequences; see Bits
	Value    float64  `json:"value"`    // mean over the episodes or sequences
	Interval float64  `json:"interval"` // half of the 95 % interval of the mean
	Protocol Protocol `json:"protocol"`
	Errors   []int    `json:"errors,omitempty"` // in each of Lake's runs, of 20
	Scores   *Scores  `json:"-"`                // in scores.json; nil where they were not kept
}

// LakeRuns is the name of the figure on Lake's 20 one-shot runs.
const LakeRuns = "Lake's runs"

// Protocol is what a figure was measured under.
type Protocol struct {
	Dataset   string `json:"dataset"`
	Split     string `json:"split"`
	TrainedOn string `json:"trained_on"`
	Precision string `json:"precision"`

	// Of few-shot episodes.
	Rotations string `json:"rotations,omitempty"`
	Classes   int    `json:"classes,omitempty"` // that test episodes are drawn from
	Way       int    `json:"way,omitempty"`
	Shot      int    `json:"shot,omitempty"`
	Query     int    `json:"query,omitempty"` // a class
	Episodes  int    `json:"episodes,omitempty"`
	Within    bool   `json:"within_alphabet,omitempty"` // the classes of an episode are of one alphabet
	Pairs     int    `json:"pairs,omitempty"`           // told apart, half of them of one class
	Norm      string `json:"norm,omitempty"`            // inductive or transductive
	TrainWay  int    `json:"train_way,omitempty"`
	TrainShot int    `json:"train_shot,omitempty"`
	// InnerSteps is how many steps on its support set adapted the network to an episode, of a method that does so by itself.
	InnerSteps int `json:"inner_steps,omitempty"`
	// FineTune is how many steps of gradient descent, at FineTuneRate, adapted the network to each support set.
	FineTune     int     `json:"fine_tune,omitempty"`
	FineTuneRate float64 `json:"fine_tune_rate,omitempty"`
	// Adapted is how a network that was pre-trained as a classifier was adapted to each support set.
	Adapted string `json:"adapted,omitempty"`

	// Of images that come one after another.
	Labels   string  `json:"labels,omitempty"`   // one-hot or strings
	Samples  int     `json:"samples,omitempty"`  // images a class
	Instance int     `json:"instance,omitempty"` // which of them
	Shift    float64 `json:"shift,omitempty"`    // of test images, in pixels
	Turn     float64 `json:"turn,omitempty"`     // in degrees

	// Of streams of Way classes and Shot examples of each, beside what they have of episodes.
	Memory string `json:"memory,omitempty"`
	Slots  int64  `json:"slots,omitempty"` // 0 where the memory is not bounded
	Asked  int    `json:"asked,omitempty"` // times that the queries were asked as a stream went by

	// Of sequences.
	Sequences int `json:"sequences,omitempty"`

	// Of questions about stories.
	Questions     int    `json:"questions,omitempty"`
	TrainNetworks string `json:"train_networks,omitempty"` // joint, one for all tasks, or task, one a task
	Edition       string `json:"edition,omitempty"`        // of the data
}

// Training says how the model came about.
type Training struct {
	Steps      int64   `json:"steps"` // done before training ended
	BestStep   int64   `json:"best_step"`
	Validation float64 `json:"validation"` // the best model's: accuracy in percent, or bits
	// Optimum is what the best predictor there can be comes to on the same validation examples; 0 where it is not known.
	Optimum    float64 `json:"optimum,omitempty"`
	Ended      string  `json:"ended"` // why
	Parameters int64   `json:"parameters"`
	Seconds    float64 `json:"seconds"`
	Imported   string  `json:"imported,omitempty"` // the file that the parameters came from, where they were not trained
}

// Build is what the program was built from.
type Build struct {
	Commit   string `json:"commit"`
	Modified bool   `json:"modified,omitempty"` // the working tree differed from the commit
	Go       string `json:"go"`
	LibTorch string `json:"libtorch"`
}

// ThisBuild is what the running program was built from, with a LibTorch.
func ThisBuild(libTorch string) Build {
	b := Build{Go: runtime.Version(), LibTorch: libTorch}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

// Machine is what the run ran on.
type Machine struct {
	CPU     string `json:"cpu"`
	Cores   int    `json:"cores"`
	Threads int    `json:"threads"`
	Device  string `json:"device"`
	OS      string `json:"os"`
}

// MeanInterval returns the mean and half of its 95 % interval, 1.96·s/√n.
func MeanInterval(xs []float64) (mean, half float64) {
	mean, std := stat.MeanStdDev(xs, nil)
	return mean, 1.96 * std / math.Sqrt(float64(len(xs)))
}

// Encode returns the text of a result.json.
func (r *Result) Encode() ([]byte, error) {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("result: %w", err)
	}
	return append(text, '\n'), nil
}

// Read reads a result.json, and the scores.json beside it where there is one.
func Read(path string) (*Result, error) {
	return read(os.DirFS(filepath.Dir(path)), filepath.Base(path), path)
}

func decode(path string, text []byte) (*Result, error) {
	var r Result
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&r); err != nil {
		return nil, fmt.Errorf("result: %s is damaged: %w; train again", path, err)
	}
	return &r, nil
}
