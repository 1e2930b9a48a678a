// Package mann is the Memory-Augmented Neural Network of Santoro, Bartunov, Botvinick, Wierstra and Lillicrap (2016, Meta-
// Learning with Memory-Augmented Neural Networks): it is shown images one after another, each with the label of the one
// before it, and must name each one. What it knows of an episode's classes is in its memory and its controller's state, which
// start anew with each episode. Any [memory.Recurrent] plugs in: memory.LRUA is the paper's, and on memory.None an LSTM
// or a feedforward controller is a baseline.
package mann

import (
	"github.com/engram-go/engram/controller"
	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// Config are the settings of [New].
type Config struct {
	// Inputs is the size of an embedding, or of a flattened image where there is no encoder.
	Inputs int64
	// Encoder embeds the images of all steps at once; nil flattens them, as the paper does.
	Encoder encoder.Encoder
	// Length and Letters are those of labels: strings of Length letters of an alphabet of Letters. One-hot labels of n
	// classes are one letter of n. Zeros stand for one letter of five.
	Length, Letters int64
	// Controller is the controller and its memory. Inputs is set by [New]; zeros of the others stand for the paper's LSTM
	// of 200 units and memory.LRUA with its defaults.
	Controller controller.Config
}

// Net is a Memory-Augmented Neural Network.
type Net struct {
	config     Config
	controller *controller.Controller
	out        *nn.Linear
}

// Precision says what the network's encoder computes in; all else is in float32.
func (n *Net) Precision() string { return encoder.Precision(n.config.Encoder) }

// New makes a network.
func New(b *nn.Builder, c Config) *Net {
	if c.Length == 0 {
		c.Length = 1
	}
	if c.Letters == 0 {
		c.Letters = 5
	}
	labels := c.Length * c.Letters
	c.Controller.Inputs = c.Inputs + labels
	if c.Controller.Size == 0 {
		c.Controller.Size = 200
	}
	if c.Controller.Memory == nil {
		c.Controller.Memory = func(b *nn.Builder, control int64) memory.Recurrent {
			return memory.NewLRUA(b, memory.LRUAConfig{Control: control})
		}
	}
	n := &Net{config: c, controller: controller.New(b, c.Controller)}
	n.out = nn.NewLinear(b.In("output"), n.controller.Width(), labels)
	return n
}

// State is what the network carries from one step to the next.
type State = controller.State

// Forward returns the logarithms of the probabilities that the network gives to each letter of each image's label, [time,
// batch, length, letters]. Images are [time, batch, ...], of any shape that the encoder takes; labels [time, batch,
// length] (int64) are shown one step late. seen, which may be nil, is shown the state after every step, as for plots.
func (n *Net) Forward(p *nn.Pass, images, labels *tensor.Tensor, seen func(step int64, s State)) *tensor.Tensor {
	shape := labels.Shape()
	time, batch := shape[0], shape[1]
	x := images.Flatten(0, 1)
	if n.config.Encoder != nil {
		x = n.config.Encoder.Forward(p, x)
	}
	x = x.Reshape(time, batch, n.config.Inputs)
	told := labels.OneHot(n.config.Letters).Flatten(2, 3).To(x.DType())
	late := tensor.Cat(0, told.Narrow(0, 0, 1).ZerosLike(), told.Narrow(0, 0, time-1))
	scores := n.out.Forward(p, n.controller.Forward(p, tensor.Cat(-1, x, late), seen))
	return scores.Reshape(time, batch, n.config.Length, n.config.Letters).LogSoftmax(-1)
}

// LogProbs implements [fewshot.SequenceNetwork].
func (n *Net) LogProbs(p *nn.Pass, s *fewshot.Sequence) *tensor.Tensor {
	return n.Forward(p, s.Images, s.Labels, nil)
}

// Loss implements [fewshot.SequenceNetwork]: the negative log-likelihood of an image's label, averaged over all images.
// Santoro et al. 2016, section 2.1, sum it over an episode instead.
func (n *Net) Loss(p *nn.Pass, s *fewshot.Sequence) (loss, logp *tensor.Tensor) {
	logp = n.LogProbs(p, s)
	return s.NLL(logp), logp
}

var _ fewshot.SequenceNetwork = (*Net)(nil)
