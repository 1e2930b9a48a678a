package results_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/results"
)

func lakeRun(name, network string, steps int64, config string) results.Run {
	errors := make([]int, 20)
	errors[3], errors[19] = 7, 25
	return results.Run{Path: "runs/" + name, Result: &results.Result{
		Name: name, Network: network, Seed: 2, Config: config,
		Figures: []results.Figure{{Name: results.LakeRuns, Metric: "accuracy", Value: 92, Interval: 1.26, Errors: errors, Protocol: results.Protocol{
			Dataset: "omniglot", Split: "koch", TrainedOn: "omniglot", Precision: "fp32", Norm: "inductive",
		}}},
		Training: results.Training{Steps: steps, Seconds: 1200},
	}}
}

func TestLakeTable(t *testing.T) {
	runs := []results.Run{
		lakeRun("a", "siamese", 900, "train: {within_alphabet: true, distort: {shear: 0.3}}"), lakeRun("b", "mystery", 800, "train: {}"),
		lakeRun("lake-hausdorff", "matchingnet", 0, ""),
	}
	text, err := results.Page("lake", runs)
	require.NoError(t, err)
	for _, line := range []string{
		"| Siamese network | 40 alphabets, affine copies | 8.0 | | | | |\n" +
			"| ↳ Engram: [a](runs/a) | omniglot koch, within alphabets, affine distortions |  | **8.0** ± 13.4 | 32 | 1 (single) | 900 steps, 20 min |\n",
		"| Modified Hausdorff distance | nothing | 38.8 | | | | |\n| ↳ Engram: [lake-hausdorff](runs/lake-hausdorff) | nothing |",
		"| Engram: [b](runs/b) | omniglot koch | – |",
		"| [a, seed 2](runs/a) | batch norm inductive, fp32 | 0 0 0 7 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 25 | unknown |",
	} {
		assert.Contains(t, markdown(text), line)
	}

	// The table on few-shot episodes does not have them.
	text, err = results.Page("omniglot", runs)
	require.NoError(t, err)
	assert.NotContains(t, markdown(text), "runs/a")

	_, err = results.Page("lake", []results.Run{lakeRun("a", "siamese", 1, "{")})
	assert.ErrorContains(t, err, "its config")
}

// Verified pairs have a separate table below the one-shot runs.
func TestVerificationTable(t *testing.T) {
	r := sample()
	r.Name, r.Figures[0].Name = "siamese", "verification"
	r.Figures[0].Protocol.Pairs = 10000
	page, err := results.Page("lake", []results.Run{{Path: "runs/s/result.json", Result: r}})
	require.NoError(t, err)
	assert.Contains(t, markdown(page), "| [siamese](runs/s/result.json) | omniglot, 1692 test classes, split vinyals, batch norm inductive, fp32 | 10000 | **98.8** ± 0.1 | 1 (single) | 9000 steps, 20 min |")
	page, err = results.Page("lake", nil)
	require.NoError(t, err)
	assert.NotContains(t, markdown(page), "Verification")
}
