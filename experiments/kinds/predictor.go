package kinds

import (
	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/fewshot"
)

// Predictor is work whose network classifies images by a few that are labelled.
type Predictor interface {
	// Images is what an image is brought to for the network.
	Images() dataset.ImageOptions
	// Normalization is applied to the values of an image for the network; nil for none.
	Normalization() *dataset.Normalization
	// Learner is the network, once it is built.
	Learner() fewshot.Network
	// Norm is the mode of batch norm that the network is validated under.
	Norm() string
	// Ways is the only number of classes that the network can tell apart; 0 where it may be any.
	Ways() int
}

// Images implements [Predictor].
func (w *fewShot) Images() dataset.ImageOptions { return w.data.Options }

// Normalization implements [Predictor].
func (w *fewShot) Normalization() *dataset.Normalization { return w.data.Norm }

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
