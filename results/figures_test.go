package results_test

import (
	"encoding/csv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/results"
	"github.com/engram-go/engram/results/table"
)

// records are a table's rows by the names of their columns, read back from CSV.
func records(t *testing.T, of *table.Table) (out []map[string]string) {
	t.Helper()
	text, err := of.CSV()
	require.NoError(t, err)
	rows, err := csv.NewReader(strings.NewReader(string(text))).ReadAll() // which wants lines of one length
	require.NoError(t, err)
	for _, row := range rows[1:] {
		record := map[string]string{}
		for i, name := range rows[0] {
			record[name] = row[i]
		}
		assert.Len(t, record, len(rows[0]), "column names are unique")
		out = append(out, record)
	}
	return out
}

func TestFiguresForMachines(t *testing.T) {
	r := sample()
	r.Machine = results.Machine{CPU: "AMD, EPYC", Threads: 2}
	got := records(t, results.Figures([]results.Run{{Path: "runs/x/result.json", Result: r}}))
	require.Len(t, got, 1)
	for name, want := range map[string]string{
		"experiment": "protonet-omniglot", "seed": "3", "figure": "5-way 1-shot", "unit": "%", "value": "98.765", "interval": "0.1234",
		"dataset": "omniglot", "norm": "inductive", "train_way": "60", "fine_tune": "", "commit": strings.Repeat("a", 40), "cpu": "AMD, EPYC",
		"path": "runs/x/result.json",
	} {
		assert.Equal(t, want, got[0][name], name)
	}
}

func TestPublishedFiguresForMachines(t *testing.T) {
	published, err := results.Published()
	require.NoError(t, err)
	all := records(t, published)
	find := func(page, method, figure, kind string) (found []string) {
		for _, r := range all {
			if r["page"] == page && r["method"] == method && r["figure"] == figure && r["kind"] == kind {
				found = append(found, r["value"])
			}
		}
		return found
	}
	assert.Equal(t, []string{"98.2", "98.4"}, find("omniglot", "Prototypical network", "5-way 1-shot", "re-run"))
	assert.Equal(t, []string{"97.9"}, find("omniglot", "Matching network, cosine, no full context", "5-way 1-shot", "published, fine-tuned"))
	assert.Equal(t, []string{"95.39"}, find("omniglot", "Reptile", "5-way 1-shot", "published, the other batch-norm mode"))
	assert.Equal(t, []string{"22.8", "0", "0"}, find("mann", "Feedforward", "5th", "published"), "a published zero is a figure")
	assert.Empty(t, find("babi", "Memory Network, 3 hops, PE, LS, RN, a network a task", "task 1", "published"), "the paper has none")
	assert.Equal(t, []string{"38.8"}, find("lake", "Modified Hausdorff distance", results.LakeRuns, "published"))
	assert.Equal(t, []string{"0.1"}, find("ntm", "NTM, LSTM controller", "copy, training", "published"))
}
