package memory_test

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

type fixtureArray struct {
	Shape []int64
	Data  []float64
}

func (a fixtureArray) tensor() *tensor.Tensor { return tensor.New(a.Data, a.Shape...) }

// fixtures are cases of testdata/fixtures.py.
type fixtureCase struct {
	Name      string
	Params    map[string]fixtureArray
	Inputs    fixtureArray // [time, batch, control]
	Reads     fixtureArray // [time, batch, read]
	State     map[string]fixtureArray
	Weights   fixtureArray // of the reads in the loss
	OfMemory  fixtureArray `json:"memory_weights"`
	Gradients map[string]fixtureArray
}

// fixtureMemories make the memories of the fixtures.
func fixtureMemories() map[string]func(b *nn.Builder, control int64) memory.Recurrent {
	relational := func(blocks int64, gates memory.RelationalGates) func(b *nn.Builder, control int64) memory.Recurrent {
		return func(b *nn.Builder, control int64) memory.Recurrent {
			return memory.NewRelational(b, memory.RelationalConfig{Control: control, Slots: 3, Heads: 2, Width: 2, Blocks: blocks, Gates: gates})
		}
	}
	dnc := func(c memory.DNCConfig) func(b *nn.Builder, control int64) memory.Recurrent {
		c.Slots, c.Width, c.Writes, c.Memory = 4, 3, 2, memory.LearnedMemory
		return func(b *nn.Builder, control int64) memory.Recurrent {
			c := c
			c.Control = control
			return memory.NewDNC(b, c)
		}
	}
	return map[string]func(b *nn.Builder, control int64) memory.Recurrent{
		"relational":                         relational(1, memory.UnitGates),
		"relational, slot gates, two blocks": relational(2, memory.SlotGates),
		"relational without gates":           relational(1, memory.NoGates),
		"nutm": func(b *nn.Builder, control int64) memory.Recurrent {
			return memory.NewNUTM(b, memory.NUTMConfig{Control: control, Programs: 3, Key: 4, Memory: func(b *nn.Builder, control int64) memory.Interfaced {
				return memory.NewLRUA(b, memory.LRUAConfig{Control: control, Slots: 5, Width: 3, Heads: 2, Memory: memory.LearnedMemory})
			}})
		},
		"dnc, two write heads":           dnc(memory.DNCConfig{Reads: 2}),
		"dnc, two write heads, repaired": dnc(memory.DNCConfig{Reads: 1, Masked: true, Deallocated: true, Sharpened: true}),
		"ntm": func(b *nn.Builder, control int64) memory.Recurrent {
			return memory.NewNTM(b, memory.NTMConfig{Control: control, Slots: 5, Width: 3, Memory: memory.LearnedMemory})
		},
		"ntm, several heads": func(b *nn.Builder, control int64) memory.Recurrent {
			return memory.NewNTM(b, memory.NTMConfig{Control: control, Slots: 5, Width: 3, Reads: 2, Writes: 2, Shift: 2, Memory: memory.LearnedMemory})
		},
		"lrua": func(b *nn.Builder, control int64) memory.Recurrent {
			return memory.NewLRUA(b, memory.LRUAConfig{Control: control, Slots: 6, Width: 3, Heads: 2, Memory: memory.LearnedMemory})
		},
		"sparse": func(b *nn.Builder, control int64) memory.Recurrent {
			return memory.NewSparse(b, memory.SparseConfig{Control: control, Slots: 7, Width: 3, Heads: 2, Reads: 2})
		},
		"sparse, all slots": func(b *nn.Builder, control int64) memory.Recurrent {
			return memory.NewSparse(b, memory.SparseConfig{Control: control, Slots: 5, Width: 3, Heads: 2, Reads: 5})
		},
	}
}

// Reads, states and gradients equal those of plain PyTorch code, written from the papers, in double precision.
func TestMemoriesMatchFixtures(t *testing.T) {
	text, err := os.ReadFile("testdata/recurrent.json")
	require.NoError(t, err)
	var cases []fixtureCase
	require.NoError(t, json.Unmarshal(text, &cases))
	builds := fixtureMemories()
	require.Len(t, cases, len(builds))
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			testkit.Enter(t)
			b := nn.NewBuilder(1, tensor.CPU)
			t.Cleanup(b.Params().Free)
			m := builds[c.Name](b, c.Inputs.Shape[2])
			p := &nn.Pass{With: map[*nn.Param]*tensor.Tensor{}}
			leaves, names := []*tensor.Tensor{c.Inputs.tensor().RequireGrad()}, []string{"inputs"}
			for _, param := range b.Params().All() {
				require.Contains(t, c.Params, param.Name)
				v := c.Params[param.Name].tensor().RequireGrad()
				require.Equal(t, param.Value().Shape(), v.Shape(), param.Name)
				p.With[param], leaves, names = v, append(leaves, v), append(names, param.Name)
			}
			require.Len(t, b.Params().All(), len(c.Params))
			s := m.Init(p, c.Inputs.Shape[1])
			var reads []*tensor.Tensor
			for i := range c.Inputs.Shape[0] {
				var read *tensor.Tensor
				read, s = m.Step(p, leaves[0].Select(0, i), s)
				reads = append(reads, read)
			}
			all := tensor.Stack(0, reads...)
			assert.Equal(t, c.Reads.Shape, all.Shape())
			assert.InDeltaSlice(t, c.Reads.Data, all.Floats(), 1e-9)
			loss := all.Mul(c.Weights.tensor()).Sum()
			state := s.Tensors()
			assert.Len(t, state, len(c.State))
			for _, n := range state {
				assert.Equal(t, c.State[n.Name].Shape, n.Tensor.Shape(), n.Name)
				assert.InDeltaSlice(t, c.State[n.Name].Data, n.Tensor.To(tensor.Float64).Floats(), 1e-9, n.Name)
				if n.Name == "memory" {
					loss = loss.Add(n.Tensor.Mul(c.OfMemory.tensor()).Sum())
				}
			}
			for i, g := range tensor.Grad(loss, leaves...) {
				if g == nil {
					assert.NotContains(t, c.Gradients, names[i])
					continue
				}
				assert.InDeltaSlice(t, c.Gradients[names[i]].Data, g.Floats(), 1e-7, "gradient of %s", names[i])
			}
		})
	}
}
