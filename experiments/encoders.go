package experiments

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/nn"
)

type resnet12Config struct {
	Form    string  `yaml:"form" enum:"lee,tadam" doc:"lee: 64, 160, 320 and 640 filters and the maps as they are; tadam: 64, 128, 256 and 512 and their mean over positions"`
	Filters []int64 `yaml:"filters" min:"1" minlen:"4" maxlen:"4" doc:"of the blocks, others than the form's"`
	Drop    float64 `yaml:"drop" min:"0" below:"1" doc:"the chance that a value of a block's maps is dropped in training"`
}

func planResNet12(s *schema.Section) (func(*nn.Builder, imageShape) (encoder.Encoder, error), error) {
	c := resnet12Config{Form: string(encoder.LeeForm)}
	err := s.Decode(&c)
	if c.Filters == nil {
		filters := encoder.ResNet12Config{Form: encoder.ResNet12Form(c.Form)}.WithDefaults().Filters
		c.Filters = filters[:]
	}
	return func(b *nn.Builder, in imageShape) (encoder.Encoder, error) {
		return encoder.NewResNet12(b, encoder.ResNet12Config{
			Channels: int64(in.channels), Height: int64(in.height), Width: int64(in.width),
			Form: encoder.ResNet12Form(c.Form), Filters: [4]int64(c.Filters), Drop: c.Drop,
		})
	}, err
}

type torchscriptConfig struct {
	Path   string    `yaml:"path" required:"true" minlen:"1" doc:"of a module that torch.jit.script(net).save wrote"`
	SHA256 string    `yaml:"sha256" doc:"of the file; filled in where it is left out, so that a run goes on with the file that it began with"`
	Train  bool      `yaml:"train" doc:"train the module's parameters; else they stay as they are"`
	Repeat int64     `yaml:"repeat" min:"1" doc:"how often the channel of a grey image is repeated: 3 for a module that wants colour"`
	Mean   []float64 `yaml:"mean" doc:"taken off each channel of an image between 0 and 1"`
	Std    []float64 `yaml:"std" above:"0" doc:"that each channel is divided by after it"`
}

func planTorchScript(s *schema.Section) (func(*nn.Builder, imageShape) (encoder.Encoder, error), error) {
	c := torchscriptConfig{Repeat: 1}
	if err := s.Decode(&c); err != nil {
		return nil, err
	}
	sum, err := checksumFile(c.Path)
	switch {
	case err != nil:
		return nil, s.Errorf("path: %w; a path that is not absolute begins at the working directory", err)
	case c.SHA256 == "":
		c.SHA256 = sum
	case c.SHA256 != sum:
		return nil, s.Errorf("path: %s has the SHA-256 %s and not %s: it is another file than the run began with; put that one back, or leave out sha256", c.Path, sum, c.SHA256)
	}
	return func(b *nn.Builder, in imageShape) (encoder.Encoder, error) {
		return encoder.NewTorchScript(b, encoder.TorchScriptConfig{
			Path: c.Path, Input: []int64{int64(in.channels), int64(in.height), int64(in.width)}, Train: c.Train,
			Repeat: c.Repeat, Mean: c.Mean, Std: c.Std,
		})
	}, nil
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
