package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	_ "image/gif" // the image formats of a folder
	_ "image/jpeg"
	_ "image/png"
	"os"

	_ "golang.org/x/image/bmp"
	"golang.org/x/image/draw"
	_ "golang.org/x/image/tiff"
	_ "golang.org/x/image/webp"
)

// NameImages is the kind of a folder of images, which an experiment file gives by its root.
const NameImages = "images"

// Limits of an image file.
const (
	maxPictureBytes  = 64 << 20
	maxPictureSide   = 1 << 14
	maxPicturePixels = 100 << 20
	maxFolderBytes   = 4 << 30 // of all scaled images together
)

// Ink selects which colour of an image is 1 for a network.
type Ink string

// Kinds of ink.
const (
	InkDark  Ink = "dark"  // dark on light paper: black is 1, as in Omniglot; transparent pixels are paper
	InkLight Ink = "light" // light on dark paper, or a photograph: white is 1; transparent pixels are black
)

// Fit selects how an image becomes square.
type Fit string

// Ways of making an image square.
const (
	FitPad     Fit = "pad"     // add paper along the longer sides
	FitCrop    Fit = "crop"    // keep the centre
	FitStretch Fit = "stretch" // change the proportions
)

// ImageOptions configures the reading of image files. The zero value matches Omniglot's images: 28×28 pixels, one
// channel, dark ink, padded.
type ImageOptions struct {
	// Height and Width are the size in pixels; default 28.
	Height, Width int
	// Colour keeps three channels: red, green and blue. Otherwise an image has one, its luma.
	Colour bool
	Ink    Ink
	Fit    Fit
	// Resize is the side in pixels that an image is brought to before its middle, Height×Width, is cut out: the usual protocol for
	// test photographs. 0 brings it to Height×Width at once.
	Resize int
	// Filter brings the image to its size; default FilterBilinear.
	Filter Filter
}

func (o ImageOptions) filled() (ImageOptions, error) {
	if o.Height == 0 {
		o.Height = 28
	}
	if o.Width == 0 {
		o.Width = 28
	}
	if o.Ink == "" {
		o.Ink = InkDark
	}
	if o.Fit == "" {
		o.Fit = FitPad
	}
	var err error
	if o.Filter, err = o.Filter.check(); err != nil {
		return o, err
	}
	switch {
	case o.Height < 1 || o.Width < 1 || o.Height > maxPictureSide || o.Width > maxPictureSide:
		return o, fmt.Errorf("dataset: images at %d×%d pixels: choose sides from 1 to %d", o.Height, o.Width, maxPictureSide)
	case o.Resize != 0 && (o.Resize < max(o.Height, o.Width) || o.Resize > maxPictureSide):
		return o, fmt.Errorf("dataset: images resized to %d have no middle of %d×%d pixels: resize to at least that and at most %d", o.Resize, o.Height, o.Width, maxPictureSide)
	case o.Ink != InkDark && o.Ink != InkLight:
		return o, fmt.Errorf("dataset: unknown ink %q: use %s or %s", o.Ink, InkDark, InkLight)
	case o.Fit != FitPad && o.Fit != FitCrop && o.Fit != FitStretch:
		return o, fmt.Errorf("dataset: unknown fit %q: use %s, %s or %s", o.Fit, FitPad, FitCrop, FitStretch)
	}
	return o, nil
}

// Channels returns 3 for colour and 1 otherwise.
func (o ImageOptions) Channels() int {
	if o.Colour {
		return 3
	}
	return 1
}

// paper is the background colour.
func (o ImageOptions) paper() color.Color {
	if o.Ink == InkLight {
		return color.Black
	}
	return color.White
}

// ReadImage reads an image file like LoadFolder: [channels, height, width], ink 1. EXIF orientation is applied. Of an
// animated GIF the first frame is read.
func ReadImage(file string, o ImageOptions) ([]float32, error) {
	o, err := o.filled()
	if err != nil {
		return nil, err
	}
	pixels := make([]byte, o.Channels()*o.Height*o.Width)
	if err := decodeImage(pixels, file, o); err != nil {
		return nil, err
	}
	ink, out := inkTable(), make([]float32, len(pixels))
	for i, v := range pixels {
		out[i] = ink[v]
	}
	return out, nil
}

