package encoder

// HasDropout reports whether an encoder drops activations at random in training passes. An encoder answers by a method
// HasDropout() bool; one without it has no dropout.
//
// Dropout acts only in passes with Training set. The inner steps of MAML and Reptile run without it, so these networks
// refuse such an encoder.
func HasDropout(e Encoder) bool {
	d, ok := e.(interface{ HasDropout() bool })
	return ok && d.HasDropout()
}

// UsesBatchStatistics reports whether embeddings under [nn.BatchStats] depend on the other inputs of the batch. Where they
// do not, every [nn.Norm] gives the same embeddings in a test, which is then inductive whatever norm was asked for. An
// encoder answers by a method UsesBatchStatistics() bool; one without it is assumed to use them.
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
