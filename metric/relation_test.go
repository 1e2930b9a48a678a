package metric_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/metric"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// relation makes a relation with buffers other than the initial ones, freed at the end of the test.
func relation(t *testing.T, c metric.RelationConfig) (*metric.Relation, *nn.Params) {
	b := nn.NewBuilder(5, tensor.CPU)
	t.Cleanup(b.Params().Free)
	m := metric.NewRelation(b, c)
	r := rand.New(rand.NewPCG(30, 0))
	for _, p := range b.Params().All() {
		switch {
		case strings.HasSuffix(p.Name, "running_mean"):
			p.Value().Assign(normal(r, 0, p.Value().Shape()...).MulScalar(.2).To(tensor.Float32))
		case p.Buffer:
			p.Value().Assign(normal(r, 0, p.Value().Shape()...).Square().AddScalar(.3).To(tensor.Float32))
		case p.Name == "hidden.bias":
			p.Value().Assign(p.Value().Detach().Abs().AddScalar(.3)) // so that some units are active
		}
	}
	return m, b.Params()
}

// double returns a pass that computes in float64.
func double(ps *nn.Params, norm nn.Norm) *nn.Pass {
	p, _ := testkit.Double(nn.Pass{Norm: norm}, ps)
	return p
}

// image is a feature map [channel][row][column].
type image [][][]float64

func newImage(c, h, w int, at func(c, y, x int) float64) image {
	m := make(image, c)
	for i := range m {
		m[i] = make([][]float64, h)
		for y := range m[i] {
			m[i][y] = make([]float64, w)
			for x := range m[i][y] {
				m[i][y][x] = at(i, y, x)
			}
		}
	}
	return m
}

// convolve is a 3×3 convolution with padding 1.
func convolve(m image, weight, bias []float64) image {
	return newImage(len(bias), len(m[0]), len(m[0][0]), func(o, y, x int) float64 {
		sum := bias[o]
		for i := range m {
			for dy := range 3 {
				for dx := range 3 {
					yy, xx := y+dy-1, x+dx-1
					if yy >= 0 && yy < len(m[0]) && xx >= 0 && xx < len(m[0][0]) {
						sum += m[i][yy][xx] * weight[((o*len(m)+i)*3+dy)*3+dx]
					}
				}
			}
		}
		return sum
	})
}

// rest applies batch norm with given statistics, ReLU and max pooling.
func rest(m image, gain, bias, mean, variance []float64, window int) image {
	return newImage(len(m), len(m[0])/window, len(m[0][0])/window, func(c, y, x int) float64 {
		largest := 0.
		for dy := range window {
			for dx := range window {
				v := m[c][y*window+dy][x*window+dx]
				largest = max(largest, (v-mean[c])/math.Sqrt(variance[c]+1e-5)*gain[c]+bias[c])
			}
		}
		return largest
	})
}

// statistics are the mean and the biased variance of each channel over images.
func statistics(ms []image) (mean, variance []float64) {
	for c := range ms[0] {
		var n, sum, squares float64
		for _, m := range ms {
			for _, row := range m[c] {
				for _, v := range row {
					n, sum, squares = n+1, sum+v, squares+v*v
				}
			}
		}
		mean, variance = append(mean, sum/n), append(variance, squares/n-sum/n*sum/n)
	}
	return mean, variance
}

// plainRelation is Sung et al. 2018, figure 2, pair by pair, flat as [batch, queries, keys].
func plainRelation(ps *nn.Params, norm nn.Norm, c metric.RelationConfig, queries, keys *tensor.Tensor) (scores []float64) {
	v := map[string][]float64{}
	for _, p := range ps.All() {
		v[p.Name] = p.Value().Floats()
	}
	h, w := int(c.Height), int(c.Width)
	size := int(c.Channels) * h * w
	q, k := queries.Floats(), keys.Floats()
	nq, nk := int(queries.Dim(1)), int(keys.Dim(1))
	var pairs []image
	for b := range int(queries.Dim(0)) {
		for i := range nq {
			for j := range nk {
				key, query := k[(b*nk+j)*size:][:size], q[(b*nq+i)*size:][:size]
				pairs = append(pairs, newImage(2*int(c.Channels), h, w, func(ch, y, x int) float64 {
					of := key
					if ch >= int(c.Channels) {
						ch, of = ch-int(c.Channels), query
					}
					return of[(ch*h+y)*w+x]
				}))
			}
		}
	}
	for block := 1; block <= 2; block++ {
		of := func(name string) []float64 { return v[fmt.Sprintf("block%d.%s", block, name)] }
		for i := range pairs {
			pairs[i] = convolve(pairs[i], of("conv.weight"), of("conv.bias"))
		}
		mean, variance := of("norm.running_mean"), of("norm.running_var")
		if norm == nn.BatchStats {
			mean, variance = statistics(pairs)
		}
		window := 2
		if len(pairs[0][0]) < 2 || len(pairs[0][0][0]) < 2 {
			window = 1
		}
		for i := range pairs {
			pairs[i] = rest(pairs[i], of("norm.weight"), of("norm.bias"), mean, variance, window)
		}
	}
	linear := func(x []float64, name string) []float64 {
		out := append([]float64(nil), v[name+".bias"]...)
		for o := range out {
			for i := range x {
				out[o] += x[i] * v[name+".weight"][o*len(x)+i]
			}
		}
		return out
	}
	for _, m := range pairs {
		var x []float64
		for _, channel := range m {
			for _, row := range channel {
				x = append(x, row...)
			}
		}
		hidden := linear(x, "hidden")
		for i := range hidden {
			hidden[i] = max(hidden[i], 0)
		}
		scores = append(scores, linear(hidden, "out")[0])
	}
	return scores
}