// decodeImage writes the bytes of an image file to dst, [channels, height, width].
func decodeImage(dst []byte, file string, o ImageOptions) error {
	if o.Resize > 0 {
		whole := o
		whole.Height, whole.Width, whole.Resize = o.Resize, o.Resize, 0
		pixels := make([]byte, o.Channels()*o.Resize*o.Resize)
		if err := decodeImage(pixels, file, whole); err != nil {
			return err
		}
		middle(dst, pixels, o.Channels(), o.Resize, o.Resize, o.Height, o.Width)
		return nil
	}
	img, err := openImage(file)
	if err != nil {
		return err
	}
	paper := image.NewUniform(o.paper())
	var flat draw.Image = image.NewRGBA(img.Bounds())
	if !o.Colour {
		flat = image.NewGray(img.Bounds())
	}
	draw.Draw(flat, flat.Bounds(), paper, image.Point{}, draw.Src)
	draw.Draw(flat, flat.Bounds(), img, img.Bounds().Min, draw.Over)

	out, same := flat.(*image.RGBA)
	if size := flat.Bounds().Size(); !same || size.X != o.Width || size.Y != o.Height { // else there is nothing to scale
		out = image.NewRGBA(image.Rect(0, 0, o.Width, o.Height))
		draw.Draw(out, out.Bounds(), paper, image.Point{}, draw.Src)
		from, into := o.place(flat.Bounds())
		o.Filter.scaler().Scale(out, into, flat, from, draw.Src, nil)
	}
	plane := o.Height * o.Width
	for c := range o.Channels() {
		to := dst[c*plane : (c+1)*plane]
		for i := range to {
			to[i] = out.Pix[4*i+c]
		}
	}
	if o.Ink == InkDark {
		for i, v := range dst {
			dst[i] = 255 - v
		}
	}
	return nil
}

// place returns the part of an image to scale and its position in the result.
func (o ImageOptions) place(of image.Rectangle) (from, into image.Rectangle) {
	from, into = of, image.Rect(0, 0, o.Width, o.Height)
	w, h := of.Dx(), of.Dy()
	switch wide := w*o.Height > h*o.Width; o.Fit {
	case FitPad:
		if wide {
			inner := max(1, (h*o.Width+w/2)/w)
			into.Min.Y = (o.Height - inner) / 2
			into.Max.Y = into.Min.Y + inner
		} else {
			inner := max(1, (w*o.Height+h/2)/h)
			into.Min.X = (o.Width - inner) / 2
			into.Max.X = into.Min.X + inner
		}
	case FitCrop:
		if wide {
			inner := max(1, (h*o.Width+o.Height/2)/o.Height)
			from.Min.X += (w - inner) / 2
			from.Max.X = from.Min.X + inner
		} else {
			inner := max(1, (w*o.Height+o.Width/2)/o.Width)
			from.Min.Y += (h - inner) / 2
			from.Max.Y = from.Min.Y + inner
		}
	}
	return from, into
}

func openImage(file string) (image.Image, error) {
	if info, err := os.Stat(file); err != nil {
		return nil, fmt.Errorf("dataset: %w", err)
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("dataset: %s is not a regular file", file)
	} else if info.Size() > maxPictureBytes {
		return nil, fmt.Errorf("dataset: %s has %d bytes, the limit is %d", file, info.Size(), maxPictureBytes)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("dataset: %w", err)
	}
	if len(b) == 0 {
		return nil, fmt.Errorf("dataset: %s is empty: fetch it again or remove it", file)
	}
	// Check the header first: the decoder allocates the size that it claims.
	c, _, err := image.DecodeConfig(bytes.NewReader(b))
	if err == nil && (c.Width < 1 || c.Height < 1 || c.Width > maxPictureSide || c.Height > maxPictureSide || c.Width*c.Height > maxPicturePixels) {
		return nil, fmt.Errorf("dataset: %s is %d×%d pixels: the limits are %d per side and %d in all", file, c.Width, c.Height, maxPictureSide, maxPicturePixels)
	}
	var img image.Image
	if err == nil {
		img, _, err = image.Decode(bytes.NewReader(b))
	}
	if errors.Is(err, image.ErrFormat) {
		return nil, fmt.Errorf("dataset: %s is not a %s image, despite its name: convert it or remove it", file, ImageFormats)
	}
	if err != nil {
		return nil, fmt.Errorf("dataset: %s is truncated or damaged: %w; save it again or remove it", file, noEOF(err))
	}
	if n := orientation(b); n != 1 {
		img = oriented{img, n}
	}
	return img, nil
}

// InkedEdges reports whether the edges of most images of a set are more ink than paper. The images are then probably
// drawn with the other kind of ink.
func InkedEdges(set Set) bool {
	channels, height, width := set.Shape()
	pixels := make([]float32, channels*height*width)
	inked, all := 0, 0
	for c := range set.Classes() {
		for i := range set.Instances(c) {
			set.Image(pixels, c, i, 0)
			all++
			var sum float32
			n := 0
			for k, v := range pixels {
				if y, x := k/width%height, k%width; y == 0 || x == 0 || y == height-1 || x == width-1 {
					sum, n = sum+v, n+1
				}
			}
			if 2*sum > float32(n) {
				inked++
			}
		}
	}
	return 2*inked > all
}
