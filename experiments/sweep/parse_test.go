package sweep

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseQueue(t *testing.T) {
	queue, err := parseQueue("17|0|RUNNING|None\n17|11|PENDING|Resources\n18|N/A|RUNNING|None\n19|2|PENDING|held | by its user\n")
	require.NoError(t, err)
	assert.Equal(t, map[job]place{
		{array: "17", element: 0}: {"RUNNING", "None"}, {array: "17", element: 11}: {"PENDING", "Resources"},
		{array: "19", element: 2}: {"PENDING", "held | by its user"},
	}, queue)
	assert.Equal(t, "pending: Resources", queue[job{array: "17", element: 11}].why())
	_, err = parseQueue("17 0 RUNNING\n")
	assert.EqualError(t, err, `slurm: squeue returned "17 0 RUNNING", want four fields`)
}

func FuzzParseQueue(f *testing.F) {
	f.Add("17|0|RUNNING|None\n18|N/A|PENDING|x\n")
	f.Fuzz(func(t *testing.T, text string) {
		queue, err := parseQueue(text)
		if err == nil && len(queue) > strings.Count(text, "\n")+1 {
			t.Errorf("%d jobs of %q", len(queue), text)
		}
	})
}

// For any output of a process, follow reads to the end and loses no line other than events.
func FuzzFollow(f *testing.F) {
	f.Add([]byte("{\"event\":\"step\",\"done\":3,\"all\":4}\nengram: x\n  y\n{\"event\":"))
	f.Fuzz(func(t *testing.T, said []byte) {
		var log bytes.Buffer
		told := 0
		_, err := follow(bytes.NewReader(said), &log, "engram", func(Status) { told++ })
		if err != nil {
			t.Fatal(err)
		}
		if lines := bytes.Count(said, []byte("\n")) + 1; told > lines {
			t.Errorf("%d events in %d lines", told, lines)
		}
		if told == 0 {
			if want, got := bytes.Join(bytes.Fields(said), nil), bytes.Join(bytes.Fields(log.Bytes()), nil); !bytes.Equal(want, got) {
				t.Errorf("got %q, kept %q", want, got)
			}
		}
	})
}
