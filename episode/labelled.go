package episode

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/stream"
)

// LabelledSpec configures the images that are drawn.
type LabelledSpec struct {
	// Rotation is the protocol of the set. One that is drawn per episode is an error.
	Rotation dataset.Rotation
	// Distort distorts each image independently.
	Distort dataset.Distortion
	// Augment changes each image at random.
	Augment dataset.Augmentation
}

// Labelled draws single images with class labels, for the training of an ordinary classifier. Each class is equally
// likely, and each of its images; an image may occur twice in a batch. It may be used from several goroutines.
//
// A batch is a pure function of a seed, the name of a stream and a step.
type Labelled struct {
	looks
	seed                    uint64
	stream                  string
	channels, height, width int
	room                    sync.Pool // of *printerRoom
}

// NewLabelled makes a sampler of images. It returns an error for a rotation protocol that is drawn per episode or
// contradicts the set.
func NewLabelled(set dataset.Set, spec LabelledSpec, seed uint64, stream string) (*Labelled, error) {
	if set == nil {
		return nil, errors.New("episode: no set to draw from")
	}
	rotation, err := dataset.ParseRotation(string(spec.Rotation))
	if err != nil {
		return nil, fmt.Errorf("episode: %w", err)
	}
	if rotation.Drawn() {
		return nil, fmt.Errorf("episode: rotation %q is drawn per episode, but a classifier trains without episodes: use %q", rotation, dataset.RotateClasses)
	}
	if err := rotationError(set, rotation); err != nil {
		return nil, err
	}
	looks, err := newLooks(set, spec.Distort, spec.Augment)
	if err != nil {
		return nil, err
	}
	if set.Classes() < 2 {
		return nil, fmt.Errorf("episode: a classifier needs at least 2 classes, but the set has %d", set.Classes())
	}
	s := &Labelled{looks: looks, seed: seed, stream: stream}
	s.channels, s.height, s.width = set.Shape()
	s.room.New = func() any { return new(printerRoom) }
	return s, nil
}

// LabelledBatch is labelled images as flat arrays.
type LabelledBatch struct {
	Size                    int
	Channels, Height, Width int
	Images                  Pixels  // [size, channels, height, width]; see Batch for texts
	Labels                  []int64 // [size], classes of the set
}

// Fill makes b the batch of n images of a step; none if n is below 1. It reuses b's memory. Different batches may be
// filled concurrently.
func (s *Labelled) Fill(b *LabelledBatch, step uint64, n int) {
	n = max(n, 0)
	size := s.channels * s.height * s.width
	b.Size, b.Channels, b.Height, b.Width = n, s.channels, s.height, s.width
	b.Images.resize(n*size, s.holds())
	b.Images.Norm, b.Labels = s.norm, resize(b.Labels, n)
	room := s.room.Get().(*printerRoom)
	defer s.room.Put(room)
	r := stream.New(s.seed, s.stream, step)
	p := s.printer(room)
	p.rand = r
	if s.rows != nil {
		items := make([]Item, n)
		for i := range items {
			class := r.IntN(s.set.Classes())
			items[i] = Item{Class: class, Instance: r.IntN(s.set.Instances(class))}
			b.Labels[i] = int64(class)
		}
		b.Channels, b.Height, b.Width = s.size(items)
		s.fill(&b.Images, items, b.Width)
		return
	}
	for i := range n {
		class := r.IntN(s.set.Classes())
		p.image(b.Images.Slice(i*size, (i+1)*size), class, r.IntN(s.set.Instances(class)), 0)
		if !p.random() && s.distort != (dataset.Distortion{}) {
			s.distort.Draw(r) // and changes nothing; without this, batches would differ from those of earlier versions
		}
		b.Labels[i] = int64(class)
	}
}

// Batches returns the batches of n images of the steps from first on, without end, like [Sampler.Batches].
func (s *Labelled) Batches(ctx context.Context, first uint64, n, depth int) iter.Seq[*LabelledBatch] {
	return prefetch(ctx, first, 1, depth, func(b *LabelledBatch, step uint64, _ int) { s.Fill(b, step, n) })
}
