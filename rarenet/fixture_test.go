package rarenet_test

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/rarenet"
	"github.com/engram-go/engram/tensor"
)

type array struct {
	Shape []int64
	Data  []float64
}

func (a array) tensor() *tensor.Tensor { return tensor.New(a.Data, a.Shape...) }

// Loss, gradients and answers equal those of plain PyTorch code, written from the paper: testdata/fixtures.py.
func TestNetworkMatchesFixtures(t *testing.T) {
	text, err := os.ReadFile("testdata/rare.json")
	require.NoError(t, err)
	var cases []struct {
		Name                    string
		Letters, Slots          int64
		Images, Labels, Answers array
		Params, Gradients       map[string]array
		Loss                    float64
	}
	require.NoError(t, json.Unmarshal(text, &cases))
	require.NotEmpty(t, cases)
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			testkit.Enter(t)
			b := nn.NewBuilder(1, tensor.CPU)
			t.Cleanup(b.Params().Free)
			width := c.Images.Shape[2]
			n := rarenet.New(b, rarenet.Config{Encoder: testkit.Flatten(width), Letters: c.Letters, Width: c.Params["query.bias"].Shape[0], Slots: c.Slots})
			p := &nn.Pass{Training: true, With: map[*nn.Param]*tensor.Tensor{}}
			var leaves []*tensor.Tensor
			require.Len(t, b.Params().All(), len(c.Params))
			for _, param := range b.Params().All() {
				require.Contains(t, c.Params, param.Name)
				p.With[param] = c.Params[param.Name].tensor().To(tensor.Float32).RequireGrad()
				leaves = append(leaves, p.With[param])
			}
			s := &fewshot.Sequence{
				Images: c.Images.tensor().To(tensor.Float32).Reshape(c.Images.Shape[0], c.Images.Shape[1], 1, 1, width),
				Labels: c.Labels.tensor().To(tensor.Int64).Unsqueeze(2),
			}
			assert.InDeltaSlice(t, c.Answers.Data, n.LogProbs(p, s).Floats(), 1e-4)
			loss, _ := n.Loss(p, s)
			assert.Positive(t, c.Loss)
			assert.InDelta(t, c.Loss, loss.Float(), 1e-6)
			for i, g := range tensor.Grad(loss, leaves...) {
				name := b.Params().All()[i].Name
				assert.InDeltaSlice(t, c.Gradients[name].Data, g.Floats(), 1e-5, name)
			}
		})
	}
}
