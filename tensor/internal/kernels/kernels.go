// Package kernels holds what the C++ of all rooms below it shares. README.md is the map.
package kernels

import "embed"

// Headers are those that several rooms include. Go's build cache does not look into headers of another folder; but a package
// that embeds its headers changes with them, and with it every package that imports it. Rooms import this package, so that a
// change of these headers compiles every room anew, and a change of a room's C++ that room alone.
//
//go:embed *.h arithmetic/*.h
var Headers embed.FS
