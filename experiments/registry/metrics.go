package registry

import (
	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/metric"
	"github.com/engram-go/engram/nn"
)

func metrics() []Part[Metric] {
	return []Part[Metric]{
		{kindSquaredEuclidean, "the squared Euclidean distance", "Snell et al. 2017, section 2.3", Plain(fixed(metric.SquaredEuclidean{}))},
		{"euclidean", "the Euclidean distance", "", Plain(fixed(metric.Euclidean{}))},
		{"manhattan", "the sum of the coordinates' distances", "", Plain(fixed(metric.Manhattan{}))},
		{kindWeightedManhattan, "the Manhattan distance with a learned weight per coordinate", "Koch et al. 2015, section 3.1", Plain(Metric{
			New:     func(b *nn.Builder, e encoder.Encoder) metric.Metric { return metric.NewWeightedManhattan(b, e.Width()) },
			Learned: true,
		})},
		{"mahalanobis", "the distance under a learned matrix", "", Config(mahalanobisConfig{"full"}, (*mahalanobisConfig).plan)},
		{"covariance", "the Mahalanobis distance under the support set's covariance", "Bateni et al. 2020, section 4.2",
			Config(covarianceConfig{"class", 1}, (*covarianceConfig).plan)},
		{kindCosine, "the cosine of the angle", "Vinyals et al. 2016, section 2.1", Plain(similarity(metric.Cosine{}))},
		{kindDot, "the dot product", "Sukhbaatar et al. 2015, section 2.1", Plain(similarity(metric.Dot{}))},
		{kindRelation, "a learned relation of two embeddings", "Sung et al. 2018, section 3.4",
			Config(relationConfig{64, 8}, (*relationConfig).plan)},
		{"modified-hausdorff", "the modified Hausdorff distance of two images' ink", "Dubuisson and Jain 1994", Plain(Metric{
			New: fixed(metric.ModifiedHausdorff{}).New, OfImages: true,
		})},
	}
}

// fixed is a metric that learns nothing.
func fixed(m metric.Metric) Metric {
	return Metric{New: func(*nn.Builder, encoder.Encoder) metric.Metric { return m }}
}

func similarity(m metric.Metric) Metric {
	out := fixed(m)
	out.Similarity = true
	return out
}

type mahalanobisConfig struct {
	Form string `yaml:"form" enum:"full,diagonal" doc:"a learned matrix, or one number per coordinate"`
}

func (c *mahalanobisConfig) plan() (Metric, error) {
	return Metric{Learned: true, New: func(b *nn.Builder, e encoder.Encoder) metric.Metric {
		return metric.NewMahalanobis(b, e.Width(), c.Form == "diagonal")
	}}, nil
}

type covarianceConfig struct {
	Form  string  `yaml:"form" enum:"class,shared" doc:"the support set's covariance: one per class, or one for all"`
	Ridge float64 `yaml:"ridge" above:"0" doc:"what is added to its diagonal"`
}

func (c *covarianceConfig) plan() (Metric, error) {
	m := fixed(metric.NewCovariance(metric.CovarianceConfig{PerClass: c.Form == "class", Ridge: c.Ridge}))
	m.OfSupport = true
	return m, nil
}

type relationConfig struct {
	Filters int64 `yaml:"filters" min:"1" doc:"of its two convolutions"`
	Hidden  int64 `yaml:"hidden" min:"1" doc:"units between its two linear layers"`
}

func (c *relationConfig) plan() (Metric, error) {
	return Metric{Learned: true, Similarity: true, OfSums: true, New: func(b *nn.Builder, e encoder.Encoder) metric.Metric {
		channels, height, width := encoder.Maps(e)
		return metric.NewRelation(b, metric.RelationConfig{
			Channels: channels, Height: height, Width: width, Filters: c.Filters, Hidden: c.Hidden,
		})
	}}, nil
}
