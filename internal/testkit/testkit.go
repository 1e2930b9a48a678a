// Package testkit holds helpers for the tests of several packages.
package testkit

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/engram-go/engram/tensor"
)

// Enter opens a scope for the rest of the test, which fails if tensors remain at its end.
func Enter(t testing.TB) {
	before := tensor.Live()
	s := tensor.Enter()
	t.Cleanup(func() {
		s.Leave()
		assert.Equal(t, before, tensor.Live(), "tensors left behind")
	})
}
