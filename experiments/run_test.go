package experiments_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/experiments"
	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/results"
	"github.com/engram-go/engram/tensor"
)

// tiny is an experiment that takes a second.
const tiny = `
name: tiny
network: {kind: protonet, encoder: {kind: conv4, filters: 8}}
dataset: {kind: strokes, train: 40, val: 10, test: 10, instances: 6, size: 16}
train: {way: 5, shot: 1, query: 3, steps: 12, report: 2, save: 4}
validation: {way: 5, shot: 1, query: 3, episodes: 6, every: 4}
test: [{way: 5, shot: 1, query: 3, episodes: 20}]
threads: 1
`

const smallRelationnet = "{kind: relationnet, encoder: {kind: conv4, filters: 8}}"

func config(t *testing.T, sets ...string) *experiments.Config { return parse(t, tiny, sets...) }

// parse reads an experiment file with overrides as for --set.
func parse(t *testing.T, text string, sets ...string) *experiments.Config {
	t.Helper()
	c, err := tool.Parse("tiny.yaml", []byte(text), overrides(t, sets...)...)
	require.NoError(t, err)
	return c
}

func overrides(t *testing.T, sets ...string) (out []schema.Override) {
	t.Helper()
	for _, s := range sets {
		o, err := schema.ParseOverride(s)
		require.NoError(t, err)
		out = append(out, o)
	}
	return out
}

func run(t *testing.T, dir string, sets ...string) *results.Result {
	t.Helper()
	r, err := tool.Run(t.Context(), config(t, sets...), experiments.Options{Out: dir})
	require.NoError(t, err)
	return r
}

// interrupted runs an experiment that is stopped after its first step and then after every few, up to a last one, and
// resumed each time. It must end like the uninterrupted run. It returns the run folder.
func interrupted(t *testing.T, c *experiments.Config, last, by int64, want *results.Result) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for at := int64(1); at < last; at += by {
		ctx, cancel := context.WithCancel(t.Context())
		o := experiments.Options{Out: dir, Reporter: &stopper{at: at, cancel: cancel}}
		var err error
		if at == 1 {
			_, err = tool.Run(ctx, c, o)
		} else {
			_, err = tool.Resume(ctx, dir, o)
		}
		require.ErrorIs(t, err, context.Canceled)
	}
	got, err := tool.Resume(t.Context(), dir, experiments.Options{})
	require.NoError(t, err)
	sameOutcome(t, want, got)
	return dir
}

// Training takes at least the processor time that its last checkpoint notes.
func TestTimeOfEarlierSessionsCounts(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	_, err := tool.Run(ctx, config(t), experiments.Options{Out: dir, Reporter: &stopper{at: 11, cancel: cancel}})
	require.ErrorIs(t, err, context.Canceled)
	file := filepath.Join(dir, "checkpoint.safetensors")
	checkpoint, err := nn.Open(file)
	require.NoError(t, err)
	scope := tensor.Enter()
	t.Cleanup(scope.Leave)
	tensors, err := checkpoint.Tensors(tensor.CPU)
	require.NoError(t, err)
	noted := regexp.MustCompile(`"Processor":[^,}]+`)
	require.Regexp(t, noted, checkpoint.Notes["progress"])
	// More than the rest of the run can take.
	checkpoint.Notes["progress"] = noted.ReplaceAllString(checkpoint.Notes["progress"], `"Processor":1e4`)
	require.NoError(t, nn.Save(file, tensors, checkpoint.Notes))
	got, err := tool.Resume(t.Context(), dir, experiments.Options{})
	require.NoError(t, err)
	assert.GreaterOrEqual(t, got.Training.ProcessorSeconds, 1e4)
}

// sameOutcome compares everything in two results except times.
func sameOutcome(t *testing.T, a, b *results.Result) {
	t.Helper()
	assert.Equal(t, a.Figures, b.Figures)
	for _, r := range []*results.Result{a, b} {
		r.Training.Seconds, r.Training.ProcessorSeconds = 0, 0
	}
	assert.Equal(t, a.Training, b.Training)
}

func TestSameSeedGivesTheSameBits(t *testing.T) {
	for _, network := range []string{"protonet", "matchingnet", "{kind: matchingnet, context: full}", smallRelationnet} {
		sameBits(t, network)
	}
}

