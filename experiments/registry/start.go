package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/nn/weights"
	"github.com/engram-go/engram/tensor"
)

// modelFile is the file of a run folder that holds the trained parameters.
const modelFile = "model.safetensors"

// trainedRun are the keys that name another run, whose trained parameters are used.
type trainedRun struct {
	From   string `yaml:"from" doc:"a run folder, or a safetensors file as runs write it, whose trained parameters are taken; the networks must be alike"`
	SHA256 string `yaml:"sha256" doc:"of the parameters of from; filled in where it is left out, so that a run continues with those that it began with"`
}

// pin finds the file of parameters and checks it against the checksum, or fills that in.
func (c *trainedRun) pin() (path string, err error) {
	path = c.From
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, modelFile)
	}
	sum, err := checksumFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("%w; give the folder of a run whose training has ended, or a safetensors file; a relative path begins at the working directory", err)
	case err != nil:
		return "", err
	case c.SHA256 == "":
		c.SHA256 = sum
	case c.SHA256 != sum:
		return "", fmt.Errorf("%s has the SHA-256 %s and not %s: it holds other parameters than the run began with; put those back, or leave out sha256", path, sum, c.SHA256)
	}
	return path, nil
}

// initial are the keys of a part that can start from trained parameters: those of another run, or published ones. The part's
// configuration embeds them directly or through [begun].
type initial struct {
	trainedRun `yaml:",inline"`
	Weights    string `yaml:"weights" doc:"published weights that it begins with: a safetensors file, a file of torch.save, or a model folder as Hugging Face's libraries write it; see docs/weights.md"`

	// Freeze is of an encoder; see [encoder.Freeze].
	Freeze bool `yaml:"freeze" doc:"training leaves the encoder as it is, batch norm included; where images are not augmented they are embedded once, and a step costs what the rest of the network costs"`

	skipped []string // tensors of the published weights
}

// BeginsWith implements [Beginner].
func (c *initial) BeginsWith() (key string) {
	switch {
	case c.Weights != "":
		return "weights"
	case c.From != "":
		return "from"
	}
	return ""
}

// Beginner is the configuration of an encoder that may begin with trained parameters.
type Beginner interface {
	// BeginsWith is the key that names them; empty if the encoder starts from its own initial values.
	BeginsWith() (key string)
}

// frozen freezes the planned encoder if the keys say so.
func (c *initial) frozen(e Encoder) Encoder {
	if !c.Freeze {
		return e
	}
	made := e.New
	e.Frozen = true
	e.New = func(b *nn.Builder, in Shape) (encoder.Encoder, error) {
		before := len(b.Params().All())
		out, err := made(b, in)
		if err != nil {
			return nil, err
		}
		return encoder.Freeze(out, b.Params().All()[before:], in.dims()), nil
	}
	return e
}

// Notes implements [Noter]: it names the published weights that are not used.
func (c *initial) Notes() []string {
	if len(c.skipped) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%d tensors of %s are not used: %s", len(c.skipped), c.Weights, clipped(c.skipped, 6))}
}

// clipped lists the first names and the number of the others.
func clipped(names []string, most int) string {
	if n := len(names); n > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), n-most)
	}
	return strings.Join(names, ", ")
}

// An initializer gives parameters, whose names begin with the given prefix, their initial values.
type initializer func(ps []*nn.Param, prefix string) error

