package experiments_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Every YAML example of the README is valid: whole files as they are, fragments within a complete file.
func TestTheReadmesExamplesAreValid(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	module, err := filepath.Abs("../encoder/testdata/sequence.pt")
	require.NoError(t, err)
	published, sentences := publishedResNet(t), publishedBERT(t)
	dir := t.TempDir()
	count := 0
	for i, block := range strings.Split(string(text), "```yaml\n")[1:] {
		block, _, _ = strings.Cut(block, "```")
		block = strings.ReplaceAll(block, "resnet.pt", module)
		for _, file := range []string{"resnet50, weights: resnet50-11ad3fa6.pth", "efficientnet-lite0, weights: efficientnet-lite0-57934424.pth"} {
			block = strings.ReplaceAll(block, file, "resnet10, filters: [4, 4, 8, 8], weights: "+published)
		}
		block = strings.ReplaceAll(block, "bert, weights: all-MiniLM-L6-v2", "bert, weights: "+sentences)
		file := filepath.Join(dir, "mine.yaml")
		var files []string
		switch {
		case strings.HasPrefix(block, "encoder:"):
			for line := range strings.Lines(block) {
				files = append(files, "name: x\nnetwork:\n  kind: protonet\n  "+line+"test: [{way: 5, shot: 1}]\n")
			}
		case strings.HasPrefix(block, "dataset:"):
			files = append(files, "name: x\nnetwork: protonet\ntest: [{way: 5, shot: 1}]\n"+block)
		case strings.HasPrefix(block, "network:"):
			files = append(files, "name: x\n"+block)
		case strings.HasPrefix(block, "base:"):
			file = filepath.Join(dir, "other.yaml")
			files = append(files, block)
		default:
			files = append(files, block)
		}
		for _, text := range files {
			count++
			require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
			_, err := tool.Matrix(file)
			assert.NoError(t, err, "example %d:\n%s", i+1, text)
		}
	}
	assert.GreaterOrEqual(t, count, 6)
}
