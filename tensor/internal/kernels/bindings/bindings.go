// Package bindings has the bodies of the gotch functions that Engram calls; see README.md of the folder above.
package bindings

import "C"

import _ "github.com/engram-go/engram/tensor/internal/kernels"
