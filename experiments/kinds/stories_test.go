package kinds

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// A schedule that begins after a linear start falls to zero at the end of training, and not before, when validation ends the
// linear start early.
func TestTheScheduleSpansWhatFollowsTheLinearStart(t *testing.T) {
	file := newStories(nil).(*storyFile)
	file.Train.Batch, file.Train.Epochs = 1, 10
	file.Train.LinearStart = linearStart{Epochs: 6, Patience: 1, Factor: .5}
	b := nn.NewBuilder(1, tensor.CPU)
	defer b.Params().Free()
	w := &stories{file: file, groups: []*storyGroup{{train: make([]storyExample, 2)}}}
	w.start = b.Buffer("linear_start", nn.Constant(0), int64(len(startState{})))
	c := w.Course(nn.LinearRate)
	assert.Equal(t, int64(20), c.Steps)
	assert.Equal(t, .5, c.Schedule(0), "the linear start")
	assert.InDelta(t, 1., c.Schedule(12), 1e-12, "the first epoch after six")
	assert.InDelta(t, 1./4, c.Schedule(19), 1e-12, "the last of four epochs")

	for range 3 { // the loss does not fall after the first validation
		w.loss = 1
		w.Validated()
	}
	assert.Equal(t, int64(2), w.linearEpochs())
	assert.InDelta(t, 1., c.Schedule(4), 1e-12, "the first epoch after two")
	assert.InDelta(t, 1./8, c.Schedule(19), 1e-12, "the last of eight epochs")
}
