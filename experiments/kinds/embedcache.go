package kinds

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/dataset/cachefile"
	"github.com/engram-go/engram/episode"
	"github.com/engram-go/engram/experiments/measure"
	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/tensor"
)

// embeddingsMagic begins a file of embeddings and names its version.
const embeddingsMagic = "engram embeddings 1\n"

// EmbeddingsFolder is the folder of embeddings in the cache folder, and EmbeddingsEnding that of their files.
const (
	EmbeddingsFolder = "embeddings"
	EmbeddingsEnding = ".embeddings"
)

// EmbeddingsLimit is the variable with the most bytes of all cached embeddings, such as 50GB; 0 turns their cache off.
const EmbeddingsLimit = "ENGRAM_EMBEDDINGS_LIMIT"

// usualEmbeddingsLimit is the most bytes of all cached embeddings where the variable is not set.
const usualEmbeddingsLimit = 20e9

// embeddingsHeader describes the embeddings in a file. They are used only if all fields are equal.
type embeddingsHeader struct {
	Weights   string // SHA-256 of the encoder's parameters, with their names
	Encoder   string // its settings
	Images    string // SHA-256 of the values of the images, class by class
	Shape     []int  // of an image
	Quarters  int    // rotations of each image
	Normalize string // of the values of the images
	Program   string // SHA-256 of the program, with the version of LibTorch
	Machine   string // processor, device, threads
	Batch     int    // images per evaluation of the encoder
	Count     int    // of images, with their rotations
	Width     int    // of an embedding
}

// key is the name of the file. It leaves out the width, which follows from the other fields and is unknown until an image has been
// embedded.
func (h embeddingsHeader) key() string {
	h.Width = 0
	sum := sha256.Sum256(fmt.Appendf(nil, "%#v", h))
	return hex.EncodeToString(sum[:16])
}

// cachedEmbeddings is a file of embeddings.
type cachedEmbeddings struct {
	cachefile.File
	header embeddingsHeader
	limit  int64
}

// leastKept is the smallest number of pixels in a set whose embeddings are cached: 21 images of 224×224, or 1,024 of 32×32. For
// smaller sets computing takes about as long as looking up.
const leastKept = 1 << 20

// keeps reports whether the embeddings of the set are worth caching. They are not if the embeddings are the images themselves.
func (e *embedding) keeps(quarters int) bool {
	if e.work.data.Text { // encoders without weights of their own are as quick as the cache
		return e.work.planned.Encoder.Tokenizer != nil && imagesOf(e.set, quarters)*TextPixels >= leastKept
	}
	_, height, width := e.set.Shape()
	return !e.work.planned.Encoder.Identity && imagesOf(e.set, quarters)*height*width >= leastKept
}

// kept returns the embeddings of all images of the set from the cache, computing and storing them first if necessary. It returns nil
// if they are not cached.
func (e *embedding) kept(ctx context.Context, quarters int, p measure.Progress) (*table, error) {
	if !e.keeps(quarters) {
		return nil, nil
	}
	c, err := e.cached(quarters)
	if c == nil || err != nil {
		return nil, err
	}
	return c.load(ctx, e, e.items(quarters, 0), p)
}

// cached returns where the embeddings of the set are kept; nil where there is no cache.
func (e *embedding) cached(quarters int) (*cachedEmbeddings, error) {
	limit, err := embeddingsLimit()
	if err != nil || limit == 0 {
		return nil, err
	}
	dir, err := cachefile.Dir()
	if err != nil {
		return nil, nil //nolint:nilerr // without a folder there is no cache
	}
	program, err := e.work.programChecksum()
	if err != nil {
		return nil, nil //nolint:nilerr // a program that cannot be read has no name
	}
	channels, height, width := e.set.Shape()
	threads := 0
	_ = tensor.Do(func() error { threads = tensor.Threads(); return nil })
	h := embeddingsHeader{
		Images: checksumOfImages(e.set), Shape: []int{channels, height, width}, Quarters: quarters, Count: imagesOf(e.set, quarters),
		Program: program + ", LibTorch " + tensor.Version(), Batch: e.batch,
		Machine: fmt.Sprintf("%s, %s, %d threads", tensor.Processor(), e.on, threads),
	}
	if n := dataset.NormalizationOf(e.set); n != nil {
		h.Normalize = fmt.Sprint(n.Mean, n.Std)
	}
	if h.Encoder, err = e.work.encoderSettings(); err != nil {
		return nil, err
	}
	if h.Weights, err = e.work.encoderChecksum(); err != nil {
		return nil, err
	}
	file := cachefile.File{Path: filepath.Join(dir, EmbeddingsFolder, h.key()+EmbeddingsEnding), Magic: embeddingsMagic}
	return &cachedEmbeddings{file, h, limit}, nil
}

