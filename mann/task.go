package mann

import (
	"slices"

	"github.com/engram-go/engram/episode"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// A Task is a batch of episodes that go through time.
type Task struct {
	Images *tensor.Tensor // [time, episodes, channels, height, width]
	Labels *tensor.Tensor // [time, episodes, length], int64
	// Instances says which image of its class each one is, counted from one: [time, episodes].
	Instances []int
}

// NewTask puts a batch of sequences on a device.
func NewTask(b *episode.SequenceBatch, on tensor.Device) *Task {
	time, n := int64(b.Time), int64(b.Sequences)
	return &Task{
		Images:    tensor.New(b.Images, time, n, int64(b.Channels), int64(b.Height), int64(b.Width)).On(on),
		Labels:    tensor.New(b.Labels, time, n, int64(b.Length)).On(on),
		Instances: b.Instances,
	}
}

// LogProbs returns the log-probabilities [time, episodes, length, letters] that the network gives to the labels' letters.
func (n *Net) LogProbs(p *nn.Pass, t *Task) *tensor.Tensor {
	return n.Forward(p, t.Images, t.Labels, nil)
}

// Loss returns the negative log-probability of an image's label, the mean over all images (Santoro et al. 2016, section
// 2.1, have the sum over an episode), and the log-probabilities.
func (n *Net) Loss(p *nn.Pass, t *Task) (loss, logp *tensor.Tensor) {
	logp = n.LogProbs(p, t)
	letters := tensor.NLL(logp.Flatten(0, 2), t.Labels.Flatten(0, -1))
	return letters.MulScalar(float64(n.config.Length)), logp
}

// Accuracies returns, for each episode, the share of its images that are named right, in every letter; and the same share of
// the k-th images of the classes alone, instances[k-1], for every k.
func (t *Task) Accuracies(logp *tensor.Tensor) (all []float64, instances [][]float64) {
	s := tensor.Enter()
	defer s.Leave()
	shape := t.Labels.Shape()
	episodes, length := int(shape[1]), int(shape[2])
	right := tensor.Values[bool](logp.Argmax(-1).Eq(t.Labels)) // [time, episodes, length]
	all, instances = make([]float64, episodes), make([][]float64, slices.Max(t.Instances))
	for k := range instances {
		instances[k] = make([]float64, episodes)
	}
	shown := make([]float64, len(instances)) // images of an episode, by instance: as many in each episode
	for i, instance := range t.Instances {
		if i%episodes == 0 {
			shown[instance-1]++
		}
		if !slices.Contains(right[i*length:][:length], false) {
			all[i%episodes]++
			instances[instance-1][i%episodes]++
		}
	}
	for e := range all {
		all[e] /= float64(shape[0])
		for k := range instances {
			instances[k][e] /= shown[k]
		}
	}
	return all, instances
}
