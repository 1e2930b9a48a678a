package registry

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/nn/weights"
	"github.com/engram-go/engram/tensor"
)

func encoders() []Part[Encoder] {
	return slices.Concat([]Part[Encoder]{
		{kindConv4, "four convolutional blocks with batch norm", "Vinyals et al. 2016, section 4.1", Config(
			conv4Config{Filters: 64, Pools: 4, Bias: true, precise: precise{encoder.FP32}}, (*conv4Config).plan)},
		{"koch", "the convolutional network of the first deep Siamese network", "Koch et al. 2015, section 3.1", Config(
			kochConfig{Kernels: []int64{10, 7, 4, 4}, Filters: []int64{64, 128, 128, 256}, Embedding: 4096, Precision: encoder.FP32},
			(*kochConfig).plan)},
		{"resnet12", "four residual blocks of three convolutions", "Oreshkin et al. 2018; Lee et al. 2019", Config(
			resnet12Config{Form: string(encoder.LeeForm), precise: precise{encoder.FP32}}, (*resnet12Config).plan)},
		{"resnet10", "the residual network of four basic blocks", "He et al. 2016; Chen et al. 2019", Config(
			resnetConfig{}, func(c *resnetConfig) (Encoder, error) { return c.plan(false, 1, 1, 1, 1) })},
		{"resnet18", "the residual network of eight basic blocks", "He et al. 2016", Config(
			resnetConfig{}, func(c *resnetConfig) (Encoder, error) { return c.plan(false, 2, 2, 2, 2) })},
		{"resnet34", "the residual network of sixteen basic blocks", "He et al. 2016", Config(
			resnetConfig{}, func(c *resnetConfig) (Encoder, error) { return c.plan(false, 3, 4, 6, 3) })},
		{"resnet50", "the residual network of sixteen bottlenecks", "He et al. 2016", Config(
			resnetConfig{}, func(c *resnetConfig) (Encoder, error) { return c.plan(true, 3, 4, 6, 3) })},
		{"wrn", "a wide residual network, WRN-28-10 as it is", "Zagoruyko and Komodakis 2016", Config(
			wrnConfig{Depth: 28, Factor: 10}, (*wrnConfig).plan)},
		{"mobilenet-v2", "the network of inverted residual blocks for telephones", "Sandler et al. 2018", Config(
			plainConfig{}, func(c *plainConfig) (Encoder, error) {
				return c.begins(Encoder{New: func(b *nn.Builder, in Shape) (encoder.Encoder, error) {
					return encoder.NewMobileNetV2(b, int64(in.Channels)), nil
				}}, imageNet(weights.Layout{Skip: []string{"classifier.*"}}))
			})},
		{"efficientnet-lite0", "EfficientNet-B0 without squeeze and excitation", "Tan and Le 2019", Config(
			efficientNetConfig{Form: string(encoder.TensorFlowForm)}, (*efficientNetConfig).plan)},
		{"yolo", "the backbone of the detectors YOLOv5 and YOLOv8, sizes n and s", "Wang et al. 2020", Config(
			yoloConfig{Form: string(encoder.YOLOv8), Filters: 16, Layers: []int64{encoder.YOLOLayers - 1}}, (*yoloConfig).plan)},
		{"torchscript", "a TorchScript module from a file", "", Config(torchscriptConfig{Repeat: 1}, (*torchscriptConfig).plan)},
		{"pixels", "the image itself", "", Plain(Encoder{
			New: func(_ *nn.Builder, in Shape) (encoder.Encoder, error) {
				return encoder.NewPixels(int64(in.Channels), int64(in.Height), int64(in.Width)), nil
			},
			Identity: true,
		})},
	}, vits())
}

// The precisions that a file may request besides encoder.FP32. auto is decided when a run starts.
const (
	precisionHalf = "bf16"
	precisionAuto = "auto"
)

