package experiments

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/episode"
	"github.com/engram-go/engram/experiments/kinds"
	"github.com/engram-go/engram/experiments/measure"
	"github.com/engram-go/engram/experiments/runner"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/results"
	"github.com/engram-go/engram/tensor"
)

// Prediction is a network's prediction for an image or a text.
type Prediction struct {
	File          string             `json:"file,omitempty"` // of an image
	Text          string             `json:"text,omitempty"`
	Class         string             `json:"class"`
	Probability   float64            `json:"probability"`
	Probabilities []ClassProbability `json:"probabilities"` // of every class, the highest first
}

// ClassProbability is how likely an image is of a class.
type ClassProbability = results.ClassProbability

// PredictOptions configures [Tool.Predict]. Support and Query are required.
type PredictOptions struct {
	// Support is a folder with a folder of images for each class; see dataset.LoadFolder. Classes may differ in size. For a network
	// of texts it is what dataset.LoadTexts reads.
	Support string
	// Query are the images to classify; a folder means all images in it. For a network of texts they are files with a text a line,
	// or folders of these; "-" is Input.
	Query []string
	// Input has texts to classify, one a line. It is read where Query is empty or "-" for a network of texts.
	Input io.Reader
	// Ink and Fit configure the reading of images; the default is the run's.
	Ink dataset.Ink
	Fit dataset.Fit
	// Norm is the mode of batch norm, inductive or transductive; the default is that of the run's validation. In
	// transductive mode a prediction depends on the other queries.
	Norm string
	// Reporter receives notes; default Silent.
	Reporter Reporter
}

// A Model is the trained few-shot network of a run folder. It may be used from several goroutines.
type Model struct {
	dir, network string
	work         kinds.Predictor
	model        *runner.Model
	progress     measure.Progress // receives notes
}

