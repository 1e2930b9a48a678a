// Package rooms holds the tests of the project's structure: which package may import which, and that each kind of part is named
// in one place.
package rooms
