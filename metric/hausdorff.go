package metric

import (
	"math"
	"runtime"
	"sync"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// ModifiedHausdorff scores square images by the distances between their ink pixels after centring the ink of both images:
// Dubuisson and Jain 1994, with the directed distance d₆ and the combination f₂,
//
//	score(q, k) = -max(d(q, k), d(k, q)),
//
// where d(a, b) is the mean distance, in pixels, of a's ink pixels to the nearest ink pixel of b. It is the baseline of Lake
// et al. 2015. It compares flattened images of one channel, as encoder.Pixels returns them, and is not differentiable.
type ModifiedHausdorff struct{}

// Score implements [Metric]. Pixels above 1/2 are ink. An image without ink has the distance √2·side, the longest possible, to
// an image with ink, and the distance 0 to another one without. It panics if the images are not square.
func (ModifiedHausdorff) Score(_ *nn.Pass, queries, keys *tensor.Tensor) *tensor.Tensor {
	const op = "ModifiedHausdorff"
	batch, nq, nk, pixels := int(queries.Dim(0)), int(queries.Dim(1)), int(keys.Dim(1)), queries.Dim(2)
	side := int(math.Round(math.Sqrt(float64(pixels))))
	if int64(side)*int64(side) != pixels || keys.Dim(2) != pixels || int(keys.Dim(0)) != batch {
		panic(&tensor.Error{Op: op, Shapes: [][]int64{queries.Shape(), keys.Shape()}, Msg: "needs square images of one channel and of the same size"})
	}
	q, k := ink(queries, side), ink(keys, side)
	scores := make([]float64, batch*nq*nk)
	rows := make(chan int)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for row := range rows {
				for j, other := range k[row/nq*nk:][:nk] {
					scores[row*nk+j] = -max(directed(q[row], other, side), directed(other, q[row], side))
				}
			}
		})
	}
	for row := range batch * nq {
		rows <- row
	}
	close(rows)
	workers.Wait()
	return tensor.New(scores, int64(batch), int64(nq), int64(nk)).To(queries.DType()).On(queries.Device())
}

type dot struct{ x, y float64 }

// ink returns the coordinates of each image's ink pixels relative to their mean.
func ink(images *tensor.Tensor, side int) [][]dot {
	pixels := images.Floats()
	size := side * side
	out := make([][]dot, len(pixels)/size)
	for i := range out {
		var middle dot
		for at, v := range pixels[i*size:][:size] {
			if v > .5 {
				d := dot{float64(at % side), float64(at / side)}
				middle.x, middle.y = middle.x+d.x, middle.y+d.y
				out[i] = append(out[i], d)
			}
		}
		n := float64(len(out[i]))
		for j := range out[i] {
			out[i][j].x -= middle.x / n
			out[i][j].y -= middle.y / n
		}
	}
	return out
}

// directed returns the mean distance of a's ink pixels to the nearest of b's.
func directed(a, b []dot, side int) float64 {
	if len(a) == 0 || len(b) == 0 {
		if len(a) == len(b) {
			return 0
		}
		return math.Sqrt2 * float64(side)
	}
	sum := 0.0
	for _, p := range a {
		nearest := math.Inf(1)
		for _, q := range b {
			nearest = min(nearest, (p.x-q.x)*(p.x-q.x)+(p.y-q.y)*(p.y-q.y))
		}
		sum += math.Sqrt(nearest)
	}
	return sum / float64(len(a))
}

var _ Metric = ModifiedHausdorff{}
