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
	context, err := token.NewContextRecall(token.ContextRecallOptions{Length: 40})
	out["in-context"] = made(context, err)
	noisy, err := token.NewContextRecall(token.ContextRecallOptions{Length: 60, Noise: .4})
	out["noisy"] = made(noisy, err)
	fuzzy, err := token.NewFuzzyRecall(token.FuzzyRecallOptions{Length: 60})
	out["fuzzy"] = made(fuzzy, err)
	memorization, err := token.NewMemorization(token.MemorizationOptions{Length: 12})
	out["memorization"] = made(memorization, err)
	compression, err := token.NewCompression(token.CompressionOptions{Length: 12})
	out["compression"] = made(compression, err)
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
		"MinLength is 9": func() error { _, err := token.NewParity(token.ParityOptions{MinLength: 9, MaxLength: 8}); return err },
		"Elements is 7":  func() error { _, err := token.NewWords(token.WordsOptions{Elements: 7}); return err },
		"Noise is 1": func() error {
			_, err := token.NewContextRecall(token.ContextRecallOptions{Noise: 1})
			return err
		},
		"NoiseWords is 4: this task has none": func() error {
			_, err := token.NewContextRecall(token.ContextRecallOptions{NoiseWords: 4})
			return err
		},
		"NoiseWords is 31: choose from 1 to 30": func() error {
			_, err := token.NewContextRecall(token.ContextRecallOptions{NoiseWords: 31, Noise: .2})
			return err
		},
		"Length is 9: choose an even length": func() error {
			_, err := token.NewMemorization(token.MemorizationOptions{Length: 9})
			return err
		},
		"KeySize is 8: choose from 1 to 7":  func() error { _, err := token.NewFuzzyRecall(token.FuzzyRecallOptions{KeySize: 8}); return err },
		"Length is 18: choose from 19":      func() error { _, err := token.NewFuzzyRecall(token.FuzzyRecallOptions{Length: 18}); return err },
		"Vocabulary is 1: choose from 2":    func() error { _, err := token.NewCompression(token.CompressionOptions{Vocabulary: 1}); return err },
		"Copied is 20: choose from 1 to 15": func() error { _, err := token.NewCopy(token.CopyOptions{Length: 32, Copied: 20}); return err },
	} {
		assert.ErrorContains(t, f(), want)
	}
}

// In-context recall: a test scores exactly the values of keys that were there, and training every next token.
func TestContextRecall(t *testing.T) {
	for name, keys := range map[string]int64{"in-context": 8, "noisy": 8} {
		task := tasks(t)[name]
		size := task.Sizes()[0]
		b, err := task.Sized(rng(5), 60, size)
		require.NoError(t, err)
		noise, pairs := 0, 0
		for i := range b.Sequences {
			in, want := b.Inputs[i*b.Time:][:b.Time], b.Targets[i*b.Time:][:b.Time]
			held := map[int64]int64{}
			for j := 0; j < b.Time; j += 2 {
				if in[j] >= 16 {
					noise++
					assert.EqualValues(t, token.Unscored, want[j])
					continue
				}
				pairs++
				assert.Less(t, in[j], keys)
				value, known := held[in[j]]
				switch {
				case j == b.Time-1:
					require.True(t, known, "the last key was there")
					assert.Equal(t, value, want[j])
				case known:
					assert.Equal(t, value, in[j+1])
					assert.Equal(t, value, want[j])
				default:
					assert.EqualValues(t, token.Unscored, want[j])
					held[in[j]] = in[j+1]
					assert.True(t, in[j+1] >= keys && in[j+1] < 16)
				}
				if j < b.Time-1 {
					assert.EqualValues(t, token.Unscored, want[j+1])
				}
			}
		}
		if name == "noisy" {
			assert.InDelta(t, .4, float64(noise)/float64(noise+pairs), .04)
		} else {
			assert.Zero(t, noise)
		}
		b = task.Batch(rng(5), 3)
		for i := range b.Sequences {
			assert.Equal(t, b.Inputs[i*b.Time+1:][:b.Time-1], b.Targets[i*b.Time:][:b.Time-1])
			assert.NotEqualValues(t, token.Unscored, b.Targets[(i+1)*b.Time-1])
		}
	}
}

