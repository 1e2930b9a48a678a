// Package mann implements the Memory-Augmented Neural Network of Santoro, Bartunov, Botvinick, Wierstra and Lillicrap (2016,
// "Meta-Learning with Memory-Augmented Neural Networks"). The network sees one image per time step together with the label
// of the previous image, and predicts the image's label. Its memory and its controller's state are reset before each
// episode. Any [memory.Recurrent] plugs in: [memory.LRUA] is the paper's; with [memory.None] an LSTM or feedforward
// controller is a baseline.
package mann

import (
	"github.com/engram-go/engram/controller"
	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// Config configures [New].
type Config struct {
	// Inputs is the width of an embedding, or the size of a flattened image if there is no encoder.
	Inputs int64
	// Encoder embeds the images of all time steps in one batch. Nil flattens them, as the paper does.
	Encoder encoder.Encoder
	// Labels are strings of Length letters from an alphabet of Letters. One-hot labels of n classes are one letter of n. The
	// default is one letter of five.
	Length, Letters int64
	// Controller configures the controller and its memory. [New] sets its Inputs. The defaults are the paper's: an LSTM of 200
	// units and [memory.LRUA] with its defaults.
	Controller controller.Config
}

// Net is a Memory-Augmented Neural Network.
type Net struct {
	config     Config
	controller *controller.Controller
	out        *nn.Linear
}

// Precision returns the precision of the encoder; see [encoder.Precision]. Everything else computes in float32.
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

// State is the network's state between two steps.
type State = controller.State

// Forward returns the log-probabilities [time, batch, length, letters] of the letters of each image's label. Images are
// [time, batch, ...], of any shape that the encoder takes; labels are [time, batch, length], int64, and the network sees
// them one time step late. observe, if not nil, is called with the state after every step, for example to plot it.
func (n *Net) Forward(p *nn.Pass, images, labels *tensor.Tensor, observe func(step int64, s State)) *tensor.Tensor {
	shape := labels.Shape()
	time, batch := shape[0], shape[1]
	x := images.Flatten(0, 1)
	if n.config.Encoder != nil {
		x = n.config.Encoder.Forward(p, x)
	}
	x = x.Reshape(time, batch, n.config.Inputs)
	oneHot := labels.OneHot(n.config.Letters).Flatten(2, 3).To(x.DType())
	late := tensor.Cat(0, oneHot.Narrow(0, 0, 1).ZerosLike(), oneHot.Narrow(0, 0, time-1))
	scores := n.out.Forward(p, n.controller.Forward(p, tensor.Cat(-1, x, late), observe))
	return scores.Reshape(time, batch, n.config.Length, n.config.Letters).LogSoftmax(-1)
}

// LogProbs implements [fewshot.SequenceNetwork].
func (n *Net) LogProbs(p *nn.Pass, s *fewshot.Sequence) *tensor.Tensor {
	return n.Forward(p, s.Images, s.Labels, nil)
}

// Watch returns what LogProbs does, and shows the memory's state after every time step.
func (n *Net) Watch(p *nn.Pass, s *fewshot.Sequence, seen func(memory.State)) *tensor.Tensor {
	return n.Forward(p, s.Images, s.Labels, func(_ int64, state State) { seen(state.Memory) })
}

// Loss implements [fewshot.SequenceNetwork]: the negative log-likelihood of an image's label, averaged over all images.
// Santoro et al. 2016, section 2.1, sum it over an episode instead.
func (n *Net) Loss(p *nn.Pass, s *fewshot.Sequence) (loss, logp *tensor.Tensor) {
	logp = n.LogProbs(p, s)
	return s.NLL(logp), logp
}

var _ fewshot.SequenceNetwork = (*Net)(nil)
