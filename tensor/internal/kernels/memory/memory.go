// Package memory holds C++; see README.md of the folder above.
package memory

// #cgo CXXFLAGS: -O3 -g0 -fopenmp -Wno-psabi
// #cgo LDFLAGS: -ldl -lgomp
import "C"

import (
	"embed"

	_ "github.com/engram-go/engram/tensor/internal/kernels"
)

// Headers are what package tensor includes; see package kernels.
//
//go:embed *.h
var Headers embed.FS
