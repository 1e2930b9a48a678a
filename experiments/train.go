package experiments

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/engram-go/engram/episode"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/results"
	"github.com/engram-go/engram/stream"
	"github.com/engram-go/engram/tensor"
)

// trainer is the training loop's state.
type trainer struct {
	*run
	opt        nn.Optimizer
	progress   progress
	metrics    *metrics
	validation *episode.Sampler
	started    time.Time // of this stretch
	before     float64   // seconds of earlier stretches
	rate       float64   // episodes a second, smoothed
}

// train trains until the steps are done, validation stops it, or ctx does, and leaves the best model in the run folder.
func (r *run) train(ctx context.Context, resume bool) (_ *results.Training, err error) {
	c := r.config.Train
	sampler, err := episode.New(r.parts.Train, episode.Spec{Way: c.Way, Shot: c.Shot, Query: c.Query, Rotation: r.plan.data.rotation}, r.config.Seed, "train")
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	t := &trainer{run: r, opt: r.plan.optimizer(r.params), progress: progress{Best: -1}}
	defer t.opt.Free()
	if v := r.config.Validation; v.Episodes > 0 {
		t.validation, err = episodesOf(r.parts.Val, episode.Spec{Way: v.Way, Shot: v.Shot, Query: v.Query, Rotation: r.plan.data.rotation}, "validation")
		if err != nil {
			return nil, fmt.Errorf("validation: %w", err)
		}
	}
	if resume {
		if t.progress, err = r.folder.loadCheckpoint(r.params, t.opt); err != nil {
			return nil, err
		}
	}
	if t.metrics, err = r.folder.openMetrics(t.progress.Step); err != nil {
		return nil, err
	}
	defer func() {
		if closeErr := t.metrics.close(); err == nil && closeErr != nil {
			err = fmt.Errorf("metrics: %w", closeErr)
		}
	}()
	machine := r.machine()
	r.options.Reporter.Starting(Start{
		Name: r.config.Name, Folder: string(r.folder), Parameters: r.params.Count(), Steps: int64(c.Steps),
		Done: t.progress.Step, Batch: c.Batch, Device: machine.Device, Threads: machine.Threads,
	})
	t.started, t.before = time.Now(), t.progress.Seconds
	ended, err := t.loop(ctx, sampler)
	if err != nil {
		return nil, err
	}
	return &results.Training{
		Steps: t.progress.Step, BestStep: t.progress.BestStep, Validation: 100 * math.Max(t.progress.Best, 0), Ended: ended,
		Parameters: r.params.Count(), Seconds: math.Round(t.seconds()),
	}, nil
}

func (t *trainer) seconds() float64 { return t.before + time.Since(t.started).Seconds() }

// patient reports whether validation still has a better model to hope for.
func (t *trainer) patient() bool {
	p := int64(t.config.Validation.Patience)
	return p == 0 || t.progress.Stale < p
}

// loop takes steps, and says why it ended.
func (t *trainer) loop(ctx context.Context, sampler *episode.Sampler) (ended string, err error) {
	c := t.config.Train
	last := int64(c.Steps)
	if err := t.validate(ctx); err != nil { // that an interruption kept from its end
		return "", err
	}
	for batch := range sampler.Batches(ctx, uint64(t.progress.Step)*uint64(c.Batch), c.Batch, c.Prefetch) {
		if t.progress.Step >= last || !t.patient() || ctx.Err() != nil {
			break
		}
		began := time.Now()
		s, err := t.step(batch)
		if err != nil {
			return "", err
		}
		t.progress.Step++
		t.pace(float64(c.Batch)/time.Since(began).Seconds(), &s)
		t.options.Reporter.Step(s)
		if s.Step%int64(c.Report) == 0 || s.Step == 1 {
			if err := t.metrics.line(map[string]any{
				"step": s.Step, "loss": s.Loss, "accuracy": s.Accuracy, "rate": s.Rate,
				"episodes_per_second": round(s.Episodes), "seconds": round(t.seconds()),
			}); err != nil {
				return "", err
			}
		}
		if err := t.validate(ctx); err != nil {
			return "", err
		}
		if t.progress.Step%int64(c.Save) == 0 {
			if err := t.save(); err != nil {
				return "", err
			}
		}
	}
	if err := t.save(); err != nil {
		return "", err
	}
	switch {
	case t.progress.Step < last && t.patient():
		return "", t.interrupted(ctx.Err())
	case t.validation == nil:
		t.progress.BestStep = t.progress.Step
		if err := t.saveModel(); err != nil {
			return "", err
		}
	case t.progress.Step < last:
		return fmt.Sprintf("no better model in %d validations", t.progress.Stale), nil
	}
	return "all steps done", nil
}

