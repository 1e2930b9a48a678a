package encoder_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// A module that changes its input in place gives PyTorch's embeddings each time, and leaves the images as they are.
func TestTorchScriptThatChangesItsInput(t *testing.T) {
	testkit.Enter(t)
	f := readFixture(t, "faults/in-place.json")
	e, _ := script(t, encoder.TorchScriptConfig{Path: "testdata/faults/in-place.pt", Input: []int64{1, 8, 8}})
	x := tensor.New(f.Input, f.Shape...)
	before := x.Floats()
	for range 2 {
		assert.InDeltaSlice(t, f.Eval, e.Forward(&nn.Pass{Norm: nn.RunningStats}, x).Floats(), 1e-5)
	}
	assert.Equal(t, before, x.Floats())
}

// What users export by mistake is refused at load, with what to do about it.
func TestTorchScriptExportedByMistake(t *testing.T) {
	before := tensor.Live()
	images := []int64{1, 8, 8}
	for name, c := range map[string]struct {
		config encoder.TorchScriptConfig
		want   string
	}{
		"traced-norm":    {encoder.TorchScriptConfig{Input: images}, "embeds an input differently beside other inputs: its batch norm takes the statistics of the batch, as it does in a module that was traced in training mode or that keeps no running statistics; call net.eval() before torch.jit.trace"},
		"traced-dropout": {encoder.TorchScriptConfig{Input: images}, "embeds the same input differently at each call: it draws random numbers, as dropout does in a module that was traced in training mode; call net.eval() before torch.jit.trace"},
		"untracked":      {encoder.TorchScriptConfig{Input: images, Train: true}, "or that keeps no running statistics"},
		"counting":       {encoder.TorchScriptConfig{Input: images}, "changes its own seen whenever it embeds"},
		"half":           {encoder.TorchScriptConfig{Input: images}, "its parameters are not of float32, which images are: export net.float()"},
		"frozen-half":    {encoder.TorchScriptConfig{Input: images}, "export net.float()"},
		"half-tokens":    {encoder.TorchScriptConfig{Input: []int64{3}, Tokens: true}, "returns float16, but embeddings must be float32; export net.float()"},
		"frozen":         {encoder.TorchScriptConfig{Input: images, Train: true}, "has no parameters to train: torch.jit.freeze makes constants of them; export the module without freezing it, or leave out train"},
		"no-grad":        {encoder.TorchScriptConfig{Input: images, Train: true}, "gives none of its parameters a gradient: its forward runs under torch.no_grad or detaches its output"},
	} {
		b := nn.NewBuilder(1, tensor.CPU)
		c.config.Path = "testdata/faults/" + name + ".pt"
		_, err := encoder.NewTorchScript(b, c.config)
		if assert.ErrorContains(t, err, c.want, name) {
			assert.ErrorContains(t, err, c.config.Path)
			assert.NotContains(t, err.Error(), "c10::", name)
			assert.NotContains(t, err.Error(), "dtype(", name)
			assert.NotContains(t, err.Error(), "\n", name)
		}
		b.Params().Free()
	}
	assert.Equal(t, before, tensor.Live())
}

// The same modules are fine where nothing asks for what they lack.
func TestTorchScriptWithoutTraining(t *testing.T) {
	testkit.Enter(t)
	for _, name := range []string{"frozen", "no-grad"} {
		b := nn.NewBuilder(1, tensor.CPU)
		e, err := encoder.NewTorchScript(b, encoder.TorchScriptConfig{Path: "testdata/faults/" + name + ".pt", Input: []int64{1, 8, 8}})
		require.NoError(t, err)
		assert.Equal(t, int64(4), e.Width())
		b.Params().Free()
	}
}

func TestNamesOfTypes(t *testing.T) {
	assert.Equal(t, "float16", tensor.DType(5).String())
	assert.Equal(t, "bfloat16", tensor.BFloat16.String())
	assert.Equal(t, "dtype(40)", tensor.DType(40).String())
}
