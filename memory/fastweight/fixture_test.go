package fastweight_test

import (
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/memory/fastweight"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

type fixtureArray struct {
	Shape []int64
	Data  []float64
}

func (a fixtureArray) tensor() *tensor.Tensor { return tensor.New(a.Data, a.Shape...).RequireGrad() }

// Reads and gradients of every named setting equal those of plain PyTorch code, written from the papers, in double precision.
func TestNamedSettingsMatchFixtures(t *testing.T) {
	text, err := os.ReadFile("testdata/recurrent.json")
	require.NoError(t, err)
	var cases []struct {
		Name                   string
		Params, Gradients      map[string]fixtureArray
		Inputs, Reads, Weights fixtureArray // [time, batch, ...]
	}
	require.NoError(t, json.Unmarshal(text, &cases))
	configs := named()
	require.Len(t, cases, len(configs))
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			testkit.Enter(t)
			b := nn.NewBuilder(1, tensor.CPU)
			t.Cleanup(b.Params().Free)
			config, ok := configs[c.Name]
			require.True(t, ok)
			m := fastweight.NewRecurrent(b, c.Inputs.Shape[2], config)
			p := &nn.Pass{With: map[*nn.Param]*tensor.Tensor{}}
			leaves, names := []*tensor.Tensor{c.Inputs.tensor()}, []string{"inputs"}
			for _, param := range b.Params().All() {
				require.Contains(t, c.Params, param.Name)
				v := c.Params[param.Name].tensor()
				require.Equal(t, param.Value().Shape(), v.Shape(), param.Name)
				p.With[param], leaves, names = v, append(leaves, v), append(names, param.Name)
			}
			require.Len(t, b.Params().All(), len(c.Params))
			for name, run := range map[string]func() *tensor.Tensor{
				"steps": func() *tensor.Tensor {
					var reads []*tensor.Tensor
					s := m.Init(p, c.Inputs.Shape[1])
					for i := range c.Inputs.Shape[0] {
						var read *tensor.Tensor
						read, s = m.Step(p, leaves[0].Select(0, i), s)
						reads = append(reads, read)
					}
					return tensor.Stack(0, reads...)
				},
				"at once": func() *tensor.Tensor {
					reads, _ := m.Sequence(p, leaves[0].Transpose(0, 1), m.Init(p, c.Inputs.Shape[1]))
					return reads.Transpose(0, 1)
				},
			} {
				reads := run()
				assert.Equal(t, c.Reads.Shape, reads.Shape())
				assert.InDeltaSlice(t, c.Reads.Data, reads.Floats(), 1e-8, name)
				for i, g := range tensor.Grad(reads.Mul(c.Weights.tensor().Detach()).Sum(), leaves...) {
					if g == nil {
						assert.NotContains(t, c.Gradients, names[i])
						continue
					}
					want, largest := c.Gradients[names[i]].Data, 1.
					for _, v := range want {
						largest = max(largest, math.Abs(v))
					}
					assert.InDeltaSlice(t, want, g.Floats(), 1e-7*largest, "%s: gradient of %s", name, names[i])
				}
			}
		})
	}
}
