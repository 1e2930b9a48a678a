package kinds

import (
	"cmp"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"

	"github.com/engram-go/engram/dataset/babi"
	"github.com/engram-go/engram/experiments/runner"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// Stories that a network reads word by word, each with all its questions.

// reading is a story as the tokens that a network reads.
type reading struct{ tokens []int64 }

// readings numbers the words of stories: an example for each question, those of a story next to one another. The token after the
// vocabulary stands for unknown words.
func (g *storyGroup) readings(questions []babi.Question, pauses int) (out []storyExample) {
	for _, r := range babi.Read(questions, pauses) {
		story := &reading{make([]int64, len(r.Words))}
		for i, w := range g.vocabulary.Numbers(r.Words) {
			if w == babi.Unknown {
				w = g.vocabulary.Len()
			}
			story.tokens[i] = int64(w)
		}
		for _, q := range r.Questions {
			e := storyExample{asked: q.Question, reading: story, blanks: q.Blanks}
			for _, w := range g.vocabulary.Numbers(q.Answers) {
				e.answers = append(e.answers, int64(w))
			}
			out = append(out, e)
		}
	}
	return out
}

// tokens is how many tokens a network reads: the words and the unknown one.
func (g *storyGroup) tokens() int64 { return int64(g.vocabulary.Len()) + 1 }

// fit leaves out the training stories that are too long, and checks that the network reads the others.
func (w *stories) fit(from runner.Source) error {
	most, all, out := w.file.Train.Longest, 0, 0
	for _, g := range w.groups {
		longest := 0
		g.train = slices.Concat(slices.Collect(func(yield func([]storyExample) bool) {
			for _, story := range together(g.train) {
				n := len(story[0].reading.tokens)
				if all++; most > 0 && n > most {
					out++
					continue
				}
				longest = max(longest, n)
				if !yield(story) {
					return
				}
			}
		})...)
		if len(g.train) == 0 {
			return fmt.Errorf("train.longest: no story of %s has at most %d words; use more", g.name, most)
		}
		for _, e := range slices.Concat(g.validation, g.test) {
			longest = max(longest, len(e.reading.tokens))
		}
		if p := w.planned.Reads.Positions; p > 0 && int64(longest) > p {
			return w.file.Network.Errorf("stories of %s have up to %d words, and the network learns vectors of %d positions; use more positions, or none", g.name, longest, p)
		}
	}
	if out > 0 {
		from.Note(fmt.Sprintf("%d of %d training stories have more than %d words and are left out (train.longest)", out, all, most))
	}
	return nil
}

// together groups examples by story, in their order.
func together(examples []storyExample) [][]storyExample {
	var out [][]storyExample
	for i, e := range examples {
		if i == 0 || e.reading != examples[i-1].reading {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], e)
	}
	return out
}

// sortedBatches is among how many batches stories are sorted by length.
const sortedBatches = 32

// batchesOfReadings gives the examples of each step: n stories of about the same length, since a step takes as long as its longest.
// The stories are shuffled, some batches' worth of them at a time is sorted by length, and the batches are shuffled again.
func batchesOfReadings(stories [][]storyExample, n int, r *rand.Rand) (batches [][]storyExample) {
	order := r.Perm(len(stories))
	for some := range slices.Chunk(order, n*sortedBatches) {
		slices.SortFunc(some, func(a, b int) int {
			return cmp.Or(cmp.Compare(len(stories[a][0].reading.tokens), len(stories[b][0].reading.tokens)), cmp.Compare(a, b))
		})
		for batch := range slices.Chunk(some, n) {
			var examples []storyExample
			for _, i := range batch {
				examples = append(examples, stories[i]...)
			}
			batches = append(batches, examples)
		}
	}
	r.Shuffle(len(batches), func(i, j int) { batches[i], batches[j] = batches[j], batches[i] })
	return batches
}

// read returns the scores of the words of the examples' answers, [words, vocabulary]: each story is read once, with all its
// questions, also where some of them are not among the examples. Examples of a story are next to one another.
func (g *storyGroup) read(p *nn.Pass, examples []storyExample, on tensor.Device) *tensor.Tensor {
	stories := together(examples)
	longest := 0
	for _, s := range stories {
		longest = max(longest, len(s[0].reading.tokens))
	}
	inputs, at := make([]int64, len(stories)*longest), []int64(nil) // what follows the end of a story is read, and changes no answer
	for i, s := range stories {
		copy(inputs[i*longest:], s[0].reading.tokens)
		for _, e := range s {
			for j := range e.answers {
				at = append(at, int64(i*longest+e.blanks+j))
			}
		}
	}
	return g.reader.Forward(p, tensor.New(inputs, int64(len(stories)), int64(longest)).On(on), tensor.New(at, int64(len(at))).On(on))
}

// chunks divides examples for evaluation, whole stories of those that are read word by word.
func (g *storyGroup) chunks(examples []storyExample) iter.Seq[[]storyExample] {
	if g.reader == nil {
		return slices.Chunk(examples, evaluationQuestions)
	}
	return func(yield func([]storyExample) bool) {
		var chunk []storyExample
		for _, story := range together(examples) {
			if chunk = append(chunk, story...); len(chunk) >= evaluationQuestions {
				if !yield(chunk) {
					return
				}
				chunk = nil
			}
		}
		if len(chunk) > 0 {
			yield(chunk)
		}
	}
}

// carried is how many numbers the networks' memories carry at the end of the longest test story; 0 where that is not known.
func (w *stories) carried() (numbers int64) {
	for _, g := range w.groups {
		if g.reader == nil {
			return 0
		}
		longest := 0
		for _, e := range g.test {
			longest = max(longest, len(e.reading.tokens))
		}
		numbers = max(numbers, g.reader.State(int64(longest)))
	}
	return numbers
}
