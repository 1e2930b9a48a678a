package schema

import (
	"slices"

	"gopkg.in/yaml.v3"
)

// mergeKeys merges the keys of a file's mapping over those of its base.
func (d *Document) mergeKeys(base, own *yaml.Node) *yaml.Node {
	m := *own
	m.Content = slices.Clone(base.Content)
	for i := 0; i+1 < len(own.Content); i += 2 {
		key, value := own.Content[i], own.Content[i+1]
		k := -1
		if key.Kind == yaml.ScalarNode {
			k = find(base, key.Value)
		}
		if k < 0 {
			m.Content = append(m.Content, key, value)
			continue
		}
		m.Content[k], m.Content[k+1] = key, d.merge(base.Content[k+1], value)
	}
	if n, ok := d.notes[own]; ok {
		d.notes[&m] = n
	}
	return &m
}

// merge merges a value of a file over its base's, as documented at [Parse].
func (d *Document) merge(base, own *yaml.Node) *yaml.Node {
	below, above := kindOf(base), kindOf(own)
	switch formOf(own) {
	case formEmpty:
		if formOf(base) == formMapping {
			return base
		}
	case formMapping:
		if above != "" && below != "" && above != below {
			break
		}
		if formOf(base) == formText {
			base = &yaml.Node{Kind: yaml.MappingNode, Line: own.Line, Content: d.asKind(base)}
		}
		if formOf(base) != formMapping {
			break
		}
		m := d.mergeKeys(base, own)
		if above != "" && below == "" {
			d.weaken(m, own)
		}
		return m
	case formText:
		if formOf(base) != formMapping || below != "" && above != below {
			break
		}
		kind := &yaml.Node{Kind: yaml.MappingNode, Line: own.Line, Content: d.asKind(own)}
		m := d.mergeKeys(base, kind)
		if below == "" {
			d.weaken(m, kind)
		}
		n := d.notes[own]
		n.short = own
		d.notes[m] = n
		return m
	}
	return own
}

// weaken marks the keys of a merged mapping that the file itself does not have.
func (d *Document) weaken(merged, own *yaml.Node) {
	for i := 0; i+1 < len(merged.Content); i += 2 {
		key, value := merged.Content[i], merged.Content[i+1]
		k := find(own, key.Value)
		if k < 0 {
			n := d.notes[key]
			n.weak = true
			d.notes[key] = n
		} else if formOf(value) == formMapping && formOf(own.Content[k+1]) == formMapping {
			d.weaken(value, own.Content[k+1])
		}
	}
}

// keep clears the mark of a key, because an override's path leads through it.
func (d *Document) keep(key *yaml.Node) {
	if n := d.notes[key]; n.weak {
		n.weak = false
		d.notes[key] = n
	}
}

// withoutWeak returns a section without the keys that belong only to its default kind.
func (d *Document) withoutWeak(n *yaml.Node) *yaml.Node {
	if n.Kind != yaml.MappingNode {
		return n
	}
	m := *n
	m.Content = nil
	for i := 0; i+1 < len(n.Content); i += 2 {
		if key := n.Content[i]; !d.notes[key].weak {
			m.Content = append(m.Content, key, d.withoutWeak(n.Content[i+1]))
		}
	}
	if note, ok := d.notes[n]; ok {
		d.notes[&m] = note
	}
	return &m
}
