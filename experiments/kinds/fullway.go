package kinds

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/episode"
	"github.com/engram-go/engram/experiments/measure"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/results"
	"github.com/engram-go/engram/tensor"
)

// maxFullWay bounds the values that the comparison of queries with the support set may take at once.
const maxFullWay = 1 << 27

// fullWay measures the accuracy on one task of all training classes. All training examples are the support set; the examples of the
// test classes, or of the validation classes, are the queries. Classes without a query are possible answers too. If there are examples
// of none of the classes, it also measures how well these are rejected.
func (w *fewShot) fullWay(t plannedTest, asked dataset.Set) (measure.Test, error) {
	train := w.parts.Train
	labels := map[string]int{}
	var support, queries []episode.Item
	shots := map[int]bool{}
	for c := range train.Classes() {
		labels[train.Class(c)] = c
		shots[train.Instances(c)] = true
		for i := range train.Instances(c) {
			support = append(support, episode.Item{Class: c, Instance: i, Label: c})
		}
	}
	ask := func(set dataset.Set, first int, known bool) error { // the classes of set begin with first among those asked about
		for c := range set.Classes() {
			label, ok := labels[set.Class(c)]
			if known && !ok {
				return fmt.Errorf("its class %s is none of the %d training classes; a full-way test asks about these", set.Class(c), train.Classes())
			}
			for i := range set.Instances(c) {
				queries = append(queries, episode.Item{Class: first + c, Instance: i, Label: label})
			}
		}
		return nil
	}
	if err := ask(asked, 0, true); err != nil {
		return measure.Test{}, err
	}
	n := len(queries)
	if n < 2 {
		return measure.Test{}, errors.New("there are no queries")
	}
	own := asked
	var others rejection
	if w.data.Outside && t.Classes == classesOfTest {
		all := []*dataset.Tokens{asked.(*dataset.Tokens)}
		for _, p := range []struct {
			set   dataset.Set
			known bool
			count *int
		}{{w.outside.Test, false, &others.unknown}, {w.parts.Val, true, &others.chosen}, {w.outside.Val, false, &others.chosenUnknown}} {
			before, first := len(queries), 0
			for _, set := range all {
				first += set.Classes()
			}
			if err := ask(p.set, first, p.known); err != nil {
				return measure.Test{}, fmt.Errorf("validation, for the threshold of rejection: %w", err)
			}
			*p.count = len(queries) - before
			all = append(all, p.set.(*dataset.Tokens))
		}
		asked = dataset.JoinTokens(all...)
	}
	return measure.Test{Name: t.String(), Run: func(ctx context.Context, on tensor.Device, p measure.Progress) ([]results.Figure, error) {
		net, how, err := w.measured(ctx, t, on, p)
		if err != nil {
			return nil, err
		}
		task := &fullTask{w: w, net: net, norm: NormOf(t.Norm), on: on, support: support, train: train, asked: asked}
		if err := task.prepare(ctx, p); err != nil {
			return nil, err
		}
		together := len(queries) // of a transductive head, and of one that is trained on the support set
		if t.head == nil {
			together = task.together()
		}
		p.Testing(w.dataName(t)+" "+t.String(), len(queries))
		scores, err := measure.Evaluate(ctx, slices.Chunk(queries, together), len(queries), p, func(some []episode.Item) ([]episodeScore, error) {
			return task.score(some, t.Predictions)
		})
		if err != nil {
			return nil, err
		}
		all, scores := scores, scores[:n]
		right := accuracies(scores)
		shot := 0
		if len(shots) == 1 {
			shot = len(support) / train.Classes()
		}
		protocol := results.Protocol{
			Dataset: w.dataName(t), Split: t.data.Split, Folder: t.data.Folder, Rotations: string(t.data.Rotation), Prepared: w.prepared(t.data), Resize: resized(t.data),
			Classes: train.Classes(), Way: train.Classes(), Shot: shot, Queries: n, Norm: w.normOf(t), Adapted: how,
		}
		f := w.trained().Figure(t.String(), measure.Accuracy.Name, measure.Accuracy.Factor, right, protocol)
		sum := measure.NewChecksum(own, 1)
		sum.Add(queries[:n], n)
		f.Scores = measure.Percent(right, 1, sum.String())
		if t.Predictions {
			f.Predictions = predictionsFile(t)
			f.Confusion, f.Queries = fullWayPredictions(scores, train, asked)
			f.PerClass = f.Confusion.PerClass()
		}
		if err = calibrate(&f, scores); err != nil || others.unknown == 0 {
			return []results.Figure{f}, err
		}
		protocol.Unknown = others.unknown
		rejected, err := others.figures(w.trained(), t.String(), protocol, all)
		return append([]results.Figure{f}, rejected...), err
	}}, nil
}

