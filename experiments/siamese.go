package experiments

import (
	"context"
	"fmt"
	"iter"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/episode"
	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/results"
	"github.com/engram-go/engram/siamese"
	"github.com/engram-go/engram/tensor"
)

// siameseConfig is the configuration of a Siamese network. The metric of its memory tells pairs apart.
type siameseConfig struct {
	netConfig `yaml:",inline"`
	Loss      schema.Section `yaml:"loss" doc:"verification, contrastive or triplet"`
	Pairs     string         `yaml:"pairs" enum:"all,support-query,drawn" doc:"what is learned from: all pairs of an episode, those of support and query, or pairs drawn one by one, train.batch of them a step"`
}

// The pairs that a Siamese network learns from.
const (
	pairsSupportQuery = "support-query"
	pairsDrawn        = "drawn"
)

type verificationConfig struct {
	Different float64 `yaml:"different" above:"0" doc:"how many times as much all pairs of different classes together count as those of the same class"`
}

type marginConfig struct {
	Margin float64 `yaml:"margin" above:"0" doc:"how far apart classes are pushed"`
}

// planSiamese reads a Siamese network for a file whose other sections have been read.
func planSiamese(w *fewshotWork) (*siameseWork, error) {
	s := &w.file.Network
	sw := &siameseWork{fewshotWork: w}
	c := siameseConfig{
		netConfig{Encoder: schema.NewSection("conv4", nil), Memory: schema.NewSection("keyvalue", nil)},
		schema.NewSection("verification", nil), "all",
	}
	if err := s.Decode(&c); err != nil {
		return sw, err
	}
	parts, err := planParts(&c.netConfig, prototypeConfig{memoryConfig{schema.NewSection("weighted-manhattan", nil), siamese.DefaultScale}, "mean"})
	if err != nil {
		return sw, err
	}
	loss, err := planLoss(&c, w.file.Test)
	if kind := c.measure().Metric.Kind(); kind == "covariance" {
		err = schema.Join(err, c.measure().Metric.Errorf("covariance is that of a support set, and a pair has none; use another metric"))
	}
	if w.file.Stream != nil {
		var streamErr error
		w.stream, streamErr = planStream(s)
		err = schema.Join(err, streamErr)
	}
	sw.pairs = c.Pairs
	w.network = func(b *nn.Builder, in imageShape) (fewshotLearner, error) {
		e, m, err := parts(b, in)
		if err != nil {
			return nil, err
		}
		sw.siamese = siamese.New(b, e, siamese.Config{Memory: m.(siamese.Memory), Loss: loss, SupportQuery: c.Pairs == pairsSupportQuery})
		return sw.siamese, nil
	}
	return sw, err
}

// planLoss reads the loss of a Siamese network whose memory has been read.
func planLoss(c *siameseConfig, tests []fewshotTest) (siamese.Loss, error) {
	switch c.Loss.Kind() {
	case "verification":
		v := verificationConfig{1}
		err := c.Loss.Decode(&v)
		return siamese.Verification{Different: v.Different}, err
	case "contrastive":
		m := marginConfig{1}
		err := c.Loss.Decode(&m)
		if kind := c.measure().Metric.Kind(); kind == "cosine" || kind == "dot" || kind == "relation" {
			err = schema.Join(err, c.Loss.Errorf("the contrastive loss is of a distance, which %s is not; use the triplet loss, or a metric such as euclidean or weighted-manhattan", kind))
		}
		return siamese.Contrastive{Margin: m.Margin}, err
	case "triplet":
		m := marginConfig{.2}
		errs := []error{c.Loss.Decode(&m)}
		if c.Pairs == pairsDrawn {
			errs = append(errs, c.Loss.Errorf("a triplet is an anchor and two others, which pairs drawn one by one do not give; use pairs: all"))
		}
		for i, t := range tests {
			if t.Kind == testVerification {
				errs = append(errs, c.Loss.Errorf("test.%d: the triplet loss sets no distance from which on two images are different; use verification or contrastive, or another kind of test", i))
			}
		}
		return siamese.Triplet{Margin: m.Margin}, schema.Join(errs...)
	}
	return nil, c.Loss.UnknownKind([]string{"verification", "contrastive", "triplet"})
}

