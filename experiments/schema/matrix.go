package schema

import (
	"crypto/sha256"
	"fmt"
	"math"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// An Axis is a key of a file's matrix and its values, each as an override:
//
//	matrix:
//	  train.way: [5, 20]
//	  network.memory: [keyvalue, {kind: lrua, slots: 50}]
type Axis struct {
	Path   string
	Values []Override
	// Range is set where the file gives the ends of a range, from which a random search draws; Values are its ends then.
	Range *Range
	path  []string
	at    place
}

// A Range is what a random search draws the values of an axis from, evenly, or evenly in the logarithm:
//
//	matrix:
//	  optimizer.rate: {from: 1e-4, to: 1e-2, scale: log}
//	  network.memory.slots: {from: 16, to: 256}
//
// Where both ends are written as whole numbers, whole numbers are drawn.
type Range struct {
	From, To   float64
	Log, Whole bool
}

// Draw returns the value at u, which lies in [0, 1), with three significant digits, or as a whole number.
func (r Range) Draw(u float64) string {
	to := r.To
	if r.Whole {
		to++ // each whole number has a share
	}
	v := r.From + u*(to-r.From)
	if r.Log {
		v = r.From * math.Pow(to/r.From, u)
	}
	if r.Whole {
		return strconv.FormatFloat(min(math.Floor(v), r.To), 'f', 0, 64)
	}
	text := strconv.FormatFloat(v, 'g', 3, 64)
	if rounded, err := strconv.ParseFloat(text, 64); err != nil || rounded < r.From || rounded > r.To {
		text = strconv.FormatFloat(v, 'g', -1, 64)
	}
	return text
}

// Value returns an override of the axis's key by a number.
func (a Axis) Value(number string) Override {
	return Override{text: a.Path + "=" + number, path: a.path, value: &yaml.Node{Kind: yaml.ScalarNode, Value: number}, at: a.at}
}

// Matrix returns the axes of the file's matrix in the file's order, or nil. A matrix is merged with that of a base
// key by key; matrix: null removes it.
func (d *Document) Matrix() []Axis { return d.axes }

// Errorf returns an error about the axis, with its place in the file.
func (a Axis) Errorf(format string, args ...any) error {
	return a.at.errorf(keyMatrix, "%s: %w", a.Path, fmt.Errorf(format, args...))
}

// readMatrix removes the matrix from the tree.
func (d *Document) readMatrix() {
	key, value := take(d.root, keyMatrix)
	if key == nil {
		return
	}
	switch formOf(value) {
	case formNull:
		return
	case formMapping:
	default:
		d.report.fail(d.place(key, value), keyMatrix, "want a mapping of keys to lists of values, as in {train.way: [5, 20]}, got %s", describe(value))
		return
	}
	for i := 0; i+1 < len(value.Content); i += 2 {
		if key := value.Content[i]; key.Kind == yaml.ScalarNode && formOf(key) != formEmpty && formOf(key) != formNull {
			d.readAxis(key, value.Content[i+1])
		}
	}
}

func (d *Document) readAxis(key, values *yaml.Node) {
	at := d.place(key, values)
	fail := func(format string, args ...any) {
		d.report.fail(at, keyMatrix, "%s: %s", clip(key.Value, 60), fmt.Sprintf(format, args...))
	}
	path, ok := splitPath(key.Value)
	switch {
	case !ok || len(path) > maxDepth:
		fail("is not a path (want key.key, as in train.way)")
		return
	case path[0] == keyBase || path[0] == keyMatrix:
		fail("belongs to the file and cannot vary")
		return
	case formOf(values) == formMapping && find(values, "from") >= 0 && find(values, "to") >= 0:
		axis := Axis{Path: key.Value, path: path, at: at}
		r, problem := readRange(values)
		if problem != "" {
			fail("%s", problem)
			return
		}
		axis.Range = &r
		for _, end := range []string{"from", "to"} {
			axis.Values = append(axis.Values, axis.Value(canonical(values.Content[find(values, end)+1].Value)))
		}
		d.axes = append(d.axes, axis)
		return
	case formOf(values) == formMapping:
		fail("want a list of values, got a mapping (a nested key is written with a dot, as in train.way: [5, 20])")
		return
	case formOf(values) != formList && formOf(values) != formEmpty && formOf(values) != formNull:
		fail("want a list of values, got %s (write [%s])", describe(values), clip(values.Value, 40))
		return
	case len(values.Content) == 0:
		fail("has no values (give some, or leave the key out)")
		return
	}
	axis := Axis{Path: key.Value, path: path, at: at}
	for _, v := range values.Content {
		if formOf(v) == formEmpty {
			at := d.place(nil, v)
			d.report.fail(at, keyMatrix, "%s: a value is missing (write null for none)", key.Value)
			continue
		}
		o := Override{path: path, value: v, at: d.place(nil, v)}
		if plain, err := raw(v); err == nil {
			o.text = key.Value + "=" + flow(plain)
		}
		axis.Values = append(axis.Values, o)
	}
	if len(axis.Values) > 0 {
		d.axes = append(d.axes, axis)
	}
}

// readRange reads the ends of a range; problem says what is wrong with it.
func readRange(n *yaml.Node) (r Range, problem string) {
	whole := true
	number := func(key string) float64 {
		v := n.Content[find(n, key)+1]
		scanned, ok := scanNumber(v.Value)
		if formOf(v) != formNumber || !ok {
			problem = fmt.Sprintf("%s: want a number, got %s", key, describe(v))
			return 0
		}
		if _, exact, _ := scanned.toInt(); !exact {
			whole = false
		}
		f, bad := scanned.toFloat(64)
		if bad != "" {
			problem = fmt.Sprintf("%s: %s", key, bad)
		}
		return f
	}
	r.From, r.To = number("from"), number("to")
	r.Whole = whole
	for i := 0; i+1 < len(n.Content); i += 2 {
		switch key, value := n.Content[i].Value, n.Content[i+1].Value; key {
		case "from", "to":
		case "scale":
			if value != "log" && value != "linear" {
				problem = fmt.Sprintf("scale: want linear or log, got %q", clip(value, 40))
			}
			r.Log = value == "log"
		default:
			problem = fmt.Sprintf("unknown key %q of a range; valid keys: from, to, scale", clip(key, 40))
		}
	}
	switch {
	case problem != "":
	case !(r.From < r.To):
		problem = fmt.Sprintf("from must be less than to, got %g and %g", r.From, r.To)
	case r.Log && r.From <= 0:
		problem = fmt.Sprintf("from must be above 0 on a log scale, got %g", r.From)
	}
	return r, problem
}

// Label is a short name of the override's value, for file names: a kind or a single value as it is, further keys and
// elements after plus signs, as in "lrua+slots=50".
func (o Override) Label() string {
	var parts []string
	var collect func(key string, n *yaml.Node)
	collect = func(key string, n *yaml.Node) {
		if key != "" && n.Kind != yaml.ScalarNode {
			parts = append(parts, key)
			key = ""
		}
		switch n.Kind {
		case yaml.SequenceNode:
			for _, c := range n.Content {
				collect("", c)
			}
		case yaml.MappingNode:
			if i := find(n, "kind"); i >= 0 {
				collect("", n.Content[i+1])
			}
			for i := 0; i+1 < len(n.Content); i += 2 {
				if n.Content[i].Value != "kind" {
					collect(n.Content[i].Value, n.Content[i+1])
				}
			}
		default:
			value := n.Value
			if formOf(n) == formNumber {
				value = canonical(value)
			}
			if key != "" {
				value = key + "=" + value
			}
			parts = append(parts, value)
		}
	}
	if o.value != nil {
		collect("", o.value)
	}
	return Shorten(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("+-._=", r) {
			return r
		}
		return '_'
	}, strings.Join(parts, "+")), 60)
}

// canonical returns the canonical form of a number.
func canonical(s string) string {
	n, ok := scanNumber(s)
	if !ok {
		return s
	}
	if i, exact, _ := n.toInt(); exact {
		return i.String()
	}
	f, bad := n.toFloat(64)
	if bad != "" {
		return s
	}
	return strconv.FormatFloat(f, 'g', -1, 64)
}

// Shorten shortens an ASCII name that is longer than n, and appends a checksum of the whole name.
func Shorten(name string, n int) string {
	if len(name) <= n {
		return name
	}
	return fmt.Sprintf("%s~%.3x", name[:n-7], sha256.Sum256([]byte(name)))
}
