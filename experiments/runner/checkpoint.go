package runner

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/engram-go/engram/experiments/measure"
	"github.com/engram-go/engram/nn"
)

// progress is the part of a checkpoint that is not tensors.
type progress struct {
	Step      int64   // steps done
	Best      float64 // validation score of the best model
	BestStep  int64   // 0 before there is one
	Validated int64   // the step of the last validation
	Stale     int64   // validations since the score last improved
	Seconds   float64 // of training
	Processor float64 // seconds of processor time, of all threads
}

// validated records a validation, and reports whether its model is the best so far. Of models with equal scores the last is the best:
// where all answers are right, validation cannot tell models apart, and the one that trained longer usually has the smaller loss. An
// equal score is no improvement for early stopping.
func (p *progress) validated(step int64, score float64, of measure.Measure) bool {
	better := p.BestStep == 0 || of.Better(score, p.Best)
	p.Validated = step
	p.Stale++
	if better {
		p.Stale = 0
	}
	if !better && score != p.Best {
		return false
	}
	p.Best, p.BestStep = score, step
	return true
}

func (p progress) notes() map[string]string {
	text, err := json.Marshal(p)
	if err != nil {
		panic(err) // numbers that are finite always marshal
	}
	return map[string]string{"progress": string(text)}
}

// checkpoint returns the path of a checkpoint: 0 is the last one, 1 the previous one.
func (f Folder) checkpoint(age int) string {
	name := fileCheckpoint
	if age > 0 {
		name = fmt.Sprintf("%s-%d%s", strings.TrimSuffix(name, ".safetensors"), age, ".safetensors")
	}
	return f.path(name)
}

// checkpoints returns the number of checkpoints to continue from, counting one that is absent because a run was
// killed while moving them.
func (f Folder) checkpoints() (n int) {
	for age := range 1 << 10 {
		if _, err := os.Stat(f.checkpoint(age)); err == nil {
			n = age + 1
		} else if age > 0 {
			break
		}
	}
	return n
}

// saveCheckpoint writes parameters, optimiser and progress, and keeps the last keep checkpoints, including this one.
func (f Folder) saveCheckpoint(ps *nn.Params, opt nn.Optimizer, p progress, keep int) error {
	state := append(nn.WithPrefix("model.", ps.State()), nn.WithPrefix("optimizer.", opt.State())...)
	// Written before any other is moved, so that a full disk loses none of them.
	fresh := f.path("." + fileCheckpoint)
	err := nn.Save(fresh, state, p.notes())
	for age := keep - 1; age > 0 && err == nil; age-- {
		if err = os.Rename(f.checkpoint(age-1), f.checkpoint(age)); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	if err == nil {
		err = os.Rename(fresh, f.checkpoint(0))
	}
	if err != nil {
		_ = os.Remove(fresh)
		return fmt.Errorf("checkpoint: %w", err)
	}
	return nil
}

// Steps returns how many steps the run has done as of its last checkpoint, 0 where it has none.
func (f Folder) Steps() (int64, error) {
	for age := range f.checkpoints() {
		state, err := nn.Open(f.checkpoint(age))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, nn.ErrDamaged) {
			continue // as loadCheckpoint does
		}
		var p progress
		if err == nil {
			err = json.Unmarshal([]byte(state.Notes["progress"]), &p)
		}
		if err != nil {
			return 0, fmt.Errorf("checkpoint %s: %w", f.checkpoint(age), err)
		}
		return p.Step, nil
	}
	return 0, nil
}

// loadCheckpoint reads the last checkpoint that is undamaged, and skips damaged ones, which it reports.
func (f Folder) loadCheckpoint(ps *nn.Params, opt nn.Optimizer, tell func(string)) (p progress, err error) {
	var damaged []error
	var paths []string
	for age := range f.checkpoints() {
		path := f.checkpoint(age)
		state, err := nn.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if errors.Is(err, nn.ErrDamaged) {
			damaged, paths = append(damaged, err), append(paths, path)
			continue
		}
		if err == nil {
			err = restore(state, ps, opt, &p)
		}
		if err != nil {
			return p, fmt.Errorf("checkpoint %s: %w", path, err)
		}
		for i, d := range damaged {
			tell(fmt.Sprintf("%v; continuing from the checkpoint before it, of step %d", d, p.Step))
			_ = os.Remove(paths[i]) // so that it does not replace an undamaged one
		}
		return p, nil
	}
	return p, fmt.Errorf("checkpoint: all are damaged, so the run cannot continue; start it again in another folder: %w", errors.Join(damaged...))
}

// restore loads a checkpoint's content into the parameters and the optimizer.
func restore(state *nn.State, ps *nn.Params, opt nn.Optimizer, p *progress) error {
	if err := json.Unmarshal([]byte(state.Notes["progress"]), p); err != nil {
		return fmt.Errorf("has no progress note: %w", err)
	}
	if err := ps.Load(state.Sub("model.")); err != nil {
		return err
	}
	return opt.Load(state.Sub("optimizer."))
}
