package encoder_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/nn/gradcheck"
	"github.com/engram-go/engram/stream"
	"github.com/engram-go/engram/tensor"
)

// maps are the feature maps of one image for the plain loops below: [channel][row][column].
type maps [][][]float64

func newMaps(channels, height, width int) maps {
	m := make(maps, channels)
	for c := range m {
		m[c] = make([][]float64, height)
		for y := range m[c] {
			m[c][y] = make([]float64, width)
		}
	}
	return m
}

func (m maps) each(f func(c int, v float64) float64) maps {
	out := newMaps(len(m), len(m[0]), len(m[0][0]))
	for c := range m {
		for y := range m[c] {
			for x, v := range m[c][y] {
				out[c][y][x] = f(c, v)
			}
		}
	}
	return out
}

func (m maps) relu() maps { return m.each(func(_ int, v float64) float64 { return max(v, 0) }) }

func (m maps) leaky() maps { return m.each(func(_ int, v float64) float64 { return max(v, .1*v) }) }

func (m maps) plus(o maps) maps {
	out := newMaps(len(m), len(m[0]), len(m[0][0]))
	for c := range m {
		for y := range m[c] {
			for x := range m[c][y] {
				out[c][y][x] = m[c][y][x] + o[c][y][x]
			}
		}
	}
	return out
}

func (m maps) pool(window, stride, padding int) maps {
	h, w := (len(m[0])+2*padding-window)/stride+1, (len(m[0][0])+2*padding-window)/stride+1
	out := newMaps(len(m), h, w)
	for c := range m {
		for y := range h {
			for x := range w {
				most := math.Inf(-1)
				for i := range window {
					for j := range window {
						if yy, xx := y*stride-padding+i, x*stride-padding+j; yy >= 0 && xx >= 0 && yy < len(m[c]) && xx < len(m[c][yy]) {
							most = max(most, m[c][yy][xx])
						}
					}
				}
				out[c][y][x] = most
			}
		}
	}
	return out
}

func (m maps) mean() (out []float64) {
	for _, rows := range m {
		sum := 0.
		for _, row := range rows {
			for _, v := range row {
				sum += v
			}
		}
		out = append(out, sum/float64(len(rows)*len(rows[0])))
	}
	return out
}

// plainParams are a network's parameters by name.
type plainParams map[string]*tensor.Tensor

func plainOf(ps *nn.Params) plainParams {
	out := plainParams{}
	for _, p := range ps.All() {
		out[p.Name] = p.Value()
	}
	return out
}

func (ps plainParams) conv(m maps, name string, stride int) maps {
	shape, w := ps[name+".weight"].Shape(), ps[name+".weight"].Floats()
	out, in, k := int(shape[0]), int(shape[1]), int(shape[2])
	padding := k / 2
	h, wide := (len(m[0])+2*padding-k)/stride+1, (len(m[0][0])+2*padding-k)/stride+1
	y := newMaps(out, h, wide)
	for o := range out {
		for r := range h {
			for c := range wide {
				for i := range in {
					for a := range k {
						for b := range k {
							if rr, cc := r*stride-padding+a, c*stride-padding+b; rr >= 0 && cc >= 0 && rr < len(m[i]) && cc < len(m[i][rr]) {
								y[o][r][c] += m[i][rr][cc] * w[((o*in+i)*k+a)*k+b]
							}
						}
					}
				}
			}
		}
	}
	return y
}

func (ps plainParams) norm(m maps, name string) maps {
	at := func(part string) []float64 { return ps[name+"."+part].Floats() }
	gain, bias, mean, variance := at("weight"), at("bias"), at("running_mean"), at("running_var")
	return m.each(func(c int, v float64) float64 {
		return (v-mean[c])/math.Sqrt(variance[c]+1e-5)*gain[c] + bias[c]
	})
}

// unsettle gives batch norms statistics and gains that are not those of a fresh layer.
func unsettle(ps *nn.Params) {
	scope := tensor.Enter()
	defer scope.Leave()
	r := rand.New(rand.NewPCG(4, 0))
	for _, p := range ps.All() {
		if p.Value().Rank() != 1 {
			continue
		}
		v := make([]float32, p.Value().Numel())
		for i := range v {
			v[i] = .5 + r.Float32()
		}
		p.Value().Assign(tensor.New(v, p.Value().Shape()...))
	}
}

