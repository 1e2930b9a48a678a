package kinds

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/episode"
	"github.com/engram-go/engram/experiments/measure"
	"github.com/engram-go/engram/experiments/registry"
	"github.com/engram-go/engram/experiments/runner"
	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// fewShotFile is the experiment file of few-shot classification.
type fewShotFile struct {
	Head       `yaml:",inline"`
	Dataset    schema.Section `yaml:"dataset" family:"images" doc:"what is learned from"`
	Network    schema.Section `yaml:"network" required:"true" family:"few-shot network" doc:"what is trained"`
	Tail       `yaml:",inline"`
	Train      fewShotTrain      `yaml:"train"`
	Validation fewShotValidation `yaml:"validation"`
	Test       []episodeTest     `yaml:"test" required:"true" minlen:"1" doc:"what the best model is measured on, once, at the end"`
	Stream     *streamTest       `yaml:"stream" doc:"and on long streams of labelled examples, by memories of several sizes"`

	parts *registry.Parts
}

type fewShotTrain struct {
	Way   int `yaml:"way" min:"2" doc:"classes of a training episode"`
	Shot  int `yaml:"shot" min:"1" doc:"support images per class"`
	Query int `yaml:"query" min:"1" doc:"query images per class"`

	Within      bool             `yaml:"within_alphabet" doc:"the classes of an episode are of one alphabet"`
	Distort     distortionConfig `yaml:"distort"`
	Augment     augmentConfig    `yaml:"augment"`
	runner.Loop `yaml:",inline"`
}

// distortionConfig distorts training images by random affine maps: Koch et al. 2015, section 3.2.
type distortionConfig struct {
	Rotate float64 `yaml:"rotate" min:"0" doc:"degrees, in either direction"`
	Shear  float64 `yaml:"shear" min:"0" below:"1" doc:"of either axis, in either direction"`
	Scale  float64 `yaml:"scale" min:"0" below:"1" doc:"of either axis, 1 plus or minus this"`
	Shift  float64 `yaml:"shift" min:"0" doc:"pixels along either axis, in either direction"`
	Chance float64 `yaml:"chance" min:"0" max:"1" doc:"probability of each of these for an image"`
}

// augmentConfig changes training images at random, as photographs usually are.
type augmentConfig struct {
	Pad        int     `yaml:"pad" min:"0" max:"512" doc:"random crop of the image with a black border of this many pixels"`
	Area       float64 `yaml:"area" min:"0" max:"1" doc:"random crop of at least this share of the image, scaled to its size; 0 for none, 0.08 as usual"`
	Flip       float64 `yaml:"flip" min:"0" max:"1" doc:"probability that left and right are exchanged"`
	Brightness float64 `yaml:"brightness" min:"0" max:"1" doc:"factor of 1 plus or minus this"`
	Contrast   float64 `yaml:"contrast" min:"0" max:"1" doc:"factor of 1 plus or minus this"`
	Saturation float64 `yaml:"saturation" min:"0" max:"1" doc:"factor of 1 plus or minus this"`
	Hue        float64 `yaml:"hue" min:"0" max:"0.5" doc:"colours are turned by up to this share of the colour circle, in either direction"`
	Erase      float64 `yaml:"erase" min:"0" max:"1" doc:"probability that a rectangle of 2 to 33 % of the image is filled with the mean colour of the normalisation, or black"`
}

// Validate implements [schema.Validator].
func (c *augmentConfig) Validate() error {
	if c.Pad > 0 && c.Area > 0 {
		return schema.At("area", errors.New("a crop with a border and a scaled crop exclude each other; use pad or area"))
	}
	return nil
}

// of returns the augmentation of a set.
func (c *augmentConfig) of(set dataset.Set) (dataset.Augmentation, error) {
	a := dataset.Augmentation{
		Pad: c.Pad, Area: c.Area, Flip: c.Flip, Brightness: c.Brightness, Contrast: c.Contrast, Saturation: c.Saturation, Hue: c.Hue, Erase: c.Erase,
	}
	if n := dataset.NormalizationOf(set); n != nil {
		for _, v := range n.Mean {
			a.Fill = append(a.Fill, byte(max(0, min(255, v*255+.5))))
		}
	}
	return a, a.Check()
}

