package registry

import (
	"fmt"

	"github.com/engram-go/engram/dataset/token"
	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/memory/fastweight"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/ntm"
	"github.com/engram-go/engram/tensor"
	"github.com/engram-go/engram/tokennet"
)

// TokenTask is a planned task on token sequences.
type TokenTask = token.Task

// TokenNet is a planned network on token sequences.
type TokenNet struct {
	New func(b *nn.Builder, tokens, classes int64) TokenNetwork
	// Positions is the length of the longest sequence that it takes; 0 where it takes any.
	Positions int64
	// Carries marks a network whose gradient can be clipped from step to step.
	Carries bool
	// Decodes is set where all answers follow from the vector of the last position, for a [token.Compressor].
	Decodes bool
}

// TokenNetwork is a network on token sequences.
type TokenNetwork interface {
	// Forward returns the scores [n, classes] before the softmax for inputs [sequences, time] (int64) at the positions that at
	// lists, as indices into the flattened inputs.
	Forward(p *nn.Pass, inputs, at *tensor.Tensor) *tensor.Tensor
	// State returns how many numbers the memories carry of a sequence of time tokens, at its end; 0 where that is not known.
	State(time int64) int64
}

// Mixer is a planned layer that mixes the positions of a sequence.
type Mixer struct {
	New func(b *nn.Builder, width int64) tokennet.Mixer
	// Fits returns an error where the layer does not go with a width of the network; nil fits all.
	Fits func(width int64) error
}

type tokenNetConfig struct {
	Width     int64          `yaml:"width" min:"1" doc:"of a token's vector"`
	Layers    int            `yaml:"layers" min:"1" doc:"blocks"`
	Mixer     schema.Section `yaml:"mixer" family:"mixer" doc:"the layer of a block that mixes positions"`
	MLP       int64          `yaml:"mlp" min:"0" doc:"follow each mixer by a SwiGLU of so many times the width; 0 for none"`
	Positions int64          `yaml:"positions" min:"0" doc:"learn a vector for each of so many positions; 0 for none"`
	Dropout   float64        `yaml:"dropout" min:"0" below:"1" doc:"of embeddings, in training"`
	Decoder   bool           `yaml:"decoder" doc:"answer at every position from the vector of the last one alone, by sine and cosine positions and two layers: for the task compression"`
}

func tokenNets(p *Parts) []Part[TokenNet] {
	return []Part[TokenNet]{
		{"blocks", "blocks of a memory layer or attention, and an MLP", "Yang et al. 2024; Arora et al. 2023",
			Config(tokenNetConfig{Width: 64, Layers: 2, Mixer: schema.NewSection(kindGatedDelta, nil)}, func(c *tokenNetConfig) (TokenNet, error) {
				mixer, err := p.Mixers.Plan(&c.Mixer)
				if err == nil && mixer.Fits != nil {
					err = c.Mixer.Invalid(mixer.Fits(c.Width))
				}
				return TokenNet{Positions: c.Positions, Decodes: c.Decoder, New: func(b *nn.Builder, tokens, classes int64) TokenNetwork {
					return tokennet.New(b, tokennet.Config{
						Tokens: tokens, Classes: classes, Width: c.Width, Layers: c.Layers, Mixer: mixer.New, MLP: c.MLP,
						Positions: c.Positions, Dropout: c.Dropout, Decoder: c.Decoder,
					})
				}}, err
			})},
		{kindNTM, "a controller with a memory", "Graves et al. 2014; 2016",
			Config(ntmTokensConfig{ntmConfig: ntmDefaults()}, func(c *ntmTokensConfig) (TokenNet, error) {
				control, err := p.planDriven(&c.Driven)
				return TokenNet{Carries: true, New: func(b *nn.Builder, tokens, classes int64) TokenNetwork {
					return ntm.NewTokens(b, ntm.TokensConfig{Config: c.network(control, classes), Tokens: tokens, Embedding: c.Embedding})
				}}, err
			})},
	}
}

type ntmTokensConfig struct {
	ntmConfig `yaml:",inline"`
	Embedding int64 `yaml:"embedding" min:"0" doc:"the width of a token's learned vector; 0 for a one-hot vector"`
}

type attentionConfig struct {
	Heads  int64 `yaml:"heads" min:"1"`
	Rotary bool  `yaml:"rotary" doc:"turn queries and keys by angles of their positions (Su et al. 2021), from which attention knows the order"`
	Conv   int64 `yaml:"conv" min:"0" doc:"the length of a causal convolution of queries, keys and values, as layers of memories have; 0 for none"`
}

// divide returns an error unless heads divide a width.
func divide(heads, width int64) error {
	if width%heads != 0 {
		return fmt.Errorf("%d heads do not divide the width %d", heads, width)
	}
	return nil
}

