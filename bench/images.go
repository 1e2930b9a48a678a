package main

import (
	"fmt"
	"math"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/episode"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/matchingnet"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/protonet"
	"github.com/engram-go/engram/relationnet"
	"github.com/engram-go/engram/siamese"
	"github.com/engram-go/engram/tensor"
)

const size, width = 28, 64 // of images and of Conv-4

// shape is that of square images.
type shape struct{ channels, side int64 }

var (
	characters = shape{1, size}
	cifar      = shape{3, 32}
	imageNet   = shape{3, 84}
)

// must returns v and panics on an error. Workloads use it for what cannot fail; measure turns a panic into an error.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// task is the same episode of characters as in torch/common.py.
func task(on tensor.Device, way, shot, query int64) *fewshot.Task {
	return taskOf(on, characters, way, shot, query)
}

func taskOf(on tensor.Device, of shape, way, shot, query int64) *fewshot.Task {
	each, c, side := shot+query, of.channels, of.side
	kind := uniform(on, 1, way, 1, c*side*side).Expand(way, each, c*side*side).Reshape(way*each, c, side, side)
	images := kind.MulScalar(.5).Add(uniform(on, 2, way*each, c, side, side).MulScalar(.5)).Reshape(1, way, each, c, side, side)
	return &fewshot.Task{
		Way:     way,
		Support: images.Narrow(2, 0, shot).Reshape(1, way*shot, c, side, side), SupportLabels: tensor.Upload(labels(way, shot), on, 1, way*shot),
		Query: images.Narrow(2, shot, query).Reshape(1, way*query, c, side, side), QueryLabels: tensor.Upload(labels(way, query), on, 1, way*query),
	}
}

// newConv4 makes the encoder of characters with the initial values of torch/common.py.
func newConv4(b *nn.Builder, c encoder.Conv4Config) encoder.Encoder {
	return newConv4Of(b, characters, c)
}

func newConv4Of(b *nn.Builder, of shape, c encoder.Conv4Config) encoder.Encoder {
	c.Channels, c.Height, c.Width, c.Filters = of.channels, of.side, of.side, width
	e := must(encoder.NewConv4(b, c))
	fillBlocks(b.Params().Trained(), 10)
	return e
}

// learning returns a function that takes steps of Adam on a loss. A positive clip limits the norm of the gradient.
func learning(params *nn.Params, rate, clip float64, loss func(p *nn.Pass) *tensor.Tensor) func(int) []float64 {
	opt := nn.NewAdam(params, nn.DefaultAdam())
	return repeated(func() float64 {
		s := tensor.Enter()
		defer s.Leave()
		l := loss(&nn.Pass{Training: true})
		grads := tensor.Grad(l, params.Tensors()...)
		if clip > 0 {
			grads = nn.ClipByNorm(grads, clip)
		}
		opt.Step(grads, rate)
		return l.Float()
	})
}

// repeated returns a function that takes n steps and returns their losses.
func repeated(step func() float64) func(n int) []float64 {
	return func(n int) []float64 {
		losses := make([]float64, n)
		for i := range losses {
			losses[i] = step()
		}
		return losses
	}
}

// rate is that of conv4.py. At 1e-3 the loss of large images of noise falls to 0 within some steps, and operations on its subnormal
// gradients take tens of times as long.
func (s shape) rate() float64 {
	if s.channels > 1 {
		return 1e-5
	}
	return 1e-3
}

// fewShotSteps takes training steps of a few-shot network on one task, with Adam; see [learning].
func fewShotSteps(b *nn.Builder, net fewshot.Learner, task *fewshot.Task, rate, clip float64) func(int) []float64 {
	return learning(b.Params(), rate, clip, func(p *nn.Pass) *tensor.Tensor {
		loss, _ := net.Loss(p, task)
		return loss
	})
}

// prototypes is a training step of a Prototypical network (Snell et al. 2017) as in the runner: Conv-4 under batch statistics,
// squared Euclidean distances to the class means, Adam. With auto set it computes in bfloat16 where that is faster.
func prototypes(of shape, way, shot, query int64, auto bool) func(on tensor.Device) func(int) []float64 {
	return func(on tensor.Device) func(int) []float64 {
		b := nn.NewBuilder(0, on)
		net := protonet.New(newConv4Of(b, of, encoder.Conv4Config{BFloat16: auto && bfloat16Pays()}), nil)
		task := taskOf(on, of, way, shot, query)
		return fewShotSteps(b, net, task, of.rate(), 0)
	}
}

