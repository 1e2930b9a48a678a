package relationnet_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/metric"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/relationnet"
	"github.com/engram-go/engram/tensor"
)

// A network says that it uses batch statistics exactly if, under them, the answer to a query changes with the other queries.
func TestUsesBatchStatisticsIsWhatNetworksDo(t *testing.T) {
	pixels := func(*nn.Builder) encoder.Encoder { return encoder.NewPixels(1, 28, 28) }
	conv4 := func(b *nn.Builder) encoder.Encoder {
		e, err := encoder.NewConv4(b.In("encoder"), encoder.Conv4Config{Height: 28, Width: 28, Filters: 2})
		require.NoError(t, err)
		return e
	}
	over := func(m metric.Metric) func(*nn.Builder, encoder.Encoder) fewshot.Network {
		return func(_ *nn.Builder, e encoder.Encoder) fewshot.Network {
			return &fewshot.Net{Encoder: e, Memory: memory.NewKeyValue(memory.KeyValueConfig{Metric: m})}
		}
	}
	relation := func(b *nn.Builder, e encoder.Encoder) fewshot.Network {
		c, h, w := encoder.Maps(e)
		m := metric.NewRelation(b.In("metric"), metric.RelationConfig{Channels: c, Height: h, Width: w, Filters: 2})
		return relationnet.New(e, memory.NewPrototype(memory.PrototypeConfig{Metric: m, Sum: true}), relationnet.CrossEntropy)
	}
	for name, c := range map[string]struct {
		encoder func(*nn.Builder) encoder.Encoder
		network func(*nn.Builder, encoder.Encoder) fewshot.Network
		want    bool
	}{
		"pixels":           {pixels, over(metric.SquaredEuclidean{}), false},
		"conv4":            {conv4, over(metric.SquaredEuclidean{}), true},
		"pixels, relation": {pixels, relation, true},
		"conv4, relation":  {conv4, relation, true},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Enter(t)
			b := nn.NewBuilder(1, tensor.CPU)
			defer b.Params().Free()
			net := c.network(b, c.encoder(b))
			assert.Equal(t, c.want, fewshot.UsesBatchStatistics(net))
			first := func(columns ...int) []float64 {
				all := task()
				some := *all
				some.Query, some.QueryLabels = tensor.New(append(lines(false, 12), lines(true, columns...)...), 1, int64(1+len(columns)), 1, 28, 28), nil
				return net.LogProbs(&nn.Pass{}, &some).Select(1, 0).Floats()
			}
			assert.Equal(t, c.want, !assert.ObjectsAreEqual(first(10, 14), first(4, 22)))
		})
	}
}
