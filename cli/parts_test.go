package cli

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParts(t *testing.T) {
	code, out, stderr := engram(t.Context(), []string{"parts"})
	require.Equal(t, exitOK, code, stderr)
	assert.Regexp(t, `(?m)^memory +memories that are written with keys and values and answer queries\n +prototype, keyvalue, lrua, ntm, dnc,.*$`, out)
	code, out, stderr = engram(t.Context(), []string{"parts", "metric"})
	require.Equal(t, exitOK, code, stderr)
	assert.Regexp(t, `(?m)^relation +a learned relation of two embeddings +Sung et al. 2018, section 3.4$`, out)
	code, out, stderr = engram(t.Context(), []string{"parts", "recur", "lrua"})
	require.Equal(t, exitOK, code, stderr)
	assert.Regexp(t, `(?m)^recurrent memory lrua: least recently used access\nSantoro et al. 2016, section 3.2$`, out)
	assert.Regexp(t, `(?m)^slots +128 +integer`, out)
	assert.Regexp(t, `(?m)^start +constant +text +the memory before the first step; constant, learned, random$`, out)
	code, out, stderr = engram(t.Context(), []string{"parts", "few-shot", "matchingnet"})
	require.Equal(t, exitOK, code, stderr)
	assert.Regexp(t, `(?m)^memory +keyvalue +section +what holds the support set; prototype, keyvalue, lrua, ntm, dnc,.*$`, out)
	code, _, stderr = engram(t.Context(), []string{"parts", "memories"})
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, stderr, `there is no family "memories"; there are: few-shot network`)
	code, _, stderr = engram(t.Context(), []string{"parts", "memory", "lru"})
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, stderr, `there is no memory "lru"; engram parts "memory" lists them`)
}
