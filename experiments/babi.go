package experiments

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/dataset/babi"
	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/memnet"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/results"
	"github.com/engram-go/engram/stream"
	"github.com/engram-go/engram/tensor"
)

// babiFile is the experiment file of questions about stories.
type babiFile struct {
	Common     `yaml:",inline"`
	Train      babiTrain      `yaml:"train"`
	Validation babiValidation `yaml:"validation"`

	// What the runner goes by; the data turn epochs into steps.
	loop      Loop
	selection Selection
}

type babiTrain struct {
	Networks    string      `yaml:"networks" enum:"joint,task" doc:"one for all tasks, or one a task"`
	Batch       int         `yaml:"batch" min:"1" doc:"questions a step; their losses are summed"`
	Epochs      int         `yaml:"epochs" min:"1" doc:"passes over the training questions, those of the linear start included"`
	LinearStart linearStart `yaml:"linear_start" doc:"training without the softmaxes over the sentences, at its beginning"`
	Clip        Clip        `yaml:"clip"`
	Report      int         `yaml:"report" min:"1" doc:"steps between lines of metrics.jsonl"`
	Save        int         `yaml:"save" min:"1" doc:"steps between checkpoints"`
	Keep        int         `yaml:"keep" min:"1" doc:"checkpoints kept, the last ones"`
}

type linearStart struct {
	Epochs   int     `yaml:"epochs" min:"0" doc:"at most; 0 is none"`
	Patience int     `yaml:"patience" min:"0" doc:"validations without a lower loss that end it before; 0 means never"`
	Factor   float64 `yaml:"factor" above:"0" doc:"of the learning rate meanwhile; the schedule begins after it"`
}

type babiValidation struct {
	Share    float64 `yaml:"share" min:"0" below:"1" doc:"of each task's training stories, held out; 0 keeps the last model"`
	Every    int     `yaml:"every" min:"1" doc:"epochs between validations"`
	Patience int     `yaml:"patience" min:"0" doc:"validations without a better one before training stops; 0 means never"`
}

func newBabiFile() *babiFile {
	f := &babiFile{
		Common: defaultCommon(),
		Train: babiTrain{
			Networks: networksJoint, Batch: 32, Epochs: 60, LinearStart: linearStart{Factor: 1}, Clip: Clip{Norm: 40}, Report: 100, Save: 2000, Keep: defaultKeep,
		},
		Validation: babiValidation{Share: .1, Every: 1},
	}
	f.Dataset, f.Optimizer = schema.NewSection(dataset.NameStories, nil), schema.NewSection("sgd", nil)
	return f
}

// The values of train.networks.
const (
	networksJoint = "joint"
	networksTask  = "task"
)

// Validate implements schema.Validator.
func (f *babiFile) Validate() error {
	var errs []error
	if l := f.Train.LinearStart; l.Epochs >= f.Train.Epochs {
		errs = append(errs, schema.At("train.linear_start.epochs", fmt.Errorf("leaves none of the %d epochs for training with the softmaxes", f.Train.Epochs)))
	} else if l.Patience > 0 && f.Validation.Share == 0 {
		errs = append(errs, schema.At("train.linear_start.patience", errors.New("needs validation.share, which is 0")))
	}
	return errors.Join(append(errs, f.Common.Validate())...)
}

func (f *babiFile) parts() (*Common, *Loop, *Selection) {
	t := f.Train
	f.loop = Loop{Batch: t.Batch, Steps: t.Epochs - t.LinearStart.Epochs, Clip: t.Clip, Report: t.Report, Save: t.Save, Keep: t.Keep, Prefetch: 1}
	f.selection.Patience = f.Validation.Patience
	return &f.Common, &f.loop, &f.selection
}

func (f *babiFile) plan() (work, error) {
	w := &babiWork{file: f}
	var errs []error
	var err error
	w.data, err = planStories(&f.Dataset)
	errs = append(errs, err)
	if f.Network.Kind() != "" {
		w.network, err = planMemnet(&f.Network)
		errs = append(errs, err)
	}
	return w, schema.Join(errs...)
}

