package episode

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"sync"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/stream"
)

// SequenceSpec is the shape of an episode over time, as in Santoro et al. 2016, section 2.1: all images of some
// classes in one random order. A class has a random label, drawn anew for each episode: a string of Length letters
// from an alphabet of Letters. One-hot labels are strings of one letter.
type SequenceSpec struct {
	Way     int // classes, at least 1
	Samples int // images per class, at least 1
	Length  int // letters of a label, from 1 to 20
	Letters int // of the alphabet; enough for one label per class
	// Rotation is the protocol, as in Spec.
	Rotation dataset.Rotation
	// Shift is the largest translation of an image along either axis, in pixels, and Turn the largest rotation in
	// either direction, in degrees. Both are drawn uniformly for each image.
	Shift, Turn float64
}

// Limits of labels: letters, and number of different labels.
const (
	maxLength = 20
	maxLabels = 1 << maxLength
)

// labels returns the number of different labels, or an error if that is too small or too large.
func (s SequenceSpec) labels() (int, error) {
	if s.Length < 1 || s.Length > maxLength || s.Letters < 1 {
		return 0, fmt.Errorf("episode: labels of %d letters of an alphabet of %d: choose 1 to %d letters of at least 1", s.Length, s.Letters, maxLength)
	}
	n := 1
	for range s.Length {
		if n *= s.Letters; n > maxLabels {
			return 0, fmt.Errorf("episode: labels of %d letters of an alphabet of %d: more than %d labels; lower one", s.Length, s.Letters, maxLabels)
		}
	}
	if n < s.Way {
		return 0, fmt.Errorf("episode: %d classes, but only %d different labels of %d letters of an alphabet of %d: lower the way or raise one",
			s.Way, n, s.Length, s.Letters)
	}
	return n, nil
}

// Sequence is an episode over time.
type Sequence struct {
	Classes []int  // of the set, by Item.Label; all differ
	Names   []int  // the class's label, by Item.Label: its letters as the digits of a number, the first the highest; all differ
	Items   []Item // way*samples, in the order shown
	Moves   []Move // of each item
}

// Move is a transformation of an image; see dataset.Warp.
type Move struct{ Angle, Right, Down float64 }

// SequenceSampler draws sequences from a set. It may be used from several goroutines.
type SequenceSampler struct {
	images  *Sampler
	spec    SequenceSpec
	names   int       // different labels
	scratch sync.Pool // of *sequenceScratch
}

// sequenceScratch is temporary memory for drawing a sequence.
type sequenceScratch struct {
	pick     picker
	episode  Episode
	sequence Sequence
	image    []float32
}

// NewSequences makes a sampler of sequences. It returns the errors of [New], and an error for too few labels.
func NewSequences(set dataset.Set, spec SequenceSpec, seed uint64, stream string) (*SequenceSampler, error) {
	images, err := New(set, Spec{Way: spec.Way, Shot: spec.Samples, Rotation: spec.Rotation}, seed, stream)
	if err != nil {
		return nil, err
	}
	names, err := spec.labels()
	if err != nil {
		return nil, err
	}
	if !(spec.Shift >= 0) || !(spec.Turn >= 0) || math.IsInf(spec.Shift+spec.Turn, 1) {
		return nil, fmt.Errorf("episode: shift is %v pixels and turn %v degrees: both must be finite and at least 0", spec.Shift, spec.Turn)
	}
	if images.rows != nil {
		return nil, errors.New("episode: sequences are of images, not of texts: use a few-shot network")
	}
	spec.Rotation = images.spec.Rotation
	s := &SequenceSampler{images: images, spec: spec, names: names}
	s.scratch.New = func() any { return new(sequenceScratch) }
	return s, nil
}

// Spec returns the shape of the sampler's sequences.
func (s *SequenceSampler) Spec() SequenceSpec { return s.spec }

// Set returns the set that the sampler draws from.
func (s *SequenceSampler) Set() dataset.Set { return s.images.set }

// Sequence draws the sequence of a step: the images of the few-shot episode of that step, in another order.
func (s *SequenceSampler) Sequence(step uint64) Sequence {
	w := s.scratch.Get().(*sequenceScratch)
	defer s.scratch.Put(w)
	var out Sequence
	s.draw(&out, w, step)
	out.Classes = slices.Clone(out.Classes)
	return out
}

