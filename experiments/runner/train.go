package runner

import (
	"context"
	"fmt"
	"math"
	"syscall"
	"time"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/results"
	"github.com/engram-go/engram/tensor"
)

// trainer is the training loop's state.
type trainer struct {
	*run
	opt       nn.Optimizer
	progress  progress
	metrics   *metrics
	guard     guard
	graphs    *graphs   // nil where the configuration asks for none
	started   time.Time // of this session
	processor float64   // seconds of processor time before this session's training
	before    progress  // of earlier sessions
	saved     progress  // at the last checkpoint
	rate      float64   // examples per second, smoothed
	last      Step      // the last step
}

// train trains until the steps are done or validation or ctx stops it, and leaves the best model in the run folder.
func (r *run) train(ctx context.Context, resume bool) (_ *results.Training, err error) {
	if r.course.Steps > 0 && len(r.params.Trained()) == 0 {
		return nil, errNothingToTrain
	}
	t := &trainer{run: r, opt: r.config.Optimizer(r.params)}
	defer t.opt.Free()
	t.guard = newGuard(t.device)
	defer t.guard.free()
	if r.config.Graphs {
		if t.graphs, err = newGraphs(t.device); err != nil {
			return nil, err
		}
		defer t.graphs.free()
	}
	if resume {
		if t.progress, err = r.folder.loadCheckpoint(r.params, t.opt, r.options.Reporter.Note); err != nil {
			return nil, err
		}
	}
	if w, ok := r.config.Work.(Preparing); ok && r.course.Steps > 0 {
		if err := w.Prepare(ctx, r.device, r.options.Reporter); err != nil {
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
		Name: r.config.Name, Folder: string(r.folder), Parameters: r.params.Count(), Steps: r.course.Steps,
		Done: t.progress.Step, Batch: r.course.Batch, Measure: r.config.Work.Measure(), Device: machine.Device, Threads: machine.Threads,
	})
	t.started, t.processor, t.before, t.saved = time.Now(), processorSeconds(), t.progress, t.progress
	ended, err := t.loop(ctx)
	if err != nil {
		return nil, err
	}
	training := &results.Training{
		Steps: t.progress.Step, BestStep: t.progress.BestStep, Validation: r.config.Work.Measure().Factor * t.progress.Best,
		ValidationMetric: r.config.Work.Measure().Name, Ended: ended,
		Parameters: r.params.Count(), Seconds: math.Round(t.seconds()),
		ProcessorSeconds: math.Round(100*t.processorSeconds()) / 100,
	}
	if w, ok := r.config.Work.(Bounded); ok {
		if score, ok := w.Optimum(); ok {
			training.Optimum = r.config.Work.Measure().Factor * score
		}
	}
	return training, r.folder.writeTraining(training)
}

func (t *trainer) seconds() float64 { return t.before.Seconds + time.Since(t.started).Seconds() }

func (t *trainer) processorSeconds() float64 {
	return t.before.Processor + processorSeconds() - t.processor
}

// processorSeconds is the processor time that all threads of this process have taken so far.
func processorSeconds() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / float64(time.Second)
}

// patient reports whether validation may still find a better model.
func (t *trainer) patient() bool {
	p := int64(t.config.Patience)
	return p == 0 || t.progress.Stale < p
}

// paused reports whether training is to pause at the step that it has reached.
func (t *trainer) paused() bool { return t.options.Until > 0 && t.progress.Step >= t.options.Until }