// storiesPlan is a data set of stories that has been named but not loaded.
type storiesPlan struct {
	kind  string
	split string // as results name it
	load  func(ctx context.Context, given string) (*babi.Data, error)
}

type babiConfig struct {
	Folder string `yaml:"folder" minlen:"1" doc:"en has 1,000 training questions a task, en-10k 10,000; or another of the release"`
	Tasks  []int  `yaml:"tasks" min:"1" max:"20" doc:"all where none is named"`
}

type storiesConfig struct {
	Seed  uint64 `yaml:"seed" doc:"of the invented stories"`
	Train int    `yaml:"train" min:"10" doc:"questions a task"`
	Test  int    `yaml:"test" min:"10" doc:"questions a task"`
}

func planStories(s *schema.Section) (storiesPlan, error) {
	switch s.Kind() {
	case dataset.NameStories:
		c := storiesConfig{Train: 1000, Test: 1000}
		err := s.Decode(&c)
		return storiesPlan{s.Kind(), fmt.Sprintf("%d", c.Train), func(context.Context, string) (*babi.Data, error) {
			return babi.NewStories(c.Seed, babi.StoriesOptions{Train: c.Train, Test: c.Test})
		}}, err
	case dataset.NameBabi:
		c := babiConfig{Folder: babi.Folder1k}
		if err := s.Decode(&c); err != nil {
			return storiesPlan{}, err
		}
		if tasks := slices.Compact(slices.Sorted(slices.Values(c.Tasks))); len(tasks) < len(c.Tasks) {
			return storiesPlan{}, s.Errorf("tasks: one is named twice in %v", c.Tasks)
		}
		return storiesPlan{s.Kind(), c.Folder, func(ctx context.Context, given string) (*babi.Data, error) {
			source, err := dataset.Find(dataset.NameBabi, given)
			if err != nil {
				return nil, err
			}
			return babi.Load(ctx, source, c.Folder, c.Tasks...)
		}}, nil
	}
	return storiesPlan{}, s.Errorf("memnet answers questions about stories, and %q has none; use %s or %s", s.Kind(), dataset.NameBabi, dataset.NameStories)
}

type memnetConfig struct {
	Width    int64   `yaml:"width" min:"1" doc:"of a word vector"`
	Hops     int     `yaml:"hops" min:"1" doc:"how often the memory is read"`
	Slots    int     `yaml:"slots" min:"1" doc:"sentences the memory holds at most, the last ones of a longer story; fewer where no training story has as many"`
	Encoding string  `yaml:"encoding" enum:"bag,position,released" doc:"of sentences: bag of words, or the position encoding of the paper or of its released code"`
	Tying    string  `yaml:"tying" enum:"adjacent,layer-wise" doc:"which tables of word vectors are one"`
	Time     bool    `yaml:"time" doc:"tell the network the order of the sentences"`
	Noise    float64 `yaml:"noise" min:"0" max:"1" doc:"times without a sentence, in training, as a share of the sentences at most"`
	ReLU     bool    `yaml:"relu" doc:"a rectifier after each hop"`

	Memory schema.Section `yaml:"memory" doc:"what holds the sentences: keyvalue"`
}

// extent is what a network on stories must know of its training data.
type extent struct {
	vocabulary int
	words      int // of the longest sentence
	sentences  int // of the longest story
}

func planMemnet(s *schema.Section) (func(b *nn.Builder, data extent) *memnet.Net, error) {
	if s.Kind() != "memnet" {
		return nil, s.UnknownKind([]string{"memnet"})
	}
	c := memnetConfig{Width: 20, Hops: 3, Slots: 50, Encoding: "position", Tying: "adjacent", Time: true, Memory: schema.NewSection("keyvalue", nil)}
	err := s.Decode(&c)
	if c.Memory.Kind() == "keyvalue" {
		err = schema.Join(err, c.Memory.Decode(&struct{}{}))
	} else if err == nil {
		err = c.Memory.UnknownKind([]string{"keyvalue"})
	}
	encodings := map[string]encoder.WordEncoding{
		"bag": encoder.BagOfWords, "position": encoder.PositionEncoding, "released": encoder.ReleasedPositionEncoding,
	}
	tyings := map[string]memnet.Tying{"adjacent": memnet.Adjacent, "layer-wise": memnet.LayerWise}
	return func(b *nn.Builder, data extent) *memnet.Net {
		if c.Time {
			data.words++ // the released code counts the time as a word
		}
		return memnet.New(b, memnet.Config{
			Words: int64(data.vocabulary), Width: c.Width, Hops: c.Hops, Slots: min(c.Slots, max(data.sentences, 1)),
			Encoding: encodings[c.Encoding], Longest: data.words,
			Tying: tyings[c.Tying], Timeless: !c.Time, Noise: c.Noise, ReLU: c.ReLU,
		})
	}, err
}

