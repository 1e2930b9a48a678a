package weights

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/engram-go/engram/nn"
)

// Guess pairs a network's parameters and buffers with the tensors of a file.
//
// Pairs of the given map are kept; the map may be nil or name only some of the parameters. Equal names are paired,
// unless names that differ only in their numbers are not the same on both sides: then the file counts otherwise.
// The rest is paired layer by layer. Tensors that share the name before the last dot are one layer. Running
// statistics or a weight of one dimension make it a norm, a weight of two dimensions a linear layer, of three or four
// a convolution. Layers of one kind with the same shapes are paired in the order of the numbers in their names, if
// their names differ only in these numbers. What is left is paired if there is one tensor of a shape, or of a last
// part of the name, on each side.
//
// The order of the tensors in the file has no influence. If more than one pairing fits, none is chosen: [Load]
// refuses the map and lists the candidates, and [Map.Encode] writes them as comments. Remaining tensors of other than
// floating point are added to the ignored ones. Tensors of a file that was given for a part of the network are paired
// with parameters of this part only; see [OpenAll].
func Guess(ps *nn.Params, f *File, given *Map) *Map {
	g := &guess{out: &Map{Names: map[string]string{}}}
	if given != nil {
		maps.Copy(g.out.Names, given.Names)
		g.out.Ignore = slices.Clone(given.Ignore)
	}
	g.file = f
	parts := f.parts()
	for _, p := range ps.All() {
		m := &member{name: p.Name, shape: p.Value().Shape()}
		for _, part := range parts {
			if inPart(p.Name, part) && len(part) > len(m.part) {
				m.part = part
			}
		}
		g.ours = append(g.ours, m)
	}
	for _, t := range f.Tensors {
		if !g.out.ignores(t) && t.storage.dtype.float != nil {
			g.theirs = append(g.theirs, &member{name: t.Name, shape: t.Shape, part: t.part})
		}
	}
	setKinds(g.ours)
	setKinds(g.theirs)

	g.byName()
	g.followLayers()
	g.byLayer()
	g.single(func(m *member) string { return fmt.Sprint(leaf(m.name), m.shape) })
	g.single(func(m *member) string { return fmt.Sprint(m.shape) })
	g.single(func(m *member) string { return leaf(m.name) })

	g.listOpen()
	for _, t := range f.Tensors {
		own := slices.ContainsFunc(g.ours, func(o *member) bool { return slices.Contains(t.names(), o.name) })
		if t.storage.dtype.float == nil && !own && !g.out.ignores(t) && !g.out.uses(t) {
			g.out.Ignore = append(g.out.Ignore, t.Name)
		}
	}
	return g.out
}

// member is a tensor of a layer, of the network or the file.
type member struct {
	name    string
	shape   []int64
	part    string  // of the network, if a file was given for one; "" otherwise
	kind    string  // of its layer, "" if unknown
	partner *member // nil while unpaired
}

// choice is a parameter with more than one candidate in the file.
type choice struct {
	name       string
	shape      []int64
	candidates []string
}

type guess struct {
	file         *File
	ours, theirs []*member
	out          *Map
}

// layerOf returns the name before the last dot.
func layerOf(name string) string { return strings.TrimSuffix(name[:len(name)-len(leaf(name))], ".") }

// setKinds sets the kind of every member from the tensors of its layer.
func setKinds(ms []*member) {
	kinds := map[string]string{}
	for _, m := range ms {
		l := layerOf(m.name)
		switch leaf(m.name) {
		case "running_mean", "running_var":
			kinds[l] = "norm"
		case "weight":
			if kinds[l] == "" {
				kinds[l] = map[int]string{1: "norm", 2: "linear", 3: "convolution", 4: "convolution"}[len(m.shape)]
			}
		}
	}
	for _, m := range ms {
		m.kind = kinds[layerOf(m.name)]
	}
}

// pair pairs two members. Unless their names are equal, this is a guess.
func (g *guess) pair(ours, theirs *member) {
	ours.partner, theirs.partner = theirs, ours
	g.out.Names[ours.name] = theirs.name
	if ours.name != theirs.name {
		g.out.guessed = append(g.out.guessed, ours.name)
	}
}

// byName pairs as the given map does, and then equal names.
func (g *guess) byName() {
	find := func(name string) *member {
		t := g.file.find(name)
		if t == nil {
			return nil
		}
		if i := slices.IndexFunc(g.theirs, func(m *member) bool { return m.name == t.Name }); i >= 0 {
			return g.theirs[i]
		}
		return nil
	}
	for _, o := range g.ours {
		if name, ok := g.out.Names[o.name]; ok {
			o.partner = &member{name: name} // kept, whether or not the file has it
			if t := find(name); t != nil {
				o.partner, t.partner = t, o
			}
		}
	}
	counted := g.countedAlike()
	for _, o := range g.ours {
		if t := find(o.name); o.partner == nil && t != nil && t.partner == nil && counted[formOf(layerOf(o.name))] {
			g.pair(o, t)
			g.out.Names[o.name] = o.name // t may have the name as one of several
		}
	}
}

