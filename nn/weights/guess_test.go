package weights_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/nn/weights"
	"github.com/engram-go/engram/tensor"
)

// slot is a tensor of a foreign state dict and the parameter that it belongs to.
type slot struct {
	name, ours string
	shape      []int64
}

// inLayout renames a network's tensors layer by layer.
func inLayout(ps *nn.Params, rename func(layer string) string) []slot {
	var out []slot
	for _, p := range ps.All() {
		i := strings.LastIndexByte(p.Name, '.')
		out = append(out, slot{rename(p.Name[:i]) + p.Name[i:], p.Name, p.Value().Shape()})
	}
	return out
}

// stateDict returns a file of torch.save with the slots in their order. Each holds distinct positive values.
func stateDict(slots []slot) []byte {
	var items []string
	var data []byte
	total := int64(0)
	for _, s := range slots {
		n := int64(1)
		for _, d := range s.shape {
			n *= d
		}
		total += n
		for i := range n {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(float32(total)+float32(i)/float32(n)))
		}
	}
	at := int64(0)
	for _, s := range slots {
		strides := make([]int64, len(s.shape))
		n := int64(1)
		for i := len(s.shape) - 1; i >= 0; i-- {
			strides[i] = n
			n *= s.shape[i]
		}
		items = append(items, text(s.name), tensorOf(storageOf("FloatStorage", "0", total), at, numbers(s.shape...), numbers(strides...)))
		at += n
	}
	return archiveWith(whole(dict(items...)), 0, data)
}

// imports guesses and loads, and reports whether every parameter received its tensor. An error is a refusal.
func imports(t *testing.T, ps *nn.Params, slots []slot, data []byte) (right bool, m *weights.Map, err error) {
	t.Helper()
	f, err := weights.Parse(data)
	require.NoError(t, err)
	m = weights.Guess(ps, f, nil)
	if err := weights.Load(ps, f, m); err != nil {
		return false, m, err
	}
	right = true
	for _, s := range slots {
		right = right && (m.Names[s.ours] == s.name || m.Names[s.ours] == "" && s.name == s.ours)
	}
	return right, m, nil
}

// safetensorsOf returns the same state dict as safetensors, which has no order.
func safetensorsOf(slots []slot) []byte {
	header := map[string]any{}
	var data []byte
	for _, s := range slots {
		n := int64(1)
		for _, d := range s.shape {
			n *= d
		}
		header[s.name] = map[string]any{"dtype": "F32", "shape": s.shape, "data_offsets": []int{len(data), len(data) + 4*int(n)}}
		for range n {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(1))
		}
	}
	text, err := json.Marshal(header)
	if err != nil {
		panic(err)
	}
	return append(append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...), data...)
}

// conv4Layer returns the block and the part of a layer of Conv-4: 2 and "norm" for encoder.block3.norm.
func conv4Layer(layer string) (block int, part string) {
	fmt.Sscanf(layer, "encoder.block%d.%s", &block, &part)
	return block - 1, part
}

var ordinals = []string{"first", "second", "third", "fourth"}