type fewShotValidation struct {
	Episodes         int    `yaml:"episodes" min:"0" doc:"the same ones each time; 0 keeps the last model"`
	Way              int    `yaml:"way" min:"2"`
	Shot             int    `yaml:"shot" min:"1"`
	Query            int    `yaml:"query" min:"1"`
	Norm             string `yaml:"norm" enum:"inductive,transductive" doc:"batch norm by running statistics, or by the episode's own"`
	Within           bool   `yaml:"within_alphabet" doc:"the classes of an episode are of one alphabet"`
	runner.Selection `yaml:",inline"`
}

// The names of batch norm's modes.
const (
	normInductive    = "inductive"
	normTransductive = "transductive"
)

// NormOf returns the mode of batch norm of a name.
func NormOf(name string) nn.Norm {
	if name == normTransductive {
		return nn.BatchStats
	}
	return nn.RunningStats
}

func newFewShot(p *registry.Parts) File {
	return &fewShotFile{
		Head: newHead(), Dataset: schema.NewSection(dataset.NameStrokes, nil), Tail: newTail(),
		Train: fewShotTrain{
			Way: 20, Shot: 1, Query: 5, Distort: distortionConfig{Chance: .5},
			Loop: runner.Loop{Steps: 10_000, Saving: runner.Saving{Report: 100, Save: 1000, Keep: 2}, Prefetch: 2},
		},
		Validation: fewShotValidation{200, 20, 1, 5, normInductive, false, runner.Selection{Every: 500}},
		parts:      p,
	}
}

// Validate implements [schema.Validator].
func (f *fewShotFile) Validate() error {
	return errors.Join(f.Head.Validate(), f.Tail.Validate(), needNetwork(&f.Network), noCarried(f.Train.Clip), duplicates(f.Test))
}

// Sections implements [File].
func (f *fewShotFile) Sections() Sections {
	return Sections{&f.Head, &f.Tail, &f.Dataset, &f.Network, &f.Train.Saving, f.Validation.Patience}
}

// The usual numbers of examples per step.
const (
	usualEpisodes = 1
	usualImages   = 64 // of a classifier
)

// Plan implements [File].
func (f *fewShotFile) Plan() (runner.Work, error) {
	w := &fewShot{file: f}
	var dataErr, netErr error
	w.data, dataErr = f.parts.PlanImages(&f.Dataset)
	w.planned, netErr = f.parts.FewShot.Plan(&f.Network)
	if f.Train.Batch == 0 {
		if f.Train.Batch = usualEpisodes; w.planned.Source == registry.Labelled {
			f.Train.Batch = usualImages
		}
	}
	if f.Stream != nil && len(f.Stream.Memories) == 0 {
		f.Stream.Memories = slices.DeleteFunc(f.parts.Memories.Names(), f.parts.LearnedMemory)
	}
	errs := []error{dataErr, netErr}
	for i := range f.Test {
		planned, err := f.planTest(w, i, dataErr == nil, netErr == nil)
		w.tests, errs = append(w.tests, planned), append(errs, err)
	}
	if netErr == nil {
		errs = append(errs, f.checkNetwork(&w.planned), f.checkEncoder(dataErr == nil && w.data.Norm != nil))
	}
	if dataErr == nil && netErr == nil {
		errs = append(errs, f.checkTexts(w))
	}
	return w, schema.Join(errs...)
}

// checkNetwork reports settings of the file that the network does not allow.
func (f *fewShotFile) checkNetwork(net *registry.FewShot) error {
	var errs []error
	kind := f.Network.Kind()
	if v := f.Validation; net.FixedWay && v.Episodes > 0 {
		errs = append(errs, f.sameWay("validation", v.Way))
	}
	if f.Stream != nil && net.NoStream != "" {
		errs = append(errs, f.Network.Errorf("stream: %s %s", kind, net.NoStream))
	}
	if f.Stream != nil && net.NoStream == "" && net.Memory != nil {
		for i, name := range f.Stream.Memories {
			if own := name == net.Memory.Kind; own && net.Memory.Learned || !own && f.parts.LearnedMemory(name) {
				errs = append(errs, f.Network.Errorf("stream: memories.%d: %s has parameters, and in a stream nothing trains them; leave it out", i, name))
			}
		}
	}
	if net.Optimizer != "" && f.Optimizer.Kind() != net.Optimizer {
		errs = append(errs, f.Network.Errorf("optimizer: %s", net.WhyOptimizer))
	}
	return schema.Join(errs...)
}

