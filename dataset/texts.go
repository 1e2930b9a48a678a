package dataset

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Texts is a Set of labelled texts. It holds no images: [Tokenize] makes of it a set that networks can be given.
type Texts struct {
	names []string
	texts [][]string // by class
}

// NewTexts makes a set of texts, texts[i] of class names[i]. Names must differ, and a class must have a text; neither may be empty.
// The slices are kept, not copied.
func NewTexts(names []string, texts [][]string) (*Texts, error) {
	if len(names) != len(texts) {
		return nil, fmt.Errorf("dataset: %d class names, but texts of %d classes", len(names), len(texts))
	}
	seen := map[string]bool{}
	for i, name := range names {
		switch {
		case name == "":
			return nil, fmt.Errorf("dataset: class %d has no name", i)
		case seen[name]:
			return nil, fmt.Errorf("dataset: two classes are named %q: names must differ", name)
		case len(texts[i]) == 0:
			return nil, fmt.Errorf("dataset: class %q has no texts: a class needs at least one", name)
		case slices.Contains(texts[i], ""):
			return nil, fmt.Errorf("dataset: class %q has an empty text", name)
		}
		seen[name] = true
	}
	return &Texts{names, texts}, nil
}

// Classes implements Set.
func (t *Texts) Classes() int { return len(t.names) }

// Class implements Set.
func (t *Texts) Class(i int) string { return t.names[i] }

// Instances implements Set.
func (t *Texts) Instances(class int) int { return len(t.texts[class]) }

// Shape implements Set: there are no images.
func (t *Texts) Shape() (channels, height, width int) { return 0, 0, 0 }

// Image implements Set. It panics: a text is no image.
func (t *Texts) Image([]float32, int, int, int) {
	panic("dataset: a set of texts has no images; use Tokenize")
}

// Text returns a text.
func (t *Texts) Text(class, instance int) string { return t.texts[class][instance] }

// All calls yield for each text, class by class.
func (t *Texts) All(yield func(text string) bool) {
	for _, class := range t.texts {
		for _, text := range class {
			if !yield(text) {
				return
			}
		}
	}
}

// Len returns the number of texts.
func (t *Texts) Len() (n int) {
	for _, class := range t.texts {
		n += len(class)
	}
	return n
}

// Checksum is the SHA-256, in hexadecimal, of the classes and their texts.
func (t *Texts) Checksum() string {
	sum := sha256.New()
	for i, name := range t.names {
		fmt.Fprintf(sum, "%q %d\n", name, len(t.texts[i]))
		for _, text := range t.texts[i] {
			fmt.Fprintf(sum, "%q\n", text)
		}
	}
	return fmt.Sprintf("%x", sum.Sum(nil))
}

// Distinct returns the set without the texts that an earlier one of their class equals but for case and white space, and how many
// these are.
func (t *Texts) Distinct() (distinct *Texts, dropped int) {
	out := &Texts{t.names, make([][]string, len(t.texts))}
	for i, class := range t.texts {
		seen := map[string]bool{}
		for _, text := range class {
			key := textKey(text)
			if seen[key] {
				dropped++
				continue
			}
			seen[key] = true
			out.texts[i] = append(out.texts[i], text)
		}
	}
	return out, dropped
}

// Without returns the texts of all classes but one, and those of that class; the latter are nil where there is no such class, and
// the former where there is no other.
func (t *Texts) Without(class string) (rest, of *Texts) {
	rest = &Texts{}
	for i, name := range t.names {
		if name == class {
			of = &Texts{[]string{name}, t.texts[i : i+1]}
		} else {
			rest.names, rest.texts = append(rest.names, name), append(rest.texts, t.texts[i])
		}
	}
	if len(rest.names) == 0 {
		rest = nil
	}
	return rest, of
}

// textKey is the same for texts that differ in case and white space alone.
func textKey(text string) string { return strings.Join(strings.Fields(strings.ToLower(text)), " ") }

// JoinTexts returns one set with the classes of several and the texts of all, in their order.
func JoinTexts(sets ...*Texts) *Texts {
	g := newTextGroups()
	for _, s := range sets {
		for i, name := range s.names {
			for _, text := range s.texts[i] {
				g.add(name, text)
			}
		}
	}
	out, _ := g.set() // there are classes, since sets have
	return out
}

// textGroups collects texts by class.
type textGroups struct{ by map[string][]string }

func newTextGroups() *textGroups { return &textGroups{map[string][]string{}} }

func (g *textGroups) add(class, text string) { g.by[class] = append(g.by[class], text) }

// set returns the texts with the classes sorted by name.
func (g *textGroups) set() (*Texts, error) {
	if len(g.by) == 0 {
		return nil, errors.New("there are no texts")
	}
	t := &Texts{}
	for name := range g.by {
		t.names = append(t.names, name)
	}
	slices.Sort(t.names)
	for _, name := range t.names {
		t.texts = append(t.texts, g.by[name])
	}
	return t, nil
}

// Text returns a text of a set of texts, or of one made from it; false where the set has none.
func Text(set Set, class, instance int) (text string, ok bool) {
	switch s := set.(type) {
	case *Texts:
		return s.Text(class, instance), true
	case part:
		class, instance, _ = s.in(class, instance, 0)
		return Text(s.whole(), class, instance)
	}
	return "", false
}

