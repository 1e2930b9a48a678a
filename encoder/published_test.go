package encoder_test

import (
	"cmp"
	"encoding/json"
	"hash/crc32"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// uniform returns numbers in [-1, 1) that depend on a name; testdata/published.py has the same formula.
func uniform(name string, n int64) []float32 {
	out, first := make([]float32, n), crc32.ChecksumIEEE([]byte(name))
	for i := range out {
		h := first + uint32(i)*0x9E3779B1
		h ^= h >> 16
		h *= 0x85EBCA6B
		h ^= h >> 13
		h *= 0xC2B2AE35
		h ^= h >> 16
		out[i] = float32(float64(h)/(1<<31) - 1)
	}
	return out
}

// fill gives parameters the values of testdata/published.py.
func fill(ps *nn.Params) {
	for _, p := range ps.All() {
		shape := p.Value().Shape()
		values := uniform(p.Name, p.Value().Numel())
		offset, factor := float32(0), float32(.25)
		switch {
		case len(shape) == 4:
			factor = float32(math.Sqrt(6 / float64(shape[1]*shape[2]*shape[3])))
		case strings.HasSuffix(p.Name, ".weight"):
			offset = 1
		case strings.HasSuffix(p.Name, ".running_var"):
			offset, factor = 1, .5
		}
		for i := range values {
			values[i] = offset + factor*values[i]
		}
		p.Value().Assign(tensor.New(values, shape...))
	}
}

// colourful returns the images of testdata/published.py.
func colourful(shape ...int64) *tensor.Tensor {
	values := uniform("images", shape[0]*shape[1]*shape[2]*shape[3])
	for i, v := range values {
		values[i] = (v + 1) / 2
	}
	return tensor.New(values, shape...)
}

// published is a result of a published implementation: 32 numbers of each embedding and the norm of all.
type published struct {
	Some [][]float64
	Norm float64
}

type publishedCase struct {
	Shape           []int64
	Eval, Train     published
	Frozen, Trained []float64 // norms of the gradients of the sum of squares, by the names of the parameters
	Running         map[string]float64

	// Products of these gradients with numbers that depend on the name of the parameter, so that every element counts; nil where the
	// case has none.
	FrozenAlong  []float64 `json:"frozen_along"`
	TrainedAlong []float64 `json:"trained_along"`
}

const publishedTolerance = 1e-4 // relative, in float32

func (want published) is(t *testing.T, y *tensor.Tensor, tolerance float64) {
	t.Helper()
	y = y.Detach()
	assert.InEpsilon(t, want.Norm, math.Sqrt(y.Square().Sum().Float()), tolerance)
	values, width := y.Floats(), int(y.Dim(1))
	for i, row := range want.Some {
		scale := max(slices.Max(row), -slices.Min(row))
		for j, v := range row {
			assert.InDelta(t, v, values[i*width+j*(width/32)], tolerance*scale, "row %d, number %d", i, j*(width/32))
		}
	}
}

// resNet makes a ResNet of the size that is published.
func resNet(bottleneck bool, blocks ...int64) func(b *nn.Builder) (encoder.Encoder, error) {
	return func(b *nn.Builder) (encoder.Encoder, error) {
		return encoder.NewResNet(b, encoder.ResNetConfig{
			Channels: 3, Height: 224, Width: 224, Blocks: [4]int64(blocks), Large: true, Bottleneck: bottleneck,
		})
	}
}

func yolo(c encoder.YOLOConfig) func(b *nn.Builder) (encoder.Encoder, error) {
	return func(b *nn.Builder) (encoder.Encoder, error) { return encoder.NewYOLO(b, c) }
}

func lite(form encoder.EfficientNetLiteForm) func(b *nn.Builder) (encoder.Encoder, error) {
	return func(b *nn.Builder) (encoder.Encoder, error) { return encoder.NewEfficientNetLite(b, 3, form), nil }
}

// Encoders whose weights are published compute what the published implementations do, frozen and in training.
func TestPublishedEncoders(t *testing.T) {
	text, err := os.ReadFile("testdata/published.json")
	require.NoError(t, err)
	var all map[string][]publishedCase
	require.NoError(t, json.Unmarshal(text, &all))
	networks := map[string]func(b *nn.Builder) (encoder.Encoder, error){
		"resnet18":      resNet(false, 2, 2, 2, 2),
		"resnet34":      resNet(false, 3, 4, 6, 3),
		"resnet50":      resNet(true, 3, 4, 6, 3),
		"timm-resnet50": resNet(true, 3, 4, 6, 3),
		"mobilenet-v2": func(b *nn.Builder) (encoder.Encoder, error) {
			return encoder.NewMobileNetV2(b, 3), nil
		},
		"efficientnet-lite0":            lite(encoder.TensorFlowForm),
		"efficientnet-lite0-tensorflow": lite(encoder.TensorFlowForm),
		"efficientnet-lite0-timm":       lite(encoder.TimmForm),
		"yolov5n":                       yolo(encoder.YOLOConfig{Form: encoder.YOLOv5}),
		"yolov8n":                       yolo(encoder.YOLOConfig{}),
		"yolov8n-three":                 yolo(encoder.YOLOConfig{Layers: []int64{4, 6, 9}}),
	}
	require.Len(t, all, len(networks))
	for name, cases := range all {
		t.Run(name, func(t *testing.T) {
			testkit.Enter(t)
			b := nn.NewBuilder(1, tensor.CPU)
			defer b.Params().Free()
			e, err := networks[name](b)
			require.NoError(t, err)
			for _, c := range cases {
				fill(b.Params())
				c.is(t, e, b.Params(), colourful(c.Shape...))
				if c.FrozenAlong != nil {
					fill(b.Params())
					c.elements(t, e, b.Params(), colourful(c.Shape...))
				}
			}
		})
	}
}

func (c publishedCase) is(t *testing.T, e encoder.Encoder, ps *nn.Params, x *tensor.Tensor) {
	t.Helper()
	frozen := e.Forward(&nn.Pass{Norm: nn.RunningStats}, x)
	c.Eval.is(t, frozen, publishedTolerance)
	assert.Equal(t, e.Width(), frozen.Dim(1))
	trained := ps.Trained()
	slices.SortFunc(trained, func(a, b *nn.Param) int { return cmp.Compare(a.Name, b.Name) })
	var values []*tensor.Tensor
	for _, p := range trained {
		values = append(values, p.Value())
	}
	for _, mode := range []struct {
		pass  nn.Pass
		want  published
		norms []float64
		// Relative errors of embeddings and of the norms of gradients. Rounding decides of a few of the millions of ReLUs whether a
		// gradient passes, and one of the last layer has about 1 % of a norm; under batch statistics of a dozen positions rounding
		// grows from layer to layer.
		embedding, gradient float64
	}{
		{nn.Pass{Norm: nn.RunningStats}, c.Eval, c.Frozen, publishedTolerance, 2e-2},
		{nn.Pass{Training: true}, c.Train, c.Trained, 5 * publishedTolerance, 5e-2},
	} {
		require.Len(t, mode.norms, len(trained))
		var y *tensor.Tensor
		tensor.WithGrad(func() { y = e.Forward(&mode.pass, x) })
		mode.want.is(t, y, mode.embedding)
		for i, g := range tensor.Grad(y.Square().Sum(), values...) {
			require.NotNil(t, g, trained[i].Name)
			// Batch norm makes some gradients 0 but for rounding.
			assert.InDelta(t, mode.norms[i], math.Sqrt(g.Square().Sum().Float()), mode.gradient*mode.norms[i]+1e-5*slices.Max(mode.norms), trained[i].Name)
		}
	}
	got := map[string]float64{}
	for _, p := range ps.All() {
		if p.Buffer {
			leaf := p.Name[strings.LastIndexByte(p.Name, '.')+1:]
			got[leaf] += math.Sqrt(p.Value().Square().Sum().Float())
		}
	}
	for leaf, want := range c.Running {
		assert.InEpsilon(t, want, got[leaf], publishedTolerance, leaf)
	}
}

// elements checks every element of the gradients: those in float64 by their products with the numbers of the reference, and those in
// float32, of whatever operations are chosen for it, against those in float64.
func (c publishedCase) elements(t *testing.T, e encoder.Encoder, ps *nn.Params, x *tensor.Tensor) {
	t.Helper()
	wide := x.To(tensor.Float64)
	for _, mode := range []struct {
		pass  nn.Pass
		want  []float64
		norms []float64
		// Relative distance in float32: under batch statistics of a dozen positions, rounding decides of some ReLUs.
		tolerance float64
	}{{nn.Pass{Norm: nn.RunningStats}, c.FrozenAlong, c.Frozen, 1e-3}, {nn.Pass{Training: true}, c.TrainedAlong, c.Trained, .1}} {
		double, leaves := testkit.Double(mode.pass, ps)
		trained := ps.Trained()
		at := map[string]int{}
		var names []string
		for i, p := range trained {
			at[p.Name] = i
			names = append(names, p.Name)
		}
		slices.Sort(names)
		require.Len(t, mode.want, len(names))
		gradients := func(pass *nn.Pass, x *tensor.Tensor, of []*tensor.Tensor) []*tensor.Tensor {
			var y *tensor.Tensor
			tensor.WithGrad(func() { y = e.Forward(pass, x) })
			return tensor.Grad(y.Square().Sum(), of...)
		}
		var values []*tensor.Tensor
		for _, p := range trained {
			values = append(values, p.Value())
		}
		exact, single := gradients(double, wide, leaves), gradients(&mode.pass, x, values)
		largest := slices.Max(mode.norms)
		worst := 0.
		for k, name := range names {
			g := exact[at[name]]
			numbers := uniform("along "+name, g.Numel())
			product, size := 0., 0.
			for i, v := range g.Floats() {
				product += v * float64(numbers[i])
				size += float64(numbers[i]) * float64(numbers[i])
			}
			assert.InDelta(t, mode.want[k], product, 1e-6*mode.norms[k]*math.Sqrt(size)+1e-9*largest, name)
			apart := math.Sqrt(single[at[name]].To(tensor.Float64).Sub(g).Square().Sum().Float())
			worst = max(worst, (apart-1e-5*largest)/mode.norms[k])
		}
		assert.Less(t, worst, mode.tolerance, "the largest relative distance between the gradients of a parameter in either precision")
	}
}

// Every trained parameter is in one block, in the order in which images go through them.
func TestPublishedEncodersSayTheirBlocks(t *testing.T) {
	testkit.Enter(t)
	for _, c := range []struct {
		make  func(b *nn.Builder) (encoder.Encoder, error)
		want  int
		first string // parameter of the last block
	}{
		{resNet(true, 3, 4, 6, 3), 5, "layer4.0.conv1.weight"},
		{func(b *nn.Builder) (encoder.Encoder, error) { return encoder.NewMobileNetV2(b, 3), nil }, 19, "features.18.0.weight"},
		{lite(encoder.TensorFlowForm), 9, "conv_head.weight"},
	} {
		b := nn.NewShapes()
		e, err := c.make(b)
		require.NoError(t, err)
		e, err = encoder.Normalize(e, encoder.Normalization{Mean: []float64{.5}}, 3)
		require.NoError(t, err)
		blocks := encoder.Blocks(e)
		assert.Len(t, blocks, c.want)
		assert.Equal(t, c.first, blocks[c.want-1][0].Name)
		assert.Equal(t, b.Params().Trained(), slices.Concat(blocks...))
		b.Params().Free()
	}
	assert.Nil(t, encoder.Blocks(encoder.NewPixels(1, 2, 2)))
}

// The sizes are those that are published: torchvision's and timm's, without the classifier.
func TestPublishedEncodersHaveThePublishedSizes(t *testing.T) {
	testkit.Enter(t)
	for want, make := range map[int64]func(b *nn.Builder) (encoder.Encoder, error){
		11_689_512 - 513_000:   resNet(false, 2, 2, 2, 2),
		21_797_672 - 513_000:   resNet(false, 3, 4, 6, 3),
		25_557_032 - 2_049_000: resNet(true, 3, 4, 6, 3),
		3_504_872 - 1_281_000:  func(b *nn.Builder) (encoder.Encoder, error) { return encoder.NewMobileNetV2(b, 3), nil },
		4_652_008 - 1_281_000:  lite(encoder.TimmForm),
	} {
		b := nn.NewShapes()
		_, err := make(b)
		require.NoError(t, err)
		assert.Equal(t, want, b.Params().Count())
		b.Params().Free()
	}
	b := nn.NewShapes()
	defer b.Params().Free()
	for _, layers := range [][]int64{{}, {10}, {-1}, {4, 4}, {9, 6}} {
		_, err := encoder.NewYOLO(b, encoder.YOLOConfig{Layers: layers})
		assert.ErrorContains(t, err, "encoder: YOLO: ")
	}
}

// A grey image counts as one whose colours are equal.
func TestGreyImagesAreRepeated(t *testing.T) {
	testkit.Enter(t)
	b := nn.NewBuilder(1, tensor.CPU)
	defer b.Params().Free()
	bare := encoder.NewMobileNetV2(b, 3)
	grey, err := encoder.Normalize(bare, encoder.Normalization{Repeat: 3, Mean: []float64{.1, .2, .3}, Std: []float64{1, 2, 3}}, 3)
	require.NoError(t, err)
	colour, err := encoder.Normalize(bare, encoder.Normalization{Mean: []float64{.1, .2, .3}, Std: []float64{1, 2, 3}}, 3)
	require.NoError(t, err)
	x := colourful(2, 1, 40, 33)
	pass := &nn.Pass{Norm: nn.RunningStats}
	assert.Equal(t, colour.Forward(pass, tensor.Cat(1, x, x, x)).Floats(), grey.Forward(pass, x).Floats())
}
