package nn

// CopyInto copies the state as Load does, into tensors of any type.
func (s *State) CopyInto(ts []Named) error { return s.copyInto(ts) }
