package sequence

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/stream"
)

// made unwraps a constructor.
func made[T Task](t T, err error) T {
	if err != nil {
		panic(err)
	}
	return t
}

// paper returns the five tasks as published.
func paper() []Task {
	return []Task{
		made(NewCopy(CopyOptions{})),
		made(NewRepeatCopy(RepeatCopyOptions{})),
		made(NewRecall(RecallOptions{})),
		made(NewNGrams(NGramsOptions{})),
		made(NewPrioritySort(PrioritySortOptions{})),
	}
}

// others returns the tasks with other settings.
func others() []Task {
	return []Task{
		made(NewCopy(CopyOptions{Bits: 3, MinLength: 2, MaxLength: 2})),
		made(NewRepeatCopy(RepeatCopyOptions{Bits: 6, MinLength: 2, MaxLength: 3, MinRepeats: 4, MaxRepeats: 4, Delimiter: true})),
		made(NewRepeatCopy(RepeatCopyOptions{Bits: 6, MinRepeats: 3, MaxRepeats: 8})),
		made(NewRecall(RecallOptions{Bits: 20, Vectors: 1, MinItems: 3, MaxItems: 9})),
		made(NewRecall(RecallOptions{Bits: 9, Vectors: 5})),
		made(NewNGrams(NGramsOptions{N: 1, Length: 30})),
		made(NewNGrams(NGramsOptions{N: 3, Length: 2})),
		made(NewPrioritySort(PrioritySortOptions{Bits: 5, Length: 7, Top: 7, Delimiter: true})),
	}
}

// large returns sizes beyond training.
func large(t Task) Size {
	switch t.(type) {
	case *Copy:
		return Size{Length: 120}
	case *RepeatCopy:
		return Size{Length: 20, Repeats: 20}
	case *Recall:
		return Size{Items: 20}
	case *NGrams:
		return Size{Length: 500}
	default:
		return Size{Length: 40, Top: 3}
	}
}

// column is one sequence of a batch, copied step by step.
type column struct{ inputs, targets [][]float32 }

func columnOf(b *Batch, i int) column {
	var c column
	for t := range b.Time {
		in, out := (t*b.Sequences+i)*b.InputWidth, (t*b.Sequences+i)*b.OutputWidth
		c.inputs = append(c.inputs, slices.Clone(b.Inputs[in:in+b.InputWidth]))
		c.targets = append(c.targets, slices.Clone(b.Targets[out:out+b.OutputWidth]))
	}
	return c
}

// solve computes the outputs from the inputs alone: the vectors asked for, and the step of the first. N-grams are not
// covered because their inputs do not determine the outputs.
func solve(t *testing.T, task Task, inputs [][]float32) (answer [][]float32, first int) {
	find := func(channel, from int) int {
		for s := from; s < len(inputs); s++ {
			if inputs[s][channel] != 0 {
				return s
			}
		}
		require.Fail(t, "no mark", "channel %d", channel)
		return -1
	}
	cut := func(from, to, bits int) (vectors [][]float32) {
		for s := from; s < to; s++ {
			require.Equal(t, make([]float32, len(inputs[s])-bits), inputs[s][bits:], "marks have separate steps")
			vectors = append(vectors, inputs[s][:bits])
		}
		return vectors
	}
	empty := func(s int) bool { return !slices.ContainsFunc(inputs[s], func(v float32) bool { return v != 0 }) }
	switch task := task.(type) {
	case *Copy:
		bits := task.options.Bits
		end := find(bits, 0)
		require.Equal(t, make([]float32, bits), inputs[end][:bits])
		answer, first = cut(0, end, bits), end+1
	case *RepeatCopy:
		bits, low, high := task.options.Bits, float64(task.options.MinRepeats), float64(task.options.MaxRepeats)
		mark := bits
		if task.options.Delimiter {
			mark = bits + 1 // the number may be 0
		}
		end := find(mark, 0)
		require.Equal(t, make([]float32, bits), inputs[end][:bits])
		var sum, squares float64 // of the numbers in training
		for n := low; n <= high; n++ {
			sum += n
			squares += n * n
		}
		mean := sum / (high - low + 1)
		deviation := math.Sqrt(squares/(high-low+1) - mean*mean)
		if low == high {
			deviation = 1
		}
		repeats := mean + deviation*float64(inputs[end][bits])
		require.InDelta(t, math.Round(repeats), repeats, 1e-4)
		for range int(math.Round(repeats)) {
			for _, v := range cut(0, end, bits) {
				answer = append(answer, append(slices.Clone(v), 0))
			}
		}
		last := make([]float32, bits+1)
		last[bits] = 1
		answer, first = append(answer, last), end+1
	case *Recall:
		bits := task.options.Bits
		query := find(bits+1, 0)
		answerAt := find(bits+1, query+1)
		var items [][][]float32
		for s := 0; s < query; {
			require.Equal(t, float32(1), inputs[s][bits], "an item begins with a delimiter")
			require.Equal(t, make([]float32, bits), inputs[s][:bits])
			next := s + 1
			for next < query && inputs[next][bits] == 0 {
				next++
			}
			items = append(items, cut(s+1, next, bits))
			s = next
		}
		asked := cut(query+1, answerAt, bits)
		found := slices.IndexFunc(items, func(item [][]float32) bool { return assert.ObjectsAreEqual(item, asked) })
		require.GreaterOrEqual(t, found, 0, "the query is an item")
		require.Less(t, found, len(items)-1, "and not the last one")
		answer, first = items[found+1], answerAt+1
	case *PrioritySort:
		bits := task.options.Bits
		var vectors [][]float32
		for s := 0; s < len(inputs) && inputs[s][bits] != 0; s++ {
			vectors = append(vectors, inputs[s])
		}
		first = len(vectors)
		if task.options.Delimiter {
			require.Equal(t, first, find(bits+1, 0))
			first++
		}
		sort.SliceStable(vectors, func(x, y int) bool { return vectors[x][bits] > vectors[y][bits] })
		for _, v := range vectors[:len(inputs)-first] {
			require.LessOrEqual(t, v[bits], float32(1))
			require.GreaterOrEqual(t, v[bits], float32(-1))
			answer = append(answer, v[:bits])
		}
	}
	for s := first; s < len(inputs); s++ {
		require.True(t, empty(s), "no input during the answer")
	}
	return answer, first
}