// sameBits runs an experiment twice and compares results and models.
func sameBits(t *testing.T, network string) {
	t.Helper()
	a, b := t.TempDir(), t.TempDir()
	set := "network=" + network
	sameOutcome(t, run(t, a, set), run(t, b, set))
	first, err := os.ReadFile(filepath.Join(a, "model.safetensors"))
	require.NoError(t, err)
	second, err := os.ReadFile(filepath.Join(b, "model.safetensors"))
	require.NoError(t, err)
	assert.True(t, string(first) == string(second), "%s: the two models differ", network)
}

func TestAnotherSeedGivesAnotherModel(t *testing.T) {
	a, b := run(t, t.TempDir()), run(t, t.TempDir(), "seed=2")
	assert.NotEqual(t, a.Figures[0].Value, b.Figures[0].Value)
}

func TestRunFolderTellsTheStory(t *testing.T) {
	before := tensor.Live()
	dir := t.TempDir()
	r := run(t, dir)
	assert.Equal(t, before, tensor.Live(), "a run gives all tensors back")

	f := r.Figures[0]
	assert.Equal(t, results.Protocol{
		Dataset: "strokes", Split: "40/10/10", Rotations: "none", Classes: 10, Way: 5, Shot: 1, Query: 3, Episodes: 20,
		Norm: "inductive", TrainedOn: "strokes", TrainWay: 5, TrainShot: 1, Precision: "fp32",
	}, f.Protocol)
	assert.Equal(t, "accuracy", f.Metric)
	assert.Greater(t, f.Interval, 0.0)
	assert.Equal(t, int64(12), r.Training.Steps)
	assert.Contains(t, []int64{4, 8, 12}, r.Training.BestStep)

	read, err := results.Read(filepath.Join(dir, "result.json"))
	require.NoError(t, err)
	assert.Equal(t, r, read)

	// The resolved file in the result gives the same run.
	c, err := tool.Parse("again", []byte(r.Config))
	require.NoError(t, err)
	again, err := tool.Run(t.Context(), c, experiments.Options{Out: t.TempDir()})
	require.NoError(t, err)
	sameOutcome(t, r, again)

	lines := metrics(t, dir)
	var reported, validated []float64
	for _, m := range lines {
		if _, ok := m["loss"]; ok {
			reported = append(reported, m["step"].(float64))
		} else {
			validated = append(validated, m["step"].(float64))
		}
	}
	assert.Equal(t, []float64{1, 2, 4, 6, 8, 10, 12}, reported)
	assert.Equal(t, []float64{4, 8, 12}, validated)

	// The best model gives the result's figures, and opens as a state file.
	again, err = tool.Evaluate(t.Context(), dir, experiments.Options{})
	require.NoError(t, err)
	figures := again.Figures
	assert.Equal(t, r.Figures, figures)
	state, err := nn.Open(filepath.Join(dir, "model.safetensors"))
	require.NoError(t, err)
	assert.Contains(t, state.Names(), "encoder.block1.conv.weight")
}

func metrics(t *testing.T, dir string) (lines []map[string]any) {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, "metrics.jsonl"))
	require.NoError(t, err)
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		var m map[string]any
		require.NoError(t, json.Unmarshal(sc.Bytes(), &m))
		lines = append(lines, m)
	}
	return lines
}

// stopper cancels a run after a number of steps, or during a validation.
type stopper struct {
	experiments.Silent
	at     int64
	cancel func()
}

func (s *stopper) Step(p experiments.Step) {
	if p.Step == s.at {
		s.cancel()
	}
}

// Interrupted at every step in turn, the run ends as if uninterrupted, also if the interruption is during a
// validation (steps 4, 8, 12) or between two checkpoints.
func TestInterruptedRunResumesToTheSameResult(t *testing.T) {
	want := run(t, t.TempDir())
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	_, err := tool.Run(ctx, config(t), experiments.Options{Out: dir, Reporter: &stopper{at: 1, cancel: cancel}})
	require.ErrorIs(t, err, context.Canceled)
	assert.ErrorContains(t, err, "engram resume "+dir)
	for at := int64(2); at < 12; at++ {
		ctx, cancel := context.WithCancel(t.Context())
		_, err := tool.Resume(ctx, dir, experiments.Options{Reporter: &stopper{at: at, cancel: cancel}})
		require.ErrorIs(t, err, context.Canceled, "at step %d", at)
	}
	got, err := tool.Resume(t.Context(), dir, experiments.Options{})
	require.NoError(t, err)
	sameOutcome(t, want, got)
	var steps []float64
	for _, m := range metrics(t, dir) {
		steps = append(steps, m["step"].(float64))
	}
	assert.Equal(t, []float64{1, 2, 4, 4, 6, 8, 8, 10, 12, 12}, steps, "every line once")

	again, err := tool.Resume(t.Context(), dir, experiments.Options{})
	require.NoError(t, err)
	sameOutcome(t, got, again)
}

