package dataset

// Bytes returns a function that writes an image of a set into dst like Set.Image, but as bytes: v for the value
// v/255. It returns nil if the set does not hold bytes, such as a set of another package or one derived from it.
//
// The check is by type, because a type that embeds a set of this package may have its own Image.
func Bytes(set Set) func(dst []byte, class, instance, quarter int) {
	switch s := set.(type) {
	case *Images:
		return s.bytes
	case *Omniglot:
		return s.bytes
	case *Folder:
		return s.bytes
	case *Photographs:
		return s.bytes
	case *Strokes:
		return s.bytes
	case *Textures:
		return s.bytes
	case *prepared:
		return s.bytes()
	case part:
		if bytes := Bytes(s.whole()); bytes != nil {
			return func(dst []byte, class, instance, quarter int) {
				class, instance, quarter = s.in(class, instance, quarter)
				bytes(dst, class, instance, quarter)
			}
		}
	}
	return nil
}

// part is a set whose images are those of another set.
type part interface {
	Set
	whole() Set
	// in returns the position of an image in the whole set.
	in(class, instance, quarter int) (int, int, int)
}

// expand writes the bytes of an image as values, rotated counter-clockwise by quarter times 90 degrees.
func expand(dst []float32, src []byte, ink *[256]float32, channels, height, width, quarter int) {
	dst = dst[:len(src)]
	if quarter&3 == 0 {
		for len(src) >= 8 && len(dst) >= 8 { // eight at a time without bounds checks: three times as fast
			from, to := (*[8]byte)(src), (*[8]float32)(dst)
			to[0], to[1], to[2], to[3] = ink[from[0]], ink[from[1]], ink[from[2]], ink[from[3]]
			to[4], to[5], to[6], to[7] = ink[from[4]], ink[from[5]], ink[from[6]], ink[from[7]]
			src, dst = src[8:], dst[8:]
		}
		for i, v := range src {
			dst[i] = ink[v]
		}
		return
	}
	rows(channels, height, width, quarter, func(at, from, step int) {
		row := dst[at : at+width]
		for x := range row {
			row[x] = ink[src[from]]
			from += step
		}
	})
}

// rotate writes the bytes of an image, rotated counter-clockwise by quarter times 90 degrees.
func rotate(dst, src []byte, channels, height, width, quarter int) {
	dst = dst[:len(src)]
	if quarter&3 == 0 {
		copy(dst, src)
		return
	}
	rows(channels, height, width, quarter, func(at, from, step int) {
		row := dst[at : at+width]
		for x := range row {
			row[x] = src[from]
			from += step
		}
	})
}

// rows calls f for each row of an image rotated counter-clockwise by quarter times 90 degrees: the row begins at at,
// and its values are those at from, from+step, … of the original image.
func rows(channels, height, width, quarter int, f func(at, from, step int)) {
	first, down, right := 0, width, 1 // source of the rotated image's first value, and of a step down and right
	switch quarter & 3 {
	case 1:
		first, down, right = width-1, -1, width
	case 2:
		first, down, right = height*width-1, -width, -1
	case 3:
		first, down, right = (height-1)*width, 1, -width
	}
	plane := height * width
	for c := range channels {
		for y := range height {
			f(c*plane+y*width, c*plane+first+y*down, right)
		}
	}
}

// File is the path of the file that an image of a set was read from; empty where the set is of no single files, as drawn characters
// and archives are.
func File(set Set, class, instance int) string {
	switch s := set.(type) {
	case *Folder:
		return s.Files[s.start[class]+instance]
	case *prepared:
		return File(s.set, class, instance)
	case part:
		class, instance, _ = s.in(class, instance, 0)
		return File(s.whole(), class, instance)
	}
	return ""
}