// layerConfig are the keys of a memory as a layer. A key or value of 0 is the width divided by the heads.
type layerConfig struct {
	Heads     int64   `yaml:"heads" min:"1" doc:"independent memories"`
	Key       int64   `yaml:"key" min:"0" doc:"the width of a key; 0 for the network's width divided by the heads"`
	Value     int64   `yaml:"value" min:"0" doc:"the width of a value; 0 for the width of a key"`
	Rate      float64 `yaml:"rate" above:"0" doc:"the largest learning rate; with a delta rule above 1 the transition can have negative eigenvalues"`
	Writes    int64   `yaml:"writes" min:"1" doc:"steps per token"`
	MiniBatch int64   `yaml:"mini_batch" min:"1" doc:"tokens whose gradients are taken at the same weights"`
	Conv      int64   `yaml:"conv" min:"0" doc:"the length of the causal convolution of queries, keys and values; 0 for none"`
	Gated     bool    `yaml:"gated" doc:"gate what is read"`
}

// Validate implements [schema.Validator].
func (c *layerConfig) Validate() error {
	if c.Value > 0 && c.Key == 0 {
		return schema.At("value", fmt.Errorf("needs key as well"))
	}
	return nil
}

func mixers() []Part[Mixer] {
	out := []Part[Mixer]{{"attention", "causal softmax attention", "Vaswani et al. 2017", Config(attentionConfig{1, true, 0}, func(c *attentionConfig) (Mixer, error) {
		fits := func(width int64) error {
			if err := divide(c.Heads, width); err != nil || !c.Rotary || width/c.Heads%2 == 0 {
				return err
			}
			return fmt.Errorf("rotary positions need an even width of a head, not %d; set rotary: false or change width or heads", width/c.Heads)
		}
		return Mixer{Fits: fits, New: func(b *nn.Builder, width int64) tokennet.Mixer {
			return tokennet.NewAttention(b, width, tokennet.AttentionConfig{Heads: c.Heads, Rotary: c.Rotary, Conv: c.Conv})
		}}, nil
	})}}
	for _, s := range fastSettings() {
		out = append(out, Part[Mixer]{s.name, s.doc, s.paper, s.mixer})
	}
	return out
}

// layer gives the maker of a memory as a layer. of returns its setting for keys of a width, and nominal is the largest rate of that
// setting, in the unit of the key rate.
func layer(defaults layerConfig, of func(width int64) fastweight.Config) Maker[Mixer] {
	nominal := defaults.Rate
	return Config(defaults, func(c *layerConfig) (Mixer, error) {
		out := Mixer{New: func(b *nn.Builder, width int64) tokennet.Mixer {
			key := c.Key
			if key == 0 {
				key = width / c.Heads
			}
			l := of(key)
			l.Heads, l.Key, l.Value, l.Writes, l.MiniBatch = c.Heads, key, c.Value, c.Writes, c.MiniBatch
			l.MaxRate *= c.Rate / nominal
			l.Positions = l.Positions && c.MiniBatch > 1
			conv := c.Conv
			if conv == 0 {
				conv = -1
			}
			return fastweight.NewLayer(b, fastweight.LayerConfig{Config: l, Width: width, Conv: conv, Gated: c.Gated})
		}}
		out.Fits = func(width int64) error {
			if c.Key == 0 {
				return divide(c.Heads, width)
			}
			return nil
		}
		config := of(2)
		switch {
		case config.MaxRate == 0 && c.Rate != nominal:
			return out, schema.At("rate", fmt.Errorf("this memory has a fixed rate; leave it out"))
		case config.Residual && c.Value > 0 && c.Value != c.Key:
			return out, schema.At("value", fmt.Errorf("keys and values of this memory have the same width; leave it out"))
		case config.Window > 1 && c.Writes > 1:
			return out, schema.At("writes", fmt.Errorf("this memory writes once per token; leave it out"))
		case c.MiniBatch > 1 && config.DecayFirst:
			return out, schema.At("mini_batch", fmt.Errorf("this memory takes gradients after its decay, so not at the start of a mini-batch; leave it out"))
		}
		return out, nil
	})
}