func TestTargetsFollowFromInputs(t *testing.T) {
	for k, task := range append(paper(), others()...) {
		t.Run(fmt.Sprint(task.Name(), " ", k), func(t *testing.T) {
			for step := range 20 {
				r := stream.New(1, "test/"+task.Name(), uint64(step))
				b := task.Batch(r, 3)
				if size := large(task); step == 0 {
					var err error
					b, err = task.Sized(r, 3, size)
					require.NoError(t, err)
				}
				require.Len(t, b.Inputs, b.Time*3*task.Inputs())
				require.Len(t, b.Targets, b.Time*3*task.Outputs())
				require.Len(t, b.Mask, b.Time*3)
				require.Len(t, b.Sizes, 3)
				for i := range 3 {
					c := columnOf(b, i)
					if _, ok := task.(*NGrams); ok {
						require.Equal(t, []float32{0}, c.inputs[0])
						require.Equal(t, c.targets[:b.Time-1], c.inputs[1:])
						for s := range b.Time {
							require.True(t, b.Scored(s, i))
						}
						continue
					}
					answer, first := solve(t, task, c.inputs)
					require.Equal(t, b.Time, first+len(answer))
					for s := range b.Time {
						require.Equal(t, s >= first, b.Scored(s, i))
						if s < first {
							require.Equal(t, make([]float32, task.Outputs()), c.targets[s])
						} else {
							require.Equal(t, answer[s-first], c.targets[s])
						}
					}
					require.Equal(t, slices.Concat(answer...), b.Answer(b.Targets, i))
				}
			}
		})
	}
}

func TestSizesMatchBatches(t *testing.T) {
	for _, task := range append(paper(), others()...) {
		for step := range 20 {
			b := task.Batch(stream.New(2, "test", uint64(step)), 2)
			require.True(t, slices.Contains(slices.Collect(task.Sizes()), b.Sizes[0]))
			again, err := task.Sized(rand.New(rand.NewPCG(0, 0)), 2, b.Sizes[1])
			require.NoError(t, err)
			require.Equal(t, b.Time, again.Time)
			require.Equal(t, b.Mask, again.Mask)
		}
	}
}

func TestGeneratorDeterminesBatch(t *testing.T) {
	for _, task := range append(paper(), others()...) {
		draw := func(seed uint64) *Batch { return task.Batch(stream.New(seed, "test"), 4) }
		assert.Equal(t, draw(3), draw(3))
		assert.NotEqual(t, draw(3).Targets, draw(4).Targets)

		// The first sequences of a larger batch equal those of a smaller one.
		few, err := task.Sized(stream.New(3, "test"), 2, large(task))
		require.NoError(t, err)
		many, err := task.Sized(stream.New(3, "test"), 5, large(task))
		require.NoError(t, err)
		for i := range 2 {
			assert.Equal(t, columnOf(few, i), columnOf(many, i))
		}
		assert.NotEqual(t, columnOf(many, 0).targets, columnOf(many, 1).targets)
	}
}

