package main

import (
	"strings"
	"testing"

	"github.com/engram-go/engram/experiments"
)

// Both parts learn from the experiment file, and unsupported settings are refused before any data is loaded.
func TestTheFileRuns(t *testing.T) {
	tool := experiments.New(parts())
	m, err := tool.Matrix("extend.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range m.Runs {
		result, err := tool.Run(t.Context(), r.Config, experiments.Options{Out: t.TempDir()})
		if err != nil {
			t.Fatalf("%s: %v", r.Name, err)
		}
		if got := result.Figures[0].Value; got < 35 { // chance is 20 %
			t.Errorf("%s: %.1f %% of five classes", r.Name, got)
		}
	}
	// A stream of examples is written to the memory, which has no metric, one by one.
	c, err := tool.Parse("x.yaml", []byte(`
name: stream
network: {kind: protonet, memory: {kind: hebbian, sharpness: 0.1}}
dataset: {kind: stripes, train: 40, val: 10, test: 10, instances: 6}
train: {way: 5, shot: 2, query: 4, steps: 20}
validation: {episodes: 0}
test: [{way: 5, shot: 2, query: 4, episodes: 2}]
stream: {classes: 10, shot: 2, query: 2, asked: 2, streams: 2, memories: [hebbian]}
threads: 1
`))
	if err != nil {
		t.Fatal(err)
	}
	result, err := tool.Run(t.Context(), c, experiments.Options{Out: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if got := result.Figures[len(result.Figures)-1]; got.Protocol.Memory != "hebbian" {
		t.Errorf("the last figure is of the memory %q", got.Protocol.Memory)
	}

	for text, want := range map[string]string{
		"network: {kind: relationnet, memory: hebbian}":         "a relation network scores each slot of its memory, and hebbian has none to score",
		"network: {kind: siamese, memory: hebbian}":             "a siamese network compares pairs of keys, and hebbian compares none",
		"network: protonet\ndataset: {kind: stripes, trian: 5}": `unknown key "trian" for kind "stripes"; did you mean "train"?`,
		"network: {kind: protonet, memory: hebian}":             `unknown kind "hebian"; did you mean "hebbian"?`,
		"network: {kind: kernelnet, width: 0}":                  "must be above 0",
	} {
		_, err := tool.Parse("x.yaml", []byte("name: x\n"+text+"\ntest: [{way: 5, shot: 1}]\n"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}
