package results

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// protocolKey is a field of [Protocol].
type protocolKey struct {
	name   string // as result files have it
	method bool   // it describes the method and not the test
}

// protocolKeys are the fields of Protocol in their order.
var protocolKeys = func() (keys []protocolKey) {
	protocol := reflect.TypeFor[Protocol]()
	for i := range protocol.NumField() {
		tag := protocol.Field(i).Tag
		name, _, _ := strings.Cut(tag.Get("json"), ",")
		keys = append(keys, protocolKey{name, tag.Get("of") == "method"})
	}
	return keys
}()

// ProtocolKeys are the keys of a protocol, as result files have them; see [Protocol.Values].
func ProtocolKeys() (keys []string) {
	for _, k := range protocolKeys {
		keys = append(keys, k.name)
	}
	return keys
}

// Values are the protocol's values for [ProtocolKeys], empty where a key does not apply.
func (p Protocol) Values() (values []string) {
	fields := reflect.ValueOf(p)
	for i := range fields.NumField() {
		value := ""
		if !fields.Field(i).IsZero() {
			value = digits(fields.Field(i).Interface())
		}
		values = append(values, value)
	}
	return values
}

// String lists the keys that apply and their values.
func (p Protocol) String() string {
	var parts []string
	for i, v := range p.Values() {
		if v != "" {
			parts = append(parts, spaced(protocolKeys[i].name)+" "+v)
		}
	}
	return strings.Join(parts, ", ")
}

func spaced(key string) string { return strings.ReplaceAll(key, "_", " ") }

// differs lists the keys by which two protocols are of different tests, with both values. Keys of the method do not count.
func (p Protocol) differs(q Protocol) (out []string) {
	a, b := p.Values(), q.Values()
	for i, k := range protocolKeys {
		if !k.method && a[i] != b[i] {
			out = append(out, fmt.Sprintf("%s: %s against %s", spaced(k.name), or(a[i]), or(b[i])))
		}
	}
	slices.Sort(out)
	return out
}

// adaptations counts the keys of adaptation and precision in which two protocols differ.
func (p Protocol) adaptations(q Protocol) (n int) {
	a, b := p.Values(), q.Values()
	for i, k := range protocolKeys {
		if k.method && !strings.HasPrefix(k.name, "train") && a[i] != b[i] {
			n++
		}
	}
	return n
}

// or writes a value, or that there is none.
func or(v string) string {
	if v == "" {
		return "not set"
	}
	return v
}

// adaptation says how the network was adapted to each support set, empty where it was not.
func (p Protocol) adaptation() string {
	var parts []string
	if p.Adapted != "" {
		parts = append(parts, p.Adapted)
	}
	if p.InnerSteps > 0 {
		parts = append(parts, count(p.InnerSteps, "inner step"))
	}
	if p.FineTune > 0 {
		parts = append(parts, count(p.FineTune, "step")+" of fine-tuning")
	}
	return strings.Join(parts, ", ")
}

// transductive is the mode of batch norm, and the end of what [Protocol] says of an adaptation, in which the queries of an
// episode influence one another.
const transductive = "transductive"

// adaptedByQueries reports whether an adaptation, as [Protocol] has it, lets the queries of an episode influence one another.
func adaptedByQueries(adapted string) bool { return strings.HasSuffix(adapted, ", "+transductive) }

// Distinct returns a name for each figure, unlike any other's of the same metric where the protocols differ: the figure's own
// name, followed by those keys of the protocol in which figures of that name and metric differ. The name of a figure of a
// transductive head says so in any case.
func Distinct(figures []Figure) []string {
	names := make([]string, len(figures))
	for i, f := range figures {
		names[i] = f.Name
		d := distinction(figures, i, nil)
		if adaptedByQueries(f.Protocol.Adapted) && !strings.Contains(d, f.Protocol.Adapted) {
			d = strings.TrimPrefix(d+", "+transductive, ", ")
		}
		if d != "" {
			names[i] += " (" + d + ")"
		}
	}
	return names
}

// distinction lists the values of the i-th figure for the keys in which figures of its name and metric differ, but for some keys.
func distinction(figures []Figure, i int, but []string) string {
	f := figures[i]
	own := f.Protocol.Values()
	differ := make([]bool, len(own))
	for _, g := range figures {
		if g.Name != f.Name || g.Metric != f.Metric {
			continue
		}
		for k, v := range g.Protocol.Values() {
			differ[k] = differ[k] || v != own[k]
		}
	}
	var parts []string
	for k, key := range protocolKeys {
		if differ[k] && !slices.Contains(but, key.name) {
			parts = append(parts, spaced(key.name)+" "+or(own[k]))
		}
	}
	return strings.Join(parts, ", ")
}

// count writes a number of things, in the singular for one.
func count[N int | int64](n N, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}