// Fuzzy recall: padding only at the beginning; keys of a test have three tokens, and the values of known keys are scored.
func TestFuzzyRecall(t *testing.T) {
	task := tasks(t)["fuzzy"]
	b, err := task.Sized(rng(2), 100, task.Sizes()[0])
	require.NoError(t, err)
	sizes := map[int]bool{}
	for i := range b.Sequences {
		in, want := b.Inputs[i*b.Time:][:b.Time], b.Targets[i*b.Time:][:b.Time]
		at := 0
		for in[at] == 15 {
			at++
		}
		held := map[[3]int64][]int64{}
		for at < b.Time {
			require.LessOrEqual(t, at+3, b.Time)
			k := [3]int64(in[at:])
			assert.True(t, max(k[0], k[1], k[2]) < 7 && k[0] != k[1] && k[1] != k[2] && k[0] != k[2], "%v", k)
			assert.Equal(t, []int64{token.Unscored, token.Unscored}, want[at:at+2])
			at += 3
			var value []int64
			if known, ok := held[k]; ok {
				assert.Equal(t, known, want[at-1:][:len(known)], "the value of a known key is scored")
				at += min(len(known), b.Time-at)
				continue
			}
			for at < b.Time && in[at] >= 7 {
				value = append(value, in[at])
				assert.EqualValues(t, token.Unscored, want[at-1])
				at++
			}
			held[k], sizes[len(value)] = value, true
		}
	}
	assert.Equal(t, map[int]bool{1: true, 2: true, 3: true}, sizes)
}

// Memorization: the same map in every sequence and for every seed of sequences; another one for another seed of the map.
func TestMemorization(t *testing.T) {
	held := map[int64]int64{}
	for seed := range uint64(40) {
		b := tasks(t)["memorization"].Batch(rng(seed), 8)
		for i := 0; i < len(b.Inputs); i += 2 {
			key, value := b.Inputs[i], b.Targets[i+1]
			assert.EqualValues(t, 255, b.Inputs[i+1])
			assert.EqualValues(t, token.Unscored, b.Targets[i])
			if known, ok := held[key]; ok {
				require.Equal(t, known, value)
			}
			held[key] = value
		}
	}
	assert.Len(t, held, 127)
	values := map[int64]bool{}
	for key, value := range held {
		values[value] = true
		assert.True(t, key < 127 && value >= 127 && value < 255)
	}
	assert.Len(t, values, 127)
	other, err := token.NewMemorization(token.MemorizationOptions{Seed: 1})
	require.NoError(t, err)
	b := other.Batch(rng(1), 1)
	same := 0
	for i := 0; i < len(b.Inputs); i += 2 {
		if held[b.Inputs[i]] == b.Targets[i+1] {
			same++
		}
	}
	assert.Less(t, same, 5)
}

func TestCompression(t *testing.T) {
	task := tasks(t)["compression"]
	_, ok := task.(token.Compressor)
	assert.True(t, ok)
	b := task.Batch(rng(1), 9)
	assert.Equal(t, b.Inputs, b.Targets)
	for i := range b.Sequences {
		assert.NotContains(t, b.Inputs[i*12:][:11], int64(15))
		assert.EqualValues(t, 15, b.Inputs[i*12+11])
	}
}

func TestJoin(t *testing.T) {
	task := tasks(t)["copy"]
	a, b := task.Batch(rng(1), 2), task.Batch(rng(2), 1)
	joined := token.Join([]*token.Batch{a, b})
	assert.Equal(t, slices.Concat(a.Inputs, b.Inputs), joined.Inputs)
	assert.Equal(t, slices.Concat(a.Targets, b.Targets), joined.Targets)
	assert.Equal(t, 3, joined.Sequences)
	assert.Panics(t, func() { token.Join([]*token.Batch{a, tasks(t)["S3"].Batch(rng(1), 1)}) })
}