// checkEncoder refuses an encoder that begins with two sets of parameters, and one whose images are normalised twice.
func (f *fewShotFile) checkEncoder(normalized bool) error {
	var errs []error
	schema.Walk(f, func(_, _ string, s *schema.Section) {
		if e, ok := s.Resolved().(registry.Normalizer); ok && normalized && e.Normalizes() {
			errs = append(errs, s.Errorf("it normalises images that dataset.normalize has normalised already: leave dataset.normalize out for weights that were trained elsewhere, or give the encoder input: {mean: [0], std: [1]} where it is trained on the data set's normalisation"))
		}
		from := f.Tail.From
		if e, ok := s.Resolved().(registry.Beginner); ok && from != nil && e.BeginsWith() != "" && (len(from.Parts) == 0 || slices.Contains(from.Parts, "encoder")) {
			errs = append(errs, s.Errorf("the encoder has a key %s, and the key from of the file takes over the encoder of %s: leave out %[1]s and sha256 of the encoder, or name other parts in from.parts", e.BeginsWith(), from.Run))
		}
	})
	return schema.Join(errs...)
}

// sameWay refuses episodes whose way differs from that of training, for a network with one output per class.
func (f *fewShotFile) sameWay(where string, way int) error {
	if way == f.Train.Way {
		return nil
	}
	return f.Network.Errorf("%s: %d-way, but %s has an output for each of the %d classes of train.way; make them the same",
		where, way, f.Network.Kind(), f.Train.Way)
}

// fewShot trains a network to classify the queries of episodes.
type fewShot struct {
	file    *fewShotFile
	data    registry.Images
	planned registry.FewShot
	tests   []plannedTest      // of the file's tests
	tokens  registry.Tokenizer // of texts

	cores      int // that tasks may be shared among
	seed       uint64
	parts      dataset.Parts
	outside    dataset.Parts  // examples of none of the classes, for validation and test
	text       *registry.Text // nil for images
	source     source
	validation *episode.Sampler // nil where there is none
	classes    int              // of training, for a classifier
	net        fewshot.Network
	params     *nn.Params
	means      map[meanKey][]float32       // embeddings of the training images, of the trained network
	kept       map[keptKey]*keptEmbeddings // of the test or validation classes, by the trained network

	program    sync.Once // computes the checksum of the program
	programSum string
	programErr error
}

// Measure implements [runner.Work].
func (w *fewShot) Measure() measure.Measure {
	m := measure.Accuracy
	m.Of = map[registry.Source]string{registry.Episodes: "episodes", registry.Pairs: "pairs", registry.Labelled: ofWhat(&w.data)}[w.planned.Source]
	return m
}

// Load implements [runner.Work].
func (w *fewShot) Load(ctx context.Context, from runner.Source) (err error) {
	var outside dataset.Parts
	if w.parts, outside, err = load(ctx, &w.data, from); err != nil {
		return err
	}
	if w.data.Text {
		if w.parts, err = w.tokenize(w.parts, from); err != nil {
			return err
		}
		w.outside, _ = tokenized(outside, w.text.Tokenizer)
	}
	w.classes = w.parts.Train.Classes()
	for _, note := range w.Notes() {
		from.Note(note)
	}
	w.seed = from.Seed
	return w.draw(w.parts.Train, w.parts.Val)
}