// plainEncoders are residual networks, each with its layers written out as the papers have them.
var plainEncoders = []struct {
	name          string
	make          func(b *nn.Builder) (encoder.Encoder, error)
	height, width int
	plain         func(ps plainParams, x maps) []float64
}{
	{"ResNet-10", func(b *nn.Builder) (encoder.Encoder, error) {
		return encoder.NewResNet(b, encoder.ResNetConfig{Channels: 3, Height: 13, Width: 17, Blocks: [4]int64{1, 1, 1, 1}, Filters: [4]int64{4, 5, 6, 7}})
	}, 13, 17, func(ps plainParams, x maps) []float64 {
		return ps.stages(ps.norm(ps.conv(x, "conv1", 1), "bn1").relu().pool(3, 2, 1), 1, 4).mean()
	}},
	{"ResNet-18 with a large stem", func(b *nn.Builder) (encoder.Encoder, error) {
		return encoder.NewResNet(b, encoder.ResNetConfig{Channels: 3, Height: 21, Width: 18, Filters: [4]int64{3, 4, 4, 5}, Large: true})
	}, 21, 18, func(ps plainParams, x maps) []float64 {
		return ps.stages(ps.norm(ps.conv(x, "conv1", 2), "bn1").relu().pool(3, 2, 1), 2, 4).mean()
	}},
	{"ResNet-18 unpooled", func(b *nn.Builder) (encoder.Encoder, error) {
		return encoder.NewResNet(b, encoder.ResNetConfig{Channels: 3, Height: 9, Width: 8, Filters: [4]int64{3, 4, 5, 6}, Unpooled: true})
	}, 9, 8, func(ps plainParams, x maps) []float64 {
		return ps.stages(ps.norm(ps.conv(x, "conv1", 1), "bn1").relu(), 2, 4).mean()
	}},
	{"WRN-10-1", func(b *nn.Builder) (encoder.Encoder, error) {
		return encoder.NewWideResNet(b, encoder.WideResNetConfig{Channels: 3, Height: 7, Width: 6, Depth: 10, Factor: 1})
	}, 7, 6, func(ps plainParams, x maps) []float64 { return ps.wide(x, 1) }},
	{"WRN-16-2", func(b *nn.Builder) (encoder.Encoder, error) {
		return encoder.NewWideResNet(b, encoder.WideResNetConfig{Channels: 3, Height: 4, Width: 5, Depth: 16, Factor: 2})
	}, 4, 5, func(ps plainParams, x maps) []float64 { return ps.wide(x, 2) }},
	{"ResNet-12 with means of the wide form", func(b *nn.Builder) (encoder.Encoder, error) {
		return encoder.NewResNet12(b, encoder.ResNet12Config{Channels: 3, Height: 19, Width: 16, Filters: [4]int64{3, 4, 5, 6}, Mean: true})
	}, 19, 16, func(ps plainParams, x maps) []float64 {
		for _, block := range []string{"block1", "block2", "block3", "block4"} {
			y := x
			for j, n := range []string{"1", "2", "3"} {
				if y = ps.norm(ps.conv(y, block+".conv"+n, 1), block+".norm"+n); j < 2 {
					y = y.leaky()
				}
			}
			x = y.plus(ps.norm(ps.conv(x, block+".shortcut.conv", 1), block+".shortcut.norm")).leaky().pool(2, 2, 0)
		}
		return x.mean()
	}},
}

// stages are those of He et al. 2016.
func (ps plainParams) stages(x maps, blocks, stages int) maps {
	for stage := range stages {
		for j := range blocks {
			name, stride := "layer"+strconv.Itoa(stage+1)+"."+strconv.Itoa(j), 1
			if stage > 0 && j == 0 {
				stride = 2
			}
			y := ps.norm(ps.conv(x, name+".conv1", stride), name+".bn1").relu()
			y = ps.norm(ps.conv(y, name+".conv2", 1), name+".bn2")
			if ps[name+".downsample.0.weight"] != nil {
				x = ps.norm(ps.conv(x, name+".downsample.0", stride), name+".downsample.1")
			}
			x = y.plus(x).relu()
		}
	}
	return x
}

