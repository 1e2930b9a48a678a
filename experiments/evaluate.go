package experiments

import (
	"context"
	"fmt"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/episode"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/results"
	"github.com/engram-go/engram/tensor"
)

// evaluationSeed draws validation and test episodes. It is not the run's seed, so that every method and every seed is
// measured on the same episodes and two runs can be compared pair by pair.
const evaluationSeed = 0

// evaluationImages is about how many images one evaluation of the network takes: enough to keep the cores busy, few
// enough to stay in memory.
const evaluationImages = 400

// episodesOf makes the sampler of fixed evaluation episodes.
func episodesOf(set dataset.Set, spec episode.Spec, stream string) (*episode.Sampler, error) {
	return episode.New(set, spec, evaluationSeed, stream)
}

// evaluate returns the accuracy of each of the first n episodes of a sampler, in [0, 1].
func evaluate(ctx context.Context, net Learner, s *episode.Sampler, n int, norm nn.Norm, on tensor.Device, tell func(done int)) ([]float64, error) {
	spec := s.Spec()
	together := 1
	if norm == nn.RunningStats { // batch statistics are an episode's own
		together = max(1, evaluationImages/(spec.Way*(spec.Shot+spec.Query)))
	}
	pass := &nn.Pass{Norm: norm}
	var accuracies []float64
	run := func(b *episode.Batch) error {
		return tensor.Do(func() error {
			tensor.NoGrad(func() {
				task := fewshot.NewTask(b, on)
				accuracies = append(accuracies, task.Accuracies(net.LogProbs(pass, task))...)
			})
			return nil
		})
	}
	for b := range s.Batches(ctx, 0, together, 2) {
		if err := run(b); err != nil {
			return nil, err
		}
		if tell != nil {
			tell(min(len(accuracies), n))
		}
		if len(accuracies) >= n {
			return accuracies[:n], nil
		}
	}
	return nil, ctx.Err()
}

// normOf reads the name of batch norm's mode.
func normOf(name string) nn.Norm {
	if name == normTransductive {
		return nn.BatchStats
	}
	return nn.RunningStats
}

// test measures the network as one entry of the configuration says.
func (r *run) test(ctx context.Context, i int) (*results.Figure, error) {
	t, data, parts := r.config.Test[i], r.plan.data, r.parts
	if own := r.plan.tests[i]; own.load != nil {
		var err error
		if parts, err = own.load(ctx, r.options.Data); err != nil {
			return nil, err
		}
		data = own
	}
	spec := episode.Spec{Way: t.Way, Shot: t.Shot, Query: t.Query, Rotation: data.rotation}
	sampler, err := episodesOf(parts.Test, spec, "test/"+t.String())
	if err != nil {
		return nil, fmt.Errorf("test %s: %w", t, err)
	}
	r.options.Reporter.Testing(data.kind+" "+t.String(), t.Episodes)
	accuracies, err := evaluate(ctx, r.net, sampler, t.Episodes, normOf(t.Norm), r.device, r.options.Reporter.Tested)
	if err != nil {
		return nil, fmt.Errorf("test %s: %w", t, err)
	}
	mean, half := results.MeanInterval(accuracies)
	return &results.Figure{
		Name:     t.String(),
		Metric:   "accuracy",
		Value:    100 * mean,
		Interval: 100 * half,
		Protocol: results.Protocol{
			Dataset: data.kind, Split: data.split, Rotations: string(data.rotation), Classes: parts.Test.Classes(),
			Way: t.Way, Shot: t.Shot, Query: t.Query, Episodes: t.Episodes, Norm: t.Norm,
			TrainedOn: r.plan.data.kind, TrainWay: r.config.Train.Way, TrainShot: r.config.Train.Shot, Precision: "fp32",
		},
	}, nil
}