// A killed run continues from its last checkpoint; later lines are rewritten, not duplicated.
func TestKilledRunResumes(t *testing.T) {
	want := run(t, t.TempDir())
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	_, err := tool.Run(ctx, config(t), experiments.Options{Out: dir, Reporter: &stopper{at: 5, cancel: cancel}})
	require.Error(t, err)
	f, err := os.OpenFile(filepath.Join(dir, "metrics.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteString("{\"step\":6,\"loss\":1}\n{\"step\":7,\"lo")
	require.NoError(t, err)
	require.NoError(t, f.Close())
	got, err := tool.Resume(t.Context(), dir, experiments.Options{})
	require.NoError(t, err)
	sameOutcome(t, want, got)
	assert.Len(t, metrics(t, dir), 10)
	assert.Equal(t, 1+10, events(t, dir), "a header, and an event a line")
}

// events counts the records of the TensorBoard file, each of which is a length, a checksum, that many bytes, a
// checksum.
func events(t *testing.T, dir string) (n int) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "events.out.tfevents.engram"))
	require.NoError(t, err)
	for len(text) > 0 {
		size := 16 + binary.LittleEndian.Uint64(text)
		require.LessOrEqual(t, size, uint64(len(text)))
		text, n = text[size:], n+1
	}
	return n
}

func TestDivergenceStopsWithStepAndCheckpoint(t *testing.T) {
	dir := t.TempDir()
	_, err := tool.Run(t.Context(), config(t, "optimizer={kind: sgd, rate: 1e38}", "train.save=1"), experiments.Options{Out: dir})
	require.Error(t, err)
	assert.Regexp(t, `^step \d+: training diverged \(loss .*\); the last good checkpoint is of step \d+, in .*checkpoint\.safetensors; try a lower optimizer\.rate`, err.Error())

	_, err = tool.Run(t.Context(), config(t, "optimizer={kind: sgd, rate: 1e38}"), experiments.Options{Out: t.TempDir()})
	assert.ErrorContains(t, err, "no checkpoint had been written")
}

func TestEarlyStopKeepsTheBestModel(t *testing.T) {
	// With a rate near zero the score never improves after the first validation.
	r := run(t, t.TempDir(), "optimizer.rate=1e-30", "train.steps=100", "validation.patience=2")
	assert.Equal(t, "no better model in 2 validations", r.Training.Ended)
	assert.Less(t, r.Training.Steps, int64(100))
	assert.Equal(t, r.Training.Steps-8, r.Training.BestStep)
}

func TestWithoutValidationTheLastModelIsKept(t *testing.T) {
	r := run(t, t.TempDir(), "validation.episodes=0")
	assert.Equal(t, int64(12), r.Training.BestStep)
}

func TestBatchOfEpisodesAndTransductiveTest(t *testing.T) {
	r := run(t, t.TempDir(), "train.batch=3", "test.0.norm=transductive", "train.clip={value: 1, norm: 0.5}")
	assert.Equal(t, "transductive", r.Figures[0].Protocol.Norm)
}

// A relation network is tested in either mode, and each figure states it; the statistics are chosen per test, not by
// training.
func TestBothNormModesOfARelationNetwork(t *testing.T) {
	both := "test=[{way: 5, shot: 1, query: 3, episodes: 20, norm: transductive}, {way: 5, shot: 1, query: 3, episodes: 20, norm: inductive}]"
	r := run(t, t.TempDir(), "network="+smallRelationnet, both)
	require.Len(t, r.Figures, 2)
	assert.Equal(t, "transductive", r.Figures[0].Protocol.Norm)
	assert.Equal(t, "inductive", r.Figures[1].Protocol.Norm)
	assert.NotEqual(t, r.Figures[0].Value, r.Figures[1].Value)
	reversed := run(t, t.TempDir(), "network="+smallRelationnet,
		"test=[{way: 5, shot: 1, query: 3, episodes: 20, norm: inductive}, {way: 5, shot: 1, query: 3, episodes: 20, norm: transductive}]")
	assert.Equal(t, []results.Figure{r.Figures[1], r.Figures[0]}, reversed.Figures, "one test does not move the other")
}