// babiWork trains Memory Networks to answer questions about stories.
type babiWork struct {
	file    *babiFile
	data    storiesPlan
	network func(b *nn.Builder, data extent) *memnet.Net

	seed    uint64
	edition string
	groups  []*storyGroup
	start   *nn.Param // how far a linear start that validation ends has come; nil without one
}

// storyGroup is the tasks that one network learns.
type storyGroup struct {
	name                    string
	vocabulary              *babi.Vocabulary // of the training file; other words are unknown
	extent                  extent
	train, validation, test []storyExample
	net                     *memnet.Net
}

// storyExample is a question as a network sees it.
type storyExample struct {
	encoder.Story
	answer int64 // babi.Unknown is never the right one
	asked  *babi.Question
}

// wrong is what networks on stories are measured in.
var wrong = Score{Name: results.Error, Of: "questions", Unit: "%", Factor: 100, Less: true}

// evaluationQuestions is how many questions one evaluation of a network takes.
const evaluationQuestions = 100

func (w *babiWork) score() Score { return wrong }

func (w *babiWork) load(ctx context.Context, given string, seed uint64) error {
	w.seed = seed
	data, err := w.data.load(ctx, given)
	if err != nil {
		return err
	}
	w.edition = data.Edition
	tasks := tasksOf(data.Train)
	if w.file.Train.Networks == networksJoint {
		w.groups = []*storyGroup{w.group("joint", tasks, data)}
	} else {
		for _, task := range tasks {
			w.groups = append(w.groups, w.group(fmt.Sprintf("task%02d", task), []int{task}, data))
		}
	}
	for _, g := range w.groups {
		if len(g.train) == 0 || w.validates() && len(g.validation) < 2 {
			return fmt.Errorf("validation.share %g leaves %d questions to train %s on and %d for validation", w.file.Validation.Share, len(g.train), g.name, len(g.validation))
		}
	}
	w.file.loop.Steps = w.file.Train.Epochs * w.steps()
	w.file.selection.Every = w.file.Validation.Every * w.steps()
	return nil
}

// tasksOf lists the tasks of questions.
func tasksOf(questions []babi.Question) []int {
	var tasks []int
	for _, q := range questions {
		tasks = append(tasks, q.Task)
	}
	slices.Sort(tasks)
	return slices.Compact(tasks)
}

// group takes the questions of tasks and holds the validation share out, whole stories of each task, the same for every seed.
func (w *babiWork) group(name string, tasks []int, data *babi.Data) *storyGroup {
	g := &storyGroup{name: name}
	questions := babi.Of(data.Train, tasks...)
	g.vocabulary = babi.NewVocabulary(questions)
	g.extent.vocabulary = g.vocabulary.Len()
	stories := map[int]int{} // of each task
	for _, q := range questions {
		stories[q.Task] = max(stories[q.Task], q.Story+1)
		g.extent.sentences = max(g.extent.sentences, len(q.Facts))
		for _, sentence := range append(slices.Clip(q.Facts), q.Words) {
			g.extent.words = max(g.extent.words, len(sentence))
		}
	}
	held := map[[2]int]bool{} // task and story
	for _, task := range tasks {
		n := int(math.Round(w.file.Validation.Share * float64(stories[task])))
		for _, story := range stream.New(evaluationSeed, "validation", uint64(task)).Perm(stories[task])[:n] {
			held[[2]int{task, story}] = true
		}
	}
	for _, e := range g.examples(questions) {
		if held[[2]int{e.asked.Task, e.asked.Story}] {
			g.validation = append(g.validation, e)
		} else {
			g.train = append(g.train, e)
		}
	}
	g.test = g.examples(babi.Of(data.Test, tasks...))
	return g
}

