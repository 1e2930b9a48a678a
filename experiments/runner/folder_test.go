package runner

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/experiments/tfevents"
)

// The events match the lines: while written, after a kill that left extra lines and half an event, and rewritten
// after a loss.
func TestEventsAreThoseOfTheMetrics(t *testing.T) {
	f := Folder(t.TempDir())
	started := time.UnixMilli(1_700_000_000_000)
	require.NoError(t, os.WriteFile(f.path(fileConfig), nil, 0o644))
	require.NoError(t, os.Chtimes(f.path(fileConfig), started, started))
	write := func(done int64, lines ...map[string]any) {
		t.Helper()
		m, err := f.openMetrics(done)
		require.NoError(t, err)
		for _, line := range lines {
			require.NoError(t, m.line(line))
		}
		require.NoError(t, m.close())
	}
	read := func() string {
		t.Helper()
		text, err := os.ReadFile(f.path(tfevents.FileName))
		require.NoError(t, err)
		return string(text)
	}
	one := map[string]any{"step": 1, "loss": 2.5, "accuracy": .5, "seconds": round(1.5)}
	two := map[string]any{"step": 2, "validation_accuracy": .25, "interval": .125, "best": true, "seconds": round(2)}
	write(0, one, two)
	want := tfevents.AppendHeader(nil, started)
	want = tfevents.Append(want, started.Add(1500*time.Millisecond), 1, tfevents.Scalar{Tag: "train/accuracy", Value: .5}, tfevents.Scalar{Tag: "train/loss", Value: 2.5})
	want = tfevents.Append(want, started.Add(2*time.Second), 2, tfevents.Scalar{Tag: "validation/interval", Value: .125}, tfevents.Scalar{Tag: "validation/accuracy", Value: .25})
	assert.Equal(t, string(want), read())

	require.NoError(t, os.WriteFile(f.path(tfevents.FileName), want[:len(want)-3], 0o644))
	write(1, two)
	assert.Equal(t, string(want), read(), "cut to the checkpoint, and written again")
	require.NoError(t, os.Remove(f.path(tfevents.FileName)))
	write(2)
	assert.Equal(t, string(want), read(), "lost")
	write(0)
	assert.Equal(t, string(tfevents.AppendHeader(nil, started)), read(), "before the first checkpoint")
}