// conv4Layouts are names that implementations use for Conv-4, and whether they can be paired without a map.
var conv4Layouts = map[string]struct {
	rename func(block int, part string) string
	sure   bool
}{
	"encoder.N.0/1": {func(b int, p string) string {
		return fmt.Sprintf("encoder.%d.", b) + map[string]string{"conv": "0", "norm": "1"}[p]
	}, true},
	"convN bnN": {func(b int, p string) string {
		return map[string]string{"conv": "conv", "norm": "bn"}[p] + fmt.Sprint(b+1)
	}, true},
	"convs.N bns.N": {func(b int, p string) string {
		return map[string]string{"conv": "convs.", "norm": "bns."}[p] + fmt.Sprint(b)
	}, true},
	"trunk.N.C/BN": {func(b int, p string) string {
		return fmt.Sprintf("trunk.%d.", b) + map[string]string{"conv": "C", "norm": "BN"}[p]
	}, true},
	"flat, by layer": {func(b int, p string) string {
		return fmt.Sprint("features.", 4*b+map[string]int{"conv": 0, "norm": 1}[p])
	}, true},
	"flat, by kind":          {func(b int, p string) string { return fmt.Sprint(b + map[string]int{"conv": 4, "norm": 0}[p]) }, true},
	"tens":                   {func(b int, p string) string { return fmt.Sprint("l", 9*(b+1), ".", p) }, true},
	"words":                  {func(b int, p string) string { return ordinals[b] + "." + p }, false},
	"letters":                {func(b int, p string) string { return p + "_" + string(rune('a'+b)) }, false},
	"first without a number": {func(b int, p string) string { return strings.TrimSuffix(fmt.Sprint(p, "_", b), "_0") }, false},
	"counted backwards":      {func(b int, p string) string { return fmt.Sprint("up.", 3-b, ".", p) }, false},
}

// permuted calls f with the slots in every order of the layers and some orders of the tensors in a layer.
func permuted(r *rand.Rand, slots []slot, f func([]slot)) {
	layer := func(s slot) string { return s.name[:strings.LastIndexByte(s.name, '.')] }
	var groups [][]slot
	for _, s := range slots {
		if n := len(groups); n > 0 && layer(groups[n-1][0]) == layer(s) {
			groups[n-1] = append(groups[n-1], s)
		} else {
			groups = append(groups, []slot{s})
		}
	}
	for range 60 {
		r.Shuffle(len(groups), func(i, j int) { groups[i], groups[j] = groups[j], groups[i] })
		f(slices.Concat(groups...))
		loose := slices.Clone(slots)
		r.Shuffle(len(loose), func(i, j int) { loose[i], loose[j] = loose[j], loose[i] })
		f(loose)
	}
	f(slots)
}

// In any order, a state dict of Conv-4 is imported correctly or refused.
func TestGuessOfConv4InEveryLayoutAndOrder(t *testing.T) {
	testkit.Enter(t)
	_, ps := conv4(t)
	r := rand.New(rand.NewPCG(18, 2))
	for name, layout := range conv4Layouts {
		slots := inLayout(ps, func(l string) string { return layout.rename(conv4Layer(l)) })
		check := func(data []byte, order []slot) bool {
			right, m, err := imports(t, ps, order, data)
			if !layout.sure {
				require.Error(t, err, "%s is imported: %v", name, m.Names)
				assert.ErrorContains(t, err, "--print-map", name)
				assert.ErrorContains(t, err, "more than one pairing fits", name)
				return true
			}
			return assert.NoError(t, err, name) && assert.True(t, right, "%s: %v", name, m.Names)
		}
		permuted(r, slots, func(order []slot) { check(stateDict(order), order) })
		check(safetensorsOf(slots), slots)
	}
}