// formOf is the name of a layer with # for its numbers.
func formOf(layer string) string { return numeral.ReplaceAllString(layer, "#") }

// countedAlike tells for each form of our layers' names whether the file has the same names of this form, and no others. Where
// it has not, it counts otherwise, as from 0: block2 is another layer then, though it is a name of ours.
func (g *guess) countedAlike() map[string]bool {
	names := [2]map[string]map[string]bool{{}, {}} // of layers, by their form
	add := func(side int, name string) {
		layer := layerOf(name)
		form := formOf(layer)
		if names[side][form] == nil {
			names[side][form] = map[string]bool{}
		}
		names[side][form][layer] = true
	}
	for _, o := range g.ours {
		if o.partner == nil {
			add(0, o.name)
		}
	}
	for _, t := range g.theirs {
		if t.partner != nil {
			continue
		}
		for _, name := range g.file.find(t.name).names() {
			add(1, name)
		}
	}
	out := map[string]bool{}
	for form, ours := range names[0] {
		out[form] = maps.Equal(ours, names[1][form])
	}
	return out
}

// followLayers pairs the rest of each layer that is paired in part.
func (g *guess) followLayers() {
	layers := map[string]string{}
	for _, o := range g.ours {
		if o.partner != nil {
			layers[layerOf(o.name)] = layerOf(o.partner.name)
		}
	}
	for _, o := range g.ours {
		l, ok := layers[layerOf(o.name)]
		if o.partner != nil || !ok || l == "" {
			continue
		}
		for _, t := range g.theirs {
			if t.partner == nil && layerOf(t.name) == l && leaf(t.name) == leaf(o.name) && slices.Equal(t.shape, o.shape) {
				g.pair(o, t)
				break
			}
		}
	}
}

// layer is the unpaired members of a layer.
type layer struct {
	name    string
	members []*member // by their last parts
	numbers []string  // in the name, in order
	form    string    // the name with # for its numbers
}

var numeral = regexp.MustCompile(`[0-9]+`)

// layers groups unpaired members into layers, keyed by kind, last parts and shapes. Each list is in natural order of
// names.
func layers(ms []*member) map[string][]*layer {
	byName := map[string]*layer{}
	for _, m := range ms {
		if m.partner != nil {
			continue
		}
		name := layerOf(m.name)
		if byName[name] == nil {
			byName[name] = &layer{name: name, numbers: numeral.FindAllString(name, -1), form: formOf(name)}
		}
		byName[name].members = append(byName[name].members, m)
	}
	out := map[string][]*layer{}
	for _, l := range byName {
		slices.SortFunc(l.members, func(a, b *member) int { return cmp.Compare(a.name, b.name) })
		key := l.members[0].part + " " + l.members[0].kind
		for _, m := range l.members {
			key += fmt.Sprint(" ", leaf(m.name), m.shape)
		}
		out[key] = append(out[key], l)
	}
	for _, ls := range out {
		slices.SortFunc(ls, byNumbers)
	}
	return out
}

// byNumbers compares layers whose names have the same form by the numbers in them.
func byNumbers(a, b *layer) int {
	for i := range min(len(a.numbers), len(b.numbers)) {
		if c := natural(a.numbers[i], b.numbers[i]); c != 0 {
			return c
		}
	}
	return cmp.Compare(a.name, b.name)
}

// byForm groups layers by the form of their names, preserving their order.
func byForm(ls []*layer) map[string][]*layer {
	out := map[string][]*layer{}
	for _, l := range ls {
		out[l.form] = append(out[l.form], l)
	}
	return out
}

// counts returns the sizes of groups, sorted.
func counts(groups map[string][]*layer) []int {
	var out []int
	for _, ls := range groups {
		out = append(out, len(ls))
	}
	slices.Sort(out)
	return out
}

