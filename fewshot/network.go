package fewshot

import (
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// The interfaces below are the contracts between networks and whatever trains or tests them. A network may be declared in
// any package; it implements one of them and needs to import no other network.
//
// They have the following rules in common.
//
//   - Parameters and buffers belong to the [nn.Params] of the builder that made the network. A method reads them through
//     [nn.Pass.Value], so that a pass can replace them, and must not change a parameter. It may move running statistics and
//     other buffers where Training is set in the pass, and nowhere else.
//   - The caller enters a scope before each call and frees it afterwards. Results belong to that scope. A method must not
//     keep a tensor beyond the call, and must not change one that it was given.
//   - A method that returns a loss to be differentiated must not switch gradient recording off for it. Callers that need
//     no gradients call inside [tensor.NoGrad].
//   - Input of the wrong shape is a programmer error: the method panics with a [tensor.Error], which [tensor.Do] and
//     [tensor.Catch] turn into an error.
//   - Equal parameters, inputs and random streams give equal results.
//   - With Training unset, a method may be called from several goroutines at once, each with a pass and a scope of its own.

// A Learner has a loss on few-shot tasks.
type Learner interface {
	// Loss returns the scalar that training minimises, and the queries' log-probabilities [tasks, query, way]. The
	// log-probabilities need not be differentiable.
	Loss(p *nn.Pass, t *Task) (loss, logp *tensor.Tensor)
}

// A Network classifies the queries of few-shot tasks by their support sets.
type Network interface {
	Learner
	// LogProbs returns the queries' log-probabilities [tasks, query, way]. They must not depend on t.QueryLabels.
	LogProbs(p *nn.Pass, t *Task) *tensor.Tensor
}

// A FeatureNetwork is a [Network] whose log-probabilities depend on images only by their embeddings. Where an embedding does not
// depend on the other images of the batch, embeddings can be computed once and used in many tasks.
type FeatureNetwork interface {
	Network
	// Encode returns the embeddings [n, width] of images [n, channels, height, width].
	Encode(p *nn.Pass, images *tensor.Tensor) *tensor.Tensor
	// FromFeatures returns what LogProbs does, for a task that holds embeddings [tasks, n, width] in the place of images; see
	// [Task.Embedded].
	FromFeatures(p *nn.Pass, t *Task) *tensor.Tensor
}

// Features returns n as a [FeatureNetwork], and whether it is one. A network that is one for some of its settings only has a
// method Frozen() bool, which reports whether its encoder is the same for every task.
func Features(n Network) (FeatureNetwork, bool) {
	of, ok := n.(FeatureNetwork)
	if f, can := n.(interface{ Frozen() bool }); can && !f.Frozen() {
		return nil, false
	}
	return of, ok
}

// UsesBatchStatistics reports whether the log-probabilities of a query under [nn.BatchStats] depend on the other queries. Where
// they do not, a test under nn.BatchStats is inductive, and must not be reported as transductive. A network answers by a
// method UsesBatchStatistics() bool; one without it is assumed to depend on them.
func UsesBatchStatistics(n Network) bool {
	s, ok := n.(interface{ UsesBatchStatistics() bool })
	return !ok || s.UsesBatchStatistics()
}

// An AdaptiveNetwork is a [Network] that adapts its parameters to each task by gradient descent, and computes the gradient
// for training itself, task by task, so that peak memory does not grow with the number of tasks.
type AdaptiveNetwork interface {
	Network
	// Gradients returns the gradient of each trained parameter in the order of [nn.Params.Trained], nil for a parameter
	// that has none; the loss; and the queries' log-probabilities [tasks, query, way]. None of them is differentiable.
	Gradients(p *nn.Pass, t *Task) (grads []*tensor.Tensor, loss, logp *tensor.Tensor)
	// Steps returns the number of inner steps per task in training and in tests.
	Steps() (train, test int)
}

// A Verifier decides whether two images show the same class.
type Verifier interface {
	// Logits returns the logit of the probability that a pair shows one class, for each pair: [pairs]. A positive logit
	// means the same class.
	Logits(p *nn.Pass, pairs *Pairs) *tensor.Tensor
	// PairLoss returns the scalar that training on pairs minimises, and the pairs' logits [pairs].
	PairLoss(p *nn.Pass, pairs *Pairs) (loss, logits *tensor.Tensor)
}

// A SequenceNetwork classifies the images of an episode one after another and sees each label one time step after its
// image.
type SequenceNetwork interface {
	// Loss returns the scalar that training minimises, and the log-probabilities [time, episodes, length, letters].
	Loss(p *nn.Pass, s *Sequence) (loss, logp *tensor.Tensor)
	// LogProbs returns the log-probabilities [time, episodes, length, letters] of the letters of each image's label. Those
	// of time step t must depend only on the images up to t and the labels before t.
	LogProbs(p *nn.Pass, s *Sequence) *tensor.Tensor
}