// Open loads the trained few-shot network of a run folder. It does not need the training data. Close frees it.
func (t *Tool) Open(dir string) (*Model, error) {
	c, err := t.RunConfig(dir)
	if err != nil {
		return nil, err
	}
	m, err := newModel(dir, c)
	if err == nil {
		err = m.open(c, Options{})
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

func newModel(dir string, c *Config) (*Model, error) {
	work, ok := c.Work.(kinds.Predictor)
	if !ok {
		return nil, fmt.Errorf("%s: %s does not classify images by labelled examples; use a run of a few-shot network such as protonet", dir, c.Network)
	}
	return &Model{dir: dir, network: c.Network, work: work, progress: Silent{}}, nil
}

func (m *Model) open(c *Config, o Options) (err error) {
	if o.Reporter != nil {
		m.progress = o.Reporter
	}
	m.model, err = runner.Open(m.dir, c.Config, o)
	return err
}

// fits returns an error for a support set with another number of classes than the network's, if that is fixed.
func (m *Model) fits(support dataset.Set) error {
	if n := m.work.Ways(); n > 0 && n != support.Classes() {
		return fmt.Errorf("support: it has %d classes, and the %s network of %s was made for %d (train.way): give it as many, or use a run that was trained with %d",
			support.Classes(), m.network, m.dir, n, support.Classes())
	}
	return nil
}

// Close frees the network.
func (m *Model) Close() { m.model.Params.Free() }

// Network returns the network, which Close frees.
func (m *Model) Network() fewshot.Network { return m.work.Learner() }

// Images returns the image format of the network; see dataset.ReadImage.
func (m *Model) Images() dataset.ImageOptions { return m.work.Images() }

// Device returns the device of the network.
func (m *Model) Device() tensor.Device { return m.model.Device }

// ReadsTexts reports whether the network of a run folder classifies texts. What is wrong with the folder is for others to say.
func (t *Tool) ReadsTexts(dir string) bool {
	c, err := t.RunConfig(dir)
	if err != nil {
		return false
	}
	work, ok := c.Work.(kinds.Predictor)
	return ok && work.Texts()
}

// Predict classifies images, or texts, with the model of a few-shot run. It does not need the run's data. The error lists every
// image that cannot be read; nothing is then classified.
func (t *Tool) Predict(ctx context.Context, dir string, o PredictOptions) ([]Prediction, error) {
	c, err := t.RunConfig(dir)
	if err != nil {
		return nil, err
	}
	if o.Reporter == nil {
		o.Reporter = Silent{}
	}
	m, err := newModel(dir, c)
	if err != nil {
		return nil, err
	}
	if err := runner.Folder(dir).NeedsModel(); errors.Is(err, runner.ErrRecord) { // before any image is read
		return nil, err
	}
	if m.work.Texts() {
		return m.predictTexts(ctx, c, o)
	}
	image := m.Images()
	if o.Ink != "" {
		image.Ink = o.Ink
	}
	if o.Fit != "" {
		image.Fit = o.Fit
	}
	support, files, queries, err := readPredicted(ctx, o, image)
	if err != nil {
		return nil, err
	}
	if image.Ink == dataset.InkDark && !image.Colour && dataset.InkedEdges(support) {
		o.Reporter.Note("the edges of most support images are dark, and the network takes dark for ink; where they are drawn light on dark, give --ink light")
	}
	if err := m.fits(support); err != nil {
		return nil, err
	}
	if err := m.open(c, Options{Reporter: o.Reporter}); err != nil {
		return nil, err
	}
	defer m.Close()
	chances, err := m.Classify(ctx, support, queries, o.Norm)
	if err != nil {
		return nil, err
	}
	out := make([]Prediction, len(files))
	for i, file := range files {
		out[i] = prediction(support, chances[i])
		out[i].File = file
	}
	return out, nil
}

// prediction is made of the probabilities of a support set's classes.
func prediction(support dataset.Set, chances []float64) Prediction {
	all := make([]ClassProbability, support.Classes())
	for k := range all {
		all[k] = ClassProbability{Class: support.Class(k), Probability: chances[k]}
	}
	slices.SortStableFunc(all, func(a, b ClassProbability) int { return cmp.Compare(b.Probability, a.Probability) })
	return Prediction{Class: all[0].Class, Probability: all[0].Probability, Probabilities: all}
}

// predictTexts is [Tool.Predict] for a network of texts.
func (m *Model) predictTexts(ctx context.Context, c *Config, o PredictOptions) ([]Prediction, error) {
	if o.Ink != "" || o.Fit != "" {
		return nil, fmt.Errorf("%s: ink and fit are of images, and the network classifies texts: leave them out", m.dir)
	}
	support, err := dataset.LoadTexts(ctx, o.Support, dataset.TextOptions{})
	if err != nil {
		return nil, fmt.Errorf("support: %w", err)
	}
	if support.Classes() < 2 {
		return nil, fmt.Errorf("support: %s has one class, %s: add texts of other classes to tell it from", o.Support, support.Class(0))
	}
	queries, err := readQueryTexts(o)
	if err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	if err := m.fits(support); err != nil {
		return nil, err
	}
	if err := m.open(c, Options{Reporter: o.Reporter}); err != nil {
		return nil, err
	}
	defer m.Close()
	chances, err := m.ClassifyTexts(ctx, support, queries, o.Norm)
	if err != nil {
		return nil, err
	}
	out := make([]Prediction, len(queries))
	for i, text := range queries {
		out[i] = prediction(support, chances[i])
		out[i].Text = text
	}
	return out, nil
}

// readQueryTexts reads the texts of a prediction and reports all problems together.
func readQueryTexts(o PredictOptions) (queries []string, err error) {
	from := o.Query
	if len(from) == 0 {
		from = []string{"-"}
	}
	var errs []error
	for _, q := range from {
		var some []string
		var err error
		if q == "-" && o.Input != nil {
			some, err = dataset.ReadTexts(o.Input)
		} else {
			some, err = dataset.ReadTextFiles(q)
		}
		queries, errs = append(queries, some...), append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if len(queries) == 0 {
		return nil, errors.New("no text to classify is given: give files with a text a line, or texts on standard input")
	}
	return queries, nil
}

// readPredicted reads the images of a prediction and reports all problems of the queries together.
func readPredicted(ctx context.Context, o PredictOptions, image dataset.ImageOptions) (support *dataset.Folder, files []string, queries [][]float32, err error) {
	if support, err = dataset.LoadFolder(ctx, o.Support, image); err != nil {
		return nil, nil, nil, fmt.Errorf("support: %w", err)
	}
	if support.Classes() < 2 {
		return nil, nil, nil, fmt.Errorf("support: %s has one class, %s: add folders of other classes to tell it from", o.Support, support.Class(0))
	}
	var errs []error
	for _, q := range o.Query {
		info, err := os.Stat(q)
		if err != nil || !info.IsDir() {
			files = append(files, q)
			continue
		}
		entries, err := os.ReadDir(q)
		before := len(files)
		for _, e := range entries {
			if !e.IsDir() && e.Name()[0] != '.' && dataset.IsImage(e.Name()) {
				files = append(files, filepath.Join(q, e.Name()))
			}
		}
		if err == nil && len(files) == before {
			err = fmt.Errorf("%s holds no %s images", q, dataset.ImageFormats)
		}
		errs = append(errs, err)
	}
	for _, file := range files {
		if err := ctx.Err(); err != nil {
			return nil, nil, nil, err
		}
		pixels, err := dataset.ReadImage(file, image)
		queries, errs = append(queries, pixels), append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, nil, nil, fmt.Errorf("query: %w", err)
	}
	if len(files) == 0 {
		return nil, nil, nil, errors.New("query: no image to classify is given")
	}
	return support, files, queries, nil
}

// Classify returns the probability of each class of a support set for each query, [queries][classes]. Queries are
// images in the form of dataset.ReadImage. norm is the mode of batch norm, inductive or transductive; the default is
// that of the run's validation.
func (m *Model) Classify(ctx context.Context, support dataset.Set, queries [][]float32, norm string) ([][]float64, error) {
	if m.work.Texts() {
		return nil, fmt.Errorf("%s: the network classifies texts: use ClassifyTexts", m.dir)
	}
	channels, height, width := support.Shape()
	size := channels * height * width
	shape := func(n int) []int64 { return []int64{1, int64(n), int64(channels), int64(height), int64(width)} }
	var images []float32
	var labels []int64
	for c := range support.Classes() {
		for i := range support.Instances(c) {
			images = append(images, make([]float32, size)...)
			support.Image(images[len(images)-size:], c, i, 0)
			labels = append(labels, int64(c))
		}
	}
	tensorOf := func(images []float32, n int) *tensor.Tensor {
		return fewshot.Normalize(tensor.New(images, shape(n)...).On(m.Device()), m.work.Normalization())
	}
	return classify(ctx, m, support, labels, queries, height*width, norm,
		func() *tensor.Tensor { return tensorOf(images, len(labels)) },
		func(some [][]float32) *tensor.Tensor { return tensorOf(slices.Concat(some...), len(some)) })
}

// ClassifyTexts is [Model.Classify] for a network of texts: queries are texts, and the support set is of texts too.
func (m *Model) ClassifyTexts(ctx context.Context, support *dataset.Texts, queries []string, norm string) ([][]float64, error) {
	if !m.work.Texts() {
		return nil, fmt.Errorf("%s: the network classifies images: use Classify", m.dir)
	}
	if i := slices.Index(queries, ""); i >= 0 {
		return nil, fmt.Errorf("query %d is an empty text", i+1)
	}
	asked := func(some []string) dataset.Set {
		set, _ := dataset.NewTexts([]string{"queries"}, [][]string{some}) // none of them is empty
		return set
	}
	encode := m.work.Tokenizer().Encode
	known := dataset.Tokenize(support, encode)
	var labels []int64
	var items []episode.Item
	for c := range known.Classes() {
		for i := range known.Instances(c) {
			labels, items = append(labels, int64(c)), append(items, episode.Item{Class: c, Instance: i})
		}
	}
	rows := func(set dataset.Set, items []episode.Item) *tensor.Tensor {
		var tokens episode.Pixels
		channels, height, width := episode.NewReader(set).Images(&tokens, items)
		return fewshot.Images(tokens, m.Device(), 1, int64(len(items)), int64(channels), int64(height), int64(width))
	}
	return classify(ctx, m, known, labels, queries, kinds.TextPixels, norm, func() *tensor.Tensor { return rows(known, items) }, func(some []string) *tensor.Tensor {
		all := make([]episode.Item, len(some))
		for i := range all {
			all[i].Instance = i
		}
		return rows(dataset.Tokenize(asked(some), encode), all)
	})
}

// classify classifies queries by a support set with labels. examples makes the tensor of the support set, and query that of some
// queries, of one task each; size is what a query counts as of kinds.EvaluationPixels.
func classify[Q any](
	ctx context.Context, m *Model, support dataset.Set, labels []int64, queries []Q, size int, norm string,
	examples func() *tensor.Tensor, query func(some []Q) *tensor.Tensor,
) ([][]float64, error) {
	if err := m.fits(support); err != nil {
		return nil, err
	}
	if norm == "" {
		norm = m.work.Norm()
	}
	together := max(16, kinds.EvaluationPixels/size-len(labels))
	if kinds.NormOf(norm) == nn.BatchStats { // then queries depend on one another
		together = len(queries)
	}
	on := m.Device()
	net, embedded, wide, err := m.work.Support(ctx, support, kinds.NormOf(norm), on, m.progress)
	if err != nil {
		return nil, fmt.Errorf("%s: support: %w", m.dir, err)
	}
	chances, err := measure.Evaluate(ctx, slices.Chunk(queries, together), len(queries), nil, func(some []Q) ([][]float64, error) {
		task := &fewshot.Task{
			Way:           int64(support.Classes()),
			SupportLabels: tensor.New(labels, 1, int64(len(labels))).On(on),
			Query:         query(some),
			QueryLabels:   tensor.New(make([]int64, len(some)), 1, int64(len(some))).On(on),
		}
		pass := &nn.Pass{Norm: kinds.NormOf(norm)}
		var logp *tensor.Tensor
		if net != nil {
			task.Support = tensor.New(embedded, 1, int64(len(labels)), int64(wide)).On(on)
			task.Query = net.Encode(pass, task.Query.Flatten(0, 1)).Unsqueeze(0)
			logp = net.FromFeatures(pass, task)
		} else {
			task.Support, task.Query = fewshot.Level(examples(), task.Query)
			logp = m.Network().LogProbs(pass, task)
		}
		if err := measure.Finite(logp, "check the model file, and the support images for blank ones"); err != nil {
			return nil, err
		}
		all := logp.To(tensor.Float64).Softmax(-1).Floats()
		return slices.Collect(slices.Chunk(all, support.Classes())), nil
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.dir, err)
	}
	return chances, nil
}
