package babi_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/dataset/babi"
)

// A story is read with all its questions, and each word of an answer has a blank of its own.
func TestRead(t *testing.T) {
	questions, err := babi.Parse(strings.NewReader(two+"1 John is tired.\n2 Why did John go?\ttired\n"), "f", 8)
	require.NoError(t, err)
	for pauses, after := range []string{"", " …", " … …"} {
		got := babi.Read(questions, pauses)
		require.Len(t, got, 2)
		story := "mary moved to the bathroom . sandra journeyed to the office . where is mary ?" + after + " - " +
			"mary took the milk there . what is mary carrying ?" + after + " - -"
		assert.Equal(t, story, strings.Join(got[0].Words, " "))
		assert.Equal(t, "john is tired . why did john go ?"+after+" -", strings.Join(got[1].Words, " "))
		require.Len(t, got[0].Questions, 2)
		for i, want := range [][]string{{"bathroom"}, {"milk", "football"}} {
			q := got[0].Questions[i]
			assert.Equal(t, want, q.Answers)
			assert.Equal(t, &questions[i], q.Question)
			for j := range want {
				assert.Equal(t, babi.Blank, got[0].Words[q.Blanks+j])
			}
			assert.NotEqual(t, babi.Blank, got[0].Words[q.Blanks-1])
		}

		v := babi.ReadingVocabulary(got)
		for _, w := range strings.Fields(story + " john tired why did go milk football") {
			assert.NotEqual(t, babi.Unknown, v.Number(w), w)
		}
		assert.Equal(t, babi.Unknown, v.Number("milk,football"))
	}
}

// A task's first story follows another task's last one, with the same number.
func TestReadTellsTasksApart(t *testing.T) {
	one, err := babi.Parse(strings.NewReader("1 A b.\n2 C?\td\n"), "f", 1)
	require.NoError(t, err)
	other, err := babi.Parse(strings.NewReader("1 E f.\n2 G?\th\n"), "f", 2)
	require.NoError(t, err)
	got := babi.Read(append(one, other...), 0)
	require.Len(t, got, 2)
	assert.Equal(t, "e f . g ? -", strings.Join(got[1].Words, " "))
}
