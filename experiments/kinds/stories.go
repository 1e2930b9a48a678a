package kinds

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/floats"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/dataset/babi"
	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/experiments/measure"
	"github.com/engram-go/engram/experiments/registry"
	"github.com/engram-go/engram/experiments/runner"
	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/results"
	"github.com/engram-go/engram/stream"
	"github.com/engram-go/engram/tensor"
)

// storyFile is the experiment file of questions about stories.
type storyFile struct {
	Head       `yaml:",inline"`
	Dataset    schema.Section `yaml:"dataset" family:"stories" doc:"what is learned from"`
	Network    schema.Section `yaml:"network" required:"true" family:"story network" doc:"what is trained"`
	Tail       `yaml:",inline"`
	Train      storyTrain      `yaml:"train"`
	Validation storyValidation `yaml:"validation"`

	parts *registry.Parts
}

type storyTrain struct {
	Networks      string      `yaml:"networks" enum:"joint,task" doc:"one network for all tasks, or one per task"`
	Batch         int         `yaml:"batch" min:"1" doc:"questions per step, whose losses are summed; of a network that reads word by word stories, over whose answers the loss is averaged"`
	Longest       int         `yaml:"longest" min:"0" doc:"words of the longest story that is trained on, by a network that reads word by word; 0 for any"`
	Pauses        int         `yaml:"pauses" min:"0" doc:"steps without a word before each answer, of a network that reads word by word"`
	Epochs        int         `yaml:"epochs" min:"1" doc:"passes over the training questions, those of the linear start included"`
	LinearStart   linearStart `yaml:"linear_start" doc:"training without the softmaxes over the sentences, at its beginning"`
	runner.Saving `yaml:",inline"`
}

type linearStart struct {
	Epochs   int     `yaml:"epochs" min:"0" doc:"the most epochs; 0 is none"`
	Patience int     `yaml:"patience" min:"0" doc:"validations without a lower loss that end it earlier; 0 means never"`
	Factor   float64 `yaml:"factor" above:"0" doc:"of the learning rate during it; the schedule begins after it"`
}

type storyValidation struct {
	Share    float64 `yaml:"share" min:"0" below:"1" doc:"of each task's training stories, held out; 0 keeps the last model"`
	Every    int     `yaml:"every" min:"1" doc:"epochs between validations"`
	Patience int     `yaml:"patience" min:"0" doc:"validations without a better score before training stops; 0 means never; of models with equal scores the last is kept"`
}

func newStories(p *registry.Parts) File {
	f := &storyFile{
		Head: newHead(), Dataset: schema.NewSection(dataset.NameStories, nil), Tail: newTail(),
		Train: storyTrain{
			Networks: networksJoint, Batch: 32, Epochs: 60, LinearStart: linearStart{Factor: 1},
			Saving: runner.Saving{Clip: runner.Clip{Norm: 40}, Report: 100, Save: 2000, Keep: 2},
		},
		Validation: storyValidation{Share: .1, Every: 1},
		parts:      p,
	}
	f.Optimizer = schema.NewSection(registry.SGD, nil)
	return f
}

// The values of train.networks.
const (
	networksJoint = "joint"
	networksTask  = "task"
)

// Validate implements [schema.Validator].
func (f *storyFile) Validate() error {
	errs := []error{f.Head.Validate(), f.Tail.Validate(), needNetwork(&f.Network)}
	if l := f.Train.LinearStart; l.Epochs >= f.Train.Epochs {
		errs = append(errs, schema.At("train.linear_start.epochs", fmt.Errorf("leaves none of the %d epochs for training with the softmaxes", f.Train.Epochs)))
	} else if l.Patience > 0 && f.Validation.Share == 0 {
		errs = append(errs, schema.At("train.linear_start.patience", errors.New("needs validation.share, which is 0")))
	}
	return errors.Join(errs...)
}

// Sections implements [File].
func (f *storyFile) Sections() Sections {
	return Sections{&f.Head, &f.Tail, &f.Dataset, &f.Network, &f.Train.Saving, f.Validation.Patience}
}

// Plan implements [File].
func (f *storyFile) Plan() (runner.Work, error) {
	w := &stories{file: f}
	var dataErr, netErr error
	w.data, dataErr = f.parts.StoryData.Plan(&f.Dataset)
	w.planned, netErr = f.parts.Stories.Plan(&f.Network)
	if why := w.planned.NoLinearStart; netErr == nil && why != "" && f.Train.LinearStart.Epochs > 0 {
		netErr = f.Network.Errorf("train.linear_start: %s; set train.linear_start.epochs to 0", why)
	}
	errs := []error{dataErr, netErr}
	if netErr == nil {
		errs = append(errs, f.reads(w.planned.Reads))
	}
	return w, schema.Join(errs...)
}