func TestValidationChoosesItsNorm(t *testing.T) {
	validations := func(norm string) (scores []float64) {
		dir := t.TempDir()
		run(t, dir, "network="+smallRelationnet, "validation.norm="+norm)
		for _, m := range metrics(t, dir) {
			if v, ok := m["validation_accuracy"]; ok {
				scores = append(scores, v.(float64))
			}
		}
		require.Len(t, scores, 3)
		return scores
	}
	assert.NotEqual(t, validations("inductive"), validations("transductive"))
	assert.Contains(t, run(t, t.TempDir(), "validation.norm=transductive").Config, "norm: transductive")
}

// Fine-tuning affects a copy: it changes only the figure of its test, which states it.
func TestFineTunedTest(t *testing.T) {
	test := "{way: 5, shot: 1, query: 3, episodes: 20%s}"
	plain, tuned := fmt.Sprintf(test, ""), fmt.Sprintf(test, ", fine_tune: {steps: 5, rate: 0.3}")
	for _, network := range []string{"protonet", "{kind: matchingnet, context: full}", smallRelationnet} {
		r := run(t, t.TempDir(), "network="+network, "test=["+tuned+", "+plain+"]")
		assert.Equal(t, 5, r.Figures[0].Protocol.FineTune)
		assert.Equal(t, .3, r.Figures[0].Protocol.FineTuneRate)
		assert.Zero(t, r.Figures[1].Protocol.FineTune)
		assert.Zero(t, r.Figures[1].Protocol.FineTuneRate)
		assert.NotEqual(t, r.Figures[0].Value, r.Figures[1].Value, network)
		alone := run(t, t.TempDir(), "network="+network, "test=["+plain+"]")
		assert.Equal(t, alone.Figures[0], r.Figures[1])
	}
}

// A test can use the validation classes, so that its settings can be chosen without the test classes.
func TestTestOnValidationClasses(t *testing.T) {
	test := "{way: 5, shot: 1, query: 3, episodes: 20%s}"
	tests := "test=[" + fmt.Sprintf(test, "") + ", " + fmt.Sprintf(test, ", classes: validation") + "]"
	r := run(t, t.TempDir(), "dataset={kind: strokes, train: 12, val: 8, test: 6, size: 28}", tests)
	assert.Equal(t, "5-way 1-shot", r.Figures[0].Name)
	assert.Equal(t, 6, r.Figures[0].Protocol.Classes)
	assert.Equal(t, "5-way 1-shot of validation classes", r.Figures[1].Name)
	assert.Equal(t, 8, r.Figures[1].Protocol.Classes)

	// A run without another test shows no episode of test classes either.
	shown := func(test string) string {
		dir := t.TempDir()
		run(t, dir, "test=["+test+"]")
		return filepath.Join(dir, "plots", "episode.svg")
	}
	assert.FileExists(t, shown(fmt.Sprintf(test, "")))
	assert.NoFileExists(t, shown(fmt.Sprintf(test, ", classes: validation")))

	_, err := tool.Run(t.Context(), parse(t, tiny, "dataset={kind: images, root: ../examples/letters/support, size: 28, rotations: classes, split: {kind: share, train: 0.5, val: 0}}",
		"train.way=2", "train.shot=1", "train.query=1", "validation.episodes=0", "test=[{way: 2, shot: 1, query: 1, episodes: 4}, {way: 2, shot: 1, query: 1, episodes: 4, classes: validation}]"), experiments.Options{Out: t.TempDir()})
	assert.ErrorContains(t, err, "test.1, 2-way 1-shot of validation classes: the split")
	assert.ErrorContains(t, err, "has no classes for validation")
	_, err = tool.Parse("x.yaml", []byte("name: x\nnetwork: protonet\ndataset: {kind: omniglot, split: lake}\ntest:\n  - {kind: lake-runs, classes: validation}\n"))
	assert.ErrorContains(t, err, "x.yaml:5: test.0.classes: the characters of Lake's runs are their own")
}

