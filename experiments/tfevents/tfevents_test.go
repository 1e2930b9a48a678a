package tfevents_test

import (
	"encoding/json"
	"flag"
	"math"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/experiments/tfevents"
)

var update = flag.Bool("update", false, "write the fixture anew; read.py in testdata must then read it anew")

const fixture = "testdata/" + tfevents.FileName

// read is what TensorBoard's own reader made of the fixture: see testdata/read.py.
type read struct {
	Version  string
	WallTime float64 `json:"wall_time"`
	Step     int64
	Scalars  map[string]float64
}

func events() ([]byte, []read) {
	start := time.UnixMicro(1_700_000_000_250_000)
	want := []read{{Version: "brain.Event:2", WallTime: 1_700_000_000.25}}
	b := tfevents.AppendHeader(nil, start)
	for i, scalars := range [][]tfevents.Scalar{
		{{Tag: "train/loss", Value: 2.5}, {Tag: "train/accuracy", Value: .125}},
		{{Tag: "validation/accuracy", Value: 1}},
		{{Tag: "größe", Value: -1e-30}, {Tag: "zero", Value: 0}},
	} {
		step := []int64{1, 300, math.MaxInt32 * 4}[i]
		at := start.Add(time.Duration(i+1) * 1500 * time.Millisecond)
		b = tfevents.Append(b, at, step, scalars...)
		r := read{WallTime: float64(at.UnixMicro()) / 1e6, Step: step, Scalars: map[string]float64{}}
		for _, s := range scalars {
			r.Scalars[s.Tag] = float64(s.Value)
		}
		want = append(want, r)
	}
	return b, want
}

// The file that TensorBoard's reader has read, checksums checked, is the one that this package writes, and it read what
// was written.
func TestTensorBoardReadsWhatIsWritten(t *testing.T) {
	got, want := events()
	if *update {
		require.NoError(t, os.WriteFile(fixture, got, 0o644))
	}
	file, err := os.ReadFile(fixture)
	require.NoError(t, err)
	assert.Equal(t, file, got)
	text, err := os.ReadFile("testdata/read.json")
	require.NoError(t, err)
	var seen []read
	require.NoError(t, json.Unmarshal(text, &seen))
	assert.Equal(t, want, seen)
}
