// Package weights imports a network's parameters from other programs and exports them. It reads files of PyTorch's
// torch.save and of safetensors, maps their tensors to parameters, and writes safetensors under the names of other
// programs.
//
// A pickle, which torch.save writes, is a program. It is read as data: no code named in the file is run, anything
// other than a tensor is skipped, and claimed sizes are checked against the size of the file before memory is
// allocated.
package weights

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/nlpodyssey/safetensors"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// File is a file of named tensors.
type File struct {
	// Tensors are in the order of the file. Those of safetensors, which has no order, are in natural order of their
	// names.
	Tensors []*Tensor
	// Notes describe what was skipped, one line each.
	Notes []string
	// Sources are the files that it was read from; set by [Open] and [OpenAll].
	Sources []Source
}

// Tensor is a tensor of a [File].
type Tensor struct {
	Name    string
	Shape   []int64
	part    string   // of the network, that the file was given for; "" for any
	also    []string // other names of the same elements in the file
	storage *storage
	offset  int64   // in the storage, in elements
	strides []int64 // in elements
}

// storage is an array of elements that tensors are views of.
type storage struct {
	dtype dtype
	numel int64
	data  []byte // numel elements, little-endian
}

// Open reads a file of torch.save, in the zip format, the one before PyTorch 1.6 or the one before 0.2, written by Python 2 or 3;
// or of safetensors.
func Open(path string) (*File, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("weights: no file %s: %w", path, err)
	}
	if err != nil {
		return nil, fmt.Errorf("weights: %w", err)
	}
	f, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("weights: %s %w", path, err)
	}
	f.Sources = []Source{{File: filepath.Base(path), SHA256: fmt.Sprintf("%x", sha256.Sum256(data))}}
	return f, nil
}

