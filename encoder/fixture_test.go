package encoder_test

import (
	"encoding/json"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/nn/weights"
	"github.com/engram-go/engram/stream"
	"github.com/engram-go/engram/tensor"
)

// fixture holds PyTorch's results for a module; testdata/export.py writes it.
type fixture struct {
	Input       []float32
	Shape       []int64
	Eval, Train []float64          // under running and under batch statistics
	Gradients   map[string]float64 // norms of the gradient of the sum of squares of Train
	Buffers     map[string][]float64
}

func readFixture(t *testing.T, name string) fixture {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	require.NoError(t, err)
	var f fixture
	require.NoError(t, json.Unmarshal(text, &f))
	return f
}

// same compares a trained encoder with PyTorch's results for the same parameters.
func same(t *testing.T, f fixture, e encoder.Encoder, ps *nn.Params, x *tensor.Tensor) {
	t.Helper()
	assert.InDeltaSlice(t, f.Eval, e.Forward(&nn.Pass{Norm: nn.RunningStats}, x).Floats(), 2e-5)
	still := e.Forward(&nn.Pass{}, x).Floats()
	assert.InDeltaSlice(t, f.Train, still, 2e-5)
	assert.Equal(t, still, e.Forward(&nn.Pass{}, x).Floats(), "an evaluation with batch statistics updates nothing")
	assert.InDeltaSlice(t, f.Eval, e.Forward(&nn.Pass{Norm: nn.RunningStats}, x).Floats(), 2e-5)

	trained := ps.Trained()
	for _, higher := range []bool{false, true} {
		var y *tensor.Tensor
		tensor.WithGrad(func() { y = e.Forward(&nn.Pass{HigherOrder: higher}, x).Square().Sum() })
		for i, g := range tensor.Grad(y, ps.Tensors()...) {
			want, ok := f.Gradients[trained[i].Name]
			require.True(t, ok, trained[i].Name)
			require.NotNil(t, g, trained[i].Name)
			assert.InEpsilon(t, want, math.Sqrt(g.Square().Sum().Float()), 2e-4, trained[i].Name)
		}
	}
	assert.Len(t, trained, len(f.Gradients))

	e.Forward(&nn.Pass{Training: true, Rand: stream.New(1, "noise")}, x)
	for _, p := range ps.All() {
		if want, ok := f.Buffers[p.Name]; ok {
			assert.InDeltaSlice(t, want, p.Value().Floats(), 1e-5, "%s after a training pass", p.Name)
		}
	}
}

func TestResNet12IsPyTorchs(t *testing.T) {
	testkit.Enter(t)
	f := readFixture(t, "resnet12.json")
	b := nn.NewBuilder(1, tensor.CPU)
	defer b.Params().Free()
	e, err := encoder.NewResNet12(b, encoder.ResNet12Config{Height: 32, Width: 32, Filters: [4]int64{4, 6, 8, 10}, Form: encoder.TADAMForm})
	require.NoError(t, err)
	file, err := weights.Open("testdata/resnet12.pt")
	require.NoError(t, err)
	require.NoError(t, weights.Load(b.Params(), file, &weights.Map{}))
	same(t, f, e, b.Params(), tensor.New(f.Input, f.Shape...))
}

// Convolutions without bias, and pooling of incomplete windows: the sides are 22, 11, 6, 3 and 2, and 18, 9, 5, 3 and 2.
func TestConv4IsPyTorchs(t *testing.T) {
	testkit.Enter(t)
	f := readFixture(t, "conv4.json")
	b := nn.NewBuilder(1, tensor.CPU)
	defer b.Params().Free()
	e, err := encoder.NewConv4(b, encoder.Conv4Config{Channels: 3, Height: 22, Width: 18, Filters: 4, NoBias: true, Whole: true})
	require.NoError(t, err)
	assert.EqualValues(t, 4*2*2, e.Width())
	file, err := weights.Open("testdata/conv4.pt")
	require.NoError(t, err)
	require.NoError(t, weights.Load(b.Params(), file, &weights.Map{}))
	same(t, f, e, b.Params(), tensor.New(f.Input, f.Shape...))
	_, _, fused := e.ConvNet()
	assert.False(t, fused)
}