// wide is the network of Zagoruyko and Komodakis 2016.
func (ps plainParams) wide(x maps, blocks int) []float64 {
	x = ps.conv(x, "conv1", 1)
	for stage := range 3 {
		for j := range blocks {
			name, stride := "block"+strconv.Itoa(stage+1)+"."+strconv.Itoa(j), 1
			if stage > 0 && j == 0 {
				stride = 2
			}
			active := ps.norm(x, name+".norm1").relu()
			y := ps.conv(active, name+".conv1", stride)
			y = ps.conv(ps.norm(y, name+".norm2").relu(), name+".conv2", 1)
			if ps[name+".shortcut.weight"] != nil {
				x = ps.conv(active, name+".shortcut", stride)
			}
			x = y.plus(x)
		}
	}
	return ps.norm(x, "norm").relu().mean()
}

func TestResidualNetworksAreThePlainLoops(t *testing.T) {
	for _, c := range plainEncoders {
		t.Run(c.name, func(t *testing.T) {
			testkit.Enter(t)
			b := nn.NewBuilder(2, tensor.CPU)
			defer b.Params().Free()
			e, err := c.make(b)
			require.NoError(t, err)
			unsettle(b.Params())
			const n = 2
			r := rand.New(rand.NewPCG(3, 0))
			pixels := make([]float32, n*3*c.height*c.width)
			for i := range pixels {
				pixels[i] = r.Float32()
			}
			x := tensor.New(pixels, n, 3, int64(c.height), int64(c.width))
			var want []float64
			for i := range n {
				image := newMaps(3, c.height, c.width)
				for k := range 3 {
					for y := range c.height {
						for xx := range c.width {
							image[k][y][xx] = float64(pixels[((i*3+k)*c.height+y)*c.width+xx])
						}
					}
				}
				want = append(want, c.plain(plainOf(b.Params()), image)...)
			}
			p := &nn.Pass{Norm: nn.RunningStats}
			got := e.Forward(p, x)
			require.Equal(t, []int64{n, e.Width()}, got.Shape())
			scale := 0.
			for _, v := range want {
				scale = max(scale, math.Abs(v))
			}
			assert.InDeltaSlice(t, want, got.Floats(), 2e-5*max(scale, 1))
			assert.Equal(t, pixels, tensor.Values[float32](x), "the images stay as they are")
			tensor.NoGrad(func() { assert.Equal(t, got.Floats(), e.Forward(p, x).Floats()) })
		})
	}
}

// Gradients are the finite differences: intermediate results that are freed in a forward pass are still there for the backward one.
func TestResidualNetworksGradients(t *testing.T) {
	for _, c := range plainEncoders {
		t.Run(c.name, func(t *testing.T) {
			testkit.Enter(t)
			b := nn.NewBuilder(2, tensor.CPU)
			defer b.Params().Free()
			e, err := c.make(b)
			require.NoError(t, err)
			x := testkit.Normal(rand.New(rand.NewPCG(5, 0)), 2, 3, int64(c.height), int64(c.width))
			assert.NoError(t, gradcheck.Params(b.Params(), func(p *nn.Pass) *tensor.Tensor {
				p.Norm = nn.RunningStats
				for _, q := range b.Params().All() { // variances must be positive
					if q.Buffer {
						p.With[q] = q.Value().To(tensor.Float64)
					}
				}
				return e.Forward(p, x).Square().Sum().Log() // values may be large
			}, gradcheck.Options{Elements: 1, Relative: 1e-4, Absolute: 1e-4}))
		})
	}
}

func TestResidualNetworksRefuse(t *testing.T) {
	for want, make := range map[string]func(b *nn.Builder) (encoder.Encoder, error){
		"ResNet with 0 blocks of 64 filters in stage 2": func(b *nn.Builder) (encoder.Encoder, error) {
			return encoder.NewResNet(b, encoder.ResNetConfig{Height: 32, Width: 32, Blocks: [4]int64{1, 0, 1, 1}, Filters: [4]int64{64, 64, 64, 64}})
		},
		"got 0×32": func(b *nn.Builder) (encoder.Encoder, error) {
			return encoder.NewResNet(b, encoder.ResNetConfig{Width: 32})
		},
		"WRN with depth 27: it must be 6n + 4": func(b *nn.Builder) (encoder.Encoder, error) {
			return encoder.NewWideResNet(b, encoder.WideResNetConfig{Height: 32, Width: 32, Depth: 27})
		},
		"dropout probability 1": func(b *nn.Builder) (encoder.Encoder, error) {
			return encoder.NewWideResNet(b, encoder.WideResNetConfig{Height: 32, Width: 32, Drop: 1})
		},
	} {
		b := nn.NewBuilder(1, tensor.CPU)
		_, err := make(b)
		assert.ErrorContains(t, err, want)
		b.Params().Free()
	}
}

