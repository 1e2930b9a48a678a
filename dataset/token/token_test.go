package token_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/dataset/token"
)

func rng(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

func tasks(t *testing.T) map[string]token.Task {
	made := func(task token.Task, err error) token.Task {
		t.Helper()
		require.NoError(t, err)
		return task
	}
	recall, err := token.NewRecall(token.RecallOptions{Vocabulary: 64, Sizes: []token.Size{{Length: 16, Pairs: 2}, {Length: 32, Pairs: 8}}})
	out := map[string]token.Task{"recall": made(recall, err)}
	random, err := token.NewRecall(token.RecallOptions{Vocabulary: 64, Sizes: []token.Size{{Length: 40, Pairs: 5}}, Random: true})
	out["random recall"] = made(random, err)
	parity, err := token.NewParity(token.ParityOptions{})
	out["parity"] = made(parity, err)
	s3, err := token.NewWords(token.WordsOptions{Length: 20})
	out["S3"] = made(s3, err)
	s5, err := token.NewWords(token.WordsOptions{Elements: 5, Length: 20, Swaps: true})
	out["S5"] = made(s5, err)
	copied, err := token.NewCopy(token.CopyOptions{Length: 40, Copied: 6})
	out["copy"] = made(copied, err)
	return out
}

// Every task: tokens and classes in range, the same for the same generator, and the first sequences of a larger batch.
func TestTasks(t *testing.T) {
	for name, task := range tasks(t) {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(20) {
				b := task.Batch(rng(seed), 7)
				require.Len(t, b.Inputs, b.Time*7)
				require.Len(t, b.Targets, b.Time*7)
				assert.Equal(t, b, task.Batch(rng(seed), 7))
				assert.Contains(t, task.Sizes(), b.Size)
				for i, v := range b.Inputs {
					require.True(t, v >= 0 && v < int64(task.Tokens()))
					require.True(t, b.Targets[i] == token.Unscored || b.Targets[i] >= 0 && b.Targets[i] < int64(task.Classes()))
				}
				at, classes := b.Scored()
				require.NotEmpty(t, at)
				for i, s := range b.Scores(classes) {
					assert.True(t, s.Whole() && s.Scored > 0, "sequence %d", i)
				}
				classes[0]++
				assert.False(t, b.Scores(classes)[0].Whole())
			}
			size := task.Sizes()[0]
			few, err := task.Sized(rng(1), 3, size)
			require.NoError(t, err)
			many, err := task.Sized(rng(1), 5, size)
			require.NoError(t, err)
			assert.Equal(t, few.Inputs, many.Inputs[:len(few.Inputs)])
			assert.NotEmpty(t, size.String())
			_, err = task.Sized(rng(1), 0, size)
			assert.ErrorContains(t, err, "choose 1 to")
			_, err = task.Sized(rng(1), 1, token.Size{Length: size.Length, Pairs: 1000, Copied: 1000})
			assert.Error(t, err)
		})
	}
}

// Keys are followed by their values; each is asked once, after them, and its value is the answer.
func TestRecall(t *testing.T) {
	for _, name := range []string{"recall", "random recall"} {
		b := tasks(t)[name].Batch(rng(3), 200)
		n := b.Size.Pairs
		for i := range b.Sequences {
			in, want := b.Inputs[i*b.Time:][:b.Time], b.Targets[i*b.Time:][:b.Time]
			held := map[int64]int64{}
			for j := range n {
				key, value := in[2*j], in[2*j+1]
				assert.True(t, key >= 1 && key < 32 && value >= 32 && value < 64)
				held[key] = value
			}
			assert.Len(t, held, n, "keys are different")
			asked := 0
			for j, v := range want {
				if v == token.Unscored {
					if name == "recall" && j >= 2*n {
						assert.Zero(t, in[j])
					}
					continue
				}
				asked++
				assert.True(t, j >= 2*n && j%2 == 0)
				assert.Equal(t, held[in[j]], v)
				delete(held, in[j])
			}
			assert.Equal(t, n, asked)
			assert.Empty(t, held, "every key is asked once")
		}
	}
}

