package siamese

import (
	"cmp"
	"math"
	"slices"

	"github.com/engram-go/engram/tensor"
)

// Loss is what pairs are trained by: [Verification], [Contrastive] or [Triplet].
type Loss interface {
	// loss is of all pairs compared.
	loss(c comparison, bias *tensor.Tensor) *tensor.Tensor
	// logits turns scores into what the probability of the same class is the sigmoid of.
	logits(scores, bias *tensor.Tensor) *tensor.Tensor
}

// comparison is the pairs of each task: scores [tasks, a, b], and which pairs are of the same class and which of different
// ones, 1 or 0. A pair that is neither does not count.
type comparison struct {
	scores, same, different *tensor.Tensor
}

// mean returns the mean of what pairs of the same class cost, and that of pairs of different ones, weighed: by 1 to 1 it is as
// if as many of either had been drawn, as Koch et al. 2015 do.
func (c comparison) mean(same, different *tensor.Tensor, weight float64) *tensor.Tensor {
	of := func(cost, pairs *tensor.Tensor) *tensor.Tensor {
		return cost.Mul(pairs).Sum().Div(pairs.Sum().ClampMin(1)) // 0 where there are none
	}
	return of(same, c.same).Add(of(different, c.different).MulScalar(weight)).MulScalar(1 / (1 + weight))
}

// Verification is the cross-entropy of the probability that a pair is of the same class: Koch et al. 2015, section 3.2. Its
// penalty on the weights is the optimiser's decay.
type Verification struct {
	// Different is how much more all pairs of different classes together count than those of the same class: as many times
	// more of them the network then expects. Zero stands for the paper's 1. A query of N classes has N-1 times more of them,
	// and learning is the faster for expecting so; see experiments/siamese-omniglot.yaml.
	Different float64
}

func (l Verification) different() float64 {
	if l.Different == 0 {
		return 1
	}
	return l.Different
}

func (l Verification) loss(c comparison, bias *tensor.Tensor) *tensor.Tensor {
	logits := c.scores.Add(bias)
	return c.mean(logits.Neg().Softplus(), logits.Softplus(), l.different())
}

// logits are those of pairs of which half are of the same class, whatever was expected in training.
func (l Verification) logits(scores, bias *tensor.Tensor) *tensor.Tensor {
	return scores.Add(bias).AddScalar(math.Log(l.different()))
}

// Contrastive pulls pairs of the same class together and pushes others apart until they are a margin away: Hadsell, Chopra
// and LeCun 2006, eq. 4, with D the distance by the metric (its score with the sign turned),
//
//	½·D² for the same class, ½·max(0, margin - D)² for different ones.
//
// Half the margin is where pairs are told apart.
type Contrastive struct {
	Margin float64 // zero stands for 1
}

func (l Contrastive) margin() float64 {
	if l.Margin == 0 {
		return 1
	}
	return l.Margin
}

func (l Contrastive) loss(c comparison, _ *tensor.Tensor) *tensor.Tensor {
	distances := c.scores.Neg()
	short := distances.Neg().AddScalar(l.margin()).ReLU()
	return c.mean(distances.Square().MulScalar(.5), short.Square().MulScalar(.5), 1)
}

func (l Contrastive) logits(scores, _ *tensor.Tensor) *tensor.Tensor {
	return scores.AddScalar(l.margin() / 2)
}

// Triplet wants an anchor nearer to every example of its class than to those of other classes, by a margin: Schroff,
// Kalenichenko and Philbin 2015, eq. 3, with the metric's distance in the place of the squared Euclidean one. Of each anchor
// and positive the negative is semi-hard (section 3.2): the nearest of those further away than the positive, or the furthest
// of all where none is. The mean over all anchors and positives is taken.
//
// It sets no distance from which on two images are different, so its logits only rank pairs.
type Triplet struct {
	Margin float64 // zero stands for 0.2
}

func (l Triplet) loss(c comparison, _ *tensor.Tensor) *tensor.Tensor {
	margin := l.Margin
	if margin == 0 {
		margin = .2
	}
	positives, negatives := triplets(c)
	distances := c.scores.Neg().Flatten(0, -1)
	if len(positives) == 0 {
		return distances.Sum().MulScalar(0)
	}
	pick := func(at []int64) *tensor.Tensor {
		return distances.IndexSelect(0, tensor.New(at, int64(len(at))).On(distances.Device()))
	}
	return pick(positives).Sub(pick(negatives)).AddScalar(margin).ReLU().Mean()
}

func (Triplet) logits(scores, _ *tensor.Tensor) *tensor.Tensor { return scores }

// triplets gives the places, in the flat scores, of each anchor's pair with a positive and of that with its negative.
func triplets(c comparison) (positives, negatives []int64) {
	distances, same, different := c.scores.Detach().Neg().Floats(), c.same.Floats(), c.different.Floats()
	columns := int(c.scores.Dim(-1))
	var others []int // of an anchor, by distance
	for row := 0; row < len(distances); row += columns {
		others = others[:0]
		for i := row; i < row+columns; i++ {
			if different[i] != 0 {
				others = append(others, i)
			}
		}
		if len(others) == 0 {
			continue
		}
		slices.SortStableFunc(others, func(a, b int) int { return cmp.Compare(distances[a], distances[b]) })
		for i := row; i < row+columns; i++ {
			if same[i] == 0 {
				continue
			}
			further := slices.IndexFunc(others, func(other int) bool { return distances[other] > distances[i] })
			if further < 0 {
				further = len(others) - 1
			}
			positives = append(positives, int64(i))
			negatives = append(negatives, int64(others[further]))
		}
	}
	return positives, negatives
}