// HoldsTexts reports whether a set is of texts, or made from one. A set without classes is of no texts.
func HoldsTexts(set Set) bool {
	if set == nil || set.Classes() == 0 {
		return false
	}
	_, ok := Text(set, 0, 0)
	return ok
}

// Tokens is a Set of texts as rows of tokens, in the place of images: one channel of one row. The numbers of tokens are not bound
// to [0, 1], and there are no bytes. See [Rows].
type Tokens struct {
	set     Set
	rows    [][][]int32
	longest int
	cut     int
}

// Tokenize returns a set of texts as rows of tokens. encode returns a text's tokens, at least one, each above 0, and whether
// more of the text was cut off. It panics for a set of no texts.
func Tokenize(set Set, encode func(text string) (tokens []int32, cut bool)) *Tokens {
	t := &Tokens{set: set, rows: make([][][]int32, set.Classes()), longest: 1}
	for c := range t.rows {
		t.rows[c] = make([][]int32, set.Instances(c))
		for i := range t.rows[c] {
			text, ok := Text(set, c, i)
			if !ok {
				panic("dataset: only texts can be tokenized")
			}
			row, cut := encode(text)
			if cut {
				t.cut++
			}
			t.rows[c][i], t.longest = row, max(t.longest, len(row))
		}
	}
	return t
}

// JoinTokens returns one set with the classes of several, one after another, also where they have the same names.
func JoinTokens(sets ...*Tokens) *Tokens {
	texts, out := &Texts{}, &Tokens{longest: 1}
	for _, s := range sets {
		for c := range s.rows {
			class := make([]string, len(s.rows[c]))
			for i := range class {
				class[i], _ = Text(s.set, c, i)
			}
			texts.names, texts.texts = append(texts.names, s.Class(c)), append(texts.texts, class)
		}
		out.rows = append(out.rows, s.rows...)
		out.longest, out.cut = max(out.longest, s.longest), out.cut+s.cut
	}
	out.set = texts
	return out
}

// Classes implements Set.
func (t *Tokens) Classes() int { return len(t.rows) }

// Class implements Set.
func (t *Tokens) Class(i int) string { return t.set.Class(i) }

// Instances implements Set.
func (t *Tokens) Instances(class int) int { return len(t.rows[class]) }

// Shape implements Set: one channel of one row, as long as the longest.
func (t *Tokens) Shape() (channels, height, width int) { return 1, 1, t.longest }

// Image implements Set: the tokens as numbers, and zeros behind them. A text has no rotations: any but 0 panics.
func (t *Tokens) Image(dst []float32, class, instance, quarter int) {
	if quarter&3 != 0 {
		panic("dataset: texts cannot be rotated")
	}
	dst = dst[:t.longest]
	clear(dst)
	for i, id := range t.rows[class][instance] {
		dst[i] = float32(id)
	}
}

// Longest is the number of tokens of the longest row.
func (t *Tokens) Longest() int { return t.longest }

// Cut is how many texts were longer than their row.
func (t *Tokens) Cut() int { return t.cut }

// Row returns the tokens of a text, which must not be changed.
func (t *Tokens) Row(class, instance int) []int32 { return t.rows[class][instance] }

func (t *Tokens) whole() Set                               { return t.set }
func (t *Tokens) in(class, inst, turn int) (int, int, int) { return class, inst, turn }

// Documents returns for each of size tokens the number of texts that hold it, and the number of texts.
func (t *Tokens) Documents(size int) (count []int, texts int) {
	count = make([]int, size)
	seen := make([]int, size) // the last text that held a token, counted from 1
	for _, class := range t.rows {
		for _, row := range class {
			texts++
			for _, id := range row {
				if seen[id] != texts {
					seen[id] = texts
					count[id]++
				}
			}
		}
	}
	return count, texts
}

// Rows returns a function that gives the tokens of a text of a set of [Tokens], or of some classes of one; nil for other sets. The
// tokens must not be changed.
func Rows(set Set) func(class, instance int) []int32 {
	switch s := set.(type) {
	case *Tokens:
		return s.Row
	case part:
		if rows := Rows(s.whole()); rows != nil {
			return func(class, instance int) []int32 {
				class, instance, _ = s.in(class, instance, 0)
				return rows(class, instance)
			}
		}
	}
	return nil
}

// Lengths says how long the rows of sets are, in a sentence.
func Lengths(sets ...*Tokens) string {
	var all []int
	cut, longest := 0, 0
	for _, t := range sets {
		for _, class := range t.rows {
			for _, row := range class {
				all = append(all, len(row))
			}
		}
		cut += t.cut
		longest = max(longest, t.longest)
	}
	if len(all) == 0 {
		return "there are no texts"
	}
	slices.SortFunc(all, cmp.Compare)
	text := fmt.Sprintf("%d texts of %d to %d tokens, half of them of at most %d, padded to the longest of a batch", len(all), all[0], longest, all[(len(all)-1)/2])
	if cut > 0 {
		text += fmt.Sprintf("; %d are longer and cut off", cut)
	}
	return text
}
