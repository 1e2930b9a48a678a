package fewshot_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// Inner steps would skip an encoder's dropout without a word, so such an encoder is refused.
func TestEncodersWithDropoutAreNotAdapted(t *testing.T) {
	testkit.Enter(t)
	for _, drop := range []float64{0, .1} {
		b := nn.NewBuilder(1, tensor.CPU)
		defer b.Params().Free()
		e, err := encoder.NewResNet12(b, encoder.ResNet12Config{Height: 16, Width: 16, Filters: [4]int64{2, 2, 2, 4}, Drop: drop})
		require.NoError(t, err)
		if drop == 0 {
			require.NoError(t, fewshot.CheckAdaptable(e))
			assert.NotPanics(t, func() { fewshot.NewClassifier(b, e, 3) })
			continue
		}
		assert.ErrorContains(t, fewshot.CheckAdaptable(e), "dropout")
		assert.Panics(t, func() { fewshot.NewClassifier(b, e, 3) })
	}
}
