package nn_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"

	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// header is the header of a safetensors file.
type header map[string]struct {
	DType   string   `json:"dtype"`
	Shape   []int64  `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"`
}

// parse reads a safetensors file by its specification: eight bytes of length, little-endian, a JSON header of that
// length, and the data.
func parse(t *testing.T, path string) (h header, notes map[string]string, data []byte) {
	t.Helper()
	file, err := os.ReadFile(path)
	require.NoError(t, err)
	n := binary.LittleEndian.Uint64(file)
	require.Zero(t, n%8, "the data are aligned")
	require.Equal(t, byte('{'), file[8])
	var raw map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(file[8:8+n], &raw))
	h = header{}
	for name, m := range raw {
		if name == "__metadata__" {
			require.NoError(t, json.Unmarshal(m, &notes))
			continue
		}
		entry := h[name]
		require.NoError(t, json.Unmarshal(m, &entry))
		h[name] = entry
	}
	return h, notes, file[8+n:]
}

func TestSaveWritesTheFormatOfPython(t *testing.T) {
	testkit.Enter(t)
	path := filepath.Join(t.TempDir(), "s.safetensors")
	bf16 := tensor.Empty(tensor.BFloat16, tensor.CPU, 2)
	bf16.Set([]byte{0x01, 0x7f, 0xc1, 0xff}) // a large value, and a NaN with a payload
	ts := []nn.Named{
		{Name: "u8", Tensor: tensor.New([]uint8{0, 255, 7}, 3)},
		{Name: "i64", Tensor: tensor.New([]int64{math.MinInt64, -1}, 2, 1)},
		{Name: "f32", Tensor: tensor.New([]float32{math.Float32frombits(0x7fc12345), float32(math.Copysign(0, -1)), 1e-45, float32(math.Inf(-1))}, 2, 2)},
		{Name: "f64", Tensor: tensor.New([]float64{math.Float64frombits(0xfff8000000abcdef), math.Copysign(0, -1)}, 2)},
		{Name: "bool", Tensor: tensor.New([]bool{true, false, true}, 3)},
		{Name: "bf16", Tensor: bf16},
		{Name: "transposed", Tensor: tensor.New([]float32{1, 2, 3, 4, 5, 6}, 2, 3).Transpose(0, 1)},
		{Name: "scalar", Tensor: tensor.Scalar(7)},
		{Name: "empty", Tensor: tensor.Zeros(0, 3)},
		{Name: "a name <of> \"any\" kind / ü", Tensor: tensor.Ones(1)},
	}
	require.NoError(t, nn.Save(path, ts, map[string]string{"step": "17", "quote": "\"\n"}))

	h, notes, data := parse(t, path)
	assert.Len(t, notes["sha256"], 64)
	delete(notes, "sha256")
	assert.Equal(t, map[string]string{"step": "17", "quote": "\"\n"}, notes)
	require.Len(t, h, len(ts))
	types := map[string]string{"u8": "U8", "i64": "I64", "f64": "F64", "bool": "BOOL", "bf16": "BF16"}
	for _, n := range ts {
		entry, want := h[n.Name], types[n.Name]
		if want == "" {
			want = "F32"
		}
		assert.Equal(t, want, entry.DType, n.Name)
		assert.Equal(t, n.Tensor.Shape(), entry.Shape, n.Name)
		assert.Equal(t, n.Tensor.Bytes(), data[entry.Offsets[0]:entry.Offsets[1]], n.Name)
	}
	transposed := h["transposed"]
	assert.Equal(t, tensor.New([]float32{1, 4, 2, 5, 3, 6}, 6).Bytes(), data[transposed.Offsets[0]:transposed.Offsets[1]])

	s, err := nn.Open(path)
	require.NoError(t, err)
	assert.Equal(t, notes, s.Notes)
	assert.Len(t, s.Names(), len(ts))
	assert.IsIncreasing(t, s.Names())
	var back []nn.Named
	for _, n := range ts {
		back = append(back, nn.Named{Name: n.Name, Tensor: tensor.Full(0, n.Tensor.DType(), tensor.CPU, n.Tensor.Shape()...)})
	}
	require.NoError(t, s.CopyInto(back))
	assert.Equal(t, contents(ts), contents(back))
}

