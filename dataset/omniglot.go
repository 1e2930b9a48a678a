package dataset

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/image/draw"
)

// OmniglotSide is the side of Omniglot's images in pixels, as they are published.
const OmniglotSide = 105

// The parts of Omniglot.
const (
	background = "images_background"
	evaluation = "images_evaluation"
)

// OmniglotOptions configures [LoadOmniglot]. The zero value works.
type OmniglotOptions struct {
	// Size is the side of the images in pixels, at most 105; default 28, which nearly every paper uses. MANN uses 20
	// and Koch's Siamese network 105.
	Size int
	// Filter scales the images down; default FilterBilinear.
	Filter Filter
	// CacheDir is the folder of decoded images; default CacheDir(). If it is not writable, there is no cache.
	CacheDir string
	// NoCache always decodes and writes no cache.
	NoCache bool
}

// Omniglot is a Set of the characters of Lake et al. (2015): 1623 characters of 50 alphabets, 20 drawings each, one
// channel. Classes are sorted by name, ALPHABET/characterNN, and images of a class by file name, that is by drawer.
type Omniglot struct {
	*Images
	root       string
	background []bool // by class
	cached     bool
}

// LoadOmniglot reads images_background and images_evaluation, zipped or unpacked, in the folder root. Images are
// scaled down, then inverted so that ink is 1.
//
// Decoding takes seconds, so the result is cached in a file for the sources' paths, sizes and times. A damaged cache
// is rewritten. The error names the file at fault, and wraps ctx's error when ctx ends first.
func LoadOmniglot(ctx context.Context, root string, o OmniglotOptions) (*Omniglot, error) {
	if o.Size == 0 {
		o.Size = 28
	}
	if o.Size < 1 || o.Size > OmniglotSide {
		return nil, fmt.Errorf("dataset: Omniglot at %d pixels: choose a size from 1 to %d", o.Size, OmniglotSide)
	}
	filter, err := o.Filter.check()
	if err != nil {
		return nil, err
	}
	var sources []source
	for _, part := range []string{background, evaluation} {
		s, ok := findSource(root, part)
		if !ok {
			return nil, fmt.Errorf("dataset: %s has neither %s.zip nor a folder %s: run `engram data fetch omniglot`, or put one of them there", root, part, part)
		}
		sources = append(sources, s)
	}

	dir := o.CacheDir
	if dir == "" && !o.NoCache {
		dir, _ = CacheDir() // without one the images are decoded anew
	}
	id := sha256.New()
	for _, s := range sources {
		if err := s.identity(ctx, id); err != nil {
			return nil, fmt.Errorf("dataset: looking at %s: %w", s.path, err)
		}
	}
	full, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("dataset: looking at %s: %w", root, err)
	}
	how := fmt.Sprint(o.Size)
	if filter != FilterBilinear { // whose files have had this name before there were others
		how += "-" + string(filter)
	}
	e := &encoded{
		// One file per root, size and filter: new sources under the same path take the place of the old.
		file: fmt.Sprintf("omniglot-%s-%.8x.images", how, sha256.Sum256([]byte(full))),
		key:  fmt.Sprintf("%x", id.Sum(nil)), channels: 1, height: o.Size, width: o.Size,
		list: func(ctx context.Context, e *encoded) (closer, error) { return listOmniglot(ctx, sources, filter, e) },
	}
	images, storage, err := e.load(ctx, dir)
	if err != nil {
		return nil, err
	}
	return &Omniglot{images, root, e.background, storage.Cache != "" && !storage.Decoded}, nil
}

// Root returns the folder that the images were read from.
func (o *Omniglot) Root() string { return o.root }

// FromCache reports whether the images came from the cache.
func (o *Omniglot) FromCache() bool { return o.cached }

// Background lists the characters of images_background, Evaluation those of images_evaluation, both sorted.
func (o *Omniglot) Background() []string { return o.part(true) }

// Evaluation lists the characters of images_evaluation, sorted.
func (o *Omniglot) Evaluation() []string { return o.part(false) }

func (o *Omniglot) part(background bool) []string {
	var names []string
	for i, name := range o.names {
		if o.background[i] == background {
			names = append(names, name)
		}
	}
	return names
}

