// Package results defines the result file of a run and the tables, plots and comparisons that are generated from such files. It
// does not know how a number was trained. What a page shows is data: published.yaml lists the pages with their data sets,
// columns and published figures.
package results

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
)

// FileName is the name of a run's result file.
const FileName = "result.json"

// Result is the outcome of a run: result.json in its folder, from which tables are generated.
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
	// TestSeconds is how long the test of each figure took, in the order of Figures; nil in results of older versions. Figures of
	// one test share its time.
	TestSeconds []float64 `json:"test_seconds,omitempty"`
}

// Figure is one measured number with everything that affects it.
type Figure struct {
	Name   string `json:"name"`   // "5-way 1-shot"
	Metric string `json:"metric"` // such as [Accuracy], in percent
	// Value is the mean over the test's episodes, sequences or questions, and Interval half of its 95 % confidence interval.
	Value    float64 `json:"value"`
	Interval float64 `json:"interval"`
	// Single is set where the value is of a single episode or sequence, so that there is no interval and Interval is 0.
	Single bool `json:"single,omitempty"`
	// State is how many numbers the memory carries of one example, at the end of it; 0 where that was not measured.
	State int64 `json:"state,omitempty"`
	// Headline marks the figure that the run is judged by. At most one figure of a result has it; see [Result.Headline].
	Headline bool     `json:"headline,omitempty"`
	Protocol Protocol `json:"protocol"`
	Errors   []int    `json:"errors,omitempty"` // in each of Lake's 20 one-shot runs, of 20 trials

	// Threshold is the probability below which a query was rejected as one of no class; 0 where none was.
	Threshold float64 `json:"threshold,omitempty"`

	// CalibrationError is the expected calibration error in percent; see the function of the same name. Nil where the test gave
	// no probabilities.
	CalibrationError *float64        `json:"calibration_error,omitempty"`
	PerClass         []ClassAccuracy `json:"per_class,omitempty"`
	Confusion        *Confusion      `json:"confusion,omitempty"`
	Predictions      string          `json:"predictions,omitempty"` // name of a CSV file in the run folder
	// Queries are what the predictions are written from, and Confusion counts; nil where they were not asked for.
	Queries []QueryPrediction `json:"-"`

	Scores *Scores `json:"-"` // in scores.json; nil where they were not kept
}

// Measure sets the value and the interval from independent values, such as the accuracies of test episodes in percent. It must
// not be called without values.
func (f *Figure) Measure(values []float64) {
	e := Summarize(values)
	f.Value, f.Interval, f.Single = e.Mean, e.Half, !e.HasInterval()
}

// Text writes the figure with its interval: "98.63 ± 0.16", or "98.63 (no interval)" for a single value.
func (f *Figure) Text() string {
	digits := figureDigits(f)
	if f.Unit() == unit(Failed) { // a count of tasks, which is not a mean
		return fmt.Sprintf("%.*f", digits, f.Value)
	}
	if e := f.estimate(); e.HasInterval() {
		return fmt.Sprintf("%.*f ± %.*f", digits, f.Value, digits, e.Half)
	}
	return fmt.Sprintf("%.*f (no interval)", digits, f.Value)
}

// estimate is the figure over its own test examples. The interval is computed anew by Student's t where the single values are
// at hand: result files of older versions hold 1.96·s/√n, which is too narrow for few values.
func (f *Figure) estimate() Estimate {
	e := Estimate{N: 2, Mean: f.Value, Half: f.Interval}
	if f.Single {
		e.N = 1
	}
	var values []float64
	switch {
	case f.Errors != nil:
		for _, wrong := range f.Errors {
			values = append(values, float64(wrong)*100/lakeTrials)
		}
	case f.Scores != nil && len(f.Scores.Values) <= fewValues:
		values = f.Scores.values()
	}
	if len(values) > 0 {
		from := Summarize(values)
		e.N, e.Half = from.N, from.Half
	}
	return e
}

// fewValues is up to how many values the interval of an older result file differs visibly from Student's t.
const fewValues = 100

// lakeTrials is the number of trials in one of Lake's one-shot runs.
const lakeTrials = 20

// Headline returns the figure that the run is judged by, nil where the result has no figures. It is the marked one. Results of
// older versions mark none: there it is the error over all tasks where there are several, the last instance of a class where
// figures are by instance, and the first figure otherwise.
func (r *Result) Headline() *Figure {
	var first, last *Figure
	for i := range r.Figures {
		f := &r.Figures[i]
		if f.Headline {
			return f
		}
		switch p := f.Protocol; {
		case first == nil:
			first, last = f, f
		case f.Name == AllTasks && f.Metric == Error:
			last = f
		case p.Instance > last.Protocol.Instance && sameTest(p, first.Protocol):
			last = f
		}
	}
	return last
}

// sameTest reports whether two protocols differ at most in the instance.
func sameTest(p, q Protocol) bool {
	p.Instance, q.Instance = 0, 0
	return p == q
}