// Two saves of one state are equal byte for byte.
func TestSaveIsRepeatable(t *testing.T) {
	testkit.Enter(t)
	b := build(t, 1)
	network(b)
	dir := t.TempDir()
	var files [2][]byte
	for i := range files {
		path := filepath.Join(dir, "s")
		require.NoError(t, nn.Save(path, b.Params().State(), map[string]string{"b": "1", "a": "2"}))
		var err error
		files[i], err = os.ReadFile(path)
		require.NoError(t, err)
	}
	assert.Equal(t, files[0], files[1])
}

// NaNs with payloads, negative zero and all other values are restored exactly.
func TestLoadIsBitExact(t *testing.T) {
	testkit.Enter(t)
	a, b := build(t, 1), build(t, 2)
	odd := []uint32{0x7fc12345, 0xffc00001, 0x7f800001, 0x80000000, 0x00000001, 0x7f800000, 0xff800000, 0x3f800001}
	for _, builder := range []*nn.Builder{a, b} {
		builder.Param("odd", nn.Normal(0, 1), 2, 4)
		builder.Param("scalar", nn.Normal(0, 1))
		builder.Param("empty", nn.Constant(0), 0, 3)
		nn.NewBatchNorm(builder.In("norm"), 3)
	}
	var raw []byte
	for _, v := range odd {
		raw = binary.NativeEndian.AppendUint32(raw, v)
	}
	find(t, a.Params(), "odd").Value().Set(raw)
	set(find(t, a.Params(), "norm.running_mean"), 1, 2, 3)

	path := filepath.Join(t.TempDir(), "s.safetensors")
	require.NoError(t, nn.Save(path, a.Params().State(), nil))
	s, err := nn.Open(path)
	require.NoError(t, err)
	require.NoError(t, b.Params().Load(s))
	assert.Equal(t, contents(a.Params().State()), contents(b.Params().State()))
	assert.Equal(t, raw, find(t, b.Params(), "odd").Value().Bytes())
	assert.True(t, find(t, b.Params(), "odd").Value().RequiresGrad())
	assert.Empty(t, s.Notes)
}

// net is a network with running statistics, trained on data that depend on the step only.
type net struct {
	hidden, out *nn.Linear
	norm        *nn.BatchNorm
}

func network(b *nn.Builder) *net {
	return &net{nn.NewLinear(b.In("hidden"), 3, 5), nn.NewLinear(b.In("out"), 5, 2), nn.NewBatchNorm(b.In("norm"), 5)}
}

func (n *net) train(ps *nn.Params, opt nn.Optimizer, from, to uint64) {
	for step := from; step < to; step++ {
		s := tensor.Enter()
		values := make([]float32, 8*5)
		nn.Normal(0, 1)(random(step), nil, values)
		x, y := tensor.New(values[:24], 8, 3), tensor.New(values[24:], 8, 2)
		p := &nn.Pass{Training: true}
		loss := n.out.Forward(p, n.norm.Forward(p, n.hidden.Forward(p, x)).Tanh()).Sub(y).Square().Mean()
		opt.Step(nn.ClipByNorm(tensor.Grad(loss, ps.Tensors()...), 1), .05)
		s.Leave()
	}
}

