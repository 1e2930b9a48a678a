package kinds

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/episode"
	"github.com/engram-go/engram/experiments/measure"
	"github.com/engram-go/engram/experiments/registry"
	"github.com/engram-go/engram/experiments/runner"
	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/results"
	"github.com/engram-go/engram/tensor"
)

// episodeTest is a test of a few-shot network.
type episodeTest struct {
	Kind     string `yaml:"kind" enum:"episodes,full-way,lake-runs,verification" doc:"episodes of test classes, all test examples among all training classes by all training examples, Lake's 20 one-shot runs, or same or different of pairs (siamese)"`
	Way      int    `yaml:"way" min:"0" doc:"classes of an episode"`
	Shot     int    `yaml:"shot" min:"0" doc:"support images per class"`
	Query    int    `yaml:"query" min:"1"`
	Episodes int    `yaml:"episodes" min:"2"`
	Pairs    int    `yaml:"pairs" min:"2" doc:"of a verification, half of them of the same class"`
	Within   bool   `yaml:"within_alphabet" doc:"the classes of an episode, or of a pair, are of one alphabet"`
	Norm     string `yaml:"norm" enum:"inductive,transductive" doc:"batch norm by running statistics, or by the episode's own"`
	Classes  string `yaml:"classes" enum:"test,validation" doc:"the classes of the split to test on; validation, to choose a test's own settings without the test classes"`

	Predictions bool `yaml:"predictions" doc:"write each query's class, prediction and probability to a CSV file of the run folder, and count them by class"`

	FineTune fineTune       `yaml:"fine_tune"`
	Head     schema.Section `yaml:"head" family:"head" doc:"what classifies an episode's embeddings, where that is not the network's own head; for transfer and episodic networks"`

	Dataset  schema.Section `yaml:"dataset" family:"images" doc:"another data set than the one trained on"`
	Optional bool           `yaml:"optional" doc:"leave this test out where its data set is not on the machine"`
}

// fineTune adapts a copy of the network to each episode before it is tested.
type fineTune struct {
	Steps int     `yaml:"steps" min:"0" doc:"of gradient descent on the episode's support set; 0 for none"`
	Rate  float64 `yaml:"rate" above:"0" doc:"learning rate"`
}

// SetDefaults gives a test the values of the keys that a file leaves out.
func (t *episodeTest) SetDefaults() {
	*t = episodeTest{Kind: testEpisodes, Query: 15, Episodes: 1000, Pairs: 10_000, Norm: normInductive, Classes: classesOfTest, FineTune: fineTune{Rate: 1e-2}}
}

// Predicts reports whether there are predictions of a test of a kind; an empty one is the usual kind.
func Predicts(kind string) bool { return kind == "" || kind == testEpisodes || kind == testFullWay }

// The kinds of test.
const (
	testEpisodes     = "episodes"
	testFullWay      = "full-way"
	testLakeRuns     = "lake-runs"
	testVerification = results.Verification
)

// The classes that a test may be made on.
const (
	classesOfTest       = "test"
	classesOfValidation = "validation"
)

// String names the test as tables do.
func (t episodeTest) String() string {
	name := t.Kind
	switch t.Kind {
	case testEpisodes:
		name = fmt.Sprintf("%d-way %d-shot", t.Way, t.Shot)
	case testFullWay:
		name = "all classes"
	case testLakeRuns:
		return results.LakeRuns
	}
	if t.Within {
		name += " within alphabets"
	}
	if t.Classes == classesOfValidation {
		if name += " of validation classes"; t.Kind == testFullWay {
			name = "all classes, validation examples"
		}
	}
	return name
}

// Validate implements [schema.Validator].
func (t episodeTest) Validate() error {
	if t.Kind == testLakeRuns && t.Classes == classesOfValidation {
		return schema.At("classes", errors.New("the characters of Lake's runs are their own, and none are for validation; leave it out"))
	}
	if t.Kind != testEpisodes {
		if t.FineTune.Steps > 0 {
			return schema.At("fine_tune.steps", fmt.Errorf("only a test on episodes is fine-tuned, not %s", t.Kind))
		}
		return nil
	}
	var errs []error
	for _, k := range []struct {
		name       string
		got, least int
	}{{"way", t.Way, 2}, {"shot", t.Shot, 1}} {
		if k.got < k.least {
			errs = append(errs, schema.At(k.name, fmt.Errorf("a test on episodes needs at least %d, got %d", k.least, k.got)))
		}
	}
	return errors.Join(errs...)
}

