package dataset

import "fmt"

// The drawers for training, validation and test, of the 20 of Omniglot: Koch et al. 2015, section 3.1.
const (
	trainDrawers = 12
	valDrawers   = 4
	testDrawers  = 4
)

// ByDrawers keeps images of different drawers in each part: the first 12 of a class for training, the next 4 for
// validation and the last 4 for test.
func (p Parts) ByDrawers() (Parts, error) {
	var out Parts
	for _, part := range []struct {
		from     Set
		to       *Set
		first, n int
	}{
		{p.Train, &out.Train, 0, trainDrawers}, {p.Val, &out.Val, trainDrawers, valDrawers},
		{p.Test, &out.Test, trainDrawers + valDrawers, testDrawers},
	} {
		var err error
		if *part.to, err = Drawers(part.from, part.first, part.n); err != nil {
			return Parts{}, err
		}
	}
	return out, nil
}

// Drawers returns a set with n images of each class, from index first on. The images of a class of Omniglot are
// sorted by drawer, so these are the images of n drawers. It returns an error if a class has too few.
func Drawers(set Set, first, n int) (Set, error) {
	if first < 0 || n < 1 {
		return nil, fmt.Errorf("dataset: %d drawers from drawer %d on: choose at least one drawer, from 0 on", n, first)
	}
	for c := range set.Classes() {
		if have := set.Instances(c); first > have || n > have-first {
			return nil, fmt.Errorf("dataset: %d drawers from drawer %d on, but class %s has %d images: choose fewer", n, first, set.Class(c), have)
		}
	}
	return &drawers{set, first, n}, nil
}

// drawers is a set with some of the images of every class of another set.
type drawers struct {
	Set
	first, n int
}

func (s *drawers) Instances(int) int { return s.n }
func (s *drawers) rotated() bool     { return Rotated(s.Set) }
func (s *drawers) whole() Set        { return s.Set }
func (s *drawers) in(class, instance, quarter int) (int, int, int) {
	if instance < 0 || instance >= s.n {
		panic(fmt.Sprintf("dataset: image %d of %d", instance, s.n)) // like a slice index
	}
	return class, s.first + instance, quarter
}
func (s *drawers) Image(dst []float32, class, instance, quarter int) {
	class, instance, quarter = s.in(class, instance, quarter)
	s.Set.Image(dst, class, instance, quarter)
}