// Five steps, saved, loaded into a new network and optimiser, and five more equal ten steps, bit for bit.
func TestResumedTrainingIsUninterruptedTraining(t *testing.T) {
	for name, optimizer := range optimizers {
		t.Run(name, func(t *testing.T) {
			testkit.Enter(t)
			path := filepath.Join(t.TempDir(), "checkpoint.safetensors")
			whole := build(t, 1)
			n, ps := network(whole), whole.Params()
			opt := own(t, optimizer(ps))
			n.train(ps, opt, 0, 5)
			require.NoError(t, nn.Save(path, append(nn.WithPrefix("params.", ps.State()), nn.WithPrefix("optimizer.", opt.State())...), nil))
			n.train(ps, opt, 5, 10)

			resumed := build(t, 99)
			n2, ps2 := network(resumed), resumed.Params()
			opt2 := own(t, optimizer(ps2))
			n2.train(ps2, opt2, 50, 53) // earlier steps must not matter
			s, err := nn.Open(path)
			require.NoError(t, err)
			require.NoError(t, ps2.Load(s.Sub("params.")))
			require.NoError(t, opt2.Load(s.Sub("optimizer.")))
			n2.train(ps2, opt2, 5, 10)

			assert.Equal(t, contents(ps.State()), contents(ps2.State()))
			assert.Equal(t, contents(opt.State()), contents(opt2.State()))
		})
	}
}

func TestLoadRefusesMismatchAndChangesNothing(t *testing.T) {
	testkit.Enter(t)
	path := filepath.Join(t.TempDir(), "s.safetensors")
	require.NoError(t, nn.Save(path, nn.WithPrefix("net.", []nn.Named{
		{Name: "hidden.weight", Tensor: tensor.Ones(5, 3)}, // matches
		{Name: "hidden.bias", Tensor: tensor.Ones(5).To(tensor.Float64)},
		{Name: "out.weight", Tensor: tensor.Ones(5, 2)},
		{Name: "out.bias", Tensor: tensor.Ones(2)},
		{Name: "norm.weight", Tensor: tensor.Ones(5)},
		{Name: "norm.bias", Tensor: tensor.Ones(5, 1)},
		{Name: "norm.running_var", Tensor: tensor.Ones(5)},
		{Name: "extra", Tensor: tensor.Ones(1)},
	}), nil))
	s, err := nn.Open(path)
	require.NoError(t, err)
	b := build(t, 1)
	network(b)
	before := contents(b.Params().State())

	err = b.Params().Load(s.Sub("net."))
	require.Error(t, err)
	assert.Equal(t, `nn: the state does not match the network: net.hidden.bias is F64 in the file, float32 in the network
net.out.weight has the shape [5 2] in the file, [2 5] in the network
net.norm.bias has the shape [5 1] in the file, [5] in the network
net.norm.running_mean is missing from the file
net.extra is in the file but not in the network`, err.Error())
	assert.Equal(t, before, contents(b.Params().State()))

	opt := own(t, nn.NewAdam(b.Params(), nn.DefaultAdam()))
	state := contents(opt.State())
	err = opt.Load(s.Sub("net."))
	assert.ErrorContains(t, err, "net.step is missing from the file")
	assert.ErrorContains(t, err, "net.m.hidden.weight is missing from the file")
	assert.Equal(t, state, contents(opt.State()))
	assert.ErrorContains(t, b.Params().Load(s.Sub("none.")), "none.hidden.weight is missing from the file")
	assert.ErrorContains(t, b.Params().Load(s.Sub("ne").Sub("t.")), "net.extra is in the file")
}

