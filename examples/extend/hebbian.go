package main

import (
	"github.com/engram-go/engram/experiments/registry"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// hebbianConfig holds the keys of the memory in experiment files.
type hebbianConfig struct {
	Sharpness float64 `yaml:"sharpness" above:"0" doc:"multiplies the values read before the softmax over classes"`
}

func hebbianPart(p *registry.Parts) registry.Part[registry.Memory] {
	return registry.Part[registry.Memory]{
		Name: "hebbian", Doc: "a matrix of Hebbian fast weights", Paper: "Ba et al. 2016, section 2",
		Make: registry.Associative(p, hebbianConfig{Sharpness: 1}, func(c *hebbianConfig, _ registry.MemoryInput) (*hebbian, error) {
			return &hebbian{c.Sharpness}, nil
		}),
	}
}

// hebbian is a memory of one matrix per task, the sum of the outer products of keys and values. It has no slots and no metric.
type hebbian struct{ sharpness float64 }

// weights is its state, [batch, key, value]; nil before the first write.
type weights struct{ *tensor.Tensor }

// Tensors implements memory.State.
func (w weights) Tensors() []nn.Named {
	if w.Tensor == nil {
		return nil
	}
	return []nn.Named{{Name: "weights", Tensor: w.Tensor}}
}

// Init implements memory.Associative.
func (m *hebbian) Init(int64) memory.State { return weights{} }

// Write implements memory.Associative.
func (m *hebbian) Write(_ *nn.Pass, prev memory.State, keys, values *tensor.Tensor) memory.State {
	added := keys.Transpose(1, 2).MatMul(values.To(keys.DType()))
	if old := prev.(weights); old.Tensor != nil {
		added = old.Add(added)
	}
	return weights{added}
}

// Read implements memory.Associative. There are no slots to attend to.
func (m *hebbian) Read(_ *nn.Pass, s memory.State, queries *tensor.Tensor) (values, attention *tensor.Tensor) {
	return queries.MatMul(s.(weights).Tensor), nil
}

// LogRead implements memory.LogReader: with one-hot values, the log-probabilities of the classes.
func (m *hebbian) LogRead(p *nn.Pass, s memory.State, queries *tensor.Tensor) *tensor.Tensor {
	values, _ := m.Read(p, s, queries)
	return values.MulScalar(m.sharpness).LogSoftmax(-1)
}