// draw makes the samplers of training and validation. Where nothing is trained, the training data need not suffice for an episode.
func (w *fewShot) draw(train, val dataset.Set) (err error) {
	if w.file.Train.Steps > 0 {
		if w.source, err = w.newSource(train, w.seed); err != nil {
			return fmt.Errorf("train: %w", err)
		}
	}
	v := w.file.Validation
	if v.Episodes == 0 {
		return nil
	}
	w.validation, err = episode.New(val, episode.Spec{
		Way: v.Way, Shot: v.Shot, Query: v.Query, Rotation: w.data.Rotation, Within: v.Within,
	}, evaluationSeed, "validation")
	if err != nil {
		return fmt.Errorf("validation: %w", err)
	}
	return nil
}

// Prepare implements [runner.Preparing]: the images that a frozen encoder is trained and validated on are embedded once, unless
// they are augmented, or rotated by draw, or the network is one that adapts to each task by itself.
func (w *fewShot) Prepare(ctx context.Context, on tensor.Device, p measure.Progress) error {
	t := w.file.Train
	augment, err := t.Augment.of(w.parts.Train)
	if err != nil || !w.planned.Frozen || w.planned.ByTask || augment.On() || dataset.Distortion(t.Distort).On() || w.data.Rotation.Drawn() {
		return err
	}
	embed := func(set dataset.Set) (dataset.Set, error) {
		e, err := w.embedding(w.net, set, nn.RunningStats, on)
		if err != nil {
			return nil, err
		}
		table, err := e.allWithin(ctx, 1, maxFeatures, p)
		if table == nil || err != nil || registry.Embedding(table.width) == w.data.Shape() {
			return nil, err
		}
		return dataset.Embedded(set, table.width, table.values)
	}
	train, err := embed(w.parts.Train)
	if train == nil || err != nil {
		return err
	}
	val := w.parts.Val
	if w.validation != nil {
		if val, err = embed(val); val == nil || err != nil {
			return err
		}
	}
	return w.draw(train, val)
}

// Notes implements [runner.Noting]: a memory that no episode of the file fills, and tests on classes that pre-training has seen.
func (w *fewShot) Notes() (notes []string) {
	if m, most := w.planned.Memory, w.largestSupport(); m != nil && m.Slots > most {
		notes = append(notes, fmt.Sprintf("network.memory: %s has %d slots, and no episode writes more than %d pairs: it keeps all, as an unbounded memory does",
			m.Kind, m.Slots, most))
	}
	if !w.planned.Encoder.ImageNet {
		return notes
	}
	for _, t := range w.tests {
		if t.data.InImageNet == "" {
			continue
		}
		note := fmt.Sprintf("network.encoder: the test classes of %s are not new to weights trained on ImageNet, as published weights of this encoder usually are: it contains %s; say beside a figure what the weights were trained on",
			w.dataName(t), t.data.InImageNet)
		if !slices.Contains(notes, note) {
			notes = append(notes, note)
		}
	}
	return notes
}

// largestSupport is the most pairs that an episode of the file writes to the memory.
func (w *fewShot) largestSupport() int64 {
	t, v := w.file.Train, w.file.Validation
	most := max(t.Way*t.Shot, v.Way*v.Shot)
	for _, test := range w.tests {
		most = max(most, test.Way*test.Shot)
	}
	return int64(most)
}

// load reads a data set, with the examples of none of its classes where it has them, and takes its name of the split.
func load(ctx context.Context, data *registry.Images, from runner.Source) (parts, outside dataset.Parts, err error) {
	loaded, err := data.Load(ctx, registry.Place{Given: from.Given, Note: from.Note})
	if loaded.Split != "" {
		data.Split = loaded.Split
	}
	for _, set := range []dataset.Set{loaded.Train, loaded.Val, loaded.Test, loaded.Outside.Val, loaded.Outside.Test} {
		if err != nil || set == nil || set.Classes() == 0 {
			continue
		}
		if data.Text != dataset.HoldsTexts(set) {
			return parts, outside, fmt.Errorf("the plan of the data set says of its sets that they hold texts: %v, and Load returned others; set registry.Images.Text", data.Text)
		}
		if data.Text {
			continue
		}
		channels, height, width := set.Shape()
		if got := (registry.Shape{Channels: channels, Height: height, Width: width}); got != data.Shape() {
			return parts, outside, fmt.Errorf("the plan of the data set declares images of %s, but Load returned images of %s; set registry.Images.Options to their shape", data.Shape(), got)
		}
	}
	return loaded.Parts, loaded.Outside, err
}

