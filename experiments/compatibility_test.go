package experiments_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/experiments"
	"github.com/engram-go/engram/experiments/schema"
)

var update = flag.Bool("update", false, "write the files anew that tests generate")

// The tiny experiments on which networks show that they learn with a memory.
const (
	onStrokes = `
name: tiny
network: {kind: NETWORK, encoder: {kind: conv4, filters: 8}, memory: MEMORY}
dataset: {kind: strokes, train: 40, val: 10, test: 10, instances: 6, size: 16}
train: {way: 4, shot: 2, query: 2, steps: 30, report: 1}
optimizer: {kind: adam, rate: 1e-2}
validation: {episodes: 0}
test: [{way: 4, shot: 2, query: 2, episodes: 2}]
threads: 1
`
	oneByOne = `
name: tiny
network: {kind: NETWORK, controller: {kind: lstm, size: 16}, memory: MEMORY}
dataset: {kind: strokes, train: 20, val: 8, test: 9, instances: 4, size: 16}
train: {way: 2, samples: 4, batch: 16, steps: 100, report: 1}
optimizer: {kind: adam, rate: 1e-2}
validation: {episodes: 0}
test: [{way: 2, samples: 2, episodes: 2}]
threads: 1
`
	onCopy = `
name: tiny
network: {kind: NETWORK, controller: {kind: lstm, size: 16}, memory: MEMORY}
dataset: {kind: copy, bits: 3, min_length: 3, max_length: 3}
train: {batch: 8, steps: 40, report: 1, clip: {value: 10}}
optimizer: {kind: adam, rate: 1e-2}
validation: {sequences: 0}
test: [{length: 3, sequences: 2}]
threads: 1
`
	onStories = `
name: tiny
network: {kind: NETWORK, memory: MEMORY}
dataset: {kind: stories, train: 100, test: 10}
train: {epochs: 6, report: 1}
validation: {share: 0}
threads: 1
`
)

// tinyExperiments has one for every network of the registry.
var tinyExperiments = map[string]string{
	"protonet":    onStrokes,
	"matchingnet": onStrokes,
	"relationnet": onStrokes,
	"siamese":     onStrokes,
	"mann":        oneByOne,
	"memnet":      onStories,
	"ntm":         onCopy,
}

// withoutMemory are the networks that no memory plugs into.
var withoutMemory = []string{"transfer", "maml", "reptile"}

// kinds are the valid ones that the registry names for a section, given a file in which it has none of them.
func kinds(t *testing.T, text, section string) []string {
	t.Helper()
	_, err := experiments.ParseConfig("x.yaml", []byte(text))
	var mistakes *schema.Error
	require.True(t, errors.As(err, &mistakes), "%v", err)
	for _, p := range mistakes.Problems {
		if p.Path == section && p.Valid != nil {
			return p.Valid
		}
	}
	t.Fatalf("no valid kinds of %s in: %v", section, err)
	return nil
}

// networks are those that the registry knows for any data set.
func networks(t *testing.T) []string {
	found := map[string]bool{}
	for _, data := range kinds(t, "name: x\nnetwork: ntm\ndataset: none\ntest: [{}]\n", "dataset") {
		for _, n := range kinds(t, "name: x\nnetwork: none\ndataset: "+data+"\ntest: [{}]\n", "network") {
			found[n] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// Every network is trained a little on every memory and under every metric, and its loss falls, or the registry says why
// the two do not go together. What comes out is results/compatibility.md.
func TestCompatibility(t *testing.T) {
	file := func(network, memory string) string {
		text, ok := tinyExperiments[network]
		require.True(t, ok, "network %s is new: give it a line in tinyExperiments", network)
		return strings.NewReplacer("NETWORK", network, "MEMORY", memory).Replace(text)
	}
	underMetric := func(network, metric string) string {
		return file(network, "{kind: prototype, metric: "+metric+", scale: 1}")
	}
	rows := slices.DeleteFunc(networks(t), func(network string) bool { return slices.Contains(withoutMemory, network) })
	var columns []string
	for _, network := range rows {
		for _, memory := range kinds(t, file(network, "unknown"), "network.memory") {
			if !slices.Contains(columns, memory) {
				columns = append(columns, memory)
			}
		}
	}

	var b bytes.Buffer
	// pair puts down whether a network goes with a memory or a metric, and tries it.
	pair := func(network, with, text string) (refusal string) {
		c, err := experiments.ParseConfig("x.yaml", []byte(text))
		if err == nil {
			b.WriteString(" learns |")
			t.Run(network+" on "+with, func(t *testing.T) { learnsTiny(t, c) })
			return ""
		}
		var mistakes *schema.Error
		require.True(t, errors.As(err, &mistakes), "%v", err)
		b.WriteString(" – |")
		return fmt.Sprintf("- %s on %s: %s\n", network, with, mistakes.Problems[0].Text)
	}
	table := func(columns, rows []string, text func(network, with string) string) {
		b.WriteString("| network | " + strings.Join(columns, " | ") + " |\n|---|" + strings.Repeat("---|", len(columns)) + "\n")
		var refused string
		for _, network := range rows {
			b.WriteString("| " + network + " |")
			for _, with := range columns {
				refused += pair(network, with, text(network, with))
			}
			b.WriteString("\n")
		}
		b.WriteString("\n" + refused)
	}
	b.WriteString("<!-- Generated by `go test ./experiments -run Compatibility -update`. Do not edit. -->\n\n# Memories and networks\n\n" +
		"Each pairing that says *learns* is trained by the test for a few steps on a tiny task, from an experiment file that names\n" +
		"the two and nothing else of them, and its loss falls. What `engram run` says to the others stands below.\n\n")
	table(columns, rows, file)

	b.WriteString("\n# Metrics and networks\n\nThe same of what keys and queries are compared by, with a prototype memory; other memories take the same metrics.\n\n")
	var comparing []string
	for _, network := range rows {
		if tinyExperiments[network] == onStrokes {
			comparing = append(comparing, network)
		}
	}
	table(kinds(t, underMetric("protonet", "unknown"), "network.memory.metric"), comparing, underMetric)
	const path = "../results/compatibility.md"
	if *update {
		require.NoError(t, os.WriteFile(path, b.Bytes(), 0o644))
	}
	have, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, b.String(), string(have), "run: go test ./experiments -run Compatibility -update")
}

// learnsTiny trains and sees the loss of the last steps below that of the first ones.
func learnsTiny(t *testing.T, c *experiments.Config) {
	dir := t.TempDir()
	_, err := experiments.Run(t.Context(), c, experiments.Options{Out: dir})
	require.NoError(t, err)
	var first, last float64
	lines := metrics(t, dir)
	for i := range 10 {
		first += lines[i]["loss"].(float64)
		last += lines[len(lines)-1-i]["loss"].(float64)
	}
	t.Logf("loss from %.3f to %.3f", first/10, last/10)
	assert.Less(t, last, first)
}