// The first two blocks have the same width, so their layers differ in names only.
func TestGuessOfResNet12(t *testing.T) {
	testkit.Enter(t)
	b := nn.NewBuilder(1, tensor.CPU)
	t.Cleanup(b.Params().Free)
	c := encoder.ResNet12Config{Height: 16, Width: 16, Channels: 3}
	c.Filters = [4]int64{4, 4, 6, 8}
	_, err := encoder.NewResNet12(b.In("encoder"), c)
	require.NoError(t, err)
	ps := b.Params()
	at := func(layer string) (block, index int, part string) {
		if _, err := fmt.Sscanf(layer, "encoder.block%d.shortcut.%s", &block, &part); err == nil {
			return block, 0, part
		}
		fmt.Sscanf(layer, "encoder.block%d.%4s%d", &block, &part, &index)
		return block, index, part
	}
	for name, layout := range map[string]struct {
		rename func(block, index int, part string) string
		sure   bool
	}{
		"MetaOptNet": {func(b, i int, p string) string {
			if i == 0 {
				return fmt.Sprint("layer", b, ".0.downsample.", map[string]int{"conv": 0, "norm": 1}[p])
			}
			return fmt.Sprint("layer", b, ".0.", map[string]string{"conv": "conv", "norm": "bn"}[p], i)
		}, true},
		"kinds apart": {func(b, i int, p string) string {
			if i == 0 {
				return fmt.Sprint("short_", p, ".", b)
			}
			return fmt.Sprint(p, "s.", 3*(b-1)+i-1)
		}, true},
		// The numbers nest in the other order.
		"layers before blocks": {func(b, i int, p string) string {
			if i == 0 {
				return fmt.Sprint("short_", p, ".", b)
			}
			return fmt.Sprint(p, i, ".", b)
		}, false},
		// The norm of the shortcut is one among four.
		"four norms": {func(b, i int, p string) string {
			if i == 0 {
				i = 4
			}
			return fmt.Sprint("layer", b, ".", p, i)
		}, false},
	} {
		slots := inLayout(ps, func(l string) string { return layout.rename(at(l)) })
		permuted(rand.New(rand.NewPCG(18, 3)), slots, func(order []slot) {
			right, m, err := imports(t, ps, order, stateDict(order))
			if layout.sure {
				require.NoError(t, err, name)
				require.True(t, right, "%s: %v", name, m.Names)
			} else {
				require.ErrorContains(t, err, "more than one pairing fits", name)
			}
		})
	}
}

// Names that are ours are no names of ours where the file counts otherwise.
func TestNamesThatAreCountedOtherwise(t *testing.T) {
	testkit.Enter(t)
	_, ps := conv4(t)
	for _, count := range []func(b int) int{func(b int) int { return b }, func(b int) int { return 2 * b }, func(b int) int { return b + 2 }, func(b int) int { return 3*b + 1 }} {
		slots := inLayout(ps, func(l string) string {
			b, p := conv4Layer(l)
			return fmt.Sprintf("encoder.block%d.%s", count(b), p)
		})
		right, m, err := imports(t, ps, slots, stateDict(slots))
		require.NoError(t, err)
		assert.True(t, right, "%v", m.Names)
		assert.NotEmpty(t, m.Guessed())
	}
}

// A map completes a guess: one tensor per layer is enough.
func TestMapThatCompletesAGuess(t *testing.T) {
	testkit.Enter(t)
	_, ps := conv4(t)
	slots := inLayout(ps, func(l string) string {
		b, p := conv4Layer(l)
		return ordinals[b] + "." + p
	})
	slots = append(slots, slot{name: "head.weight", shape: []int64{64, 5}}, slot{name: "head.bias", shape: []int64{5}})
	f, err := weights.Parse(stateDict(slots))
	require.NoError(t, err)
	printed, err := weights.Guess(ps, f, nil).Encode()
	require.NoError(t, err)
	assert.Contains(t, string(printed), "encoder.block1.conv.weight: first.conv.weight\n", "which is the only one of its shape")
	assert.Contains(t, string(printed), "#   encoder.block2.norm.running_mean: first.norm.running_mean | fourth.norm.running_mean | second.norm.running_mean | third.norm.running_mean\n")

	given := "names:\n"
	for b, word := range ordinals {
		given += fmt.Sprintf("  encoder.block%d.conv.weight: %s.conv.weight\n  encoder.block%[1]d.norm.weight: %s.norm.weight\n", b+1, word)
	}
	file := filepath.Join(t.TempDir(), "map.yaml")
	require.NoError(t, os.WriteFile(file, []byte(given+"ignore: ['head.*']\n"), 0o644))
	m, err := weights.ReadMap(file)
	require.NoError(t, err)
	full := weights.Guess(ps, f, m)
	require.NoError(t, weights.Load(ps, f, full))
	for _, s := range slots[:len(slots)-2] {
		assert.Equal(t, s.name, full.Names[s.ours])
	}
	assert.Len(t, m.Names, 8, "the given map does not change")
	assert.Len(t, full.Guessed(), len(ps.All())-8)
	assert.Contains(t, full.Pairs(ps)[0].Text, "16 of 24 tensors are paired by a guess")
	assert.Contains(t, full.Pairs(ps), weights.Pairing{Text: "ignored: head.*"})

	for rule, want := range map[string]string{"tail.*": "the map ignores tail.*, which the file does not have", "[": "the map ignores [, which is neither a name nor a pattern"} {
		m.Ignore = []string{"head.*", rule}
		assert.ErrorContains(t, weights.Load(ps, f, weights.Guess(ps, f, m)), want)
	}
}

