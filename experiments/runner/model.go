package runner

import (
	"context"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// Model is the trained network of a run folder, built by the [Work] of its configuration.
type Model struct {
	Params *nn.Params // to be freed
	Device tensor.Device
}

// Open builds the network of a run folder with the configuration c, and loads its trained parameters. It does not
// need the training data.
func Open(dir string, c *Config, o Options) (*Model, error) {
	o.Out = dir
	o.fill(c.Name)
	state, err := Folder(dir).openModel()
	if err != nil {
		return nil, err
	}
	return o.model(assemble(c, o, func() error {
		if w, ok := c.Work.(Resizing); ok {
			return w.Resize(state)
		}
		return nil
	}))
}

// OpenWithData is [Open] for work that needs its data.
func OpenWithData(ctx context.Context, dir string, c *Config, o Options) (*Model, error) {
	if err := Folder(dir).NeedsModel(); err != nil { // before any data is loaded
		return nil, err
	}
	o.Out = dir
	o.fill(c.Name)
	return o.model(load(ctx, c, o))
}

func (o *Options) model(r *run, err error) (*Model, error) {
	if err != nil {
		return nil, err
	}
	if err := r.loadModel(); err != nil {
		r.params.Free()
		return nil, err
	}
	return &Model{r.params, r.device}, nil
}