// Protocol is how a figure was measured. Keys with the tag of:"method" describe the method; they may differ between two figures
// of the same test. So may the keys of training.
type Protocol struct {
	Dataset string `json:"dataset"`
	Split   string `json:"split"`

	// Of images that were read from a folder: which folder and how.
	Folder   string `json:"folder,omitempty"` // name and checksum of its contents
	Size     int    `json:"size,omitempty"`   // side of an image in pixels
	Channels int    `json:"channels,omitempty"`
	Distort  string `json:"distort,omitempty"`  // distortion of test images
	Prepared string `json:"prepared,omitempty"` // how test photographs are cropped and normalised
	// Resize is how Omniglot's drawings were brought to their size: bilinear, area, nearest, lanczos, or not at all. Results of older
	// versions do not name it; it is filled in when they are read.
	Resize string `json:"resize,omitempty"`

	TrainedOn string `json:"trained_on" of:"method"`
	Precision string `json:"precision" of:"method"`

	// Of few-shot episodes.
	Rotations string `json:"rotations,omitempty"`
	Classes   int    `json:"classes,omitempty"` // from which test episodes are drawn
	Way       int    `json:"way,omitempty"`
	Shot      int    `json:"shot,omitempty"`
	Query     int    `json:"query,omitempty"` // queries per class
	Episodes  int    `json:"episodes,omitempty"`
	Within    bool   `json:"within_alphabet,omitempty"` // all classes of an episode are from one alphabet
	Queries   int    `json:"queries,omitempty"`         // of one task of all training classes, whose examples are the support set
	Unknown   int    `json:"unknown,omitempty"`         // queries beside these that are of no class
	Pairs     int    `json:"pairs,omitempty"`           // verified pairs, half of them of one class
	Norm      string `json:"norm,omitempty"`            // batch-norm mode: inductive or transductive
	TrainWay  int    `json:"train_way,omitempty" of:"method"`
	TrainShot int    `json:"train_shot,omitempty" of:"method"`
	// InnerSteps is the number of steps by which a method that adapts by design adapts to a support set.
	InnerSteps int `json:"inner_steps,omitempty" of:"method"`
	// FineTune is the number of steps of gradient descent, at FineTuneRate, by which the network was fine-tuned to each support
	// set.
	FineTune     int     `json:"fine_tune,omitempty" of:"method"`
	FineTuneRate float64 `json:"fine_tune_rate,omitempty" of:"method"`
	// Adapted is how a network that was pre-trained as a classifier was adapted to each support set. It ends in ", transductive"
	// where the queries of an episode influence one another.
	Adapted string `json:"adapted,omitempty" of:"method"`

	// Of images in a sequence, each with the label of the one before.
	Labels   string  `json:"labels,omitempty"`   // kind of label
	Samples  int     `json:"samples,omitempty"`  // images per class
	Instance int     `json:"instance,omitempty"` // 1-based index among the images of a class
	Shift    float64 `json:"shift,omitempty"`    // of test images, in pixels
	Turn     float64 `json:"turn,omitempty"`     // of test images, in degrees

	// Of streams of Way classes with Shot examples each, beside the keys of episodes.
	Memory string `json:"memory,omitempty"`
	Slots  int64  `json:"slots,omitempty"`  // 0 where the memory is unbounded
	Asked  int    `json:"asked,omitempty"`  // number of times that the queries were asked during a stream
	Center int    `json:"center,omitempty"` // images of each training class whose mean embedding is subtracted; 0 for none

	// Of sequences.
	Sequences int `json:"sequences,omitempty"`

	// Of questions about stories.
	Questions     int    `json:"questions,omitempty"`
	TrainNetworks string `json:"train_networks,omitempty" of:"method"` // joint: one for all tasks; task: one per task
	Edition       string `json:"edition,omitempty"`                    // of the data
}

// Training describes how the model was trained.
type Training struct {
	Steps    int64 `json:"steps"` // until training ended
	BestStep int64 `json:"best_step"`
	// Validation is the best model's validation score, in percent or bits, and ValidationMetric its metric; empty in results of
	// older versions.
	Validation       float64 `json:"validation"`
	ValidationMetric string  `json:"validation_metric,omitempty"`
	// Optimum is the score of the optimal predictor on the same validation examples; 0 where it is unknown.
	Optimum    float64 `json:"optimum,omitempty"`
	Ended      string  `json:"ended"` // why training ended
	Parameters int64   `json:"parameters"`
	Seconds    float64 `json:"seconds"`
	// ProcessorSeconds is the processor time of training, of all threads; 0 in results of older versions. Other processes on the
	// machine, which lengthen Seconds, hardly change it.
	ProcessorSeconds float64 `json:"processor_seconds,omitempty"`
	Imported         string  `json:"imported,omitempty"` // the file that the parameters were read from, if they were not trained
}

// validationMetric is the metric of the validation score. Results of older versions do not name it: there it is the headline's
// for errors and bits, and accuracy otherwise.
func (r *Result) validationMetric() string {
	if m := r.Training.ValidationMetric; m != "" {
		return m
	}
	if f := r.Headline(); f != nil && (f.Metric == Bits || f.Metric == Error) {
		return f.Metric
	}
	return Accuracy
}

// Build identifies the program.
type Build struct {
	Commit   string `json:"commit"`
	Modified bool   `json:"modified,omitempty"` // the working tree differed from the commit
	Go       string `json:"go"`
	LibTorch string `json:"libtorch"`
}

// ThisBuild identifies the running program, with the version of LibTorch that it uses.
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

// Machine describes where the run was executed.
type Machine struct {
	CPU     string `json:"cpu"`
	Cores   int    `json:"cores"`
	Threads int    `json:"threads"`
	Device  string `json:"device"`
	OS      string `json:"os"`
}

// Encode returns the text of a result.json.
func (r *Result) Encode() ([]byte, error) {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("result: %w", err)
	}
	return append(text, '\n'), nil
}

// Read reads a result.json, and the scores.json beside it if there is one.
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
	if n := len(r.TestSeconds); n > 0 && n != len(r.Figures) {
		return nil, fmt.Errorf("result: %s is damaged: test_seconds has %s, and there are %d figures; test the model again", path, count(n, "value"), len(r.Figures))
	}
	for _, f := range r.Figures {
		if f.Confusion == nil {
			continue
		}
		if err := f.Confusion.check(); err != nil {
			return nil, fmt.Errorf("result: %s is damaged: %s: %w; test the model again", path, f.Name, err)
		}
	}
	r.stateResizing()
	return &r, nil
}