func TestRelationIsThePlainLoop(t *testing.T) {
	for _, c := range []metric.RelationConfig{
		{Channels: 3, Height: 5, Width: 5, Filters: 4, Hidden: 3},
		{Channels: 4, Height: 1, Width: 1, Filters: 3, Hidden: 2},
		{Channels: 2, Height: 2, Width: 7, Filters: 3},
		{Channels: 2, Height: 8, Width: 9, Filters: 2, Hidden: 4},
	} {
		for _, norm := range []nn.Norm{nn.RunningStats, nn.BatchStats} {
			t.Run(fmt.Sprint(c, norm), func(t *testing.T) {
				testkit.Enter(t)
				m, ps := relation(t, c)
				r := rand.New(rand.NewPCG(31, 0))
				size := c.Channels * c.Height * c.Width
				q, k := normal(r, .2, 2, 3, size), normal(r, 0, 2, 4, size)
				want := plainRelation(ps, norm, c, q, k)
				require.NotEqual(t, want[0], want[1], "the scores differ")
				got := m.Score(double(ps, norm), q, k)
				require.Equal(t, []int64{2, 3, 4}, got.Shape())
				assert.InDeltaSlice(t, want, got.Floats(), 1e-9)
				higher := double(ps, norm)
				higher.HigherOrder = true
				assert.InDeltaSlice(t, want, m.Score(higher, q, k).Floats(), 1e-9)
			})
		}
	}
}

// The split first convolution and the concatenation compute the same: scores, gradients and running statistics.
func TestRelationMatchesReference(t *testing.T) {
	for name, p := range map[string]nn.Pass{
		"training": {Training: true}, "transductive": {}, "inductive": {Norm: nn.RunningStats},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Enter(t)
			c := metric.RelationConfig{Channels: 16, Height: 5, Width: 5}
			r := rand.New(rand.NewPCG(32, 0))
			q, k := normal(r, .2, 2, 6, 400).To(tensor.Float32), normal(r, 0, 2, 5, 400).To(tensor.Float32)
			weights := normal(r, 0, 2, 6, 5).To(tensor.Float32)
			run := func(higherOrder bool) (names []string, values []*tensor.Tensor) {
				m, ps := relation(t, c)
				p := p
				p.HigherOrder = higherOrder
				q, k := q.Clone().Detach().RequireGrad(), k.Clone().Detach().RequireGrad()
				var scores *tensor.Tensor
				tensor.WithGrad(func() { scores = m.Score(&p, q, k) })
				names, values = []string{"scores"}, []*tensor.Tensor{scores}
				for i, g := range tensor.Grad(scores.Mul(weights).Sum(), append(ps.Tensors(), q, k)...) {
					name := "inputs"
					if i < len(ps.Trained()) {
						name = ps.Trained()[i].Name
					}
					if g == nil { // the gradient of a bias that batch norm cancels
						g = ps.Tensors()[i].Detach().ZerosLike()
					}
					names, values = append(names, "gradient of "+name), append(values, g)
				}
				for _, q := range ps.All() {
					if q.Buffer {
						names, values = append(names, q.Name), append(values, q.Value())
					}
				}
				return names, values
			}
			names, want := run(true)
			_, got := run(false)
			for i, w := range want {
				largest := 1.
				for _, v := range w.Floats() {
					largest = max(largest, math.Abs(v))
				}
				assert.InDeltaSlice(t, w.Floats(), got[i].Floats(), 2e-4*largest, names[i])
			}
		})
	}
}