// normalization holds the keys of an encoder about the values of its images.
type normalization struct {
	Inverted bool      `yaml:"inverted" doc:"exchange light and dark first, so that x becomes 1 - x: for weights that were trained with ink as 0"`
	Mean     []float64 `yaml:"mean" doc:"subtracted from images with values between 0 and 1: one number, or one per channel"`
	Std      []float64 `yaml:"std" above:"0" doc:"images are divided by it afterwards: one number, or one per channel"`
}

// Normalizer is a configuration of an encoder that says whether images are normalised before the encoder gets them.
type Normalizer interface{ Normalizes() bool }

func (c *normalization) normalizes() bool {
	return c != nil && (c.Inverted || slices.ContainsFunc(c.Mean, func(v float64) bool { return v != 0 }) || slices.ContainsFunc(c.Std, func(v float64) bool { return v != 1 }))
}

// normalize wraps an encoder so that it gets normalised images. If repeat is not 0, it first repeats the only channel of an image. err
// is the error of making the encoder, which it returns.
func (c *normalization) normalize(e encoder.Encoder, in Shape, repeat int64, err error) (encoder.Encoder, error) {
	if err != nil {
		return nil, err
	}
	n := encoder.Normalization{Repeat: repeat}
	if c != nil {
		n.Inverted, n.Mean, n.Std = c.Inverted, c.Mean, c.Std
	}
	return encoder.Normalize(e, n, int64(in.Channels))
}

// precise is the precision of an encoder.
type precise struct {
	Precision string `yaml:"precision" enum:"fp32,bf16,auto" doc:"of the convolutions and of the maps between blocks; auto is bf16 where that is faster on the machine on which the run starts"`
}

// Settle implements [Settler].
func (c *precise) Settle(on tensor.Device) error {
	if c.Precision == precisionAuto {
		if c.Precision = encoder.FP32; on == tensor.CPU && encoder.BFloat16Pays() {
			c.Precision = precisionHalf
		}
	}
	return nil
}

func (c *precise) half() bool {
	return c.Precision == precisionHalf || c.Precision == precisionAuto && encoder.BFloat16Pays()
}

type conv4Config struct {
	Filters  int64 `yaml:"filters" min:"1"`
	Pools    int64 `yaml:"pools" min:"1" max:"4" doc:"how many of the four blocks pool, from the first on"`
	Unpadded int64 `yaml:"unpadded" min:"0" max:"4" doc:"how many of the blocks have no padding, from the first on"`
	Strided  bool  `yaml:"strided" doc:"convolutions of stride 2 instead of pooling"`
	Bias     bool  `yaml:"bias" doc:"convolutions have a bias, which batch norm cancels in training"`
	Whole    bool  `yaml:"whole" doc:"pool incomplete windows at the edge too, so that sizes are rounded up: ceil_mode in PyTorch, SAME padding in TensorFlow"`
	Mean     bool  `yaml:"mean" doc:"the embedding is the mean of the maps over their positions"`

	precise `yaml:",inline"`
	begun   `yaml:",inline"`
}

func (c *conv4Config) plan() (Encoder, error) {
	return c.begins(Encoder{New: func(b *nn.Builder, in Shape) (encoder.Encoder, error) {
		return encoder.NewConv4(b, encoder.Conv4Config{
			Channels: int64(in.Channels), Height: int64(in.Height), Width: int64(in.Width),
			Filters: c.Filters, Pools: c.Pools, Unpadded: c.Unpadded, Strided: c.Strided, Mean: c.Mean, NoBias: !c.Bias, Whole: c.Whole,
			BFloat16: c.half(),
		})
	}}, publishedImages{})
}

type kochConfig struct {
	Kernels   []int64 `yaml:"kernels" min:"1" minlen:"4" maxlen:"4" doc:"sides of the convolutions' kernels"`
	Filters   []int64 `yaml:"filters" min:"1" minlen:"4" maxlen:"4" doc:"of the convolutions"`
	Embedding int64   `yaml:"embedding" min:"1" doc:"units of the last layer"`
	Normalize bool    `yaml:"normalize" doc:"batch norm, which the paper does not have, and He initialisation"`
	Precision string  `yaml:"precision" enum:"fp32,bf16" doc:"of the convolutions"`
	begun     `yaml:",inline"`
}

