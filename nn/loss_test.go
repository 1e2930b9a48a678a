package nn_test

import (
	"testing"

	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
	"github.com/stretchr/testify/assert"
)

func TestSmoothedNLLIsThePlainLoop(t *testing.T) {
	testkit.Enter(t)
	logp := tensor.New([]float64{.3, -1, 2, 0, 1, -.5}, 2, 3).LogSoftmax(-1)
	labels := []int64{2, 0}
	values := logp.Floats()
	for _, epsilon := range []float64{0, .1, .5} {
		want := 0.
		for i, label := range labels {
			for c := range 3 {
				target := epsilon / 3
				if int64(c) == label {
					target += 1 - epsilon
				}
				want -= target * values[i*3+c] / 2
			}
		}
		assert.InDelta(t, want, nn.SmoothedNLL(logp, tensor.New(labels, 2), epsilon).Float(), 1e-12)
	}
}