func TestTestOnADataSetThatIsNotHere(t *testing.T) {
	t.Setenv("ENGRAM_DATA", t.TempDir())
	t.Setenv("ENGRAM_CACHE", t.TempDir())
	t.Chdir(t.TempDir())
	other := "test=[{way: 5, shot: 1, query: 3, episodes: 20}, {way: 5, shot: 1, dataset: {kind: omniglot, size: 16}, optional: %v}]"
	notes := &notes{}
	r, err := tool.Run(t.Context(), config(t, fmt.Sprintf(other, true)), experiments.Options{Out: t.TempDir(), Reporter: notes})
	require.NoError(t, err)
	assert.Len(t, r.Figures, 1)
	assert.Equal(t, []string{"5-way 1-shot on omniglot left out: the data set is not here (engram data fetch omniglot)"}, notes.lines)

	_, err = tool.Run(t.Context(), config(t, fmt.Sprintf(other, false)), experiments.Options{Out: t.TempDir()})
	assert.ErrorContains(t, err, "engram data fetch omniglot")
}

type notes struct {
	experiments.Silent
	lines []string
}

func (n *notes) Note(line string) { n.lines = append(n.lines, line) }

func TestFolderErrors(t *testing.T) {
	dir := t.TempDir()
	run(t, dir)
	_, err := tool.Run(t.Context(), config(t), experiments.Options{Out: dir})
	assert.ErrorContains(t, err, dir+" holds a finished run, of tiny with seed 1")

	_, err = tool.Resume(t.Context(), t.TempDir(), experiments.Options{})
	assert.ErrorContains(t, err, "is not a run folder: it holds no config.yaml")

	require.NoError(t, os.WriteFile(filepath.Join(dir, "result.json"), []byte("{"), 0o644))
	_, err = tool.Resume(t.Context(), dir, experiments.Options{})
	assert.ErrorContains(t, err, "result.json is damaged")
}

// A run with a damaged last checkpoint continues from the previous one and reports it; without an undamaged one it
// reports that.
func TestDamagedCheckpoints(t *testing.T) {
	want := run(t, t.TempDir())
	dir := t.TempDir()
	run(t, dir)
	last, before := filepath.Join(dir, "checkpoint.safetensors"), filepath.Join(dir, "checkpoint-1.safetensors")
	assert.NoFileExists(t, filepath.Join(dir, "checkpoint-2.safetensors"))
	whole, err := os.ReadFile(last)
	require.NoError(t, err)
	for how, damaged := range map[string][]byte{
		"is damaged: not a whole safetensors file":                               whole[:len(whole)/2],
		"is damaged: its content does not match its checksum":                    append(whole[:len(whole)-1:len(whole)-1], whole[len(whole)-1]^1),
		"is damaged: not a whole safetensors file: file shorter than its header": nil,
	} {
		require.NoError(t, os.Remove(filepath.Join(dir, "result.json")))
		require.NoError(t, os.WriteFile(last, damaged, 0o644))
		said := &notes{}
		got, err := tool.Resume(t.Context(), dir, experiments.Options{Reporter: said})
		require.NoError(t, err, how)
		sameOutcome(t, want, got)
		require.Len(t, said.lines, 1)
		assert.Contains(t, said.lines[0], last)
		assert.Contains(t, said.lines[0], "; continuing from the checkpoint before it, of step 8")
		if damaged != nil {
			assert.Contains(t, said.lines[0], how)
		}
	}
	require.NoError(t, os.Remove(filepath.Join(dir, "result.json")))
	// A run that is killed while moving its checkpoints leaves none of age 0.
	require.NoError(t, os.Remove(last))
	got, err := tool.Resume(t.Context(), dir, experiments.Options{})
	require.NoError(t, err)
	sameOutcome(t, want, got)

	require.NoError(t, os.Remove(filepath.Join(dir, "result.json")))
	require.NoError(t, os.WriteFile(last, whole[:100], 0o644))
	require.NoError(t, os.WriteFile(before, whole[:100], 0o644))
	_, err = tool.Resume(t.Context(), dir, experiments.Options{})
	assert.ErrorContains(t, err, "checkpoint: all are damaged, so the run cannot continue; start it again in another folder: nn: "+last+" is damaged")
	assert.ErrorContains(t, err, before+" is damaged")
}