// initializer checks the keys and pins the checksum of what they name. l is the layout of the published weights of the part's
// family, and shapes makes the part's parameters with a builder, to check that the weights fit before anything is loaded. The
// result is nil where the part begins with its own initial values.
//
// The files are read when training begins. Files with a checksum may be missing later, so that a run can be resumed and tested without
// them.
func (c *initial) initializer(l weights.Layout, shapes func(b *nn.Builder) error) (initializer, error) {
	switch {
	case c.From != "" && c.Weights != "":
		return nil, schema.At("weights", errors.New("the encoder cannot begin with the parameters of from and with these; leave out one of them"))
	case c.From != "":
		if _, err := c.pin(); err != nil && !c.gone(err) {
			return nil, schema.At("from", err)
		}
		return func(ps []*nn.Param, prefix string) error {
			path, err := c.pin()
			if err != nil {
				return err
			}
			var own []nn.Named
			for _, p := range ps {
				own = append(own, nn.Named{Name: p.Name, Tensor: p.Value()})
			}
			return loadUnder(path, prefix, own)
		}, nil
	case c.Weights != "":
		if err := c.check(l, shapes); err != nil && !c.gone(err) {
			return nil, schema.At("weights", err)
		}
		return func(ps []*nn.Param, prefix string) error {
			f, err := c.open()
			if err == nil {
				err = l.Load(f, ps, prefix)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", c.Weights, err)
			}
			return nil
		}, nil
	case c.SHA256 != "":
		return nil, schema.At("sha256", errors.New("is of the parameters of from or weights, and there is neither; leave it out"))
	}
	return nil, nil
}

// gone reports whether an error is about a missing file that the run had when it started.
func (c *initial) gone(err error) bool { return c.SHA256 != "" && errors.Is(err, fs.ErrNotExist) }

// check refuses published weights that do not fit the parameters that shapes makes.
func (c *initial) check(l weights.Layout, shapes func(b *nn.Builder) error) error {
	f, err := c.open()
	if err != nil {
		return err
	}
	b := nn.NewShapes()
	defer b.Params().Free()
	if err := tensor.Do(func() error { return shapes(b) }); err != nil {
		return err
	}
	if c.skipped, err = l.Check(f, b.Params().All(), ""); err != nil {
		return fmt.Errorf("%s: %w", c.Weights, err)
	}
	return nil
}

// open reads the published weights, and checks their checksum or fills that in.
func (c *initial) open() (*weights.File, error) {
	file, _, err := weights.Locate(c.Weights)
	if err != nil {
		return nil, fmt.Errorf("%w; a relative path begins at the working directory", err)
	}
	f, err := weights.Open(file)
	if err != nil {
		return nil, err
	}
	switch sum := f.Sources[0].SHA256; c.SHA256 {
	case "":
		c.SHA256 = sum
	case sum:
	default:
		return nil, fmt.Errorf("%s has the SHA-256 %s and not %s: it holds other weights than the run began with; put those back, or leave out sha256", c.Weights, sum, c.SHA256)
	}
	return f, nil
}

// shapeOf returns the shape of a tensor of the published weights; nil without weights or without a tensor of the name.
func (c *initial) shapeOf(name string) []int64 {
	if c.Weights == "" {
		return nil
	}
	f, err := c.open()
	if err != nil {
		return nil // initializer says so
	}
	if t := f.Find(name); t != nil {
		return t.Shape
	}
	return nil
}

// modelConfig reads a JSON file of the model folder into v, if weights names a folder that contains it.
func (c *initial) modelConfig(name string, v any) (has bool, err error) {
	if c.Weights == "" {
		return false, nil
	}
	_, folder, err := weights.Locate(c.Weights)
	if err != nil || folder == "" {
		return false, nil // where there are no weights, starts says so
	}
	path := filepath.Join(folder, name)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		err = json.Unmarshal(text, v)
	}
	if err != nil {
		return false, schema.At("weights", fmt.Errorf("%s: %w", path, err))
	}
	return true, nil
}

// Noter is the configuration of a part with notes for the user that are not errors.
type Noter interface{ Notes() []string }

// begun is the configuration of an image encoder that can begin with trained parameters; that of the encoder embeds it.
type begun struct {
	initial `yaml:",inline"`
	Input   *normalization `yaml:"input" doc:"the values of its images; weights bring their family's, and {mean: [0], std: [1]} is none"`
}

// Normalizes implements [Normalizer].
func (c *begun) Normalizes() bool { return c.Input.normalizes() }

