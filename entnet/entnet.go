// Package entnet implements the Recurrent Entity Network of Henaff, Weston, Szlam, Bordes and LeCun (2017, "Tracking the World
// State with Recurrent Entity Networks"). It reads a story sentence by sentence into slots, each with a key, and answers a question
// from their last state.
package entnet

import (
	"cmp"
	"slices"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// Config configures [New]. The defaults are the paper's for bAbI: section 4.2 and its public code.
type Config struct {
	// Words is the size of the vocabulary. Answers are words of it.
	Words int64
	// Longest is the number of words of the longest sentence or question; those of a longer one that follow are left out.
	Longest int
	// Width is that of a word vector and of a slot; default 100.
	Width int64
	// Slots is the number of slots; default 20.
	Slots int64
	// Sentences is the number of sentences that are read, the last ones of a longer story; default 70.
	Sentences int
}

// Net is a Recurrent Entity Network. With s the sum of a sentence's word vectors, each times a learned mask of its position, slot
// j with the key w_j goes from sentence to sentence by (section 2.2)
//
//	g = σ(sᵀh + sᵀw + b),  h̃ = PReLU(U·h + V·s + W·w),  h ← (h + g·h̃)/‖h + g·h̃‖
//
// A question q, encoded by a mask of its own, is answered by (section 2.3)
//
//	p = softmax(qᵀh),  u = Σ p·h,  y = R·PReLU(q + H·u)
//
// Slots start as their keys, which are learned; slopes of the PReLUs start at 1.
type Net struct {
	config             Config
	words              *nn.Param // [words, width]
	masks              [2]*nn.Param
	keys               *nn.Param // [slots, width]
	bias               *nn.Param // [slots, 1]
	state, input, key  *nn.Param // U, V, W: [width, width]
	slope, answerSlope *nn.Param // [width]
	hop, answer        *nn.Param // H [width, width], R [words, width]
}

// initial initialises all weights: the public code.
var initial = nn.Normal(0, .1)

// normEps is added to the squared length of a slot, which a sentence can cancel.
const normEps = 1e-8

// New makes a network.
func New(b *nn.Builder, c Config) *Net {
	c.Width, c.Slots, c.Sentences = cmp.Or(c.Width, 100), cmp.Or(c.Slots, 20), cmp.Or(c.Sentences, 70)
	c.Longest = max(c.Longest, 1)
	square := func(name string) *nn.Param { return b.Param(name, initial, c.Width, c.Width) }
	one := nn.Constant(1)
	return &Net{
		config: c, words: b.Param("words", initial, c.Words, c.Width),
		masks: [2]*nn.Param{b.Param("sentence_mask", one, int64(c.Longest), c.Width), b.Param("question_mask", one, int64(c.Longest), c.Width)},
		keys:  b.Param("keys", initial, c.Slots, c.Width), bias: b.Param("gate_bias", nn.Constant(0), c.Slots, 1),
		state: square("state"), input: square("input"), key: square("key"), slope: b.Param("slope", one, c.Width),
		hop: square("hop"), answerSlope: b.Param("answer_slope", one, c.Width), answer: b.Param("answer", initial, c.Words, c.Width),
	}
}

// SetLinear panics where on is true: the network has no softmax over sentences that could be left out.
func (n *Net) SetLinear(on bool) {
	if on {
		panic("entnet: the network reads by no softmax over sentences that could be left out")
	}
}

// Linear returns false; see [Net.SetLinear].
func (n *Net) Linear() bool { return false }

// Forward returns the logits [stories, words] of all words as answers to the stories' questions. There is no attention to
// sentences: the second result is nil.
func (n *Net) Forward(p *nn.Pass, stories []encoder.Story) (scores *tensor.Tensor, attention []*tensor.Tensor) {
	slots := n.Read(p, stories)
	var questions [][]int
	for _, s := range stories {
		questions = append(questions, s.Question)
	}
	q := n.embed(p, questions, n.masks[1])                                           // [stories, width]
	weights := slots.MatMul(q.Unsqueeze(2)).Softmax(1)                               // [stories, slots, 1]
	u := weights.Mul(slots).Sum(1)                                                   // [stories, width]
	y := prelu(q.Add(tensor.Linear(u, p.Value(n.hop), nil)), p.Value(n.answerSlope)) // [stories, width]
	return tensor.Linear(y, p.Value(n.answer), nil), nil
}

// Read returns the slots after all sentences of the stories, [stories, slots, width].
func (n *Net) Read(p *nn.Pass, stories []encoder.Story) *tensor.Tensor {
	c, batch := n.config, int64(len(stories))
	keys := p.Value(n.keys)
	lengths := make([]int64, len(stories))
	for i, s := range stories {
		lengths[i] = int64(min(len(s.Facts), c.Sentences))
	}
	steps := slices.Max(lengths)
	if steps == 0 {
		return keys.Unsqueeze(0).Expand(batch, c.Slots, c.Width)
	}
	// The sentences of all stories, one time step after another; there is none beyond a story's end.
	sentences := make([][]int, 0, steps*batch)
	for t := range steps {
		for i, s := range stories {
			var sentence []int
			if t < lengths[i] {
				sentence = s.Facts[int64(len(s.Facts))-lengths[i]+t]
			}
			sentences = append(sentences, sentence)
		}
	}
	all := n.embed(p, sentences, n.masks[0])
	story := tensor.EntityNetwork{
		First: keys, Lengths: lengths, Eps: normEps, State: p.Value(n.state), Slope: p.Value(n.slope),
		Sentences: all.Reshape(steps, batch, c.Width),
		Inputs:    tensor.Linear(all, p.Value(n.input), nil).Reshape(steps, batch, c.Width),
		FromKeys:  tensor.Linear(keys, p.Value(n.key), nil),
		ToKeys:    tensor.Linear(all, keys, p.Value(n.bias).Squeeze(1)).Reshape(steps, batch, c.Slots),
	}
	if !p.HigherOrder && tensor.FusesSteps(keys) {
		return tensor.TrackEntities(story)
	}
	return track(story)
}

// track is [tensor.TrackEntities] by separate operations.
func track(n tensor.EntityNetwork) *tensor.Tensor {
	steps, batch := n.Sentences.Dim(0), n.Sentences.Dim(1)
	h := n.First.Unsqueeze(0).Expand(batch, n.First.Dim(0), n.First.Dim(1))
	lengths := tensor.New(n.Lengths, batch, 1, 1).On(h.Device())
	for t := range steps {
		s := n.Sentences.Select(0, t).Unsqueeze(1)
		gate := h.Mul(s).SumKeep(-1).Add(n.ToKeys.Select(0, t).Unsqueeze(2)).Sigmoid()
		candidate := prelu(tensor.Linear(h, n.State, nil).Add(n.Inputs.Select(0, t).Unsqueeze(1)).Add(n.FromKeys), n.Slope)
		next := h.Add(candidate.Mul(gate))
		next = next.Mul(next.Square().SumKeep(-1).AddScalar(n.Eps).PowScalar(-.5))
		h = tensor.Where(lengths.Gt(tensor.New([]int64{t}, 1).On(h.Device())), next, h)
	}
	return h
}

// embed returns the sums of word vectors times the mask of their position, [sentences, width]. A negative word has no vector.
func (n *Net) embed(p *nn.Pass, sentences [][]int, mask *nn.Param) *tensor.Tensor {
	table := p.Value(n.words)
	longest := 1
	for _, s := range sentences {
		longest = max(longest, min(len(s), n.config.Longest))
	}
	none := n.config.Words // the row of zeros after the table
	indices := slices.Repeat([]int64{none}, len(sentences)*longest)
	for i, s := range sentences {
		for j, w := range s[:min(len(s), longest)] {
			if w >= 0 {
				indices[i*longest+j] = int64(w)
			}
		}
	}
	count, words := int64(len(sentences)), int64(longest)
	rows := tensor.Cat(0, table, table.Narrow(0, 0, 1).ZerosLike()).IndexSelect(0, tensor.Upload(indices, table.Device(), count*words))
	return rows.Reshape(count, words, n.config.Width).Mul(p.Value(mask).Narrow(0, 0, words)).Sum(1)
}

// prelu is x where it is positive and slope·x elsewhere: He et al. 2015.
func prelu(x, slope *tensor.Tensor) *tensor.Tensor {
	return x.ClampMin(0).Add(x.ClampMax(0).Mul(slope))
}