func TestARunFolderIsOfOneProcess(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	second := func(int64) {
		_, err := tool.Resume(t.Context(), dir, experiments.Options{})
		assert.ErrorContains(t, err, fmt.Sprintf("another process works on %s (process %d on ", dir, os.Getpid()))
		_, err = tool.Run(t.Context(), config(t), experiments.Options{Out: dir})
		assert.ErrorContains(t, err, "another process works on "+dir)
		cancel()
	}
	_, err := tool.Run(ctx, config(t), experiments.Options{Out: dir, Reporter: &stepper{step: second}})
	require.ErrorIs(t, err, context.Canceled)
	_, err = tool.Resume(t.Context(), dir, experiments.Options{})
	require.NoError(t, err)
}

// stepper calls a function at each step.
type stepper struct {
	experiments.Silent
	step func(int64)
}

func (s *stepper) Step(at experiments.Step) { s.step(at.Step) }

func TestImpossibleEpisodesAreRefusedBeforeTraining(t *testing.T) {
	for set, want := range map[string]string{
		"train.way=41":      "train: ",
		"train.query=6":     "train: ",
		"validation.way=11": "validation: ",
		"dataset.size=15":   "needs images of at least 16×16 pixels, got 15×15",
	} {
		dir := filepath.Join(t.TempDir(), "run")
		_, err := tool.Run(t.Context(), config(t, set), experiments.Options{Out: dir})
		assert.ErrorContains(t, err, want, set)
		assert.NoFileExists(t, filepath.Join(dir, "checkpoint.safetensors"))
	}
}

// Variants of networks and metrics that compatibility.md does not cover; a few steps lower their loss.
func TestFormsOfNetworksAndMetrics(t *testing.T) {
	const encoder = "encoder: {kind: conv4, filters: 8}"
	for _, network := range []string{
		"{kind: protonet, " + encoder + ", memory: {kind: prototype, metric: {kind: mahalanobis, form: diagonal}, scale: 0.1}}",
		"{kind: protonet, " + encoder + ", memory: {kind: prototype, metric: {kind: covariance, form: shared}, scale: 0.1}}",
		"{kind: matchingnet, " + encoder + ", memory: {kind: lrua, slots: 5, metric: covariance, scale: 0.1}}",
		"{kind: matchingnet, " + encoder + ", context: {kind: full, reads: 2}}",
		"{kind: matchingnet, " + encoder + ", context: full, memory: {kind: ntm, slots: 5}}",
		"{kind: protonet, encoder: {kind: conv4, filters: 8, pools: 2, unpadded: 2}, memory: {kind: prototype, metric: {kind: relation, filters: 8, hidden: 4}}}",
		"{kind: relationnet, " + encoder + ", loss: cross-entropy, memory: {kind: keyvalue, scale: 2}}",
	} {
		dir := t.TempDir()
		run(t, dir, "network="+network, "train.steps=40", "train.report=1", "optimizer.rate=1e-2", "validation.episodes=0", "test.0.episodes=2")
		var first, last float64
		for _, m := range metrics(t, dir) {
			switch loss := m["loss"].(float64); {
			case m["step"].(float64) <= 10:
				first += loss
			case m["step"].(float64) > 30:
				last += loss
			}
		}
		assert.Less(t, last, first, "%s: the loss of the last ten steps is below the first ten's", network)
	}
}

// A large enough bounded memory equals the unbounded one; a small one loses support examples and accuracy.
func TestBoundedMemory(t *testing.T) {
	value := func(memory string) float64 {
		return run(t, t.TempDir(), "network={kind: matchingnet, encoder: {kind: conv4, filters: 8}, memory: "+memory+"}",
			"train.steps=60", "optimizer.rate=1e-2", "validation.episodes=0", "test.0.episodes=100").Figures[0].Value
	}
	whole := value("{kind: keyvalue, metric: squared-euclidean, scale: 0.1}")
	for _, kind := range []string{"lrua", "ntm", "dnc"} {
		bounded := func(slots int) float64 {
			return value(fmt.Sprintf("{kind: %s, metric: squared-euclidean, scale: 0.1, slots: %d}", kind, slots))
		}
		assert.InDelta(t, whole, bounded(16), 5, "%s with room for all", kind)
		assert.Less(t, bounded(2), whole-10, "%s with two slots for five classes", kind)
	}
}

