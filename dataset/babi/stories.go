package babi

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/engram-go/engram/stream"
)

// StoryTasks are the tasks that [NewStories] generates: an answer follows from one fact (1) or from two (2).
var StoryTasks = []int{1, 2}

// StoriesOptions configures [NewStories]. The default is 1,000 questions each.
type StoriesOptions struct {
	Train, Test int // minimum number of questions per task
}

// NewStories generates stories of people who walk through a house (task 1: where is a person?) and carry things (task
// 2: where is a thing?). They resemble the first two bAbI tasks but do not come from the authors' generator, so
// figures are comparable only among themselves. The stories depend only on the seed and the options.
func NewStories(seed uint64, o StoriesOptions) (*Data, error) {
	if o.Train < 0 || o.Test < 0 {
		return nil, fmt.Errorf("babi: stories: %d training and %d test questions, want at least 1 each", o.Train, o.Test)
	}
	if o.Train == 0 {
		o.Train = 1000
	}
	if o.Test == 0 {
		o.Test = 1000
	}
	tellAll := func(part string, n int) (all []Question) {
		for _, task := range StoryTasks {
			for story, done := 0, 0; done < n; story++ {
				questions := tell(stream.New(seed, "stories/"+part, uint64(task), uint64(story)), task, story)
				all = append(all, questions...)
				done += len(questions)
			}
		}
		return all
	}
	return &Data{Train: tellAll("train", o.Train), Test: tellAll("test", o.Test), Edition: fmt.Sprintf("seed %d", seed)}, nil
}

var (
	people = []string{"anna", "ben", "clara", "david"}
	rooms  = []string{"attic", "cellar", "kitchen", "library", "porch", "stable"}
	things = []string{"lamp", "apple", "rope"}
	walks  = []string{"went", "walked", "ran"}
)

// Facts before each question, and questions per story.
const (
	factsPerQuestion  = 2
	questionsPerStory = 5
)

// house is the current state of a story.
type house struct {
	facts  [][]string
	room   map[string]string // of a person or a dropped thing
	moved  map[string]int    // index of the fact that moved a person or a thing there
	holder map[string]string // of a thing
	taken  map[string]int    // index of the fact that last took or dropped a thing
}

// tell generates a story.
func tell(r *rand.Rand, task, story int) []Question {
	h := &house{room: map[string]string{}, moved: map[string]int{}, holder: map[string]string{}, taken: map[string]int{}}
	var questions []Question
	for len(questions) < questionsPerStory {
		for range factsPerQuestion {
			h.happen(r, task)
		}
		q := Question{Task: task, Story: story, Facts: h.facts[:len(h.facts):len(h.facts)]}
		if task == 1 {
			who := pick(r, people)
			room, known := h.room[who]
			if !known {
				continue
			}
			q.Words, q.Answer, q.Support = []string{"where", "is", who}, room, []int{h.moved[who]}
		} else {
			what := pick(r, things)
			room, moved, known := h.place(what)
			if !known {
				continue
			}
			q.Words, q.Answer, q.Support = []string{"where", "is", "the", what}, room, []int{min(moved, h.taken[what]), max(moved, h.taken[what])}
		}
		questions = append(questions, q)
	}
	return questions
}

// happen adds a fact.
func (h *house) happen(r *rand.Rand, task int) {
	who := pick(r, people)
	at := len(h.facts)
	if task == 2 && r.IntN(2) == 0 {
		if _, known := h.room[who]; known {
			what := pick(r, things)
			switch holder, held := h.holder[what]; {
			case held && holder == who:
				h.room[what], h.moved[what] = h.room[who], h.moved[who]
				delete(h.holder, what)
				h.taken[what] = at
				h.facts = append(h.facts, []string{who, "dropped", "the", what})
				return
			case !held && (h.room[what] == "" || h.room[what] == h.room[who]):
				h.holder[what], h.taken[what] = who, at
				h.facts = append(h.facts, []string{who, "took", "the", what})
				return
			}
		}
	}
	h.room[who], h.moved[who] = pick(r, rooms), at
	h.facts = append(h.facts, append([]string{who}, strings.Fields(pick(r, walks)+" to the "+h.room[who])...))
}

// place returns the room of a thing and the index of the fact that moved it there; known reports whether the story
// tells.
func (h *house) place(what string) (room string, moved int, known bool) {
	if holder, held := h.holder[what]; held {
		return h.room[holder], h.moved[holder], true
	}
	room, known = h.room[what]
	return room, h.moved[what], known
}

func pick(r *rand.Rand, from []string) string { return from[r.IntN(len(from))] }
