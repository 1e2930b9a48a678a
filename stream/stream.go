// Package stream derives every random generator of Engram from a seed, the name of the stream, and an index such as
// the training step.
//
// Nothing in Engram draws from a shared generator. Data, initialisation and noise each have a stream, and each step
// of a stream has its own generator, so that a run resumed at step n makes the same draws as an uninterrupted one,
// independent of all other draws.
package stream

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
)

// New returns the generator of a stream at an index. Different names, indices or index lengths give independent
// generators; the same arguments always give the same one.
func New(seed uint64, name string, index ...uint64) *rand.Rand {
	key := make([]byte, 0, 16+len(name)+8*len(index))
	key = binary.LittleEndian.AppendUint64(key, seed)
	key = binary.LittleEndian.AppendUint64(key, uint64(len(name)))
	key = append(key, name...)
	for _, i := range index {
		key = binary.LittleEndian.AppendUint64(key, i)
	}
	sum := sha256.Sum256(key)
	return rand.New(rand.NewPCG(binary.LittleEndian.Uint64(sum[:8]), binary.LittleEndian.Uint64(sum[8:16])))
}