func TestOpenRefusesDamagedFiles(t *testing.T) {
	testkit.Enter(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "s.safetensors")
	require.NoError(t, nn.Save(path, []nn.Named{{Name: "a", Tensor: tensor.Ones(4)}}, map[string]string{"n": "1"}))
	whole, err := os.ReadFile(path)
	require.NoError(t, err)

	_, err = nn.Open(filepath.Join(dir, "none"))
	assert.ErrorContains(t, err, "no state file")
	assert.ErrorIs(t, err, os.ErrNotExist)
	_, err = nn.Open(dir)
	assert.Error(t, err)

	refused := func(what string, data []byte) {
		require.NoError(t, os.WriteFile(path, data, 0o644))
		_, err := nn.Open(path)
		if assert.Error(t, err, what) {
			assert.ErrorContains(t, err, path+" is damaged: ", what)
			assert.ErrorIs(t, err, nn.ErrDamaged, what)
		}
	}
	for n := range whole {
		refused("truncated", whole[:n])
	}
	for i := range whole {
		bad := bytes.Clone(whole)
		bad[i] ^= 1
		if at := bytes.Index(whole, []byte("sha256")); i < at || i >= at+len("sha256") { // else it is an ordinary note
			refused(fmt.Sprintf("one bit of byte %d, %q", i, whole[i]), bad)
		}
	}
	refused("longer", append(bytes.Clone(whole), 0))
	for _, garbled := range [][2]string{
		{`"F32"`, `"F99"`}, {`[4]`, `[5]`}, {`[4]`, `[4`}, {`[0,16]`, `[0,17]`}, {`[0,16]`, `[1,16]`}, {`[0,16]`, `[-1,16]`},
		{`[4]`, `[1e300]`}, {`{"`, `{,`}, {`"n":"1"`, `"n": 1 `},
	} {
		bad := bytes.Replace(whole, []byte(garbled[0]), []byte(garbled[1]), 1)
		require.NotEqual(t, whole, bad, "%s is in the header", garbled[0])
		refused(garbled[1], bad)
	}
	huge := bytes.Clone(whole)
	binary.LittleEndian.PutUint64(huge, math.MaxUint64)
	refused("length", huge)
}

