package babi

import "slices"

// The words of a [Reading] that are none of a sentence.
const (
	Stop  = "."
	Ask   = "?"
	Blank = "-" // the network is to answer with a word
	Pause = "…" // a step without a word
)

// A Reading is a story with all its questions as the words that a network reads one by one: Graves et al. 2016, Methods, "bAbI task
// descriptions". Sentences end with [Stop] and questions with [Ask]; after a question there is a [Blank] for each word of its answer.
// So the story "mary moved to the hall . where is mary ? -" asks one question.
type Reading struct {
	Words []string
	// Questions are the questions of the story in their order.
	Questions []Asked
}

// Asked is a question of a [Reading].
type Asked struct {
	*Question
	// Blanks is the place in Words of the first of its blanks, and Answers are the words that belong there.
	Blanks  int
	Answers []string
}

// Read makes the readings of questions, those of a story next to one another. pauses are the number of [Pause] words before the
// blanks of each question: Csordás and Schmidhuber 2019, appendix B.
func Read(questions []Question, pauses int) []Reading {
	var out []Reading
	facts := 0 // of the last story that have been read
	for i := range questions {
		q := &questions[i]
		if i == 0 || q.Story != questions[i-1].Story || q.Task != questions[i-1].Task {
			out, facts = append(out, Reading{}), 0
		}
		r := &out[len(out)-1]
		for ; facts < len(q.Facts); facts++ {
			r.Words = append(append(r.Words, q.Facts[facts]...), Stop)
		}
		r.Words = append(append(r.Words, q.Words...), Ask)
		for range pauses {
			r.Words = append(r.Words, Pause)
		}
		answers := answerWords(q.Answer)
		r.Questions = append(r.Questions, Asked{q, len(r.Words), answers})
		r.Words = append(r.Words, slices.Repeat([]string{Blank}, len(answers))...)
	}
	return out
}

// ReadingVocabulary makes the vocabulary of readings: their words and those of their answers.
func ReadingVocabulary(readings []Reading) *Vocabulary {
	v := &Vocabulary{number: map[string]int{}}
	for _, r := range readings {
		v.add(r.Words)
		for _, q := range r.Questions {
			v.add(q.Answers)
		}
	}
	v.sort()
	return v
}
