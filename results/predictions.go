package results

import (
	"bytes"
	"encoding/csv"
	"strconv"
)

// QueryPrediction is what a network made of one query of a test.
type QueryPrediction struct {
	Episode     int     `json:"episode"` // counted from 1, as queries of an episode and images of a class are
	Query       int     `json:"query"`
	Class       string  `json:"class"`      // the true one
	Prediction  string  `json:"prediction"` // the class with the highest probability
	Probability float64 `json:"probability"`
	// Image is the file of the query; of a data set without image files it is the number of the image in its class.
	Image string `json:"image"`
	// Probabilities are those of the classes of the episode, in the order of the episode's labels.
	Probabilities []ClassProbability `json:"probabilities"`
}

// ClassProbability is the predicted probability of a class.
type ClassProbability struct {
	Class       string  `json:"class"`
	Probability float64 `json:"probability"`
}

// of is the predicted probability of a class of the episode.
func (q QueryPrediction) of(class string) float64 {
	for _, p := range q.Probabilities {
		if p.Class == class {
			return p.Probability
		}
	}
	return 0
}

// PredictionsCSV writes one row for each query: with the probability of the prediction and that of the true class.
func PredictionsCSV(all []QueryPrediction) []byte {
	rows := [][]string{{"episode", "query", "class", "prediction", "probability", "class_probability", "image"}}
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }
	for _, q := range all {
		rows = append(rows, []string{strconv.Itoa(q.Episode), strconv.Itoa(q.Query), q.Class, q.Prediction, number(q.Probability), number(q.of(q.Class)), q.Image})
	}
	return csvText(rows)
}

// CSV writes the matrix: one row for each true class, and one column for each predicted class.
func (c *Confusion) CSV() []byte {
	rows := [][]string{append([]string{"class"}, c.Classes...)}
	for _, truth := range c.Classes {
		row := []string{truth}
		for _, predicted := range c.Classes {
			row = append(row, strconv.Itoa(c.Count(truth, predicted)))
		}
		rows = append(rows, row)
	}
	return csvText(rows)
}

func csvText(rows [][]string) []byte {
	var text bytes.Buffer
	_ = csv.NewWriter(&text).WriteAll(rows) // to memory, which does not fail
	return text.Bytes()
}
