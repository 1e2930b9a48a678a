package fastweight

import (
	"fmt"

	"github.com/engram-go/engram/tensor"
)

// Features is a map of keys and queries, elementwise, before they are normalised.
type Features = tensor.TokenFeatures

const (
	// Identity leaves them as they are.
	Identity = tensor.TokenIdentity
	// ELU is elu(x) + 1, which is positive: Katharopoulos et al. 2020, eq. 7.
	ELU = tensor.TokenELU
	// SiLU is x·σ(x), as in the layers of Yang et al. 2024.
	SiLU = tensor.TokenSiLU
)

func features(f Features, x *tensor.Tensor) *tensor.Tensor {
	switch f {
	case ELU:
		return x.ClampMin(0).Add(x.ClampMax(0).Exp())
	case SiLU:
		return x.Mul(x.Sigmoid())
	}
	return x
}

// Gate is what decays the weights before a write.
type Gate int

const (
	// NoGate keeps all.
	NoGate Gate = iota
	// PerHead is one factor per head: Yang, Kautz and Hatamizadeh 2024.
	PerHead
	// PerChannel is a factor per row of a matrix: Kimi Linear 2025.
	PerChannel
)

// Config is a fast-weight memory. The named settings return one; the sizes are then set.
type Config struct {
	Rule
	// Heads is the number of independent models, default 1; Key and Value are the widths of a head's keys and values, default 20,
	// and Value that of Key. An associative memory has one head, and takes its widths from what it is written.
	Heads, Key, Value int64
	// Features maps keys and queries.
	Features Features
	// UnitKeys normalises keys and queries to length 1: x/√(‖x‖² + 1e-6). With a rate of at most 2 the delta rule is then stable.
	UnitKeys bool
	// ScaledQueries divides the queries of a memory that a controller drives by √key, as the layers of Yang et al. 2024 do. An
	// associative memory reads without it, so that it returns what was stored.
	ScaledQueries bool
	// Averaged divides what is read by the sum of the keys' weights: Katharopoulos et al. 2020, eq. 9. It needs the loss Dot
	// and positive features.
	Averaged bool
	// MaxRate is the largest learning rate: a rate is MaxRate·σ(·) of what the memory is driven by. With 2 the eigenvalues of
	// the delta rule's transition lie in (-1, 1), with 1 in (0, 1): Grazzi et al. 2025. Zero fixes the rate at 1.
	MaxRate float64
	// Gate decays the weights by exp(-e^A·softplus(· + b)) with learned A and b, initialised as in Yang, Kautz and Hatamizadeh
	// 2024 for a plain matrix, and so that less than a thousandth is lost per token for a residual or deep model.
	Gate Gate
	// Momentum gives the write a momentum, whose factor is σ(·).
	Momentum bool
	// StartStd is the standard deviation of the initial weights, which are learned, of a residual or deep model; default
	// √(2/(in+out)), and with Simplex always 1, of the logits. A plain matrix starts at zero.
	StartStd float64
	// StartGain is the initial gain of the layer norm of a residual model, default 1.
	StartGain float64
	// Positions scales the rates by max(0, 1/i + learned offset) for the i-th token of a mini-batch: the public code of Sun et
	// al. 2024.
	Positions bool
}

func (c Config) withDefaults() Config {
	c.Rule = c.Rule.withDefaults()
	c.Heads = max(c.Heads, 1)
	if c.Key == 0 {
		c.Key = 20
	}
	if c.Value == 0 {
		c.Value = c.Key
	}
	if c.StartGain == 0 {
		c.StartGain = 1
	}
	return c
}

// deep reports whether the initial weights are learned.
func (c Config) deep() bool { return c.Depth > 1 || c.Residual }

// check panics where settings exclude one another: a mistake of the program.
func (c Config) check() {
	var msg string
	switch {
	case c.Averaged && (c.Loss != Dot || c.deep()):
		msg = "Averaged needs a matrix with the loss Dot"
	case c.Gate == PerChannel && (c.deep() || c.Biased):
		msg = "a gate per channel needs a matrix without bias"
	case c.DecayFirst && c.MiniBatch > 1:
		msg = "DecayFirst and MiniBatch exclude each other"
	case c.Window > 1 && c.Writes > 1:
		msg = "Window excludes several Writes"
	case c.Positions && (c.MiniBatch < 2 || c.Momentum || c.Gate != NoGate || c.Orthogonal > 0 || c.Simplex):
		msg = "Positions needs a MiniBatch and neither Momentum, Gate, Orthogonal nor Simplex"
	case c.Simplex && (c.Biased || !c.deep()):
		msg = "Simplex needs a residual or deep model without bias"
	case c.Residual && c.Key != c.Value:
		msg = fmt.Sprintf("a residual model needs keys and values of the same width, not %d and %d", c.Key, c.Value)
	}
	if msg != "" {
		panic("fastweight: " + msg)
	}
}

// LinearAttention adds the outer product of feature map and value: Katharopoulos et al. 2020, eqs. 18 to 20.
func LinearAttention() Config {
	return Config{Rule: Rule{Loss: Dot}, Features: ELU, Averaged: true}
}