// plannedTest is a test with what has been planned for it.
type plannedTest struct {
	episodeTest
	at   string // "test.0"
	data *registry.Images
	own  bool           // data is the test's own
	head *registry.Head // of a pre-trained network; else nil
}

// planTest plans a test of the file and checks it against the network and the data set, as far as these have been planned.
func (f *fewShotFile) planTest(w *fewShot, i int, knownData, knownNet bool) (plannedTest, error) {
	t := &f.Test[i]
	out := plannedTest{episodeTest: *t, at: fmt.Sprintf("test.%d", i), data: &w.data}
	var errs []error
	if t.Dataset.Kind() != "" {
		data, err := f.parts.PlanImages(&t.Dataset)
		if out.data, out.own = &data, true; err != nil {
			errs, knownData = append(errs, err), false
		}
	}
	if knownData {
		errs = append(errs, f.checkTestData(w, &out))
	}
	if knownNet {
		errs = append(errs, f.checkTestNetwork(&w.planned, t, &out))
	}
	return out, schema.Join(errs...)
}

func ofWhat(data *registry.Images) string {
	if data.Text {
		return "texts"
	}
	return "images"
}

func (f *fewShotFile) checkTestData(w *fewShot, t *plannedTest) error {
	if t.own && t.data.Text != w.data.Text {
		return t.Dataset.Errorf("it holds %s, and the network is trained on %s; use another data set", ofWhat(t.data), ofWhat(&w.data))
	}
	if t.own {
		if err := ownTokenizer(t.data); err != nil {
			return err
		}
	}
	if have, want := t.data.Shape(), w.data.Shape(); t.own && have != want {
		return t.Dataset.Errorf("its images have %s, and those that the network is trained on %s; make size and colour the same", have, want)
	}
	if t.Kind == testFullWay && (t.own || !w.data.FullWay) {
		return f.Dataset.Errorf("%s: a full-way test asks about the training classes, and %s tests on other classes, or the test has a data set of its own; use episodes, or data with training and test examples of the same classes (shots: 5 or 10; train and test of text)",
			t.at, f.Dataset.Kind())
	}
	if t.Kind != testLakeRuns {
		return nil
	}
	if w.data.TrainsOnLake {
		return f.Dataset.Errorf("%s: the split %s trains on alphabets of Lake's runs; use %s or %s", t.at, w.data.Split, dataset.SplitKoch, dataset.SplitLake)
	}
	if w.data.Text {
		return f.Dataset.Errorf("%s: Lake's runs are of images, and the network is trained on texts; use another kind of test", t.at)
	}
	if s := w.data.Shape(); s.Channels != 1 || s.Height != s.Width {
		return f.Dataset.Errorf("%s: the images of Lake's runs are square and have one channel, and those trained on have %s", t.at, s)
	}
	return nil
}

func (f *fewShotFile) checkTestNetwork(net *registry.FewShot, t *episodeTest, out *plannedTest) error {
	var errs []error
	kind := f.Network.Kind()
	refuse := func(format string, args ...any) {
		errs = append(errs, f.Network.Errorf(out.at+": "+format, args...))
	}
	switch {
	case t.Kind == testFullWay && net.ByTask:
		refuse("%s has an output for each class of train.way; use another network, or episodes", kind)
	case t.Kind == testVerification && net.NoVerification != "":
		refuse("%s %s", kind, net.NoVerification)
	case net.FixedWay && t.Kind == testEpisodes:
		errs = append(errs, f.sameWay(out.at, t.Way))
	case net.FixedWay && t.Kind == testLakeRuns:
		errs = append(errs, f.sameWay(out.at, lakeWay))
	}
	if t.FineTune.Steps > 0 && net.ByTask {
		refuse("fine_tune: %s adapts to each episode by itself; leave it out, and set network.test_steps", kind)
	}
	if net.Head == nil {
		if t.Head.Kind() != "" {
			errs = append(errs, t.Head.Errorf("only transfer and episodic networks have a head that a test can replace, and %s has none; leave it out", kind))
		}
		return schema.Join(errs...)
	}
	out.head = net.Head
	if t.Head.Kind() != "" {
		head, err := f.parts.Heads.Plan(&t.Head)
		out.head, errs = &head, append(errs, err)
		switch {
		case head.Learned:
			errs = append(errs, t.Head.Errorf("%s has parameters of its own, which belong to the encoder that they were trained with; use another head", t.Head.Kind()))
		case head.Centred && NormOf(t.Norm) == nn.BatchStats:
			errs = append(errs, t.Head.Errorf("it subtracts the mean embedding of the training images, which are in no episode to normalise them by; use norm: inductive"))
		}
	}
	if out.head.Transductive && t.Kind == testFullWay && out.data.Outside {
		refuse("its head classifies all queries together and takes each for one of the classes, and dataset.out_of_scope asks about texts of none; use a head that classifies queries one by one")
	}
	if t.FineTune.Steps > 0 && (net.Source == registry.Labelled || t.Head.Kind() != "") {
		refuse("%s is adapted by its head; leave fine_tune out and set head.blocks", kind)
	}
	if net.Encoder.Identity && out.head.Adaptation.Blocks > 0 {
		refuse("the encoder is the image itself and has no blocks to tune; use another encoder, or head.blocks: 0")
	}
	return schema.Join(errs...)
}

