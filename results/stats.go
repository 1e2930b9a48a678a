package results

import (
	"math"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// Estimate is the mean of independent values with its uncertainty. All of it is finite where the values are.
type Estimate struct {
	N         int     `json:"n"`         // number of values
	Mean      float64 `json:"mean"`      // 0 where there are no values
	Deviation float64 `json:"deviation"` // unbiased standard deviation of the values; 0 for fewer than two
	Half      float64 `json:"half"`      // half of the 95 % confidence interval of the mean; 0 for fewer than two values
}

// HasInterval reports whether there are enough values for an interval: at least two. Half is meaningless without.
func (e Estimate) HasInterval() bool { return e.N >= 2 }

// Summarize estimates the mean of values drawn independently from one distribution, such as the accuracies of test episodes or
// one figure over seeds. The interval is t·s/√n with Student's t at n − 1 degrees of freedom, which approaches the normal
// distribution's 1.96 for large n: t is 12.7 for two values, 4.30 for three, 2.09 for twenty and 1.962 for a thousand.
func Summarize(values []float64) Estimate {
	n := len(values)
	switch n {
	case 0:
		return Estimate{}
	case 1:
		return Estimate{N: 1, Mean: values[0]}
	}
	mean, deviation := stat.MeanStdDev(values, nil)
	t := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: float64(n - 1)}.Quantile(.975)
	return Estimate{N: n, Mean: mean, Deviation: deviation, Half: t * deviation / math.Sqrt(float64(n))}
}

// MeanInterval returns the mean of values and half of its 95 % confidence interval by Student's t; see [Summarize]. The half is 0
// for fewer than two values, which have no interval.
func MeanInterval(values []float64) (mean, half float64) {
	e := Summarize(values)
	return e.Mean, e.Half
}