// evaluation evaluates one test episode as the runner does, under running statistics.
func evaluation(way, shot, query int64) func(on tensor.Device) func(int) []float64 {
	return func(on tensor.Device) func(int) []float64 {
		b := nn.NewBuilder(0, on)
		net, task := protonet.New(newConv4(b, encoder.Conv4Config{}), nil), task(on, way, shot, query)
		return repeated(func() (loss float64) {
			s := tensor.Enter()
			defer s.Leave()
			tensor.NoGrad(func() {
				logp := net.LogProbs(&nn.Pass{Norm: nn.RunningStats}, task)
				task.Accuracies(logp)
				loss = task.NLL(logp).Float()
			})
			return loss
		})
	}
}

// newResNet12 makes the encoder, with 64, 160, 320 and 640 filters and the mean over positions, with the initial values of
// torch/resnet12.py.
func newResNet12(b *nn.Builder, of shape) encoder.Encoder {
	e := must(encoder.NewResNet12(b, encoder.ResNet12Config{Channels: of.channels, Height: of.side, Width: of.side, Mean: true}))
	fillConvolutions(b.Params())
	return e
}

// fillConvolutions sets the kernels to the initial values of the scripts of ResNets.
func fillConvolutions(params *nn.Params) {
	for i, p := range params.Trained() {
		if s := p.Value().Shape(); len(s) == 4 {
			fill([]*nn.Param{p}, math.Sqrt(6/float64(s[1]*s[2]*s[3])), uint32(10+i))
		}
	}
}

// classifier is a training step of a classifier of 64 classes on ResNet-12, whose last layer is linear, with Adam.
func classifier(of shape, images int64) func(on tensor.Device) func(int) []float64 {
	return func(on tensor.Device) func(int) []float64 {
		const classes = 64
		b := nn.NewBuilder(0, on)
		e := newResNet12(b, of)
		last := nn.NewLinear(b.In("last"), e.Width(), classes)
		fill([]*nn.Param{last.Weight, last.Bias}, 1/math.Sqrt(float64(e.Width())), 90)
		x := uniform(on, 1, images, of.channels, of.side, of.side)
		of := make([]int64, images)
		for i := range of {
			of[i] = int64(i) % classes
		}
		truth := tensor.Upload(of, on, images)
		return learning(b.Params(), 1e-3, 0, func(p *nn.Pass) *tensor.Tensor {
			return tensor.NLL(last.Forward(p, e.Forward(p, x)).LogSoftmax(-1), truth)
		})
	}
}

// embedding embeds images by ResNet-12 under running statistics, without gradients.
func embedding(of shape, images int64) func(on tensor.Device) func(int) []float64 {
	return func(on tensor.Device) func(int) []float64 {
		return embeddings(newResNet12(nn.NewBuilder(0, on), of), uniform(on, 1, images, of.channels, of.side, of.side))
	}
}

// photographs embeds images of 224×224 pixels by ResNet-18 in the same way.
func photographs(images int64) func(on tensor.Device) func(int) []float64 {
	return func(on tensor.Device) func(int) []float64 {
		const side = 224
		b := nn.NewBuilder(0, on)
		e := must(encoder.NewResNet(b, encoder.ResNetConfig{Channels: 3, Height: side, Width: side, Large: true}))
		fillConvolutions(b.Params())
		return embeddings(e, uniform(on, 1, images, 3, side, side))
	}
}

func embeddings(e encoder.Encoder, x *tensor.Tensor) func(int) []float64 {
	return repeated(func() (mean float64) {
		s := tensor.Enter()
		defer s.Leave()
		tensor.NoGrad(func() { mean = e.Forward(&nn.Pass{Norm: nn.RunningStats}, x).Square().Mean().Float() })
		return mean
	})
}

// attending is a training step of a Matching network (Vinyals et al. 2016, section 2.1) with a memory; nil is its own, which reads by
// a softmax over cosines.
func attending(mem memory.Associative, way, shot, query int64) func(on tensor.Device) func(int) []float64 {
	return func(on tensor.Device) func(int) []float64 {
		b := nn.NewBuilder(0, on)
		net, task := matchingnet.New(newConv4(b, encoder.Conv4Config{}), mem), task(on, way, shot, query)
		return fewShotSteps(b, net, task, 1e-3, 0)
	}
}

