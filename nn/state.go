package nn

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"github.com/engram-go/engram/tensor"
	"github.com/nlpodyssey/safetensors"
)

// Named is a tensor and the name under which it is saved.
type Named struct {
	Name   string
	Tensor *tensor.Tensor
}

// WithPrefix prefixes the names, so that several states can share a file.
func WithPrefix(prefix string, ts []Named) []Named {
	out := make([]Named, len(ts))
	for i, t := range ts {
		out[i] = Named{prefix + t.Name, t.Tensor}
	}
	return out
}

// State is the content of a state file: tensors as bytes, by name, and notes.
type State struct {
	Notes  map[string]string
	prefix string
	views  map[string]safetensors.TensorView
}

var dtypes = map[tensor.DType]safetensors.DType{
	tensor.Uint8:    safetensors.U8,
	tensor.Int64:    safetensors.I64,
	tensor.Float32:  safetensors.F32,
	tensor.Float64:  safetensors.F64,
	tensor.Bool:     safetensors.BOOL,
	tensor.BFloat16: safetensors.BF16,
}

// notesName is the key under which the format keeps notes, among the tensors; checksum is the note that holds the
// digest.
const (
	notesName = "__metadata__"
	checksum  = "sha256"
)

// ErrDamaged is wrapped by the errors of [Open] for a file that differs from what [Save] wrote.
var ErrDamaged = errors.New("damaged")

// view is a tensor to be written. The library's own view takes a scalar for an empty tensor.
type view struct {
	dtype safetensors.DType
	shape []uint64
	data  []byte
}

func (v view) DType() safetensors.DType { return v.dtype }
func (v view) Shape() []uint64          { return v.shape }
func (v view) Data() []byte             { return v.data }
func (v view) DataLen() uint64          { return uint64(len(v.data)) }

// digest returns the checksum of tensors and notes.
func digest[V interface {
	DType() safetensors.DType
	Shape() []uint64
	Data() []byte
}](views map[string]V, notes map[string]string) string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(views)) {
		v := views[name]
		fmt.Fprintf(h, "%q %v %v ", name, v.DType(), v.Shape())
		h.Write(v.Data())
	}
	for _, name := range slices.Sorted(maps.Keys(notes)) {
		fmt.Fprintf(h, "%q %q ", name, notes[name])
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Save writes tensors and notes to a safetensors file, which Python's safetensors opens, with a checksum that [Open]
// verifies. The write is atomic: a temporary file is written, synced and renamed.
func Save(path string, ts []Named, notes map[string]string) (err error) {
	defer tensor.Catch(&err)
	views := map[string]view{}
	for _, t := range ts {
		if _, twice := views[t.Name]; twice {
			return fmt.Errorf("nn: save %s: two tensors are called %s", path, t.Name)
		}
		if t.Name == notesName {
			return fmt.Errorf("nn: save %s: no tensor may be called %s, the format's key for notes", path, t.Name)
		}
		dtype, ok := dtypes[t.Tensor.DType()]
		if !ok {
			return fmt.Errorf("nn: save %s: %s is %v, a type that a state file cannot hold", path, t.Name, t.Tensor.DType())
		}
		shape := make([]uint64, 0, 8)
		for _, d := range t.Tensor.Shape() {
			shape = append(shape, uint64(d))
		}
		views[t.Name] = view{dtype, shape, t.Tensor.Bytes()}
	}
	if _, taken := notes[checksum]; taken {
		return fmt.Errorf("nn: save %s: no note may be called %s, the key of the checksum", path, checksum)
	}
	summed := map[string]string{checksum: digest(views, notes)}
	maps.Copy(summed, notes)
	var buf bytes.Buffer
	if err := safetensors.SerializeToWriter(views, summed, &buf); err != nil {
		return fmt.Errorf("nn: save %s: %w", path, err)
	}
	return WriteFile(path, &buf)
}

// WriteFile writes a file atomically.
func WriteFile(path string, from io.Reader) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if reason := (*fs.PathError)(nil); errors.As(err, &reason) {
		return &fs.PathError{Op: "write", Path: path, Err: reason.Err} // not the temporary file's
	}
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	if _, err = io.Copy(f, from); err != nil {
		return err
	}
	if err = f.Chmod(0o644); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	if dir, openErr := os.Open(filepath.Dir(path)); openErr == nil {
		_ = dir.Sync() // so that the rename survives a power failure; some file systems cannot
		_ = dir.Close()
	}
	return nil
}

