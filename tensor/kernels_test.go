package tensor_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/engram-go/engram/tensor"
)

// Importing the library does not replace the BLAS of the process; package product does.
func TestBLASIsTheProcessesOwn(t *testing.T) {
	if tensor.Library("dgemm_") == "" {
		t.Skip("this LibTorch exports no BLAS")
	}
	assert.Equal(t, tensor.Library("dgemm_"), tensor.Library("sgemm_"))
}
