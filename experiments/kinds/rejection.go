package kinds

import (
	"github.com/engram-go/engram/experiments/measure"
	"github.com/engram-go/engram/results"
)

// rejection is how many examples a full-way test asks about beside those of its classes, in this order: of none of the classes, and
// for the choice of the threshold validation examples of the classes and of none.
type rejection struct{ unknown, chosen, chosenUnknown int }

// figures measures how well examples of no class are rejected by the probability of the class that is predicted. scores are those of
// the examples of the classes, and of the others in their order.
func (r rejection) figures(trained measure.Trained, name string, p results.Protocol, scores []episodeScore) ([]results.Figure, error) {
	next := func(n int) (some []episodeScore) {
		some, scores = scores[:n], scores[n:]
		return some
	}
	confidence := func(of []episodeScore) (out []float64) {
		for _, s := range of {
			out = append(out, s.queries[0].confidence)
		}
		return out
	}
	known, unknown, chosen := next(p.Queries), confidence(next(r.unknown)), next(r.chosen)
	right := make([]bool, len(chosen))
	for i, s := range chosen {
		right[i] = s.accuracy == 1
	}
	threshold := results.RejectionThreshold(confidence(chosen), right, confidence(next(r.chosenUnknown)))
	accepted, found := make([]float64, len(known)), make([]float64, len(unknown))
	for i, c := range confidence(known) {
		if c >= threshold {
			accepted[i] = known[i].accuracy
		}
	}
	for i, c := range unknown {
		if c < threshold {
			found[i] = 1
		}
	}
	area, half, err := results.AUROC(confidence(known), unknown)
	a := trained.Figure(name, results.InScopeAccepted, measure.Accuracy.Factor, accepted, p)
	b := trained.Figure(name, results.OutOfScopeFound, measure.Accuracy.Factor, found, p)
	a.Threshold, b.Threshold = threshold, threshold
	return []results.Figure{a, b, trained.Value(name, results.OutOfScopeAUROC, area, half, p)}, err
}
