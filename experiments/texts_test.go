package experiments_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/experiments"
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
