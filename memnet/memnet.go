// Package memnet implements the end-to-end Memory Network of Sukhbaatar et al. (2015). It answers a question about a story by
// reading the story's sentences from a memory in several hops. The memory is the paper's, or any [memory.Associative].
package memnet

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/metric"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// Tying is a scheme of sharing the network's tables of word vectors: section 2.2.
type Tying int

const (
	// Adjacent shares the output table of a hop with the input table of the next hop, the question's table with the first
	// hop's input table, and the answer's weights with the last hop's output table.
	Adjacent Tying = iota
	// LayerWise uses the same two tables in every hop, as a recurrent network does, and a learned linear map of the query
	// between hops. The question and the answer have tables of their own.
	LayerWise
)

// Config configures [New]. The defaults are the paper's for training on a single task.
type Config struct {
	// Words is the size of the vocabulary. Answers are words of it.
	Words int64
	// Width is the width of a word vector; default 20.
	Width int64
	// Hops is the number of times that the memory is read; default 3.
	Hops int
	// Slots is the number of sentences that the memory holds, the most recent ones of a longer story; default 50. The softmax
	// runs over all slots. Empty slots have the score 0 and the value 0, because section 4.1 pads all stories with zeros to the
	// same length. The network can therefore find that no sentence matches, which it needs to answer "no".
	Slots int
	// Encoding computes the vectors of sentences from those of words.
	Encoding encoder.WordEncoding
	// Longest is the length of the data's longest sentence. Only [encoder.ReleasedPositionEncoding] uses it.
	Longest int
	// Tying is the scheme of sharing tables.
	Tying Tying
	// Timeless omits the temporal encoding. The network then does not know the order of the sentences.
	Timeless bool
	// Noise inserts, in training, empty times between the sentences: a random number of them up to this fraction of the
	// story's length. It is the random noise of section 4.1, where it is 0.1. The default is none.
	Noise float64
	// ReLU applies a ReLU to the query after each hop.
	ReLU bool
	// Memory holds the sentences. The default is the paper's: a slot per sentence, read by a softmax over dot products. A memory
	// that is no [memory.Linearizer] is written the empty slots first and then the sentences, so that a memory of few slots keeps
	// the most recent sentences.
	Memory memory.Associative
}

// Net is a Memory Network.
//
// In each hop the query u attends to the sentences by a softmax over u·mᵢ, with mᵢ from the input table, and the weighted sum
// of the cᵢ, from the output table, is added to the query: section 2.1, eqs. 1 and 2. The score of an answer is the dot
// product of its weights with the last query (eq. 3).
type Net struct {
	config   Config
	tables   []*nn.Param // [words, width]: hop k takes keys from table k·step and values from the next table
	times    []*nn.Param // [slots, width], one per table
	step     int         // 1 for adjacent tying, 0 for layer-wise
	question *nn.Param   // the question's table, [words, width]
	answer   *nn.Param   // the answer's weights, [words, width]
	hop      *nn.Linear  // H of section 2.2; layer-wise tying only
	linear   *nn.Param   // [1], a buffer: 1 while the softmaxes are off
}

// initial initialises all weights: section 4.2.
var initial = nn.Normal(0, .1)

// New makes a network.
func New(b *nn.Builder, c Config) *Net {
	if c.Width == 0 {
		c.Width = 20
	}
	if c.Hops == 0 {
		c.Hops = 3
	}
	if c.Slots == 0 {
		c.Slots = 50
	}
	if c.Memory == nil {
		c.Memory = memory.NewKeyValue(memory.KeyValueConfig{Metric: metric.Dot{}})
	}
	n := &Net{config: c, step: 1, linear: b.OnCPU().Buffer("linear", nn.Constant(0), 1)}
	count := c.Hops + 1
	if c.Tying == LayerWise {
		n.step, count = 0, 2
	}
	for i := range count {
		n.tables = append(n.tables, b.Param(fmt.Sprintf("words%d", i+1), initial, c.Words, c.Width))
		if !c.Timeless {
			n.times = append(n.times, b.Param(fmt.Sprintf("times%d", i+1), initial, int64(c.Slots), c.Width))
		}
	}
	n.question, n.answer = n.tables[0], n.tables[count-1]
	if c.Tying == LayerWise {
		n.question, n.answer = b.Param("question", initial, c.Words, c.Width), b.Param("answer", initial, c.Words, c.Width)
		n.hop = &nn.Linear{Weight: b.In("hop").Param("weight", initial, c.Width, c.Width)}
	}
	return n
}

// SetLinear switches the softmaxes over the sentences off (on is true) or on. The paper's linear start trains without them
// first (section 4.2). The setting is a buffer and is saved with the parameters. It must not be called during a pass. It panics
// where on is true and the memory is no [memory.Linearizer].
func (n *Net) SetLinear(on bool) {
	v := 0.
	if on {
		if !n.keepsOrder() {
			panic(fmt.Sprintf("memnet: a %T reads by no softmax that could be left out", n.config.Memory))
		}
		v = 1
	}
	s := tensor.Enter()
	defer s.Leave()
	n.linear.Value().Assign(tensor.Full(v, tensor.Float32, tensor.CPU, 1))
}