// examples numbers the words of questions. The facts that the questions of a story share are numbered once.
func (g *storyGroup) examples(questions []babi.Question) []storyExample {
	out := make([]storyExample, len(questions))
	var facts [][]int
	for i := range questions {
		q := &questions[i]
		if i == 0 || q.Story != questions[i-1].Story || q.Task != questions[i-1].Task {
			facts = nil
		}
		for _, fact := range q.Facts[len(facts):] {
			facts = append(facts, g.vocabulary.Numbers(fact))
		}
		out[i] = storyExample{encoder.Story{Facts: slices.Clip(facts), Question: g.vocabulary.Numbers(q.Words)}, int64(g.vocabulary.Number(q.Answer)), q}
	}
	return out
}

func (w *babiWork) build(b *nn.Builder) error {
	for _, g := range w.groups {
		part := b
		if len(w.groups) > 1 {
			part = b.In(g.name)
		}
		g.net = w.network(part, g.extent)
		g.net.SetLinear(w.file.Train.LinearStart.Epochs > 0)
	}
	if w.file.Train.LinearStart.Patience > 0 {
		w.start = b.Buffer("linear_start", nn.Constant(0), int64(len(startState{})))
	}
	return nil
}

// groupSteps is how many steps an epoch has for a group.
func (w *babiWork) groupSteps(g *storyGroup) int {
	return (len(g.train) + w.file.Train.Batch - 1) / w.file.Train.Batch
}

// steps is how many steps an epoch has.
func (w *babiWork) steps() int {
	n := 0
	for _, g := range w.groups {
		n += w.groupSteps(g)
	}
	return n
}

// batches goes through the training questions epoch by epoch, group after group, each time in another order.
func (w *babiWork) batches(ctx context.Context, first int64) iter.Seq[batch] {
	return func(yield func(batch) bool) {
		perEpoch := int64(w.steps())
		for epoch, skip := first/perEpoch, int(first%perEpoch); ; epoch++ {
			for i, g := range w.groups {
				n := w.groupSteps(g)
				if skip >= n {
					skip -= n
					continue
				}
				order := stream.New(w.seed, "train", uint64(epoch), uint64(i)).Perm(len(g.train))
				for chunk := range slices.Chunk(order, w.file.Train.Batch) {
					if skip > 0 {
						skip--
						continue
					}
					b := questions{group: g, linear: epoch < w.linearEpochs()}
					for _, j := range chunk {
						b.examples = append(b.examples, g.train[j])
					}
					if ctx.Err() != nil || !yield(b) {
						return
					}
				}
			}
		}
	}
}

// questions are the training data of one step.
type questions struct {
	group    *storyGroup
	linear   bool // in the linear start
	examples []storyExample
}

// loss is the cross-entropy of the answers in nats, summed over the questions as in the released code, whose rates are meant
// for it.
func (q questions) loss(p *nn.Pass, _ tensor.Device) (*tensor.Tensor, float64) {
	if q.group.net.Linear() != q.linear {
		q.group.net.SetLinear(q.linear)
	}
	scores, _ := q.group.net.Forward(p, stories(q.examples))
	labels := make([]int64, len(q.examples))
	for i, e := range q.examples {
		labels[i] = e.answer
	}
	loss := tensor.NLL(scores.LogSoftmax(-1), tensor.New(labels, int64(len(labels))).On(scores.Device())).MulScalar(float64(len(labels)))
	mean, _ := results.MeanInterval(errorsOf(q.examples, scores))
	return loss, mean
}

func stories(examples []storyExample) []encoder.Story {
	out := make([]encoder.Story, len(examples))
	for i, e := range examples {
		out[i] = e.Story
	}
	return out
}

