package dataset

import "fmt"

// embedded is a set with the embedding of each image in its place.
type embedded struct {
	set    Set
	start  []int // the first row of each class
	width  int
	values []float32
}

// Embedded returns a set with the classes and the instances of another, and embeddings in the place of its images: one channel of
// one row of the given width, as [Features] has them. values holds one embedding per image, class by class, and is not copied.
func Embedded(set Set, width int, values []float32) (Set, error) {
	e := &embedded{set: set, width: width, values: values}
	n := 0
	for class := range set.Classes() {
		e.start = append(e.start, n)
		n += set.Instances(class)
	}
	if width < 1 || len(values) != n*width {
		return nil, fmt.Errorf("dataset: %d values for the embeddings of %d images, each of %d values", len(values), n, width)
	}
	return e, nil
}

func (e *embedded) Classes() int                         { return e.set.Classes() }
func (e *embedded) Class(i int) string                   { return e.set.Class(i) }
func (e *embedded) Instances(class int) int              { return e.set.Instances(class) }
func (e *embedded) Shape() (channels, height, width int) { return 1, 1, e.width }
func (e *embedded) rotated() bool                        { return Rotated(e.set) }

// Image implements Set. An embedding has no rotations: any but 0 panics.
func (e *embedded) Image(dst []float32, class, instance, quarter int) {
	if quarter&3 != 0 || instance < 0 || instance >= e.set.Instances(class) {
		panic(fmt.Sprintf("dataset: embedding of image %d of class %d, rotated by %d quarters", instance, class, quarter))
	}
	row := e.start[class] + instance
	copy(dst[:e.width], e.values[row*e.width:])
}
