package protonet_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/metric"
	"github.com/engram-go/engram/protonet"
	"github.com/engram-go/engram/tensor"
)

func TestConforms(t *testing.T) {
	testkit.ConformFewShot(t, func(e encoder.Encoder, m memory.Associative) testkit.FewShot { return protonet.New(e, m) }, plain)
}

func TestMemoryIsTheOneGiven(t *testing.T) {
	m := memory.NewKeyValue(memory.KeyValueConfig{Metric: metric.Cosine{}})
	assert.Same(t, m, protonet.New(nil, m).Memory)
}

// plain is Snell et al. 2017, eqs. 1 and 2, in float64.
func plain(t *fewshot.Task) (logp []float64) {
	const tasks, way, shot, queries, width = testkit.Tasks, testkit.Way, testkit.Shot, testkit.Queries, testkit.Width
	support, labels, query := t.Support.Floats(), tensor.Values[int64](t.SupportLabels), t.Query.Floats()
	for task := range tasks {
		var prototypes [way][width]float64
		for i := range way * shot {
			for d := range width {
				prototypes[labels[task*way*shot+i]][d] += support[(task*way*shot+i)*width+d] / shot
			}
		}
		for q := range queries {
			var distances [way]float64
			var sum float64
			for c := range way {
				for d := range width {
					distances[c] += math.Pow(query[(task*queries+q)*width+d]-prototypes[c][d], 2)
				}
				sum += math.Exp(-distances[c])
			}
			for c := range way {
				logp = append(logp, math.Log(math.Exp(-distances[c])/sum))
			}
		}
	}
	return logp
}
