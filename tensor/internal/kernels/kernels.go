// Package kernels holds the C++ that all folders below it share; see README.md.
package kernels

import "embed"

// Headers are the headers that several folders include. Go's build cache does not track headers of other folders, but a
// package that embeds its headers changes with them, and so does every package that imports it. The packages of the
// folders import this one, so that a change of these headers recompiles all of them, and a change of a folder's C++ only
// that folder.
//
//go:embed *.h arithmetic/*.h
var Headers embed.FS
