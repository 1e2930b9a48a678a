// Package measure evaluates trained networks. It has the one evaluation loop, and the one place where a figure and its protocol
// are built.
package measure

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"sync"

	"github.com/engram-go/engram/results"
	"github.com/engram-go/engram/tensor"
)

// Progress receives the progress of a test.
type Progress interface {
	// Testing is called before a test, or before a part of one, with its number of examples.
	Testing(name string, examples int)
	// Tested is called during the test with the number of examples that are done.
	Tested(done int)
	// Note receives a line for the user.
	Note(line string)
}

// A Test is a measurement. Everything that it needs has been made and checked before training starts.
type Test struct {
	Name string // for messages
	Run  func(ctx context.Context, on tensor.Device, p Progress) ([]results.Figure, error)
}

// ErrNotFinite is wrapped by the error of a test whose network returned a NaN or an infinity.
var ErrNotFinite = errors.New("the network returned values that are not finite")

// Evaluate scores the first n examples of batches, batch by batch, each in a scope of its own and without gradients. score
// returns one value per example of the batch. Evaluate returns n values, or the first error; the context's where it was
// cancelled.
func Evaluate[B, S any](ctx context.Context, batches iter.Seq[B], n int, p Progress, score func(B) ([]S, error)) ([]S, error) {
	out := make([]S, 0, n)
	if n == 0 {
		return out, nil
	}
	for b := range batches {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		scores, err := evaluate(b, score)
		if err != nil {
			return nil, at(len(out), err)
		}
		out = append(out, scores...)
		if p != nil {
			p.Tested(min(len(out), n))
		}
		if len(out) >= n {
			return out[:n], nil
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("the data ended after %d of %d examples", len(out), n)
}

// evaluate scores a batch.
func evaluate[B, S any](b B, score func(B) ([]S, error)) (scores []S, err error) {
	err = tensor.Do(func() (err error) {
		tensor.NoGrad(func() { scores, err = score(b) })
		return err
	})
	return scores, err
}

// at adds to an error the number of the example that is not finite, counted from the given number of examples before the batch.
func at(before int, err error) error {
	if errors.Is(err, ErrNotFinite) {
		return fmt.Errorf("example %d: %w", before+1, err)
	}
	return err
}

// EvaluateBeside is [Evaluate] with batches that are scored concurrently, with one thread per operation. It is for batches of many small
// operations, in which several threads per operation would mostly wait for one another. It uses as many goroutines as operations had
// threads; results do not depend on that number. It sets the number of threads of the process, so nothing else may compute at the
// same time.
func EvaluateBeside[B, S any](ctx context.Context, batches []B, n int, p Progress, score func(B) ([]S, error)) ([]S, error) {
	var threads int
	if err := tensor.Do(func() error { threads = tensor.Threads(); return nil }); err != nil {
		return nil, err
	}
	tensor.SetThreads(1)
	defer tensor.SetThreads(threads)
	scores, errs := make([][]S, len(batches)), make([]error, len(batches))
	var mutex sync.Mutex
	next, done := 0, 0
	take := func() int { // the next batch, or -1
		mutex.Lock()
		defer mutex.Unlock()
		if next == len(batches) || ctx.Err() != nil {
			return -1
		}
		next++
		return next - 1
	}
	var working sync.WaitGroup
	for range min(threads, len(batches)) {
		working.Go(func() {
			for i := take(); i >= 0; i = take() {
				scores[i], errs[i] = evaluate(batches[i], score)
				mutex.Lock()
				if done += len(scores[i]); p != nil && errs[i] == nil {
					p.Tested(min(done, n))
				}
				if errs[i] != nil { // batches before this one have all been begun
					next = len(batches)
				}
				mutex.Unlock()
			}
		})
	}
	working.Wait()
	out := make([]S, 0, n)
	for i := range batches {
		if errs[i] != nil {
			return nil, at(len(out), errs[i])
		}
		out = append(out, scores[i]...)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(out) < n {
		return nil, fmt.Errorf("the data ended after %d of %d examples", len(out), n)
	}
	return out[:n], nil
}

// Finite refuses outputs of which one is a NaN or an infinity. remedy says what the user can check.
func Finite(outputs *tensor.Tensor, remedy string) error {
	if v := outputs.To(tensor.Float64).Abs().Mean().Float(); math.IsNaN(v) || math.IsInf(v, 0) {
		return fmt.Errorf("%w; %s", ErrNotFinite, remedy)
	}
	return nil
}

// A Measure is the quantity that examples are scored by.
type Measure struct {
	Name string // "accuracy"
	Of   string // what has a score: "episodes"
	Unit string // "%"
	// Factor converts a score to the unit.
	Factor float64
	// Less is set if a smaller score is better.
	Less bool
	// Axis is the label of an axis, with the unit; if it is empty, the label is the name and the unit.
	Axis string
}

// Accuracy is the share of right answers.
var Accuracy = Measure{Name: "accuracy", Of: "episodes", Unit: "%", Factor: 100}

// Label is the label of an axis.
func (m Measure) Label() string {
	if m.Axis != "" {
		return m.Axis
	}
	return fmt.Sprintf("%s (%s)", m.Name, m.Unit)
}

// Better reports whether score a is better than b.
func (m Measure) Better(a, b float64) bool {
	if m.Less {
		return a < b
	}
	return a > b
}

// Trained is what the protocols of a run's figures say about its training.
type Trained struct {
	On        string // the data set
	Way, Shot int    // of training episodes; 0 where the network was not trained on any
	Precision string
}

// Figure returns the mean of scores with its interval, converted by a factor. It completes the protocol of the test with the facts of
// the training.
func (t Trained) Figure(name, metric string, factor float64, scores []float64, p results.Protocol) results.Figure {
	mean, half := results.MeanInterval(scores)
	f := t.Value(name, metric, factor*mean, factor*half, p)
	f.Single = len(scores) < 2
	return f
}

// Value is [Trained.Figure] for a value that has been computed already, with half of its interval.
func (t Trained) Value(name, metric string, value, half float64, p results.Protocol) results.Figure {
	p.TrainedOn, p.TrainWay, p.TrainShot, p.Precision = t.On, t.Way, t.Shot, t.Precision
	return results.Figure{Name: name, Metric: metric, Value: value, Interval: half, Protocol: p}
}

// Percent stores shares of right answers, each out of the given number, as scores in percent; on is a checksum of the examples.
func Percent(shares []float64, of int, on string) *results.Scores {
	percent := make([]float64, len(shares))
	for i, share := range shares {
		percent[i] = 100 * share
	}
	return results.NewScores(percent, float64(of)/100, on)
}
