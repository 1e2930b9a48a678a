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
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/image/draw"
)

// The parts of Omniglot, and the side of its images in pixels.
const (
	background   = "images_background"
	evaluation   = "images_evaluation"
	omniglotSide = 105
)

// OmniglotOptions configures [LoadOmniglot]. The zero value works.
type OmniglotOptions struct {
	// Size is the side of the images in pixels, at most 105; default 28, which nearly every paper uses. MANN uses 20
	// and Koch's Siamese network 105.
	Size int
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
// scaled down with a triangle filter as wide as the reduction (what Pillow and torchvision call bilinear with
// antialiasing), then inverted so that ink is 1.
//
// Decoding takes seconds, so the result is cached in a file for the sources' paths, sizes and times. A damaged cache
// is rewritten. The error names the file at fault, and wraps ctx's error when ctx ends first.
func LoadOmniglot(ctx context.Context, root string, o OmniglotOptions) (*Omniglot, error) {
	if o.Size == 0 {
		o.Size = 28
	}
	if o.Size < 1 || o.Size > omniglotSide {
		return nil, fmt.Errorf("dataset: Omniglot at %d pixels: choose a size from 1 to %d", o.Size, omniglotSide)
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
		var err error
		if dir, err = CacheDir(); err != nil {
			o.NoCache = true
		}
	}
	var c *cacheFile
	if !o.NoCache {
		id := sha256.New()
		for _, s := range sources {
			if err := s.identity(ctx, id); err != nil {
				return nil, fmt.Errorf("dataset: reading %s: %w", s.path, err)
			}
		}
		full, err := filepath.Abs(root)
		if err != nil {
			return nil, fmt.Errorf("dataset: reading %s: %w", root, err)
		}
		// One file per root and size: new sources under the same path replace the old.
		name := fmt.Sprintf("omniglot-%d-%.8x.images", o.Size, sha256.Sum256([]byte(full)))
		c = &cacheFile{path: filepath.Join(dir, name), key: fmt.Sprintf("%x", id.Sum(nil))}
		if images, flags, err := c.read(); err == nil && images.height == o.Size {
			return &Omniglot{images, root, flags, true}, nil
		}
	}

	images, flags, err := decodeOmniglot(ctx, sources, o.Size)
	if err != nil {
		return nil, err
	}
	if c != nil {
		_ = c.write(images, flags) // without it only the next load is slow
	}
	return &Omniglot{images, root, flags, false}, nil
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

// Split returns a split by its name. The seed shuffles SplitLake, SplitLatin and SplitRandom; SplitVinyals is a list
// in splits/vinyals below the root.
func (o *Omniglot) Split(name string, seed uint64) (Split, error) {
	switch name {
	case SplitVinyals:
		return ReadVinyals(filepath.Join(o.root, "splits", "vinyals"))
	case SplitLake:
		return lakeSplit(o.Background(), o.Evaluation(), seed)
	case SplitLatin:
		return latinSplit(o.Background(), o.Evaluation(), seed)
	case SplitKoch:
		return kochSplit(o.Background(), o.Evaluation())
	case SplitRandom:
		return randomSplit(o.names, seed)
	}
	return Split{}, fmt.Errorf("dataset: unknown split %q of Omniglot: use one of %s", name, strings.Join(SplitNames(), ", "))
}

// decodeOmniglot reads all images of the sources. Characters are decoded in parallel, each into its own place, so the
// result is deterministic; so is the error, that of the first character with one.
func decodeOmniglot(ctx context.Context, sources []source, size int) (*Images, []bool, error) {
	type class struct {
		character
		background bool
	}
	var classes []class
	for _, s := range sources {
		chars, closer, err := s.open(ctx)
		if err != nil {
			return nil, nil, err
		}
		defer closer.Close()
		for _, c := range chars {
			classes = append(classes, class{c, s.part == background})
		}
	}
	slices.SortFunc(classes, func(a, b class) int { return strings.Compare(a.name, b.name) })

	names, counts, flags := make([]string, len(classes)), make([]int, len(classes)), make([]bool, len(classes))
	starts, total := make([]int, len(classes)), 0
	for i, c := range classes {
		if i > 0 && c.name == classes[i-1].name {
			return nil, nil, fmt.Errorf("dataset: character %s is in %s and in %s: remove one", c.name, sources[0].path, sources[1].path)
		}
		names[i], counts[i], flags[i], starts[i] = c.name, len(c.files), c.background, total
		total += len(c.files)
	}
	pixels := make([]byte, total*size*size)

	scaler := draw.BiLinear.NewScaler(size, size, omniglotSide, omniglotSide)
	errs := make([]error, len(classes))
	var next atomic.Int64
	var failed atomic.Bool
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), 16) {
		workers.Go(func() {
			scratch := image.NewRGBA(image.Rect(0, 0, size, size))
			for {
				i := int(next.Add(1)) - 1
				if i >= len(classes) || failed.Load() || ctx.Err() != nil {
					return
				}
				for k, f := range classes[i].files {
					at := (starts[i] + k) * size * size
					if err := f.decode(pixels[at:at+size*size], scaler, scratch); err != nil {
						errs[i] = err
						failed.Store(true)
						return
					}
				}
			}
		})
	}
	workers.Wait()
	if err := errors.Join(firstError(errs), ctx.Err()); err != nil {
		return nil, nil, fmt.Errorf("dataset: reading Omniglot: %w", err)
	}
	images, err := NewImages(names, counts, 1, size, size, pixels)
	return images, flags, err
}

func firstError(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
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
	if c.Width != omniglotSide || c.Height != omniglotSide {
		return fmt.Errorf("%s is %dx%d pixels, the images of Omniglot are %dx%d; fetch it again", f.at, c.Width, c.Height, omniglotSide, omniglotSide)
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
	if side := scratch.Bounds().Dx(); side == omniglotSide {
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

// noEOF rewords io.EOF.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("it is truncated")
	}
	return err
}
