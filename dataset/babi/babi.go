// Package babi reads the 20 question-answering tasks of Weston et al. (2015), "Towards AI-Complete Question
// Answering: A Set of Prerequisite Toy Tasks", in their released layout, and generates simple stories of the same
// kind without any file.
package babi

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/engram-go/engram/dataset/internal/files"
)

// Tasks is the number of tasks, which are numbered from 1.
const Tasks = 20

// taskNames are the names of the tasks in their files.
var taskNames = [Tasks]string{
	"single supporting fact", "two supporting facts", "three supporting facts", "two-arg relations", "three-arg relations",
	"yes-no questions", "counting", "lists-sets", "simple negation", "indefinite knowledge",
	"basic coreference", "conjunction", "compound coreference", "time reasoning", "basic deduction",
	"basic induction", "positional reasoning", "size reasoning", "path finding", "agents' motivations",
}

// TaskName returns the subject of a task, or "" for an invalid number.
func TaskName(task int) string {
	if task < 1 || task > Tasks {
		return ""
	}
	return taskNames[task-1]
}

// A Question is asked in a story. Its words and those of the facts are in lower case without full stops.
type Question struct {
	Task    int
	Story   int        // index of its story in the file, from 0
	Facts   [][]string // the sentences of the story before the question; shared with later questions
	Words   []string
	Answer  string // one text, also for a list: "milk,football", or "n,e" for a path; lower case, no spaces at commas, no full stop
	Support []int  // indices in Facts of the supporting facts; empty if the file has none
}

