package results

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Metrics are the learning curves of a run, from its metrics.jsonl.
type Metrics struct {
	Training   []Point // on training batches, at regular steps
	Validation []Point
}

// Point is a score after a number of steps.
type Point struct {
	Step  int64
	Score float64
}

// DecodeMetrics reads the scores of a name from a metrics.jsonl. An incomplete last line is ignored.
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

// Smooth returns the points with their moving average: over each point and up to reach points before and after it.
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

// Columns returns the steps and the scores, each multiplied by a factor.
func Columns(points []Point, steps, scores float64) (x, y []float64) {
	for _, p := range points {
		x, y = append(x, float64(p.Step)*steps), append(y, p.Score*scores)
	}
	return x, y
}

// Thousands returns the factor that scales numbers up to largest for an axis, and the suffix of the axis label.
func Thousands(largest int64) (factor float64, label string) {
	if largest >= 10_000 {
		return 1e-3, " (thousands)"
	}
	return 1, ""
}