// byLayer pairs whole layers.
func (g *guess) byLayer() {
	type pairing struct{ ours, theirs *layer }
	proposed := map[[2]string][]pairing{} // by the forms of both names
	theirs := layers(g.theirs)
	for key, ours := range layers(g.ours) {
		left, right := byForm(ours), byForm(theirs[key])
		sizes := counts(left)
		if !slices.Equal(sizes, counts(right)) || len(slices.Compact(slices.Clone(sizes))) != len(sizes) {
			continue // forms of equal size are interchangeable
		}
		for form, ls := range left {
			for other, rs := range right {
				if len(ls) != len(rs) || !sameNesting(ls, rs) {
					continue
				}
				for i := range ls {
					at := [2]string{form, other}
					proposed[at] = append(proposed[at], pairing{ls[i], rs[i]})
				}
			}
		}
	}
	for _, ps := range proposed {
		slices.SortFunc(ps, func(a, b pairing) int { return byNumbers(a.ours, b.ours) })
		// Shapes that contradict the order of the numbers show that the numbers do not count layers.
		if !slices.IsSortedFunc(ps, func(a, b pairing) int { return byNumbers(a.theirs, b.theirs) }) {
			continue
		}
		for _, p := range ps {
			for i := range p.ours.members {
				g.pair(p.ours.members[i], p.theirs.members[i])
			}
		}
	}
}

// sameNesting reports whether the numbers in the names of two lists of layers nest in the same way: four blocks of
// three layers differ from three groups of four. A list in which only one number varies matches any.
func sameNesting(a, b []*layer) bool {
	na, nb := nesting(a), nesting(b)
	flat := func(n []int) bool { return len(n) == 0 || slices.Max(n) == 0 }
	return flat(na) || flat(nb) || slices.Equal(na, nb)
}

// nesting returns, for each layer after the first, which number differs from the previous one. Constant numbers do
// not count.
func nesting(ls []*layer) []int {
	var out []int
	for i := 1; i < len(ls); i++ {
		k := 0
		for ; k < len(ls[i].numbers)-1 && natural(ls[i].numbers[k], ls[i-1].numbers[k]) == 0; k++ {
		}
		out = append(out, k)
	}
	levels := slices.Compact(slices.Sorted(slices.Values(out)))
	for i, k := range out {
		out[i] = slices.Index(levels, k)
	}
	return out
}

// compatible reports whether the layers of two members can be of one kind, in one part of the network.
func compatible(a, b *member) bool {
	return a.part == b.part && (a.kind == b.kind || a.kind == "" || b.kind == "")
}

// single pairs members whose key is unique on each side.
func (g *guess) single(key func(*member) string) {
	group := func(ms []*member) map[string][]*member {
		out := map[string][]*member{}
		for _, m := range ms {
			if m.partner == nil {
				k := m.part + " " + key(m)
				out[k] = append(out[k], m)
			}
		}
		return out
	}
	theirs := group(g.theirs)
	for k, os := range group(g.ours) {
		if ts := theirs[k]; len(os) == 1 && len(ts) == 1 && compatible(os[0], ts[0]) {
			g.pair(os[0], ts[0])
		}
	}
}

// listOpen lists candidates for the parameters that are still unpaired.
func (g *guess) listOpen() {
	for _, o := range g.ours {
		if o.partner != nil {
			continue
		}
		var alike, others []string
		for _, t := range g.theirs {
			if t.partner != nil || !slices.Equal(t.shape, o.shape) || !compatible(o, t) {
				continue
			}
			if leaf(t.name) == leaf(o.name) {
				alike = append(alike, t.name)
			} else {
				others = append(others, t.name)
			}
		}
		if len(alike) > 0 {
			others = alike
		}
		if len(others) > 0 {
			slices.SortFunc(others, natural)
			g.out.open = append(g.out.open, choice{o.name, o.shape, others})
		}
	}
	order := map[string]int{}
	for i, o := range g.ours {
		order[o.name] = i
	}
	slices.SortFunc(g.out.guessed, func(a, b string) int { return cmp.Compare(order[a], order[b]) })
}

// ignores reports whether a rule of the map, a name or a pattern of [path.Match], excludes a tensor.
func (m *Map) ignores(t *Tensor) bool {
	return slices.ContainsFunc(m.Ignore, func(rule string) bool { return matches(rule, t) })
}

// matches reports whether a rule matches any name of a tensor.
func matches(rule string, t *Tensor) bool {
	return slices.ContainsFunc(t.names(), func(name string) bool {
		ok, err := path.Match(rule, name)
		return rule == name || err == nil && ok
	})
}

// uses reports whether the map names a tensor.
func (m *Map) uses(t *Tensor) bool {
	for _, name := range m.Names {
		if slices.Contains(t.names(), name) {
			return true
		}
	}
	return false
}

// Guessed lists the pairs with different names that [Guess] chose, each as "parameter ← tensor", for a report that
// cannot be silenced.
func (m *Map) Guessed() []string {
	var out []string
	for _, ours := range m.guessed {
		out = append(out, ours+" ← "+m.Names[ours])
	}
	return out
}