// reads checks the keys of a network that reads word by word, nil for another.
func (f *storyFile) reads(net *registry.TokenNet) error {
	t := f.Train
	if net == nil {
		var errs []error
		for _, of := range []struct {
			key string
			n   int
		}{{"longest", t.Longest}, {"pauses", t.Pauses}} {
			if of.n > 0 {
				errs = append(errs, schema.At("train."+of.key, errors.New("is for networks that read word by word; leave it out")))
			}
		}
		return errors.Join(append(errs, noCarried(t.Clip))...)
	}
	var errs []error
	if !net.Carries {
		errs = append(errs, noCarried(t.Clip))
	}
	if net.Decodes {
		errs = append(errs, f.Network.Errorf("decoder: is for the task compression; leave it out"))
	}
	return errors.Join(errs...)
}

// stories trains networks to answer questions about stories.
type stories struct {
	file    *storyFile
	data    registry.StoryData
	planned registry.Stories

	seed    uint64
	edition string
	groups  []*storyGroup
	start   *nn.Param // the progress of a linear start that validation ends; nil without one
	loss    float64   // of the last validation, the mean in nats
}

// storyGroup is the tasks that one network learns.
type storyGroup struct {
	name                    string
	vocabulary              *babi.Vocabulary // of the training file; other words are unknown
	extent                  registry.StoriesInput
	train, validation, test []storyExample
	net                     registry.Answerer     // nil where there is a reader
	reader                  registry.TokenNetwork // reads word by word
}

// storyExample is a question as a network sees it.
type storyExample struct {
	registry.Story
	answers []int64 // its words, one of a network that takes sentences; babi.Unknown is never the right one
	asked   *babi.Question
	reading *reading // of a network that reads word by word
	blanks  int      // the step of the first answer
}

// evaluationQuestions is how many questions one evaluation of a network takes.
const evaluationQuestions = 100

// Measure implements [runner.Work].
func (w *stories) Measure() measure.Measure {
	return measure.Measure{Name: results.Error, Of: "questions", Unit: "%", Factor: 100, Less: true}
}

// Load implements [runner.Work].
func (w *stories) Load(ctx context.Context, from runner.Source) error {
	w.seed = from.Seed
	data, err := w.data.Load(ctx, from.Given)
	if err != nil {
		return err
	}
	w.edition = data.Edition
	if lacks := data.Lacks(); lacks != "" {
		from.Note(w.data.Split + ": " + lacks)
	}
	if unseen := babi.NewUnseen(data.Train, data.Test).String(); unseen != "" {
		from.Note(unseen)
	}
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
	if w.planned.Reads != nil {
		return w.fit(from)
	}
	return nil
}

func (w *stories) validates() bool { return w.file.Validation.Share > 0 }

// tasksOf lists the tasks of questions.
func tasksOf(questions []babi.Question) []int {
	var tasks []int
	for _, q := range questions {
		tasks = append(tasks, q.Task)
	}
	slices.Sort(tasks)
	return slices.Compact(tasks)
}

// group takes the questions of tasks and holds out the validation share, whole stories of each task, the same for every seed.
func (w *stories) group(name string, tasks []int, data *babi.Data) *storyGroup {
	g := &storyGroup{name: name}
	questions := babi.Of(data.Train, tasks...)
	numbered := g.examples
	if w.planned.Reads != nil {
		g.vocabulary = babi.ReadingVocabulary(babi.Read(questions, w.file.Train.Pauses))
		numbered = func(questions []babi.Question) []storyExample { return g.readings(questions, w.file.Train.Pauses) }
	} else {
		g.vocabulary = babi.NewVocabulary(questions)
	}
	g.extent.Vocabulary = g.vocabulary.Len()
	stories := map[int]int{} // of each task
	for _, q := range questions {
		stories[q.Task] = max(stories[q.Task], q.Story+1)
		g.extent.Sentences = max(g.extent.Sentences, len(q.Facts))
		for _, sentence := range append(slices.Clip(q.Facts), q.Words) {
			g.extent.Words = max(g.extent.Words, len(sentence))
		}
	}
	heldOut := map[[2]int]bool{} // task and story
	for _, task := range tasks {
		n := int(math.Round(w.file.Validation.Share * float64(stories[task])))
		for _, story := range stream.New(evaluationSeed, "validation", uint64(task)).Perm(stories[task])[:n] {
			heldOut[[2]int{task, story}] = true
		}
	}
	for _, e := range numbered(questions) {
		if heldOut[[2]int{e.asked.Task, e.asked.Story}] {
			g.validation = append(g.validation, e)
		} else {
			g.train = append(g.train, e)
		}
	}
	g.test = numbered(babi.Of(data.Test, tasks...))
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
		out[i] = storyExample{
			Story:   registry.Story{Facts: slices.Clip(facts), Question: g.vocabulary.Numbers(q.Words)},
			answers: []int64{int64(g.vocabulary.Number(q.Answer))}, asked: q,
		}
	}
	return out
}

