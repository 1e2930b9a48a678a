package registry

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/nn"
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

// begun is the configuration of an encoder that can begin with the parameters of another run's; that of the encoder embeds it.
type begun struct {
	trainedRun `yaml:",inline"`
	Input      *normalization `yaml:"input" doc:"the values of its images"`
}

// Normalizes implements [Normalizer].
func (c *begun) Normalizes() bool { return c.Input.normalizes() }

// begins makes the planned encoder begin with the parameters of the run, where one is named, and normalises its images.
func (c *begun) begins(e Encoder) (Encoder, error) {
	bare := e.New
	e.New = func(b *nn.Builder, in Shape) (encoder.Encoder, error) {
		out, err := bare(b, in)
		return c.Input.normalize(out, in, err)
	}
	if c.From == "" {
		if c.SHA256 != "" {
			return e, schema.At("sha256", errors.New("is of the parameters of from, and there is no from; leave it out"))
		}
		return e, nil
	}
	path, err := c.pin()
	if err != nil {
		return e, schema.At("from", err)
	}
	make := e.New
	e.New = func(b *nn.Builder, in Shape) (encoder.Encoder, error) {
		before := len(b.Params().All())
		out, err := make(b, in)
		if err != nil {
			return nil, err
		}
		var own []nn.Named
		for _, p := range b.Params().All()[before:] {
			own = append(own, nn.Named{Name: p.Name, Tensor: p.Value()})
		}
		return out, loadUnder(path, encoderParams, own)
	}
	return e, nil
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
