package dataset

import (
	"errors"
	"fmt"
	"strings"
)

// Rotation names what the literature does with rotations by multiples of 90 degrees. Results under different rotations
// cannot be compared, so every result carries the name.
//
// RotateClasses and RotateTrainClasses make four classes of one: Split.Parts applies them to the sets, and class names
// gain a suffix such as "/rot090". RotateEpisode and RotatePerClass leave the sets alone: the sampler of package
// episode draws a rotation at each episode. The zero value is RotateNone.
type Rotation string

const (
	// RotateNone turns nothing.
	RotateNone Rotation = "none"
	// RotateClasses makes each rotation a class of its own, in training, validation and test, so that an episode may
	// hold two rotations of one character (Snell et al. 2017, Prototypical networks; 1692 test classes).
	RotateClasses Rotation = "classes"
	// RotateTrainClasses does so in training only (Nichol et al. 2018, Reptile).
	RotateTrainClasses Rotation = "train-classes"
	// RotateEpisode draws one rotation for all images of an episode, in training and test (Sung et al. 2018, Relation
	// networks, as released).
	RotateEpisode Rotation = "episode"
	// RotatePerClass draws a rotation for each class of an episode, in training and test (learn2learn).
	RotatePerClass Rotation = "per-class"
)

// Rotations lists the rotation protocols.
func Rotations() []Rotation {
	return []Rotation{RotateNone, RotateClasses, RotateTrainClasses, RotateEpisode, RotatePerClass}
}

// ParseRotation reads the name of a rotation protocol; empty is RotateNone.
func ParseRotation(name string) (Rotation, error) {
	if name == "" {
		return RotateNone, nil
	}
	var known []string
	for _, r := range Rotations() {
		if string(r) == name {
			return r, nil
		}
		known = append(known, string(r))
	}
	return "", fmt.Errorf("dataset: unknown rotation %q: use one of %s", name, strings.Join(known, ", "))
}

// Drawn says whether the sampler draws the rotation of each episode; else the sets carry it, if anything does.
func (r Rotation) Drawn() bool { return r == RotateEpisode || r == RotatePerClass }

// apply gives the set as the protocol wants it, in training or outside.
func (r Rotation) apply(set Set, train bool) (Set, error) {
	if r == RotateClasses || r == RotateTrainClasses && train {
		return Turn(set)
	}
	return set, nil
}

// Turn makes four classes of each class of a set, named with the suffixes /rot000, /rot090, /rot180 and /rot270: class
// 4*i+q is class i turned counter-clockwise by q quarters. It refuses images that are not square and sets that are
// turned already.
func Turn(set Set) (Set, error) {
	if set == nil {
		return nil, errors.New("dataset: rotations of a nil set")
	}
	if Rotated(set) {
		return nil, errors.New("dataset: the classes of this set are rotated already: rotate them once")
	}
	if err := SquareError(set); err != nil {
		return nil, err
	}
	return &turned{set}, nil
}

// Rotated says whether the classes of a set, or of the set it is a part of, come in rotations.
func Rotated(set Set) bool {
	r, ok := set.(interface{ rotated() bool })
	return ok && r.rotated()
}

// turned is a set in which every class of another appears in four rotations.
type turned struct{ set Set }

func (s *turned) Classes() int                         { return 4 * s.set.Classes() }
func (s *turned) Class(i int) string                   { return fmt.Sprintf("%s/rot%03d", s.set.Class(i/4), i%4*90) }
func (s *turned) Instances(class int) int              { return s.set.Instances(class / 4) }
func (s *turned) Shape() (channels, height, width int) { return s.set.Shape() }
func (s *turned) rotated() bool                        { return true }
func (s *turned) whole() Set                           { return s.set }
func (s *turned) in(class, inst, turn int) (int, int, int) {
	return class / 4, inst, turn + class%4
}
func (s *turned) Image(dst []float32, class, inst, turn int) {
	class, inst, turn = s.in(class, inst, turn)
	s.set.Image(dst, class, inst, turn)
}