// draw draws the sequence of a step into q, whose slices are reused.
func (s *SequenceSampler) draw(q *Sequence, w *sequenceScratch, step uint64) {
	s.images.draw(&w.episode, &w.pick, step)
	r := stream.New(s.images.seed, s.images.stream+"/sequence", step)
	q.Classes = w.episode.Classes
	q.Items = append(q.Items[:0], w.episode.Support...)
	r.Shuffle(len(q.Items), func(i, j int) { q.Items[i], q.Items[j] = q.Items[j], q.Items[i] })
	q.Names = w.pick.distinct(q.Names[:0], r, s.names, s.spec.Way)
	evenly := func(by float64) float64 { return (2*r.Float64() - 1) * by }
	q.Moves = q.Moves[:0]
	for range q.Items {
		q.Moves = append(q.Moves, Move{evenly(s.spec.Turn * math.Pi / 180), evenly(s.spec.Shift), evenly(s.spec.Shift)})
	}
}

// SequenceBatch is sequences as flat arrays, time first.
type SequenceBatch struct {
	First                   uint64 // the step of the first sequence
	Time, Sequences         int    // Time is way*samples
	Length, Letters         int    // of labels
	Channels, Height, Width int
	Images                  Pixels  // [time, sequences, channels, height, width]; values
	Labels                  []int64 // [time, sequences, length], letters in [0, letters)
	Instances               []int   // [time, sequences], index of each image within its class, from 1
	Items                   []Item  // [sequences, time]
}

// Batch makes a batch of the sequences of the n steps from first on; none if n is below 1.
func (s *SequenceSampler) Batch(first uint64, n int) *SequenceBatch {
	b := new(SequenceBatch)
	s.Fill(b, first, n)
	return b
}

// Fill makes b a batch of the sequences of the n steps from first on; none if n is below 1. It reuses b's memory.
// Different batches may be filled concurrently.
func (s *SequenceSampler) Fill(b *SequenceBatch, first uint64, n int) {
	n = max(n, 0)
	time, length := s.spec.Way*s.spec.Samples, s.spec.Length
	b.First, b.Time, b.Sequences = first, time, n
	b.Length, b.Letters = length, s.spec.Letters
	b.Channels, b.Height, b.Width = s.images.channels, s.images.height, s.images.width
	size := b.Channels * b.Height * b.Width
	b.Images.resize(time*n*size, holdsValues)
	b.Images.Norm = s.images.norm
	b.Labels = resize(b.Labels, time*n*length)
	b.Instances = resize(b.Instances, time*n)
	b.Items = b.Items[:0]

	w := s.scratch.Get().(*sequenceScratch)
	defer s.scratch.Put(w)
	w.image = resize(w.image, size)
	moved := s.spec.Shift > 0 || s.spec.Turn > 0
	shown := make([]int, s.spec.Way) // images of each class so far
	for i := range n {
		q := &w.sequence
		s.draw(q, w, first+uint64(i))
		b.Items = append(b.Items, q.Items...)
		clear(shown)
		for t, item := range q.Items {
			at := t*n + i
			image := b.Images.Values[at*size : (at+1)*size : (at+1)*size]
			if moved {
				s.images.set.Image(w.image, item.Class, item.Instance, item.Quarter)
				m := q.Moves[t]
				dataset.Warp(image, w.image, b.Channels, b.Height, b.Width, m.Angle, m.Right, m.Down)
			} else {
				s.images.set.Image(image, item.Class, item.Instance, item.Quarter)
			}
			shown[item.Label]++
			b.Instances[at] = shown[item.Label]
			name := q.Names[item.Label]
			for k := length - 1; k >= 0; k-- {
				b.Labels[at*length+k] = int64(name % s.spec.Letters)
				name /= s.spec.Letters
			}
		}
	}
}

// Batches returns the batches of n sequences from step first on, like [Sampler.Batches].
func (s *SequenceSampler) Batches(ctx context.Context, first uint64, n, depth int) iter.Seq[*SequenceBatch] {
	return prefetch(ctx, first, n, depth, s.Fill)
}
