package registry

import (
	"errors"
	"fmt"

	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/head"
	"github.com/engram-go/engram/metric"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/transfer"
)

// transductive marks heads in results, and completes a sentence about heads that an encoder cannot be trained through.
const (
	transductive = "transductive"
	forTests     = "is for tests on a trained encoder and cannot be trained through; use ridge, svm, mean, simpleshot or feat, or give it as the head of a test"
)

// episodicConfig is the configuration of an encoder that is trained through a head.
type episodicConfig struct {
	Encoder schema.Section `yaml:"encoder" family:"encoder" doc:"an image or a text to an embedding"`
	Head    schema.Section `yaml:"head" family:"head" doc:"what classifies an episode's queries by its support set, in training and in tests"`

	Smoothing float64 `yaml:"smoothing" min:"0" below:"1" doc:"of the labels in training: 0.1 spreads a tenth of a label over all classes"`
}

func episodic(p *Parts) []Part[FewShot] {
	return []Part[FewShot]{{kindEpisodic, "an encoder trained on episodes through a head: R2D2, MetaOptNet, FEAT, Meta-Baseline", "Bertinetto et al. 2019; Lee et al. 2019",
		Config(episodicConfig{Encoder: schema.NewSection(kindConv4, nil), Head: schema.NewSection(kindRidge, nil)}, func(c *episodicConfig) (FewShot, error) {
			enc, encErr := p.Encoders.Plan(&c.Encoder)
			planned, headErr := p.Heads.Plan(&c.Head)
			switch {
			case headErr != nil:
			case planned.NoTraining != "":
				headErr = c.Head.Errorf("%s %s", c.Head.Kind(), planned.NoTraining)
			case planned.Centred:
				headErr = c.Head.Errorf("it subtracts the mean embedding of the training images, which training changes; use another form")
			}
			return FewShot{
				Head: &planned, Encoder: enc, Frozen: enc.Frozen,
				NoStream:       "has no memory that a stream could be written to; use protonet or matchingnet",
				NoVerification: noPairs,
				New: func(b *nn.Builder, in FewShotInput) (fewshot.Network, error) {
					e, err := enc.New(b.In("encoder"), in.Shape)
					if err != nil {
						return nil, err
					}
					blocks := transfer.Blocks(e, b.Params())
					net := &head.Net{Encoder: e, Head: planned.New(HeadInput{Builder: b.In("head"), Width: e.Width()}), Smoothing: c.Smoothing}
					return headed{net, blocks}, nil
				},
			}, schema.Join(encErr, headErr)
		})}}
}

// headed is a network of package head as a [Headed].
type headed struct {
	*head.Net
	blocks [][]*nn.Param
}

// Blocks implements [Headed].
func (n headed) Blocks() int { return len(n.blocks) }

// With implements [Headed].
func (n headed) With(h Head, mean []float32) fewshot.Network {
	if h.adapted() {
		return transfer.On(n.Encoder, n.blocks, h.Adaptation)
	}
	return &head.Net{Encoder: n.Encoder, Head: h.New(HeadInput{Width: n.Encoder.Width(), Mean: mean})}
}

type meanHead struct {
	Metric  string  `yaml:"metric" enum:"squared-euclidean,cosine" doc:"of embedding and class mean"`
	Scale   float64 `yaml:"scale" above:"0" doc:"multiplies cosines, and in training on episodes distances as well where it is learned"`
	Learned bool    `yaml:"learned" doc:"the scale is learned in training on episodes, from the value given: the temperature of Meta-Baseline (Chen et al. 2021)"`
}

func (c *meanHead) plan() Head {
	scale, m := 1., metric.Metric(metric.SquaredEuclidean{})
	h := Head{Adaptation: Adaptation{Head: transfer.Mean}, Doc: "nearest class mean, " + c.Metric}
	if c.Metric == kindCosine {
		scale, m = c.Scale, metric.Cosine{}
		h.Adaptation.Head, h.Adaptation.Scale = transfer.CosineMean, c.Scale
	} else if c.Learned {
		scale = c.Scale
	}
	h.New = func(in HeadInput) head.Head {
		if !c.Learned {
			in.Builder = nil
		}
		return head.NewMean(in.Builder, m, scale)
	}
	return h
}

type simpleShotHead struct {
	Form   string  `yaml:"form" enum:"un,l2n,cl2n" doc:"of embeddings: as they are, divided by their norms, or that after subtracting the mean embedding of the training images"`
	Scale  float64 `yaml:"scale" above:"0" doc:"multiplies the negated squared distances before the softmax"`
	Images int     `yaml:"images" min:"0" doc:"images of each training class that the mean embedding of cl2n is taken over; 0 for all"`
}

