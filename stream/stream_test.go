package stream_test

import (
	"testing"

	"github.com/engram-go/engram/stream"
	"github.com/stretchr/testify/assert"
)

func TestSameArgumentsGiveTheSameSequence(t *testing.T) {
	a, b := stream.New(7, "data", 3), stream.New(7, "data", 3)
	for range 100 {
		assert.Equal(t, a.Uint64(), b.Uint64())
	}
}

func TestStreamsDiffer(t *testing.T) {
	first := stream.New(7, "data", 3).Uint64()
	for name, other := range map[string]uint64{
		"seed":         stream.New(8, "data", 3).Uint64(),
		"name":         stream.New(7, "init", 3).Uint64(),
		"index":        stream.New(7, "data", 4).Uint64(),
		"index length": stream.New(7, "data", 3, 0).Uint64(),
		"no index":     stream.New(7, "data").Uint64(),
	} {
		assert.NotEqual(t, first, other, name)
	}
}

// The figures of committed results depend on these draws, so a change of generator must be intended.
func TestSequenceIsPinned(t *testing.T) {
	r := stream.New(1, "data", 0)
	assert.Equal(t, []uint64{17284767408052580433, 8708816871115398333}, []uint64{r.Uint64(), r.Uint64()})
}
