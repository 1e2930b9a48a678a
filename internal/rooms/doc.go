// Package rooms tests the structure of the project: the allowed imports of each folder, and that each kind of part is
// named in one place.
package rooms