func TestSizesAreUniform(t *testing.T) {
	want := map[string]int{"copy": 20, "repeat copy": 100, "associative recall": 5, "dynamic n-grams": 1, "priority sort": 1}
	for _, task := range paper() {
		sizes := slices.Collect(task.Sizes())
		assert.Len(t, sizes, want[task.Name()])
		const each = 100
		seen := map[Size]int{}
		r := stream.New(4, task.Name())
		for range each * len(sizes) {
			if len(sizes) == 1 {
				break
			}
			seen[task.Batch(r, 1).Sizes[0]]++
		}
		square := 0.0 // chi-squared, of mean len-1 and variance 2*(len-1)
		for _, size := range sizes {
			square += math.Pow(float64(seen[size]-each), 2) / each
			delete(seen, size)
		}
		assert.Empty(t, seen)
		if n := float64(len(sizes) - 1); n > 0 {
			assert.Less(t, square, n+4*math.Sqrt(2*n), task.Name())
		}
	}
}

func TestDrawsAreFair(t *testing.T) {
	b, err := paper()[0].Sized(stream.New(5, "test"), 2000, Size{Length: 20})
	require.NoError(t, err)
	for k := range 8 {
		ones := 0.0
		for at := k; at < len(b.Targets); at += 8 {
			ones += float64(b.Targets[at])
		}
		assert.InDelta(t, 20000, ones, 4*100, "bit %d", k) // four deviations
	}

	sort, err := paper()[4].Sized(stream.New(5, "test"), 2000, Size{Length: 20, Top: 16})
	require.NoError(t, err)
	var sum, squares float64
	for i := range sort.Sequences {
		for s := range 20 {
			p := float64(sort.Input(s, i)[8])
			sum += p
			squares += p * p
		}
	}
	assert.InDelta(t, 0, sum/40000, 4*math.Sqrt(1.0/3/40000))
	assert.InDelta(t, 1.0/3, squares/40000, 4*math.Sqrt(4.0/45/40000))

	recall, err := paper()[2].Sized(stream.New(5, "test"), 4000, Size{Items: 5})
	require.NoError(t, err)
	asked := make([]int, 4)
	for i := range recall.Sequences {
		for k := range asked {
			if slices.Equal(recall.Input(4*k+1, i), recall.Input(21, i)) && slices.Equal(recall.Input(4*k+2, i), recall.Input(22, i)) {
				asked[k]++
			}
		}
	}
	for _, n := range asked {
		assert.InDelta(t, 1000, n, 120) // more than four deviations of 27
	}
}

func TestRepeatsAreNormalised(t *testing.T) {
	task := made(NewRepeatCopy(RepeatCopyOptions{}))
	var sum, squares float64
	for n := 1; n <= 10; n++ {
		v := float64(task.normalised(n))
		sum += v
		squares += v * v
	}
	assert.InDelta(t, 0, sum, 1e-6)
	assert.InDelta(t, 1, squares/10, 1e-6)
	assert.InDelta(t, (20-5.5)/math.Sqrt(8.25), task.normalised(20), 1e-6, "also outside the range")
}

// A change of these sequences changes every result measured on them, so it must be intended.
func TestFirstSamplesArePinned(t *testing.T) {
	small := []Task{
		made(NewCopy(CopyOptions{MaxLength: 3})),
		made(NewRepeatCopy(RepeatCopyOptions{Bits: 3, MaxLength: 3, MaxRepeats: 2})),
		made(NewRecall(RecallOptions{})),
		made(NewNGrams(NGramsOptions{Length: 60})),
		made(NewPrioritySort(PrioritySortOptions{Bits: 4, Length: 4, Top: 3})),
	}
	for k, want := range []string{
		"010001010 010000110 000000001 000000000 000000000",
		"1000 0110 000-1 0000 0000 0000",
		"00000010 01000100 01010000 00110100 00000010 01000000 10111000 00000100 00000010 11011000 00111100 11010100 " +
			"00000010 11011000 01011000 00111000 00000010 01011000 00101100 11100100 " +
			"00000001 11011000 01011000 00111000 00000001 00000000 00000000 00000000",
		"0 0 0 0 1 0 1 1 1 1 1 0 1 1 1 1 0 1 1 1 1 0 1 1 1 1 1 0 0 0 0 1 1 0 0 0 0 0 0 0 1 0 1 1 1 1 0 1 1 1 0 1 1 0 1 1 1 1 0 1",
		"0100-0.253 1110-0.169 0000-0.714 0001-0.718 00000 00000 00000",
	} {
		b := small[k].Batch(stream.New(1, "data"), 2)
		var got strings.Builder
		for _, v := range columnOf(b, 0).inputs {
			for _, x := range v {
				fmt.Fprintf(&got, "%.3g", x)
			}
			got.WriteByte(' ')
		}
		assert.Equal(t, want, strings.TrimSpace(got.String()), small[k].Name())
	}
}