type ridgeHead struct {
	Form   string  `yaml:"form" enum:"r2d2,metaoptnet" doc:"r2d2: with a bias, embeddings and labels divided by the root of their number; metaoptnet: without"`
	Lambda float64 `yaml:"lambda" above:"0" doc:"weight of the penalty"`
	Scale  float64 `yaml:"scale" above:"0" doc:"multiplies the regression's values before the softmax; initial value in training on episodes, which learns it"`
}

type svmHead struct {
	C          float64 `yaml:"c" above:"0" doc:"bound of the dual variables"`
	Iterations int     `yaml:"iterations" min:"1" doc:"of the interior-point method"`
	Scale      float64 `yaml:"scale" above:"0" doc:"multiplies the scores before the softmax; initial value in training on episodes, which learns it"`
}

type logisticHead struct {
	C          float64 `yaml:"c" above:"0" doc:"weight of the cross-entropy against half the squared norm of the weights"`
	Normalize  bool    `yaml:"normalize" doc:"divide embeddings by their norms"`
	Iterations int     `yaml:"iterations" min:"1" doc:"at most"`
}

type featHead struct {
	Temperature float64 `yaml:"temperature" above:"0" doc:"divides the squared distances"`
	Weight      float64 `yaml:"weight" min:"0" doc:"of the contrastive term in the loss; 0.01 at 1 shot and 0.1 at 5 in the paper's code"`
	Contrast    float64 `yaml:"contrast_temperature" above:"0" doc:"divides the squared distances of the contrastive term"`
	Drop        float64 `yaml:"drop" min:"0" below:"1" doc:"probability of dropout in training"`
}

type bdcspnHead struct {
	Sharpness float64 `yaml:"sharpness" min:"0" doc:"multiplies the cosines in the weights of the examples of a class mean; 1 in easyfsl"`
	Scale     float64 `yaml:"scale" above:"0" doc:"multiplies the cosines before the softmax"`
}

type laplacianHead struct {
	Rectify    bool    `yaml:"rectify" doc:"begin with the class means and queries of bd-cspn"`
	Sharpness  float64 `yaml:"sharpness" min:"0" doc:"of bd-cspn"`
	Normalize  bool    `yaml:"normalize" doc:"divide embeddings by their norms"`
	Neighbours int64   `yaml:"neighbours" min:"1" doc:"of each query, itself not counted; knn: 3 in the authors' code means 2"`
	Lambda     float64 `yaml:"lambda" min:"0" doc:"weight of the neighbours' assignments"`
	Steps      int     `yaml:"steps" min:"1" doc:"bound updates"`
}

type timHead struct {
	Solver       string  `yaml:"solver" enum:"gradient,adm" doc:"Adam, or the closed-form updates of alternating directions"`
	Steps        int     `yaml:"steps" min:"1"`
	Rate         float64 `yaml:"rate" above:"0" doc:"of Adam"`
	Temperature  float64 `yaml:"temperature" above:"0" doc:"twice what multiplies the negated squared distances"`
	CrossEntropy float64 `yaml:"cross_entropy" min:"0" doc:"weight of the cross-entropy of the support set"`
	Marginal     float64 `yaml:"marginal" min:"0" doc:"weight of the entropy of the mean prediction"`
	Conditional  float64 `yaml:"conditional" min:"0" doc:"weight of the mean entropy of the predictions"`
	Normalize    bool    `yaml:"normalize" doc:"divide embeddings by their norms"`
}

// Validate implements [schema.Validator].
func (c *timHead) Validate() error {
	if c.Solver == "adm" && c.CrossEntropy == 0 {
		return schema.At("cross_entropy", errors.New("adm divides by it; give a weight above 0, or use solver: gradient"))
	}
	if c.Marginal == 0 && c.Conditional == 0 {
		return schema.At("marginal", errors.New("marginal and conditional are both 0, and nothing of the loss depends on the queries; give one of them a weight"))
	}
	return nil
}

type softKMeansHead struct {
	Steps     int     `yaml:"steps" min:"1"`
	Scale     float64 `yaml:"scale" above:"0" doc:"multiplies the negated squared distances"`
	Normalize bool    `yaml:"normalize" doc:"divide embeddings by their norms"`
}

