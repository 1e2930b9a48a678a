package results

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Metrics is how a run learned: the lines of its metrics.jsonl.
type Metrics struct {
	Training   []Point // of the batch of a step, every so many steps
	Validation []Point
}

// Point is a score after a number of steps.
type Point struct {
	Step  int64
	Score float64
}

// DecodeMetrics reads a metrics.jsonl that holds the scores of that name. A last line that was cut off is left out.
func DecodeMetrics(text []byte, score string) (*Metrics, error) {
	var m Metrics
	n := 0
	for line := range bytes.Lines(text) {
		n++
		var values map[string]any
		if err := json.Unmarshal(line, &values); err != nil {
			if n > 1 && !bytes.HasSuffix(line, []byte("\n")) {
				break
			}
			return nil, fmt.Errorf("metrics: line %d: %w", n, err)
		}
		step, ok := values["step"].(float64)
		if !ok {
			return nil, fmt.Errorf("metrics: line %d has no step", n)
		}
		if v, ok := values[score].(float64); ok {
			m.Training = append(m.Training, Point{int64(step), v})
		}
		if v, ok := values["validation_"+score].(float64); ok {
			m.Validation = append(m.Validation, Point{int64(step), v})
		}
	}
	return &m, nil
}

// Smooth returns the points with the mean score of those at most reach before and after each.
func Smooth(points []Point, reach int) []Point {
	out := make([]Point, len(points))
	for i := range points {
		from, to := max(i-reach, 0), min(i+reach+1, len(points))
		var sum float64
		for _, p := range points[from:to] {
			sum += p.Score
		}
		out[i] = Point{points[i].Step, sum / float64(to-from)}
	}
	return out
}

// Columns returns steps and scores, each times a factor.
func Columns(points []Point, steps, scores float64) (x, y []float64) {
	for _, p := range points {
		x, y = append(x, float64(p.Step)*steps), append(y, p.Score*scores)
	}
	return x, y
}

// Thousands returns the factor by which an axis shows numbers of examples up to the largest, and what its label then adds.
func Thousands(largest int64) (factor float64, label string) {
	if largest >= 10_000 {
		return 1e-3, " (thousands)"
	}
	return 1, ""
}
