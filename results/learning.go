package results

import (
	"fmt"
	"maps"
	"slices"

	"github.com/engram-go/engram/results/plot"
)

// learned are the scores that metrics.jsonl can have, by the name there, with the label of their axis.
var learned = [...]struct {
	score, axis string
	factor      float64
}{{Accuracy, "accuracy (%)", 100}, {Error, "error (%)", 100}, {Bits, "cost per sequence (bits)", 1}}

// curvePoints is the largest number of points of a learning curve: about two for each point of its width.
const curvePoints = 250

// LearningCurve draws the learning curves of the experiment; see the function of the same name.
func (e Experiment) LearningCurve() (f plot.Curves, ok bool, err error) {
	if f, ok, err = LearningCurve(e.Runs); ok {
		f.Title = title(e.Label, e.Runs)
	}
	return f, ok, err
}

// LearningCurve draws the learning curves of the runs of one experiment, one per seed. Of one run it shows the scores of training
// batches, raw (in short means) and smoothed, and the validation scores; of several runs their mean, with a band from the lowest to
// the highest. Where training and validation are different tasks, such as 60-way and 20-way, their names say which, and a note
// says that their levels cannot be compared. ok is false where no run has recorded its scores, so that there is nothing to draw.
func LearningCurve(runs []Run) (f plot.Curves, ok bool, err error) {
	for _, by := range learned {
		var training, validation [][]Point
		for _, r := range runs {
			m, err := r.Metrics(by.score)
			if err != nil {
				return f, false, err
			}
			if m == nil || m.Training == nil && m.Validation == nil {
				continue
			}
			training, validation = append(training, m.Training), append(validation, m.Validation)
		}
		if training == nil {
			continue
		}
		var last int64
		for _, points := range slices.Concat(training, validation) {
			for _, p := range points {
				last = max(last, p.Step)
			}
		}
		steps, unit := Thousands(last)
		f = plot.Curves{Title: title(runs[0].Name, runs), X: "steps" + unit, Y: by.axis}
		trained, validated := "training", "validation"
		if a, b := task(runs[0], "train"), task(runs[0], "validation"); a != b {
			trained, validated = trained+a, validated+b
			f.Note = "Training and validation are different tasks: their levels cannot be compared."
		}
		if len(training) == 1 {
			smooth := Smooth(training[0], len(training[0])/20)
			raw := band(trained, training, steps, by.factor)
			raw.Pale = true
			f.Lines = append(f.Lines, raw, band(trained, [][]Point{smooth}, steps, by.factor))
		} else {
			for i := range training {
				training[i] = Smooth(training[i], len(training[i])/20)
			}
			f.Lines = append(f.Lines, band(trained, training, steps, by.factor))
		}
		v := band(validated, validation, steps, by.factor)
		v.Dots = len(v.X) <= 50
		f.Lines = append(f.Lines, v)
		return f, true, nil
	}
	return f, false, nil
}

// task is the size of the episodes in a section of the run's configuration, in brackets; empty if the section gives none, or if the
// figures say that the network was not trained on episodes.
func task(r Run, section string) string {
	settings, err := r.settings()
	way := settings[section+".way"]
	apart := section == "train" && slices.ContainsFunc(r.Figures, func(f Figure) bool { return f.Protocol.Way > 0 && f.Protocol.TrainWay == 0 })
	if err != nil || way == "" || apart {
		return ""
	}
	if shot := settings[section+".shot"]; shot != "" {
		return " (" + way + "-way " + shot + "-shot)"
	}
	return " (" + way + "-way)"
}

func title(name string, runs []Run) string {
	if len(runs) == 1 {
		return fmt.Sprintf("%s, seed %d", name, runs[0].Seed)
	}
	return fmt.Sprintf("%s, mean and range of %d seeds", name, len(runs))
}

// band is the mean of curves at each step, over those that have the step, with their range if there are several.
func band(name string, curves [][]Point, steps, factor float64) plot.Line {
	at := map[int64][]float64{}
	for _, points := range curves {
		for _, p := range points {
			at[p.Step] = append(at[p.Step], factor*p.Score)
		}
	}
	l := plot.Line{Name: name}
	for _, step := range slices.Sorted(maps.Keys(at)) {
		scores := at[step]
		var sum float64
		for _, s := range scores {
			sum += s
		}
		l.X, l.Y = append(l.X, steps*float64(step)), append(l.Y, sum/float64(len(scores)))
		if len(curves) > 1 {
			l.Low, l.High = append(l.Low, slices.Min(scores)), append(l.High, slices.Max(scores))
		}
	}
	return thinned(l, curvePoints)
}

// thinned reduces a line to at most n points: each stands for a run of consecutive points, by their mean and their range.
func thinned(l plot.Line, n int) plot.Line {
	each := (len(l.X) + n - 1) / n
	if each <= 1 {
		return l
	}
	out := l
	out.X, out.Y, out.Low, out.High = nil, nil, nil, nil
	for from := 0; from < len(l.X); from += each {
		to := min(from+each, len(l.X))
		var sum float64
		for _, y := range l.Y[from:to] {
			sum += y
		}
		out.X, out.Y = append(out.X, l.X[to-1]), append(out.Y, sum/float64(to-from))
		if l.Low != nil {
			out.Low, out.High = append(out.Low, slices.Min(l.Low[from:to])), append(out.High, slices.Max(l.High[from:to]))
		}
	}
	return out
}