func (c *kochConfig) plan() (Encoder, error) {
	return c.begins(Encoder{New: func(b *nn.Builder, in Shape) (encoder.Encoder, error) {
		return encoder.NewKoch(b, encoder.KochConfig{
			Channels: int64(in.Channels), Height: int64(in.Height), Width: int64(in.Width), Kernels: [4]int64(c.Kernels),
			Filters: [4]int64(c.Filters), Embedding: c.Embedding, Normalize: c.Normalize, BFloat16: c.Precision == precisionHalf,
		})
	}}, publishedImages{})
}

type resnet12Config struct {
	Form    string  `yaml:"form" enum:"lee,tadam" doc:"lee: 64, 160, 320 and 640 filters and the maps as they are; tadam: 64, 128, 256 and 512 filters and the mean over positions"`
	Filters []int64 `yaml:"filters" min:"1" doc:"of the four blocks; empty stands for the form's"`
	Mean    bool    `yaml:"mean" doc:"the embedding is the mean of the maps over their positions, whatever the form: 640-wide as in RFS and FEAT"`
	Drop    float64 `yaml:"drop" min:"0" below:"1" doc:"the probability that a value of a block's maps is dropped in training"`
	Region  int64   `yaml:"drop_block" min:"0" doc:"side of the regions that are dropped after the last two blocks (DropBlock): 5 in MetaOptNet, 2 for images of 32 pixels; 0 drops single values"`
	precise `yaml:",inline"`
	begun   `yaml:",inline"`
}

// Validate implements [schema.Validator].
func (c *resnet12Config) Validate() error {
	return fourFilters(c.Filters, "blocks")
}

func (c *resnet12Config) plan() (Encoder, error) {
	form := encoder.ResNet12Form(c.Form)
	if c.Filters == nil {
		filters := encoder.ResNet12Config{Form: form}.WithDefaults().Filters
		c.Filters = filters[:]
	}
	return c.begins(Encoder{New: func(b *nn.Builder, in Shape) (encoder.Encoder, error) {
		return encoder.NewResNet12(b, encoder.ResNet12Config{
			Channels: int64(in.Channels), Height: int64(in.Height), Width: int64(in.Width),
			Form: form, Filters: [4]int64(c.Filters), Mean: c.Mean, Drop: c.Drop, DropBlock: c.Region, BFloat16: c.half(),
		})
	}}, publishedImages{})
}

type resnetConfig struct {
	Filters  []int64 `yaml:"filters" min:"1" doc:"of the four stages; empty means 64, 128, 256 and 512"`
	Large    bool    `yaml:"large" doc:"begin with a 7×7 convolution of stride 2, as for images of 224 pixels, instead of 3×3 of stride 1; set where weights do"`
	Unpooled bool    `yaml:"unpooled" doc:"no max pooling after the first convolution, as is usual for images of 32 pixels"`
	begun    `yaml:",inline"`
}

// Validate implements [schema.Validator].
func (c *resnetConfig) Validate() error { return fourFilters(c.Filters, "stages") }

// fourFilters refuses a list of filters that has neither four numbers nor none.
func fourFilters(filters []int64, of string) error {
	if n := len(filters); n != 0 && n != 4 {
		return schema.At("filters", fmt.Errorf("want one number for each of the four %s, or none for the usual ones; got %d", of, n))
	}
	return nil
}