// Pooling of whole windows changes nothing where all windows are complete; a bias changes nothing under batch statistics.
func TestConv4OptionsWithoutEffect(t *testing.T) {
	testkit.Enter(t)
	x := images(2, 2, 3, 32, 32)
	var want []float64
	for i, c := range []encoder.Conv4Config{{}, {Whole: true}, {NoBias: true}, {NoBias: true, Whole: true}} {
		c.Channels, c.Height, c.Width, c.Filters = 3, 32, 32, 4
		e, _ := conv4(t, c)
		y := e.Forward(&nn.Pass{}, x).Floats()
		if i == 0 {
			want = y
		}
		assert.InDeltaSlice(t, want, y, 1e-4)
	}
	for side, want := range map[int64]int64{1: 1, 15: 1, 17: 2, 84: 6} {
		e, _ := conv4(t, encoder.Conv4Config{Height: side, Width: side, Filters: 1, Whole: true})
		assert.Equal(t, want*want, e.Width())
	}
	_, err := encoder.NewConv4(nn.NewBuilder(1, tensor.CPU), encoder.Conv4Config{Height: 32, Width: 32, Strided: true, Whole: true})
	assert.ErrorContains(t, err, "a strided Conv-4 does not pool")
}

func TestResNet12(t *testing.T) {
	testkit.Enter(t)
	for _, c := range []struct {
		config encoder.ResNet12Config
		maps   [3]int64
		count  int64
	}{
		{encoder.ResNet12Config{Channels: 3, Height: 84, Width: 84}, [3]int64{640, 5, 5}, 12_424_320},
		{encoder.ResNet12Config{Height: 28, Width: 33, Form: encoder.TADAMForm}, [3]int64{512, 1, 1}, 0},
		{encoder.ResNet12Config{Height: 16, Width: 16, Filters: [4]int64{1, 2, 3, 4}}, [3]int64{4, 1, 1}, 0},
	} {
		b := nn.NewBuilder(1, tensor.CPU)
		e, err := encoder.NewResNet12(b, c.config)
		require.NoError(t, err)
		channels, height, width := e.Maps()
		assert.Equal(t, c.maps, [3]int64{channels, height, width})
		assert.Equal(t, channels*height*width, e.Width())
		if c.count > 0 {
			assert.Equal(t, c.count, b.Params().Count(), "the count of Lee et al. 2019")
		} else {
			x := tensor.Ones(2, 1, c.config.Height, c.config.Width)
			y := e.Forward(&nn.Pass{Norm: nn.RunningStats}, x)
			assert.Equal(t, []int64{2, e.Width()}, y.Shape())
			assert.True(t, y.Finite())
			assert.True(t, e.Forward(&nn.Pass{}, x).Finite(), "identical images")
		}
		b.Params().Free()
	}
	for want, c := range map[string]encoder.ResNet12Config{
		"needs images of at least 16×16 pixels, got 15×28":  {Height: 15, Width: 28},
		"with 0 filters in block 2":                         {Height: 28, Width: 28, Filters: [4]int64{1, 0, 1, 1}},
		"with dropout probability 1":                        {Height: 28, Width: 28, Drop: 1},
		`has no form "wide"; the forms are ["lee" "tadam"]`: {Height: 28, Width: 28, Form: "wide"},
	} {
		b := nn.NewBuilder(1, tensor.CPU)
		_, err := encoder.NewResNet12(b, c)
		assert.ErrorContains(t, err, want)
		b.Params().Free()
	}
}

func TestResNet12Drops(t *testing.T) {
	testkit.Enter(t)
	b := nn.NewBuilder(1, tensor.CPU)
	defer b.Params().Free()
	e, err := encoder.NewResNet12(b, encoder.ResNet12Config{Height: 16, Width: 16, Filters: [4]int64{4, 4, 4, 40}, Drop: .5})
	require.NoError(t, err)
	x := tensor.New([]float32{1, 2, 3, 4}, 4, 1, 1, 1).Mul(tensor.Ones(4, 1, 16, 16)) // positions differ by the padding
	y := e.Forward(&nn.Pass{Training: true, Rand: stream.New(1, "noise")}, x)
	zeros := 0
	for _, v := range y.Floats() {
		if v == 0 {
			zeros++
		}
	}
	assert.InDelta(t, 80, zeros, 25)
}