// Build implements [runner.Work].
func (w *fewShot) Build(b *nn.Builder) (err error) {
	w.params = b.Params()
	w.net, err = w.planned.New(b, registry.FewShotInput{Shape: w.shape(), Way: w.file.Train.Way, Classes: w.classes, Workers: w.cores})
	if err == nil && w.text != nil {
		w.keepVocabulary(b)
	}
	if net, ok := w.net.(registry.Headed); ok && err == nil && net.Blocks() == 0 {
		for i, t := range w.tests {
			if t.head != nil && t.head.Adaptation.Blocks > 0 {
				return fmt.Errorf("test.%d: head.blocks: the encoder has nothing to train: let it (train: true), or use blocks: 0", i)
			}
		}
	}
	return err
}

// Share implements [runner.Sharing]: the tasks of a batch are adapted to at the same time.
func (w *fewShot) Share(cores int) bool {
	if w.planned.ByTask {
		w.cores = cores
	}
	return w.planned.ByTask
}

// Resize implements [runner.Resizing]: a classifier's model says of how many classes it is, and a model of texts has its vocabulary.
func (w *fewShot) Resize(model *nn.State) error {
	if w.data.Text {
		if err := w.restoreTokenizer(model); err != nil {
			return err
		}
	}
	if w.planned.Source != registry.Labelled {
		return nil
	}
	shape, ok := model.Shape("head.weight")
	if !ok || len(shape) != 3 {
		return errors.New("model: it has no head of a transfer network")
	}
	w.classes = int(shape[1])
	return nil
}

// Course implements [runner.Work].
func (w *fewShot) Course(schedule func(int64) nn.Schedule) runner.Course {
	return w.file.Train.Course(w.file.Validation.Selection, w.file.Validation.Episodes > 0, schedule)
}

// Batches implements [runner.Work].
func (w *fewShot) Batches(ctx context.Context, first int64) iter.Seq[runner.Batch] {
	if w.source == nil {
		return func(func(runner.Batch) bool) {}
	}
	return w.source.batches(ctx, first)
}

// Validate implements [runner.Work].
func (w *fewShot) Validate(ctx context.Context, on tensor.Device) ([]float64, error) {
	net := w.net
	if p, ok := net.(registry.Pretrained); ok {
		net = p.Quick()
	}
	v := w.file.Validation
	scores, err := w.evaluate(ctx, net, w.validation, v.Episodes, NormOf(v.Norm), evaluation{}, on, nil)
	return accuracies(scores), err
}

// EvaluationPixels is about how many pixels one evaluation of the network takes, those of 400 images of 28×28: enough to
// keep the cores busy, few enough to stay in memory.
const EvaluationPixels = 400 * 28 * 28

// batchSize is the number of examples, each of the given number of images, per evaluation of the network. With batch statistics
// it is one, since each example is normalised by its own. A network that adapts to each task splits a batch among the cores.
func (w *fewShot) batchSize(images int, norm nn.Norm) int {
	if norm == nn.BatchStats && !w.planned.ByTask {
		return 1
	}
	return max(1, w.cores, EvaluationPixels/(images*w.pixels()))
}

// remedy says what to check where a few-shot network's output is not finite.
const remedy = "check the model file, the encoder and the episode's images: a blank image, or a negative running variance, is enough"

// episodeScore is what a network makes of one episode.
type episodeScore struct {
	accuracy float64 // in [0, 1]
	classes  []int   // of the set, by label; nil where the episode is of no set
	queries  []queryScore
}

// queryScore is what a network makes of one query.
type queryScore struct {
	label, taken int     // in [0, way)
	confidence   float64 // the probability of taken
	// Where predictions are asked for: the probability of each class, and the image.
	chances []float64
	item    episode.Item
}

func accuracies(scores []episodeScore) []float64 {
	out := make([]float64, len(scores))
	for i, s := range scores {
		out[i] = s.accuracy
	}
	return out
}

