package experiments

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/engram-go/engram/dataset/babi"
)

// Explanation is what a network answers to a question about a story, and what it looks at for that.
type Explanation struct {
	Task      int        `json:"task"`
	Sentences []Sentence `json:"sentences"`
	Question  string     `json:"question"`
	Answer    string     `json:"answer"` // the right one
	Said      string     `json:"said"`   // the network's
	Chance    float64    `json:"chance"` // that it gives its own
}

// Sentence is a sentence of a story.
type Sentence struct {
	Text     string    `json:"text"`
	Supports bool      `json:"supports"` // the answer follows from it
	Weights  []float64 `json:"weights"`  // at each hop; none where the memory holds only later sentences
}

// ExplainOptions say which questions are explained.
type ExplainOptions struct {
	Task  int
	Count int  // stories at most
	Wrong bool // those that the network answers wrongly
	Data  string
}

// explainer is work whose answers can be explained.
type explainer interface {
	explain(ctx context.Context, o ExplainOptions) ([]Explanation, error)
}

// Explain has the model of a run folder answer test questions, the last one of each story, and tells what it looked at.
func Explain(ctx context.Context, dir string, o ExplainOptions) ([]Explanation, error) {
	c, err := RunConfig(dir)
	if err != nil {
		return nil, err
	}
	work, ok := c.work.(explainer)
	if !ok {
		return nil, fmt.Errorf("%s: there is nothing to explain in what %s does: it reads no stories", dir, c.Network.Kind())
	}
	options := Options{Out: dir, Data: o.Data}
	options.fill(c.Name)
	r, err := prepare(ctx, c, options)
	if err != nil {
		return nil, err
	}
	defer r.params.Free()
	if err := r.loadModel(); err != nil {
		return nil, err
	}
	return work.explain(ctx, o)
}

func (w *babiWork) explain(ctx context.Context, o ExplainOptions) ([]Explanation, error) {
	var out []Explanation
	var tasks []int
	for _, g := range w.groups {
		tasks = append(tasks, tasksOf(asked(g.test))...)
		var last []storyExample // of each story
		for i, e := range g.test {
			if e.asked.Task == o.Task && (i+1 == len(g.test) || g.test[i+1].asked.Story != e.asked.Story || g.test[i+1].asked.Task != o.Task) {
				last = append(last, e)
			}
		}
		for a, err := range g.answers(ctx, last) {
			if err != nil {
				return nil, err
			}
			if len(out) == o.Count {
				break
			}
			if !o.Wrong || a.wrong > 0 {
				out = append(out, a.explained(g.vocabulary))
			}
		}
	}
	if !slices.Contains(tasks, o.Task) {
		return nil, fmt.Errorf("there is no task %d among the run's: choose one of %v", o.Task, tasks)
	}
	return out, nil
}

func (a answer) explained(v *babi.Vocabulary) Explanation {
	q := a.example.asked
	x := Explanation{Task: q.Task, Question: strings.Join(q.Words, " "), Answer: q.Answer, Said: v.Word(int(a.best)), Chance: a.chance}
	for i, fact := range q.Facts {
		s := Sentence{Text: strings.Join(fact, " "), Supports: slices.Contains(q.Support, i)}
		for _, hop := range a.attention {
			if at := i - (len(q.Facts) - len(hop)); at >= 0 {
				s.Weights = append(s.Weights, hop[at])
			}
		}
		x.Sentences = append(x.Sentences, s)
	}
	return x
}