// Delta is the delta rule: Schlag et al. 2021, eq. 26, with the keys of length 1 of Yang et al. 2024 (2406.06484). MaxRate 2
// allows negative eigenvalues: Grazzi et al. 2025.
func Delta() Config {
	return Config{Rule: Rule{Loss: Squared}, UnitKeys: true, ScaledQueries: true, MaxRate: 1}
}

// GatedDelta is the delta rule with a decay per head: Yang, Kautz and Hatamizadeh 2024 (2412.06464), eq. 10.
func GatedDelta() Config {
	c := Delta()
	c.DecayFirst, c.Gate = true, PerHead
	return c
}

// KDA is the delta rule with a decay per channel: Kimi Linear 2025 (2510.26692), eq. 1.
func KDA() Config {
	c := Delta()
	c.DecayFirst, c.Gate = true, PerChannel
	return c
}

// DeltaProduct makes several steps of the delta rule per token, so that its transition is a product of generalised Householder
// matrices: Siems et al. 2025 (2502.10297), section 3. It allows negative eigenvalues.
func DeltaProduct(writes int64) Config {
	c := Delta()
	c.Writes, c.MaxRate = writes, 2
	return c
}

// TTTLinear is test-time training of x + LN(x·W + b) with mini-batches of 16: Sun et al. 2024 (2407.04620), section 2. What is
// read is that of the paper's public code, with the residual. The public code's initial weights have a standard deviation of 0.02 at
// heads of 64; here it is 0.16/√width, which gives outputs of the same size before the layer norm at any width.
func TTTLinear(width int64) Config {
	return Config{
		Rule: Rule{Loss: Squared, Biased: true, Residual: true, MiniBatch: 16}, Key: width, Value: width,
		MaxRate: 1 / float64(width), StartStd: .16 / sqrt(width), Positions: true,
	}
}

// TTTMLP is [TTTLinear] with two layers, the inner of four times the width, and a tenth of the rate. Its initial weights have the default
// standard deviation: with TTTLinear's the output of two layers is so small that the layer norm makes the gradients of the biases
// outgrow those of the weights, and the model hardly tells keys apart.
func TTTMLP(width int64) Config {
	c := TTTLinear(width)
	c.Depth, c.MaxRate, c.StartStd = 2, .1/float64(width), 0
	return c
}

// Titans is the neural memory of Behrouz et al. 2025 (2501.00663), eqs. 12 to 14: two layers in a residual block, the loss
// ‖e‖², momentum and a decay. Gradients are taken token by token; a MiniBatch takes them at the start of a chunk, as the paper
// does for speed. The largest rate is 0.01.
func Titans(width int64) Config {
	return Config{
		Rule: Rule{Loss: Squared, LossScale: 2, Depth: 2, Residual: true}, Key: width, Value: width,
		UnitKeys: true, MaxRate: .01, Gate: PerHead, Momentum: true,
	}
}

// Omega is [Titans] with the losses of the last 8 tokens at each write: Behrouz et al. 2025 (2505.23735), section 3. The weights of
// the losses in the window are one, so that each loss is descended 8 times; the largest rate is an eighth of Titans'. Keys have no
// polynomial features.
func Omega(width int64) Config {
	c := Titans(width)
	c.Window = 8
	c.MaxRate /= float64(c.Window)
	return c
}

// Yaad is the MIRAS memory with the Huber loss, and Moneta that with a p-norm, p = 3: Behrouz et al. 2025 (2504.13173), section
// 5. Their retention is the decay of [Titans]; Moneta's q-norm is left out. The paper computes Yaad's threshold from the data;
// here it is 2√width, above the usual error of what a layer norm returns.
func Yaad(width int64) Config {
	c := Titans(width)
	c.Loss, c.LossScale, c.Momentum, c.Threshold = Huber, 1, false, 2*sqrt(width)
	return c
}

// Moneta is described at [Yaad].
func Moneta(width int64) Config {
	c := Titans(width)
	c.Loss, c.LossScale, c.Momentum = PNorm, 1, false
	return c
}

// Atlas is [Omega] with the change of the weights made nearly orthogonal by 5 steps of Newton and Schulz: Behrouz et al. 2025
// (2505.23735), section 5. The momentum gathers gradients, and the rate, at most 0.1, multiplies the orthogonal change. Keys have no
// polynomial features.
func Atlas(width int64) Config {
	c := Omega(width)
	c.Orthogonal, c.MaxRate = 5, .1
	return c
}

// Memora is the MIRAS memory with the squared loss and the retention of [Rule.Simplex]: Behrouz et al. 2025 (2504.13173), section
// 5.3. The largest rate is 0.1, of changes of logits. A decay brings the weights near to equal ones, whose outputs are all the same; so
// that the layer norm does not divide by their rounding errors, 0.01 is added to its variance.
func Memora(width int64) Config {
	c := Titans(width)
	c.Simplex, c.Momentum, c.MaxRate, c.NormEps = true, false, .1, .01
	return c
}
