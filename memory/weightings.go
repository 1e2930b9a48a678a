package memory

import "github.com/engram-go/engram/tensor"

// Weightings returns the read and write weightings [batch, heads, slots] of the step that returned the state of a
// recurrent memory, nil if it has none. States of other packages provide them as tensors named "read" and "write", or
// by methods Read and Write like [NTMState].
func Weightings(s State) (read, write *tensor.Tensor) {
	if w, ok := s.(interface {
		Read() *tensor.Tensor
		Write() *tensor.Tensor
	}); ok {
		return w.Read(), w.Write()
	}
	for _, named := range s.Tensors() {
		switch named.Name {
		case "read":
			read = named.Tensor
		case "write":
			write = named.Tensor
		}
	}
	return read, write
}