// tinyCopy is a sequence experiment that takes a second.
const tinyCopy = `
name: tiny-copy
dataset: {kind: copy, bits: 3, min_length: 1, max_length: 3}
network: {kind: ntm, controller: {kind: lstm, size: 16}, memory: {kind: ntm, slots: 8, width: 6}}
train: {batch: 8, steps: 12, report: 2, save: 4, clip: {value: 10}}
optimizer: {kind: adam, rate: 1e-2}
validation: {sequences: 12, every: 4}
test: [{length: 3, sequences: 20}, {length: 6, sequences: 20}]
`

func copyConfig(t *testing.T, sets ...string) *experiments.Config { return parse(t, tinyCopy, sets...) }

func TestSequencesTrainResumeAndReport(t *testing.T) {
	before := tensor.Live()
	want, err := tool.Run(t.Context(), copyConfig(t), experiments.Options{Out: t.TempDir()})
	require.NoError(t, err)
	var names []string
	for _, f := range want.Figures {
		names = append(names, f.Name+", "+f.Metric)
	}
	assert.Equal(t, []string{
		"length 3, bits", "length 3, wrong bits", "length 3, slipped", "length 3, wrong bits aligned",
		"length 6, bits", "length 6, wrong bits", "length 6, slipped", "length 6, wrong bits aligned",
	}, names)
	assert.Greater(t, want.Training.Validation, 0.0)

	interrupted(t, copyConfig(t), 12, 3, want)
	assert.Equal(t, before, tensor.Live())
}

// A run folder contains plots of learning, of the network's answers and of its memory.
func TestRunFolderHasItsPlots(t *testing.T) {
	plots := func(c *experiments.Config) (dir string, names []string) {
		dir = t.TempDir()
		_, err := tool.Run(t.Context(), c, experiments.Options{Out: dir})
		require.NoError(t, err)
		files, err := filepath.Glob(filepath.Join(dir, "plots", "*"))
		require.NoError(t, err)
		for _, f := range files {
			info, err := os.Stat(f)
			require.NoError(t, err)
			assert.Greater(t, info.Size(), int64(1000), f)
			names = append(names, filepath.Base(f))
		}
		return dir, names
	}
	both := func(names ...string) (out []string) {
		for _, n := range names {
			out = append(out, n+".png", n+".svg")
		}
		return out
	}
	_, names := plots(config(t))
	assert.Equal(t, both("embeddings", "episode", "learning-curve"), names)

	for _, memory := range []string{"{kind: ntm, slots: 8, width: 6}", "{kind: lrua, slots: 8, width: 6, heads: 2}", "{kind: dnc, slots: 8, width: 6}"} {
		_, names = plots(copyConfig(t, "network.memory="+memory, "train.steps=2"))
		assert.Equal(t, both("learning-curve", "memory-length-3", "memory-length-6", "sample-length-3", "sample-length-6"), names, memory)
	}
	dir, names := plots(copyConfig(t, "network.memory=none", "train.steps=2"))
	assert.Equal(t, both("learning-curve", "sample-length-3", "sample-length-6"), names)

	samples, err := os.ReadFile(filepath.Join(dir, "samples.txt"))
	require.NoError(t, err)
	assert.Contains(t, string(samples), "copy, length 3\ncost ")
	assert.Contains(t, string(samples), "copy, length 6\ncost ")
	assert.Contains(t, string(samples), "output (# one")
}

// If plots cannot be written, the result still is.
func TestResultOutlivesItsPlots(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "plots"), nil, 0o644))
	notes := &notes{}
	r, err := tool.Run(t.Context(), copyConfig(t, "train.steps=2"), experiments.Options{Out: dir, Reporter: notes})
	require.NoError(t, err)
	require.Len(t, notes.lines, 1)
	assert.Contains(t, notes.lines[0], "the result is written, but not all of its plots")
	read, err := results.Read(filepath.Join(dir, "result.json"))
	require.NoError(t, err)
	assert.Equal(t, r, read)
}

