package weights

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// Map assigns a file's tensors to a network's parameters and buffers. Parameters without an entry have the same name
// in the file.
type Map struct {
	// Names maps Engram's names to the file's.
	Names map[string]string `yaml:"names"`
	// Ignore lists tensors of the file that the network does not use: names, or patterns of [path.Match], such as
	// "decoder.*".
	Ignore []string `yaml:"ignore,omitempty"`

	guessed []string // the parameters whose tensors Guess chose, in the order of the network
	open    []choice // the parameters with several candidates, of which Guess chose none
}

// theirs returns the file's name of a parameter.
func (m *Map) theirs(ours string) string {
	if name, ok := m.Names[ours]; ok {
		return name
	}
	return ours
}

// Encode returns the map in the format of [ReadMap]. Parameters for which [Guess] found several candidates follow as
// comments.
func (m *Map) Encode() ([]byte, error) {
	text, err := yaml.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("weights: map: %w", err)
	}
	if len(m.open) > 0 {
		text = append(text, "# More than one pairing fits these parameters. Add each, or one of each layer, to names with one of its tensors:\n"...)
		for _, c := range m.open {
			text = append(text, fmt.Sprintf("#   %s: %s\n", c.name, strings.Join(c.candidates, " | "))...)
		}
	}
	return text, nil
}

// record is the content of a map's file: a map and, after an import, the source of the weights.
type record struct {
	Source `yaml:",inline"` // of a single file
	Files  []Source         `yaml:"files,omitempty"` // where there are several
	Map    `yaml:",inline"`
}

// Source identifies a file of weights.
type Source struct {
	Part   string `yaml:"part,omitempty"` // of the network, that it was given for; see [OpenAll]
	File   string `yaml:"file,omitempty"` // its base name
	SHA256 string `yaml:"sha256,omitempty"`
}

// ReadMap reads a map from a YAML file, such as
//
//	names:
//	  encoder.block1.conv.weight: encoder.0.0.weight
//	ignore: [classifier.weight, classifier.bias]
//
// or a record of [WriteRecord].
func ReadMap(file string) (*Map, error) {
	r, err := readRecord(file)
	if err != nil {
		return nil, err
	}
	return &r.Map, nil
}

// WriteRecord writes the sources of the weights and the map that was used.
func WriteRecord(path string, sources []Source, m *Map) error {
	r := record{Map: *m}
	if r.Files = sources; len(sources) == 1 {
		r.Source, r.Files = sources[0], nil
	}
	text, err := yaml.Marshal(r)
	if err != nil {
		return fmt.Errorf("weights: record: %w", err)
	}
	if err := nn.WriteFile(path, bytes.NewReader(text)); err != nil {
		return fmt.Errorf("weights: record: %w", err)
	}
	return nil
}