// Padding changes neither costs nor answers.
func TestPaddingIsNotScored(t *testing.T) {
	for _, task := range paper() {
		r := stream.New(6, "test")
		var batches []*Batch
		for n := 1; n <= 4; n++ {
			batches = append(batches, task.Batch(r, n))
		}
		all := join(batches...)
		assert.Equal(t, 10, all.Sequences)
		require.Len(t, all.Mask, all.Time*10)
		i := 0
		for _, b := range batches {
			assert.LessOrEqual(t, b.Time, all.Time)
			for k := range b.Sequences {
				want, got := columnOf(b, k), columnOf(all, i)
				assert.Equal(t, want.inputs, got.inputs[:b.Time])
				assert.Equal(t, want.targets, got.targets[:b.Time])
				for s := range all.Time {
					assert.Equal(t, s < b.Time && b.Scored(s, k), all.Scored(s, i))
				}
				assert.Equal(t, b.Sizes[k], all.Sizes[i])
				assert.Equal(t, b.Answer(b.Targets, k), all.Answer(all.Targets, i))
				i++
			}
		}
		zeros := make([]float32, len(all.Targets))
		i = 0
		for _, b := range batches {
			for _, c := range b.CostOfLogits(zeros[:len(b.Targets)]) {
				assert.Equal(t, c, all.CostOfLogits(zeros)[i])
				i++
			}
		}
	}
}

func TestBadSettingsAreNamed(t *testing.T) {
	fails := func(want string) func(Task, error) {
		return func(_ Task, err error) { assert.EqualError(t, err, "sequence: "+want) }
	}
	copies := func(o CopyOptions) (Task, error) { return NewCopy(o) }
	repeats := func(o RepeatCopyOptions) (Task, error) { return NewRepeatCopy(o) }
	recall := func(o RecallOptions) (Task, error) { return NewRecall(o) }
	ngrams := func(o NGramsOptions) (Task, error) { return NewNGrams(o) }
	sorts := func(o PrioritySortOptions) (Task, error) { return NewPrioritySort(o) }
	fails("copy: Bits is -1: choose from 1 to 1024")(copies(CopyOptions{Bits: -1}))
	fails("copy: MinLength is 30: choose from 1 to 20")(copies(CopyOptions{MinLength: 30}))
	fails("copy: MaxLength is 100000: choose from 1 to 65536")(copies(CopyOptions{MaxLength: 100000}))
	fails("repeat copy: MinRepeats is -2: choose from 1 to 10")(repeats(RepeatCopyOptions{MinRepeats: -2}))
	fails("repeat copy: MinRepeats is 1 and MaxRepeats 3: the number 2 would be normalised to 0, indistinguishable from no input; set Delimiter, or choose two whose sum is odd")(repeats(RepeatCopyOptions{MaxRepeats: 3}))
	fails("associative recall: MinItems is 1: choose from 2 to 6")(recall(RecallOptions{MinItems: 1}))
	fails("associative recall: Vectors is -3: choose from 1 to 65536")(recall(RecallOptions{Vectors: -3}))
	fails("dynamic n-grams: N is 17: choose from 1 to 16")(ngrams(NGramsOptions{N: 17}))
	fails("priority sort: Top is 16: choose from 1 to 10")(sorts(PrioritySortOptions{Length: 10}))
}