func script(t *testing.T, c encoder.TorchScriptConfig) (*encoder.TorchScript, *nn.Params) {
	t.Helper()
	b := nn.NewBuilder(1, tensor.CPU)
	t.Cleanup(b.Params().Free)
	e, err := encoder.NewTorchScript(b, c)
	require.NoError(t, err)
	return e, b.Params()
}

func TestTorchScriptIsPyTorchs(t *testing.T) {
	testkit.Enter(t)
	f := readFixture(t, "resnet.json")
	e, ps := script(t, encoder.TorchScriptConfig{Path: "testdata/resnet.pt", Input: []int64{3, 12, 12}, Train: true})
	assert.Equal(t, int64(16), e.Width())
	same(t, f, e, ps, tensor.New(f.Input, f.Shape...))

	f = readFixture(t, "transformer.json")
	e, ps = script(t, encoder.TorchScriptConfig{Path: "testdata/transformer.pt", Input: []int64{12}, Tokens: true, Train: true})
	x := tensor.New(f.Input, f.Shape...).To(tensor.Int64)
	same(t, f, e, ps, x)

	noisy := func(seed uint64) []float64 {
		return e.Forward(&nn.Pass{Training: true, Rand: stream.New(seed, "noise")}, x).Floats()
	}
	assert.Equal(t, noisy(1), noisy(1), "dropout draws from the pass's generator")
	assert.NotEqual(t, noisy(1), noisy(2))
}

// A detector's backbone that was exported embeds images as it says: the means over positions of the maps of some of its layers, which
// are those of the native one with the same tensors.
func TestExportedDetector(t *testing.T) {
	testkit.Enter(t)
	f := readFixture(t, "yolo.json")
	e, ps := script(t, encoder.TorchScriptConfig{Path: "testdata/yolo.pt", Input: []int64{3, 40, 24}, Train: true})
	assert.Equal(t, int64(8+16+16), e.Width(), "the means of the layers 4, 6 and 7")
	pixels := make([]float32, 2*3*40*24)
	for i := range pixels {
		pixels[i] = float32(i*37%256) / 256
	}
	x := tensor.New(pixels, 2, 3, 40, 24)
	same(t, f, e, ps, x)

	tensors := map[string]*tensor.Tensor{}
	for _, p := range ps.All() {
		tensors[p.Name] = p.Value()
	}
	b := nn.NewBuilder(1, tensor.CPU)
	defer b.Params().Free()
	native, err := encoder.NewYOLO(b, encoder.YOLOConfig{Filters: 2, Layers: []int64{4, 6}})
	require.NoError(t, err)
	for _, p := range b.Params().All() {
		layer, err := strconv.Atoi(strings.Split(p.Name, ".")[1])
		require.NoError(t, err)
		if layer < 7 { // the exported one goes on with the pooling
			require.Contains(t, tensors, p.Name)
			p.Value().Assign(tensors[p.Name])
		}
	}
	pass := &nn.Pass{Norm: nn.RunningStats}
	assert.InDeltaSlice(t, e.Forward(pass, x).Narrow(1, 0, 24).Contiguous().Floats(), native.Forward(pass, x).Floats(), 1e-5)
}

// A frozen module's parameters are saved and never change, nor do running statistics. With still replaces them.
func TestTorchScriptFrozen(t *testing.T) {
	testkit.Enter(t)
	f := readFixture(t, "resnet.json")
	e, ps := script(t, encoder.TorchScriptConfig{Path: "testdata/resnet.pt", Input: []int64{3, 12, 12}})
	assert.Empty(t, ps.Trained())
	assert.Equal(t, 7+7*5, len(ps.State()), "every parameter and buffer of seven convolutions and norms")
	x := tensor.New(f.Input, f.Shape...)
	before := map[string][]float64{}
	for _, p := range ps.All() {
		before[p.Name] = p.Value().Floats()
	}
	assert.InDeltaSlice(t, f.Eval, e.Forward(&nn.Pass{Training: true, Rand: stream.New(1, "noise")}, x).Floats(), 2e-5, "a frozen module evaluates in training passes too")
	for _, p := range ps.All() {
		assert.Equal(t, before[p.Name], p.Value().Floats(), p.Name)
	}
	first := ps.All()[0]
	moved := first.Value().MulScalar(2).RequireGrad()
	y := e.Forward(&nn.Pass{Norm: nn.RunningStats, With: map[*nn.Param]*tensor.Tensor{first: moved}}, x)
	assert.NotEqual(t, f.Eval, y.Floats())
	g := tensor.GradWith([]*tensor.Tensor{y.Square().Sum()}, []*tensor.Tensor{moved}, tensor.GradOptions{Create: true})[0]
	assert.NotNil(t, tensor.Grad(g.Square().Sum(), moved)[0], "of second order")
}

