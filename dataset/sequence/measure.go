package sequence

// Metrics of sequences. Those not in bits per sequence are percentages.
const (
	MetricBits         = "bits"               // cross-entropy of a sequence's scored outputs
	MetricWrongBits    = "wrong bits"         // outputs on the wrong side of 1/2
	MetricSlipped      = "slipped"            // sequences in which a vector was duplicated or dropped, so that the rest is shifted
	MetricWrongAligned = "wrong bits aligned" // wrong bits after undoing the shift
	MetricOptimalBits  = "optimal bits"       // cost of the optimal estimator for the same sequences
	MetricExcessBits   = "excess bits"        // bits above that, per sequence
	MetricAccuracy     = "accuracy"           // steps whose class is right, of a task with classes
)

// Value is the score of one sequence under a metric.
type Value struct {
	Metric string
	Value  float64
}

// Measure returns, for each sequence of a batch, its bits and its wrong bits, from outputs before the sigmoid, [time,
// sequences, outputs]. Tasks without metrics of their own use it.
func Measure(b *Batch, logits []float32) [][]Value {
	out := make([][]Value, b.Sequences)
	for i, c := range b.CostOfLogits(logits) {
		out[i] = []Value{{MetricBits, c.Bits}, {MetricWrongBits, 100 * float64(c.Wrong) / float64(c.Scored)}}
	}
	return out
}

// Measure implements [Task]: the bits, and the share of right answers.
func (t *NthFarthest) Measure(b *Batch, logits []float32) [][]Value {
	out := make([][]Value, b.Sequences)
	for i, c := range b.CostOfLogits(logits) {
		out[i] = []Value{{MetricBits, c.Bits}, {MetricAccuracy, 100 * float64(c.Scored-c.Wrong) / float64(c.Scored)}}
	}
	return out
}

// Measure implements [Task].
func (t *RepeatCopy) Measure(b *Batch, logits []float32) [][]Value { return Measure(b, logits) }

// Measure implements [Task].
func (t *Recall) Measure(b *Batch, logits []float32) [][]Value { return Measure(b, logits) }

// Measure implements [Task].
func (t *PrioritySort) Measure(b *Batch, logits []float32) [][]Value { return Measure(b, logits) }

// Measure implements [Task]: the cost, whether the copy slipped, and the wrong bits after undoing the slip.
func (t *Copy) Measure(b *Batch, logits []float32) [][]Value {
	out := Measure(b, logits)
	bits := threshold(logits)
	for i := range out {
		target := b.Answer(b.Targets, i)
		slip := FindSlip(target, b.Answer(bits, i), t.Outputs())
		slipped := 0.
		if slip.Kind != NoSlip {
			slipped = 100
		}
		out[i] = append(out[i], Value{MetricSlipped, slipped}, Value{MetricWrongAligned, 100 * float64(slip.Aligned) / float64(len(target))})
	}
	return out
}

// Measure implements [Task]: the cost, that of the optimal estimator, and the excess over it.
func (t *NGrams) Measure(b *Batch, logits []float32) [][]Value {
	out := Measure(b, logits)
	for i, best := range b.CostOfProbabilities(t.Optimal(b)) {
		out[i] = append(out[i], Value{MetricOptimalBits, best.Bits}, Value{MetricExcessBits, out[i][0].Value - best.Bits})
	}
	return out
}

// threshold converts logits to bits; NaN stays NaN.
func threshold(logits []float32) []float32 {
	out := make([]float32, len(logits))
	for i, v := range logits {
		switch {
		case v >= 0:
			out[i] = 1
		case v != v:
			out[i] = v
		}
	}
	return out
}
