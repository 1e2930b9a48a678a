package matchingnet_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/matchingnet"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/metric"
	"github.com/engram-go/engram/tensor"
)

func TestConforms(t *testing.T) {
	testkit.ConformFewShot(t, func(e encoder.Encoder, m memory.Associative) testkit.FewShot { return matchingnet.New(e, m) }, plain)
}

func TestMemoryIsTheOneGiven(t *testing.T) {
	m := memory.NewPrototype(memory.PrototypeConfig{Metric: metric.Cosine{}})
	assert.Same(t, m, matchingnet.New(nil, m).Memory)
}

// plain is Vinyals et al. 2016, eq. 1 with the attention of section 2.1.1 times DefaultScale, in float64.
func plain(t *fewshot.Task) (logp []float64) {
	const tasks, way, shot, queries, width = testkit.Tasks, testkit.Way, testkit.Shot, testkit.Queries, testkit.Width
	support, labels, query := t.Support.Floats(), tensor.Values[int64](t.SupportLabels), t.Query.Floats()
	for task := range tasks {
		for q := range queries {
			x := query[(task*queries+q)*width:][:width]
			var sum float64
			var classes [way]float64
			for i := range way * shot {
				k := support[(task*way*shot+i)*width:][:width]
				var xk, xx, kk float64
				for d := range width {
					xk, xx, kk = xk+x[d]*k[d], xx+x[d]*x[d], kk+k[d]*k[d]
				}
				a := math.Exp(matchingnet.DefaultScale * xk / math.Sqrt(xx*kk))
				sum += a
				classes[labels[task*way*shot+i]] += a
			}
			for _, a := range classes {
				logp = append(logp, math.Log(a/sum))
			}
		}
	}
	return logp
}
