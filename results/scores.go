package results

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"path/filepath"
)

// Scores are the values that a figure is the mean of, one per episode or sequence, in their order. Two runs' scores of the same test
// are compared pair by pair; see [Compare]. They are whole numbers, so that they are exact and their file is small.
type Scores struct {
	// Per converts to the figure's unit: a value divided by it is in that unit. For counts of correct answers of 75, in percent, it
	// is 0.75.
	Per    float64 `json:"per"`
	Values []int64 `json:"values"`
	// On is a checksum of the episodes or sequences, equal for equal ones on every machine.
	On string `json:"on"`
}

// pairs reports whether two scores are of the same examples.
func (s *Scores) pairs(o *Scores) bool { return s.On == o.On && len(s.Values) == len(o.Values) }

// values are the scores in the figure's own unit.
func (s *Scores) values() []float64 {
	out := make([]float64, len(s.Values))
	for i, v := range s.Values {
		out[i] = float64(v) / s.Per
	}
	return out
}

// NewScores rounds values in the unit of their figure to multiples of 1/per. It returns nil if a value is not finite.
func NewScores(values []float64, per float64, on string) *Scores {
	s := &Scores{Per: per, On: on}
	for _, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil
		}
		s.Values = append(s.Values, int64(math.Round(v*per)))
	}
	return s
}

// fileScores is a file beside result.json.
const fileScores = "scores.json"

// figureScores is a line of the file: the scores of one figure of the result.
type figureScores struct {
	Name   string `json:"name"`
	Metric string `json:"metric"`
	*Scores
}

// EncodeScores returns the text of the scores.json beside the result: a list with one line per figure. It is nil if no figure has
// scores.
func (r *Result) EncodeScores() ([]byte, error) {
	var b bytes.Buffer
	some := false
	for i, f := range r.Figures {
		line, err := json.Marshal(figureScores{f.Name, f.Metric, f.Scores})
		if err != nil {
			return nil, fmt.Errorf("scores: %w", err)
		}
		b.WriteString([]string{"[\n", ",\n"}[min(i, 1)])
		b.Write(line)
		some = some || f.Scores != nil
	}
	if !some {
		return nil, nil
	}
	b.WriteString("\n]\n")
	return b.Bytes(), nil
}

// read reads a result, and the scores beside it if there are any. Errors call the file shown.
func read(dir fs.FS, name, shown string) (*Result, error) {
	text, err := fs.ReadFile(dir, name)
	if err != nil {
		return nil, fmt.Errorf("result: %s: %w", shown, err)
	}
	r, err := decode(shown, text)
	if err != nil {
		return nil, err
	}
	text, err = fs.ReadFile(dir, path.Join(path.Dir(name), fileScores))
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return nil, fmt.Errorf("scores: beside %s: %w", shown, err)
	}
	damaged := func(what string) error {
		return fmt.Errorf("scores: %s is damaged: %s; remove it, or train again", filepath.Join(filepath.Dir(shown), fileScores), what)
	}
	var list []figureScores
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&list); err != nil {
		return nil, damaged(err.Error())
	}
	if len(list) != len(r.Figures) {
		return nil, damaged(fmt.Sprintf("it has %d figures, the result %d", len(list), len(r.Figures)))
	}
	for i, s := range list {
		f := &r.Figures[i]
		if s.Name != f.Name || s.Metric != f.Metric {
			return nil, damaged(fmt.Sprintf("figure %d is %s, %s, in the result %s, %s", i, s.Name, s.Metric, f.Name, f.Metric))
		}
		if s.Scores != nil && !(s.Per > 0) {
			return nil, damaged(fmt.Sprintf("figure %d counts in units of %g", i, s.Per))
		}
		f.Scores = s.Scores
	}
	return r, nil
}