// publishedImages describes the published weights of a family of image encoders. The zero value is for an encoder without any: its
// weights have the names of the encoder's own parameters, and its images have their own channels and are not normalised.
type publishedImages struct {
	weights.Layout
	Channels  int // of the images; grey ones are repeated. 0 takes those that the data set has.
	Mean, Std []float64
	ImageNet  bool // weights are usually trained on ImageNet
}

// imageNet gives a family its usual images: in colour, normalised by the statistics of ImageNet.
func imageNet(l weights.Layout) publishedImages {
	return publishedImages{l, 3, []float64{.485, .456, .406}, []float64{.229, .224, .225}, true}
}

// begins makes the planned encoder start from the named parameters, and normalises its images.
func (c *begun) begins(e Encoder, family publishedImages) (Encoder, error) {
	if err := c.normalizeAs(family); err != nil {
		return e, err
	}
	bare := e.New
	begin, err := c.initializer(family.Layout, func(b *nn.Builder) error {
		_, err := bare(b, Shape{Channels: max(family.Channels, 1), Height: usualSide, Width: usualSide})
		return err
	})
	if err != nil {
		return e, err
	}
	e.New = func(b *nn.Builder, in Shape) (encoder.Encoder, error) {
		repeat := 0
		if c.Weights != "" && in.Channels == 1 {
			repeat = family.Channels
		}
		in.Channels = max(in.Channels, repeat)
		before := len(b.Params().All())
		out, err := bare(b, in)
		if err == nil && begin != nil {
			own := b.Params().All()[before:]
			b.Begin(func() error { return begin(own, encoderParams) })
		}
		return c.Input.normalize(out, in, int64(repeat), err)
	}
	e.ImageNet = family.ImageNet && c.Weights != ""
	return c.frozen(e), nil
}

// usualSide is the side of the images that most published encoders were trained on.
const usualSide = 224

// normalizeAs sets how images are normalised for published weights, unless the file does: as the model folder says, or as is usual in
// the family.
func (c *begun) normalizeAs(family publishedImages) error {
	if c.Weights == "" || c.Input != nil && len(c.Input.Mean)+len(c.Input.Std) > 0 {
		return nil
	}
	mean, std := family.Mean, family.Std
	var processor struct {
		Mean []float64 `json:"image_mean"`
		Std  []float64 `json:"image_std"`
	}
	var timm struct {
		Pretrained struct {
			Mean []float64 `json:"mean"`
			Std  []float64 `json:"std"`
		} `json:"pretrained_cfg"`
	}
	_, errTimm := c.modelConfig("config.json", &timm)
	_, errProcessor := c.modelConfig("preprocessor_config.json", &processor)
	switch {
	case errTimm != nil || errProcessor != nil:
		return errors.Join(errTimm, errProcessor)
	case processor.Mean != nil && processor.Std != nil:
		mean, std = processor.Mean, processor.Std
	case timm.Pretrained.Mean != nil && timm.Pretrained.Std != nil:
		mean, std = timm.Pretrained.Mean, timm.Pretrained.Std
	}
	if c.Input == nil {
		c.Input = &normalization{}
	}
	c.Input.Mean, c.Input.Std = mean, std
	return nil
}

// encoderParams is the prefix of the names of an encoder's parameters.
const encoderParams = "encoder."

// loadUnder copies the parameters of a file whose names begin with a prefix into ts, whose names all begin with it.
func loadUnder(path, prefix string, ts []nn.Named) error {
	state, err := nn.Open(path)
	if err != nil {
		return err
	}
	bare := make([]nn.Named, len(ts))
	for i, t := range ts {
		bare[i] = nn.Named{Name: strings.TrimPrefix(t.Name, prefix), Tensor: t.Tensor}
	}
	if err := state.Sub(prefix).CopyInto(bare); err != nil {
		return fmt.Errorf("%s is of another network than the one configured here: %w", path, err)
	}
	return nil
}
