package results

import (
	"errors"
	"math"
	"slices"
)

// The metrics of a test that also asks about examples of no class, which the method is to reject: those whose highest probability
// is below a threshold.
const (
	InScopeAccepted = "in-scope accuracy with rejection" // in-scope examples that are not rejected and told right
	OutOfScopeFound = "out-of-scope recall"              // examples of no class that are rejected
	OutOfScopeAUROC = "out-of-scope AUROC"               // see the function [AUROC]
)

// AUROC returns the area under the receiver operating characteristic of telling examples of known classes from examples of none by
// a confidence: the probability, in percent, that one of the former has more than one of the latter, where equal ones count a
// half (Hendrycks and Gimpel 2017). half is half of its 95 % interval (DeLong et al. 1988, equations 1 to 5). It is an error if
// there are less than two of either, or if a confidence is NaN.
func AUROC(known, unknown []float64) (area, half float64, err error) {
	if len(known) < 2 || len(unknown) < 2 {
		return 0, 0, errors.New("AUROC: there must be at least two examples of known classes and two of none")
	}
	if slices.ContainsFunc(known, math.IsNaN) || slices.ContainsFunc(unknown, math.IsNaN) {
		return 0, 0, errors.New("AUROC: a confidence is NaN")
	}
	above, below := placements(known, unknown), placements(unknown, known)
	a := Summarize(above)
	variance := 0.
	for _, v := range [][]float64{above, below} {
		mean, sum := Summarize(v).Mean, 0.
		for _, x := range v {
			sum += (x - mean) * (x - mean)
		}
		variance += sum / float64(len(v)-1) / float64(len(v))
	}
	return 100 * a.Mean, 100 * 1.96 * math.Sqrt(variance), nil
}

// placements returns for each value the share of others that are below it; equal ones count a half.
func placements(values, others []float64) []float64 {
	sorted := slices.Sorted(slices.Values(others))
	out := make([]float64, len(values))
	for i, v := range values {
		low, _ := slices.BinarySearch(sorted, v)
		high, _ := slices.BinarySearch(sorted, math.Nextafter(v, math.Inf(1)))
		out[i] = (float64(low) + float64(high-low)/2) / float64(len(others))
	}
	return out
}

// RejectionThreshold returns the confidence below which an example is best taken for one of no class, chosen as Zhang et al. 2020
// (DNNC) do, by the sum of in-scope accuracy and out-of-scope recall on examples that are for choosing: known ones, of which right
// says whether they are told right, and unknown ones. It lies between two confidences that occur; of equally good ones it is the
// lowest, and 0 rejects nothing.
func RejectionThreshold(known []float64, right []bool, unknown []float64) float64 {
	type example struct{ confidence, lost, won float64 } // what rejecting it changes
	var all []example
	for i, c := range known {
		e := example{confidence: c}
		if right[i] {
			e.lost = 1 / float64(len(known))
		}
		all = append(all, e)
	}
	for _, c := range unknown {
		all = append(all, example{confidence: c, won: 1 / float64(len(unknown))})
	}
	slices.SortFunc(all, func(a, b example) int {
		switch {
		case a.confidence < b.confidence:
			return -1
		case a.confidence > b.confidence:
			return 1
		}
		return 0
	})
	best, threshold, sum := 0., 0., 0.
	for i, e := range all {
		sum += e.won - e.lost
		last := i == len(all)-1
		if sum <= best+1e-12 || !last && all[i+1].confidence == e.confidence {
			continue
		}
		best = sum
		if last {
			threshold = math.Nextafter(e.confidence, math.Inf(1))
		} else {
			threshold = (e.confidence + all[i+1].confidence) / 2
		}
	}
	return threshold
}