// Tests implements [runner.Work].
func (w *fewShot) Tests(ctx context.Context, from runner.Source) ([]measure.Test, error) {
	var out []measure.Test
	for _, t := range w.tests {
		made, err := w.makeTest(ctx, t, from)
		if t.Optional && errors.Is(err, dataset.ErrNotFound) {
			name := dataset.NameOmniglot // which Lake's runs belong to
			if t.own {
				name = t.Dataset.Kind()
			}
			from.Note(fmt.Sprintf("%s on %s left out: the data set is not here (engram data fetch %[2]s)", t, name))
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s, %s: %w", t.at, t, err)
		}
		out = append(out, made)
	}
	if s := w.file.Stream; s != nil {
		made, err := w.makeStream(s)
		if err != nil {
			return nil, fmt.Errorf("stream: %w", err)
		}
		out = append(out, made)
	}
	return out, nil
}

func (w *fewShot) makeTest(ctx context.Context, t plannedTest, from runner.Source) (measure.Test, error) {
	if t.Kind == testLakeRuns {
		return w.lakeRuns(t, from)
	}
	parts := w.parts
	if t.own {
		var err error
		if parts, _, err = load(ctx, t.data, from); err != nil {
			return measure.Test{}, err
		}
		if w.data.Text {
			parts, _ = tokenized(parts, w.text.Tokenizer)
		}
	}
	set := parts.Test
	if t.Classes == classesOfValidation {
		set = parts.Val
	}
	if set == nil || set.Classes() == 0 {
		return measure.Test{}, fmt.Errorf("the split %s has no classes for %s", t.data.Split, t.Classes)
	}
	switch t.Kind {
	case testVerification:
		return w.verification(t, set)
	case testFullWay:
		return w.fullWay(t, set)
	}
	return w.episodes(t, set)
}

// measured returns the network that a test measures, and how it is adapted to an episode if that differs from test to test.
func (w *fewShot) measured(ctx context.Context, t plannedTest, on tensor.Device, p measure.Progress) (net fewshot.Network, how string, err error) {
	headed, ok := w.net.(registry.Headed)
	if !ok || t.head == w.planned.Head && w.planned.Source != registry.Labelled {
		return w.net, "", nil
	}
	var mean []float32
	if t.head.Centred {
		if mean, err = w.meanEmbedding(ctx, t.head.Images, NormOf(t.Norm), on, p); err != nil {
			return nil, "", err
		}
	}
	return headed.With(*t.head, mean), t.head.Doc, nil
}

// normOf is the batch-norm mode in a test's protocol. It is transductive only if statistics of the episode are used.
func (w *fewShot) normOf(t plannedTest) string {
	if net, ok := w.net.(registry.Normed); ok && !net.UsesBatchStatistics() {
		return normInductive
	}
	return t.Norm
}

// keptOf returns the embeddings that a test shares with the other tests on the same classes. It is nil for a test with its own data
// set, whose images no other test uses.
func (w *fewShot) keptOf(t plannedTest) *keptEmbeddings {
	if t.own {
		return nil
	}
	key := keptKey{t.Classes, NormOf(t.Norm)}
	if w.kept == nil {
		w.kept = map[keptKey]*keptEmbeddings{}
	}
	if w.kept[key] == nil {
		w.kept[key] = &keptEmbeddings{some: &embeddings{rows: map[imageKey]int{}}}
	}
	return w.kept[key]
}

