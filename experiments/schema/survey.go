package schema

import "reflect"

// A Survey is what a program does with the sections of a document: which kinds it knows for one, and which struct it
// decodes one into. So what a section may hold is said once, in the code that reads it.
type Survey struct {
	valid   map[string][]string
	decoded map[string]decoded
}

// decoded is what a section of a kind was decoded into, with the defaults that it held.
type decoded struct {
	kind string
	into reflect.Value
}

// Survey returns a copy of the document that takes note of how it is read. Its sections accept whatever they hold, so that
// the program goes on to those within.
func (d *Document) Survey() (*Document, *Survey) {
	c := d.Set()
	c.survey = &Survey{map[string][]string{}, map[string]decoded{}}
	return c, c.survey
}

// Kinds are those that the program knows for the section at a path, if the document gave it another one.
func (s *Survey) Kinds(path string) []string { return s.valid[path] }

// Decoded returns the struct, with its defaults, that the section at a path was decoded into, if it was as of that kind.
func (s *Survey) Decoded(path, kind string) (any, bool) {
	d, ok := s.decoded[path]
	if !ok || d.kind != kind {
		return nil, false
	}
	return d.into.Interface(), true
}

func (s *Survey) decoding(section *Section, target reflect.Value) {
	if s == nil {
		return
	}
	into := reflect.New(target.Type()).Elem()
	into.Set(target)
	s.decoded[section.path] = decoded{section.kind, into}
}

func (s *Survey) kinds(section *Section, valid []string) {
	if s != nil {
		s.valid[section.path] = valid
	}
}