// embeddingsLimit reads the variable.
func embeddingsLimit() (int64, error) {
	text := os.Getenv(EmbeddingsLimit)
	if text == "" {
		return usualEmbeddingsLimit, nil
	}
	number, unit := strings.TrimRight(text, "GMKBgmkb "), 1.
	if rest := strings.ToUpper(strings.TrimSpace(text[len(number):])); rest != "" {
		of, ok := map[string]float64{"B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9}[rest]
		if !ok {
			return 0, fmt.Errorf("%s=%s: want a size such as 50GB, or 0", EmbeddingsLimit, text)
		}
		unit = of
	}
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || !(v >= 0) || v*unit > 1e18 {
		return 0, fmt.Errorf("%s=%s: want a size such as 50GB, or 0", EmbeddingsLimit, text)
	}
	return int64(v * unit), nil
}

// load maps the file of embeddings into memory, computing it first if it does not exist. It returns nil if it cannot be stored.
func (c cachedEmbeddings) load(ctx context.Context, e *embedding, items []episode.Item, p measure.Progress) (t *table, err error) {
	note := func(format string, args ...any) {
		if p != nil {
			p.Note(fmt.Sprintf(format, args...))
		}
	}
	start := time.Now()
	var bytes int64
	made, err := c.Load(ctx, func() error {
		var h embeddingsHeader
		data, err := c.Open(&h, func() error {
			if c.header.Width = h.Width; h.key() != c.header.key() || h.Width < 1 {
				return errors.New("it holds other embeddings")
			}
			return nil
		})
		if err != nil {
			return err
		}
		if bytes = int64(len(data)); bytes != 4*int64(h.Width)*int64(len(items)) {
			cachefile.Unmap(data)
			return errors.New("it is cut off")
		}
		t = e.newTable(c.header.Quarters, h.Width, cachefile.Floats(data))
		return nil
	}, func() error {
		return c.compute(ctx, e, items, p)
	}, func(err error) {
		note("the cached embeddings in %s cannot be used and are computed again: %v", c.Path, err)
	})
	switch {
	case errors.Is(err, cachefile.ErrUnavailable) && ctx.Err() == nil:
		note("the embeddings of %d %s are not kept: %v", len(items), e.things(), err)
		return nil, nil
	case err != nil:
		return nil, err
	case made:
		note("embeddings of %d %s, %s, computed in %s and kept in %s", len(items), e.things(), sizeText(bytes), rounded(time.Since(start)), c.Path)
		for _, file := range c.evict() {
			note("removed %s: all cached embeddings may take %s (%s)", file, sizeText(c.limit), EmbeddingsLimit)
		}
	default:
		note("embeddings of %d %s, %s, mapped from %s", len(items), e.things(), sizeText(bytes), c.Path)
		now := time.Now()
		_ = os.Chtimes(c.Path, now, now) // the least recently used are removed first
	}
	return t, nil
}

func sizeText(bytes int64) string {
	if bytes < 1e9 {
		return fmt.Sprintf("%.1f MB", float64(bytes)/1e6)
	}
	return fmt.Sprintf("%.1f GB", float64(bytes)/1e9)
}

func rounded(d time.Duration) time.Duration {
	if d > 10*time.Second {
		return d.Round(time.Second)
	}
	return d.Round(time.Millisecond)
}

// compute writes the embeddings to the file.
func (c cachedEmbeddings) compute(ctx context.Context, e *embedding, items []episode.Item, p measure.Progress) error {
	width, err := e.width(ctx)
	if err != nil {
		return err
	}
	bytes := 4 * int64(width) * int64(len(items))
	if bytes > c.limit {
		return fmt.Errorf("%w: they take %s, and all cached embeddings may take %s (%s)", cachefile.ErrUnavailable, sizeText(bytes), sizeText(c.limit), EmbeddingsLimit)
	}
	h := c.header
	h.Width = width
	announce(p, len(items))
	return c.Write(h, bytes, func(to *cachefile.Writer) error {
		at := int64(0)
		return e.each(ctx, items, p, func(rows []float32, _ int) error {
			n, err := to.WriteAt(cachefile.FloatBytes(rows), at)
			at += int64(n)
			return err
		})
	})
}

// evict removes the least recently used files until the rest are within the limit, and the temporary files of writers that were
// killed. It returns the files of embeddings that it removed. A process that has one of them mapped can go on using it.
func (c cachedEmbeddings) evict() (removed []string) {
	files, _ := os.ReadDir(filepath.Dir(c.Path))
	type file struct {
		path string
		used time.Time
		size int64
	}
	var all []file
	var sum int64
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			continue
		}
		path := filepath.Join(filepath.Dir(c.Path), f.Name())
		if cachefile.Unfinished(f.Name()) {
			if time.Since(info.ModTime()) > 24*time.Hour {
				_ = os.Remove(path)
			}
			continue
		}
		if sum += info.Size(); path != c.Path {
			all = append(all, file{path, info.ModTime(), info.Size()})
		}
	}
	slices.SortFunc(all, func(a, b file) int { return cmp.Or(a.used.Compare(b.used), cmp.Compare(a.path, b.path)) })
	for _, f := range all {
		if sum <= c.limit {
			break
		}
		if os.Remove(f.path) == nil {
			removed, sum = append(removed, f.path), sum-f.size
		}
	}
	return removed
}

