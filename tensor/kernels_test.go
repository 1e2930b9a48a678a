package tensor_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/engram-go/engram/tensor"
)

// Importing the library leaves the products of the rest of the process alone; package product replaces them.
func TestBLASIsTheProcessesOwn(t *testing.T) {
	if tensor.Library("dgemm_") == "" {
		t.Skip("this LibTorch exports no BLAS")
	}
	assert.Equal(t, tensor.Library("dgemm_"), tensor.Library("sgemm_"))
}
