// Package memnet is the end-to-end Memory Network of Sukhbaatar et al. (2015), which answers a question about a story by
// reading the story's sentences from a memory several times.
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

// Tying says which of the network's tables of word vectors are one: section 2.2.
type Tying int

const (
	// Adjacent makes the output table of a hop the input table of the next, the question's table that of the first hop's
	// input, and the answer's weights the last hop's output table.
	Adjacent Tying = iota
	// LayerWise has the same two tables at every hop, as a recurrent network, and a learned linear map of the query between
	// hops; the question's and the answer's are their own.
	LayerWise
)

// Config are the settings of [New]. Zero values stand for the paper's for a network of a single task.
type Config struct {
	// Words is the size of the vocabulary, which the answers are words of.
	Words int64
	// Width is that of a word vector; zero stands for 20.
	Width int64
	// Hops is how often the memory is read; zero stands for 3.
	Hops int
	// Slots is how many sentences the memory holds, the most recent ones of a longer story; zero stands for 50. The softmax
	// is over all of them, and an empty slot scores 0 and reads 0: section 4.1 pads all stories to one length with zeros. So a
	// network can find that no sentence matches, which it must to say no.
	Slots int
	// Encoding makes sentences of words.
	Encoding encoder.WordEncoding
	// Longest is the length of the longest sentence, which the released code's position encoding asks for.
	Longest int
	// Tying says which tables are one.
	Tying Tying
	// Timeless leaves out the temporal encoding, by which the network knows the order of the sentences.
	Timeless bool
	// Noise makes the sentences' times uncertain in training, for as many sentences more as this share of the story's at
	// most, at random: section 4.1, where it is 0.1 and called random noise. Zero stands for none.
	Noise float64
	// ReLU passes the query through a rectifier after each hop.
	ReLU bool
}

// Net is a Memory Network.
//
// At each hop the query u looks for sentences mᵢ of the input table by a softmax over u·mᵢ, and the sum of the sentences cᵢ
// of the output table under it moves the query: section 2.1, eqs. 1 and 2. Answers are scored by their own table's dot product
// with the last query (eq. 3).
type Net struct {
	config Config
	tables []*nn.Param // [words, width]: hop k reads keys by table k·step, values by the one after it
	times  []*nn.Param // [slots, width], beside the tables
	step   int         // 1 for adjacent tying, 0 for layer-wise
	asks   *nn.Param   // the question's table
	says   *nn.Param   // the answer's weights, [words, width]
	moves  *nn.Linear  // of layer-wise tying: H of section 2.2
	linear *nn.Param   // [1], a buffer: 1 while the softmaxes are off
}

// initial are the first values of all weights: section 4.2.
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
	n := &Net{config: c, step: 1, linear: b.Buffer("linear", nn.Constant(0), 1)}
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
	n.asks, n.says = n.tables[0], n.tables[count-1]
	if c.Tying == LayerWise {
		n.asks, n.says = b.Param("question", initial, c.Words, c.Width), b.Param("answer", initial, c.Words, c.Width)
		n.moves = &nn.Linear{Weight: b.In("hop").Param("weight", initial, c.Width, c.Width)}
	}
	return n
}

// SetLinear turns the softmaxes over the sentences off or on. Training begins without them, which the paper calls linear
// start (section 4.2). The setting is saved with the parameters.
func (n *Net) SetLinear(on bool) {
	v := 0.
	if on {
		v = 1
	}
	s := tensor.Enter()
	defer s.Leave()
	n.linear.Value().Assign(tensor.Full(v, tensor.Float32, tensor.CPU, 1))
}

// Linear reports whether the softmaxes over the sentences are off.
func (n *Net) Linear() bool { return tensor.Values[float32](n.linear.Value())[0] != 0 }

// Forward returns the scores of all words as answers to the stories' questions, before the softmax, [stories, words], and
// what each hop attended to, [stories, slots]: the sentences of a story in their order, the last ones where it has more than
// the memory's slots, and then the empty slots. While the network is linear the attention is no weighting.
func (n *Net) Forward(p *nn.Pass, stories []encoder.Story) (scores *tensor.Tensor, attention []*tensor.Tensor) {
	c := n.config
	batch, slots := int64(len(stories)), int64(c.Slots)
	like := p.Value(n.asks)
	on := like.Device()

	// The sentences of all slots by all tables at once.
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
		states = append(states, memory.KeyValueState{Keys: by[hop*n.step], Values: by[hop*n.step+1]})
	}

	var questions [][]int
	for _, s := range stories {
		questions = append(questions, s.Question)
	}
	query := c.Encoding.Sentences(questions, nil, c.Words, c.Longest, on).Embed([]*tensor.Tensor{like}, nil).Unsqueeze(1)
	reader := memory.Hops{Memory: memory.NewKeyValue(memory.KeyValueConfig{Metric: metric.Dot{}, Linear: n.Linear()}), Next: n.next}
	query, attention = reader.Read(p, states, query)
	for i, a := range attention {
		attention[i] = a.Squeeze(1)
	}
	return tensor.Linear(query.Squeeze(1), p.Value(n.says), nil), attention
}

// next moves the query [stories, 1, width] by what it brought back.
func (n *Net) next(p *nn.Pass, _ int, query, read *tensor.Tensor) *tensor.Tensor {
	if n.moves != nil {
		query = tensor.Linear(query, p.Value(n.moves.Weight), nil)
	}
	query = query.Add(read)
	if n.config.ReLU {
		query = query.ReLU()
	}
	return query
}

// arrange lists what is in every slot of every story, and the times of the sentences, nil if they have none. An empty slot has a
// sentence without words and without a time, whose vector is zero.
func (n *Net) arrange(p *nn.Pass, stories []encoder.Story) (facts [][]int, times []int) {
	facts = make([][]int, 0, len(stories)*n.config.Slots)
	for _, s := range stories {
		kept := s.Facts[max(0, len(s.Facts)-n.config.Slots):]
		facts = append(facts, kept...)
		if !n.config.Timeless {
			times = append(times, n.moments(p, len(kept))...)
		}
		for range n.config.Slots - len(kept) {
			facts = append(facts, nil)
			if !n.config.Timeless {
				times = append(times, -1)
			}
		}
	}
	return facts, times
}

// moments returns the times of the sentences of a story, counted back from the question. With noise some times in between
// belong to no sentence; the last ones may then be alike.
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

// someOf draws n of the numbers from 0 to n and up to share·n more, largest first.
func someOf(r *rand.Rand, n int, share float64) []int {
	more := r.IntN(int(math.Ceil(float64(n)*share)) + 1)
	drawn := r.Perm(n + more)[:n]
	slices.SortFunc(drawn, func(a, b int) int { return b - a })
	return drawn
}