// The networks have the numbers of parameters of the published ones, without their last layers.
func TestParameterCounts(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(b *nn.Builder) (encoder.Encoder, error)
		want int64
	}{
		{"torchvision's ResNet-18", func(b *nn.Builder) (encoder.Encoder, error) {
			return encoder.NewResNet(b, encoder.ResNetConfig{Channels: 3, Height: 84, Width: 84, Large: true})
		}, 11_689_512 - 513_000},
		{"ResNet-10", func(b *nn.Builder) (encoder.Encoder, error) {
			return encoder.NewResNet(b, encoder.ResNetConfig{Channels: 3, Height: 84, Width: 84, Large: true, Blocks: [4]int64{1, 1, 1, 1}})
		}, 4_905_792},
		{"WRN-28-10", func(b *nn.Builder) (encoder.Encoder, error) {
			return encoder.NewWideResNet(b, encoder.WideResNetConfig{Channels: 3, Height: 32, Width: 32})
		}, 36_479_194 - 6_410},
	} {
		b := nn.NewBuilder(1, tensor.CPU)
		_, err := c.make(b)
		require.NoError(t, err)
		assert.Equal(t, c.want, b.Params().Count(), c.name)
		b.Params().Free()
	}
}

// DropBlock zeroes square regions in the last two blocks of ResNet-12, and single activations before.
func TestResNet12DropBlock(t *testing.T) {
	testkit.Enter(t)
	for _, size := range []int64{0, 2, 5} {
		b := nn.NewBuilder(1, tensor.CPU)
		e, err := encoder.NewResNet12(b, encoder.ResNet12Config{Height: 64, Width: 64, Filters: [4]int64{2, 2, 2, 50}, Drop: .3, DropBlock: size})
		require.NoError(t, err)
		x := tensor.New([]float32{1, 2, 3, 4}, 4, 1, 1, 1).Mul(tensor.Ones(4, 1, 64, 64))
		y := e.Forward(&nn.Pass{Training: true, Rand: stream.New(1, "noise")}, x)
		zeros := 0
		for _, v := range y.Floats() {
			if v == 0 {
				zeros++
			}
		}
		assert.InDelta(t, .3, float64(zeros)/float64(y.Numel()), .1, "regions of side %d in maps of 4×4", size)
		b.Params().Free()
	}
}

// An evaluation frees what it needs no more as it goes: 100 colour images of 84×84 pixels take less than 1 GB with ResNet-12 in all,
// code and parameters included. The peak is measured in a process of its own.
func TestEvaluationMemory(t *testing.T) {
	if os.Getenv("ENGRAM_EVALUATE") != "" {
		evaluateResNet12(t)
		fmt.Println("peak memory", testkit.Memory(t, "VmHWM"), "kB")
		return
	}
	if testing.Short() {
		t.Skip("takes seconds")
	}
	run := exec.Command(os.Args[0], "-test.run", "^TestEvaluationMemory$")
	run.Env = append(os.Environ(), "ENGRAM_EVALUATE=1", "OMP_NUM_THREADS=1")
	text, err := run.CombinedOutput()
	require.NoError(t, err, string(text))
	_, after, _ := strings.Cut(string(text), "peak memory ")
	var peak int64
	_, err = fmt.Sscan(after, &peak)
	require.NoError(t, err, string(text))
	t.Logf("peak %d kB", peak)
	assert.Less(t, peak, int64(1_000_000))
}

func evaluateResNet12(t *testing.T) {
	testkit.Enter(t)
	b := nn.NewBuilder(1, tensor.CPU)
	defer b.Params().Free()
	e, err := encoder.NewResNet12(b, encoder.ResNet12Config{Channels: 3, Height: 84, Width: 84})
	require.NoError(t, err)
	tensor.NoGrad(func() {
		assert.True(t, e.Forward(&nn.Pass{Norm: nn.RunningStats}, tensor.Ones(100, 3, 84, 84)).Finite())
	})
}
