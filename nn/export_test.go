package nn

// CopyInto is what every Load does, for tensors of any type.
func (s *State) CopyInto(ts []Named) error { return s.copyInto(ts) }