// Parse reads the stories of a task from a file. Errors contain the given name and the line.
//
//	1 Mary moved to the bathroom.
//	2 John went to the hallway.
//	3 Where is Mary? <TAB>bathroom<TAB>1
//
// A line begins with its number in the story; number 1 begins a new story. The supporting facts may be missing. Blank
// lines and a byte order mark are skipped.
func Parse(r io.Reader, name string, task int) ([]Question, error) {
	p := parser{task: task, story: -1}
	lines := bufio.NewScanner(files.Decoder(r))
	line := 0
	for lines.Scan() {
		line++
		if strings.TrimSpace(lines.Text()) == "" {
			continue
		}
		if err := p.line(strings.TrimRight(lines.Text(), "\r")); err != nil {
			return nil, fmt.Errorf("babi: %s:%d: %w", name, line, err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("babi: %s:%d: %w", name, line+1, err)
	}
	return p.questions, nil
}

// parser is the state of parsing a file.
type parser struct {
	task, story int
	facts       [][]string
	last        int         // number of the last line of the story
	fact        map[int]int // index in facts by line number
	questions   []Question
}

func (p *parser) line(text string) error {
	number, rest, _ := strings.Cut(text, " ")
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 {
		return fmt.Errorf("want a line that begins with its number in the story and a space, got %q", clip(text))
	}
	switch {
	case n == 1:
		p.story++
		p.facts, p.fact = nil, map[int]int{}
	case n != p.last+1:
		return fmt.Errorf("line %d of a story follows line %d", n, p.last)
	}
	p.last = n
	fields := strings.Split(rest, "\t")
	sentence := Words(fields[0])
	if len(sentence) == 0 {
		return errors.New("no sentence after the number")
	}
	if len(fields) == 1 {
		if strings.Contains(rest, "?") {
			return errors.New("a question without a tab and an answer")
		}
		p.fact[n] = len(p.facts)
		p.facts = append(p.facts, sentence)
		return nil
	}
	if len(fields) > 3 {
		return fmt.Errorf("a question has two tabs, before its answer and before its supporting facts, got %d", len(fields)-1)
	}
	q := Question{Task: p.task, Story: p.story, Facts: slices.Clip(p.facts), Words: sentence, Answer: normalAnswer(fields[1])}
	if q.Answer == "" {
		return errors.New("a question without an answer")
	}
	if len(fields) == 3 {
		for s := range strings.FieldsSeq(fields[2]) {
			at, err := strconv.Atoi(s)
			i, ok := p.fact[at]
			if err != nil || !ok {
				return fmt.Errorf("supporting fact %q is not the number of an earlier sentence of the story", clip(s))
			}
			q.Support = append(q.Support, i)
		}
	}
	p.questions = append(p.questions, q)
	return nil
}

// normalAnswer normalises an answer to the form of the released files: lower case, no full stop, and the items of a
// list separated by commas only.
func normalAnswer(text string) string {
	var items []string
	for item := range strings.SplitSeq(text, ",") {
		if words := Words(item); len(words) > 0 {
			items = append(items, strings.Join(words, " "))
		}
	}
	return strings.Join(items, ",")
}

// answerWords are the items of an answer.
func answerWords(answer string) []string { return strings.Split(answer, ",") }

// Unseen lists what occurs in test questions but not in training questions. A network cannot know these words or give
// these answers.
type Unseen struct {
	Words     []string // of facts and questions, sorted
	Answers   []string // sorted
	Questions int      // test questions that have any of them
}

// NewUnseen compares test questions with training questions. An answer counts as seen only if it is the answer of a
// training question.
func NewUnseen(train, test []Question) Unseen {
	words, answers := map[string]bool{}, map[string]bool{}
	for _, q := range train {
		for _, sentence := range append(slices.Clip(q.Facts), q.Words) {
			for _, w := range sentence {
				words[w] = true
			}
		}
		answers[q.Answer] = true
	}
	var u Unseen
	newWords, newAnswers := map[string]bool{}, map[string]bool{}
	for _, q := range test {
		any := !answers[q.Answer]
		if any {
			newAnswers[q.Answer] = true
		}
		for _, sentence := range append(slices.Clip(q.Facts), q.Words) {
			for _, w := range sentence {
				if !words[w] {
					newWords[w], any = true, true
				}
			}
		}
		if any {
			u.Questions++
		}
	}
	u.Words, u.Answers = slices.Sorted(maps.Keys(newWords)), slices.Sorted(maps.Keys(newAnswers))
	return u
}

// String returns one line, or "" if there is nothing: "test questions with words or answers that never occur in
// training: 12: words football, garden; answers milk,football".
func (u Unseen) String() string {
	if u.Questions == 0 {
		return ""
	}
	list := func(kind string, all []string) string {
		const some = 5
		switch {
		case len(all) == 0:
			return ""
		case len(all) > some:
			return "; " + kind + " " + strings.Join(all[:some], ", ") + ", …"
		}
		return "; " + kind + " " + strings.Join(all, ", ")
	}
	text := list("words", u.Words) + list("answers", u.Answers)
	return fmt.Sprintf("test questions with words or answers that never occur in training: %d: %s", u.Questions, text[2:])
}

// Words splits a sentence into lower-case words, without the final full stop or question mark.
func Words(sentence string) []string {
	var words []string
	for w := range strings.FieldsSeq(strings.ToLower(sentence)) {
		if w = strings.TrimRight(w, ".?"); w != "" {
			words = append(words, w)
		}
	}
	return words
}

func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}

// A Vocabulary numbers words from 0, in alphabetical order.
type Vocabulary struct {
	words  []string
	number map[string]int
}

// NewVocabulary makes the vocabulary of questions: the words of facts, questions and answers. An answer of several
// words is one word.
func NewVocabulary(questions []Question) *Vocabulary {
	v := &Vocabulary{number: map[string]int{}}
	for _, q := range questions {
		for _, sentence := range append(slices.Clip(q.Facts), q.Words, []string{q.Answer}) {
			v.add(sentence)
		}
	}
	v.sort()
	return v
}

func (v *Vocabulary) add(words []string) {
	for _, w := range words {
		v.number[w] = 0
	}
}

// sort numbers the words that were added.
func (v *Vocabulary) sort() {
	for w := range v.number {
		v.words = append(v.words, w)
	}
	slices.Sort(v.words)
	for i, w := range v.words {
		v.number[w] = i
	}
}

// Len returns the number of words.
func (v *Vocabulary) Len() int { return len(v.words) }

// Word returns the word with a number.
func (v *Vocabulary) Word(n int) string { return v.words[n] }

// Unknown is the number of every word that is not in a vocabulary.
const Unknown = -1

// Number returns the number of a word, or Unknown.
func (v *Vocabulary) Number(word string) int {
	if n, ok := v.number[word]; ok {
		return n
	}
	return Unknown
}

// Numbers returns the numbers of words.
func (v *Vocabulary) Numbers(words []string) []int {
	out := make([]int, len(words))
	for i, w := range words {
		out[i] = v.Number(w)
	}
	return out
}
