package weights

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// Map says which of a file's tensors each of a network's parameters and buffers takes. Names that it does not name are the
// same on both sides.
type Map struct {
	// Names are the file's names by Engram's.
	Names map[string]string `yaml:"names"`
	// Ignore are the file's tensors that the network has no use for.
	Ignore []string `yaml:"ignore,omitempty"`
}

// theirs returns the file's name of a parameter.
func (m *Map) theirs(ours string) string {
	if name, ok := m.Names[ours]; ok {
		return name
	}
	return ours
}

// Encode returns the map as [ReadMap] reads it.
func (m *Map) Encode() ([]byte, error) {
	text, err := yaml.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("weights: map: %w", err)
	}
	return text, nil
}

// record is what a map's file may hold: a map, and where the weights came from, which importing adds.
type record struct {
	Source `yaml:",inline"`
	Map    `yaml:",inline"`
}

// Source is a file that weights came from.
type Source struct {
	File   string `yaml:"file,omitempty"` // its base name
	SHA256 string `yaml:"sha256,omitempty"`
}

// ReadMap reads a map from a YAML file, such as
//
//	names:
//	  encoder.block1.conv.weight: encoder.0.0.weight
//	ignore: [classifier.weight, classifier.bias]
//
// or the record that [WriteRecord] has left.
func ReadMap(path string) (*Map, error) {
	r, err := readRecord(path)
	if err != nil {
		return nil, err
	}
	return &r.Map, nil
}

// WriteRecord writes where weights came from and the map that they came in by.
func WriteRecord(path string, s Source, m *Map) error {
	text, err := yaml.Marshal(record{s, *m})
	if err != nil {
		return fmt.Errorf("weights: record: %w", err)
	}
	if err := nn.WriteFile(path, bytes.NewReader(text)); err != nil {
		return fmt.Errorf("weights: record: %w", err)
	}
	return nil
}

// ReadRecord reads where weights came from.
func ReadRecord(path string) (Source, error) {
	r, err := readRecord(path)
	if err != nil {
		return Source{}, err
	}
	return r.Source, nil
}

var unknownField = regexp.MustCompile(`field (\S+) not found in type \S+`)

func readRecord(path string) (*record, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("weights: map: %w", err)
	}
	var r record
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&r); err != nil {
		text := strings.TrimPrefix(unknownField.ReplaceAllString(err.Error(), `unknown key "$1"`), "yaml: unmarshal errors:\n  ")
		return nil, fmt.Errorf("weights: map %s: %s\nit has a mapping names, of Engram's names to the file's, and a list ignore", path, text)
	}
	return &r, nil
}

// Guess pairs a network's parameters and buffers with the tensors of a file. Same names go together. What is left is paired
// by the last part of the name and the shape, in order: the network's is that of its making, the file's that of
// [File.Tensors]. Then shape alone, and last the name's last part alone, pair what there is one of on each side. What stays
// without a partner is left out of the map, and [Load] tells of it.
func Guess(ps *nn.Params, f *File) *Map {
	m := &Map{Names: map[string]string{}}
	ours, theirs := ps.All(), slices.Clone(f.Tensors)
	pair := func(p *nn.Param, t *Tensor) {
		m.Names[p.Name] = t.Name
		ours = slices.DeleteFunc(slices.Clone(ours), func(q *nn.Param) bool { return q == p })
		theirs = slices.DeleteFunc(theirs, func(u *Tensor) bool { return u == t })
	}
	for _, p := range ours {
		if t := f.find(p.Name); t != nil {
			pair(p, t)
		}
	}
	byKey := func(key func(name string, shape []int64) string, most int) {
		left, right := map[string][]*nn.Param{}, map[string][]*Tensor{}
		for _, p := range ours {
			k := key(p.Name, p.Value().Shape())
			left[k] = append(left[k], p)
		}
		for _, t := range theirs {
			k := key(t.Name, t.Shape)
			right[k] = append(right[k], t)
		}
		for k, ps := range left {
			if ts := right[k]; len(ts) == len(ps) && len(ps) <= most {
				for i := range ps {
					pair(ps[i], ts[i])
				}
			}
		}
	}
	byKey(func(name string, shape []int64) string { return fmt.Sprint(leaf(name), shape) }, len(ours))
	byKey(func(_ string, shape []int64) string { return fmt.Sprint(shape) }, 1)
	byKey(func(name string, _ []int64) string { return leaf(name) }, 1)
	return m
}

// Pairs lists what each parameter and buffer takes, in the order of the network, for the user to look over.
func (m *Map) Pairs(ps *nn.Params) []string {
	var out []string
	for _, p := range ps.All() {
		out = append(out, fmt.Sprintf("%s %v ← %s", p.Name, p.Value().Shape(), m.theirs(p.Name)))
	}
	return out
}

// Load copies a file's tensors into a network's parameters and buffers, as a map has them. It changes nothing where any is
// missing, unknown, or of another shape, and says all that does not fit.
func Load(ps *nn.Params, f *File, m *Map) error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	ours := map[string]bool{}
	for _, p := range ps.All() {
		ours[p.Name] = true
	}
	for name := range m.Names {
		if !ours[name] {
			wrong("the map names %s, which the network does not have", name)
		}
	}
	used := map[string]string{} // by whom
	for _, name := range m.Ignore {
		if used[name] = "the list ignore"; f.find(name) == nil {
			wrong("the map ignores %s, which the file does not have", name)
		}
	}
	values := map[*nn.Param][]float32{}
	for _, p := range ps.All() {
		name, shape := m.theirs(p.Name), p.Value().Shape()
		t := f.find(name)
		switch by := used[name]; {
		case t == nil && name != p.Name:
			wrong("%s %v takes %s, which the file does not have", p.Name, shape, name)
		case t == nil:
			wrong("%s %v has no counterpart in the file", p.Name, shape)
		case by != "":
			wrong("%s and %s both take %s", by, p.Name, name)
		case !slices.Equal(t.Shape, shape):
			wrong("%s has the shape %v in the network, %s %v in the file", p.Name, shape, name, t.Shape)
			used[name] = p.Name
		default:
			used[name] = p.Name
			v, err := t.Values()
			if err != nil {
				errs = append(errs, err)
			}
			values[p] = v
		}
	}
	for _, t := range f.Tensors {
		if used[t.Name] == "" {
			wrong("%s %v is in the file but not in the network", t.Name, t.Shape)
		}
	}
	if len(errs) > 0 {
		return fmt.Errorf("weights: the file does not fit the network:\n%w\nA map says which tensor is which parameter, and which to ignore", errors.Join(errs...))
	}
	return tensor.Do(func() error {
		for p, v := range values {
			p.Value().Assign(tensor.New(v, p.Value().Shape()...))
		}
		return nil
	})
}
