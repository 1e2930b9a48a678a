package weights

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/engram-go/engram/nn"
)

// A Layout says how the published weights of a family of networks become the parameters of a network here. The zero value is
// that of weights with the network's own names and shapes.
type Layout struct {
	// Convert changes a file's tensors to those of the network: it renames, splits, joins or resizes them, by [File.Rename],
	// [NewTensor] and File.Tensors. It leaves alone what it does not know. It may be nil.
	Convert func(f *File) error
	// Skip are names, or patterns of [path.Match], of tensors that the network leaves out, such as those of a classifier. They
	// apply to the names after Convert. A file may lack them.
	Skip []string
	// Fresh are names, or patterns of [path.Match], of parameters that no published weights have, such as those of adapters. They
	// keep their initial values.
	Fresh []string
}

// Check finds the tensor of each parameter, and returns the names of those that the layout skips. The parameters' names have
// prefix before those of the file. If a tensor is missing, unknown or of another shape, the error lists every mismatch by name
// and shape. It changes f, and a file can be used once.
func (l Layout) Check(f *File, ps []*nn.Param, prefix string) (skipped []string, err error) {
	_, skipped, err = l.match(f, ps, prefix)
	return skipped, err
}

// Load is [Layout.Check], and copies the tensors into the parameters.
func (l Layout) Load(f *File, ps []*nn.Param, prefix string) error {
	values, _, err := l.match(f, ps, prefix)
	if err != nil {
		return err
	}
	return assign(values)
}

func (l Layout) match(f *File, ps []*nn.Param, prefix string) (values map[*nn.Param][]float32, skipped []string, err error) {
	if l.Convert != nil {
		if err := l.Convert(f); err != nil {
			return nil, nil, fmt.Errorf("weights: %w", err)
		}
	}
	f.Tensors = slices.DeleteFunc(f.Tensors, func(t *Tensor) bool {
		skip := slices.ContainsFunc(l.Skip, func(rule string) bool { return matches(rule, t) })
		if skip {
			skipped = append(skipped, t.Name)
		}
		return skip
	})
	ps = slices.DeleteFunc(slices.Clone(ps), func(p *nn.Param) bool {
		own := &Tensor{Name: strings.TrimPrefix(p.Name, prefix)}
		return slices.ContainsFunc(l.Fresh, func(rule string) bool { return matches(rule, own) })
	})
	m := &Map{Names: map[string]string{}}
	for _, p := range ps {
		m.Names[p.Name] = strings.TrimPrefix(p.Name, prefix)
	}
	for _, t := range f.Tensors { // counters and tables of positions, which are no parameters
		own := slices.ContainsFunc(ps, func(p *nn.Param) bool { return slices.Contains(t.names(), m.Names[p.Name]) })
		if !own && t.storage.dtype.float == nil {
			m.Ignore, skipped = append(m.Ignore, t.Name), append(skipped, t.Name)
		}
	}
	values, errs := f.match(ps, m)
	if n := len(errs); n > mostMismatches {
		errs = append(errs[:mostMismatches:mostMismatches], fmt.Errorf("and %d more", n-mostMismatches))
	}
	if len(errs) > 0 {
		return nil, skipped, fmt.Errorf("the weights do not fit the network:\n%w", errors.Join(errs...))
	}
	return values, skipped, nil
}

// mostMismatches limits what the error for weights of another network lists.
const mostMismatches = 8

// Rename gives each tensor the name that to returns for its own.
func (f *File) Rename(to func(name string) string) {
	for _, t := range f.Tensors {
		t.Name = to(t.Name)
		for i, name := range t.also {
			t.also[i] = to(name)
		}
	}
}

// Find returns the tensor of a name, or nil.
func (f *File) Find(name string) *Tensor { return f.find(name) }

// NewTensor makes a tensor for a [File] of values in row-major order. It panics where the shape is of another number of them.
func NewTensor(name string, values []float32, shape ...int64) *Tensor {
	data := make([]byte, 0, 4*len(values))
	for _, v := range values {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	s := &storage{dtypes["f32"], int64(len(values)), data}
	t := &Tensor{Name: name, Shape: shape, storage: s, strides: contiguous(shape)}
	if t.numel() != s.numel {
		panic(fmt.Sprintf("weights: %s: %d values for the shape %v", name, len(values), shape))
	}
	return t
}

// The files of a model folder, as Hugging Face's libraries write it, in the order in which they are looked for.
var modelFiles = []string{"model.safetensors", "pytorch_model.bin"}

// Locate returns the file of weights that a path stands for: the path itself, or where that is a model folder, as Hugging Face's
// libraries write it, its model.safetensors or pytorch_model.bin. folder is the model folder, or empty.
func Locate(path string) (file, folder string, err error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", "", fmt.Errorf("no file %s: %w", path, err)
	}
	if err != nil || !info.IsDir() {
		return path, "", err
	}
	for _, name := range modelFiles {
		file := filepath.Join(path, name)
		if _, err := os.Stat(file); err == nil {
			return file, path, nil
		}
		if _, err := os.Stat(file + ".index.json"); err == nil {
			return "", "", fmt.Errorf("the folder %s holds its weights in several files; write them as one, in Python: model.save_pretrained(folder, max_shard_size=\"100GB\")", path)
		}
	}
	return "", "", fmt.Errorf("the folder %s holds no weights: neither %s", path, strings.Join(modelFiles, " nor "))
}
