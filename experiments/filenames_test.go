package experiments_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/experiments"
)

// Names that are not UTF-8 stay different names in JSON, and what is text stays as it is.
func TestPredictionsOfFilesWithAnyName(t *testing.T) {
	for file, want := range map[string]string{
		"a.png":             `"a.png"`,
		"ä \"x\".png":       `"ä \"x\".png"`,
		"\xff.png":          `"\udcff.png"`,
		"a\xe4b\xfcc.png":   `"a\udce4b\udcfcc.png"`,
		"\uFFFDa\uFFFD\xff": "\"\uFFFDa\uFFFD\\udcff\"",
		"x\uFFFD":           "\"x\uFFFD\"",
	} {
		p := experiments.Prediction{File: file, Class: "b\xfe", Probability: .5, Probabilities: []experiments.ClassProbability{{Class: "b\xfe", Probability: .5}}}
		text, err := json.Marshal(p)
		require.NoError(t, err)
		assert.Equal(t, `{"file":`+want+`,"class":"b\udcfe","probability":0.5,"probabilities":[{"class":"b\udcfe","probability":0.5}]}`, string(text))
		assert.True(t, json.Valid(text))
	}
	text, err := json.Marshal(experiments.Prediction{Text: "ä \"x\"", Class: "a"})
	require.NoError(t, err)
	assert.Equal(t, `{"text":"ä \"x\"","class":"a","probability":0,"probabilities":[]}`, string(text))
}
