package sequence

import (
	"fmt"
	"math"
)

// SlipKind is how a copy slipped.
type SlipKind int

// Kinds of slips.
const (
	NoSlip     SlipKind = iota
	Duplicated          // a vector was repeated: the rest comes one step late
	Dropped             // a vector was omitted: the rest comes one step early
)

// String returns the kind in lower case.
func (k SlipKind) String() string {
	switch k {
	case Duplicated:
		return "duplicated"
	case Dropped:
		return "dropped"
	default:
		return "no slip"
	}
}

// Slip is the result of FindSlip.
type Slip struct {
	Kind SlipKind
	Step int // index in the target of the vector that was duplicated or dropped
	// Wrong counts the wrong bits, Aligned those that remain after undoing the shift. Without a slip they are equal.
	// Outputs beyond the end of a target that lost a vector are counted as they are.
	Wrong, Aligned int
}

// String describes the slip.
func (s Slip) String() string {
	if s.Kind == NoSlip {
		return fmt.Sprintf("no slip: %d wrong bits", s.Wrong)
	}
	return fmt.Sprintf("vector %d %v: %d wrong bits, %d after undoing the shift", s.Step, s.Kind, s.Wrong, s.Aligned)
}

// FindSlip looks for the failure that the paper describes at length 120 (Figure 4): "a single vector is duplicated,
// pushing all subsequent vectors one step back", which leaves half of the following bits wrong although the copy is
// nearly right. It also looks for one dropped vector. target holds bits and output probabilities, [length, width], as
// returned by Batch.Answer.
//
// Of all positions, it takes the one that reduces the wrong bits most, the earliest among equals. It reports a slip
// if undoing the shift at least halves the wrong bits after it, and if random bits would agree as well, at any
// position of the sequence, with a probability below 1/1000. With vectors of 8 bits that takes 2 correct vectors
// after the slip, or 3 in a long sequence; a slip nearer the end is indistinguishable from local errors.
func FindSlip(target, output []float32, width int) Slip {
	if width < 1 || len(target) != len(output) || len(target)%width != 0 {
		panic(fmt.Sprintf("sequence: find slip: %d targets, %d outputs of width %d", len(target), len(output), width))
	}
	length := len(target) / width
	// sums returns the wrong bits before each step when each output is compared with the target by steps away. Steps
	// without such a target count none.
	sums := func(by int) []int {
		sum := make([]int, length+1)
		for t := range length {
			sum[t+1] = sum[t]
			if t+by < 0 || t+by >= length {
				continue
			}
			for k := range width {
				if wrong(target[(t+by)*width+k], output[t*width+k], 0.5) {
					sum[t+1]++
				}
			}
		}
		return sum
	}
	plain, late, early := sums(0), sums(-1), sums(1)
	found := Slip{Wrong: plain[length], Aligned: plain[length]}
	from, to, shifted := 0, 0, late // the rest, and its sums after undoing the shift
	for k := range length - 1 {
		if aligned := found.Wrong - (plain[length] - plain[k+1]) + (late[length] - late[k+1]); aligned < found.Aligned {
			found.Kind, found.Step, found.Aligned = Duplicated, k, aligned
			from, to, shifted = k+1, length, late
		}
		if aligned := found.Wrong - (plain[length-1] - plain[k]) + (early[length-1] - early[k]); aligned < found.Aligned {
			found.Kind, found.Step, found.Aligned = Dropped, k, aligned
			from, to, shifted = k, length-1, early
		}
	}
	remain, stood := shifted[to]-shifted[from], plain[to]-plain[from]
	// Chernoff: m fair coins agree except in w <= m/2 with probability at most 2^-(m*(1-H(w/m))); there are 2*length
	// positions.
	surprise := float64((to-from)*width) * (1 - entropy(float64(remain)/float64(max(1, (to-from)*width))))
	if 2*remain > stood || 2*remain > (to-from)*width || surprise < math.Log2(2*float64(length)*1000) {
		return Slip{Wrong: found.Wrong, Aligned: found.Wrong}
	}
	return found
}

// entropy returns the entropy of a coin in bits.
func entropy(p float64) float64 {
	if p <= 0 || p >= 1 {
		return 0
	}
	return -p*math.Log2(p) - (1-p)*math.Log2(1-p)
}