// dataName is what results call the data set of a test.
func (w *fewShot) dataName(t plannedTest) string {
	if t.own {
		return t.Dataset.Kind()
	}
	return w.file.Dataset.Kind()
}

// episodes measures the accuracy in episodes of a set's classes.
func (w *fewShot) episodes(t plannedTest, set dataset.Set) (measure.Test, error) {
	s, err := episode.New(set, episode.Spec{
		Way: t.Way, Shot: t.Shot, Query: t.Query, Rotation: t.data.Rotation, Within: t.Within,
	}, evaluationSeed, "test/"+t.String())
	return measure.Test{Name: t.String(), Run: func(ctx context.Context, on tensor.Device, p measure.Progress) ([]results.Figure, error) {
		net, how, err := w.measured(ctx, t, on, p)
		if err != nil {
			return nil, err
		}
		sum := measure.NewChecksum(set, t.Episodes)
		scores, err := w.evaluate(ctx, net, s, t.Episodes, NormOf(t.Norm), evaluation{
			name: fmt.Sprintf("%s %s, %s", w.dataName(t), t, t.Norm), trained: true,
			tune: t.FineTune, sum: sum, kept: w.keptOf(t), list: t.Predictions,
		}, on, p)
		if err != nil {
			return nil, err
		}
		protocol := results.Protocol{
			Dataset: w.dataName(t), Split: t.data.Split, Rotations: string(t.data.Rotation), Classes: set.Classes(),
			Way: t.Way, Shot: t.Shot, Query: t.Query, Episodes: t.Episodes, Within: t.Within, Norm: w.normOf(t), Adapted: how,
		}
		protocol.Prepared, protocol.Resize = w.prepared(t.data), resized(t.data)
		if t.data.Folder != "" && t.data.Text {
			protocol.Folder = t.data.Folder
		} else if t.data.Folder != "" {
			protocol.Folder, protocol.Size, protocol.Channels = t.data.Folder, t.data.Options.Height, t.data.Options.Channels()
		}
		if net, ok := w.net.(fewshot.AdaptiveNetwork); ok {
			_, protocol.InnerSteps = net.Steps()
		}
		if t.FineTune.Steps > 0 {
			protocol.FineTune, protocol.FineTuneRate = t.FineTune.Steps, t.FineTune.Rate
		}
		shares := accuracies(scores)
		f := w.trained().Figure(t.String(), measure.Accuracy.Name, measure.Accuracy.Factor, shares, protocol)
		f.Scores = measure.Percent(shares, t.Way*t.Query, sum.String())
		if t.Predictions {
			f.Predictions = predictionsFile(t)
			f.Confusion, f.Queries = predictions(scores, set)
			f.PerClass = f.Confusion.PerClass()
		}
		err = calibrate(&f, scores)
		return []results.Figure{f}, err
	}}, err
}

// predictionsFile is the file of the run folder that the predictions of a test are written to.
func predictionsFile(t plannedTest) string {
	return "predictions-" + strings.TrimPrefix(t.at, "test.") + ".csv"
}

// calibrate adds to a figure the expected calibration error of its queries.
func calibrate(f *results.Figure, scores []episodeScore) error {
	var confidence []float64
	var right []bool
	for _, e := range scores {
		for _, q := range e.queries {
			confidence, right = append(confidence, min(q.confidence, 1)), append(right, q.taken == q.label) // rounding may exceed 1
		}
	}
	e, err := results.CalibrationError(confidence, right)
	if err == nil {
		f.CalibrationError = &e
	}
	return err
}

