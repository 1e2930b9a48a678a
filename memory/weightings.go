package memory

import "github.com/engram-go/engram/tensor"

// Weightings returns where the heads of a memory that is driven step by step read and wrote at the step that left a state,
// [batch, heads, slots] each; nil where the state has no such weighting. A state that is not of this package shows its own
// by tensors named "read" and "write", or by methods Read and Write as [NTMState] has them.
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
