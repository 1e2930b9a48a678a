package fewshot

import (
	"slices"

	"github.com/engram-go/engram/episode"
	"github.com/engram-go/engram/tensor"
)

// Sequence is a batch of episodes for a [SequenceNetwork]: each presents its images one per time step.
type Sequence struct {
	Images *tensor.Tensor // [time, episodes, channels, height, width]
	Labels *tensor.Tensor // [time, episodes, length], int64: the letters of each label
	// Instances holds, for each image, its 1-based index among the images of its class: [time, episodes].
	Instances []int
}

// NewSequence copies a batch of sequences to a device.
func NewSequence(b *episode.SequenceBatch, on tensor.Device) *Sequence {
	time, n := int64(b.Time), int64(b.Sequences)
	return &Sequence{
		Images:    Images(b.Images, on, time, n, int64(b.Channels), int64(b.Height), int64(b.Width)),
		Labels:    tensor.Upload(b.Labels, on, time, n, int64(b.Length)),
		Instances: b.Instances,
	}
}

// NLL returns the mean over all images of the negative log-likelihood of their labels under log-probabilities [time,
// episodes, length, letters]. A label's likelihood is the product of its letters'.
func (s *Sequence) NLL(logp *tensor.Tensor) *tensor.Tensor {
	letters := tensor.NLL(logp.Flatten(0, 2), s.Labels.Flatten(0, -1))
	return letters.MulScalar(float64(s.Labels.Dim(-1)))
}

// Accuracies returns, for each episode, the fraction of its images whose label is predicted correctly in every letter; and,
// in instances[k-1], the same fraction of the k-th images of the classes alone.
func (s *Sequence) Accuracies(logp *tensor.Tensor) (all []float64, instances [][]float64) {
	scope := tensor.Enter()
	defer scope.Leave()
	shape := s.Labels.Shape()
	episodes, length := int(shape[1]), int(shape[2])
	right := tensor.Values[bool](logp.Argmax(-1).Eq(s.Labels)) // [time, episodes, length]
	all, instances = make([]float64, episodes), make([][]float64, slices.Max(s.Instances))
	for k := range instances {
		instances[k] = make([]float64, episodes)
	}
	shown := make([]float64, len(instances)) // images of an episode, by instance: as many in each episode
	for i, instance := range s.Instances {
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
