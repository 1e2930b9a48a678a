// Package schema reads experiment files strictly: YAML into typed Go structs, with every mistake reported at its file
// and line, and a suggestion for near misses. It knows nothing of particular experiments.
//
// # Fields
//
// A struct field is read from the key in its yaml tag (by default the lower-case field name; "-" omits it; ",inline"
// adds the fields of a nested struct). Supported are bool, integers, floats, strings, types with UnmarshalText,
// slices, maps with string keys, structs, pointers to these, and [Section]. Further tags:
//
//	doc:"..."         a line for the documentation
//	required:"true"   the key must be in the file
//	min:"1" max:"9"   inclusive bounds; on a slice or map, of each element
//	above:"0" below:"1"   exclusive bounds
//	minlen:"1" maxlen:"9" bounds on the length of a slice, a map or a text
//	enum:"a,b,c"      the allowed values; on a slice or map, of each element
//	finite:"false"    allows a float to be .inf or .nan
//
// # Defaults
//
// Fields that the file omits keep their value. A list or map in the file replaces the whole default. New elements of
// lists and maps, and newly allocated pointers, start from [Defaulter] if the type implements it. nil and empty lists
// (or maps) are the same: [] in the file reads as nil. A default outside its field's bounds is reported as a missing
// value.
//
// A bare "key:" keeps the defaults of a struct; null sets a pointer to nil and a Section to its zero value; both are
// errors elsewhere.
//
// # Base files
//
// The keys base and matrix belong to the file, not to the struct. [Parse] reads a file and its base,
// [Document.Matrix] returns the overrides that make several runs of it. [JSONSchema] describes the structs for
// editors.
//
// # YAML
//
// Anchors, aliases, merge keys and tags are errors, so that each value is written in one place and an override
// changes one value. Integers may be written 10_000, 1e4 or 0xff. Numbers with a leading zero are errors because YAML
// versions disagree on them; yes, no, on and off are texts.
package schema
