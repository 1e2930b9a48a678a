package dataset

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/nlpodyssey/safetensors"
)

// NameFeatures is the kind of a file of features.
const NameFeatures = "features"

// maxFeatureBytes bounds the files of features, which are read to memory.
const maxFeatureBytes = 16 << 30

// Features is a Set of vectors that an encoder has computed, in the place of images: one channel of one row. Unlike those of images
// their values are not bound to [0, 1], and they have no bytes.
type Features struct {
	names  []string
	rows   [][]int // of values, by class
	width  int
	values []float32 // [rows, width]
	sum    string
}

// LoadFeatures reads features with their labels and the names of the classes, in one of these forms:
//
//   - a safetensors file with the tensors features, [n, width] of 32-bit floats, and labels, [n] of 64-bit integers, and with the
//     names of the classes as a JSON list in classes of its metadata;
//   - a folder with features.npy and labels.npy, of the same shapes and types (or 64-bit floats and 32-bit integers), and classes.json.
//
// Label i means class i of the list. Without a list classes are named by their label. The rows of a class keep their order;
// classes without any row are left out. Values that are not finite are an error.
func LoadFeatures(path string) (*Features, error) {
	f, err := loadFeatures(path)
	if err != nil {
		return nil, fmt.Errorf("dataset: features of %s: %w", path, err)
	}
	return f, nil
}

func loadFeatures(path string) (*Features, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	read := func(file string) ([]byte, error) {
		info, err := os.Stat(file)
		if err != nil {
			return nil, err
		}
		if !info.Mode().IsRegular() || info.Size() > maxFeatureBytes {
			return nil, fmt.Errorf("%s must be a regular file of at most %d bytes", file, int64(maxFeatureBytes))
		}
		return os.ReadFile(file)
	}
	var values, labels column
	var classes []byte // JSON; nil for none
	if info.IsDir() {
		for _, c := range []struct {
			file string
			into *column
		}{{"features.npy", &values}, {"labels.npy", &labels}} {
			b, err := read(filepath.Join(path, c.file))
			if err != nil {
				return nil, err
			}
			if *c.into, err = readNumPy(b); err != nil {
				return nil, fmt.Errorf("%s: %w", c.file, err)
			}
		}
		if classes, err = read(filepath.Join(path, "classes.json")); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	} else {
		b, err := read(path)
		if err != nil {
			return nil, err
		}
		file, err := safetensors.Deserialize(b)
		if err != nil {
			return nil, fmt.Errorf("it is no whole safetensors file (%w), and no folder with features.npy", err)
		}
		for _, c := range []struct {
			name string
			into *column
		}{{NameFeatures, &values}, {"labels", &labels}} {
			t, ok := file.Tensor(c.name)
			if !ok {
				return nil, fmt.Errorf("it has no tensor %s; it has %s", c.name, strings.Join(file.Names(), ", "))
			}
			*c.into = column{data: t.Data(), order: binary.LittleEndian}
			for _, n := range t.Shape() {
				if n > math.MaxInt32 {
					return nil, fmt.Errorf("%s has the shape %v", c.name, t.Shape())
				}
				c.into.shape = append(c.into.shape, int(n))
			}
			c.into.kind = map[string]string{"F32": "f4", "F64": "f8", "I64": "i8", "I32": "i4"}[t.DType().String()]
			if c.into.kind == "" {
				return nil, fmt.Errorf("%s is of the type %s: write features as F32 and labels as I64", c.name, t.DType())
			}
		}
		_, meta, err := safetensors.ReadMetadata(b)
		if err != nil {
			return nil, err
		}
		if text, ok := meta.Metadata()["classes"]; ok {
			classes = []byte(text)
		}
	}
	return newFeatures(values, labels, classes)
}

func newFeatures(values, labels column, classes []byte) (*Features, error) {
	if len(values.shape) != 2 || values.shape[1] < 1 || values.kind[0] != 'f' {
		return nil, fmt.Errorf("features are of the shape %v and type %s: they must be floats, [rows, width]", values.shape, values.kind)
	}
	if len(labels.shape) != 1 || labels.shape[0] != values.shape[0] || labels.kind[0] != 'i' {
		return nil, fmt.Errorf("labels are of the shape %v and type %s: they must be integers, one for each of the %d rows of features", labels.shape, labels.kind, values.shape[0])
	}
	f := &Features{width: values.shape[1], values: values.floats()}
	sum := sha256.New()
	for _, part := range [][]byte{values.data, labels.data, classes} {
		sum.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(part))))
		sum.Write(part)
	}
	f.sum = fmt.Sprintf("%x", sum.Sum(nil))
	for i, v := range f.values {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return nil, fmt.Errorf("row %d has the value %g: features must be finite", i/f.width, v)
		}
	}
	var names []string
	if classes != nil {
		if err := json.Unmarshal(classes, &names); err != nil {
			return nil, fmt.Errorf("classes are no JSON list of texts: %w", err)
		}
	}
	rows := map[int][]int{}
	for i, label := range labels.ints() {
		if label < 0 || classes != nil && label >= len(names) {
			return nil, fmt.Errorf("row %d has the label %d, and there are %d classes, counted from 0", i, label, len(names))
		}
		rows[label] = append(rows[label], i)
	}
	if len(rows) == 0 {
		return nil, errors.New("there are no rows")
	}
	present := make([]int, 0, len(rows))
	for label := range rows {
		present = append(present, label)
	}
	slices.SortFunc(present, cmp.Compare)
	seen := map[string]bool{}
	for _, label := range present {
		name := strconv.Itoa(label)
		if classes != nil {
			name = names[label]
		}
		if seen[name] {
			return nil, fmt.Errorf("two classes are named %q: names must differ", name)
		}
		seen[name] = true
		f.names, f.rows = append(f.names, name), append(f.rows, rows[label])
	}
	return f, nil
}