// encoderPrefix begins the names of an encoder's parameters.
const encoderPrefix = "encoder."

// encoderChecksum is the SHA-256 of the encoder's parameters and buffers, with their names.
func (w *fewShot) encoderChecksum() (string, error) {
	sum := sha256.New()
	err := tensor.Do(func() error {
		for _, p := range w.params.All() {
			if v := p.Value(); strings.HasPrefix(p.Name, encoderPrefix) {
				fmt.Fprintf(sum, "%s %v %v\n", p.Name, v.Shape(), v.DType())
				sum.Write(v.On(tensor.CPU).Contiguous().Bytes())
			}
		}
		return nil
	})
	return hex.EncodeToString(sum.Sum(nil)), err
}

// encoderSettings returns the settings of the network's encoder as YAML, or those of the whole network if it has no key encoder. Keys
// that name files are left out, because the contents of the files are compared.
func (w *fewShot) encoderSettings() (string, error) {
	text, err := schema.Encode(struct {
		Network schema.Section `yaml:"network" family:"few-shot network"`
	}{w.file.Network})
	if err != nil {
		return "", err
	}
	var file struct{ Network map[string]any }
	if err := yaml.Unmarshal(text, &file); err != nil {
		return "", err
	}
	var settings any = file.Network
	if of, ok := file.Network["encoder"]; ok {
		settings = of
	}
	if keys, ok := settings.(map[string]any); ok {
		if _, module := keys["path"]; !module { // a module is more than its parameters
			delete(keys, "sha256")
		}
		for _, name := range []string{"from", "weights", "path", "freeze"} {
			delete(keys, name)
		}
	}
	text, err = yaml.Marshal(settings)
	return string(text), err
}

// checksumOfImages is the SHA-256 of the values of a set's images, with the number of each class.
func checksumOfImages(set dataset.Set) string {
	channels, height, width := set.Shape()
	size := channels * height * width
	read := dataset.Bytes(set)
	classes := make([][]byte, set.Classes())
	var next atomic.Int64
	var working sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), 16) {
		working.Go(func() {
			var image []byte
			var values []float32
			for c := int(next.Add(1)) - 1; c < len(classes); c = int(next.Add(1)) - 1 {
				sum := sha256.New()
				for i := range set.Instances(c) {
					if read != nil {
						image = slices.Grow(image[:0], size)[:size]
						read(image, c, i, 0)
					} else {
						values = slices.Grow(values[:0], size)[:size]
						set.Image(values, c, i, 0)
						image = append(image[:0], cachefile.FloatBytes(values)...)
					}
					sum.Write(image)
				}
				classes[c] = sum.Sum(nil)
			}
		})
	}
	working.Wait()
	all := sha256.New()
	for c, sum := range classes {
		all.Write(binary.LittleEndian.AppendUint64(nil, uint64(set.Instances(c))))
		all.Write(sum)
	}
	return hex.EncodeToString(all.Sum(nil))
}

// programChecksum is the SHA-256 of the running program. It changes with any change of an encoder's code.
func (w *fewShot) programChecksum() (string, error) {
	w.program.Do(func() {
		var path string
		if path, w.programErr = os.Executable(); w.programErr != nil {
			return
		}
		var f *os.File
		if f, w.programErr = os.Open(path); w.programErr != nil {
			return
		}
		defer f.Close()
		sum := sha256.New()
		if _, w.programErr = io.Copy(sum, f); w.programErr == nil {
			w.programSum = hex.EncodeToString(sum.Sum(nil))
		}
	})
	return w.programSum, w.programErr
}

// DescribeEmbeddings describes a file of embeddings in a few words.
func DescribeEmbeddings(path string) (string, error) {
	var h embeddingsHeader
	if err := (cachefile.File{Path: path, Magic: embeddingsMagic}).Header(&h); err != nil {
		return "", err
	}
	var encoder struct{ Kind string }
	if yaml.Unmarshal([]byte(h.Encoder), &encoder) != nil || encoder.Kind == "" {
		encoder.Kind = strings.TrimSpace(h.Encoder) // an encoder without keys is its name
	}
	if len(h.Shape) != 3 || len(h.Weights) < 8 {
		return "", errors.New("it is damaged")
	}
	if h.Shape[1] == 1 && h.Shape[0] == 1 { // rows of tokens
		return fmt.Sprintf("%d embeddings of %d values by %s (weights %.8s) of texts of up to %d tokens", h.Count, h.Width, encoder.Kind, h.Weights, h.Shape[2]), nil
	}
	return fmt.Sprintf("%d embeddings of %d values by %s (weights %.8s) of images of %d×%d", h.Count, h.Width, encoder.Kind, h.Weights, h.Shape[1], h.Shape[2]), nil
}