func (c *resnetConfig) plan(bottleneck bool, blocks ...int64) (Encoder, error) {
	if c.Filters == nil {
		filters := encoder.ResNetConfig{}.WithDefaults().Filters
		c.Filters = filters[:]
	}
	for _, first := range []string{"conv1.weight", hfResNet + "embedder.embedder.convolution.weight"} {
		if shape := c.shapeOf(first); len(shape) == 4 && shape[3] == encoder.ResNetLargeKernel {
			c.Large = true
		}
	}
	return c.begins(Encoder{New: func(b *nn.Builder, in Shape) (encoder.Encoder, error) {
		return encoder.NewResNet(b, encoder.ResNetConfig{
			Channels: int64(in.Channels), Height: int64(in.Height), Width: int64(in.Width),
			Blocks: [encoder.ResNetStages]int64(blocks), Filters: [encoder.ResNetStages]int64(c.Filters), Bottleneck: bottleneck,
			Large: c.Large, Unpooled: c.Unpooled,
		})
	}}, imageNet(weights.Layout{Convert: convertResNet, Skip: []string{"fc.*", "classifier.*"}}))
}

type wrnConfig struct {
	Depth  int64   `yaml:"depth" min:"10" doc:"layers: 6n + 4 for n blocks in each of three stages"`
	Factor int64   `yaml:"factor" min:"1" doc:"by which stages are wider than 16, 32 and 64 filters; an embedding has 64 times as many numbers"`
	Drop   float64 `yaml:"drop" min:"0" below:"1" doc:"the probability that a value is dropped between the convolutions of a block in training"`
	begun  `yaml:",inline"`
}

// Validate implements [schema.Validator].
func (c *wrnConfig) Validate() error {
	if (c.Depth-4)%6 != 0 {
		return schema.At("depth", fmt.Errorf("%d is not 6n + 4; use one such as 16, 22 or 28", c.Depth))
	}
	return nil
}

func (c *wrnConfig) plan() (Encoder, error) {
	return c.begins(Encoder{New: func(b *nn.Builder, in Shape) (encoder.Encoder, error) {
		return encoder.NewWideResNet(b, encoder.WideResNetConfig{
			Channels: int64(in.Channels), Height: int64(in.Height), Width: int64(in.Width), Depth: c.Depth, Factor: c.Factor, Drop: c.Drop,
		})
	}}, publishedImages{})
}

type torchscriptConfig struct {
	Path   string    `yaml:"path" required:"true" minlen:"1" doc:"of a module that torch.jit.script(net).save wrote"`
	SHA256 string    `yaml:"sha256" doc:"of the file; filled in where it is left out, so that a run continues with the file that it began with"`
	Train  bool      `yaml:"train" doc:"train the module's parameters; otherwise they stay as they are"`
	Repeat int64     `yaml:"repeat" min:"1" doc:"how often the channel of a grey image is repeated: 3 for a module that takes colour"`
	Mean   []float64 `yaml:"mean" doc:"subtracted from each channel of an image with values between 0 and 1"`
	Std    []float64 `yaml:"std" above:"0" doc:"each channel is divided by it afterwards"`

	Input *normalization `yaml:"input" doc:"the values of its images, before repeat, mean and std"`
}

// Normalizes implements [Normalizer].
func (c *torchscriptConfig) Normalizes() bool {
	return c.Input.normalizes() || len(c.Mean)+len(c.Std) > 0
}

func (c *torchscriptConfig) plan() (Encoder, error) {
	sum, err := checksumFile(c.Path)
	switch {
	case err != nil:
		return Encoder{}, schema.At("path", fmt.Errorf("%w; a relative path begins at the working directory", err))
	case c.SHA256 == "":
		c.SHA256 = sum
	case c.SHA256 != sum:
		return Encoder{}, schema.At("path", fmt.Errorf("%s has the SHA-256 %s and not %s: it is another file than the run began with; put that one back, or leave out sha256", c.Path, sum, c.SHA256))
	}
	untrained := initial{Freeze: !c.Train}
	return untrained.frozen(Encoder{New: func(b *nn.Builder, in Shape) (encoder.Encoder, error) {
		e, err := encoder.NewTorchScript(b, encoder.TorchScriptConfig{
			Path: c.Path, Input: in.dims(), Train: c.Train, Repeat: c.Repeat, Mean: c.Mean, Std: c.Std,
		})
		return c.Input.normalize(e, in, 0, err)
	}}), nil
}

func checksumFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}
