package dataset

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
)

// Normalization is an affine map of each channel of an image: v becomes (v - Mean) / Std, with v between 0 and 1.
type Normalization struct {
	Mean, Std []float64 // one per channel
}

// Check refuses what does not go with a number of channels.
func (n *Normalization) Check(channels int) error {
	if len(n.Mean) != channels || len(n.Std) != channels {
		return fmt.Errorf("dataset: %d means and %d deviations for images of %d channels: give one of each per channel", len(n.Mean), len(n.Std), channels)
	}
	for i, s := range n.Std {
		if !(s > 0) || math.IsInf(s, 0) || math.IsNaN(n.Mean[i]) || math.IsInf(n.Mean[i], 0) {
			return fmt.Errorf("dataset: channel %d has the mean %g and the deviation %g: both must be finite, and the deviation above 0", i, n.Mean[i], s)
		}
	}
	return nil
}

// Statistics returns the mean and the deviation of each channel over all pixels of all images of a set that holds bytes (see
// [Bytes]). A channel without any variation has the deviation 1.
func Statistics(set Set) (*Normalization, error) {
	read := Bytes(set)
	if read == nil {
		return nil, errors.New("dataset: mean and deviation need a set that holds bytes")
	}
	channels, height, width := set.Shape()
	plane := height * width
	counts := make([][256]int64, channels)
	var mutex sync.Mutex
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), 16) {
		workers.Go(func() {
			own, image := make([][256]int64, channels), make([]byte, channels*plane)
			for c := int(next.Add(1)) - 1; c < set.Classes(); c = int(next.Add(1)) - 1 {
				for i := range set.Instances(c) {
					read(image, c, i, 0)
					for k := range own {
						for _, v := range image[k*plane : (k+1)*plane] {
							own[k][v]++
						}
					}
				}
			}
			mutex.Lock()
			defer mutex.Unlock()
			for k := range own {
				for v, n := range own[k] {
					counts[k][v] += n
				}
			}
		})
	}
	workers.Wait()
	n := &Normalization{make([]float64, channels), make([]float64, channels)}
	for k := range counts {
		var all, sum, squares int64
		for v, count := range counts[k] {
			all, sum, squares = all+count, sum+int64(v)*count, squares+int64(v*v)*count
		}
		if all == 0 {
			return nil, errors.New("dataset: mean and deviation of a set without images")
		}
		mean := float64(sum) / float64(all)
		n.Mean[k], n.Std[k] = mean/255, math.Sqrt(max(0, float64(squares)/float64(all)-mean*mean))/255
		if n.Std[k] == 0 {
			n.Std[k] = 1
		}
	}
	return n, nil
}

// Preparation says how the images of a set are given to a network.
type Preparation struct {
	// Height and Width are the size of the middle of the images that is cut out; 0 leaves images whole. Images that are augmented
	// are cut out elsewhere instead; see [Augmentation].
	Height, Width int
	// Norm is applied to the values on the device; nil for none.
	Norm *Normalization
}

// Prepare returns a set as a network is to be given it. Its Image and Bytes cut out the middle; they do not normalise: what draws
// batches from the set takes the normalisation along, see [NormalizationOf].
func Prepare(set Set, p Preparation) (Set, error) {
	channels, height, width := set.Shape()
	if p.Height == 0 && p.Width == 0 {
		p.Height, p.Width = height, width
	}
	if p.Height < 1 || p.Width < 1 || p.Height > height || p.Width > width {
		return nil, fmt.Errorf("dataset: the middle %d×%d of images of %d×%d: choose a smaller one", p.Height, p.Width, height, width)
	}
	if p.Norm != nil {
		if err := p.Norm.Check(channels); err != nil {
			return nil, err
		}
	}
	if p.Height == height && p.Width == width && p.Norm == nil {
		return set, nil
	}
	s := &prepared{set: set, height: p.Height, width: p.Width, norm: p.Norm}
	s.room.New = func() any { return new(preparedRoom) }
	return s, nil
}

// Prepare prepares all parts.
func (p Parts) Prepare(how Preparation) (Parts, error) {
	for _, set := range []*Set{&p.Train, &p.Val, &p.Test} {
		made, err := Prepare(*set, how)
		if err != nil {
			return p, err
		}
		*set = made
	}
	return p, nil
}

// NormalizationOf returns how the values of a set are to be normalised; nil for not at all.
func NormalizationOf(set Set) *Normalization {
	if p, ok := set.(*prepared); ok {
		return p.norm
	}
	return nil
}

// Uncut returns the set that a prepared one cuts the middle out of, or the set itself.
func Uncut(set Set) Set {
	if p, ok := set.(*prepared); ok {
		return p.set
	}
	return set
}

type prepared struct {
	set           Set
	height, width int
	norm          *Normalization
	room          sync.Pool // of *preparedRoom
}

// preparedRoom is for a whole image.
type preparedRoom struct {
	bytes  []byte
	values []float32
}

func (s *prepared) Classes() int            { return s.set.Classes() }
func (s *prepared) Class(i int) string      { return s.set.Class(i) }
func (s *prepared) Instances(class int) int { return s.set.Instances(class) }
func (s *prepared) rotated() bool           { return Rotated(s.set) }
func (s *prepared) Shape() (channels, height, width int) {
	channels, _, _ = s.set.Shape()
	return channels, s.height, s.width
}

func (s *prepared) Image(dst []float32, class, instance, quarter int) {
	channels, height, width := s.set.Shape()
	if height == s.height && width == s.width {
		s.set.Image(dst, class, instance, quarter)
		return
	}
	room := s.room.Get().(*preparedRoom)
	defer s.room.Put(room)
	if room.values == nil {
		room.values = make([]float32, channels*height*width)
	}
	s.set.Image(room.values, class, instance, quarter)
	middle(dst, room.values, channels, height, width, s.height, s.width)
}

// bytes returns what writes the bytes of an image; nil where the set has none.
func (s *prepared) bytes() func(dst []byte, class, instance, quarter int) {
	channels, height, width := s.set.Shape()
	whole := Bytes(s.set)
	if whole == nil || height == s.height && width == s.width {
		return whole
	}
	return func(dst []byte, class, instance, quarter int) {
		room := s.room.Get().(*preparedRoom)
		defer s.room.Put(room)
		if room.bytes == nil {
			room.bytes = make([]byte, channels*height*width)
		}
		whole(room.bytes, class, instance, quarter)
		middle(dst, room.bytes, channels, height, width, s.height, s.width)
	}
}

// middle copies the middle of an image.
func middle[T any](dst, src []T, channels, height, width, toHeight, toWidth int) {
	top, left := (height-toHeight)/2, (width-toWidth)/2
	for c := range channels {
		for y := range toHeight {
			from := (c*height+top+y)*width + left
			copy(dst[(c*toHeight+y)*toWidth:][:toWidth], src[from:from+toWidth])
		}
	}
}
