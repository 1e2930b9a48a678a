// Package episode draws few-shot episodes from a dataset: N classes with K support images each, and query images of
// the same classes to classify.
//
// An episode is a pure function of a seed, the name of a stream and a step. It does not depend on other draws, so
// training resumes exactly, and the test episodes are the same for every method.
package episode

import (
	"errors"
	"fmt"
	"sync"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/stream"
)

// Spec is the shape of an episode.
type Spec struct {
	Way   int // classes, at least 1
	Shot  int // support images per class, at least 1
	Query int // query images per class, 0 for none
	// Rotation is the protocol. The sampler draws dataset.RotateEpisode and dataset.RotatePerClass; the set
	// implements the others (see dataset.Split.Parts). New refuses a set that contradicts the protocol.
	Rotation dataset.Rotation
	// Within draws the classes of an episode from one alphabet (see dataset.Alphabets), each alphabet with enough
	// classes equally often: the harder test of Lake et al. 2015.
	Within bool
	// Distort distorts each image independently.
	Distort dataset.Distortion
	// Augment changes each image at random. The random numbers depend on the seed, the stream and the step only.
	Augment dataset.Augmentation
}

// Item is one image of an episode.
type Item struct {
	Class    int // of the set
	Instance int // of the class
	Quarter  int // counter-clockwise rotation in units of 90 degrees
	Label    int // in [0, way): the index of the class in the episode
}

// Episode is the content of an episode. Support and query items are ordered by label; all images differ.
type Episode struct {
	Classes []int  // of the set, by label; all differ
	Support []Item // way*shot
	Query   []Item // way*query
}

// Sampler draws episodes from a set. It may be used from several goroutines.
type Sampler struct {
	looks
	spec                    Spec
	seed                    uint64
	stream                  string
	alphabets               [][]int // with enough classes, if episodes are within one
	channels, height, width int
	scratch                 sync.Pool // of *scratch
}

// scratch is temporary memory for drawing an episode.
type scratch struct {
	pick    picker
	episode Episode
	room    printerRoom
}

// New makes a sampler. The stream's name separates training, validation and test episodes of one seed. It returns an
// error with the counts if the set has too few classes or too few images per class, is not square but to be rotated,
// or contradicts the rotation protocol.
func New(set dataset.Set, spec Spec, seed uint64, stream string) (*Sampler, error) {
	if set == nil {
		return nil, errors.New("episode: no set to draw from")
	}
	var err error
	if spec.Rotation, err = dataset.ParseRotation(string(spec.Rotation)); err != nil {
		return nil, fmt.Errorf("episode: %w", err)
	}
	if spec.Way < 1 || spec.Shot < 1 || spec.Query < 0 {
		return nil, fmt.Errorf("episode: way %d, shot %d, query %d: way and shot must be at least 1, query at least 0",
			spec.Way, spec.Shot, spec.Query)
	}
	if spec.Way > set.Classes() {
		return nil, fmt.Errorf("episode: %d-way episodes need %d classes but the set has %d: lower the way or take a larger part of the data",
			spec.Way, spec.Way, set.Classes())
	}
	for c := range set.Classes() {
		// Subtraction, because the sum of two large numbers may overflow.
		if n := set.Instances(c); spec.Shot > n || spec.Query > n-spec.Shot {
			return nil, fmt.Errorf("episode: shot %d and query %d need that many different images per class but class %s has %d: lower shot or query",
				spec.Shot, spec.Query, set.Class(c), n)
		}
	}
	if err := rotationError(set, spec.Rotation); err != nil {
		return nil, err
	}
	looks, err := newLooks(set, spec.Distort, spec.Augment)
	if err != nil {
		return nil, err
	}
	s := &Sampler{looks: looks, spec: spec, seed: seed, stream: stream}
	if spec.Within {
		largest := 0
		for _, classes := range dataset.Alphabets(set) {
			largest = max(largest, len(classes))
			if len(classes) >= spec.Way {
				s.alphabets = append(s.alphabets, classes)
			}
		}
		if s.alphabets == nil {
			return nil, fmt.Errorf("episode: %d-way episodes within an alphabet need one of %d classes but the largest has %d: lower the way",
				spec.Way, spec.Way, largest)
		}
	}
	s.channels, s.height, s.width = set.Shape()
	s.scratch.New = func() any { return new(scratch) }
	return s, nil
}

// rotationError returns an error if a set contradicts a rotation protocol.
func rotationError(set dataset.Set, rotation dataset.Rotation) error {
	switch rotated := dataset.Rotated(set); {
	case rotation.Drawn() && rotated:
		return fmt.Errorf("episode: rotation %q rotates the images of a set whose classes are rotated already: use the plain set or rotation %q",
			rotation, dataset.RotateClasses)
	case rotation.Drawn():
		if err := dataset.SquareError(set); err != nil {
			return fmt.Errorf("episode: %w", err)
		}
	case rotation == dataset.RotateClasses && !rotated:
		return fmt.Errorf("episode: rotation %q needs a set with one class per rotation: take it from dataset.Split.Parts or dataset.WithRotations",
			rotation)
	case rotation == dataset.RotateNone && rotated:
		return fmt.Errorf("episode: the classes of the set are rotated, but the rotation is %q: use %q or %q",
			rotation, dataset.RotateClasses, dataset.RotateTrainClasses)
	}
	return nil
}

// Spec returns the shape of the sampler's episodes.
func (s *Sampler) Spec() Spec { return s.spec }

// Set returns the set that the sampler draws from.
func (s *Sampler) Set() dataset.Set { return s.set }

// Episode draws the episode of a step.
func (s *Sampler) Episode(step uint64) Episode {
	w := s.scratch.Get().(*scratch)
	defer s.scratch.Put(w)
	var e Episode
	s.draw(&e, &w.pick, step)
	return e
}

// draw draws the episode of a step into e, whose slices are reused.
func (s *Sampler) draw(e *Episode, pick *picker, step uint64) {
	r := stream.New(s.seed, s.stream, step)
	if s.spec.Within {
		alphabet := s.alphabets[r.IntN(len(s.alphabets))]
		e.Classes = pick.distinct(e.Classes[:0], r, len(alphabet), s.spec.Way)
		for i, place := range e.Classes {
			e.Classes[i] = alphabet[place]
		}
	} else {
		e.Classes = pick.distinct(e.Classes[:0], r, s.set.Classes(), s.spec.Way)
	}
	e.Support, e.Query = e.Support[:0], e.Query[:0]
	quarter := 0
	if s.spec.Rotation == dataset.RotateEpisode {
		quarter = r.IntN(4)
	}
	for label, class := range e.Classes {
		if s.spec.Rotation == dataset.RotatePerClass {
			quarter = r.IntN(4)
		}
		pick.images = pick.distinct(pick.images[:0], r, s.set.Instances(class), s.spec.Shot+s.spec.Query)
		for i, image := range pick.images {
			item := Item{Class: class, Instance: image, Quarter: quarter, Label: label}
			if i < s.spec.Shot {
				e.Support = append(e.Support, item)
			} else {
				e.Query = append(e.Query, item)
			}
		}
	}
}
