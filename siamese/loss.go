package siamese

import (
	"cmp"
	"math"
	"slices"

	"github.com/engram-go/engram/tensor"
)

// Loss is a loss on pairs: [Verification], [Contrastive] or [Triplet].
type Loss interface {
	// loss returns the scalar loss of a comparison.
	loss(c comparison, bias *tensor.Tensor) *tensor.Tensor
	// logits returns the logits of the probability that a pair shows one class, of the shape of scores.
	logits(scores, bias *tensor.Tensor) *tensor.Tensor
}

// comparison holds the pairs of each task: their scores [tasks, a, b], and masks (1 or 0, of the same shape) of the pairs of
// the same class and of different classes. A pair in neither mask does not count.
type comparison struct {
	scores, same, different *tensor.Tensor
}

// mean returns the weighted mean of two means: of the costs of pairs of the same class, with weight 1, and of the costs of
// pairs of different classes, with the given weight. With equal weights it is as if equally many of either had been drawn,
// as Koch et al. 2015 do.
func (c comparison) mean(same, different *tensor.Tensor, weight float64) *tensor.Tensor {
	of := func(cost, pairs *tensor.Tensor) *tensor.Tensor {
		return cost.Mul(pairs).Sum().Div(pairs.Sum().ClampMin(1)) // 0 without pairs
	}
	return of(same, c.same).Add(of(different, c.different).MulScalar(weight)).MulScalar(1 / (1 + weight))
}

// Verification is the cross-entropy of the probability that a pair shows one class: Koch et al. 2015, section 3.2. The
// paper's penalty on the weights is the optimizer's weight decay.
type Verification struct {
	// Different is the total weight of the pairs of different classes relative to those of the same class: the prior odds
	// that the network learns. The default is the paper's 1. A query of an N-way task has N-1 times as many of them, and
	// training is faster with that prior; see experiments/siamese-omniglot.yaml.
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

// logits corrects for the prior odds of training: half of the pairs are expected to show one class.
func (l Verification) logits(scores, bias *tensor.Tensor) *tensor.Tensor {
	return scores.Add(bias).AddScalar(math.Log(l.different()))
}

// Contrastive pulls pairs of the same class together and pushes other pairs apart up to a margin: Hadsell, Chopra and LeCun
// 2006, eq. 4, with the distance D as the negated score of the metric,
//
//	½·D² for the same class, ½·max(0, margin - D)² for different ones.
//
// The threshold between the same and different classes is half the margin.
type Contrastive struct {
	Margin float64 // default 1
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

// Triplet requires each anchor to be nearer to every example of its class than to those of other classes, by a margin:
// Schroff, Kalenichenko and Philbin 2015, eq. 3, with the metric's distance instead of the squared Euclidean one. Negatives
// are semi-hard (section 3.2): for each anchor and positive, the nearest negative that is further away than the positive, or
// the furthest negative if there is none. The loss is the mean over all pairs of an anchor and a positive.
//
// The loss defines no threshold between the same and different classes, so its logits only rank pairs.
type Triplet struct {
	Margin float64 // default 0.2
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

// triplets returns indices into the flattened scores: for each anchor and positive, that of their pair and that of the
// anchor's pair with the negative.
func triplets(c comparison) (positives, negatives []int64) {
	distances, same, different := c.scores.Detach().Neg().Floats(), c.same.Floats(), c.different.Floats()
	columns := int(c.scores.Dim(-1))
	var others []int // an anchor's negatives, by distance
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
