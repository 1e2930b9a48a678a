// Package schema reads experiment files strictly: YAML into typed Go structs,
// with every mistake reported at its file and line, and a suggestion where
// there is a near miss. It knows nothing of particular experiments.
//
// # Fields
//
// A struct field is read from the key in its yaml tag (the lower-case field
// name where there is none; "-" leaves it out; ",inline" lifts the fields of a
// nested struct). Supported are bool, integers, floats, strings, types with
// UnmarshalText, slices, maps with string keys, structs, pointers to these,
// and [Section]. Further tags:
//
//	doc:"..."         a line for the documentation
//	required:"true"   the key must be in the file
//	min:"1" max:"9"   inclusive bounds; on a slice or map, of each element
//	above:"0" below:"1"   exclusive bounds
//	minlen:"1" maxlen:"9" bounds on the length of a slice, a map or a text
//	enum:"a,b,c"      the allowed values; on a slice or map, of each element
//	finite:"false"    lets a float be .inf or .nan
//
// # Defaults
//
// Fields that the file leaves out keep the value they had. A list or map in
// the file replaces the default one whole. New elements of lists and maps, and
// newly allocated pointers, start from [Defaulter] where the type has it. nil
// and empty lists (or maps) are the same: [] in the file reads as nil. A
// default that breaks its own field's bounds is reported as a missing value.
//
// A bare "key:" keeps the defaults of a struct; null sets a pointer to nil and
// a Section to its zero value; both are errors elsewhere.
//
// # Files that build on files
//
// The keys base and matrix belong to the file, whatever it is decoded into. [Parse]
// reads a file with those that it builds on, [Document.Matrix] gives the overrides
// that make many of it. [JSONSchema] describes the structs to editors.
//
// # YAML
//
// Anchors, aliases, merge keys and tags are refused, so that a file says what
// it means in one place and an override changes one thing. Integers may be
// written 10_000, 1e4 or 0xff; numbers with a leading zero are refused, since
// YAML versions disagree on them; yes, no, on and off are texts.
package schema
