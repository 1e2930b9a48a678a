package tensor

// #include "internal/kernels/classifier/tune.h"
import "C"

import (
	"unsafe"

	"github.com/sugarme/gotch/libtch"
)

// Tuning is how [TuneWeights] tunes class weights. The loss of a task is
//
//	CrossEntropy · CE(support) - Marginal · H(mean p) + Conditional · mean H(p)
//
// with p the predicted probabilities of the queries: TIM (Boudiaf et al. 2020, equation 3) and what it generalises.
type Tuning struct {
	// Temperature τ: the logits are τ·(w·x - ½‖w‖²), equal to -τ/2·‖x - w‖² but for a term that all classes share.
	Temperature                         float64
	CrossEntropy, Marginal, Conditional float64
	Steps                               int
	Rate                                float64 // of Adam, with its usual betas of 0.9 and 0.999 and an ε of 1e-8
}

// TuneWeights returns class weights [tasks, way, width] tuned by Adam on embeddings [tasks, support + queries, width], of
// which the support examples, which come first, have labels [tasks, support] from 0 to way-1. It is one operation for all
// steps, in which the embeddings of a task stay in the processor's cache; nothing is recorded. It requires [FusesSteps]. The
// reference implementation is that of package head, by operations.
func TuneWeights(weights, embeddings, labels *Tensor, by Tuning) *Tensor {
	const op = "TuneWeights"
	c := C.struct_eg_tune{
		temperature: C.double(by.Temperature), cross_entropy: C.double(by.CrossEntropy), marginal: C.double(by.Marginal),
		conditional: C.double(by.Conditional), rate: C.double(by.Rate), steps: C.int64_t(by.Steps),
	}
	tuned := C.eg_tune_weights(&c, unsafe.Pointer(weights.ptr(op)), unsafe.Pointer(embeddings.ptr(op)), unsafe.Pointer(labels.ptr(op)))
	return result(op, libtch.Ctensor(tuned), weights, embeddings, labels)
}
