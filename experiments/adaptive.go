package experiments

import (
	"fmt"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/maml"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/reptile"
	"github.com/engram-go/engram/results"
	"github.com/engram-go/engram/tensor"
)

// adaptive is a network that is adapted to each task by steps on its support set, and learns what it starts from.
type adaptive interface {
	fewshotLearner
	// Gradients returns the gradient of each trained parameter, the loss, and the queries' log-probabilities [tasks, query, way].
	Gradients(p *nn.Pass, t *fewshot.Task) (grads []*tensor.Tensor, loss, logp *tensor.Tensor)
	// Steps returns how many steps a task is adapted by in training, and otherwise.
	Steps() (train, test int)
}

// adapts reports whether networks of a kind are adaptive.
func adapts(kind string) bool { return kind == "maml" || kind == "reptile" }

type mamlConfig struct {
	Encoder   schema.Section `yaml:"encoder" doc:"an image to an embedding: conv4, koch, or pixels for the image itself"`
	Steps     int            `yaml:"steps" min:"1" doc:"inner steps in training"`
	TestSteps int            `yaml:"test_steps" min:"0" doc:"inner steps in validation and tests; 0 means as many as in training"`
	Rate      float64        `yaml:"rate" above:"0" doc:"of the inner steps, or where learned rates begin"`
	Rates     string         `yaml:"rates" enum:"fixed,learned" doc:"learned: a rate for each parameter's every element (Meta-SGD)"`
	Order     string         `yaml:"order" enum:"second,first" doc:"first: the meta-gradient takes inner gradients for constants (FOMAML)"`
	Inner     string         `yaml:"inner" enum:"all,head" doc:"what inner steps move: all parameters, or those of the last layer (ANIL)"`
}

func planMAML(s *schema.Section) (func(*nn.Builder, imageShape) (fewshotLearner, error), error) {
	c := mamlConfig{
		Encoder: schema.NewSection("conv4", nil), Steps: 1, Rate: maml.DefaultRate, Rates: "fixed", Order: "second", Inner: "all",
	}
	if err := s.Decode(&c); err != nil {
		return nil, err
	}
	return onEncoder(&c.Encoder, func(b *nn.Builder, e encoder.Encoder, in imageShape) fewshotLearner {
		return maml.New(b, e, maml.Config{
			Way: int64(in.way), Steps: c.Steps, TestSteps: c.TestSteps, Rate: c.Rate, LearnRates: c.Rates == "learned",
			FirstOrder: c.Order == "first", HeadOnly: c.Inner == "head", Workers: in.cores,
		})
	})
}

type reptileConfig struct {
	Encoder   schema.Section `yaml:"encoder" doc:"an image to an embedding: conv4, koch, or pixels for the image itself"`
	Steps     int            `yaml:"steps" min:"1" doc:"inner steps in training"`
	TestSteps int            `yaml:"test_steps" min:"1" doc:"inner steps in validation and tests"`
	Batch     int64          `yaml:"batch" min:"1" doc:"images of an inner step in training"`
	TestBatch int64          `yaml:"test_batch" min:"1" doc:"images of an inner step in validation and tests"`
	Rate      float64        `yaml:"rate" above:"0" doc:"of the inner steps' Adam, whose beta1 is 0; the outer step is optimizer.rate"`
}

func planReptile(s *schema.Section) (func(*nn.Builder, imageShape) (fewshotLearner, error), error) {
	c := reptileConfig{Encoder: schema.NewSection("conv4", nil), Steps: 5, TestSteps: 50, Batch: 10, TestBatch: 5, Rate: 1e-3}
	if err := s.Decode(&c); err != nil {
		return nil, err
	}
	return onEncoder(&c.Encoder, func(b *nn.Builder, e encoder.Encoder, in imageShape) fewshotLearner {
		return reptile.New(b, e, reptile.Config{
			Way: int64(in.way), Steps: c.Steps, TestSteps: c.TestSteps, Batch: c.Batch, TestBatch: c.TestBatch, Rate: c.Rate,
			Workers: in.cores,
		})
	})
}

// onEncoder reads an encoder and plans the network that is made on it.
func onEncoder(s *schema.Section, network func(*nn.Builder, encoder.Encoder, imageShape) fewshotLearner) (func(*nn.Builder, imageShape) (fewshotLearner, error), error) {
	encode, err := planEncoder(s)
	return func(b *nn.Builder, in imageShape) (fewshotLearner, error) {
		e, err := encode(b.In("encoder"), in)
		if err != nil {
			return nil, err
		}
		if p := encoder.Precision(e); p != encoder.FP32 {
			return nil, s.Errorf("precision: a network that adapts by gradient descent computes in fp32, not with %s; leave precision out", p)
		}
		if err := fewshot.CheckAdaptable(e); err != nil {
			return nil, s.Errorf("%w", err)
		}
		return network(b, e, in), nil
	}, err
}

// checkAdaptive says what of a file does not go with a network that is adaptive.
func checkAdaptive(f *fewshotFile) error {
	kind := f.Network.Kind()
	var errs []error
	way := func(where string, way int) {
		if way != f.Train.Way {
			errs = append(errs, f.Network.Errorf("%s: %d-way, but %s has an output for each of the %d classes of train.way; make them the same", where, way, kind, f.Train.Way))
		}
	}
	if f.Validation.Episodes > 0 {
		way("validation", f.Validation.Way)
	}
	for i, t := range f.Test {
		where := fmt.Sprintf("test.%d", i)
		switch t.Kind {
		case testEpisodes:
			way(where, t.Way)
		case testLakeRuns:
			way(where, lakeWay)
		}
		if t.FineTune.Steps > 0 {
			errs = append(errs, f.Network.Errorf("%s: fine_tune: %s adapts to each episode by itself; leave it out, and set network.test_steps", where, kind))
		}
	}
	if f.Stream != nil {
		errs = append(errs, f.Network.Errorf("stream: %s has no memory whose size could be varied; leave it out, or take matchingnet or protonet", kind))
	}
	if d := f.Optimizer; kind == "reptile" && d.Kind() != "sgd" {
		errs = append(errs, f.Network.Errorf("optimizer: reptile moves by sgd, whose rate is the paper's outer step; use {kind: sgd, rate: 1}"))
	}
	return schema.Join(errs...)
}

// lakeWay is that of Lake's runs.
const lakeWay = 20

// share implements sharing: the tasks of a batch are adapted to at the same time.
func (w *fewshotWork) share(cores int) bool {
	if w.adapts {
		w.cores = cores
	}
	return w.adapts
}

// adaptedEpisodes are the training data of one step of an adaptive network.
type adaptedEpisodes struct {
	episodes
	adaptive adaptive
}

func (e adaptedEpisodes) gradients(p *nn.Pass, on tensor.Device) (grads []*tensor.Tensor, loss *tensor.Tensor, score float64) {
	task := fewshot.NewTask(e.Batch, on)
	grads, loss, logp := e.adaptive.Gradients(p, task)
	mean, _ := results.MeanInterval(task.Accuracies(logp))
	return grads, loss, mean
}
