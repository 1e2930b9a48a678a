package experiments_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/experiments"
	"github.com/engram-go/engram/results"
)

const (
	smallRequests = "dataset={kind: requests, train: 16, val: 8, test: 8, instances: 8}"
	smallVectors  = "{kind: word-vectors, embedding: 8, hidden: 8}"
)

// Every few-shot network learns from texts, is tested on them and classifies others without its data.
func TestTextsOfEveryNetwork(t *testing.T) {
	support := filepath.Join(t.TempDir(), "support.csv")
	require.NoError(t, os.WriteFile(support, []byte("text,label\ncall off the flight,a\nrate that hotel,b\nforward my bill,c\nshare the photo,d\nedit our playlist,e\n"), 0o644))
	for _, network := range []string{
		"{kind: protonet, encoder: " + smallVectors + "}",
		"{kind: protonet, encoder: bag-of-words}",
		"{kind: protonet, encoder: " + smallVectors + ", memory: {kind: lrua, slots: 30}}",
		"{kind: protonet, encoder: " + smallVectors + ", memory: gated-delta}",
		"{kind: matchingnet, encoder: {kind: word-vectors, embedding: 8, windows: [1, 2], filters: 4}, context: full}",
		"{kind: relationnet, encoder: " + smallVectors + "}",
		"{kind: siamese, encoder: " + smallVectors + "}",
		"{kind: siamese, encoder: " + smallVectors + ", pairs: drawn}",
		"{kind: transfer, encoder: " + smallVectors + ", head: {kind: linear, epochs: 2, blocks: 1}}",
		"{kind: episodic, encoder: " + smallVectors + ", head: ridge}",
		"{kind: maml, encoder: " + smallVectors + "}",
		"{kind: reptile, encoder: " + smallVectors + ", steps: 2, test_steps: 2}",
	} {
		t.Run(network, func(t *testing.T) {
			dir := t.TempDir()
			sets := []string{"network=" + network, smallRequests, "train.steps=3", "train.query=3", "validation.query=3", "test.0.query=3"}
			if strings.Contains(network, "bag-of-words") {
				sets[2] = "train.steps=0"
			}
			if strings.Contains(network, "reptile") {
				sets = append(sets, "optimizer={kind: sgd, rate: 1}")
			}
			r := run(t, dir, sets...)
			assert.Contains(t, r.Figures[0].Protocol.Prepared, "words of the training texts")
			all, err := tool.Predict(t.Context(), dir, experiments.PredictOptions{Support: support, Input: strings.NewReader("drop my airline trip\n\nthe snapshot\n")})
			require.NoError(t, err)
			require.Len(t, all, 2)
			assert.Equal(t, "drop my airline trip", all[0].Text)
			assert.Len(t, all[0].Probabilities, 5)
		})
	}
}

// A full-way test tells all training classes apart by all training texts. The texts of these classes share no word, so that a bag of
// words makes no mistake but for the text that has none of them.
func TestFullWay(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		return path
	}
	data := "dataset={kind: text, train: " + write("train.csv", "text,label\nred green,colour\nblue,colour\none two,number\nthree,number\nfour,number\n") +
		", test: " + write("test.csv", "text,label\nblue red,colour\none,number\nfour three,number\nnine,colour\n") +
		", val: " + write("val.csv", "text,label\ngreen,colour\ntwo,number\n") + "}"
	bag := "network={kind: transfer, encoder: bag-of-words, head: mean}"
	out := filepath.Join(dir, "run")
	r := run(t, out, data, bag, "train.steps=0", "validation.episodes=0", "test=[{kind: full-way, predictions: true}, {kind: full-way, classes: validation, head: logistic}]")
	f := r.Figures[0]
	assert.GreaterOrEqual(t, f.Value, 75.)
	assert.Equal(t, 4, f.Protocol.Queries)
	assert.Equal(t, 2, f.Protocol.Way)
	assert.Zero(t, f.Protocol.Shot, "classes differ in size")
	assert.EqualValues(t, 100, r.Figures[1].Value)
	text, err := os.ReadFile(filepath.Join(out, f.Predictions))
	require.NoError(t, err)
	assert.Contains(t, string(text), "four three")

	again, err := tool.Predictions(t.Context(), out, 0, experiments.Options{})
	require.NoError(t, err)
	assert.Equal(t, f.Value, again.Value)

	write("test.csv", "text,label\nx,animal\ny,animal\n")
	_, err = tool.Run(t.Context(), config(t, data, bag, "train.steps=0", "validation.episodes=0", "test=[{kind: full-way}]"), experiments.Options{Out: filepath.Join(dir, "other")})
	assert.ErrorContains(t, err, "its class animal is none of the 2 training classes")
}

