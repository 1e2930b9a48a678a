package episode

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"sync"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/stream"
)

// PairSpec configures the pairs that are drawn.
type PairSpec struct {
	// Rotation is the protocol of the set. One that is drawn per episode is an error.
	Rotation dataset.Rotation
	// Within draws both images of a pair from one alphabet, also if their classes differ.
	Within bool
	// Distort distorts each image independently.
	Distort dataset.Distortion
	// Augment changes each image at random.
	Augment dataset.Augmentation
}

// Pairs draws pairs of images of the same class or of different classes: Koch et al. 2015, section 3.1. Pairs with an
// even number show the same class, by two drawers; those with an odd number do not. Each alphabet is equally likely,
// and each of its classes. It may be used from several goroutines.
//
// A pair is a pure function of a seed, the name of a stream and its number.
type Pairs struct {
	looks
	spec                    PairSpec
	seed                    uint64
	stream                  string
	alphabets               [][]int
	channels, height, width int
	room                    sync.Pool // of *printerRoom
}

// NewPairs makes a sampler of pairs. It returns an error with the counts if the set has too few classes or images.
func NewPairs(set dataset.Set, spec PairSpec, seed uint64, stream string) (*Pairs, error) {
	if set == nil {
		return nil, errors.New("episode: no set to draw from")
	}
	var err error
	if spec.Rotation, err = dataset.ParseRotation(string(spec.Rotation)); err != nil {
		return nil, fmt.Errorf("episode: %w", err)
	}
	if spec.Rotation.Drawn() {
		return nil, fmt.Errorf("episode: rotation %q is drawn per episode, but pairs have no episodes: use %q", spec.Rotation, dataset.RotateClasses)
	}
	if err := rotationError(set, spec.Rotation); err != nil {
		return nil, err
	}
	looks, err := newLooks(set, spec.Distort, spec.Augment)
	if err != nil {
		return nil, err
	}
	if set.Classes() < 2 {
		return nil, fmt.Errorf("episode: pairs of different classes need two classes, but the set has %d", set.Classes())
	}
	for c := range set.Classes() {
		if n := set.Instances(c); n < 2 {
			return nil, fmt.Errorf("episode: pairs of one class need two images, but class %s has %d", set.Class(c), n)
		}
	}
	s := &Pairs{looks: looks, spec: spec, seed: seed, stream: stream, alphabets: dataset.Alphabets(set)}
	if spec.Within {
		for _, classes := range s.alphabets {
			if len(classes) < 2 {
				return nil, fmt.Errorf("episode: pairs within an alphabet need two classes, but that of %s has one", set.Class(classes[0]))
			}
		}
	}
	s.channels, s.height, s.width = set.Shape()
	s.room.New = func() any { return new(printerRoom) }
	return s, nil
}

// Set returns the set that the sampler draws from.
func (s *Pairs) Set() dataset.Set { return s.set }

// Pair is two images.
type Pair struct {
	Left, Right Item // with equal labels if they show the same class
}

// Pair draws the pair with a number.
func (s *Pairs) Pair(number uint64) Pair { return s.draw(stream.New(s.seed, s.stream, number), number) }

// same is 1 if both images show the same class, else 0.
func (p Pair) same() float32 {
	if p.Left.Label == p.Right.Label {
		return 1
	}
	return 0
}

func (s *Pairs) draw(r *rand.Rand, number uint64) Pair {
	a := r.IntN(len(s.alphabets))
	class := s.alphabets[a][r.IntN(len(s.alphabets[a]))]
	n := s.set.Instances(class)
	left := Item{Class: class, Instance: r.IntN(n)}
	if number%2 == 0 {
		right := left
		right.Instance = (left.Instance + 1 + r.IntN(n-1)) % n
		return Pair{left, right}
	}
	other := class
	for other == class {
		if !s.spec.Within {
			a = r.IntN(len(s.alphabets))
		}
		other = s.alphabets[a][r.IntN(len(s.alphabets[a]))]
	}
	return Pair{left, Item{Class: other, Instance: r.IntN(s.set.Instances(other)), Label: 1}}
}

// PairBatch is pairs as flat arrays.
type PairBatch struct {
	First                   uint64 // the number of the first pair
	Pairs                   int
	Channels, Height, Width int
	Left, Right             Pixels    // [pairs, channels, height, width]; see Batch for texts
	Same                    []float32 // [pairs], 1 if both show the same class, else 0
}

// Batch makes a batch of n pairs, numbered from first on; none if n is below 1.
func (s *Pairs) Batch(first uint64, n int) *PairBatch {
	b := new(PairBatch)
	s.Fill(b, first, n)
	return b
}

// Fill makes b a batch of n pairs, numbered from first on; none if n is below 1. It reuses b's memory. Different
// batches may be filled concurrently.
func (s *Pairs) Fill(b *PairBatch, first uint64, n int) {
	n = max(n, 0)
	size := s.channels * s.height * s.width
	b.First, b.Pairs = first, n
	b.Channels, b.Height, b.Width = s.channels, s.height, s.width
	if s.rows != nil {
		s.fillTexts(b, first, n)
		return
	}
	b.Left.resize(n*size, s.holds())
	b.Right.resize(n*size, s.holds())
	b.Left.Norm, b.Right.Norm, b.Same = s.norm, s.norm, resize(b.Same, n)
	room := s.room.Get().(*printerRoom)
	defer s.room.Put(room)
	for i := range n {
		number := first + uint64(i)
		r := stream.New(s.seed, s.stream, number)
		pair := s.draw(r, number)
		p := s.printer(room)
		p.rand = r
		p.image(b.Left.Slice(i*size, (i+1)*size), pair.Left.Class, pair.Left.Instance, 0)
		p.image(b.Right.Slice(i*size, (i+1)*size), pair.Right.Class, pair.Right.Instance, 0)
		b.Same[i] = pair.same()
	}
}

// fillTexts is Fill for texts, whose rows all have the length of the longest.
func (s *Pairs) fillTexts(b *PairBatch, first uint64, n int) {
	items := make([]Item, 2*n) // the left ones, then the right ones
	b.Same = resize(b.Same, n)
	for i := range n {
		pair := s.Pair(first + uint64(i))
		items[i], items[n+i], b.Same[i] = pair.Left, pair.Right, pair.same()
	}
	b.Channels, b.Height, b.Width = s.size(items)
	s.fill(&b.Left, items[:n], b.Width)
	s.fill(&b.Right, items[n:], b.Width)
}

// Batches returns the batches of n pairs from a number on, without end, like [Sampler.Batches].
func (s *Pairs) Batches(ctx context.Context, first uint64, n, depth int) iter.Seq[*PairBatch] {
	return prefetch(ctx, first, n, depth, s.Fill)
}
