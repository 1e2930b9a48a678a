package main

import (
	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/experiments/registry"
	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// kernelNetConfig holds the keys of the network in experiment files.
type kernelNetConfig struct {
	Encoder schema.Section `yaml:"encoder" family:"encoder" doc:"an image to an embedding"`
	Width   float64        `yaml:"width" above:"0" doc:"of the kernel, in units of squared distance"`
}

func kernelNetPart(p *registry.Parts) registry.Part[registry.FewShot] {
	return registry.Part[registry.FewShot]{
		Name: "kernelnet", Doc: "a kernel density estimate of each class", Paper: "Parzen 1962",
		Make: registry.Config(kernelNetConfig{schema.NewSection("conv4", nil), 1}, func(c *kernelNetConfig) (registry.FewShot, error) {
			e, err := p.Encoders.Plan(&c.Encoder)
			return registry.FewShot{
				NoStream:       "has no memory; use protonet or matchingnet",
				NoVerification: "classifies and compares no pairs; use siamese",
				New: func(b *nn.Builder, in registry.FewShotInput) (fewshot.Network, error) {
					made, err := e.New(b.In("encoder"), in.Shape)
					return &kernelNet{made, c.Width}, err
				},
			}, err
		}),
	}
}

// kernelNet predicts the class with the largest sum of kernels exp(-|q-s|²/width) over its support images s.
type kernelNet struct {
	encoder encoder.Encoder
	width   float64
}

// LogProbs implements fewshot.Network.
func (n *kernelNet) LogProbs(p *nn.Pass, t *fewshot.Task) *tensor.Tensor {
	support, query := t.Embed(p, n.encoder)                    // [tasks, way·shot, width] and [tasks, query, width]
	difference := query.Unsqueeze(2).Sub(support.Unsqueeze(1)) // [tasks, query, way·shot, width]
	similarity := difference.Square().Mean(-1).MulScalar(-1 / n.width).Softmax(-1)
	sums := similarity.MatMul(t.SupportLabels.OneHot(t.Way).To(similarity.DType())) // [tasks, query, way]
	return sums.ClampMin(1e-30).Log()
}

// Loss implements fewshot.Network.
func (n *kernelNet) Loss(p *nn.Pass, t *fewshot.Task) (loss, logp *tensor.Tensor) {
	logp = n.LogProbs(p, t)
	return t.NLL(logp), logp
}
