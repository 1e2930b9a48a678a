package dataset

import (
	"fmt"
	"hash/maphash"
	"strings"
)

// Duplicates are images of a set that are equal, pixel by pixel, once they are read.
type Duplicates struct {
	// Same are the classes in which all images are equal. A query of theirs is in the support set, which makes it easy.
	Same []string
	// Repeated is the number of images of the other classes that are equal to an earlier one of their class.
	Repeated int
	// Shared is the number of images that are equal to one of another class, and In is a pair of such classes.
	Shared int
	In     [2]string
}

// Duplicates finds equal images.
func (f *Folder) Duplicates() Duplicates {
	var d Duplicates
	channels, height, width := f.Shape()
	image := make([]byte, channels*height*width)
	seed := maphash.MakeSeed()
	classes := map[uint64]int{} // the first class of an image
	for class := range f.Classes() {
		own := map[uint64]bool{}
		repeated := 0
		for instance := range f.Instances(class) {
			f.bytes(image, class, instance, 0)
			sum := maphash.Bytes(seed, image)
			if own[sum] {
				repeated++
				continue
			}
			own[sum] = true
			if other, known := classes[sum]; !known {
				classes[sum] = class
			} else {
				if d.Shared == 0 {
					d.In = [2]string{f.Class(other), f.Class(class)}
				}
				d.Shared++
			}
		}
		if repeated > 0 && len(own) == 1 {
			d.Same = append(d.Same, f.Class(class))
		} else {
			d.Repeated += repeated
		}
	}
	return d
}

// Notes says what of it the user should know, a line for each kind.
func (d Duplicates) Notes() (lines []string) {
	const most = 5
	if n := len(d.Same); n > 0 {
		names := strings.Join(d.Same[:min(n, most)], ", ")
		if n > most {
			names += ", ..."
		}
		lines = append(lines, fmt.Sprintf("in %s all images are the same once they are read (%s): support and query images are then equal, and accuracy says little", count(n, "class", "classes"), names))
	}
	if d.Repeated > 0 {
		lines = append(lines, fmt.Sprintf("%s equal to another of the same class: a query can be equal to a support image", count(d.Repeated, "image is", "images are")))
	}
	if d.Shared > 0 {
		lines = append(lines, fmt.Sprintf("%s equal to one of another class, as in %s and %s: these cannot be told apart", count(d.Shared, "image is", "images are"), d.In[0], d.In[1]))
	}
	return lines
}

func count(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}
