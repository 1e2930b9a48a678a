// Package kernels holds what the C++ of all rooms below it shares. README.md is the map.
package kernels

import "embed"

// Go's build cache does not look into headers of another folder. Each room imports the packages whose headers it includes,
// and a package that embeds its headers changes with them, so that a change of a header compiles what includes it anew.
//
//go:embed *.h
var Headers embed.FS
