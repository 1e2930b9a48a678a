package experiments

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// predictor is work whose network tells the classes of images by a few that are labelled.
type predictor interface {
	work
	// images says what an image is brought to for the network.
	images() dataset.ImageOptions
	// learner is the network, once it is built.
	learner() fewshotLearner
	// norm is the mode of batch norm that the network is chosen under.
	norm() string
	// ways is the only number of classes that the network tells apart; 0 where it may be any.
	ways() int
}

func (w *fewshotWork) images() dataset.ImageOptions { return w.data.image }
func (w *fewshotWork) learner() fewshotLearner      { return w.net }
func (w *fewshotWork) norm() string                 { return w.file.Validation.Norm }

func (w *fewshotWork) ways() int {
	if !w.adapts {
		return 0
	}
	return w.file.Train.Way
}

// Prediction is what a network takes an image for.
type Prediction struct {
	File          string             `json:"file"`
	Class         string             `json:"class"`
	Probability   float64            `json:"probability"`
	Probabilities []ClassProbability `json:"probabilities"` // of every class, the highest first
}

// ClassProbability is how likely an image is of a class.
type ClassProbability struct {
	Class       string  `json:"class"`
	Probability float64 `json:"probability"`
}

// PredictOptions say what is told apart. Support and Query must be given.
type PredictOptions struct {
	// Support is a folder with a folder of images for each class; see dataset.LoadFolder. Classes need not have equally many.
	Support string
	// Query are the images to classify; a folder stands for the images in it.
	Query []string
	// Ink and Fit are how images are read; empty stands for what the run's own images are.
	Ink dataset.Ink
	Fit dataset.Fit
	// Norm is the mode of batch norm, inductive or transductive; empty stands for the one that the run validates under.
	// Transductive answers depend on which other images are asked about with one.
	Norm string
	// Reporter is told by Note what the user should know; nil stands for Silent.
	Reporter Reporter
}

// Predict classifies images with the model of a run folder, which has to be of a few-shot network. The run's own data are not
// needed. Every image that cannot be read is named in the error, and nothing is classified then.
func Predict(ctx context.Context, dir string, o PredictOptions) ([]Prediction, error) {
	c, err := RunConfig(dir)
	if err != nil {
		return nil, err
	}
	work, ok := c.work.(predictor)
	if !ok {
		return nil, fmt.Errorf("%s: %s does not classify images by labelled examples; predict takes runs of few-shot networks such as protonet", dir, c.Network.Kind())
	}
	if o.Reporter == nil {
		o.Reporter = Silent{}
	}
	image := work.images()
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
	if n := work.ways(); n > 0 && n != support.Classes() {
		return nil, fmt.Errorf("support: %s has %d classes, and the %s network of %s was made for %d (train.way): give it as many, or take a run that was trained with %d", o.Support, support.Classes(), c.Network.Kind(), dir, n, support.Classes())
	}
	if image.Ink == dataset.InkDark && !image.Colour && dataset.InkedEdges(support) {
		o.Reporter.Note("the edges of most support images are dark, and the network takes dark for ink; where they are drawn light on dark, give --ink light")
	}
	options := Options{Out: dir, Reporter: o.Reporter}
	options.fill(c.Name)
	r, err := assemble(c, options, func() error {
		sized, ok := work.(interface{ restore(*nn.State) error })
		if !ok {
			return nil
		}
		state, err := nn.Open(folder(dir).path(fileModel))
		if err != nil {
			return fmt.Errorf("model: %w", err)
		}
		return sized.restore(state)
	})
	if err != nil {
		return nil, err
	}
	defer r.params.Free()
	if err := r.loadModel(); err != nil {
		return nil, err
	}
	norm := o.Norm
	if norm == "" {
		norm = work.norm()
	}
	q := question{support: support, queries: queries, norm: normOf(norm), on: r.device}
	chances, err := q.answers(ctx, work.learner())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	out := make([]Prediction, len(files))
	for i, file := range files {
		all := make([]ClassProbability, support.Classes())
		for k := range all {
			all[k] = ClassProbability{support.Class(k), chances[i*len(all)+k]}
		}
		slices.SortStableFunc(all, func(a, b ClassProbability) int {
			switch {
			case a.Probability > b.Probability:
				return -1
			case a.Probability < b.Probability:
				return 1
			}
			return 0
		})
		out[i] = Prediction{file, all[0].Class, all[0].Probability, all}
	}
	return out, nil
}

// readPredicted reads the images of a prediction, and says all that is wrong with the queries at once.
func readPredicted(ctx context.Context, o PredictOptions, image dataset.ImageOptions) (support *dataset.Folder, files []string, queries [][]float32, err error) {
	if support, err = dataset.LoadFolder(ctx, o.Support, image); err != nil {
		return nil, nil, nil, fmt.Errorf("support: %w", err)
	}
	if support.Classes() < 2 {
		return nil, nil, nil, fmt.Errorf("support: %s has one class, %s, and there is nothing to tell it from: add folders of other classes", o.Support, support.Class(0))
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
			err = fmt.Errorf("%s holds no PNG or JPEG images", q)
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

// question is a support set and what is asked of it.
type question struct {
	support dataset.Set
	queries [][]float32
	norm    nn.Norm
	on      tensor.Device
}

// answers returns the probability of each class for each query.
func (a question) answers(ctx context.Context, net fewshotLearner) ([]float64, error) {
	channels, height, width := a.support.Shape()
	size := channels * height * width
	shape := func(n int) []int64 { return []int64{1, int64(n), int64(channels), int64(height), int64(width)} }
	var support []float32
	var labels []int64
	for c := range a.support.Classes() {
		for i := range a.support.Instances(c) {
			support = append(support, make([]float32, size)...)
			a.support.Image(support[len(support)-size:], c, i, 0)
			labels = append(labels, int64(c))
		}
	}
	together := max(16, evaluationPixels/(height*width)-len(labels))
	if a.norm == nn.BatchStats { // in which queries help to tell one another
		together = len(a.queries)
	}
	var chances []float64
	for some := range slices.Chunk(a.queries, together) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		err := tensor.Do(func() error {
			tensor.NoGrad(func() {
				task := &fewshot.Task{
					Way:     int64(a.support.Classes()),
					Support: tensor.New(support, shape(len(labels))...).On(a.on), SupportLabels: tensor.New(labels, 1, int64(len(labels))).On(a.on),
					Query: tensor.New(slices.Concat(some...), shape(len(some))...).On(a.on), QueryLabels: tensor.New(make([]int64, len(some)), 1, int64(len(some))).On(a.on),
				}
				chances = append(chances, net.LogProbs(&nn.Pass{Norm: a.norm}, task).To(tensor.Float64).Softmax(-1).Floats()...)
			})
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	for _, v := range chances {
		if math.IsNaN(v) {
			return nil, errors.New("the network came to no number; is its model whole, and is no image of the support set blank?")
		}
	}
	return chances, nil
}