func tokenTasks() []Part[TokenTask] {
	return []Part[TokenTask]{
		{"mqar", "multi-query associative recall", "Arora et al. 2023", Config(mqarConfig{Vocabulary: 8192, Length: 64, Pairs: 4}, func(c *mqarConfig) (TokenTask, error) {
			sizes := []token.Size{{Length: c.Length, Pairs: c.Pairs}}
			for _, s := range c.More {
				sizes = append(sizes, token.Size{Length: s.Length, Pairs: s.Pairs})
			}
			return tokenTask(token.NewRecall(token.RecallOptions{Vocabulary: c.Vocabulary, Sizes: sizes, Random: c.Random}))
		})},
		{"parity", "the parity of a sequence of bits", "Grazzi et al. 2025, section 5.1", Config(parityConfig{3, 40}, func(c *parityConfig) (TokenTask, error) {
			return tokenTask(token.NewParity(token.ParityOptions(*c)))
		})},
		{"permutations", "the running product of permutations, the word problem of a symmetric group", "Grazzi et al. 2025, section 5.2",
			Config(permutationsConfig{3, 128, false}, func(c *permutationsConfig) (TokenTask, error) {
				return tokenTask(token.NewWords(token.WordsOptions(*c)))
			})},
		{"selective-copy", "copy the tokens that stand among blanks", "Poli et al. 2024", Config(selectiveConfig{16, 256, 16}, func(c *selectiveConfig) (TokenTask, error) {
			return tokenTask(token.NewCopy(token.CopyOptions(*c)))
		})},
		{"context-recall", "in-context recall, also noisy", "Poli et al. 2024", Config(contextRecallConfig{}, func(c *contextRecallConfig) (TokenTask, error) {
			return tokenTask(token.NewContextRecall(token.ContextRecallOptions(*c)))
		})},
		{"fuzzy-recall", "in-context recall of keys and values of several tokens", "Poli et al. 2024", Config(fuzzyRecallConfig{16, 128, 3, 3}, func(c *fuzzyRecallConfig) (TokenTask, error) {
			return tokenTask(token.NewFuzzyRecall(token.FuzzyRecallOptions(*c)))
		})},
		{"memorization", "one map from keys to values, to be learned by heart", "Poli et al. 2024", Config(memorizationConfig{256, 32, 12345}, func(c *memorizationConfig) (TokenTask, error) {
			return tokenTask(token.NewMemorization(token.MemorizationOptions(*c)))
		})},
		{"compression", "a sequence from the vector of its last position", "Poli et al. 2024", Config(compressionConfig{16, 32}, func(c *compressionConfig) (TokenTask, error) {
			return tokenTask(token.NewCompression(token.CompressionOptions(*c)))
		})},
	}
}

// tokenTask is a task without its type, and nil with an error.
func tokenTask[T TokenTask](t T, err error) (TokenTask, error) {
	if err != nil {
		return nil, err
	}
	return t, nil
}

type mqarSize struct {
	Length int `yaml:"length" min:"4"`
	Pairs  int `yaml:"pairs" min:"1"`
}

type mqarConfig struct {
	Vocabulary int        `yaml:"vocabulary" min:"4" doc:"tokens: keys are its first half, values its second"`
	Length     int        `yaml:"length" min:"4" doc:"of a training sequence"`
	Pairs      int        `yaml:"pairs" min:"1" doc:"of a training sequence"`
	More       []mqarSize `yaml:"more" doc:"further sizes of training sequences, all equally likely"`
	Random     bool       `yaml:"random" doc:"fill with random tokens, as the released code does by default, and not with the token 0"`
}

type parityConfig struct {
	MinLength int `yaml:"min_length" min:"2" doc:"of a training sequence"`
	MaxLength int `yaml:"max_length" min:"2"`
}

type permutationsConfig struct {
	Elements int  `yaml:"elements" min:"2" max:"6" doc:"of the permutations"`
	Length   int  `yaml:"length" min:"2" doc:"of a training sequence"`
	Swaps    bool `yaml:"swaps" doc:"only permutations that exchange two elements, and the identity"`
}

type selectiveConfig struct {
	Vocabulary int `yaml:"vocabulary" min:"3" doc:"tokens, with the blank and the marker"`
	Length     int `yaml:"length" min:"3" doc:"of a training sequence"`
	Copied     int `yaml:"copied" min:"1" doc:"tokens to copy"`
}

type contextRecallConfig struct {
	Vocabulary int     `yaml:"vocabulary" min:"0" doc:"tokens, those of the noise too; 0 for 16, and with noise 32"`
	Length     int     `yaml:"length" min:"0" doc:"of a sequence with the token after its last position; 0 for 128"`
	Noise      float64 `yaml:"noise" min:"0" below:"1" doc:"the share of pairs that are replaced by noise; 0.2 in noisy recall"`
	NoiseWords int     `yaml:"noise_words" min:"0" doc:"the last tokens, which are noise; 0 for 16 with noise"`
}

type fuzzyRecallConfig struct {
	Vocabulary int `yaml:"vocabulary" min:"3" doc:"tokens, with the padding"`
	Length     int `yaml:"length" min:"7" doc:"of a sequence"`
	KeySize    int `yaml:"key_size" min:"1" doc:"the most tokens of a key"`
	ValueSize  int `yaml:"value_size" min:"1" doc:"the most tokens of a value"`
}

type memorizationConfig struct {
	Vocabulary int    `yaml:"vocabulary" min:"4" doc:"tokens, with the one that asks"`
	Length     int    `yaml:"length" min:"2" doc:"of a sequence"`
	Seed       uint64 `yaml:"seed" doc:"of the map"`
}

type compressionConfig struct {
	Vocabulary int `yaml:"vocabulary" min:"2" doc:"tokens, with the one that ends a sequence"`
	Length     int `yaml:"length" min:"2" doc:"of a sequence"`
}