// Texts of none of the classes are rejected by a threshold that validation texts of either kind choose. The words of the classes are
// their own, so that a bag of words is sure of their texts, and as unsure as can be of others.
func TestOutOfScope(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte("text,label\n"+text), 0o644))
		return path
	}
	train := write("train.csv", "red green,colour\nblue,colour\none two,number\nthree,number\nnorth south,place\neast,place\n")
	val, test := "red,colour\ntwo,number\neast,place\n", "blue green,colour\none,number\nthree,number\nsouth,place\n"
	plain := "train: " + train + ", val: " + write("val.csv", val) + ", test: " + write("test.csv", test)
	outside := "train: " + train + ", val: " + write("val-oos.csv", val+"who,oos\nwhat is it,oos\n") +
		", test: " + write("test-oos.csv", test+"north,oos\nwhere,oos\nwhen,oos\n") + ", out_of_scope: oos"
	of := func(data string, more ...string) []string {
		return append([]string{"dataset={kind: text, " + data + "}", "network={kind: transfer, encoder: bag-of-words, head: {kind: mean, metric: cosine}}", "train.steps=0",
			"validation.episodes=0", "test=[{kind: full-way}, {kind: full-way, classes: validation}]"}, more...)
	}
	want := run(t, t.TempDir(), of(plain)...)
	out := t.TempDir()
	r := run(t, out, of(outside, "test.0.predictions=true")...)
	require.Len(t, r.Figures, 5)
	assert.Equal(t, want.Figures[0].Value, r.Figures[0].Value, "accuracy without rejection is as before")
	assert.Equal(t, want.Figures[0].Protocol, r.Figures[0].Protocol)
	assert.Equal(t, want.Figures[0].Scores, r.Figures[0].Scores, "the same test")
	assert.Equal(t, want.Figures[1].Value, r.Figures[4].Value, "validation texts alone are not rejected")
	for i, c := range []struct {
		metric string
		value  float64
	}{{results.InScopeAccepted, 100}, {results.OutOfScopeFound, 200. / 3}} {
		f := r.Figures[1+i]
		assert.Equal(t, c.metric, f.Metric)
		assert.InDelta(t, c.value, f.Value, 1e-9)
		assert.Equal(t, 3, f.Protocol.Unknown)
		assert.Equal(t, 4, f.Protocol.Queries)
		assert.InDelta(t, .5, f.Threshold, .5)
	}
	assert.Equal(t, results.OutOfScopeAUROC, r.Figures[3].Metric)
	assert.Greater(t, r.Figures[3].Value, 90.)
	text, err := os.ReadFile(filepath.Join(out, r.Figures[0].Predictions))
	require.NoError(t, err)
	assert.NotContains(t, string(text), "where")
	again, err := tool.Evaluate(t.Context(), out, experiments.Options{})
	require.NoError(t, err)
	assert.Equal(t, r.Figures[1:4], again.Figures[1:4])

	for message, sets := range map[string][]string{
		"name files in train, val and test":               of("train: " + train + ", test: x, out_of_scope: oos"),
		"dataset.out_of_scope: is of tests":               {"dataset={kind: clinc150, out_of_scope: true}", "network.encoder=bag-of-words"},
		"takes each for one of the classes":               of(outside, "network.head=tim"),
		`unknown key "out_of_scope" for kind "banking77"`: {"dataset={kind: banking77, out_of_scope: true}", "network.encoder=bag-of-words"},
	} {
		_, err := tool.Parse("tiny.yaml", []byte(tiny), overrides(t, sets...)...)
		assert.ErrorContains(t, err, message)
	}
	for label, message := range map[string]string{"colour": "nothing is trained to be rejected", "none": "val-oos.csv needs texts of the classes, and two or more of none"} {
		_, err := tool.Run(t.Context(), config(t, of(strings.Replace(outside, "out_of_scope: oos", "out_of_scope: "+label, 1))...), experiments.Options{Out: t.TempDir()})
		assert.ErrorContains(t, err, message)
	}
}

// What does not fit together is refused before anything is loaded.
func TestTextsAndImagesAreToldApart(t *testing.T) {
	for _, c := range []struct {
		message string
		sets    []string
	}{
		{"requests holds texts, and the encoder reads images", []string{"dataset=requests"}},
		{"strokes holds images, and the encoder reads texts", []string{"network.encoder=bag-of-words"}},
		{"a full-way test asks about the training classes", []string{"dataset=requests", "network.encoder=bag-of-words", "test=[{kind: full-way}]"}},
		{"distort and augment change images", []string{"dataset=requests", "network.encoder=word-vectors", "train.augment.flip=0.5"}},
		{"requests holds texts, and mann is shown images", []string{"dataset=requests", "network=mann", "train={steps: 1}", "validation={episodes: 0}", "test=[{way: 5}]"}},
		{"ntm learns from sequences, and requests holds texts", []string{"network=ntm", "dataset=requests"}},
		{"val_wiki is what is trained on", []string{"network.encoder=word-vectors", "dataset={kind: fewrel, train: val_wiki}"}},
		{"it holds images, and the network is trained on texts", []string{"dataset=requests", "network.encoder=word-vectors", "test.0.dataset=strokes"}},
		{"become the tokens that the network was trained on", []string{"dataset=requests", "network.encoder=word-vectors", "test.0.dataset={kind: requests, tokenizer: hashed}"}},
		{"there are fixed files of 5 and 10 texts per class, and none of 7", []string{"dataset={kind: banking77, shots: 7}", "network.encoder=word-vectors"}},
		{"neither tokenizer.json nor vocab.txt", []string{"dataset={kind: requests, tokenizer: {kind: wordpiece, path: testdata}}", "network.encoder=word-vectors"}},
	} {
		_, err := tool.Parse("tiny.yaml", []byte(tiny), overrides(t, c.sets...)...)
		assert.ErrorContains(t, err, c.message)
	}
}