// Split returns a split by its name. The seed shuffles SplitLake, SplitLatin and SplitRandom; SplitVinyals and
// SplitTrainVal are lists in splits/vinyals below the root.
func (o *Omniglot) Split(name string, seed uint64) (Split, error) {
	switch name {
	case SplitVinyals:
		return ReadVinyals(filepath.Join(o.root, "splits", "vinyals"))
	case SplitTrainVal:
		s, err := ReadVinyals(filepath.Join(o.root, "splits", "vinyals"))
		return s.trainVal(), err
	case SplitLake:
		return lakeSplit(o.Background(), o.Evaluation(), seed)
	case SplitLatin:
		return latinSplit(o.Background(), o.Evaluation(), seed)
	case SplitKoch:
		return kochSplit(o.Background(), o.Evaluation())
	case SplitSmall1, SplitSmall2:
		return smallSplit(name, o.Background(), o.Evaluation())
	case SplitRandom:
		return randomSplit(o.names, seed)
	}
	return Split{}, fmt.Errorf("dataset: unknown split %q of Omniglot: use one of %s", name, strings.Join(SplitNames(), ", "))
}

// listOmniglot lists the characters of the sources and their images.
func listOmniglot(ctx context.Context, sources []source, filter Filter, e *encoded) (closer, error) {
	type class struct {
		character
		background bool
	}
	var classes []class
	var open closers
	for _, s := range sources {
		chars, closer, err := s.open(ctx)
		if err != nil {
			return nil, errors.Join(err, open.Close())
		}
		open = append(open, closer)
		for _, c := range chars {
			classes = append(classes, class{c, s.part == background})
		}
	}
	slices.SortFunc(classes, func(a, b class) int { return strings.Compare(a.name, b.name) })
	var files []imageFile
	for i, c := range classes {
		if i > 0 && c.name == classes[i-1].name {
			return nil, errors.Join(fmt.Errorf("dataset: character %s is in %s and in %s: remove one", c.name, sources[0].path, sources[1].path), open.Close())
		}
		e.names, e.counts, e.background = append(e.names, c.name), append(e.counts, len(c.files)), append(e.background, c.background)
		files = append(files, c.files...)
	}
	size := e.height
	scaler := filter.drawings(size)
	e.decoder = func() func(int, []byte) error {
		scratch := image.NewRGBA(image.Rect(0, 0, size, size))
		return func(i int, dst []byte) error {
			if err := files[i].decode(dst, scaler, scratch); err != nil {
				return fmt.Errorf("dataset: reading Omniglot: %w", err)
			}
			return nil
		}
	}
	return open, nil
}

// closers are closed together.
type closers []io.Closer

// Close implements [io.Closer].
func (c closers) Close() error {
	var errs []error
	for _, one := range c {
		errs = append(errs, one.Close())
	}
	return errors.Join(errs...)
}

// decode reads an image into dst, [size, size], scaled down and inverted.
func (f imageFile) decode(dst []byte, scaler draw.Scaler, scratch *image.RGBA) error {
	b, err := f.read()
	if err != nil {
		return fmt.Errorf("%s: %w; fetch it again", f.at, err)
	}
	// Check the header first: the decoder allocates the size that it claims.
	c, err := png.DecodeConfig(bytes.NewReader(b))
	if err != nil {
		return fmt.Errorf("%s is not a valid PNG image: %w; fetch it again", f.at, noEOF(err))
	}
	if c.Width != OmniglotSide || c.Height != OmniglotSide {
		return fmt.Errorf("%s is %dx%d pixels, the images of Omniglot are %dx%d; fetch it again", f.at, c.Width, c.Height, OmniglotSide, OmniglotSide)
	}
	img, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		return fmt.Errorf("%s is not a valid PNG image: %w; fetch it again", f.at, noEOF(err))
	}
	gray, ok := img.(*image.Gray)
	if !ok {
		gray = image.NewGray(img.Bounds())
		draw.Draw(gray, gray.Bounds(), image.NewUniform(color.White), image.Point{}, draw.Src)
		draw.Draw(gray, gray.Bounds(), img, img.Bounds().Min, draw.Over)
	}
	if side := scratch.Bounds().Dx(); side == OmniglotSide {
		for y := range side {
			for x, v := range gray.Pix[y*gray.Stride : y*gray.Stride+side] {
				dst[y*side+x] = 255 - v
			}
		}
		return nil
	}
	scaler.Scale(scratch, scratch.Bounds(), gray, gray.Bounds(), draw.Src, nil)
	for i := range dst {
		dst[i] = 255 - scratch.Pix[4*i]
	}
	return nil
}

// drawings returns what scales Omniglot's images to a side. It is safe for concurrent use.
func (f Filter) drawings(size int) draw.Scaler {
	if f == FilterBilinear {
		return draw.BiLinear.NewScaler(size, size, OmniglotSide, OmniglotSide) // which computes the weights once
	}
	return f.scaler()
}

// noEOF rewords io.EOF.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("it is truncated")
	}
	return err
}
