package nn

import "math"

// A Schedule returns the factor of the learning rate at a step, counted from zero.
type Schedule func(step int64) float64

// ConstantRate always returns 1.
func ConstantRate() Schedule { return func(int64) float64 { return 1 } }

// StepRate multiplies the rate by factor after every so many steps: "halved every 2000 episodes" is StepRate(2000,
// 0.5).
func StepRate(every int64, factor float64) Schedule {
	return func(step int64) float64 { return math.Pow(factor, float64(step/every)) }
}

// MultiStepRate multiplies the rate by a factor at each of the steps, which increase: factors has one for each, or a single one
// for all. "Divided by 10 after 60 and 80 of 100 epochs" is MultiStepRate([]int64{60, 80}, .1) in epochs.
func MultiStepRate(at []int64, factors ...float64) Schedule {
	return func(step int64) float64 {
		rate := 1.
		for i, from := range at {
			if step < from {
				break
			}
			rate *= factors[min(i, len(factors)-1)]
		}
		return rate
	}
}

// LinearRate falls linearly from 1 to 0.
func LinearRate(steps int64) Schedule {
	return func(step int64) float64 { return math.Max(0, 1-float64(step)/float64(max(steps, 1))) }
}

// CosineRate falls from 1 to 0 along half a cosine: Loshchilov and Hutter 2017, eq. 5, without restarts.
func CosineRate(steps int64) Schedule {
	return func(step int64) float64 {
		return (1 + math.Cos(math.Pi*math.Min(1, float64(step)/float64(max(steps, 1))))) / 2
	}
}

// WarmUp multiplies a schedule by a factor that rises linearly to 1 over the first steps.
func WarmUp(steps int64, then Schedule) Schedule {
	return func(step int64) float64 {
		return math.Min(1, float64(step+1)/float64(max(steps, 1))) * then(step)
	}
}
