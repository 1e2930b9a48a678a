package sequence

import "math"

// Cost is the paper's cost of one sequence.
type Cost struct {
	Bits   float64 // cross-entropy of all scored outputs in bits: the sum in nats / ln 2
	Wrong  int     // scored outputs on the wrong side of 1/2; of classes, steps whose largest output is another
	Scored int     // outputs scored; Wrong/Scored is the fraction of wrong bits; of classes, steps
}

// CostOfLogits computes the cost of each sequence from outputs before the sigmoid, or before the softmax where the batch is
// Exclusive, [time, sequences, outputs]. Logits may have any size; a NaN makes the bits of its sequence NaN and counts as wrong.
// A logit of 0 counts as a 1.
func (b *Batch) CostOfLogits(logits []float32) []Cost {
	return b.costs("cost of logits", logits, logitBits, 0)
}

// classCost is the cost of a step of classes from logits or log-probabilities.
func classCost(target, logits []float32) (bits float64, wrong bool) {
	class, most := 0, math.Inf(-1)
	for k, v := range logits {
		if target[k] == 1 {
			class = k
		}
		most = max(most, float64(v))
	}
	var sum float64
	for _, v := range logits {
		sum += math.Exp(float64(v) - most)
	}
	right := float64(logits[class])
	return (math.Log(sum) + most - right) / math.Ln2, !(right == most)
}

// CostOfProbabilities computes the cost of each sequence from probabilities, [time, sequences, outputs]. Logarithms
// are at least -100 nats, as in PyTorch's binary cross-entropy, so that the worst mistake costs 144.3 bits; a value
// outside 0 to 1 makes the bits NaN. A probability of 1/2 counts as a 1.
func (b *Batch) CostOfProbabilities(probabilities []float32) []Cost {
	if b.Exclusive {
		logs := make([]float32, len(probabilities))
		for i, p := range probabilities {
			logs[i] = float32(max(math.Log(float64(p)), -100)) // the softmax of logarithms divides by the sum, which is one
		}
		return b.costs("cost of probabilities", logs, nil, 0)
	}
	return b.costs("cost of probabilities", probabilities, probabilityBits, 0.5)
}

func (b *Batch) costs(operation string, values []float32, bits func(target, value float32) float64, threshold float32) []Cost {
	b.fits(operation, values)
	costs := make([]Cost, b.Sequences)
	for i := range costs {
		costs[i] = b.cost(i, values, bits, threshold)
	}
	return costs
}

// cost computes the cost of one sequence.
func (b *Batch) cost(i int, values []float32, bits func(target, value float32) float64, threshold float32) Cost {
	var c Cost
	for t := range b.Time {
		if !b.Scored(t, i) {
			continue
		}
		at := (t*b.Sequences + i) * b.OutputWidth
		if b.Exclusive {
			cost, wrong := classCost(b.Target(t, i), values[at:at+b.OutputWidth])
			if c.Bits += cost; wrong {
				c.Wrong++
			}
			c.Scored++
			continue
		}
		for k, target := range b.Target(t, i) {
			value := values[at+k]
			c.Bits += bits(target, value)
			if wrong(target, value, threshold) {
				c.Wrong++
			}
		}
		c.Scored += b.OutputWidth
	}
	return c
}

// wrong reports whether an output is on the wrong side of the threshold; NaN is wrong.
func wrong(target, value, threshold float32) bool {
	if target == 1 {
		return !(value >= threshold)
	}
	return !(value < threshold)
}

func logitBits(target, logit float32) float64 {
	x := float64(logit)
	if target == 1 {
		x = -x
	}
	return (max(x, 0) + math.Log1p(math.Exp(-math.Abs(x)))) / math.Ln2 // softplus(x) without overflow
}

func probabilityBits(target, probability float32) float64 {
	p := float64(probability)
	if !(p >= 0 && p <= 1) {
		return math.NaN()
	}
	if target != 1 {
		return min(-math.Log1p(-p), 100) / math.Ln2
	}
	return min(-math.Log(p), 100) / math.Ln2
}