// score scores the queries of tasks by log-probabilities [tasks, query, way].
func score(t *fewshot.Task, logp *tensor.Tensor) ([]episodeScore, error) {
	if err := measure.Finite(logp, remedy); err != nil {
		return nil, err
	}
	best, taken := logp.Max(-1)
	confidence, labels := best.To(tensor.Float64).Exp().Floats(), tensor.Values[int64](t.QueryLabels.On(tensor.CPU))
	chosen := tensor.Values[int64](taken.On(tensor.CPU))
	out := make([]episodeScore, logp.Dim(0))
	queries := len(labels) / len(out)
	for i, accuracy := range t.Accuracies(logp) {
		out[i].accuracy = accuracy
		for j := i * queries; j < (i+1)*queries; j++ {
			out[i].queries = append(out[i].queries, queryScore{label: int(labels[j]), taken: int(chosen[j]), confidence: confidence[j]})
		}
	}
	return out, nil
}

// evaluation is what only some evaluations have.
type evaluation struct {
	name    string // for progress; may be empty
	trained bool   // the network's parameters do not change any more, so that its embeddings may be kept
	tune    fineTune
	sum     *measure.Checksum // of the episodes; may be nil
	kept    *keptEmbeddings   // of the set's images, to use and to add to; may be nil
	list    bool              // keep the probabilities and the instance of each query
}

// evaluate scores the first n episodes of a sampler.
func (w *fewShot) evaluate(
	ctx context.Context, net fewshot.Network, s *episode.Sampler, n int, norm nn.Norm, o evaluation, on tensor.Device, p measure.Progress,
) ([]episodeScore, error) {
	if o.tune.Steps == 0 {
		if f, err := w.newFeatures(ctx, net, s, n, norm, o, on, p); f != nil || err != nil {
			if err != nil {
				return nil, err
			}
			return f.evaluate(ctx, n, o, p)
		}
	}
	return w.evaluateImages(ctx, net, s, n, norm, o, on, p)
}

// evaluateImages is [fewShot.evaluate] by the images of each batch of episodes.
func (w *fewShot) evaluateImages(
	ctx context.Context, net fewshot.Network, s *episode.Sampler, n int, norm nn.Norm, o evaluation, on tensor.Device, p measure.Progress,
) ([]episodeScore, error) {
	tune, sum, spec := o.tune, o.sum, s.Spec()
	if p != nil && o.name != "" {
		p.Testing(o.name, n)
	}
	size := w.batchSize(spec.Way*(spec.Shot+spec.Query), norm)
	if tune.Steps > 0 { // tuned parameters are an episode's own
		size = 1
	}
	return measure.Evaluate(ctx, s.Batches(ctx, 0, size, 2), n, p, func(b *episode.Batch) ([]episodeScore, error) {
		sum.Add(b.Items, spec.Way*(spec.Shot+spec.Query))
		task, pass := fewshot.NewTask(b, on), &nn.Pass{Norm: norm}
		if tune.Steps > 0 {
			pass = fewshot.FineTune(pass, net, w.params, task, tune.Steps, tune.Rate)
		}
		logp := net.LogProbs(pass, task)
		scores, err := score(task, logp)
		for i := range scores {
			scores[i].classes = slices.Clone(b.Classes[i*spec.Way : (i+1)*spec.Way]) // the batch is filled again
		}
		if o.list && err == nil {
			keepPredictions(scores, b.Items, logp)
		}
		return scores, err
	})
}

// trained is what figures say of the training.
func (w *fewShot) trained() measure.Trained {
	t := measure.Trained{On: w.file.Dataset.Kind(), Precision: w.file.Tail.precision(w.net)}
	if w.file.Train.Steps > 0 && w.planned.Source == registry.Episodes {
		t.Way, t.Shot = w.file.Train.Way, w.file.Train.Shot
	}
	return t
}

// precision is what a network computes in: fp32 where it does not say.
func (t *Tail) precision(net any) string {
	p := encoder.FP32
	if net, ok := net.(registry.Precise); ok {
		p = net.Precision()
	}
	if t.TF32 && p == encoder.FP32 {
		return "tf32"
	}
	return p
}