// verification measures how many pairs of a set's images are told right.
func (w *fewShot) verification(t plannedTest, set dataset.Set) (measure.Test, error) {
	// A rotation that is drawn for an episode does not exist for pairs, so pairs are not rotated.
	rotation := t.data.Rotation
	if rotation.Drawn() {
		rotation = dataset.RotateNone
	}
	s, err := episode.NewPairs(set, episode.PairSpec{Rotation: rotation, Within: t.Within}, evaluationSeed, "test/"+t.String())
	return measure.Test{Name: t.String(), Run: func(ctx context.Context, on tensor.Device, p measure.Progress) ([]results.Figure, error) {
		p.Testing(w.dataName(t)+" "+t.String(), t.Pairs)
		net, norm := w.net.(fewshot.Verifier), NormOf(t.Norm)
		right, err := measure.Evaluate(ctx, s.Batches(ctx, 0, w.batchSize(2, norm), 2), t.Pairs, p, func(b *episode.PairBatch) ([]float64, error) {
			pairs := fewshot.NewPairs(b, on)
			logits := net.Logits(&nn.Pass{Norm: norm}, pairs)
			return pairs.Accuracies(logits), measure.Finite(logits, remedy)
		})
		if err != nil {
			return nil, err
		}
		return []results.Figure{w.trained().Figure(t.String(), measure.Accuracy.Name, measure.Accuracy.Factor, right, results.Protocol{
			Dataset: w.dataName(t), Split: t.data.Split, Rotations: string(rotation), Classes: set.Classes(), Pairs: t.Pairs, Within: t.Within, Norm: w.normOf(t),
			Prepared: w.prepared(t.data), Resize: resized(t.data),
		})}, nil
	}}, err
}

// lakeWay is that of Lake's runs.
const lakeWay = 20

// lakeRuns measures a network on Lake's 20 one-shot runs, scaled to the images that it was trained on.
func (w *fewShot) lakeRuns(t plannedTest, from runner.Source) (measure.Test, error) {
	root, err := dataset.Find(dataset.NameOmniglot, from.Given)
	if err != nil {
		return measure.Test{}, err
	}
	side := w.data.Options.Height
	runs, err := dataset.LoadOneShotRuns(root, side, w.data.Options.Filter)
	return measure.Test{Name: t.String(), Run: func(ctx context.Context, on tensor.Device, p measure.Progress) ([]results.Figure, error) {
		net, how, err := w.measured(ctx, t, on, p)
		if err != nil {
			return nil, err
		}
		p.Testing(t.String(), len(runs))
		norm := NormOf(t.Norm)
		chunks := slices.Chunk(runs, w.batchSize(2*len(runs[0].Test), norm))
		first := uint64(0) // index of a chunk's first run
		scores, err := measure.Evaluate(ctx, chunks, len(runs), p, func(some []dataset.OneShotRun) ([]episodeScore, error) {
			task := lakeTask(some, int64(side), on)
			task.Support, task.Query = fewshot.Normalize(task.Support, w.data.Norm), fewshot.Normalize(task.Query, w.data.Norm)
			task.First = first
			first += uint64(len(some))
			return score(task, net.LogProbs(&nn.Pass{Norm: norm}, task))
		})
		if err != nil {
			return nil, err
		}
		shares := accuracies(scores)
		f := w.trained().Figure(t.String(), measure.Accuracy.Name, measure.Accuracy.Factor, shares, results.Protocol{
			Dataset: dataset.NameOmniglot, Split: w.data.Split, Rotations: string(dataset.RotateNone),
			Way: len(runs[0].Training), Shot: 1, Query: 1, Episodes: len(runs), Within: true, Norm: w.normOf(t), Adapted: how,
			Resize: resizedDrawings(w.data.Options),
		})
		f.Scores = measure.Percent(shares, len(runs[0].Test), results.LakeRuns)
		for i, a := range shares {
			f.Errors = append(f.Errors, int(math.Round(float64(len(runs[i].Answers))*(1-a))))
		}
		err = calibrate(&f, scores)
		return []results.Figure{f}, err
	}}, err
}

// lakeTask converts some of Lake's runs to few-shot tasks.
func lakeTask(runs []dataset.OneShotRun, side int64, on tensor.Device) *fewshot.Task {
	var support, query []float32
	var supportLabels, queryLabels []int64
	for _, r := range runs {
		for i := range r.Training {
			support, supportLabels = append(support, r.Training[i]...), append(supportLabels, int64(i))
		}
		for i := range r.Test {
			query, queryLabels = append(query, r.Test[i]...), append(queryLabels, int64(r.Answers[i]))
		}
	}
	n, way := int64(len(runs)), int64(len(runs[0].Training))
	return &fewshot.Task{
		Way:     way,
		Support: tensor.New(support, n, way, 1, side, side).On(on), SupportLabels: tensor.New(supportLabels, n, way).On(on),
		Query: tensor.New(query, n, way, 1, side, side).On(on), QueryLabels: tensor.New(queryLabels, n, way).On(on),
	}
}
