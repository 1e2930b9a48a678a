package results_test

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/results"
)

func TestMetricsOfARun(t *testing.T) {
	m, err := results.DecodeMetrics([]byte(`{"step":1,"loss":7,"bits":90.5}
{"step":100,"loss":7,"bits":80}
{"best":true,"step":100,"validation_bits":85,"interval":1}
{"step":200,"lo`), "bits")
	require.NoError(t, err)
	assert.Equal(t, []results.Point{{Step: 1, Score: 90.5}, {Step: 100, Score: 80}}, m.Training)
	assert.Equal(t, []results.Point{{Step: 100, Score: 85}}, m.Validation)

	x, y := results.Columns(m.Training, 16, 100)
	assert.Equal(t, []float64{16, 1600}, x)
	assert.Equal(t, []float64{9050, 8000}, y)
}

func TestDamagedMetricsNameTheLine(t *testing.T) {
	for text, want := range map[string]string{
		"{\"step\":1}\nx\n{\"step\":2}\n": "metrics: line 2: ",
		"{\"loss\":1}\n":                  "metrics: line 1 has no step",
		"[1]\n":                           "metrics: line 1: ",
	} {
		_, err := results.DecodeMetrics([]byte(text), "bits")
		assert.ErrorContains(t, err, want)
	}
}

func TestSmooth(t *testing.T) {
	points := []results.Point{{1, 0}, {2, 3}, {3, 6}, {4, 0}}
	assert.Equal(t, []results.Point{{1, 1.5}, {2, 3}, {3, 3}, {4, 3}}, results.Smooth(points, 1))
	assert.Equal(t, points, results.Smooth(points, 0))
	assert.Empty(t, results.Smooth(nil, 3))
}

func FuzzDecodeMetrics(f *testing.F) {
	f.Add([]byte("{\"step\":1,\"bits\":2}\n{\"step\":1,\"validation_bits\":2}\n"))
	f.Add([]byte("{\"step\":1e400}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := results.DecodeMetrics(text, "bits")
		if err == nil {
			assert.Len(t, results.Smooth(m.Training, 2), len(m.Training))
		}
	})
}

// A result.json that was read is written back unchanged, whatever is beside it.
func FuzzReadRuns(f *testing.F) {
	f.Add([]byte(`{"name":"x","seed":1,"figures":[{"name":"5-way 1-shot","metric":"accuracy","value":1}]}`), []byte(`[{"name":"5-way 1-shot","scores":[1,0]}]`))
	f.Add([]byte(`{"figures":[{}]}`), []byte(`[{"scores":null}]`))
	f.Fuzz(func(t *testing.T, result, scores []byte) {
		runs, err := results.ReadRuns(fstest.MapFS{"runs/x/seed-1/result.json": {Data: result}, "runs/x/seed-1/scores.json": {Data: scores}})
		if err != nil {
			return
		}
		text, err := runs[0].Encode()
		require.NoError(t, err)
		again, err := results.ReadRuns(fstest.MapFS{"runs/x/seed-1/result.json": {Data: text}})
		require.NoError(t, err)
		twice, err := again[0].Encode()
		require.NoError(t, err)
		assert.Equal(t, string(text), string(twice))
	})
}