// matching is a training step of a Matching network with full-context embeddings (Vinyals et al. 2016, appendix A).
func matching(way, shot, query int64) func(on tensor.Device) func(int) []float64 {
	return func(on tensor.Device) func(int) []float64 {
		b := nn.NewBuilder(0, on)
		net, task := matchingnet.New(newConv4(b, encoder.Conv4Config{}), nil), task(on, way, shot, query)
		made := len(b.Params().Trained())
		net.Context = matchingnet.NewContext(b.In("context"), width, matchingnet.DefaultReads)
		fill(b.Params().Trained()[made:], 1./8, 50)
		return fewShotSteps(b, net, task, 1e-3, 0)
	}
}

// relation is a training step of a Relation network (Sung et al. 2018), its gradient clipped as in its experiment.
func relation(way, shot, query int64) func(on tensor.Device) func(int) []float64 {
	return func(on tensor.Device) func(int) []float64 {
		b := nn.NewBuilder(0, on)
		e, task := newConv4(b, encoder.Conv4Config{Pools: 2, Unpadded: 2}), task(on, way, shot, query)
		made := len(b.Params().Trained())
		net := relationnet.New(e, relationnet.NewMemory(b, e), relationnet.MSE)
		params := b.Params().Trained()[made:]
		fillBlocks(params[:8], 110)
		fill(params[8:], 1./8, 50)
		return fewShotSteps(b, net, task, 1e-3, .5)
	}
}

// koch is a training step of Koch's Siamese network (Koch et al. 2015) on count pairs, with batch norm as in its
// experiments.
func koch(count int64) func(on tensor.Device) func(int) []float64 {
	return func(on tensor.Device) func(int) []float64 {
		b := nn.NewBuilder(0, on)
		e := must(encoder.NewKoch(b, encoder.KochConfig{Normalize: true}))
		params := b.Params().Trained()
		fillBlocks(params[:16], 10)
		fill(params[16:], 1/math.Sqrt(256*36), 50)
		net := siamese.New(b, e, siamese.Config{})
		same := make([]float32, count)
		for i := range same {
			same[i] = float32((i + 1) % 2)
		}
		images := uniform(on, 1, 2*count, 1, 105, 105)
		pairs := &fewshot.Pairs{Left: images.Narrow(0, 0, count), Right: images.Narrow(0, count, count), Same: tensor.Upload(same, on, count)}
		return learning(b.Params(), 3e-4, 0, func(p *nn.Pass) *tensor.Tensor {
			loss, _ := net.PairLoss(p, pairs)
			return loss
		})
	}
}

// sampling draws episodes and copies them into tensors. All images have the same sum, so that the result does not depend on
// which are drawn.
func sampling(way, shot, query int) func(on tensor.Device) func(int) []float64 {
	const classes, each, pixels = 1000, 20, size * size
	return func(on tensor.Device) func(int) []float64 {
		first := make([]byte, pixels)
		for i, v := range numbers(1, pixels) {
			first[i] = byte(256 * v)
		}
		names, counts, all := make([]string, classes), make([]int, classes), make([]byte, 0, classes*each*pixels)
		for c := range classes {
			names[c], counts[c] = fmt.Sprint(c), each
			for i := range each {
				by := pixels - (c*each+i)%pixels
				all = append(append(all, first[by:]...), first[:by]...)
			}
		}
		set := must(dataset.NewImages(names, counts, 1, size, size, all))
		sampler := must(episode.New(set, episode.Spec{Way: way, Shot: shot, Query: query}, 1, "bench"))
		batch, next := new(episode.Batch), uint64(0)
		return func(n int) (out []float64) {
			for i := range n {
				s := tensor.Enter()
				sampler.Fill(batch, next, 1)
				next++
				t := fewshot.NewTask(batch, on)
				if i == n-1 {
					sum := func(x *tensor.Tensor) float64 { return x.To(tensor.Float64).Sum().Float() }
					out = []float64{float64(t.Support.Dim(1)), float64(t.Query.Dim(1)), sum(t.Support) + sum(t.Query), sum(t.SupportLabels), sum(t.QueryLabels)}
				}
				s.Leave()
			}
			return out
		}
	}
}
