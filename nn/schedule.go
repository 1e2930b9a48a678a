package nn

import "math"

// A Schedule gives the factor that the learning rate has at a step, counted from zero.
type Schedule func(step int64) float64

// ConstantRate keeps the rate.
func ConstantRate() Schedule { return func(int64) float64 { return 1 } }

// StepRate multiplies the rate by factor every so many steps: "halved every 2000 episodes" is StepRate(2000, 0.5).
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

// LinearRate falls from 1 to 0 over the steps.
func LinearRate(steps int64) Schedule {
	return func(step int64) float64 { return math.Max(0, 1-float64(step)/float64(max(steps, 1))) }
}

// CosineRate falls from 1 to 0 over the steps along half a cosine: Loshchilov and Hutter 2017, eq. 5, without restarts.
func CosineRate(steps int64) Schedule {
	return func(step int64) float64 {
		return (1 + math.Cos(math.Pi*math.Min(1, float64(step)/float64(max(steps, 1))))) / 2
	}
}

// WarmUp rises linearly to the schedule over its first steps.
func WarmUp(steps int64, then Schedule) Schedule {
	return func(step int64) float64 {
		return math.Min(1, float64(step+1)/float64(max(steps, 1))) * then(step)
	}
}