// keepsOrder reports whether the memory has a slot per sentence, in the order of writing.
func (n *Net) keepsOrder() bool {
	_, ok := n.config.Memory.(memory.Linearizer)
	return ok
}

// Linear reports whether the softmaxes over the sentences are off.
func (n *Net) Linear() bool { return tensor.Values[float32](n.linear.Value())[0] != 0 }

// Forward returns the logits [stories, words] of all words as answers to the stories' questions, and the attention [stories,
// slots] of each hop. The slots are the sentences of a story in their order (the most recent ones if there are more than
// slots), then the empty slots. While the network is linear the attention holds scores instead of a weighting. It is nil where
// the memory is no [memory.Linearizer].
func (n *Net) Forward(p *nn.Pass, stories []encoder.Story) (scores *tensor.Tensor, attention []*tensor.Tensor) {
	c := n.config
	batch, slots := int64(len(stories)), int64(c.Slots)
	like := p.Value(n.question)
	on := like.Device()

	// The sentences of all slots under all tables in one operation.
	facts, times := n.arrange(p, stories)
	var words, moments []*tensor.Tensor
	for i, t := range n.tables {
		words = append(words, p.Value(t))
		if !c.Timeless {
			moments = append(moments, p.Value(n.times[i]))
		}
	}
	sentences := c.Encoding.Sentences(facts, times, c.Words, c.Longest, on).Embed(words, moments)
	by := sentences.Reshape(batch, slots, -1).Split(2, len(n.tables))
	var states []memory.State
	for hop := range c.Hops {
		states = append(states, c.Memory.Write(p, c.Memory.Init(batch), by[hop*n.step], by[hop*n.step+1]))
	}

	var questions [][]int
	for _, s := range stories {
		questions = append(questions, s.Question)
	}
	query := c.Encoding.Sentences(questions, nil, c.Words, c.Longest, on).Embed([]*tensor.Tensor{like}, nil).Unsqueeze(1)
	reader := memory.Hops{Memory: c.Memory, Next: n.next}
	linearizer, ordered := c.Memory.(memory.Linearizer)
	if ordered {
		reader.Memory = linearizer.Linear(n.Linear())
	}
	query, attention = reader.Read(p, states, query)
	if ordered {
		for i, a := range attention {
			attention[i] = a.Squeeze(1)
		}
	} else {
		attention = nil
	}
	return tensor.Linear(query.Squeeze(1), p.Value(n.answer), nil), attention
}

// next returns the query of the next hop, [stories, 1, width], from the query and the read vector of a hop.
func (n *Net) next(p *nn.Pass, _ int, query, read *tensor.Tensor) *tensor.Tensor {
	if n.hop != nil {
		query = tensor.Linear(query, p.Value(n.hop.Weight), nil)
	}
	query = query.Add(read)
	if n.config.ReLU {
		query = query.ReLU()
	}
	return query
}

// arrange returns the sentence in every slot of every story, and the sentences' times, or nil if Timeless is set. An empty slot
// holds a sentence without words and without a time, whose vector is zero.
func (n *Net) arrange(p *nn.Pass, stories []encoder.Story) (facts [][]int, times []int) {
	facts = make([][]int, 0, len(stories)*n.config.Slots)
	for _, s := range stories {
		kept := s.Facts[max(0, len(s.Facts)-n.config.Slots):]
		empty := n.config.Slots - len(kept)
		moments := slices.Repeat([]int{-1}, empty)
		if n.keepsOrder() {
			facts = append(append(facts, kept...), make([][]int, empty)...)
			moments = append(n.moments(p, len(kept)), moments...)
		} else {
			facts = append(append(facts, make([][]int, empty)...), kept...)
			moments = append(moments, n.moments(p, len(kept))...)
		}
		if !n.config.Timeless {
			times = append(times, moments...)
		}
	}
	return facts, times
}

// moments returns the times of a story's sentences, counted back from the question. With noise some times in between belong to
// no sentence. Times are limited to the number of slots, so the oldest sentences can then share a time.
func (n *Net) moments(p *nn.Pass, sentences int) []int {
	times := make([]int, sentences)
	for i := range times {
		times[i] = sentences - 1 - i
	}
	if n.config.Noise == 0 || !p.Training || sentences == 0 {
		return times
	}
	for i, t := range someOf(p.Rand, sentences, n.config.Noise) {
		times[i] = min(t, n.config.Slots-1)
	}
	return times
}

// someOf draws n distinct numbers from 0 to n-1+m in descending order, with a random m of at most share·n rounded up.
func someOf(r *rand.Rand, n int, share float64) []int {
	more := r.IntN(int(math.Ceil(float64(n)*share)) + 1)
	drawn := r.Perm(n + more)[:n]
	slices.SortFunc(drawn, func(a, b int) int { return b - a })
	return drawn
}