// errorsOf returns 1 for questions whose best scored answer is wrong, and 0 for others.
func errorsOf(examples []storyExample, scores *tensor.Tensor) []float64 {
	out := make([]float64, len(examples))
	for i, best := range tensor.Values[int64](scores.Argmax(-1).On(tensor.CPU)) {
		if best != examples[i].answer {
			out[i] = 1
		}
	}
	return out
}

// startState is how far a linear start that validation ends has come: validations, the lowest loss, validations since it,
// and the epoch that it ended with, 0 before. It lies in a buffer, so that a checkpoint holds it.
type startState [4]float32

func (w *babiWork) startState() (s startState) {
	copy(s[:], tensor.Values[float32](w.start.Value()))
	return s
}

// linearEpochs is how many epochs of training are linear, as far as is known.
func (w *babiWork) linearEpochs() int64 {
	if w.start != nil {
		if ended := w.startState()[3]; ended > 0 {
			return int64(ended)
		}
	}
	return int64(w.file.Train.LinearStart.Epochs)
}

// pace implements paced: the file's schedule counts epochs and begins after the linear start.
func (w *babiWork) pace(file nn.Schedule) nn.Schedule {
	return func(step int64) float64 {
		epoch, linear := step/int64(w.steps()), w.linearEpochs()
		if epoch < linear {
			return w.file.Train.LinearStart.Factor
		}
		return file(epoch - linear)
	}
}

func (w *babiWork) validates() bool { return w.file.Validation.Share > 0 }

func (w *babiWork) validate(ctx context.Context, _ tensor.Device) ([]float64, error) {
	var scores []float64
	var loss float64
	for _, g := range w.groups {
		for a, err := range g.answers(ctx, g.validation) {
			if err != nil {
				return nil, err
			}
			scores, loss = append(scores, a.wrong), loss+a.loss
		}
	}
	if w.start == nil {
		return scores, nil
	}
	s := w.startState()
	if s[0]++; s[3] > 0 {
		return scores, nil
	}
	if mean := float32(loss / float64(len(scores))); s[0] == 1 || mean < s[1] {
		s[1], s[2] = mean, 0
	} else if s[2]++; int(s[2]) >= w.file.Train.LinearStart.Patience {
		s[3] = s[0] * float32(w.file.Validation.Every)
	}
	var bytes []byte
	for _, v := range s {
		bytes = binary.NativeEndian.AppendUint32(bytes, math.Float32bits(v))
	}
	w.start.Value().Set(bytes)
	return scores, nil
}

// answer is what a network says to a question.
type answer struct {
	example   storyExample
	wrong     float64     // 0 or 1
	loss      float64     // nats
	best      int64       // the word that it says
	chance    float64     // that it gives it
	attention [][]float64 // of each hop, to each sentence that the memory holds
	empty     []float64   // of each hop, to the empty slots together
}

// answers has the group's network answer questions, in their order.
func (g *storyGroup) answers(ctx context.Context, examples []storyExample) iter.Seq2[answer, error] {
	return func(yield func(answer, error) bool) {
		for chunk := range slices.Chunk(examples, evaluationQuestions) {
			if err := ctx.Err(); err != nil {
				yield(answer{}, err)
				return
			}
			var out []answer
			err := tensor.Do(func() error {
				tensor.NoGrad(func() { out = g.answer(chunk) })
				return nil
			})
			if err != nil {
				yield(answer{}, err)
				return
			}
			for _, a := range out {
				if !yield(a, nil) {
					return
				}
			}
		}
	}
}

func (g *storyGroup) answer(examples []storyExample) []answer {
	scores, attention := g.net.Forward(&nn.Pass{Norm: nn.RunningStats}, stories(examples))
	errs, logp := errorsOf(examples, scores), scores.LogSoftmax(-1)
	values, words := logp.Floats(), int(logp.Dim(1))
	out := make([]answer, len(examples))
	for i, best := range tensor.Values[int64](scores.Argmax(-1).On(tensor.CPU)) {
		out[i] = answer{example: examples[i], wrong: errs[i], best: best, chance: math.Exp(values[i*words+int(best)])}
		if a := examples[i].answer; a != babi.Unknown {
			out[i].loss = -values[i*words+int(a)]
		}
	}
	for _, hop := range attention {
		weights, slots := hop.Floats(), int(hop.Dim(1))
		for i, e := range examples {
			mine, held := weights[i*slots:][:slots], min(slots, len(e.Facts))
			out[i].attention = append(out[i].attention, mine[:held])
			out[i].empty = append(out[i].empty, floats.Sum(mine[held:]))
		}
	}
	return out
}