// step takes one optimiser step.
func (t *trainer) step(batch *episode.Batch) (out Step, err error) {
	n := t.progress.Step
	rate := t.plan.rate * t.plan.schedule(n)
	err = tensor.Do(func() error {
		task := fewshot.NewTask(batch, t.device)
		pass := &nn.Pass{Training: true, Norm: nn.BatchStats, Rand: stream.New(t.config.Seed, "noise", uint64(n))}
		loss, logp := t.net.Loss(pass, task)
		grads := tensor.Grad(loss, t.params.Tensors()...)
		out = Step{Step: n + 1, Loss: loss.Float(), Rate: rate}
		for _, a := range task.Accuracies(logp) {
			out.Accuracy += a / float64(batch.Episodes)
		}
		if norm := nn.GlobalNorm(grads); !finite(out.Loss) || !finite(norm) {
			return t.diverged(out.Loss, norm)
		}
		if clip := t.config.Train.Clip; clip.Value > 0 {
			grads = nn.ClipByValue(grads, clip.Value)
		}
		if clip := t.config.Train.Clip; clip.Norm > 0 {
			grads = nn.ClipByNorm(grads, clip.Norm)
		}
		t.opt.Step(grads, rate)
		return nil
	})
	return out, err
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// diverged is the error of a step that came to no number. The step has changed nothing but running statistics, and the
// last checkpoint is from before it.
func (t *trainer) diverged(loss, norm float64) error {
	good := "no checkpoint had been written yet"
	if saved := t.progress.Step / int64(t.config.Train.Save) * int64(t.config.Train.Save); saved > 0 {
		good = fmt.Sprintf("the last good checkpoint is of step %d, in %s", saved, t.folder.path(fileCheckpoint))
	}
	return fmt.Errorf("step %d: training diverged (loss %g, gradient norm %g); %s; try a lower optimizer.rate, or train.clip.norm",
		t.progress.Step+1, loss, norm, good)
}

// pace tells how fast training goes and how long it has to go.
func (t *trainer) pace(now float64, s *Step) {
	if t.rate == 0 {
		t.rate = now
	}
	t.rate += (now - t.rate) * .05
	s.Episodes = t.rate
	left := float64(int64(t.config.Train.Steps)-t.progress.Step) * float64(t.config.Train.Batch) / t.rate
	s.Left = time.Duration(left * float64(time.Second)).Round(time.Second)
}

// validate measures the network where the step at hand asks for it, and keeps it where it is the best so far.
func (t *trainer) validate(ctx context.Context) error {
	v, step := t.config.Validation, t.progress.Step
	due := step%int64(v.Every) == 0 || step == int64(t.config.Train.Steps)
	if t.validation == nil || !due || step == 0 || t.progress.Validated == step {
		return nil
	}
	accuracies, err := evaluate(ctx, t.net, t.validation, v.Episodes, nn.RunningStats, t.device, nil)
	if err != nil {
		if saveErr := t.save(); saveErr != nil {
			return saveErr
		}
		return t.interrupted(err)
	}
	mean, half := results.MeanInterval(accuracies)
	report := Validated{Step: step, Accuracy: mean, Interval: half, Best: mean > t.progress.Best}
	t.progress.Validated = step
	t.progress.Stale++
	if report.Best {
		t.progress.Best, t.progress.BestStep, t.progress.Stale = mean, step, 0
		if err := t.saveModel(); err != nil {
			return err
		}
	}
	t.options.Reporter.Validated(report)
	return t.metrics.line(map[string]any{
		"step": step, "validation_accuracy": mean, "interval": half, "best": report.Best, "seconds": round(t.seconds()),
	})
}

// save writes the checkpoint of the step at hand.
func (t *trainer) save() error {
	p := t.progress
	p.Seconds = t.seconds()
	return t.folder.saveCheckpoint(t.params, t.opt, p)
}

func (t *trainer) saveModel() error {
	if err := nn.Save(t.folder.path(fileModel), t.params.State(), map[string]string{"experiment": t.config.Name}); err != nil {
		return fmt.Errorf("model: %w", err)
	}
	return nil
}
