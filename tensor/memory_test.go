package tensor_test

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/tensor"
)

// inAProcess runs a test in a process of its own, and reports whether this is that process: KeepMemory holds for a whole process, and
// other tests of this package measure what is resident.
func inAProcess(t *testing.T) bool {
	t.Helper()
	const mark = "ENGRAM_TEST_ALONE"
	if os.Getenv(mark) != "" {
		return true
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), mark+"=1")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "--- PASS: "+t.Name())
	return false
}

// Tensors of all sizes, made and freed in random order by several goroutines, keep their values: no two share memory.
func TestKeptMemoryIsNotShared(t *testing.T) {
	if !inAProcess(t) {
		return
	}
	tensor.KeepMemory()
	var all sync.WaitGroup
	for worker := range 4 {
		all.Go(func() {
			scope := tensor.Enter()
			defer scope.Leave()
			r := rand.New(rand.NewPCG(7, uint64(worker)))
			type held struct {
				x     *tensor.Tensor
				value float64
			}
			var holds []held
			for i := range 400 {
				if len(holds) > 20 || len(holds) > 0 && r.IntN(3) == 0 {
					at := r.IntN(len(holds))
					h := holds[at]
					if !assert.Equal(t, h.value*float64(h.x.Numel()), h.x.To(tensor.Float64).Sum().Float()) {
						return
					}
					h.x.Free()
					holds[at] = holds[len(holds)-1]
					holds = holds[:len(holds)-1]
					continue
				}
				value := float64(worker*1000 + i)
				holds = append(holds, held{tensor.Full(value, tensor.Float32, tensor.CPU, 1+r.Int64N(1<<(6+r.IntN(14)))), value})
			}
		})
	}
	all.Wait()
}

// Freed memory is used again, also by larger tensors where neighbours were freed, and what is beyond a quarter of the memory is
// returned.
func TestKeptMemoryIsUsedAgain(t *testing.T) {
	if !inAProcess(t) {
		return
	}
	tensor.KeepMemory()
	scope := tensor.Enter()
	defer scope.Leave()
	const mega = 1 << 18 // numbers of a MiB
	fill := func(n int64) *tensor.Tensor { return tensor.Full(1, tensor.Float32, tensor.CPU, n) }
	for range 3 { // the first round may grow
		parts := []*tensor.Tensor{fill(30 * mega), fill(30 * mega), fill(30 * mega), fill(30 * mega)}
		for _, i := range []int{1, 3, 0, 2} {
			parts[i].Free()
		}
		fill(110 * mega).Free()
	}
	before := testkit.Memory(t, "VmRSS")
	for range 5 {
		a, b := fill(60*mega), fill(50*mega)
		a.Free()
		fill(40 * mega).Free()
		b.Free()
	}
	assert.InDelta(t, before, testkit.Memory(t, "VmRSS"), 8<<10)
}