// siameseWork trains a Siamese network: on the pairs of episodes, as any few-shot work, or on pairs that are drawn one by
// one; and it measures how well pairs are told apart.
type siameseWork struct {
	*fewshotWork
	pairs   string
	drawn   *episode.Pairs // nil where episodes are trained on
	siamese *siamese.Net
}

func (w *siameseWork) score() Score {
	s := w.fewshotWork.score()
	if w.pairs == pairsDrawn {
		s.Of = "pairs"
	}
	return s
}

func (w *siameseWork) load(ctx context.Context, given string, seed uint64) (err error) {
	if err := w.fewshotWork.load(ctx, given, seed); err != nil || w.pairs != pairsDrawn {
		return err
	}
	t := w.file.Train
	w.drawn, err = episode.NewPairs(w.parts.Train, episode.PairSpec{
		Rotation: w.data.rotation, Within: t.Within, Distort: dataset.Distortion(t.Distort),
	}, seed, "train")
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	return nil
}

func (w *siameseWork) batches(ctx context.Context, first int64) iter.Seq[batch] {
	if w.drawn == nil {
		return w.fewshotWork.batches(ctx, first)
	}
	n := w.file.Train.Batch
	return batchesOf(w.drawn.Batches(ctx, uint64(first)*uint64(n), n, w.file.Train.Prefetch), func(b *episode.PairBatch) batch { return drawnPairs{b, w.siamese} })
}

// drawnPairs are the training data of one step.
type drawnPairs struct {
	*episode.PairBatch
	net *siamese.Net
}

func (d drawnPairs) loss(p *nn.Pass, on tensor.Device) (*tensor.Tensor, float64) {
	pairs := fewshot.NewPairs(d.PairBatch, on)
	loss, logits := d.net.PairLoss(p, pairs)
	mean, _ := results.MeanInterval(pairs.Accuracies(logits))
	return loss, mean
}

func (w *siameseWork) test(ctx context.Context, i int, on tensor.Device, given string, say Reporter) (figures []results.Figure, err error) {
	if i < len(w.file.Test) && w.file.Test[i].Kind == testVerification {
		figures, err = w.verify(ctx, i, on, given, say)
	} else {
		figures, err = w.fewshotWork.test(ctx, i, on, given, say)
	}
	if w.drawn != nil {
		for i := range figures { // pairs have neither
			figures[i].Protocol.TrainWay, figures[i].Protocol.TrainShot = 0, 0
		}
	}
	return figures, err
}

// verify measures how many pairs of test classes the network tells right.
func (w *siameseWork) verify(ctx context.Context, i int, on tensor.Device, given string, say Reporter) ([]results.Figure, error) {
	t := w.file.Test[i]
	data, set, err := w.tested(ctx, i, given, say)
	if err != nil || set == nil {
		return nil, err
	}
	// Rotations that an episode has in common are left out of pairs, which have none.
	rotation := data.rotation
	if rotation.Drawn() {
		rotation = dataset.RotateNone
	}
	sampler, err := episode.NewPairs(set, episode.PairSpec{Rotation: rotation, Within: t.Within}, evaluationSeed, "test/"+t.String())
	if err != nil {
		return nil, fmt.Errorf("test %s: %w", t, err)
	}
	say.Testing(data.kind+" "+t.String(), t.Pairs)
	accuracies := make([]float64, 0, t.Pairs)
	for b := range sampler.Batches(ctx, 0, w.together(2, normOf(t.Norm)), 2) {
		err := tensor.Do(func() error {
			tensor.NoGrad(func() {
				pairs := fewshot.NewPairs(b, on)
				accuracies = append(accuracies, pairs.Accuracies(w.siamese.Logits(&nn.Pass{Norm: normOf(t.Norm)}, pairs))...)
			})
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("test %s: %w", t, err)
		}
		say.Tested(min(len(accuracies), t.Pairs))
		if len(accuracies) >= t.Pairs {
			break
		}
	}
	if len(accuracies) < t.Pairs {
		return nil, fmt.Errorf("test %s: %w", t, ctx.Err())
	}
	return []results.Figure{w.figure(t, accuracies[:t.Pairs], results.Protocol{
		Dataset: data.kind, Split: data.split, Rotations: string(rotation), Classes: set.Classes(), Pairs: t.Pairs, Within: t.Within,
	})}, nil
}