// Build implements [runner.Work].
func (w *stories) Build(b *nn.Builder) error {
	for _, g := range w.groups {
		part := b
		if len(w.groups) > 1 {
			part = b.In(g.name)
		}
		if w.planned.Reads != nil {
			g.reader = w.planned.Reads.New(part, g.tokens(), int64(g.vocabulary.Len()))
			continue
		}
		var err error
		if g.net, err = w.planned.New(part, g.extent); err != nil {
			return err
		}
		if w.file.Train.LinearStart.Epochs > 0 {
			g.net.SetLinear(true)
		}
	}
	if w.file.Train.LinearStart.Patience > 0 {
		w.start = b.OnCPU().Buffer("linear_start", nn.Constant(0), int64(len(startState{})))
	}
	return nil
}

// groupSteps is how many steps an epoch has for a group.
func (w *stories) groupSteps(g *storyGroup) int {
	n := len(g.train)
	if w.planned.Reads != nil {
		n = len(together(g.train))
	}
	return (n + w.file.Train.Batch - 1) / w.file.Train.Batch
}

// steps is how many steps an epoch has.
func (w *stories) steps() (n int64) {
	for _, g := range w.groups {
		n += int64(w.groupSteps(g))
	}
	return n
}

// Course implements [runner.Work]. The file counts epochs. The schedule begins after the linear start, whose length is not known
// before it ends.
func (w *stories) Course(schedule func(int64) nn.Schedule) runner.Course {
	t, perEpoch := w.file.Train, w.steps()
	c := runner.Course{Steps: int64(t.Epochs) * perEpoch, Batch: t.Batch, Schedule: func(step int64) float64 {
		epoch, linear := step/perEpoch, w.linearEpochs()
		if epoch < linear {
			return t.LinearStart.Factor
		}
		return schedule(int64(t.Epochs) - linear)(epoch - linear)
	}}
	if w.validates() {
		c.Every = int64(w.file.Validation.Every) * perEpoch
	}
	return c
}