func TestBadSizesAreErrors(t *testing.T) {
	tasks := paper()
	for _, bad := range []struct {
		task int
		n    int
		size Size
		want string
	}{
		{0, 1, Size{}, "copy: Length is 0: choose from 1 to 65536"},
		{0, 1, Size{Length: -5}, "copy: Length is -5: choose from 1 to 65536"},
		{0, 1, Size{Length: 5, Repeats: 2}, "copy: Repeats is 2: this task has none, set it to 0"},
		{0, 0, Size{Length: 5}, "copy: 0 sequences: choose at least 1"},
		{0, 1 << 40, Size{Length: 5}, "copy: 1099511627776 sequences of 11 steps of 9 values: choose at most 268435456 values per batch"},
		{1, 1, Size{Length: 5}, "repeat copy: Repeats is 0: choose from 1 to 65536"},
		{1, 1, Size{Length: 60000, Repeats: 60000}, "repeat copy: 1 sequences of 3600060002 steps of 9 values: choose at most 268435456 values per batch"},
		{2, 1, Size{Items: 1}, "associative recall: Items is 1: choose from 2 to 65536"},
		{2, 1, Size{Items: 3, Length: 1}, "associative recall: Length is 1: this task has none, set it to 0"},
		{3, 1, Size{Length: 200, Top: 1}, "dynamic n-grams: Top is 1: this task has none, set it to 0"},
		{4, 1, Size{Length: 10, Top: 11}, "priority sort: Top is 11: choose from 1 to 10"},
		{4, 1, Size{Length: 10}, "priority sort: Top is 0: choose from 1 to 10"},
	} {
		b, err := tasks[bad.task].Sized(stream.New(1, ""), bad.n, bad.size)
		assert.Nil(t, b)
		assert.EqualError(t, err, "sequence: "+bad.want)
	}
	assert.Panics(t, func() { tasks[0].Batch(stream.New(1, ""), 0) })
	assert.Equal(t, "length 10, top 3", Size{Length: 10, Top: 3}.String())
}

func TestPrintReportsErrors(t *testing.T) {
	tasks := paper()
	b := tasks[0].Batch(stream.New(1, ""), 2)
	assert.EqualError(t, tasks[0].Print(&bytes.Buffer{}, b, 2, nil), "sequence: copy: print: sequence 2 of 2")
	assert.Error(t, tasks[0].Print(&bytes.Buffer{}, b, 0, make([]float32, 3)))
	assert.Error(t, tasks[1].Print(&bytes.Buffer{}, b, 0, nil), "a batch of another task")
	full := errors.New("no space")
	for _, task := range tasks {
		assert.Equal(t, full, task.Print(failing{full}, task.Batch(stream.New(1, ""), 1), 0, nil))
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func BenchmarkBatch(b *testing.B) {
	for _, task := range paper() {
		b.Run(strings.ReplaceAll(task.Name(), " ", "-"), func(b *testing.B) {
			r := stream.New(1, "bench")
			b.ReportAllocs()
			for b.Loop() {
				task.Batch(r, 16)
			}
		})
	}
}

func BenchmarkCost(b *testing.B) {
	batch, err := paper()[0].Sized(stream.New(1, "bench"), 16, Size{Length: 20})
	require.NoError(b, err)
	logits := make([]float32, len(batch.Targets))
	for b.Loop() {
		batch.CostOfLogits(logits)
	}
}

func TestEveryChannelHasItsName(t *testing.T) {
	for _, task := range append(paper(), others()...) {
		inputs, outputs := task.Channels()
		assert.Len(t, inputs, task.Inputs(), task.Name())
		assert.Len(t, outputs, task.Outputs(), task.Name())
		assert.NotContains(t, append(inputs, outputs...), "", task.Name())
	}
}

// join combines batches of one task, in order. Shorter ones are padded at the end with zero inputs and unscored outputs.
func join(batches ...*Batch) *Batch {
	all := &Batch{InputWidth: batches[0].InputWidth, OutputWidth: batches[0].OutputWidth}
	for _, b := range batches {
		all.Time = max(all.Time, b.Time)
		all.Sequences += b.Sequences
		all.Sizes = append(all.Sizes, b.Sizes...)
	}
	steps := all.Time * all.Sequences
	all.Inputs = make([]float32, steps*all.InputWidth)
	all.Targets = make([]float32, steps*all.OutputWidth)
	all.Mask = make([]float32, steps)
	first := 0
	for _, b := range batches {
		for t := range b.Time {
			at, from := t*all.Sequences+first, t*b.Sequences
			copy(all.Inputs[at*all.InputWidth:], b.Inputs[from*b.InputWidth:(from+b.Sequences)*b.InputWidth])
			copy(all.Targets[at*all.OutputWidth:], b.Targets[from*b.OutputWidth:(from+b.Sequences)*b.OutputWidth])
			copy(all.Mask[at:], b.Mask[from:from+b.Sequences])
		}
		first += b.Sequences
	}
	return all
}