// The places of questions follow the power law of the public generator.
func TestRecallAsksEarly(t *testing.T) {
	task, err := token.NewRecall(token.RecallOptions{Vocabulary: 64, Sizes: []token.Size{{Length: 22, Pairs: 1}}})
	require.NoError(t, err)
	const n = 20_000
	b := task.Batch(rng(1), n)
	counts := make([]float64, 10)
	at, _ := b.Scored()
	for _, p := range at {
		counts[(int(p)%b.Time-2)/2]++
	}
	// i^-0.99 over 1 to 10 sums to 2.946.
	for place, want := range map[int]float64{0: .339, 1: .171, 4: .069, 9: .0347} {
		assert.InDelta(t, want, counts[place]/n, .012, "place %d", place)
	}
}

func TestParity(t *testing.T) {
	task := tasks(t)["parity"]
	assert.Len(t, task.Sizes(), 38)
	var lengths []int
	for seed := range uint64(60) {
		b := task.Batch(rng(seed), 4)
		lengths = append(lengths, b.Time)
		for i := range b.Sequences {
			in, want := b.Inputs[i*b.Time:][:b.Time], b.Targets[i*b.Time:][:b.Time]
			twos := int64(0)
			for j, v := range in[:b.Time-1] {
				assert.True(t, v == 1 || v == 2)
				assert.EqualValues(t, token.Unscored, want[j])
				twos += v - 1
			}
			assert.Zero(t, in[b.Time-1])
			assert.Equal(t, 1+twos%2, want[b.Time-1])
		}
	}
	assert.True(t, slices.Min(lengths) < 8 && slices.Max(lengths) > 35)
}

// The running product of S3, by hand: 1 exchanges the last two, 2 the first two; one after the other is a rotation.
func TestWords(t *testing.T) {
	perms := [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}
	b := tasks(t)["S3"].Batch(rng(1), 50)
	for i := range b.Sequences {
		in, want := b.Inputs[i*b.Time:][:b.Time], b.Targets[i*b.Time:][:b.Time]
		assert.EqualValues(t, 6, in[0])
		assert.EqualValues(t, token.Unscored, want[0])
		state := []int{0, 1, 2}
		for j := 1; j < b.Time; j++ {
			for k := range state {
				state[k] = perms[in[j]][state[k]]
			}
			assert.Equal(t, state, perms[want[j]])
		}
	}
	s5 := tasks(t)["S5"].Batch(rng(1), 200)
	drawn := map[int64]bool{}
	for _, v := range s5.Inputs {
		drawn[v] = true
	}
	assert.Len(t, drawn, 12, "ten swaps, the identity and the token that begins")
}

func TestCopy(t *testing.T) {
	b := tasks(t)["copy"].Batch(rng(1), 50)
	for i := range b.Sequences {
		in, want := b.Inputs[i*b.Time:][:b.Time], b.Targets[i*b.Time:][:b.Time]
		var tokens []int64
		for j, v := range in {
			if v < 14 {
				assert.Less(t, j, 33)
				tokens = append(tokens, v)
			}
		}
		assert.Len(t, tokens, 6)
		assert.EqualValues(t, 15, in[33])
		assert.Equal(t, tokens, want[34:])
	}
}

func TestMistakes(t *testing.T) {
	for want, f := range map[string]func() error{
		"Vocabulary is 3": func() error { _, err := token.NewRecall(token.RecallOptions{Vocabulary: 3}); return err },
		"Pairs is 9: choose from 1 to 8": func() error {
			_, err := token.NewRecall(token.RecallOptions{Sizes: []token.Size{{Length: 32, Pairs: 9}}})
			return err
		},
		"choose an even length": func() error {
			_, err := token.NewRecall(token.RecallOptions{Sizes: []token.Size{{Length: 33, Pairs: 2}}})
			return err
		},
		"MinLength is 9":                    func() error { _, err := token.NewParity(token.ParityOptions{MinLength: 9, MaxLength: 8}); return err },
		"Elements is 7":                     func() error { _, err := token.NewWords(token.WordsOptions{Elements: 7}); return err },
		"Copied is 20: choose from 1 to 15": func() error { _, err := token.NewCopy(token.CopyOptions{Length: 32, Copied: 20}); return err },
	} {
		assert.ErrorContains(t, f(), want)
	}
}
