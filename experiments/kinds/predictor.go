package kinds

import (
	"context"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/experiments/measure"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
	"github.com/engram-go/engram/tokenizer"
)

// Predictor is work whose network classifies images or texts by a few that are labelled.
type Predictor interface {
	// Images says how an image is prepared for the network.
	Images() dataset.ImageOptions
	// Normalization is applied to the values of an image for the network; nil for none.
	Normalization() *dataset.Normalization
	// Tokenizer converts texts to the network's input, once the network is built. Texts reports whether the network takes texts.
	Tokenizer() tokenizer.Tokenizer
	Texts() bool
	// Learner is the network, once it is built.
	Learner() fewshot.Network
	// Norm is the mode of batch norm that the network is validated under.
	Norm() string
	// Ways is the number of classes that the network is built for; 0 if it takes any number.
	Ways() int
	// Support returns the embeddings of all images of a support set, class by class, [images, width] row by row, and the network as
	// one that classifies embeddings. It returns nil if the embeddings are not cached ([embedding.keeps]), or if answers depend on
	// more than the embeddings.
	Support(ctx context.Context, set dataset.Set, norm nn.Norm, on tensor.Device, p measure.Progress) (net fewshot.FeatureNetwork, values []float32, width int, err error)
}

// Support implements [Predictor].
func (w *fewShot) Support(ctx context.Context, set dataset.Set, norm nn.Norm, on tensor.Device, p measure.Progress) (fewshot.FeatureNetwork, []float32, int, error) {
	net, ok := w.features(w.net, norm)
	if !ok {
		return nil, nil, 0, nil
	}
	set, err := dataset.Prepare(set, dataset.Preparation{Norm: w.data.Norm})
	if err != nil {
		return nil, nil, 0, err
	}
	e, err := w.embedding(net, set, norm, on)
	if err != nil {
		return nil, nil, 0, err
	}
	t, err := e.kept(ctx, 1, p)
	if t == nil || err != nil {
		return nil, nil, 0, err
	}
	return net, t.values, t.width, nil
}

// Images implements [Predictor].
func (w *fewShot) Images() dataset.ImageOptions { return w.data.Options }

// Normalization implements [Predictor].
func (w *fewShot) Normalization() *dataset.Normalization { return w.data.Norm }

// Tokenizer implements [Predictor].
func (w *fewShot) Tokenizer() tokenizer.Tokenizer { return w.text.Tokenizer }

// Texts implements [Predictor].
func (w *fewShot) Texts() bool { return w.data.Text }

// Learner implements [Predictor].
func (w *fewShot) Learner() fewshot.Network { return w.net }

// Norm implements [Predictor].
func (w *fewShot) Norm() string { return w.file.Validation.Norm }

// Ways implements [Predictor].
func (w *fewShot) Ways() int {
	if !w.planned.FixedWay {
		return 0
	}
	return w.file.Train.Way
}
