package experiments

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/episode"
	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
	"github.com/engram-go/engram/transfer"
)

// transferConfig is the configuration of a network that is pre-trained as a classifier.
type transferConfig struct {
	Encoder schema.Section `yaml:"encoder" doc:"an image to an embedding: conv4, koch, resnet12 or torchscript"`
	Head    schema.Section `yaml:"head" doc:"linear (Baseline), cosine (Baseline++) or mean: what it is pre-trained with, and how it is adapted to an episode"`
}

// trainedHead is a head that is trained on each support set. The defaults are those of Chen et al.'s code but for the start.
type trainedHead struct {
	Start     string  `yaml:"start" enum:"means,random" doc:"the class means of the support set, or as a fresh layer (Chen et al.)"`
	Epochs    int     `yaml:"epochs" min:"0" doc:"how often a support set is gone through"`
	Batch     int     `yaml:"batch" min:"0" doc:"support images a step; 0 for all"`
	Rate      float64 `yaml:"rate" above:"0" doc:"the head's learning rate"`
	Momentum  float64 `yaml:"momentum" min:"0" below:"1"`
	Dampening float64 `yaml:"dampening" min:"0" max:"1"`
	Decay     float64 `yaml:"decay" min:"0" doc:"weight decay"`

	Blocks      int     `yaml:"blocks" min:"0" doc:"how many of the encoder's last blocks are tuned with the head; 0 freezes it, more than it has tunes all"`
	EncoderRate float64 `yaml:"encoder_rate" min:"0" doc:"the last block's learning rate"`
	Discount    float64 `yaml:"discount" above:"0" max:"1" doc:"a block has so many times the rate of the next one"`
}

type cosineHead struct {
	trainedHead `yaml:",inline"`
	Scale       float64 `yaml:"scale" above:"0" doc:"multiplies the cosines"`
}

type meanHead struct {
	Metric string  `yaml:"metric" enum:"squared-euclidean,cosine" doc:"of embedding and class mean"`
	Scale  float64 `yaml:"scale" above:"0" doc:"multiplies cosines in pre-training"`
}

// planHead reads how a network is adapted, and tells it as results do.
func planHead(s *schema.Section) (a transfer.Adaptation, told string, err error) {
	trained := trainedHead{
		Start: "means", Epochs: 100, Batch: 4, Rate: .01, Momentum: .9, Dampening: .9, Decay: .001, EncoderRate: .001, Discount: .4,
	}
	switch s.Kind() {
	case "linear":
		err = s.Decode(&trained)
		a.Head = transfer.Linear
	case "cosine":
		c := cosineHead{trained, transfer.DefaultScale}
		err = s.Decode(&c)
		trained = c.trainedHead
		a.Head, a.Scale = transfer.Cosine, c.Scale
	case "mean":
		c := meanHead{"squared-euclidean", transfer.DefaultScale}
		err = s.Decode(&c)
		if a.Head = transfer.Mean; c.Metric == "cosine" {
			a.Head, a.Scale = transfer.CosineMean, c.Scale
		}
		return a, "nearest class mean, " + c.Metric, err
	default:
		return a, "", s.UnknownKind([]string{"linear", "cosine", "mean"})
	}
	a.Epochs, a.Batch, a.Rate, a.Momentum, a.Dampening, a.Decay = trained.Epochs, trained.Batch, trained.Rate, trained.Momentum, trained.Dampening, trained.Decay
	a.Blocks, a.EncoderRate, a.Discount = trained.Blocks, trained.EncoderRate, trained.Discount
	if trained.Start == "random" {
		a.Start = transfer.AtRandom
	}
	told = fmt.Sprintf("%s head from %s, %d epochs at %g", s.Kind(), trained.Start, trained.Epochs, trained.Rate)
	if a.Blocks > 0 {
		told += fmt.Sprintf(", last %d blocks at %g × %g a block", a.Blocks, a.EncoderRate, a.Discount)
	}
	return a, told, err
}

// validationHead is the nearest class mean that goes with a head: it trains nothing, so that validation is quick.
func validationHead(a transfer.Adaptation) transfer.Adaptation {
	if a.Head == transfer.Cosine || a.Head == transfer.CosineMean {
		return transfer.Adaptation{Head: transfer.CosineMean, Scale: a.Scale}
	}
	return transfer.Adaptation{Head: transfer.Mean}
}

