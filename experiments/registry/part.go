package registry

import (
	"fmt"
	"slices"

	"github.com/engram-go/engram/experiments/schema"
)

// A Part is one kind of a family: a memory, a network, a data set. It is all that Engram needs to know of the kind; what files
// may say, messages, the JSON Schema, completion and documentation are derived from it.
type Part[T any] struct {
	// Name is what files call the part: lower-case words with hyphens between them.
	Name string
	// Doc says in one sentence what the part is.
	Doc string
	// Paper names the publication, with the section where that helps; empty where there is none.
	Paper string
	// Make reads the part's configuration and plans the part.
	Make Maker[T]
}

// A Maker is a configuration with defaults and what is planned from it. [Config], [Plain] and [Associative] give one.
type Maker[T any] struct {
	config func() any
	plan   func(config any) (T, error)
}

// Config gives the Maker of a part with a configuration: a struct whose fields are the keys that files may set, with the tags
// that package schema describes. Its defaults are those of the value given here and stand nowhere else.
//
// plan is called with a copy of the defaults in which the file's keys have been set, after they have been read without a mistake and
// before any data is loaded. It should refuse whatever can be refused, with [schema.At] to name the key. It may keep the pointer.
func Config[C, T any](defaults C, plan func(c *C) (T, error)) Maker[T] {
	return Maker[T]{
		config: func() any { c := defaults; return &c },
		plan:   func(config any) (T, error) { return plan(config.(*C)) },
	}
}

// Plain gives the Maker of a part without a configuration.
func Plain[T any](part T) Maker[T] {
	return Config(struct{}{}, func(*struct{}) (T, error) { return part, nil })
}

// as gives the Maker of a part of another family that has the same configuration.
func as[T, U any](m Maker[T], to func(T) U) Maker[U] {
	return Maker[U]{config: m.config, plan: func(config any) (U, error) {
		planned, err := m.plan(config)
		return to(planned), err
	}}
}

// A Table lists the parts of a family. The zero value is empty.
type Table[T any] struct{ parts []Part[T] }

// Add appends parts. It panics where a part lacks a name, a sentence or a Maker, or where the table has its name already:
// mistakes of the program that declares it.
func (t *Table[T]) Add(parts ...Part[T]) {
	for _, p := range parts {
		if p.Name == "" || p.Doc == "" || p.Make.config == nil {
			panic(fmt.Sprintf("registry: part %q needs a name, a sentence and a Maker", p.Name))
		}
		if t.find(p.Name) != nil {
			panic(fmt.Sprintf("registry: there are two parts named %q in one table", p.Name))
		}
		t.parts = append(t.parts, p)
	}
}

// Names lists the parts' names in the order in which they were added.
func (t *Table[T]) Names() []string {
	names := make([]string, len(t.parts))
	for i, p := range t.parts {
		names[i] = p.Name
	}
	return names
}

func (t *Table[T]) find(name string) *Part[T] {
	if i := slices.IndexFunc(t.parts, func(p Part[T]) bool { return p.Name == name }); i >= 0 {
		return &t.parts[i]
	}
	return nil
}

// Plan plans the part that a section of a file names, after the file has been decoded. If the section could not be read, which has been
// reported already, the error is [schema.ErrUnread], which schema.Join leaves out.
func (t *Table[T]) Plan(s *schema.Section) (T, error) {
	var none T
	part := t.find(s.Kind())
	if part == nil || s.Resolved() == nil {
		return none, schema.ErrUnread
	}
	planned, err := part.Make.plan(s.Resolved())
	return planned, s.Invalid(err)
}

// Default plans the part of a name with its default configuration.
func (t *Table[T]) Default(name string) (T, error) {
	part := t.find(name)
	if part == nil {
		var none T
		return none, fmt.Errorf("registry: there is no %q; there are %q", name, t.Names())
	}
	return part.Make.plan(part.Make.config())
}

// rows is a table as the catalog uses it.
type rows interface {
	infos() []Info
	config(kind string) any
}

// Info describes a part for a person.
type Info struct {
	Name, Doc, Paper string
	// Config points to the defaults of the part's keys.
	Config any
}

func (t *Table[T]) infos() []Info {
	out := make([]Info, len(t.parts))
	for i, p := range t.parts {
		out[i] = Info{p.Name, p.Doc, p.Paper, p.Make.config()}
	}
	return out
}

func (t *Table[T]) config(kind string) any {
	if p := t.find(kind); p != nil {
		return p.Make.config()
	}
	return nil
}