// NoFeatures returns a set of features of a width without any class.
func NoFeatures(width int) *Features { return &Features{width: width} }

// Classes implements Set.
func (f *Features) Classes() int { return len(f.names) }

// Class implements Set.
func (f *Features) Class(i int) string { return f.names[i] }

// Instances implements Set.
func (f *Features) Instances(class int) int { return len(f.rows[class]) }

// Shape implements Set: one channel of one row.
func (f *Features) Shape() (channels, height, width int) { return 1, 1, f.width }

// Image implements Set. A vector has no rotations: any but 0 panics.
func (f *Features) Image(dst []float32, class, instance, quarter int) {
	if quarter&3 != 0 {
		panic("dataset: features cannot be rotated")
	}
	row := f.rows[class][instance]
	copy(dst[:f.width], f.values[row*f.width:])
}

// Checksum is the SHA-256, in hexadecimal, of the features, labels and classes.
func (f *Features) Checksum() string { return f.sum }

// Width is the number of values of a vector.
func (f *Features) Width() int { return f.width }

// column is an array of numbers in a file.
type column struct {
	kind  string // f4, f8, i4 or i8
	order binary.ByteOrder
	shape []int
	data  []byte
}

func (c column) floats() []float32 {
	size := int(c.kind[1] - '0')
	out := make([]float32, len(c.data)/size)
	for i := range out {
		if size == 4 {
			out[i] = math.Float32frombits(c.order.Uint32(c.data[4*i:]))
		} else {
			out[i] = float32(math.Float64frombits(c.order.Uint64(c.data[8*i:])))
		}
	}
	return out
}

func (c column) ints() []int {
	size := int(c.kind[1] - '0')
	out := make([]int, len(c.data)/size)
	for i := range out {
		if size == 4 {
			out[i] = int(int32(c.order.Uint32(c.data[4*i:])))
		} else {
			out[i] = int(int64(c.order.Uint64(c.data[8*i:])))
		}
	}
	return out
}

// readNumPy reads a file in NumPy's format, versions 1 to 3, of one of the types of column and in C's order.
func readNumPy(b []byte) (column, error) {
	var c column
	const magic = "\x93NUMPY"
	if len(b) < 12 || string(b[:6]) != magic {
		return c, errors.New("it is no NumPy file")
	}
	length, start := int(binary.LittleEndian.Uint16(b[8:])), 10
	if b[6] > 1 {
		length, start = int(binary.LittleEndian.Uint32(b[8:])), 12
	}
	if length > len(b)-start {
		return c, errors.New("its header is cut off")
	}
	header, data := b[start:start+length], b[start+length:]
	m := regexp.MustCompile(`^\{'descr': '([<>|=])([a-z])(\d+)', 'fortran_order': (True|False), 'shape': \(([\d, ]*)\),? *\}\s*$`).FindSubmatch(bytes.TrimSpace(header))
	if m == nil {
		return c, fmt.Errorf("its header %.80q is not understood: save a plain array of numbers with numpy.save", header)
	}
	c.kind, c.order, c.data = string(m[2])+string(m[3]), binary.LittleEndian, data
	if string(m[1]) == ">" {
		c.order = binary.BigEndian
	}
	if !slices.Contains([]string{"f4", "f8", "i4", "i8"}, c.kind) {
		return c, fmt.Errorf("it is of the type %s: save features as float32 and labels as int64", c.kind)
	}
	if string(m[4]) == "True" {
		return c, errors.New("it is in Fortran's order: save numpy.ascontiguousarray of it")
	}
	size := int(c.kind[1] - '0')
	want := size
	for _, text := range strings.FieldsFunc(string(m[5]), func(r rune) bool { return r == ',' || r == ' ' }) {
		n, err := strconv.Atoi(text)
		if err != nil || n > 0 && want > len(data)/n { // the product must not overflow
			return c, fmt.Errorf("it has the shape (%s) and %d bytes of data: it is cut off", m[5], len(data))
		}
		want *= n
		c.shape = append(c.shape, n)
	}
	if want != len(data) {
		return c, fmt.Errorf("it has the shape (%s) and %d bytes of data: it is damaged", m[5], len(data))
	}
	return c, nil
}
