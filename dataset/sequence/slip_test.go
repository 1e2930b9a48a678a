package sequence

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/stream"
)

// copied returns a random copy target of vectors of 8 bits.
func copied(r *rand.Rand, length int) []float32 {
	target := make([]float32, 8*length)
	(&coins{r: r}).fill(target)
	return target
}

// slipped returns a target with a slip at a vector.
func slipped(r *rand.Rand, target []float32, kind SlipKind, step int) []float32 {
	switch kind {
	case Duplicated:
		return slices.Concat(target[:8*step+8], target[8*step:len(target)-8])
	case Dropped:
		return slices.Concat(target[:8*step], target[8*step+8:], copied(r, 1))
	default:
		return slices.Clone(target)
	}
}

// spoil flips some bits and makes all of them less certain.
func spoil(r *rand.Rand, output []float32, share float64) {
	for k, v := range output {
		if r.Float64() < share {
			v = 1 - v
		}
		output[k] = 0.2 + 0.6*v
	}
}

// misses counts the wrong bits.
func misses(target, output []float32) (n int) {
	for k := range target {
		if (output[k] >= 0.5) != (target[k] == 1) {
			n++
		}
	}
	return n
}

func TestFindSlip(t *testing.T) {
	for _, length := range []int{10, 20, 120} {
		for _, kind := range []SlipKind{Duplicated, Dropped} {
			for step := 0; step < length-3; step++ {
				r := stream.New(1, "slip", uint64(length), uint64(kind), uint64(step))
				target := copied(r, length)
				output := slipped(r, target, kind, step)
				got := FindSlip(target, output, 8)
				require.Equal(t, kind, got.Kind, "length %d, step %d", length, step)
				first := step // any of equal adjacent vectors is correct
				for first > 0 && slices.Equal(target[8*first-8:8*first], target[8*first:8*first+8]) {
					first--
				}
				require.Equal(t, first, got.Step, "length %d", length)
				require.Equal(t, misses(target, output), got.Wrong)
				left := 0 // only a drop leaves any, beyond the end
				if kind == Dropped {
					left = misses(target[8*length-8:], output[8*length-8:])
				}
				require.Equal(t, left, got.Aligned)
			}
		}
	}
}

func TestFindSlipAmongLocalErrors(t *testing.T) {
	near := 0
	for seed := range uint64(300) {
		r := stream.New(seed, "slip")
		target := copied(r, 120)
		kind, step := Duplicated, r.IntN(100)
		if seed%2 == 0 {
			kind = Dropped
		}
		output := slipped(r, target, kind, step)
		spoil(r, output, 0.03)
		got := FindSlip(target, output, 8)
		require.Equal(t, kind, got.Kind)
		require.InDelta(t, step, got.Step, 2, "errors near the slip blur its position")
		if got.Step == step {
			near++
		}
		require.Less(t, got.Aligned, 70, "about 29 errors remain")
		require.LessOrEqual(t, got.Aligned, got.Wrong)
	}
	assert.Greater(t, near, 270)
}

func TestFindNoSlip(t *testing.T) {
	claimed := 0
	for seed := range uint64(2000) {
		r := stream.New(seed, "none")
		target := copied(r, []int{1, 2, 5, 20, 120}[seed%5])
		for _, share := range []float64{0, 0.02, 0.2} {
			output := slices.Clone(target)
			spoil(r, output, share)
			got := FindSlip(target, output, 8)
			require.Equal(t, NoSlip, got.Kind, "a copy with %v of its bits wrong", share)
			require.Equal(t, misses(target, output), got.Wrong)
			require.Equal(t, got.Wrong, got.Aligned)
		}
		if FindSlip(target, copied(r, len(target)/8), 8).Kind != NoSlip {
			claimed++
		}
	}
	assert.LessOrEqual(t, claimed, 5, "random guesses agree at most once in a thousand")

	// A slip in a constant sequence changes nothing.
	assert.Equal(t, Slip{}, FindSlip(make([]float32, 80), make([]float32, 80), 8))
	assert.Equal(t, Slip{}, FindSlip(nil, nil, 8))
	assert.PanicsWithValue(t, "sequence: find slip: 8 targets, 9 outputs of width 8", func() { FindSlip(make([]float32, 8), make([]float32, 9), 8) })
}

func TestSlipOfABatch(t *testing.T) {
	task := made(NewCopy(CopyOptions{}))
	b, err := task.Sized(stream.New(1, "test"), 3, Size{Length: 120})
	require.NoError(t, err)
	outputs := slices.Clone(b.Targets)
	for s := b.Time - 1; s > 121+57; s-- { // repeat vector 57 of sequence 1
		copy(outputs[(s*3+1)*8:(s*3+2)*8], b.Target(s-1, 1))
	}
	for i := range 3 {
		got := FindSlip(b.Answer(b.Targets, i), b.Answer(outputs, i), b.OutputWidth)
		if i != 1 {
			assert.Equal(t, "no slip: 0 wrong bits", got.String())
			continue
		}
		assert.Equal(t, Duplicated, got.Kind)
		assert.Equal(t, 57, got.Step)
		assert.Equal(t, b.CostOfProbabilities(outputs)[1].Wrong, got.Wrong)
		assert.Regexp(t, `^vector 57 duplicated: 2\d\d wrong bits, 0 after undoing the shift$`, got.String())
	}
	assert.Equal(t, "vector 3 dropped: 9 wrong bits, 1 after undoing the shift", Slip{Dropped, 3, 9, 1}.String())
}

func BenchmarkFindSlip(b *testing.B) {
	r := stream.New(1, "bench")
	target := copied(r, 120)
	output := slipped(r, target, Duplicated, 57)
	for b.Loop() {
		FindSlip(target, output, 8)
	}
}
