package kinds

import (
	"strconv"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/episode"
	"github.com/engram-go/engram/results"
	"github.com/engram-go/engram/tensor"
)

// keepPredictions adds to the scores of episodes the image of each query, from the items of all episodes, and the probability of
// each class, from log-probabilities [episodes, query, way].
func keepPredictions(scores []episodeScore, drawn []episode.Item, logp *tensor.Tensor) {
	chances := logp.To(tensor.Float64).Exp().Floats()
	images := len(drawn) / len(scores)
	for i, s := range scores {
		way, items := len(s.classes), drawn[i*images:(i+1)*images]
		for j := range s.queries {
			at := (i*len(s.queries) + j) * way
			s.queries[j].chances = chances[at : at+way]
			s.queries[j].item = items[images-len(s.queries)+j]
		}
	}
}

// predictions lists the prediction for each query, and counts how often each class was predicted for each class.
func predictions(scores []episodeScore, set dataset.Set) (*results.Confusion, []results.QueryPrediction) {
	counts := &results.Confusion{}
	var all []results.QueryPrediction
	for i, e := range scores {
		names := make([]string, len(e.classes))
		for label, class := range e.classes {
			names[label] = set.Class(class)
		}
		for j, q := range e.queries {
			counts.Add(names[q.label], names[q.taken])
			p := results.QueryPrediction{
				Episode: i + 1, Query: j + 1, Class: names[q.label], Prediction: names[q.taken], Probability: q.confidence, Image: ImageName(set, q.item.Class, q.item.Instance),
			}
			for label, chance := range q.chances {
				p.Probabilities = append(p.Probabilities, results.ClassProbability{Class: names[label], Probability: chance})
			}
			all = append(all, p)
		}
	}
	return counts, all
}

// ImageName is the file name of an image of a set, or a text itself. For a set without image files it is the number of the image in its
// class, counted from 1.
func ImageName(set dataset.Set, class, instance int) string {
	if text, ok := dataset.Text(set, class, instance); ok {
		return text
	}
	if file := dataset.File(set, class, instance); file != "" {
		return file
	}
	return strconv.Itoa(instance + 1)
}