// files returns the names in a directory.
func files(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestFailedSaveLeavesTheOldFile(t *testing.T) {
	testkit.Enter(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	one := []nn.Named{{Name: "a", Tensor: tensor.Ones(1)}}
	require.NoError(t, nn.Save(path, one, nil))
	old, err := os.ReadFile(path)
	require.NoError(t, err)
	stays := func(what string) {
		t.Helper()
		now, err := os.ReadFile(path)
		require.NoError(t, err)
		assert.Equal(t, old, now, what)
		assert.Equal(t, []string{"s"}, files(t, dir), what)
	}

	assert.ErrorContains(t, nn.Save(path, append(one, one...), nil), "two tensors are called a")
	stays("one name twice")
	freed := tensor.Ones(1).Own()
	freed.Free()
	assert.ErrorContains(t, nn.Save(path, append(one, nn.Named{Name: "b", Tensor: freed}), nil), "freed")
	stays("a freed tensor")
	assert.ErrorContains(t, nn.Save(path, []nn.Named{{Name: "__metadata__", Tensor: tensor.Ones(1)}}, nil), "__metadata__")
	stays("the name of the notes")

	cut := errors.New("cut")
	assert.ErrorIs(t, nn.WriteFile(path, io.MultiReader(bytes.NewReader(make([]byte, 1<<16)), iotest.ErrReader(cut))), cut)
	stays("a source that fails halfway")

	assert.ErrorIs(t, nn.Save(filepath.Join(dir, "none", "s"), one, nil), os.ErrNotExist)
	stays("no such directory")

	if os.Geteuid() != 0 { // root can write anywhere
		require.NoError(t, os.Chmod(dir, 0o500))
		assert.ErrorIs(t, nn.Save(path, one, nil), os.ErrPermission)
		stays("a directory that cannot be written")
		require.NoError(t, os.Chmod(dir, 0o700))
	}

	target := filepath.Join(dir, "d")
	require.NoError(t, os.Mkdir(target, 0o755))
	assert.Error(t, nn.Save(target, one, nil))
	assert.Equal(t, []string{"d", "s"}, files(t, dir), "a target that is a directory")
	assert.Empty(t, files(t, target))
}

func TestSaveReplacesTheOldFile(t *testing.T) {
	testkit.Enter(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	require.NoError(t, nn.Save(path, []nn.Named{{Name: "a", Tensor: tensor.Ones(100)}}, nil))
	require.NoError(t, nn.Save(path, []nn.Named{{Name: "b", Tensor: tensor.Ones(1)}}, nil))
	s, err := nn.Open(path)
	require.NoError(t, err)
	assert.Equal(t, []string{"b"}, s.Names())
	assert.Equal(t, []string{"s"}, files(t, dir))
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o644), info.Mode())
}

// Open and Load return for any file; they do not panic.
func FuzzOpen(f *testing.F) {
	testkit.Enter(f)
	dir := f.TempDir()
	path := filepath.Join(dir, "s.safetensors")
	b := build(f, 1)
	network(b)
	opt := own(f, nn.NewSGD(b.Params(), nn.SGDConfig{}))
	for _, ts := range [][]nn.Named{nil, {{Name: "step", Tensor: tensor.New([]int64{1}, 1)}}, b.Params().State(), opt.State()} {
		require.NoError(f, nn.Save(path, ts, map[string]string{"note": "x"}))
		data, err := os.ReadFile(path)
		require.NoError(f, err)
		f.Add(data)
	}
	for _, text := range []string{`null`, `{}`, `{"a":null}`, `{"a":{}}`, `{"__metadata__":null}`, `{"__metadata__":{"a":1}}`, `[]`, `""`,
		`{"a":{"dtype":"F32","shape":[0,18446744073709551615],"data_offsets":[0,0]},"b":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}`,
		`{"a":{"dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,18446744073709551615]},"b":{"dtype":"U8","shape":[1],"data_offsets":[18446744073709551615,0]}}`,
	} {
		f.Add(append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		s, err := nn.Open(path)
		if err != nil {
			return
		}
		for _, name := range s.Names() {
			s.Sub(name)
		}
		_ = b.Params().Load(s)
		_ = opt.Load(s)
	})
}

func TestTensorsOfAStateFile(t *testing.T) {
	testkit.Enter(t)
	want := []nn.Named{
		{Name: "a.bits", Tensor: tensor.New([]bool{true, false}, 2)},
		{Name: "a.half", Tensor: tensor.New([]float32{1, -2, .5}, 3, 1).To(tensor.BFloat16)},
		{Name: "a.many", Tensor: tensor.New([]int64{1, 2, 3, 4}, 2, 2)},
		{Name: "a.none", Tensor: tensor.New([]float64{}, 0, 4)},
		{Name: "a.one", Tensor: tensor.Scalar(7)},
		{Name: "b", Tensor: tensor.New([]uint8{255}, 1)},
	}
	path := filepath.Join(t.TempDir(), "state.safetensors")
	require.NoError(t, nn.Save(path, []nn.Named{want[5], want[3], want[1], want[0], want[2], want[4]}, nil))
	file, err := nn.Open(path)
	require.NoError(t, err)
	for prefix, want := range map[string][]nn.Named{"": want, "a.": want[:5], "c": nil} {
		got, err := file.Sub(prefix).Tensors(tensor.CPU)
		require.NoError(t, err)
		require.Len(t, got, len(want))
		for i, w := range want {
			assert.Equal(t, w.Name, prefix+got[i].Name)
			assert.Equal(t, w.Tensor.DType(), got[i].Tensor.DType())
			assert.Equal(t, w.Tensor.Shape(), got[i].Tensor.Shape())
			assert.Equal(t, w.Tensor.Bytes(), got[i].Tensor.Bytes())
		}
	}
}

func TestTensorsOfAStateFileNeedAScope(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.safetensors")
	require.NoError(t, tensor.Do(func() error { return nn.Save(path, []nn.Named{{Name: "x", Tensor: tensor.Ones(1)}}, nil) }))
	file, err := nn.Open(path)
	require.NoError(t, err)
	_, err = file.Tensors(tensor.CPU)
	assert.ErrorContains(t, err, "no scope is open on this goroutine")
}
