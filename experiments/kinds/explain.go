package kinds

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/engram-go/engram/dataset/babi"
	"github.com/engram-go/engram/experiments/runner"
	"github.com/engram-go/engram/results/plot"
	"github.com/engram-go/engram/tensor"
)

// Explanation is what a network answers to a question about a story, and what it attends to.
type Explanation struct {
	Task      int        `json:"task"`
	Sentences []Sentence `json:"sentences"`
	Empty     []float64  `json:"empty"` // weights at each hop of the memory's empty slots together
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

// said writes the question and the network's answer.
func (x Explanation) said() string {
	text := fmt.Sprintf("%s? %s (%.0f %%)", x.Question, x.Said, 100*x.Chance)
	if x.Said == x.Answer {
		return text + ", which is right"
	}
	return text + ", but the answer is " + x.Answer
}

// mark is the first column of a sentence.
func (s Sentence) mark() string {
	if s.Supports {
		return "*"
	}
	return " "
}

// Print writes the story with the weight of each sentence at each hop, and a star before those that the answer follows from.
func (x Explanation) Print(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "task %d, %s\n ", x.Task, babi.TaskName(x.Task))
	for hop := range x.Empty {
		fmt.Fprintf(&b, " hop %-2d", hop+1)
	}
	b.WriteString("\n")
	for _, s := range x.Sentences {
		b.WriteString(s.mark())
		for hop := range x.Empty {
			if hop < len(s.Weights) {
				fmt.Fprintf(&b, " %5.2f ", s.Weights[hop])
			} else {
				b.WriteString("     – ") // not held any more
			}
		}
		fmt.Fprintf(&b, "  %s\n", s.Text)
	}
	b.WriteString(" ")
	for _, w := range x.Empty {
		fmt.Fprintf(&b, " %5.2f ", w)
	}
	b.WriteString("  (no sentence)\n")
	fmt.Fprintf(&b, "%s\n", x.said())
	_, err := io.WriteString(w, b.String())
	return err
}

// AttentionFigure draws the weights of the sentences at each hop, one story below another.
func AttentionFigure(all []Explanation) plot.Figure {
	f := plot.Panels{Title: "Attention", X: "hop", Note: "* sentences that the answer follows from"}
	for _, x := range all {
		p := plot.Panel{Name: x.said()}
		for _, s := range x.Sentences {
			p.Rows = append(p.Rows, s.mark()+" "+s.Text)
			p.Cells = append(p.Cells, s.Weights)
		}
		p.Rows, p.Cells = append(p.Rows, "(no sentence)"), append(p.Cells, x.Empty)
		f.Panels = append(f.Panels, p)
	}
	if len(all) > 0 {
		for hop := range all[0].Empty {
			f.Columns = append(f.Columns, strconv.Itoa(hop+1))
		}
		f.Title = fmt.Sprintf("Attention, task %d (%s)", all[0].Task, babi.TaskName(all[0].Task))
	}
	return f
}

// show implements shower: the first story of each task.
func (w *stories) Show(ctx context.Context, on tensor.Device) (plots []runner.Plot, samples []byte, err error) {
	var text bytes.Buffer
	for _, g := range w.groups {
		for _, task := range tasksOf(asked(g.test)) {
			all, err := w.explain(ctx, ExplainOptions{Task: task, Count: 1}, on)
			if err != nil {
				return plots, text.Bytes(), err
			}
			for _, x := range all {
				if text.Len() > 0 {
					text.WriteString("\n")
				}
				if err := x.Print(&text); err != nil {
					return plots, text.Bytes(), err
				}
			}
			if len(all) > 0 && all[0].Empty != nil { // the memory has attention to sentences
				plots = append(plots, runner.Plot{Name: fmt.Sprintf("attention-task-%02d", task), Figure: AttentionFigure(all)})
			}
		}
	}
	return plots, text.Bytes(), nil
}

// ExplainOptions say which questions are explained.
type ExplainOptions struct {
	Task  int
	Count int  // stories at most
	Wrong bool // those that the network answers wrongly
	Data  string
}

// Explainer is work whose answers can be explained.
type Explainer interface {
	// Explain has the trained network answer test questions, the last one of each story, and returns what it attended to.
	Explain(ctx context.Context, o ExplainOptions) ([]Explanation, error)
}

// Explain implements [Explainer].
func (w *stories) Explain(ctx context.Context, o ExplainOptions) ([]Explanation, error) {
	return w.explain(ctx, o, tensor.CPU)
}

func (w *stories) explain(ctx context.Context, o ExplainOptions, on tensor.Device) ([]Explanation, error) {
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
		if left := o.Count - len(out); !o.Wrong && len(last) > left {
			last = last[:left]
		}
		answers, err := g.answers(ctx, last, on, nil)
		if err != nil {
			return nil, err
		}
		for _, a := range answers {
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
	var said []string
	for _, w := range a.best {
		said = append(said, v.Word(int(w)))
	}
	x := Explanation{Task: q.Task, Question: strings.Join(q.Words, " "), Answer: q.Answer, Said: strings.Join(said, ","), Chance: a.chance, Empty: a.empty}
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