// featureHeads are the heads of package head that have no form in package transfer.
func featureHeads() []Part[Head] {
	return []Part[Head]{
		{"simpleshot", "the nearest class mean of centred and normalised embeddings", "Wang et al. 2019", Config(simpleShotHead{Form: string(head.L2N), Scale: 10}, func(c *simpleShotHead) (Head, error) {
			form := head.Form(c.Form)
			return Head{
				Doc: "SimpleShot " + c.Form, Centred: form == head.CL2N, Images: c.Images,
				New: func(in HeadInput) head.Head { return head.NewSimpleShot(form, in.Mean, c.Scale) },
			}, nil
		})},
		{kindRidge, "ridge regression in closed form", "Bertinetto et al. 2019; Lee et al. 2019", Config(ridgeHead{"r2d2", 50, 10}, func(c *ridgeHead) (Head, error) {
			return Head{
				Doc: fmt.Sprintf("ridge regression (%s), λ %g", c.Form, c.Lambda),
				New: func(in HeadInput) head.Head {
					return head.NewRidge(in.Builder, head.RidgeConfig{Lambda: c.Lambda, Bias: c.Form == "r2d2", Scale: c.Scale})
				},
			}, nil
		})},
		{"svm", "a multi-class support-vector machine", "Lee et al. 2019, section 3.2", Config(svmHead{.1, 15, 1}, func(c *svmHead) (Head, error) {
			return Head{
				Doc: fmt.Sprintf("support-vector machine, C %g", c.C),
				New: func(in HeadInput) head.Head {
					return head.NewSVM(in.Builder, head.SVMConfig{C: c.C, Iterations: c.Iterations, Scale: c.Scale})
				},
			}, nil
		})},
		{"logistic", "multinomial logistic regression, fitted to convergence", "Tian et al. 2020, section 3.2", Config(logisticHead{1, true, 1000}, func(c *logisticHead) (Head, error) {
			return Head{
				Doc: fmt.Sprintf("logistic regression, C %g", c.C), NoTraining: forTests,
				New: func(HeadInput) head.Head { return head.NewLogistic(head.LogisticConfig(*c)) },
			}, nil
		})},
		{"feat", "class means adapted to one another by self-attention", "Ye et al. 2020", Config(featHead{64, .01, 64, .5}, func(c *featHead) (Head, error) {
			return Head{
				Doc: "FEAT", Learned: true,
				New: func(in HeadInput) head.Head {
					return head.NewFEAT(in.Builder, in.Width, head.FEATConfig{Temperature: c.Temperature, Weight: c.Weight, ContrastTemperature: c.Contrast, Drop: c.Drop})
				},
			}, nil
		})},
		{"bd-cspn", "class means rectified by pseudo-labelled queries, transductive", "Liu et al. 2020", Config(bdcspnHead{10, 10}, func(c *bdcspnHead) (Head, error) {
			return queriesTogether("BD-CSPN", head.NewBDCSPN(head.Rectification{Sharpness: c.Sharpness}, c.Scale)), nil
		})},
		{"laplacian", "LaplacianShot: similar assignments of neighbouring queries, transductive", "Ziko et al. 2020", Config(laplacianHead{true, 10, true, 2, .7, 20}, func(c *laplacianHead) (Head, error) {
			return queriesTogether(fmt.Sprintf("LaplacianShot, %d neighbours, λ %g", c.Neighbours, c.Lambda), head.NewLaplacian(head.LaplacianConfig{
				Rectification: head.Rectification{Sharpness: c.Sharpness}, Rectify: c.Rectify, Normalize: c.Normalize,
				Neighbours: c.Neighbours, Lambda: c.Lambda, Steps: c.Steps,
			})), nil
		})},
		{"tim", "information maximisation over the queries, transductive", "Boudiaf et al. 2020", Config(timHead{"adm", 150, 1e-4, 15, .1, 1, .1, true}, func(c *timHead) (Head, error) {
			how := fmt.Sprintf("%d steps of Adam at %g", c.Steps, c.Rate)
			if c.Solver == "adm" {
				how = fmt.Sprintf("%d alternating steps", c.Steps)
			}
			return queriesTogether("TIM, "+how, head.NewTune(head.TuneConfig{
				CrossEntropy: c.CrossEntropy, Marginal: c.Marginal, Conditional: c.Conditional, Temperature: c.Temperature,
				Normalize: c.Normalize, Steps: c.Steps, Rate: c.Rate, Alternating: c.Solver == "adm",
			})), nil
		})},
		{"soft-k-means", "class means refined by soft assignments of the queries, transductive", "Ren et al. 2018, section 3.1", Config(softKMeansHead{1, 1, false}, func(c *softKMeansHead) (Head, error) {
			return queriesTogether(fmt.Sprintf("soft k-means, %d steps", c.Steps), head.NewSoftKMeans(c.Steps, c.Scale, c.Normalize)), nil
		})},
	}
}

// queriesTogether plans a transductive head, which has nothing to learn.
func queriesTogether(doc string, h head.Head) Head {
	return Head{Doc: doc + ", " + transductive, Transductive: true, NoTraining: forTests, New: func(HeadInput) head.Head { return h }}
}