// planTransfer reads a network that is pre-trained as a classifier, for a file whose other sections have been read.
func planTransfer(w *fewshotWork) (*transferWork, error) {
	tw := &transferWork{fewshotWork: w}
	w.alone = true
	c := transferConfig{schema.NewSection("conv4", nil), schema.NewSection("linear", nil)}
	if err := w.file.Network.Decode(&c); err != nil {
		return tw, err
	}
	encode, err := planEncoder(&c.Encoder)
	own, told, headErr := planHead(&c.Head)
	errs := []error{err, headErr}
	if w.file.Stream != nil {
		errs = append(errs, w.file.Network.Errorf("stream: a transfer network has no memory that a stream could go by; use protonet or matchingnet"))
	}
	heads := make([]transfer.Adaptation, len(w.file.Test))
	how := make([]string, len(w.file.Test))
	named := map[string]bool{}
	for i := range w.file.Test {
		t := &w.file.Test[i]
		heads[i], how[i] = own, told
		if t.Head.Kind() != "" {
			heads[i], how[i], err = planHead(&t.Head)
			errs = append(errs, err)
		}
		if t.FineTune.Steps > 0 {
			errs = append(errs, w.file.Network.Errorf("test.%d: a transfer network is adapted by its head; leave fine_tune out and say head.blocks", i))
		}
		name := fmt.Sprintf("%s, %s, %s on %s", t, t.Norm, how[i], t.Dataset.Kind())
		if named[name] {
			errs = append(errs, w.file.Network.Errorf("test.%d: the same test as an earlier one: %s", i, name))
		}
		named[name] = true
		if c.Encoder.Kind() == "pixels" && heads[i].Blocks > 0 {
			errs = append(errs, c.Encoder.Errorf("test.%d: pixels has no blocks to tune; use another encoder, or blocks: 0", i))
		}
	}
	w.adapted = func(test int) (fewshotLearner, string) { return tw.transfer.Adapted(heads[test]), how[test] }
	w.network = func(b *nn.Builder, in imageShape) (fewshotLearner, error) {
		e, err := encode(b.In("encoder"), in)
		if err != nil {
			return nil, err
		}
		tw.transfer = transfer.New(b, e, tw.classes, own)
		if tw.transfer.Blocks() == 0 {
			for i, h := range heads {
				if h.Blocks > 0 {
					return nil, fmt.Errorf("test.%d: head.blocks: the encoder has nothing to train: let it (train: true), or use blocks: 0", i)
				}
			}
		}
		return tw.transfer, nil
	}
	return tw, schema.Join(errs...)
}

// transferWork trains an encoder as a classifier of the training classes and tests it on episodes.
type transferWork struct {
	*fewshotWork
	drawn    *episode.Labelled
	classes  int64 // of training
	transfer *transfer.Net
}

func (w *transferWork) score() Score {
	s := w.fewshotWork.score()
	s.Of = "images"
	return s
}

func (w *transferWork) load(ctx context.Context, given string, seed uint64) error {
	if err := w.fewshotWork.load(ctx, given, seed); err != nil {
		return err
	}
	var err error
	w.classes = int64(w.parts.Train.Classes())
	w.drawn, err = episode.NewLabelled(w.parts.Train, w.data.rotation, dataset.Distortion(w.file.Train.Distort), seed, "train")
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	return nil
}

func (w *transferWork) batches(ctx context.Context, first int64) iter.Seq[batch] {
	drawn := w.drawn.Batches(ctx, uint64(first), w.file.Train.Batch, w.file.Train.Prefetch)
	return batchesOf(drawn, func(b *episode.LabelledBatch) batch { return labelled{b, w.transfer} })
}

// labelled are the training data of one step.
type labelled struct {
	*episode.LabelledBatch
	net *transfer.Net
}

func (l labelled) loss(p *nn.Pass, on tensor.Device) (*tensor.Tensor, float64) {
	n := int64(l.Size)
	images := tensor.New(l.Images, n, int64(l.Channels), int64(l.Height), int64(l.Width)).On(on)
	return l.net.Classify(p, images, tensor.New(l.Labels, n).On(on))
}

func (w *transferWork) validate(ctx context.Context, on tensor.Device) ([]float64, error) {
	v := w.file.Validation
	return w.evaluate(ctx, w.transfer.Adapted(validationHead(w.transfer.Adapt)), w.validation, v.Episodes, normOf(v.Norm), fineTune{}, on, nil)
}

// restore learns from a saved model what the data say otherwise: of how many classes it is.
func (w *transferWork) restore(model *nn.State) error {
	shape, ok := model.Shape("head.weight")
	if !ok || len(shape) != 3 {
		return errors.New("model: it has no head of a transfer network")
	}
	w.classes = shape[1]
	return nil
}
