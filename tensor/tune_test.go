package tensor_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/engram-go/engram/tensor"
)

func TestTuneWeightsRefusesWrongOperands(t *testing.T) {
	scope := tensor.Enter()
	defer scope.Leave()
	w, x := tensor.Ones(1, 2, 4), tensor.Ones(1, 3, 4)
	for name, f := range map[string]func(){
		"want labels from 0":          func() { tensor.TuneWeights(w, x, tensor.New([]int64{2}, 1, 1), tensor.Tuning{}) },
		"want labels [tasks":          func() { tensor.TuneWeights(w, x, tensor.New([]int64{0, 1, 0, 1}, 1, 4), tensor.Tuning{}) },
		"want weights [tasks":         func() { tensor.TuneWeights(tensor.Ones(1, 2, 5), x, tensor.New([]int64{0}, 1, 1), tensor.Tuning{}) },
		"want a tensor of embeddings": func() { tensor.TuneWeights(w, x.To(tensor.BFloat16), tensor.New([]int64{0}, 1, 1), tensor.Tuning{}) },
	} {
		err := tensor.Do(func() error { f(); return nil })
		assert.ErrorContains(t, err, ": "+name)
	}
}
