package experiments

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/results"
	"github.com/engram-go/engram/stream"
	"github.com/engram-go/engram/tensor"
)

// trainer is the training loop's state.
type trainer struct {
	*run
	opt      nn.Optimizer
	progress progress
	metrics  *metrics
	started  time.Time // of this stretch
	before   float64   // seconds of earlier stretches
	saved    progress  // as of the last checkpoint
	rate     float64   // examples a second, smoothed
}

// train trains until the steps are done, validation stops it, or ctx does, and leaves the best model in the run folder.
func (r *run) train(ctx context.Context, resume bool) (_ *results.Training, err error) {
	if r.config.loop.Steps > 0 && len(r.params.Trained()) == 0 {
		return nil, errors.New("the network has nothing to train; test it as it is with train.steps: 0")
	}
	t := &trainer{run: r, opt: r.config.optimizer(r.params)}
	defer t.opt.Free()
	if resume {
		if t.progress, err = r.folder.loadCheckpoint(r.params, t.opt, r.options.Reporter.Note); err != nil {
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
		Name: r.config.Name, Folder: string(r.folder), Parameters: r.params.Count(), Steps: int64(r.config.loop.Steps),
		Done: t.progress.Step, Batch: r.config.loop.Batch, Score: r.config.work.score(), Device: machine.Device, Threads: machine.Threads,
	})
	t.started, t.before, t.saved = time.Now(), t.progress.Seconds, t.progress
	ended, err := t.loop(ctx)
	if err != nil {
		return nil, err
	}
	training := &results.Training{
		Steps: t.progress.Step, BestStep: t.progress.BestStep, Validation: r.config.work.score().Factor * t.progress.Best, Ended: ended,
		Parameters: r.params.Count(), Seconds: math.Round(t.seconds()),
	}
	if w, ok := r.config.work.(bounded); ok {
		if score, ok := w.optimum(); ok {
			training.Optimum = w.score().Factor * score
		}
	}
	return training, nil
}

func (t *trainer) seconds() float64 { return t.before + time.Since(t.started).Seconds() }

// patient reports whether validation still has a better model to hope for.
func (t *trainer) patient() bool {
	p := int64(t.config.selection.Patience)
	return p == 0 || t.progress.Stale < p
}

// loop takes steps, and says why it ended.
func (t *trainer) loop(ctx context.Context) (ended string, err error) {
	c := t.config.loop
	last := int64(c.Steps)
	if err := t.validate(ctx); err != nil { // that an interruption kept from its end
		return "", err
	}
	for batch := range t.config.work.batches(ctx, t.progress.Step) {
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
				"step": s.Step, "loss": s.Loss, t.config.work.score().Name: s.Score, "rate": s.Rate,
				"examples_per_second": round(s.Examples), "seconds": round(t.seconds()),
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
	case t.progress.Validated == 0: // no validation, or no step to validate
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
func (t *trainer) step(b batch) (out Step, err error) {
	n := t.progress.Step
	rate := t.config.rate * t.config.schedule(n)
	err = tensor.Do(func() error {
		pass := &nn.Pass{Training: true, Norm: nn.BatchStats, Rand: stream.New(t.config.Seed, "noise", uint64(n)), Carried: t.config.loop.Clip.Carried}
		var grads []*tensor.Tensor
		var loss *tensor.Tensor
		var score float64
		if d, ok := b.(derived); ok {
			grads, loss, score = d.gradients(pass, t.device)
		} else {
			loss, score = b.loss(pass, t.device)
			grads = tensor.Grad(loss, t.params.Tensors()...)
		}
		out = Step{Step: n + 1, Loss: loss.Float(), Score: score, Rate: rate}
		if norm := nn.GlobalNorm(grads); !finite(out.Loss) || !finite(norm) {
			return t.diverged(out.Loss, norm)
		}
		if clip := t.config.loop.Clip; clip.Value > 0 {
			grads = nn.ClipByValue(grads, clip.Value)
		}
		if clip := t.config.loop.Clip; clip.Each > 0 {
			grads = nn.ClipEachByNorm(grads, clip.Each)
		}
		if clip := t.config.loop.Clip; clip.Norm > 0 {
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
	if t.saved.Step > 0 {
		good = fmt.Sprintf("the last good checkpoint is of step %d, in %s", t.saved.Step, t.folder.path(fileCheckpoint))
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
	s.Examples = t.rate
	left := float64(int64(t.config.loop.Steps)-t.progress.Step) * float64(t.config.loop.Batch) / t.rate
	s.Left = time.Duration(left * float64(time.Second)).Round(time.Second)
}

// validate measures the network where the step at hand asks for it, and keeps it where it is the best so far.
func (t *trainer) validate(ctx context.Context) error {
	step := t.progress.Step
	due := step%int64(t.config.selection.Every) == 0 || step == int64(t.config.loop.Steps)
	if !t.config.work.validates() || !due || step == 0 || t.progress.Validated == step {
		return nil
	}
	scores, err := t.config.work.validate(ctx, t.device)
	if err != nil {
		if ctx.Err() == nil {
			return fmt.Errorf("validation: %w", err)
		}
		if saveErr := t.save(); saveErr != nil {
			return saveErr
		}
		return t.interrupted(err)
	}
	mean, half := results.MeanInterval(scores)
	score := t.config.work.score()
	report := Validated{Step: step, Score: mean, Interval: half, Best: t.progress.BestStep == 0 || score.better(mean, t.progress.Best)}
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
		"step": step, "validation_" + score.Name: mean, "interval": half, "best": report.Best, "seconds": round(t.seconds()),
	})
}

// save writes the checkpoint of the step at hand.
func (t *trainer) save() error {
	p := t.progress
	if p.Step > 0 && p.Step == t.saved.Step && p.Validated == t.saved.Validated {
		return nil
	}
	p.Seconds = t.seconds()
	if err := t.folder.saveCheckpoint(t.params, t.opt, p, t.config.loop.Keep); err != nil {
		return err
	}
	t.saved = p
	return nil
}
