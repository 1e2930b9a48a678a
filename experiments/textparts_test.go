package experiments_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/experiments"
	"github.com/engram-go/engram/results"
	"github.com/engram-go/engram/tensor"
)

// onRequests is an experiment on texts that takes a moment.
const onRequests = `
name: tiny-texts
network: {kind: protonet, encoder: {kind: word-vectors, embedding: 16}}
dataset: {kind: requests, train: 16, val: 8, test: 8, instances: 10}
train: {way: 4, shot: 2, query: 2, steps: 2, report: 1}
validation: {episodes: 0}
test: [{way: 3, shot: 2, query: 2, episodes: 3}]
threads: 1
`

// Every memory and metric goes with texts where it goes with images: the network trains and is tested, or is refused with the same
// message.
func TestTextsThroughEveryMemoryAndMetric(t *testing.T) {
	parts := tool.Parts()
	before := tensor.Live()
	all, _ := networks(parts)
	for _, network := range all {
		if tinyExperiments[network] != onStrokes {
			continue
		}
		var memories []string
		memories = append(memories, parts.Memories.Names()...)
		for _, metric := range parts.Metrics.Names() {
			memories = append(memories, "{kind: prototype, metric: "+metric+", scale: 1}")
		}
		for _, memory := range memories {
			_, refused := tool.Parse("x.yaml", []byte(strings.NewReplacer("NETWORK", network, "MEMORY", memory).Replace(onStrokes)))
			text := strings.Replace(onRequests, "kind: protonet", "kind: "+network+", memory: "+memory, 1)
			c, err := tool.Parse("x.yaml", []byte(text))
			if refused != nil {
				assert.EqualError(t, err, refused.Error(), "%s on %s", network, memory)
				continue
			}
			require.NoError(t, err, "%s on %s", network, memory)
			r, err := tool.Run(t.Context(), c, experiments.Options{Out: t.TempDir()})
			require.NoError(t, err, "%s on %s", network, memory)
			assert.Contains(t, r.Figures[0].Protocol.Prepared, "words of the training texts")
		}
	}
	assert.Equal(t, before, tensor.Live())
}

// Every head of the table is tested on texts, and those that can be are trained through.
func TestTextsThroughEveryHead(t *testing.T) {
	heads := tool.Parts().Heads.Names()
	tests := ""
	for _, head := range heads {
		if head != "feat" {
			tests += "{way: 3, shot: 2, query: 2, episodes: 3, head: " + head + "}, "
		}
	}
	transfer := strings.Replace(onRequests, "kind: protonet", "kind: transfer", 1)
	r, err := tool.Run(t.Context(), parse(t, transfer, "train.batch=8", "test=["+tests+"]"), experiments.Options{Out: t.TempDir()})
	require.NoError(t, err)
	assert.Len(t, r.Figures, len(heads)-1)

	trained := 0
	for _, head := range heads {
		text := strings.Replace(onRequests, "kind: protonet", "kind: episodic, head: "+head, 1)
		c, err := tool.Parse("x.yaml", []byte(text))
		if err != nil {
			continue
		}
		_, err = tool.Run(t.Context(), c, experiments.Options{Out: t.TempDir()})
		require.NoError(t, err, head)
		trained++
	}
	assert.Greater(t, trained, 4)
}

// A stream of texts goes through every memory that streams take. One with room for all of the stream answers as the unbounded one.
func TestStreamOfTexts(t *testing.T) {
	dir := t.TempDir()
	before := tensor.Live()
	r, err := tool.Run(t.Context(), parse(t, onRequests, "train.steps=30", "stream={classes: 8, shot: 4, query: 2, asked: 4, streams: 6, slots: [4, 32]}"), experiments.Options{Out: dir})
	require.NoError(t, err)
	assert.Equal(t, before, tensor.Live())
	by := map[string]results.Figure{}
	for _, f := range r.Figures[1:] {
		by[f.Name+": "+f.Metric] = f
	}
	assert.Len(t, by, 2*14)
	whole := by["keyvalue: accuracy"]
	assert.Equal(t, "requests", whole.Protocol.Dataset)
	assert.Contains(t, whole.Protocol.Prepared, "words of the training texts")
	assert.Greater(t, whole.Value, 20., "of eight classes, after thirty steps")
	assert.InDelta(t, whole.Value, by["lrua, 32 slots: accuracy"].Value, 1e-9)
	assert.LessOrEqual(t, by["lrua, 4 slots: accuracy"].Value, 50.)
	again, err := tool.Evaluate(t.Context(), dir, experiments.Options{})
	require.NoError(t, err)
	assert.Equal(t, r.Figures, again.Figures)
}