func TestNegativeVarianceAndNotFiniteAreRefused(t *testing.T) {
	testkit.Enter(t)
	for leaf, bad := range map[string]float64{"running_var": -1, "running_mean": math.Inf(1), "weight": math.NaN()} {
		_, ps := conv4(t)
		state := ps.State()
		for _, n := range state {
			if n.Name == "encoder.block3.norm."+leaf {
				n.Tensor.Assign(tensor.New([]float32{1, 2, 3, 4, 5, 6, 7, float32(bad)}, 8))
			}
		}
		path := filepath.Join(t.TempDir(), "w.safetensors")
		require.NoError(t, nn.Save(path, state, nil))
		f, err := weights.Open(path)
		require.NoError(t, err)
		_, fresh := conv4(t)
		err = weights.Load(fresh, f, weights.Guess(fresh, f, nil))
		assert.ErrorContains(t, err, "encoder.block3.norm."+leaf)
		assert.ErrorContains(t, err, map[bool]string{true: "holds the negative value -1", false: "is not finite"}[leaf == "running_var"])
	}
}

// four returns a scalar.
func four(class string) string { return tensorOf(storageOf(class, "0", 4), 0, numbers(), numbers()) }

// Anything else in the file is skipped and reported.
func TestWhatLiesBesideTheParameters(t *testing.T) {
	w := tensorOf(storageOf("FloatStorage", "0", 4), 0, numbers(4), numbers(1))
	complexes := tensorOf(storageOf("ComplexFloatStorage", "0", 2), 0, numbers(2), numbers(1))
	state := dict(text("a.weight"), w)
	for name, c := range map[string]struct{ object, note string }{
		"a tensor beside the state dict": {dict(text("state_dict"), state, text("best_acc1"), four("FloatStorage")), `other entries skipped: ["best_acc1"]`},
		"a network beside its loss":      {dict(text("loss"), four("FloatStorage"), text("net"), state), `other entries skipped: ["loss"]`},
		"in the state dict":              {dict(text("n_averaged"), four("IntStorage"), text("module.a.weight"), w), `"n_averaged" skipped: a tensor of int32`},
		"a loss in the state dict":       {dict(text("a.weight"), w, text("best_loss"), four("FloatStorage")), `"best_loss" skipped: a tensor of float32`},
		"state of a generator":           {dict(text("a.weight"), w, text("rng_state"), tensorOf(storageOf("ByteStorage", "0", 16), 0, numbers(16), numbers(1))), `"rng_state" skipped: a tensor of uint8 [16]`},
		"complex":                        {dict(text("a.weight"), w, text("fourier"), complexes), `"fourier" skipped: a tensor of complex64`},
		"an unknown type":                {dict(text("a.weight"), w, text("x"), four("UntypedStorage")), `"x" skipped: it is of the class "torch.UntypedStorage"`},
		"quantised":                      {dict(text("a.weight"), w, text("x"), global("torch._utils", "_rebuild_qtensor")+tuple(storageOf("QUInt8Storage", "0", 4), number(0))+"R"), `"x" skipped: it is of the class "torch._utils._rebuild_qtensor"`},
		"a long list":                    {dict(text("state_dict"), state, text("losses"), "]("+strings.Repeat("G\x3f\xf0\x00\x00\x00\x00\x00\x00", 400_000)+"e"), `other entries skipped: ["losses"]`},
		"NumPy":                          {dict(text("a.weight"), w, text("x"), global("numpy.core.multiarray", "_reconstruct")+tuple(global("numpy", "ndarray"), tuple(number(0)), "C\x01b")+"R"+tuple(number(1), "C\x01b")+"b"), `"x" skipped: it is of the class "numpy.core.multiarray._reconstruct"`},
		"bytes, sets, a call of a method": {dict(text("a.weight"), w, text("x"), "\x96\x01\x00\x00\x00\x00\x00\x00\x00a", text("y"), "(K\x01\x91",
			text("z"), global("functools", "partial")+tuple()+"R"+tuple()+"R"), `"z" skipped: it is of the class "functools.partial"`},
		"a subclass of dict":           {global("script", "Checkpoint") + ")\x81(" + text("state_dict") + state + text("epoch") + "K\x03u", `other entries skipped: ["epoch"]`},
		"an object made with keywords": {dict(text("a.weight"), w, text("x"), global("script", "Config")+")}\x92"), `"x" skipped: it is of the class "script.Config"`},
		"tensors of a subclass": {dict(text("a.weight"), global("torch._tensor", "_rebuild_from_type_v2")+
			tuple(global("torch._utils", "_rebuild_tensor_v2"), global("script", "Tensor"), tuple(storageOf("FloatStorage", "0", 4), number(0), numbers(4), numbers(1), "\x89", "N"), "}")+"R", text("x"), "N"), `"x" skipped`},
	} {
		f, err := weights.Parse(archive(whole(c.object)))
		if !assert.NoError(t, err, name) {
			continue
		}
		assert.Len(t, f.Tensors, 1, name)
		assert.Equal(t, "a.weight", f.Tensors[0].Name, name)
		assert.Contains(t, strings.Join(f.Notes, "\n"), c.note, name)
	}
	for head, protocol := range map[string]string{"\x80\x03": "\x80\x03", "\x80\x04\x95\x0d\x00\x00\x00\x00\x00\x00\x00": "\x80\x04"} {
		old := string(legacy(state, "]("+text("0")+"e", stored(4)))
		f, err := weights.Parse([]byte(head + strings.ReplaceAll(strings.TrimPrefix(old, "\x80\x02"), "\x80\x02", protocol)))
		require.NoError(t, err, "%q", protocol)
		assert.Len(t, f.Tensors, 1)
	}
}