// Open reads a state file. A file without a checksum, from another tool, is not verified.
func Open(path string) (*State, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("nn: no state file %s: %w", path, err)
		}
		return nil, fmt.Errorf("nn: %w", err)
	}
	file, err := safetensors.Deserialize(data)
	if err != nil {
		return nil, fmt.Errorf("nn: %s is %w: not a whole safetensors file: %w", path, ErrDamaged, err)
	}
	_, meta, err := safetensors.ReadMetadata(data)
	if err != nil {
		return nil, fmt.Errorf("nn: %s is %w: %w", path, ErrDamaged, err)
	}
	s := &State{Notes: maps.Clone(meta.Metadata()), views: map[string]safetensors.TensorView{}}
	for _, v := range file.Tensors() {
		s.views[v.Name] = v.TensorView
	}
	if want, ok := s.Notes[checksum]; ok {
		delete(s.Notes, checksum)
		if digest(s.views, s.Notes) != want {
			return nil, fmt.Errorf("nn: %s is %w: its content does not match its checksum", path, ErrDamaged)
		}
	}
	return s, nil
}

// Sub returns the tensors with a name prefix, without the prefix.
func (s *State) Sub(prefix string) *State {
	sub := &State{Notes: s.Notes, prefix: s.prefix + prefix, views: map[string]safetensors.TensorView{}}
	for name, v := range s.views {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			sub.views[rest] = v
		}
	}
	return sub
}

// Names returns the names of the tensors, sorted.
func (s *State) Names() []string {
	names := make([]string, 0, len(s.views))
	for name := range s.views {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// Tensors returns copies of all tensors on a device, sorted by name, in the innermost scope.
func (s *State) Tensors(on tensor.Device) (ts []Named, err error) {
	defer tensor.Catch(&err)
	for _, name := range s.Names() {
		view := s.views[name]
		dtype, ok := dtypeOf(view.DType())
		if !ok {
			return nil, fmt.Errorf("nn: %s%s is %v, an unsupported type", s.prefix, name, view.DType())
		}
		shape, _ := s.Shape(name)
		t := tensor.Empty(dtype, tensor.CPU, shape...)
		t.Set(view.Data())
		ts = append(ts, Named{name, t.On(on)})
	}
	return ts, nil
}

func dtypeOf(saved safetensors.DType) (d tensor.DType, ok bool) {
	for d, as := range dtypes {
		if as == saved {
			return d, true
		}
	}
	return 0, false
}

// Bytes returns the data of a tensor, which must not be changed.
func (s *State) Bytes(name string) ([]byte, error) {
	view, ok := s.views[name]
	if !ok {
		return nil, fmt.Errorf("nn: %s%s is missing from the file", s.prefix, name)
	}
	return view.Data(), nil
}

// Shape returns the shape of a tensor. ok reports whether it exists.
func (s *State) Shape(name string) (shape []int64, ok bool) {
	view, ok := s.views[name]
	if ok {
		for _, d := range view.Shape() {
			shape = append(shape, int64(d))
		}
	}
	return shape, ok
}

// CopyInto copies the state into tensors of the same names, types and shapes. If any does not match, it changes
// nothing and returns an error that lists every mismatch.
func (s *State) CopyInto(ts []Named) error {
	var errs []error
	known := map[string]bool{}
	for _, t := range ts {
		known[t.Name] = true
		view := s.views[t.Name]
		shape, ok := s.Shape(t.Name)
		if !ok {
			errs = append(errs, fmt.Errorf("%s%s is missing from the file", s.prefix, t.Name))
			continue
		}
		if !slices.Equal(shape, t.Tensor.Shape()) {
			errs = append(errs, fmt.Errorf("%s%s has the shape %v in the file, %v in the network", s.prefix, t.Name, shape, t.Tensor.Shape()))
		} else if view.DType() != dtypes[t.Tensor.DType()] {
			errs = append(errs, fmt.Errorf("%s%s is %v in the file, %v in the network", s.prefix, t.Name, view.DType(), t.Tensor.DType()))
		}
	}
	for _, name := range s.Names() {
		if !known[name] {
			errs = append(errs, fmt.Errorf("%s%s is in the file but not in the network", s.prefix, name))
		}
	}
	if len(errs) > 0 {
		return fmt.Errorf("nn: the state does not match the network: %w", errors.Join(errs...))
	}
	for _, t := range ts {
		t.Tensor.Set(s.views[t.Name].Data())
	}
	return nil
}