// A run on texts goes on after an interruption, writes its predictions and shows an episode.
func TestTextsResumeAndArePredicted(t *testing.T) {
	sets := []string{"train.steps=12", "train.save=4", "test.0.predictions=true"}
	whole := t.TempDir()
	want, err := tool.Run(t.Context(), parse(t, onRequests, sets...), experiments.Options{Out: whole})
	require.NoError(t, err)
	interrupted(t, parse(t, onRequests, sets...), 12, 5, want)
	f := want.Figures[0]
	require.NotNil(t, f.Confusion)
	assert.Len(t, f.PerClass, len(f.Confusion.Classes))
	text, err := os.ReadFile(filepath.Join(whole, f.Predictions))
	require.NoError(t, err)
	assert.Equal(t, 1+3*3*2, strings.Count(string(text), "\n"), "a line for each query")
	shown, err := os.ReadFile(filepath.Join(whole, "samples.txt"))
	require.NoError(t, err)
	assert.Contains(t, string(shown), "a 3-way 2-shot episode of test classes")
}

// intents writes a set of utterances with the counts of PolyAI's files of BANKING77. The words of a class are its own and those that
// all classes share.
func intents(t *testing.T) (folder string) {
	t.Helper()
	folder = t.TempDir()
	for file, n := range map[string]int{"train.csv": 10_003, "test.csv": 3080} {
		var b strings.Builder
		b.WriteString("text,category\n")
		for i := range n {
			c := i % 77
			fmt.Fprintf(&b, "%s please w%d x%d n%d,class%d\n", strings.TrimSuffix(file, ".csv"), c, c, i, c)
		}
		require.NoError(t, os.WriteFile(filepath.Join(folder, file), []byte(b.String()), 0o644))
	}
	return folder
}

// relations writes two of FewRel's files with their counts: 17 relations of val_semeval and 10 of val_pubmed.
func relations(t *testing.T) (folder string) {
	t.Helper()
	folder = t.TempDir()
	for file, n := range map[string]int{"val_semeval": 17, "val_pubmed": 10} {
		type sentence struct {
			Tokens []string `json:"tokens"`
			Head   [3]any   `json:"h"`
			Tail   [3]any   `json:"t"`
		}
		all := map[string][]sentence{}
		for r := range n {
			name := fmt.Sprintf("%s%d", file, r)
			for i := range 100 {
				all[name] = append(all[name], sentence{
					[]string{fmt.Sprint("one", i%5), fmt.Sprint("joins", name), fmt.Sprint("with", name), "other"},
					[3]any{"one", "Q1", [][]int{{0}}}, [3]any{"other", "Q2", [][]int{{3}}},
				})
			}
		}
		text, err := json.Marshal(all)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(folder, file+".json"), text, 0o644))
	}
	return folder
}

// Episodes are drawn from held-out intents and relations, of sets by name; a bag of words tells these apart without a mistake.
func TestEpisodesOfIntentsAndRelations(t *testing.T) {
	const bag = "network={kind: transfer, encoder: {kind: bag-of-words}, head: {kind: mean, metric: cosine}}"
	const tests = "test=[{way: 5, shot: 1, episodes: 20}, {way: 10, shot: 5, query: 5, episodes: 20, predictions: true}]"
	banking := intents(t)
	for _, c := range []struct {
		data, folder string
		split        string
		classes      int
	}{
		{"{kind: banking77, tokenizer: hashed}", banking, "0.6/0.2/0.2 of the classes", 16},
		{"{kind: fewrel, train: val_semeval, validation: 5, test: val_pubmed, tokenizer: hashed}", relations(t), "val_pubmed, trained on relations of val_semeval", 10},
	} {
		r, err := tool.Run(t.Context(), parse(t, onRequests, "dataset="+c.data, bag, "train={batch: 8, steps: 0}", tests), experiments.Options{Out: t.TempDir(), Data: c.folder})
		require.NoError(t, err)
		for i, f := range r.Figures {
			assert.InDelta(t, 100, f.Value, 1, c.data)
			assert.Equal(t, c.classes, f.Protocol.Classes)
			assert.Equal(t, []int{5, 10}[i], f.Protocol.Way)
			assert.Contains(t, f.Protocol.Split, c.split)
		}
		assert.Len(t, r.Figures[1].Confusion.Classes, c.classes)

		// The same texts train a network; its validation episodes are of other classes.
		r, err = tool.Run(t.Context(), parse(t, onRequests, "dataset="+c.data, "validation={way: 5, shot: 1, query: 2, episodes: 4, every: 2}"), experiments.Options{Out: t.TempDir(), Data: c.folder})
		require.NoError(t, err)
		assert.NotEmpty(t, r.Training.Validation)
	}
	_, err := tool.Run(t.Context(), parse(t, onRequests, "dataset=banking77", "test=[{way: 17, shot: 1, episodes: 2}]"), experiments.Options{Out: t.TempDir(), Data: banking})
	assert.ErrorContains(t, err, "17")
}

