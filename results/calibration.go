package results

import (
	"errors"
	"fmt"
	"math"
)

// calibrationBins is the number of bins of [CalibrationError], as in Guo et al. 2017.
const calibrationBins = 15

// CalibrationError returns the expected calibration error in percent (Guo et al. 2017, equation 3): predictions are sorted into
// 15 bins of equal width by their confidence, and the error is the mean over predictions of the gap between a bin's mean
// confidence and its accuracy. Bin m holds confidences in ((m−1)/15, m/15], the first bin 0 too. probabilities are the
// confidences, each in [0, 1]: the probability that the model gave its predicted class. right says whether each prediction was
// correct. It is an error if there are no predictions, if the lengths differ, or if a probability is outside [0, 1] or NaN.
func CalibrationError(probabilities []float64, right []bool) (float64, error) {
	if len(probabilities) == 0 {
		return 0, errors.New("calibration: there are no predictions")
	}
	if len(probabilities) != len(right) {
		return 0, fmt.Errorf("calibration: %d probabilities for %d predictions", len(probabilities), len(right))
	}
	var gaps [calibrationBins]float64 // the sum of confidence less correctness
	for i, p := range probabilities {
		if !(p >= 0 && p <= 1) {
			return 0, fmt.Errorf("calibration: probability %d is %v, which is outside 0 to 1", i, p)
		}
		bin := max(int(math.Ceil(p*calibrationBins))-1, 0)
		gaps[bin] += p
		if right[i] {
			gaps[bin]--
		}
	}
	var sum float64
	for _, gap := range gaps {
		sum += math.Abs(gap)
	}
	return 100 * sum / float64(len(probabilities)), nil
}