func TestRelationInvariants(t *testing.T) {
	testkit.Enter(t)
	c := metric.RelationConfig{Channels: 3, Height: 5, Width: 5, Filters: 4}
	m, ps := relation(t, c)
	r := rand.New(rand.NewPCG(33, 0))
	q, k := normal(r, .2, 2, 4, 75), normal(r, 0, 2, 3, 75)
	p := double(ps, nn.RunningStats)
	all := m.Score(p, q, k)
	assert.InDeltaSlice(t, all.Narrow(0, 1, 1).Floats(), m.Score(p, q.Narrow(0, 1, 1), k.Narrow(0, 1, 1)).Floats(), 1e-12,
		"inductive: the tasks of a batch are independent")
	assert.InDeltaSlice(t, all.Narrow(1, 2, 1).Narrow(2, 0, 1).Floats(), m.Score(p, q.Narrow(1, 2, 1), k.Narrow(1, 0, 1)).Floats(), 1e-12,
		"the pairs are independent")
	transductive := double(ps, nn.BatchStats)
	assert.NotEqual(t, m.Score(transductive, q, k).Narrow(0, 1, 1).Floats(), m.Score(transductive, q.Narrow(0, 1, 1), k.Narrow(0, 1, 1)).Floats())
	assert.NotEqual(t, all.Narrow(1, 0, 3).Transpose(1, 2).Floats(), m.Score(p, k, q.Narrow(1, 0, 3)).Floats(), "it is not symmetric")
}

func TestRelationOfDegenerateMapsHasNoNaN(t *testing.T) {
	for _, d := range []tensor.DType{tensor.Float32, tensor.Float64} {
		for _, norm := range []nn.Norm{nn.BatchStats, nn.RunningStats} {
			testkit.Enter(t)
			m, ps := relation(t, metric.RelationConfig{Channels: 2, Height: 5, Width: 5, Filters: 4})
			p := &nn.Pass{Norm: norm, Training: true}
			if d == tensor.Float64 {
				p = double(ps, norm)
			}
			for name, x := range map[string]*tensor.Tensor{"zero": tensor.Zeros(1, 3, 50), "same": tensor.Ones(1, 3, 50).MulScalar(2)} {
				x := x.To(d).Clone().Detach().RequireGrad()
				scores := m.Score(p, x, x)
				assert.True(t, scores.Finite(), name)
				assert.True(t, tensor.Grad(scores.Sum(), x)[0].Finite(), name)
			}
		}
	}
}

func TestRelationWithoutMapsIsAnError(t *testing.T) {
	testkit.Enter(t)
	b := nn.NewBuilder(1, tensor.CPU)
	err := tensor.Do(func() error { metric.NewRelation(b, metric.RelationConfig{Channels: 3, Width: 5}); return nil })
	assert.EqualError(t, err, "tensor: NewRelation: feature maps must not be empty, got 3×0×5")
}

// A relation that no distance expresses: a query matches the key with the opposite value in one coordinate.
func TestRelationLearnsARelation(t *testing.T) {
	testkit.Enter(t)
	b := nn.NewBuilder(1, tensor.CPU)
	defer b.Params().Free()
	m := metric.NewRelation(b, metric.RelationConfig{Channels: 2, Height: 1, Width: 1, Filters: 16})
	opt := nn.NewAdam(b.Params(), nn.DefaultAdam())
	defer opt.Free()
	r := rand.New(rand.NewPCG(34, 0))
	const n = 8
	draw := func() (x *tensor.Tensor, first []float64) {
		values := make([]float32, 2*n)
		for i := range n {
			sign := float64(2*r.IntN(2) - 1)
			first = append(first, sign)
			values[2*i], values[2*i+1] = float32(sign+.2*r.NormFloat64()), float32(r.NormFloat64())
		}
		return tensor.New(values, 1, n, 2), first
	}
	batch := func() (q, k, truth *tensor.Tensor) {
		q, a := draw()
		k, b := draw()
		opposite := make([]float32, 0, n*n)
		for _, x := range a {
			for _, y := range b {
				opposite = append(opposite, float32((1-x*y)/2))
			}
		}
		return q, k, tensor.New(opposite, 1, n, n)
	}
	for range 150 {
		s := tensor.Enter()
		q, k, truth := batch()
		loss := m.Score(&nn.Pass{Training: true}, q, k).Sigmoid().Sub(truth).Square().Mean()
		opt.Step(tensor.Grad(loss, b.Params().Tensors()...), .01)
		s.Leave()
	}
	q, k, truth := batch()
	scores := m.Score(&nn.Pass{Norm: nn.RunningStats}, q, k)
	right := scores.Gt(scores.ZerosLike()).Eq(truth.Gt(truth.ZerosLike())).To(tensor.Float32).Mean().Float()
	assert.Greater(t, right, .95)
}
