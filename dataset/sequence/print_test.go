package sequence

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/stream"
)

// guesses returns predictions that are mostly right.
func guesses(b *Batch, seed uint64) []float32 {
	r := stream.New(seed, "guesses")
	p := make([]float32, len(b.Targets))
	for k, target := range b.Targets {
		sure := 0.5 + r.NormFloat64()/4
		p[k] = float32(max(0.01, min(0.99, 0.5+sure*(2*float64(target)-1))))
	}
	return p
}

func TestPrint(t *testing.T) {
	want := printed()
	for k, c := range []struct {
		task Task
		size Size
	}{
		{made(NewCopy(CopyOptions{Bits: 4})), Size{Length: 6}},
		{made(NewRepeatCopy(RepeatCopyOptions{Bits: 4})), Size{Length: 3, Repeats: 2}},
		{made(NewRecall(RecallOptions{})), Size{Items: 3}},
		{made(NewNGrams(NGramsOptions{})), Size{Length: 100}},
		{made(NewPrioritySort(PrioritySortOptions{Bits: 4, Delimiter: true})), Size{Length: 14, Top: 11}},
	} {
		b, err := c.task.Sized(stream.New(1, "print"), 2, c.size)
		require.NoError(t, err)
		var got strings.Builder
		require.NoError(t, c.task.Print(&got, b, 1, guesses(b, 1)))
		assert.Equal(t, strings.TrimPrefix(want[k], "\n"), got.String())
		for _, line := range strings.Split(got.String(), "\n") {
			assert.LessOrEqual(t, len(line), 100)
		}

		// Without predictions the rest of the text is the same, and padding is not shown.
		var bare, padded strings.Builder
		require.NoError(t, c.task.Print(&bare, b, 1, nil))
		assert.NotContains(t, bare.String(), "output")
		assert.NotContains(t, bare.String(), "wrong")
		long, err := c.task.Sized(stream.New(2, "print"), 1, large(c.task))
		require.NoError(t, err)
		require.NoError(t, c.task.Print(&padded, join(b, long), 1, nil))
		assert.Equal(t, bare.String(), padded.String())
	}
}

func TestPrintOfNaN(t *testing.T) {
	for _, task := range paper() {
		b := task.Batch(stream.New(1, "print"), 1)
		p := make([]float32, len(b.Targets))
		for k := range p {
			p[k] = float32(math.NaN())
		}
		var got strings.Builder
		require.NoError(t, task.Print(&got, b, 0, p))
		assert.Contains(t, got.String(), "cost NaN bits")
		assert.Contains(t, got.String(), "???")
	}
}

// printed returns the expected texts of TestPrint, each from its second line on.
func printed() []string {
	return []string{
		`
copy, length 6
cost 4.31 bits, 2 of 24 bits wrong
input, steps 0 to 6
  bit 1       ..#..#.
  bit 2       .#..##.
  bit 3       #..#.#.
  bit 4       #....#.
  delimiter   ......#
target, steps 7 to 12
  bit 1       ..#..#
  bit 2       .#..##
  bit 3       #..#.#
  bit 4       #....#
output (# one, + likely one, - likely zero, . zero), steps 7 to 12
  bit 1       +.#..#
  bit 2       .#..##
  bit 3       +..#-+
  bit 4       --...#
  wrong       2
`,
		`
repeat copy, length 3, repeats 2 (given as -1.219)
cost 5.46 bits, 1 of 35 bits wrong
input, steps 0 to 3
  bit 1       ..#.
  bit 2       .#..
  bit 3       #...
  bit 4       #...
  repeats     ...-
target, steps 4 to 10
  bit 1       ..#..#.
  bit 2       .#..#..
  bit 3       #..#...
  bit 4       #..#...
  end marker  ......#
output (# one, + likely one, - likely zero, . zero), steps 4 to 10
  bit 1       ..+..#.
  bit 2       .#..#..
  bit 3       +.-#..-
  bit 4       +..#.+.
  end marker  -...-.#
  wrong            1
`,
		`
associative recall, items 3
cost 3.35 bits, 0 of 18 bits wrong
input, steps 0 to 16
  bit 1       ..#...##.##...#..
  bit 2       .................
  bit 3       ..#..##...#...#..
  bit 4       .#...#....#..#...
  bit 5       ...#.#.#.##....#.
  bit 6       .....##....#.....
  item        #...#...#........
  query       ............#...#
target, steps 17 to 19
  bit 1       .##
  bit 2       ...
  bit 3       ##.
  bit 4       #..
  bit 5       #.#
  bit 6       ##.
output (# one, + likely one, - likely zero, . zero), steps 17 to 19
  bit 1       -##
  bit 2       ...
  bit 3       +#.
  bit 4       +-.
  bit 5       #.#
  bit 6       ++.
  wrong
`,
		`
dynamic n-grams, length 100, optimum 68.27 bits
cost 18.22 bits, 2 of 100 bits wrong
probability of a one, in tenths, steps 0 to 79
  bit         ###.###...#..#..#..#..#..#..#..#..#...#.#.#.#...#.#...#..#..#####...#..##..##...
  optimum     55555555555555557228118119119009009009522555728571526281680080555552715817555527
  output      96909960109104449019009139209003329200907090800090900192092189999001920991197100
probability of a one, in tenths, steps 80 to 99
  bit         #..#..#..#..#..#..#.
  optimum     80482081091091091091
  output      70090050050090070190
`,
		`
priority sort, length 14, top 11
cost 8.02 bits, 1 of 44 bits wrong
input, steps 0 to 14
  bit 1       ##.##.#.#.#.##.
  bit 2       ..#...#.....#..
  bit 3       ..#..#.#.###.#.
  bit 4       .#.###.##.#..#.
  place        1           1
              2116  48 79350
  delimiter   ..............#
target, steps 15 to 25
  bit 1       .#.###..###
  bit 2       #..##......
  bit 3       #.#...####.
  bit 4       .....#.####
output (# one, + likely one, - likely zero, . zero), steps 15 to 25
  bit 1       .#-#+#.-+++
  bit 2       #..+#.-...-
  bit 3       #+#..-##+#.
  bit 4       .-...#.#+##
  wrong        1
`,
	}
}