// partName is what a part of a network can be called: what the names of its parameters begin with.
var partName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]*$`)

// OpenAll opens the files of a network whose parts lie in several files, as encoder and relation module do. Each is given as
// PART=PATH, where the names of the part's parameters begin with PART and a dot, or as PATH alone. The names of a file's tensors
// get PART, or where there are several files the name of the file without its extension, and a dot before them. Only parameters
// of its part take tensors of a file that is given with one. A single PATH is opened as [Open] does.
func OpenAll(files ...string) (*File, error) {
	if len(files) == 0 {
		return nil, errors.New("weights: no file is given")
	}
	out := &File{}
	prefixes := map[string]string{}
	for _, given := range files {
		part, path := "", given
		if before, after, ok := strings.Cut(given, "="); ok && partName.MatchString(before) {
			if _, err := os.Stat(given); err != nil { // which could be a file of that name
				part, path = before, after
			}
		}
		f, err := Open(path)
		if err != nil {
			return nil, err
		}
		if part == "" && len(files) == 1 {
			return f, nil
		}
		prefix := part
		if prefix == "" {
			base := filepath.Base(path)
			prefix = strings.TrimSuffix(base, filepath.Ext(base))
		}
		if other := prefixes[prefix]; other != "" {
			return nil, fmt.Errorf("weights: the tensors of %s and %s would have the same names; say of which part of the network each is: PART=%s", other, path, path)
		}
		prefixes[prefix] = path
		for _, t := range f.Tensors {
			t.Name, t.part = prefix+"."+t.Name, part
			for i := range t.also {
				t.also[i] = prefix + "." + t.also[i]
			}
		}
		for _, note := range f.Notes {
			out.Notes = append(out.Notes, filepath.Base(path)+": "+note)
		}
		f.Sources[0].Part = part
		out.Tensors, out.Sources = append(out.Tensors, f.Tensors...), append(out.Sources, f.Sources...)
	}
	return out, nil
}

// Parse is [Open] for the content of a file. It retains data. Its error continues a sentence that starts with the
// file's name.
func Parse(data []byte) (*File, error) {
	var f *File
	var err error
	switch {
	case bytes.HasPrefix(data, []byte("PK\x03\x04")):
		f, err = parseZip(data)
	case legacyHead(data) > 0:
		f, err = parseLegacy(data)
	case isTar(data):
		f, err = parseTar(data)
	case len(data) > 8 && data[8] == '{':
		f, err = parseSafetensors(data)
	default:
		return nil, errors.New(`is neither a file of torch.save nor of safetensors; in Python: torch.save(model.state_dict(), "weights.pt")`)
	}
	if err == nil {
		err = f.tidy()
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

func parseSafetensors(data []byte) (*File, error) {
	file, err := safetensors.Deserialize(data)
	if err != nil {
		return nil, fmt.Errorf("is not a whole safetensors file: %w", err)
	}
	f := &File{}
	for _, v := range file.Tensors() {
		d, ok := dtypes[strings.ToLower(v.TensorView.DType().String())]
		if !ok {
			return nil, fmt.Errorf("holds %q as %v, an unsupported type", v.Name, v.TensorView.DType())
		}
		var shape []int64
		for _, n := range v.TensorView.Shape() {
			shape = append(shape, int64(n))
		}
		s := &storage{d, int64(len(v.TensorView.Data()) / d.size), v.TensorView.Data()}
		t, err := s.view(0, shape, contiguous(shape))
		if err != nil {
			return nil, fmt.Errorf("is damaged: %q: %w", v.Name, err)
		}
		t.Name = v.Name
		f.Tensors = append(f.Tensors, t)
	}
	slices.SortFunc(f.Tensors, func(a, b *Tensor) int { return natural(a.Name, b.Name) })
	return f, nil
}

// tidy removes tensors that belong to no network and a prefix common to all names.
func (f *File) tidy() error {
	counters := 0
	f.Tensors = slices.DeleteFunc(f.Tensors, func(t *Tensor) bool {
		counter := leaf(t.Name) == "num_batches_tracked"
		if counter {
			counters++
		}
		return counter
	})
	if counters > 0 {
		f.Notes = append(f.Notes, fmt.Sprintf("num_batches_tracked of %d layers skipped: a counter that does not affect results", counters))
	}
	f.dropRecords()
	if len(f.Tensors) == 0 {
		return errors.New("holds no tensors" + strings.Join(append([]string{""}, f.Notes...), "; "))
	}
	const parallel = "module." // torch.nn.DataParallel's prefix of every name
	if !slices.ContainsFunc(f.Tensors, func(t *Tensor) bool { return !strings.HasPrefix(t.Name, parallel) }) {
		for _, t := range f.Tensors {
			t.Name = strings.TrimPrefix(t.Name, parallel)
		}
		f.Notes = append(f.Notes, "DataParallel's prefix module. removed from the names")
	}
	f.joinAliases()
	seen := map[string]bool{}
	for _, t := range f.Tensors {
		if t.Name == "" || strings.ContainsFunc(t.Name, func(r rune) bool { return !unicode.IsPrint(r) }) {
			return fmt.Errorf("holds a tensor whose name %q is not printable", t.Name)
		}
		if seen[t.Name] {
			return fmt.Errorf("holds two tensors called %s", t.Name)
		}
		seen[t.Name] = true
	}
	return nil
}

// recordName matches names that training scripts use for tensors other than parameters.
var recordName = regexp.MustCompile(`(?i)(^|_)(best|loss|acc\d*|prec\d*|top\d|epochs?|steps?|iter|iters|iterations?|lr|rng|averaged|seed)(_|$)`)

// dropRecords removes what a training script stored next to the parameters: top-level tensors of other than floating
// point, where parameters belong to layers, and single values named like a record, such as best_acc1.
func (f *File) dropRecords() {
	nested := slices.ContainsFunc(f.Tensors, func(t *Tensor) bool { return strings.Contains(t.Name, ".") })
	f.Tensors = slices.DeleteFunc(f.Tensors, func(t *Tensor) bool {
		record := !strings.Contains(t.Name, ".") &&
			(nested && t.storage.dtype.float == nil || t.numel() <= 1 && recordName.MatchString(t.Name))
		if record {
			f.Notes = append(f.Notes, fmt.Sprintf("%q skipped: a tensor of %s %v beside the parameters", t.Name, t.DType(), t.Shape))
		}
		return record
	})
}

// joinAliases merges tensors that are the same elements of the file under several names, as of a module that is
// registered twice.
func (f *File) joinAliases() {
	type place struct {
		first         *byte
		dtype         string
		offset        int64
		shape, stride string
	}
	kept := map[place]*Tensor{}
	joined := 0
	f.Tensors = slices.DeleteFunc(f.Tensors, func(t *Tensor) bool {
		if t.numel() == 0 || len(t.storage.data) == 0 {
			return false
		}
		at := place{&t.storage.data[0], t.DType(), t.offset, fmt.Sprint(t.Shape), fmt.Sprint(t.strides)}
		first := kept[at]
		if first == nil || slices.Contains(first.names(), t.Name) { // duplicate names are refused
			kept[at] = t
			return false
		}
		first.also = append(first.also, t.Name)
		joined++
		return true
	})
	if joined > 0 {
		f.Notes = append(f.Notes, fmt.Sprintf("%d names are second names of tensors in the file; either name works", joined))
	}
}

// names returns all names of a tensor in the file.
func (t *Tensor) names() []string { return append([]string{t.Name}, t.also...) }

// find returns the tensor with a name, or nil.
func (f *File) find(name string) *Tensor {
	for _, t := range f.Tensors {
		if t.Name == name || slices.Contains(t.also, name) {
			return t
		}
	}
	return nil
}

// maxRank limits the dimensions of a tensor.
const maxRank = 16

// view returns a tensor of a storage, or an error if the shape does not fit.
func (s *storage) view(offset int64, shape, strides []int64) (*Tensor, error) {
	if len(shape) != len(strides) || len(shape) > maxRank {
		return nil, fmt.Errorf("a tensor of %d dimensions has %d strides", len(shape), len(strides))
	}
	last, left, empty := offset, s.numel, false
	outside := func() (*Tensor, error) {
		return nil, fmt.Errorf("a tensor of shape %v, strides %v and offset %d lies outside its storage of %d elements", shape, strides, offset, s.numel)
	}
	if offset < 0 || offset > s.numel {
		return outside()
	}
	for i, n := range shape {
		if n < 0 || strides[i] < 0 {
			return outside()
		}
		empty = empty || n == 0
	}
	for i, n := range shape {
		if empty || n == 1 {
			continue
		}
		// Division, because the product of two large numbers may overflow.
		if strides[i] > (s.numel-1-last)/(n-1) {
			return outside()
		}
		last += (n - 1) * strides[i]
		if left /= n; left == 0 { // more elements than the storage has: elements repeat
			return nil, fmt.Errorf("a tensor of shape %v and strides %v repeats its storage of %d elements; save a copy of it: tensor.clone()", shape, strides, s.numel)
		}
	}
	if !empty && last >= s.numel {
		return outside()
	}
	return &Tensor{Shape: shape, storage: s, offset: offset, strides: strides}, nil
}

// contiguous returns the strides of a tensor in row-major order.
func contiguous(shape []int64) []int64 {
	strides := make([]int64, len(shape))
	n := int64(1)
	for i := len(shape) - 1; i >= 0; i-- {
		strides[i] = n
		n *= max(shape[i], 1)
	}
	return strides
}

// DType returns PyTorch's name of the element type.
func (t *Tensor) DType() string { return t.storage.dtype.name }

// numel returns the number of elements.
func (t *Tensor) numel() int64 {
	n := int64(1)
	for _, d := range t.Shape {
		if d == 0 {
			return 0
		}
		n *= d
	}
	return n
}

// Values returns the elements in row-major order. It returns an error for types other than floating point and for
// elements that are not finite as float32.
func (t *Tensor) Values() ([]float32, error) {
	d := t.storage.dtype
	if d.float == nil {
		return nil, fmt.Errorf("%s is %s, but parameters are floating point", t.Name, d.name)
	}
	out := make([]float32, t.numel())
	at, index := t.offset, make([]int64, len(t.Shape))
	for i := range out {
		v := d.float(t.storage.data[at*int64(d.size):])
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return nil, fmt.Errorf("%s holds a value that is not finite as float32, at %v", t.Name, index)
		}
		out[i] = v
		for k := len(index) - 1; k >= 0; k-- { // the next element, last dimension first
			index[k]++
			at += t.strides[k]
			if index[k] < t.Shape[k] {
				break
			}
			at -= index[k] * t.strides[k]
			index[k] = 0
		}
	}
	return out, nil
}

// Export writes a file's tensors to a safetensors file of float32, under the names that m maps to.
func Export(path string, f *File, m *Map) error {
	var errs []error
	for _, ours := range slices.Sorted(maps.Keys(m.Names)) {
		if f.find(ours) == nil {
			errs = append(errs, fmt.Errorf("the map names %s, which is not among the parameters", ours))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("weights: export: %w", err)
	}
	return tensor.Do(func() error {
		var out []nn.Named
		for _, t := range f.Tensors {
			values, err := t.Values()
			if err != nil {
				return fmt.Errorf("weights: export: %w", err)
			}
			out = append(out, nn.Named{Name: m.theirs(t.Name), Tensor: tensor.New(values, t.Shape...)})
		}
		return nn.Save(path, out, map[string]string{"format": "pt"})
	})
}

// leaf returns the last part of a dotted name.
func leaf(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

// natural compares names, and numbers in them by value: block2 comes before block10.
func natural(a, b string) int {
	for a != "" && b != "" {
		na, nb := digits(a), digits(b)
		if na > 0 && nb > 0 {
			va, vb := strings.TrimLeft(a[:na], "0"), strings.TrimLeft(b[:nb], "0")
			if c := cmp.Or(cmp.Compare(len(va), len(vb)), cmp.Compare(va, vb)); c != 0 {
				return c
			}
			a, b = a[na:], b[nb:]
			continue
		}
		if a[0] != b[0] {
			return cmp.Compare(a[0], b[0])
		}
		a, b = a[1:], b[1:]
	}
	return cmp.Compare(len(a), len(b))
}

// digits returns the number of digits at the start of a text.
func digits(s string) int {
	if i := strings.IndexFunc(s, func(r rune) bool { return r > unicode.MaxASCII || !unicode.IsDigit(r) }); i >= 0 {
		return i
	}
	return len(s)
}
