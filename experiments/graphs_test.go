package experiments_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/experiments"
	"github.com/engram-go/engram/internal/small"
	"github.com/engram-go/engram/tensor"
)

// With cuda_graphs a training takes the same steps to the bit, those that a graph replays and those that cannot be captured. On the
// CPU a replay runs the step, from the memory and under the rules of a graph.
func TestGraphsTakeTheSameSteps(t *testing.T) {
	const cannot = "cannot be captured"
	for file, note := range map[string]string{
		"ntm-copy.yaml":             "",
		"lstm-copy.yaml":            "",
		"mann-omniglot.yaml":        "",
		"protonet-textures.yaml":    "",
		"matchingnet-omniglot.yaml": "",
		"relationnet-omniglot.yaml": "",
		"siamese-omniglot.yaml":     "",
		"resnet12-cifar-fs.yaml":    "", // DropBlock
		"transfer-strokes.yaml":     "",
		"maml-omniglot.yaml":        "",
		"reptile-omniglot.yaml":     cannot, // draws batches of a support set
		"r2d2-cifar-fs.yaml":        cannot, // a decomposition reports whether it succeeded
		"quickstart-memnet.yaml":    cannot, // words of any number
	} {
		t.Run(strings.TrimSuffix(file, ".yaml"), func(t *testing.T) {
			m, err := tool.Matrix(file)
			require.NoError(t, err)
			sets, err := small.Overrides(m.Runs[0].Config)
			require.NoError(t, err)
			switch file {
			case "ntm-copy.yaml", "lstm-copy.yaml": // so that lengths come again
				sets = append(sets, "dataset.max_length=2")
			case "quickstart-memnet.yaml":
			case "resnet12-cifar-fs.yaml":
				sets = append(sets, "train.batch=1", "network.encoder.filters=[4, 4, 8, 8]")
			default:
				sets = append(sets, "train.batch=2")
			}
			if file != "quickstart-memnet.yaml" {
				sets = append(sets, "train.steps=8", "validation.every=5")
			}
			for _, o := range m.Runs[0].Overrides {
				sets = append([]string{o.String()}, sets...)
			}
			want := outcome(t, file, sets)
			live := tensor.Live()
			c, err := tool.Load(file, overrides(t, append(sets, "cuda_graphs=true")...)...)
			require.NoError(t, err)
			dir, said := filepath.Join(t.TempDir(), "run"), &notes{}
			r, err := tool.Run(t.Context(), c, experiments.Options{Out: dir, Reporter: said})
			require.NoError(t, err)
			assert.Equal(t, live, tensor.Live())
			assert.Equal(t, want, outcomeOf(t, dir, r))
			all := strings.Join(said.lines, "\n")
			if note != "" {
				assert.Contains(t, all, note)
			} else {
				assert.NotContains(t, all, "cuda_graphs")
			}
		})
	}
}
