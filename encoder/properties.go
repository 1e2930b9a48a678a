package encoder

// HasDropout reports whether an encoder has dropout in training passes: the result of its method HasDropout() bool,
// or false without one.
//
// The inner steps of MAML and Reptile run without Training, hence without dropout, so these networks refuse such an
// encoder.
func HasDropout(e Encoder) bool {
	d, ok := e.(interface{ HasDropout() bool })
	return ok && d.HasDropout()
}

// UsesBatchStatistics reports whether embeddings under [nn.BatchStats] depend on the other inputs of the batch: the
// result of the encoder's method UsesBatchStatistics() bool, or true without one. If not, every [nn.Norm] gives the
// same embeddings in a test, which is then inductive.
func UsesBatchStatistics(e Encoder) bool {
	s, ok := e.(interface{ UsesBatchStatistics() bool })
	return !ok || s.UsesBatchStatistics()
}

// HasDropout implements [HasDropout].
func (e *ResNet12) HasDropout() bool { return e.drop > 0 }

// UsesBatchStatistics implements [UsesBatchStatistics]: only the variant with batch norm does.
func (e *Koch) UsesBatchStatistics() bool { return e.layers[0].norm != nil }

// UsesBatchStatistics implements [UsesBatchStatistics].
func (e *Pixels) UsesBatchStatistics() bool { return false }
