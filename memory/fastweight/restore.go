package fastweight

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

func sqrt(n int64) float64 { return math.Sqrt(float64(n)) }

// anySize stands for a size that the memory learns from what it is written.
const anySize = -1

// restore returns the state whose tensors were ts, of a model from key to value.
func (l learner) restore(ts []nn.Named, key, value int64) (_ memory.State, err error) {
	defer tensor.Catch(&err)
	left := map[string]*tensor.Tensor{}
	for _, t := range ts {
		left[t.Name] = t.Tensor
	}
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	var sizes [][]int64 // of the weights, after batch and heads
	in := key
	for i := range l.Depth {
		out := value
		if i < l.Depth-1 {
			out = expansion * key
		}
		sizes = append(sizes, []int64{in, out})
		if l.Biased {
			sizes = append(sizes, []int64{1, out})
		}
		in = out
	}
	var batch int64 = anySize
	take := func(name string) (out []*tensor.Tensor) {
		for i, size := range sizes {
			full := fmt.Sprintf("%s%d", name, i)
			t := left[full]
			delete(left, full)
			want := []int64{batch, l.Heads, size[0], size[1]}
			switch {
			case t == nil:
				fault("%s is missing", full)
				return nil
			case t.DType() != tensor.Float32 && t.DType() != tensor.Float64:
				fault("%s is %v, want float32 or float64", full, t.DType())
			case !fits(t.Shape(), want):
				fault("%s has the shape %v, want %v, where -1 is any size", full, t.Shape(), want)
			default:
				batch = t.Dim(0)
				size[1] = t.Dim(3)
			}
			out = append(out, t)
		}
		return out
	}
	s := State{Weights: take("weights")}
	if (l.Momentum || l.Positions) && left["sum0"] != nil { // not before the first write
		s.Sum = take("sum")
	}
	if l.MiniBatch > 1 {
		s.Start = take("start")
		at := left[positionName]
		delete(left, positionName)
		if at == nil || at.DType() != tensor.Int64 || at.Numel() != 1 {
			fault("%s is missing, or is not one int64", positionName)
		} else if s.position = tensor.Values[int64](at)[0]; s.position < 0 || s.position >= l.MiniBatch {
			fault("%s is %d, want 0 to %d", positionName, s.position, l.MiniBatch-1)
		}
	}
	if keys, values := left["seen0"], left["seen1"]; l.Window > 1 && keys != nil && values != nil { // not before the first write
		n := int64(anySize)
		if keys.Rank() == 4 {
			n = min(keys.Dim(2), l.Window-1)
		}
		for i, t := range []*tensor.Tensor{keys, values} {
			if want := []int64{batch, l.Heads, n, []int64{key, value}[i]}; !fits(t.Shape(), want) {
				fault("seen%d has the shape %v, want %v, where -1 is any size", i, t.Shape(), want)
			}
			delete(left, fmt.Sprintf("seen%d", i))
		}
		s.Seen = []*tensor.Tensor{keys, values}
	}
	for name := range left {
		fault("%s is not a tensor of this memory's state", name)
	}
	slices.SortFunc(errs, func(a, b error) int { return slices.Compare([]byte(a.Error()), []byte(b.Error())) })
	if len(errs) > 0 {
		return nil, fmt.Errorf("fastweight: the state does not match the memory: %w", errors.Join(errs...))
	}
	return s, nil
}

// fits reports whether a shape is the wanted one, in which -1 is any size above zero.
func fits(shape, want []int64) bool {
	if len(shape) != len(want) {
		return false
	}
	for i := range want {
		if shape[i] < 1 || want[i] != anySize && shape[i] != want[i] {
			return false
		}
	}
	return true
}