// Batches implements [runner.Work]. Each epoch goes through the training questions of one group after another, in a new order each
// time.
func (w *stories) Batches(ctx context.Context, first int64) iter.Seq[runner.Batch] {
	return func(yield func(runner.Batch) bool) {
		perEpoch := w.steps()
		for epoch, skip := first/perEpoch, int(first%perEpoch); ; epoch++ {
			for i, g := range w.groups {
				n := w.groupSteps(g)
				if skip >= n {
					skip -= n
					continue
				}
				for _, examples := range w.shuffled(g, stream.New(w.seed, "train", uint64(epoch), uint64(i))) {
					if skip > 0 {
						skip--
						continue
					}
					b := questions{group: g, linear: epoch < w.linearEpochs(), examples: examples}
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

// shuffled gives the training examples of each step of an epoch, in an order that r draws.
func (w *stories) shuffled(g *storyGroup, r *rand.Rand) (batches [][]storyExample) {
	if w.planned.Reads != nil {
		return batchesOfReadings(together(g.train), w.file.Train.Batch, r)
	}
	for chunk := range slices.Chunk(r.Perm(len(g.train)), w.file.Train.Batch) {
		var batch []storyExample
		for _, j := range chunk {
			batch = append(batch, g.train[j])
		}
		batches = append(batches, batch)
	}
	return batches
}

// Loss implements [runner.Batch]: the cross-entropy of the answers in nats, summed over the questions as in the released code,
// whose rates are meant for it; of a network that reads word by word, averaged over the words of the answers.
func (q questions) Loss(p *nn.Pass, on tensor.Device) (*tensor.Tensor, runner.Score) {
	if net := q.group.net; net != nil && net.Linear() != q.linear {
		net.SetLinear(q.linear)
	}
	scores, _ := q.group.forward(p, q.examples, on)
	var labels []int64
	for _, e := range q.examples {
		labels = append(labels, e.answers...)
	}
	loss := tensor.NLL(scores.LogSoftmax(-1), tensor.New(labels, int64(len(labels))).On(scores.Device()))
	if q.group.net != nil {
		loss = loss.MulScalar(float64(len(labels)))
	}
	return loss, func() float64 { return mean(errorsOf(q.examples, scores)) }
}

// forward returns the words' scores, a row for each word of the examples' answers, and the attention of a network that has it.
func (g *storyGroup) forward(p *nn.Pass, examples []storyExample, on tensor.Device) (scores *tensor.Tensor, attention []*tensor.Tensor) {
	if g.reader != nil {
		return g.read(p, examples, on), nil
	}
	all := make([]registry.Story, len(examples))
	for i, e := range examples {
		all[i] = e.Story
	}
	return g.net.Forward(p, all)
}

// errorsOf returns 1 for questions of whose answer a best scored word is wrong, and 0 for others.
func errorsOf(examples []storyExample, scores *tensor.Tensor) []float64 {
	out := make([]float64, len(examples))
	best := tensor.Values[int64](scores.Argmax(-1).On(tensor.CPU))
	for i, e := range examples {
		if !slices.Equal(best[:len(e.answers)], e.answers) {
			out[i] = 1
		}
		best = best[len(e.answers):]
	}
	return out
}

// startState is the progress of a linear start that validation ends: the number of validations, the lowest loss, the number of
// validations since then, and the epoch after which the start ended, or 0. It is kept in a buffer, so that checkpoints contain it.
type startState [4]float32

func (w *stories) startState() (s startState) {
	copy(s[:], tensor.Values[float32](w.start.Value()))
	return s
}

// linearEpochs is the number of epochs of the linear start, as far as it is known.
func (w *stories) linearEpochs() int64 {
	if w.start != nil {
		if ended := w.startState()[3]; ended > 0 {
			return int64(ended)
		}
	}
	return int64(w.file.Train.LinearStart.Epochs)
}

// Validate implements [runner.Work].
func (w *stories) Validate(ctx context.Context, on tensor.Device) ([]float64, error) {
	var scores []float64
	var loss float64
	for _, g := range w.groups {
		answers, err := g.answers(ctx, g.validation, on, nil)
		if err != nil {
			return nil, err
		}
		for _, a := range answers {
			scores, loss = append(scores, a.wrong), loss+a.loss
		}
	}
	w.loss = loss / float64(len(scores))
	return scores, nil
}

// Validated implements [runner.Observer]: the loss of the last validation may end the linear start.
func (w *stories) Validated() {
	if w.start == nil {
		return
	}
	s := w.startState()
	if s[0]++; s[3] > 0 {
		return
	}
	if loss := float32(w.loss); s[0] == 1 || loss < s[1] {
		s[1], s[2] = loss, 0
	} else if s[2]++; int(s[2]) >= w.file.Train.LinearStart.Patience {
		s[3] = s[0] * float32(w.file.Validation.Every)
	}
	var bytes []byte
	for _, v := range s {
		bytes = binary.NativeEndian.AppendUint32(bytes, math.Float32bits(v))
	}
	w.start.Value().Set(bytes)
}

// answer is a network's answer to a question.
type answer struct {
	example   storyExample
	wrong     float64     // 0 or 1
	loss      float64     // nats
	best      []int64     // the words that it says
	chance    float64     // that it gives them
	attention [][]float64 // of each hop, to each sentence that the memory holds
	empty     []float64   // of each hop, to the empty slots together
}

// answers has the group's network answer questions, in their order.
func (g *storyGroup) answers(ctx context.Context, examples []storyExample, on tensor.Device, p measure.Progress) ([]answer, error) {
	return measure.Evaluate(ctx, g.chunks(examples), len(examples), p, func(chunk []storyExample) ([]answer, error) { return g.answer(chunk, on) })
}

func (g *storyGroup) answer(examples []storyExample, on tensor.Device) ([]answer, error) {
	scores, attention := g.forward(&nn.Pass{Norm: nn.RunningStats}, examples, on)
	if err := measure.Finite(scores, "check the model file"); err != nil {
		return nil, err
	}
	errs, logp := errorsOf(examples, scores), scores.LogSoftmax(-1)
	values, words := logp.Floats(), int(logp.Dim(1))
	out := make([]answer, len(examples))
	best := tensor.Values[int64](scores.Argmax(-1).On(tensor.CPU))
	for i, e := range examples {
		a := answer{example: e, wrong: errs[i], best: best[:len(e.answers)], chance: 1}
		for j, right := range e.answers {
			a.chance *= math.Exp(values[j*words+int(best[j])])
			if right != babi.Unknown {
				a.loss -= values[j*words+int(right)]
			}
		}
		out[i], best, values = a, best[len(e.answers):], values[len(e.answers)*words:]
	}
	for _, hop := range attention {
		weights, slots := hop.Floats(), int(hop.Dim(1))
		for i, e := range examples {
			mine, held := weights[i*slots:][:slots], min(slots, len(e.Facts))
			out[i].attention = append(out[i].attention, mine[:held])
			out[i].empty = append(out[i].empty, floats.Sum(mine[held:]))
		}
	}
	return out, nil
}

// found is 1 if the sentence with the largest weight over all hops supports the answer, and otherwise 0.
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

// failedAbove is the error in percent above which a task has failed: Weston et al. 2015, section 4.
const failedAbove = 5

// Tests implements [runner.Work].
func (w *stories) Tests(context.Context, runner.Source) ([]measure.Test, error) {
	return []measure.Test{{Name: w.file.Dataset.Kind(), Run: w.test}}, nil
}

// test measures every task, and what the tables of papers sum up; the error on the training questions is there to choose a
// run by, as the paper does.
func (w *stories) test(ctx context.Context, on tensor.Device, p measure.Progress) ([]results.Figure, error) {
	var figures []results.Figure
	trained, m := measure.Trained{On: w.file.Dataset.Kind(), Precision: encoder.FP32}, w.Measure()
	protocol := func(split string, questions int) results.Protocol {
		return results.Protocol{
			Dataset: w.file.Dataset.Kind(), Split: w.data.Split + ", " + split, Questions: questions,
			TrainNetworks: w.file.Train.Networks, Edition: w.edition,
		}
	}
	share := func(name, metric, split string, shares []float64) results.Figure {
		f := trained.Figure(name, metric, 100, shares, protocol(split, len(shares)))
		figures = append(figures, f)
		return f
	}
	var sum, variance float64 // over the tasks
	var tasks, failed, questions int
	var training []float64
	for _, g := range w.groups {
		p.Testing(w.file.Dataset.Kind()+", "+g.name, len(g.test))
		answers, err := g.answers(ctx, g.test, on, p)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", g.name, err)
		}
		missed, found := map[int][]float64{}, map[int][]float64{}
		for _, a := range answers {
			q := a.example.asked
			missed[q.Task] = append(missed[q.Task], a.wrong)
			if len(q.Support) > 0 && a.attention != nil {
				found[q.Task] = append(found[q.Task], a.found())
			}
		}
		for _, task := range slices.Sorted(maps.Keys(missed)) {
			name := fmt.Sprintf("task %d", task)
			f := share(name, m.Name, "test", missed[task])
			figures[len(figures)-1].Scores = measure.Percent(missed[task], 1, w.edition)
			if len(found[task]) > 0 {
				share(name, results.Attention, "test", found[task])
			}
			sum, variance, tasks, questions = sum+f.Value, variance+f.Interval*f.Interval, tasks+1, questions+len(missed[task])
			if f.Value > failedAbove {
				failed++
			}
		}
		answers, err = g.answers(ctx, g.train, on, nil)
		if err != nil {
			return nil, fmt.Errorf("%s on training questions: %w", g.name, err)
		}
		for _, a := range answers {
			training = append(training, a.wrong)
		}
	}
	figures = append(figures,
		trained.Value(results.AllTasks, m.Name, sum/float64(tasks), math.Sqrt(variance)/float64(tasks), protocol("test", questions)),
		trained.Value(results.AllTasks, results.Failed, float64(failed), 0, protocol("test", questions)))
	figures[len(figures)-2].Headline = true // the mean over the tasks
	figures[len(figures)-2].State = w.carried()
	share(results.OnTraining, m.Name, "training", training)
	return figures, nil
}

func asked(examples []storyExample) []babi.Question {
	out := make([]babi.Question, len(examples))
	for i, e := range examples {
		out[i] = *e.asked
	}
	return out
}
