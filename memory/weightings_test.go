package memory_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

func TestWeightingsOfEveryMemory(t *testing.T) {
	testkit.Enter(t)
	b := nn.NewBuilder(1, tensor.CPU)
	t.Cleanup(b.Params().Free)
	after := func(m memory.Recurrent) (read, write *tensor.Tensor) {
		p := &nn.Pass{}
		_, s := m.Step(p, tensor.Ones(2, control), m.Init(p, 2))
		return memory.Weightings(s)
	}
	for name, m := range map[string]memory.Recurrent{
		"ntm":  memory.NewNTM(b.In("ntm"), memory.NTMConfig{Control: control, Slots: 5, Width: 3, Reads: 2, Writes: 1}),
		"lrua": memory.NewLRUA(b.In("lrua"), memory.LRUAConfig{Control: control, Slots: 5, Width: 3, Heads: 2}),
		"dnc":  memory.NewDNC(b.In("dnc"), memory.DNCConfig{Control: control, Slots: 5, Width: 3, Reads: 2}),
	} {
		read, write := after(m)
		require.NotNil(t, read, name)
		require.NotNil(t, write, name)
		assert.Equal(t, []int64{2, 2, 5}, read.Shape(), name)
		heads := map[string]int64{"ntm": 1, "lrua": 2, "dnc": 1}[name]
		assert.Equal(t, []int64{2, heads, 5}, write.Shape(), name)
		for _, w := range []*tensor.Tensor{read, write} {
			for _, sum := range w.Sum(-1).Floats() {
				assert.LessOrEqual(t, sum, 2+1e-5, name) // LRUA's can sum to the number of heads
			}
		}
	}
	read, write := after(memory.None{})
	assert.Nil(t, read)
	assert.Nil(t, write)
}
