package memory

import (
	"fmt"

	"github.com/engram-go/engram/metric"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// checkPairs panics for keys and values that are not pairs, which later operations might broadcast.
func checkPairs(op string, keys, values *tensor.Tensor) {
	k, v := shapeOf(op, keys), shapeOf(op, values)
	if len(k) != 3 || len(v) != 3 || k[0] != v[0] || k[1] != v[1] {
		panic(&tensor.Error{Op: op, Shapes: [][]int64{k, v}, Msg: "want keys [batch, n, key] and values [batch, n, value]"})
	}
}

// checkHeld panics for keys and values with another batch or key width, or with fewer value columns, than the memory
// holds. It returns the number of additional value columns.
func checkHeld(op string, batch, key, value int64, keys, values *tensor.Tensor) (more int64) {
	k, v := keys.Shape(), values.Shape()
	if k[0] != batch || k[2] != key || v[2] < value {
		panic(&tensor.Error{Op: op, Shapes: [][]int64{k, v}, Msg: fmt.Sprintf(
			"the memory holds keys of width %d and values of width %d for a batch of %d; keys must have that width, and values at least theirs", key, value, batch)})
	}
	return v[2] - value
}

func shapeOf(op string, t *tensor.Tensor) []int64 {
	if t == nil {
		panic(&tensor.Error{Op: op, Msg: "keys or values are nil"})
	}
	return t.Shape()
}

// withZeros appends zeros to a dimension of x.
func withZeros(x *tensor.Tensor, dim int, more int64) *tensor.Tensor {
	if more == 0 {
		return x
	}
	shape := x.Shape()
	shape[dim] = more
	return tensor.Cat(dim, x, zeros(x, shape...))
}

// checkRead panics without a metric or a pass.
func checkRead(op string, p *nn.Pass, m metric.Metric) {
	if m == nil {
		panic(&tensor.Error{Op: op, Msg: "the memory has no metric; set Metric in its configuration"})
	}
	checkPass(op, p)
}

// checkPass refuses to read without a pass.
func checkPass(op string, p *nn.Pass) {
	if p == nil {
		panic(&tensor.Error{Op: op, Msg: "the pass is nil; &nn.Pass{} evaluates"})
	}
}