// A grey image is repeated and normalised for a module that expects colour.
func TestTorchScriptTakesGreyImages(t *testing.T) {
	testkit.Enter(t)
	plain, _ := script(t, encoder.TorchScriptConfig{Path: "testdata/resnet.pt", Input: []int64{3, 12, 12}})
	grey, _ := script(t, encoder.TorchScriptConfig{
		Path: "testdata/resnet.pt", Input: []int64{1, 12, 12}, Repeat: 3, Mean: []float64{.1, .2, .3}, Std: []float64{.5, 1, 2},
	})
	r := stream.New(1, "images")
	pixels, colour := make([]float32, 2*144), make([]float32, 2*3*144)
	for i := range pixels {
		pixels[i] = r.Float32()
		for c, by := range []struct{ mean, std float32 }{{.1, .5}, {.2, 1}, {.3, 2}} {
			colour[(i/144*3+c)*144+i%144] = (pixels[i] - by.mean) / by.std
		}
	}
	p := &nn.Pass{Norm: nn.RunningStats}
	assert.InDeltaSlice(t, plain.Forward(p, tensor.New(colour, 2, 3, 12, 12)).Floats(), grey.Forward(p, tensor.New(pixels, 2, 1, 12, 12)).Floats(), 1e-5)
}

func TestTorchScriptErrors(t *testing.T) {
	before := tensor.Live()
	resnet := "testdata/resnet.pt"
	for _, c := range []struct {
		config encoder.TorchScriptConfig
		want   string
	}{
		{encoder.TorchScriptConfig{Path: "testdata/none.pt", Input: []int64{3, 12, 12}}, "encoder: testdata/none.pt is not a TorchScript module that this LibTorch"},
		{encoder.TorchScriptConfig{Path: "testdata/resnet12.pt", Input: []int64{1, 12, 12}}, "write it by torch.jit.script(net).save(path)"},
		{encoder.TorchScriptConfig{Path: "testdata/export.py", Input: []int64{3, 12, 12}}, "is not a TorchScript module"},
		{encoder.TorchScriptConfig{Path: resnet, Input: []int64{1, 12, 12}}, "encoder: testdata/resnet.pt does not map an input of shape [2 1 12 12] to a tensor: Given groups=1, weight of size [8, 3, 3, 3], expected input[2, 1, 12, 12] to have 3 channels"},
		{encoder.TorchScriptConfig{Path: "testdata/transformer.pt", Input: []int64{13}, Tokens: true}, "does not map an input of shape [2 13]"},
		{encoder.TorchScriptConfig{Path: "testdata/transformer.pt", Input: []int64{12}}, "does not map an input of shape [2 12]"},
		{encoder.TorchScriptConfig{Path: "testdata/tuple.pt", Input: []int64{3, 12, 12}}, "forward returns a Tuple instead of a tensor"},
		{encoder.TorchScriptConfig{Path: "testdata/sequence.pt", Input: []int64{3, 12, 12}}, "maps an input of shape [2 3 12 12] to [2 12 12]: an embedding is [batch, width] or [batch, channels, height, width]"},
		{encoder.TorchScriptConfig{Path: resnet, Input: []int64{3, 12, 12}, Repeat: 3}, "images of 3 channels are not grey"},
		{encoder.TorchScriptConfig{Path: resnet, Input: []int64{3, 12, 12}, Mean: []float64{1}}, "mean has 1 values for 3 channels"},
		{encoder.TorchScriptConfig{Path: resnet, Input: []int64{3, 12, 12}, Std: []float64{1, 0, 1}}, "std must not contain 0"},
	} {
		b := nn.NewBuilder(1, tensor.CPU)
		_, err := encoder.NewTorchScript(b, c.config)
		assert.ErrorContains(t, err, c.want)
		b.Params().Free()
	}
	assert.Equal(t, before, tensor.Live())
}