// A module that is registered twice gives every tensor two names. Either can be used.
func TestTensorsUnderTwoNames(t *testing.T) {
	testkit.Enter(t)
	b := nn.NewBuilder(1, tensor.CPU)
	t.Cleanup(b.Params().Free)
	b.Param("embed.weight", nn.Constant(1), 2, 2)
	b.Param("head.weight", nn.Constant(1), 4)
	matrix := tensorOf(storageOf("FloatStorage", "0", 4), 0, numbers(2, 2), numbers(2, 1))
	row := tensorOf(storageOf("FloatStorage", "0", 4), 0, numbers(4), numbers(1))
	for _, second := range []string{"embed", "zoo"} {
		f, err := weights.Parse(archive(whole(dict(text("state"), dict(
			text("net.weight"), matrix, text("top.weight"), row, text(second+".weight"), matrix, text("last.weight"), row)))))
		require.NoError(t, err)
		assert.Contains(t, strings.Join(f.Notes, "\n"), "2 names are second names")
		m := weights.Guess(b.Params(), f, nil)
		require.NoError(t, weights.Load(b.Params(), f, m))
		want := map[string]string{"embed.weight": "net.weight", "head.weight": "top.weight"}
		if second == "embed" {
			want["embed.weight"] = "embed.weight"
		}
		assert.Equal(t, want, m.Names)
	}
}
