package head

import (
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// Rectification is what BD-CSPN does to a task before it classifies: Liu et al. 2020, section 3.
type Rectification struct {
	// Sharpness ε of the weights exp(ε·cos) of the examples in a class mean; the paper has 10.
	Sharpness float64
}

// rectify shifts the queries so that their mean is that of the support set, assigns each to the class mean of the largest
// cosine, and takes the means anew over support examples and assigned queries, weighted by exp(ε·cos). It returns the means
// [tasks, way, width] and the shifted queries.
func (c Rectification) rectify(support, query, y *tensor.Tensor) (prototypes, shifted *tensor.Tensor) {
	first := means(support, y)
	shifted = query.Add(support.MeanKeep(1).Sub(query.MeanKeep(1)))
	all := tensor.Cat(1, support, shifted)
	cos := cosines(all, first)
	assigned := cos.Narrow(1, y.Dim(1), query.Dim(1)).Argmax(-1).OneHot(y.Dim(2)).To(y.DType())
	return means(all, tensor.Cat(1, y, assigned).Mul(cos.MulScalar(c.Sharpness).Exp())), shifted
}

// BDCSPN is the nearest class mean by cosine, of bias-diminished queries to rectified means: Liu et al. 2020. It is
// transductive, and not trained through. Queries are classified after the shift, as in the paper and in the code of
// LaplacianShot; the library easyfsl classifies them before it.
type BDCSPN struct {
	rectification Rectification
	scale         float64
}

// NewBDCSPN makes the head. scale multiplies the cosines before the softmax, which changes no prediction.
func NewBDCSPN(r Rectification, scale float64) *BDCSPN { return &BDCSPN{r, scale} }

// Transductive implements [Transductive].
func (h *BDCSPN) Transductive() bool { return true }

// LogProbs implements [Head].
func (h *BDCSPN) LogProbs(_ *nn.Pass, t *fewshot.Task) (logp *tensor.Tensor) {
	tensor.NoGrad(func() {
		prototypes, query := h.rectification.rectify(t.Support, t.Query, oneHot(t))
		logp = cosines(query, prototypes).MulScalar(h.scale).LogSoftmax(-1)
	})
	return logp
}

// LaplacianConfig configures [NewLaplacian].
type LaplacianConfig struct {
	Rectification
	Rectify   bool // begins with rectified class means and shifted queries, instead of class means and queries
	Normalize bool // divides embeddings by their Euclidean norms
	// Neighbours of each query, itself not counted: knn: 3 in the authors' code and in easyfsl means 2, as both count it.
	Neighbours int64
	Lambda     float64 // the weight of the neighbours' assignments
	Steps      int     // bound updates
}

// Laplacian is LaplacianShot: Ziko et al. 2020, algorithm 1. It assigns queries to class means so that neighbouring queries get
// similar assignments. It is transductive, and not trained through.
type Laplacian struct{ c LaplacianConfig }

// NewLaplacian makes the head.
func NewLaplacian(c LaplacianConfig) *Laplacian { return &Laplacian{c} }

// Transductive implements [Transductive].
func (h *Laplacian) Transductive() bool { return true }

// LogProbs implements [Head].
func (h *Laplacian) LogProbs(_ *nn.Pass, t *fewshot.Task) (logp *tensor.Tensor) {
	tensor.NoGrad(func() {
		support, query, y := t.Support, t.Query, oneHot(t)
		if h.c.Normalize {
			support, query = unit(support), unit(query)
		}
		var prototypes *tensor.Tensor
		if h.c.Rectify {
			prototypes, query = h.c.rectify(support, query, y)
		} else {
			prototypes = means(support, y)
		}
		unary := squaredDistances(query, prototypes).Neg() // -a: [tasks, query, way]
		logp = unary.LogSoftmax(-1)
		if k := min(h.c.Neighbours, query.Dim(1)-1); k > 0 {
			affinity := neighbours(query, k).MulScalar(h.c.Lambda)
			for range h.c.Steps {
				logp = unary.Add(affinity.MatMul(logp.Exp())).LogSoftmax(-1)
			}
		}
	})
	return logp
}

// neighbours returns W [tasks, n, n] with W_ij = 1 where j is one of the k nearest neighbours of i in x [tasks, n, width], i
// itself excluded. It is not symmetric.
func neighbours(x *tensor.Tensor, k int64) *tensor.Tensor {
	d := squaredDistances(x, x)
	itself := tensor.Eye(d.Dim(-1), d.DType(), d.Device())
	_, at := d.Mul(itself.OnesLike().Sub(itself)).Add(itself.MulScalar(1e30)).Neg().TopK(k, -1)
	return d.ZerosLike().Scatter(-1, at, at.OnesLike().To(d.DType()))
}

// SoftKMeans refines the class means by soft k-means steps over the queries: Ren et al. 2018, section 3.1, with the queries in
// the place of unlabelled examples. Assignments are the softmax of the negated squared distances times a scale. It is
// transductive, and not trained through.
type SoftKMeans struct {
	steps     int
	scale     float64
	normalize bool
}

// NewSoftKMeans makes the head. The paper takes one step and a scale of 1, on embeddings as they are.
func NewSoftKMeans(steps int, scale float64, normalize bool) *SoftKMeans {
	return &SoftKMeans{steps, scale, normalize}
}

// Transductive implements [Transductive].
func (h *SoftKMeans) Transductive() bool { return true }

// LogProbs implements [Head].
func (h *SoftKMeans) LogProbs(_ *nn.Pass, t *fewshot.Task) (logp *tensor.Tensor) {
	tensor.NoGrad(func() {
		all, y := tensor.Cat(1, t.Support, t.Query), oneHot(t)
		if h.normalize {
			all = unit(all)
		}
		n := y.Dim(1)
		support, query := all.Narrow(1, 0, n), all.Narrow(1, n, t.Query.Dim(1))
		prototypes := means(support, y)
		for range h.steps {
			assigned := squaredDistances(query, prototypes).MulScalar(-h.scale).Softmax(-1)
			prototypes = means(all, tensor.Cat(1, y, assigned))
		}
		logp = squaredDistances(query, prototypes).MulScalar(-h.scale).LogSoftmax(-1)
	})
	return logp
}
