package dataset

import "fmt"

// Limits of the sample, and thresholds for a colour photograph.
const (
	sampledFiles   = 8
	sampledSide    = 64 // points along either side of an image
	leastColoured  = .05
	leastColours   = 48 // of the 4096 with 4 bits per channel
	leastDifferent = 24 // between the largest and the smallest channel of a coloured pixel, of 255
)

// LooksLikePhotographs reports whether most images of a folder look like colour photographs; read as grey with dark
// ink, these become negatives without colour. It decodes up to 8 files, evenly spaced, and samples up to 64×64 pixels
// of each: in a colour photograph at least 5 % of them are coloured and there are at least 48 different colours of 4
// bits per channel, unlike in drawings in grey or a few colours. The error names a file that cannot be read.
func (f *Folder) LooksLikePhotographs() (bool, error) {
	n := min(sampledFiles, len(f.Files))
	photographs := 0
	for i := range n {
		yes, err := looksLikePhotograph(f.Files[i*len(f.Files)/n])
		if err != nil {
			return false, fmt.Errorf("looking for colour: %w", err)
		}
		if yes {
			photographs++
		}
	}
	return 2*photographs > n, nil
}

func looksLikePhotograph(file string) (bool, error) {
	img, err := openImage(file)
	if err != nil {
		return false, err
	}
	bounds := img.Bounds()
	across, down := min(sampledSide, bounds.Dx()), min(sampledSide, bounds.Dy())
	coloured, colours := 0, map[[3]uint32]bool{}
	for y := range down {
		for x := range across {
			r, g, b, _ := img.At(bounds.Min.X+x*bounds.Dx()/across, bounds.Min.Y+y*bounds.Dy()/down).RGBA()
			colours[[3]uint32{r >> 12, g >> 12, b >> 12}] = true
			if max(r, g, b)>>8-min(r, g, b)>>8 >= leastDifferent {
				coloured++
			}
		}
	}
	return float64(coloured) >= leastColoured*float64(across*down) && len(colours) >= leastColours, nil
}