// loop takes steps, and says why it ended.
func (t *trainer) loop(ctx context.Context) (ended string, err error) {
	c, last := t.config.Saving, t.course.Steps
	if err := t.validate(ctx); err != nil { // repeat an interrupted validation
		return "", err
	}
	for batch := range t.config.Work.Batches(ctx, t.progress.Step) {
		if t.progress.Step >= last || !t.patient() || ctx.Err() != nil || t.paused() {
			break
		}
		began := time.Now()
		s, err := t.step(batch)
		if err != nil {
			return "", err
		}
		if note := t.graphs.note(); note != "" {
			t.options.Reporter.Note(note)
		}
		t.progress.Step++
		t.last = s
		t.pace(float64(t.course.Batch)/time.Since(began).Seconds(), &s)
		t.options.Reporter.Step(s)
		if t.reports(s.Step) {
			if err := t.metrics.line(map[string]any{
				"step": s.Step, "loss": s.Loss, t.config.Work.Measure().Name: s.Score, "rate": s.Rate,
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
		if ctx.Err() == nil && t.paused() {
			return "", &Paused{string(t.folder), t.progress.Step}
		}
		return "", t.interrupted(ctx.Err())
	case t.progress.Validated == 0: // no validation, or no step to validate
		t.progress.BestStep = t.progress.Step
		if err := t.averaged(t.saveModel); err != nil {
			return "", err
		}
	case t.progress.Step < last:
		return fmt.Sprintf("no better model in %d validations", t.progress.Stale), nil
	}
	return "all steps done", nil
}

// step takes one optimiser step.
func (t *trainer) step(b Batch) (out Step, err error) {
	n := t.progress.Step
	rate := t.config.Rate * t.course.Schedule(n)
	err = tensor.Do(func() error {
		grads, loss, score := t.gradients(b, n)
		out = Step{Step: n + 1, Loss: t.last.Loss, Score: t.last.Score, Rate: rate}
		if !t.guard.late || t.reports(out.Step) {
			out.Loss, out.Score = loss.Float(), score()
		}
		if t.guard.late {
			t.guard.add(loss, grads)
			grads = t.config.Clip.limitOnDevice(grads)
		} else {
			norm := nn.GlobalNorm(grads)
			if !finite(out.Loss) || !finite(norm) {
				return t.diverged(fmt.Sprintf("step %d", out.Step), fmt.Sprintf("loss %g, gradient norm %g", out.Loss, norm))
			}
			grads = t.config.Clip.limit(grads, norm)
		}
		t.opt.Step(grads, rate)
		if t.guard.late && t.reports(out.Step) {
			return t.sound(out.Step)
		}
		return nil
	})
	return out, err
}

// reports reports whether the numbers of a step are written.
func (t *trainer) reports(step int64) bool {
	return step == 1 || step%int64(t.config.Saving.Report) == 0
}

// sound returns an error if the loss or the gradient of a step up to this one was not finite and the guard is late.
func (t *trainer) sound(step int64) error {
	if t.guard.sound() {
		return nil
	}
	return t.diverged(fmt.Sprintf("steps up to %d", step), "a loss or gradient is not finite")
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// diverged reports steps whose loss or gradient norm is not finite. The last checkpoint precedes them. On the CPU the step has
// changed nothing except running statistics.
func (t *trainer) diverged(steps, what string) error {
	good := "no checkpoint had been written"
	if t.saved.Step > 0 {
		good = fmt.Sprintf("the last good checkpoint is of step %d, in %s", t.saved.Step, t.folder.path(fileCheckpoint))
	}
	return fmt.Errorf("%s: training diverged (%s); %s; try a lower optimizer.rate, or train.clip.norm", steps, what, good)
}

// pace estimates the speed of training and the remaining time.
func (t *trainer) pace(now float64, s *Step) {
	if t.rate == 0 {
		t.rate = now
	}
	t.rate += (now - t.rate) * .05
	s.Examples = t.rate
	left := float64(t.course.Steps-t.progress.Step) * float64(t.course.Batch) / t.rate
	s.Left = time.Duration(left * float64(time.Second)).Round(time.Second)
}

// validate validates the network if a validation is due, and saves it if it is the best so far.
func (t *trainer) validate(ctx context.Context) error {
	step := t.progress.Step
	every := t.course.Every
	if every == 0 || step == 0 || step%every != 0 && step != t.course.Steps || t.progress.Validated == step {
		return nil
	}
	if err := t.sound(step); err != nil {
		return err
	}
	var scores []float64
	err := t.averaged(func() (err error) {
		scores, err = t.config.Work.Validate(ctx, t.device)
		return err
	})
	if err == nil {
		for i, s := range scores {
			if !finite(s) {
				err = fmt.Errorf("%s %d scored %g: the network's output is not finite; try a lower optimizer.rate", t.config.Work.Measure().Of, i+1, s)
				break
			}
		}
	}
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
	score := t.config.Work.Measure()
	report := Validated{Step: step, Score: mean, Interval: half, Best: t.progress.validated(step, mean, score)}
	if report.Best {
		if err := t.averaged(t.saveModel); err != nil {
			return err
		}
	}
	if w, ok := t.config.Work.(Observer); ok {
		w.Validated()
	}
	t.options.Reporter.Validated(report)
	line := map[string]any{"step": step, "validation_" + score.Name: mean, "best": report.Best, "seconds": round(t.seconds())}
	if finite(half) { // not for a single example
		line["interval"] = half
	}
	return t.metrics.line(line)
}

// averaged runs f with the averages of the weights in their place, where the optimizer keeps any.
func (t *trainer) averaged(f func() error) error {
	if a, ok := t.opt.(interface{ Exchange() }); ok {
		a.Exchange()
		defer a.Exchange()
	}
	return f()
}

// save writes the checkpoint of the current step.
func (t *trainer) save() error {
	p := t.progress
	if p.Step > 0 && p.Step == t.saved.Step && p.Validated == t.saved.Validated {
		return nil
	}
	if err := t.sound(p.Step); err != nil {
		return err
	}
	p.Seconds, p.Processor = t.seconds(), t.processorSeconds()
	if err := t.folder.saveCheckpoint(t.params, t.opt, p, t.config.Keep); err != nil {
		return err
	}
	t.saved = p
	return nil
}
