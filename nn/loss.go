package nn

import "github.com/engram-go/engram/tensor"

// SmoothedNLL returns the mean cross-entropy of log-probabilities [n, classes] against smoothed labels, (1-ε) on the class of
// labels [n] (int64) and ε spread evenly over all classes: Szegedy et al. 2016, section 7, and PyTorch's label_smoothing. With an
// ε of 0 it is [tensor.NLL].
func SmoothedNLL(logp, labels *tensor.Tensor, epsilon float64) *tensor.Tensor {
	nll := tensor.NLL(logp, labels)
	if epsilon == 0 {
		return nll
	}
	return nll.MulScalar(1 - epsilon).Sub(logp.Mean().MulScalar(epsilon))
}
