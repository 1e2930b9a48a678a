package dataset

import (
	"errors"
	"fmt"
	"strings"
)

// Rotation is a protocol of the literature for rotations by multiples of 90 degrees. Results under different
// protocols are not comparable, so every result records the name.
//
// RotateClasses and RotateTrainClasses make four classes of each: Split.Parts applies them to the sets, and class
// names get a suffix such as "/rot090". RotateEpisode and RotatePerClass do not change the sets: the sampler of
// package episode draws a rotation per episode. The zero value means RotateNone.
type Rotation string

const (
	// RotateNone rotates nothing.
	RotateNone Rotation = "none"
	// RotateClasses makes each rotation a separate class, in training, validation and test, so that an episode can
	// contain two rotations of one character (Snell et al. 2017, Prototypical networks; 1692 test classes).
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

// ParseRotation returns the protocol with a name; empty means RotateNone.
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

// Drawn reports whether the sampler draws rotations for each episode. Otherwise the sets contain them, if any.
func (r Rotation) Drawn() bool { return r == RotateEpisode || r == RotatePerClass }

// apply returns the set under the protocol, for training or not.
func (r Rotation) apply(set Set, train bool) (Set, error) {
	if r == RotateClasses || r == RotateTrainClasses && train {
		return WithRotations(set)
	}
	return set, nil
}

// WithRotations returns a set with four classes for each class of a set, named with the suffixes /rot000, /rot090,
// /rot180 and /rot270: class 4*i+q is class i rotated counter-clockwise by q quarters. Images that are not square,
// and sets that are rotated already, are an error.
func WithRotations(set Set) (Set, error) {
	if set == nil {
		return nil, errors.New("dataset: rotations of a nil set")
	}
	if Rotated(set) {
		return nil, errors.New("dataset: the classes of this set are rotated already: rotate them once")
	}
	if err := SquareError(set); err != nil {
		return nil, err
	}
	return &rotations{set}, nil
}

// Rotated reports whether the classes of a set, or of the set it is a part of, are rotations.
func Rotated(set Set) bool {
	r, ok := set.(interface{ rotated() bool })
	return ok && r.rotated()
}

// rotations is a set with every class of another in four rotations.
type rotations struct{ set Set }

func (s *rotations) Classes() int                         { return 4 * s.set.Classes() }
func (s *rotations) Class(i int) string                   { return fmt.Sprintf("%s/rot%03d", s.set.Class(i/4), i%4*90) }
func (s *rotations) Instances(class int) int              { return s.set.Instances(class / 4) }
func (s *rotations) Shape() (channels, height, width int) { return s.set.Shape() }
func (s *rotations) rotated() bool                        { return true }
func (s *rotations) whole() Set                           { return s.set }
func (s *rotations) in(class, inst, turn int) (int, int, int) {
	return class / 4, inst, turn + class%4
}
func (s *rotations) Image(dst []float32, class, inst, turn int) {
	class, inst, turn = s.in(class, inst, turn)
	s.set.Image(dst, class, inst, turn)
}