// fullTask is the task of a full-way test.
type fullTask struct {
	w       *fewShot
	net     fewshot.Network
	norm    nn.Norm
	on      tensor.Device
	support []episode.Item
	train   dataset.Set // of support
	asked   dataset.Set // of queries

	// Where the network classifies embeddings:
	of              fewshot.FeatureNetwork
	known, embedded *table // of train and of asked
}

// prepare embeds all examples, where the network classifies embeddings.
func (f *fullTask) prepare(ctx context.Context, p measure.Progress) error {
	of, ok := f.w.features(f.net, f.norm)
	if !ok {
		return nil
	}
	f.of = of
	for _, part := range []struct {
		set  dataset.Set
		into **table
	}{{f.train, &f.known}, {f.asked, &f.embedded}} {
		e, err := f.w.embedding(of, part.set, f.norm, f.on)
		if err != nil {
			return err
		}
		if *part.into, err = e.all(ctx, 1, p); err != nil {
			return err
		}
	}
	return nil
}

// together is the number of queries that are classified at once. It is limited by the memory for comparing each of them with the whole
// support set.
func (f *fullTask) together() int {
	if f.of == nil {
		return f.w.batchSize(len(f.support), f.norm)
	}
	return max(16, maxFullWay/(len(f.support)*f.known.width))
}

// task makes the task with some queries.
func (f *fullTask) task(some []episode.Item) *fewshot.Task {
	t := &fewshot.Task{Way: int64(f.train.Classes())}
	if f.of != nil {
		rows := func(of *table, items []episode.Item) *tensor.Tensor {
			return tensor.Made(func(values []float32) {
				for i, item := range items {
					copy(values[i*of.width:], of.row(item))
				}
			}, 1, int64(len(items)), int64(of.width)).On(f.on)
		}
		t.Support, t.Query = rows(f.known, f.support), rows(f.embedded, some)
	} else {
		read := func(set dataset.Set, items []episode.Item) *tensor.Tensor {
			var room episode.Pixels
			channels, height, width := episode.NewReader(set).Images(&room, items)
			return fewshot.Images(room, f.on, 1, int64(len(items)), int64(channels), int64(height), int64(width))
		}
		t.Support, t.Query = fewshot.Level(read(f.train, f.support), read(f.asked, some))
	}
	label := func(items []episode.Item) *tensor.Tensor {
		labels := make([]int64, len(items))
		for i, item := range items {
			labels[i] = int64(item.Label)
		}
		return tensor.New(labels, 1, int64(len(items))).On(f.on)
	}
	t.SupportLabels, t.QueryLabels = label(f.support), label(some)
	return t
}

// score returns the score of each query as if it were an episode.
func (f *fullTask) score(some []episode.Item, list bool) ([]episodeScore, error) {
	task, pass := f.task(some), &nn.Pass{Norm: f.norm}
	var logp *tensor.Tensor
	if f.of != nil {
		logp = f.of.FromFeatures(pass, task)
	} else {
		logp = f.net.LogProbs(pass, task)
	}
	all, err := score(task, logp)
	if err != nil {
		return nil, err
	}
	way := f.train.Classes()
	var chances []float64
	if list {
		chances = logp.To(tensor.Float64).Exp().Floats()
	}
	out := make([]episodeScore, len(some))
	for i, q := range all[0].queries {
		q.item = some[i]
		if list {
			q.chances = chances[i*way : (i+1)*way]
		}
		out[i] = episodeScore{queries: []queryScore{q}}
		if q.label == q.taken {
			out[i].accuracy = 1
		}
	}
	return out, nil
}

// fullWayPredictions lists the prediction for each query, and counts how often each class was predicted for each class.
func fullWayPredictions(scores []episodeScore, train, asked dataset.Set) (*results.Confusion, []results.QueryPrediction) {
	counts := &results.Confusion{}
	var all []results.QueryPrediction
	for i, s := range scores {
		q := s.queries[0]
		counts.Add(train.Class(q.label), train.Class(q.taken))
		p := results.QueryPrediction{
			Episode: 1, Query: i + 1, Class: train.Class(q.label), Prediction: train.Class(q.taken), Probability: q.confidence,
			Image: ImageName(asked, q.item.Class, q.item.Instance),
		}
		for label, chance := range q.chances {
			p.Probabilities = append(p.Probabilities, results.ClassProbability{Class: train.Class(label), Probability: chance})
		}
		all = append(all, p)
	}
	return counts, all
}