// The experiment of the guide to texts is valid.
func TestTheTextGuidesExperimentIsValid(t *testing.T) {
	guide, err := os.ReadFile("../docs/text.md")
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(guide), "```yaml\nname: ")
	require.True(t, found)
	text, _, _ := strings.Cut(rest, "```")
	_, err = tool.Parse("text.md", []byte("name: "+text))
	assert.NoError(t, err)
}

// Texts to classify come from files, from folders and from standard input; their order is kept, and what cannot be read is named.
func TestPredictTextsFromFilesAndStandardInput(t *testing.T) {
	run := t.TempDir()
	_, err := tool.Run(t.Context(), parse(t, onRequests, "network={kind: transfer, encoder: bag-of-words, head: {kind: mean, metric: cosine}}", "train={batch: 8, steps: 0}"), experiments.Options{Out: run})
	require.NoError(t, err)
	dir := t.TempDir()
	at := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		return path
	}
	at("support/flights.txt", "cancel the flight\ndrop the plane ticket\n")
	at("support/bills.txt", "send the invoice\nforward my bill\n")
	support := filepath.Join(dir, "support")
	one := at("one.txt", "the flight\n\nmy bill\n")
	at("more/a.txt", "plane ticket\n")
	at("more/b.txt", "invoice\n")
	got, err := tool.Predict(t.Context(), run, experiments.PredictOptions{
		Support: support, Query: []string{one, "-", filepath.Join(dir, "more")}, Input: strings.NewReader("cancel it\n"),
	})
	require.NoError(t, err)
	var texts, classes []string
	for _, p := range got {
		texts, classes = append(texts, p.Text), append(classes, p.Class)
	}
	assert.Equal(t, []string{"the flight", "my bill", "cancel it", "plane ticket", "invoice"}, texts)
	assert.Equal(t, []string{"flights", "bills", "flights", "flights", "bills"}, classes)

	// The forms of support sets: the same texts as a table give the same answers.
	table := at("support.csv", "text,label\ncancel the flight,flights\ndrop the plane ticket,flights\nsend the invoice,bills\nforward my bill,bills\n")
	lines := at("support.jsonl", "{\"text\": \"cancel the flight\", \"label\": \"flights\"}\n{\"text\": \"drop the plane ticket\", \"label\": \"flights\"}\n"+
		"{\"text\": \"send the invoice\", \"label\": \"bills\"}\n{\"text\": \"forward my bill\", \"label\": \"bills\"}\n")
	for _, form := range []string{table, lines} {
		again, err := tool.Predict(t.Context(), run, experiments.PredictOptions{Support: form, Query: []string{one}})
		require.NoError(t, err)
		assert.Equal(t, got[:2], again, form)
	}
	for message, o := range map[string]experiments.PredictOptions{
		"no text to classify is given": {Support: support, Input: strings.NewReader("\n \n")},
		"gone.txt: no such file":       {Support: support, Query: []string{filepath.Join(dir, "gone.txt")}},
		"has one class, flights":       {Support: at("lone/flights.txt", "x\n")[:len(dir)] + "/lone", Query: []string{one}},
		"ink and fit are of images":    {Support: support, Query: []string{one}, Ink: "dark"},
		"support: dataset: text: ":     {Support: filepath.Join(dir, "nowhere"), Query: []string{one}},
		"bad.txt: it is not in UTF-8":  {Support: support, Query: []string{at("bad.txt", "a\xff\n")}},
	} {
		_, err := tool.Predict(t.Context(), run, o)
		assert.ErrorContains(t, err, message)
	}
}
