// Package arithmetic holds C++; see README.md in the parent folder.
package arithmetic

// #cgo CXXFLAGS: -O3 -g0 -fopenmp -Wno-psabi
// #cgo LDFLAGS: -ldl -lgomp
import "C"

import (
	"embed"

	_ "github.com/engram-go/engram/tensor/internal/kernels"
)

// Headers are the headers that package tensor includes; see package kernels.
//
//go:embed *.h
var Headers embed.FS