// ReadRecord reads the sources of the weights.
func ReadRecord(path string) ([]Source, error) {
	r, err := readRecord(path)
	if err != nil {
		return nil, err
	}
	if r.Source != (Source{}) {
		return append([]Source{r.Source}, r.Files...), nil
	}
	return r.Files, nil
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

// Pairing is a line for the user about what a parameter or buffer takes.
type Pairing struct {
	Text    string
	Guessed bool // the line is about a guess, and worth showing where others are not
}

// Pairs lists the tensor of each parameter and buffer, in the order of the network, for the user to check. If some
// are guessed, the first line says how many.
func (m *Map) Pairs(ps *nn.Params) []Pairing {
	var out []Pairing
	if len(m.guessed) > 0 {
		out = append(out, Pairing{fmt.Sprintf("%d of %d tensors are paired by a guess, from shapes and from the numbers in names; check them below, or give a map", len(m.guessed), len(ps.All())), true})
	}
	for _, p := range ps.All() {
		if slices.ContainsFunc(m.open, func(c choice) bool { return c.name == p.Name }) {
			continue
		}
		out = append(out, Pairing{fmt.Sprintf("%s %v ← %s", p.Name, p.Value().Shape(), m.theirs(p.Name)), slices.Contains(m.guessed, p.Name)})
	}
	for _, rule := range m.Ignore {
		out = append(out, Pairing{Text: "ignored: " + rule})
	}
	return out
}

// Load copies a file's tensors into a network's parameters and buffers by a map. If any tensor is missing, unknown or
// of another shape, it changes nothing and returns an error that lists every mismatch.
func Load(ps *nn.Params, f *File, m *Map) error {
	for _, part := range f.parts() {
		if !slices.ContainsFunc(ps.All(), func(p *nn.Param) bool { return inPart(p.Name, part) }) {
			return fmt.Errorf("weights: %s=: the network has no part %s; it has %s", part, part, strings.Join(partsOf(ps), ", "))
		}
	}
	values, errs := f.match(ps.All(), m)
	if len(errs) > 0 {
		remedy := "A map says which tensor is which parameter, and which to ignore"
		if len(m.open) > 0 {
			remedy += "; engram import EXPERIMENT WEIGHTS --print-map > map.yaml prints one to complete, and --map map.yaml gives it"
		}
		return fmt.Errorf("weights: the file does not fit the network:\n%w\n%s", errors.Join(errs...), remedy)
	}
	return assign(values)
}

// assign copies values into parameters.
func assign(values map[*nn.Param][]float32) error {
	return tensor.Do(func() error {
		for p, v := range values {
			p.Value().Assign(tensor.New(v, p.Value().Shape()...))
		}
		return nil
	})
}

// match finds the values of parameters by a map, and lists every mismatch.
func (f *File) match(ps []*nn.Param, m *Map) (values map[*nn.Param][]float32, errs []error) {
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	ours := map[string]bool{}
	for _, p := range ps {
		ours[p.Name] = true
	}
	for name := range m.Names {
		if !ours[name] {
			wrong("the map names %s, which the network does not have", name)
		}
	}
	used := map[string]string{} // by which parameter
	for _, rule := range m.Ignore {
		found := false
		for _, t := range f.Tensors {
			if matches(rule, t) {
				used[t.Name], found = "the list ignore", true
			}
		}
		if _, err := path.Match(rule, ""); !found && err != nil {
			wrong("the map ignores %s, which is neither a name nor a pattern: %w", rule, err)
		} else if !found {
			wrong("the map ignores %s, which the file does not have", rule)
		}
	}
	open, candidate := map[string][]string{}, map[string]bool{}
	for _, c := range m.open {
		open[c.name] = c.candidates
		for _, name := range c.candidates {
			candidate[name] = true
		}
	}
	values = map[*nn.Param][]float32{}
	for _, p := range ps {
		name, shape := m.theirs(p.Name), p.Value().Shape()
		t := f.find(name)
		switch {
		case open[p.Name] != nil:
			wrong("%s %v may take %s: more than one pairing fits", p.Name, shape, alternatives(open[p.Name]))
			continue
		case t == nil && name != p.Name:
			wrong("%s %v takes %s, which the file does not have", p.Name, shape, name)
			continue
		case t == nil:
			wrong("%s %v has no counterpart in the file", p.Name, shape)
			continue
		}
		switch by := used[t.Name]; {
		case by != "":
			wrong("%s and %s both take %s", by, p.Name, name)
		case !slices.Equal(t.Shape, shape):
			wrong("%s has the shape %v in the network, %s %v in the file", p.Name, shape, name, t.Shape)
			used[t.Name] = p.Name
		default:
			used[t.Name] = p.Name
			v, err := t.Values()
			if err != nil {
				errs = append(errs, err)
			}
			if i := slices.IndexFunc(v, func(x float32) bool { return x < 0 }); i >= 0 && leaf(p.Name) == "running_var" {
				wrong("%s is a running variance and holds the negative value %g; the file is damaged, or was saved from a training that failed", name, v[i])
			}
			values[p] = v
		}
	}
	for _, t := range f.Tensors {
		if used[t.Name] == "" && !candidate[t.Name] {
			wrong("%s %v is in the file but not in the network", t.Name, t.Shape)
		}
	}
	return values, errs
}

// inPart reports whether a parameter is of a part of the network.
func inPart(name, part string) bool { return strings.HasPrefix(name, part+".") }

// parts lists the parts of a network that files were given for.
func (f *File) parts() (out []string) {
	for _, s := range f.Sources {
		if s.Part != "" {
			out = append(out, s.Part)
		}
	}
	return out
}

// partsOf lists what the names of a network's parameters begin with.
func partsOf(ps *nn.Params) (out []string) {
	for _, p := range ps.All() {
		if first, _, ok := strings.Cut(p.Name, "."); ok && !slices.Contains(out, first) {
			out = append(out, first)
		}
	}
	return out
}

// alternatives lists names, abbreviated if there are many.
func alternatives(names []string) string {
	const most = 6
	if len(names) > most {
		return fmt.Sprintf("%s or %d others", strings.Join(names[:most], ", "), len(names)-most)
	}
	if len(names) == 1 {
		return names[0] + ", by its shape alone"
	}
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}