// found is 1 where the sentence with the largest weight of all hops is one that the answer follows from, and 0 elsewhere.
func (a answer) found() float64 {
	strongest, weight := -1, math.Inf(-1)
	for _, hop := range a.attention {
		for i, v := range hop {
			if v > weight {
				strongest, weight = len(a.example.Facts)-len(hop)+i, v
			}
		}
	}
	if slices.Contains(a.example.asked.Support, strongest) {
		return 1
	}
	return 0
}

func (w *babiWork) tests() int { return 1 }

// failedAbove is the error in percent above which a task has failed: Weston et al. 2015, section 4.
const failedAbove = 5

// test measures every task, and what the tables of papers sum up; the error on the training questions is there to choose a
// run by, as the paper does.
func (w *babiWork) test(ctx context.Context, _ int, _ tensor.Device, _ string, say Reporter) ([]results.Figure, error) {
	var figures []results.Figure
	figure := func(name, metric, split string, questions int, value, half float64) {
		figures = append(figures, results.Figure{Name: name, Metric: metric, Value: value, Interval: half, Protocol: results.Protocol{
			Dataset: w.data.kind, Split: w.data.split + ", " + split, TrainedOn: w.data.kind, Precision: encoder.FP32,
			Questions: questions, TrainNetworks: w.file.Train.Networks, Edition: w.edition,
		}})
	}
	// percent adds a figure of shares.
	percent := func(name, metric, split string, shares []float64) (mean, half float64) {
		mean, half = results.MeanInterval(shares)
		figure(name, metric, split, len(shares), 100*mean, 100*half)
		return 100 * mean, 100 * half
	}
	var mean, variance float64 // sums over the tasks
	var tasks, failed, questions int
	var training []float64
	for _, g := range w.groups {
		say.Testing(w.data.kind+", "+g.name, len(g.test))
		missed, found := map[int][]float64{}, map[int][]float64{}
		done := 0
		for a, err := range g.answers(ctx, g.test) {
			if err != nil {
				return nil, fmt.Errorf("test %s: %w", g.name, err)
			}
			q := a.example.asked
			missed[q.Task] = append(missed[q.Task], a.wrong)
			if len(q.Support) > 0 {
				found[q.Task] = append(found[q.Task], a.found())
			}
			done++
			say.Tested(done)
		}
		for _, task := range slices.Sorted(maps.Keys(missed)) {
			name := fmt.Sprintf("task %d", task)
			value, half := percent(name, wrong.Name, "test", missed[task])
			figures[len(figures)-1].Scores = percentScores(missed[task], 1, w.edition)
			if len(found[task]) > 0 {
				percent(name, results.Attention, "test", found[task])
			}
			mean, variance, tasks, questions = mean+value, variance+half*half, tasks+1, questions+len(missed[task])
			if value > failedAbove {
				failed++
			}
		}
		for a, err := range g.answers(ctx, g.train) {
			if err != nil {
				return nil, fmt.Errorf("test %s on training questions: %w", g.name, err)
			}
			training = append(training, a.wrong)
		}
	}
	figure(results.AllTasks, wrong.Name, "test", questions, mean/float64(tasks), math.Sqrt(variance)/float64(tasks))
	figure(results.AllTasks, results.Failed, "test", questions, float64(failed), 0)
	percent(results.OnTraining, wrong.Name, "training", training)
	return figures, nil
}

func asked(examples []storyExample) []babi.Question {
	out := make([]babi.Question, len(examples))
	for i, e := range examples {
		out[i] = *e.asked
	}
	return out
}