// Every controller works with every memory on every task, and a few steps lower the cost where they can.
func TestEveryControllerMemoryAndTask(t *testing.T) {
	tasks := map[string]string{
		"copy":               "test=[{length: 2, sequences: 2}]",
		"repeat-copy":        "test=[{length: 2, repeats: 2, sequences: 2}]",
		"associative-recall": "test=[{items: 2, sequences: 2}]",
		"ngrams":             "test=[{length: 20, sequences: 2}]",
		"priority-sort":      "test=[{length: 4, top: 2, sequences: 2}]",
	}
	// One size each, so that costs of steps are comparable.
	small := map[string]string{
		"copy":               "bits: 3, min_length: 3, max_length: 3",
		"repeat-copy":        "bits: 3, min_length: 2, max_length: 2, min_repeats: 2, max_repeats: 2, delimiter: true",
		"associative-recall": "bits: 3, vectors: 1, min_items: 3, max_items: 3",
		"ngrams":             "n: 3, length: 20",
		"priority-sort":      "bits: 3, length: 4, top: 2",
	}
	for task, test := range tasks {
		for _, memory := range []string{"none", "{kind: ntm, slots: 8, width: 6}", "{kind: lrua, slots: 8, width: 6, heads: 1}", "{kind: dnc, slots: 8, width: 6}"} {
			for _, controller := range []string{"lstm", "feedforward"} {
				dir := t.TempDir()
				c := copyConfig(t, "dataset={kind: "+task+", "+small[task]+"}", test, "network.memory="+memory, "network.controller.kind="+controller,
					"train.steps=40", "train.report=1", "validation.sequences=0")
				_, err := tool.Run(t.Context(), c, experiments.Options{Out: dir})
				require.NoError(t, err, "%s, %s, %s", task, memory, controller)
				var first, last float64
				for _, m := range metrics(t, dir) {
					switch loss := m["loss"].(float64); {
					case m["step"].(float64) <= 15:
						first += loss
					case m["step"].(float64) > 25:
						last += loss
					}
				}
				bound := first
				if task == "associative-recall" {
					bound *= 1.02 // thousands of steps pass before a network beats a coin here
				}
				assert.Less(t, last, bound, "%s, %s, %s", task, memory, controller)
			}
		}
	}
}

func TestNetworkAndDataMustFit(t *testing.T) {
	for text, want := range map[string]string{
		"name: x\ndataset: omniglot\nnetwork: ntm\ntest: [{way: 5, shot: 1}]\n":                             "x.yaml:3: network: ntm learns from sequences, and omniglot holds images; use one of copy,",
		"name: x\ndataset: copy\nnetwork: protonet\ntest: [{length: 5}]\n":                                  "x.yaml:3: network: protonet learns from images, and copy holds sequences; use one of strokes,",
		"name: x\ndataset: copy\nnetwork: ntm\ntest: [{items: 5}]\n":                                        "x.yaml:2: dataset: test.0: ",
		"name: x\ndataset: {kind: copy, min_length: 9, max_length: 3}\nnetwork: ntm\ntest: [{length: 5}]\n": "x.yaml:2: dataset: ",
		"name: x\ndataset: copy\nnetwork: {kind: ntm, memory: ntn}\ntest: [{length: 5}]\n":                  `x.yaml:3: network.memory: unknown kind "ntn"; did you mean "ntm"?`,
		"name: x\ndataset: copy\nnetwork: {kind: ntm, controller: {kind: gru}}\ntest: [{length: 5}]\n":      `x.yaml:3: network.controller: unknown kind "gru"`,
		"name: x\ndataset: copy\nnetwork: ntm\ntrain: {way: 5}\ntest: [{length: 5}]\n":                      `x.yaml:4: train: unknown key "way"`,
		"name: x\ndataset: copy\nnetwork: ntm\ntest: [{length: 5}, {length: 5}]\n":                          "x.yaml:4: test.1: the same test as an earlier one: length 5",
	} {
		_, err := tool.Parse("x.yaml", []byte(text))
		assert.ErrorContains(t, err, want)
	}
}

// Keys for sequences are refused elsewhere.
func TestCarriedGradientsAreOfSequences(t *testing.T) {
	o, err := schema.ParseOverride("train.clip.carried=1")
	require.NoError(t, err)
	_, err = tool.Parse("tiny.yaml", []byte(tiny), o)
	assert.ErrorContains(t, err, "train.clip.carried=1: is for networks that run over a sequence; leave it out")
	_, err = tool.Parse("copy.yaml", []byte(tinyCopy), o)
	assert.NoError(t, err)
}
