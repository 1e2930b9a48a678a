package weights_test

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/nn/weights"
)

// Pickles as Python 2 writes them: texts of bytes, long integers of as few bytes as possible, OrderedDict of a list of pairs.

func text2(s string) string { return "U" + string(rune(len(s))) + s }

// long2 is a long integer, of which zero has no bytes.
func long2(n int) string {
	if n == 0 {
		return "\x8a\x00"
	}
	return "\x8a\x03" + string([]byte{byte(n), byte(n >> 8), byte(n >> 16)})
}

func tuple2(ns ...int) string {
	out := "("
	for _, n := range ns {
		out += long2(n)
	}
	return out + "t"
}

func list2(items ...string) string { return "](" + strings.Join(items, "") + "e" }

func ordered2(pairs ...string) string {
	var items []string
	for i := 0; i < len(pairs); i += 2 {
		items = append(items, list2(pairs[i], pairs[i+1]))
	}
	return global("collections", "OrderedDict") + "(" + list2(items...) + "tR"
}

func storage2(module, class, key, device, numel, view string) string {
	return "(" + text2("storage") + global(module, class) + text2(key) + text2(device) + numel + view + "tQ"
}

// tensor2 is of PyTorch before 0.4 where it has no version, else of Python 2 with PyTorch 0.4 to 1.4.
func tensor2(version, storage string, offset int, shape, strides string) string {
	rest := ""
	if version != "" {
		rest = "\x89" + ordered2()
	}
	return global("torch._utils", "_rebuild_tensor"+version) + "(" + storage + long2(offset) + shape + strides + rest + "tR"
}

// filled are n elements of float32, counted from first on, behind their number.
func filled(n, first int) string {
	out := binary.LittleEndian.AppendUint64(nil, uint64(n))
	for i := range n {
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(float32(first+i)))
	}
	return string(out)
}

// members is a tar archive.
func members(t testing.TB, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range []string{"sys_info", "pickle", "tensors", "storages"} {
		text, ok := files[name]
		if !ok {
			continue
		}
		require.NoError(t, w.WriteHeader(&tar.Header{Name: name, Size: int64(len(text)), Mode: 0o644, Format: tar.FormatPAX}))
		_, err := w.Write([]byte(text))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return b.Bytes()
}

// oldFiles, which PyTorch 1.13 reads to the same values, are a state dict with w [2 3] = 1..6 and, as a part of the same storage or of another, b [2] = 7, 8, in the forms of
// 2017 and 2018.
func oldFiles(t testing.TB) map[string][]byte {
	t.Helper()
	six, eight := "K\x06", "K\x08"
	state := func(version, first, second string, offset int) string {
		return ordered2(text2("fc.weight"), tensor2(version, first, 0, tuple2(2, 3), tuple2(3, 1)),
			text2("fc.bias"), tensor2(version, second, offset, tuple2(2), tuple2(1)))
	}
	plain := func(module, device string) (string, string) {
		return storage2(module, "FloatStorage", "94", device, six, "N"), storage2(module, "FloatStorage", "95", device, "K\x02", "N")
	}
	cpu, cpuBias := plain("torch", "cpu")
	cuda, cudaBias := plain("torch.cuda", "cuda:1")
	shared := func(key string, offset, n int) string {
		return storage2("torch", "FloatStorage", "94", "cpu", eight, "("+text2(key)+long2(offset)+long2(n)+"t")
	}
	two := list2(text2("94"), text2("95"))
	variable := func(t string) string {
		return global("torch.nn.parameter", "Parameter") + "(" + t + "tR(\x88\x89" + ordered2() + "tb"
	}
	metadata := "}(" + text2("_metadata") + ordered2(text2(""), "}("+text2("version")+"K\x01u") + "ub" // of PyTorch 0.4
	size := global("torch", "Size") + "(" + tuple2(2, 3) + "tR"
	integers := func(ns ...int64) (out string) {
		for _, n := range ns {
			out += string(binary.LittleEndian.AppendUint64(nil, uint64(n)))
		}
		return out
	}
	record := func(key, second, class string) string {
		return whole("(" + key + second + class + "t")
	}
	float := global("torch", "FloatStorage")
	kind := global("torch", "FloatTensor")
	return map[string][]byte{
		"Python 2, PyTorch 0.3":        legacy(state("", cpu, cpuBias, 0), two, filled(6, 1), filled(2, 7)),
		"Python 2, PyTorch 0.4":        legacy(state("_v2", cpu, cpuBias, 0)+metadata, two, filled(6, 1), filled(2, 7)),
		"on a GPU":                     legacy(state("", cuda, cudaBias, 0), two, filled(6, 1), filled(2, 7)),
		"parts of a storage":           legacy(state("", shared("96", 0, 6), shared("97", 6, 2), 0), list2(text2("94")), filled(8, 1)),
		"a tensor in a part":           legacy(state("", shared("96", 0, 6), shared("97", 5, 3), 1), list2(text2("94")), filled(8, 1)),
		"a size of its own class":      legacy(ordered2(text2("fc.weight"), tensor2("", cpu, 0, size, tuple2(3, 1)), text2("fc.bias"), tensor2("", cpuBias, 0, tuple2(2), tuple2(1))), two, filled(6, 1), filled(2, 7)),
		"a checkpoint with parameters": legacy(dict(text2("epoch"), "K\x09", text2("state_dict"), ordered2(text2("fc.weight"), variable(tensor2("", cpu, 0, tuple2(2, 3), tuple2(3, 1))), text2("fc.bias"), variable(tensor2("", cpuBias, 0, tuple2(2), tuple2(1))))), two, filled(6, 1), filled(2, 7)),
		"PyTorch 0.1": members(t, map[string]string{
			"sys_info": whole(dict(text2("protocol_version"), "M\xe8\x03", text2("little_endian"), "\x88")),
			"pickle":   whole(ordered2(text2("fc.weight"), text2("11")+"Q", text2("fc.bias"), text2("12")+"Q")),
			"tensors": whole("K\x02") + record("K\x0b", "K\x5e", kind) + integers(2, 2, 3, 3, 1, 0) +
				record("K\x0c", "K\x5f", kind) + integers(1, 2, 1, 0),
			"storages": whole("K\x01") + record("K\x5e", text2("cpu"), float) + filled(8, 1) +
				whole(list2("(K\x5fK\x5eK\x06K\x02t")),
		}),
	}
}

func TestFilesOf2017And2018(t *testing.T) {
	for name, data := range oldFiles(t) {
		f, err := weights.Parse(data)
		if !assert.NoError(t, err, name) {
			continue
		}
		require.Len(t, f.Tensors, 2, name)
		w, b := f.Tensors[0], f.Tensors[1]
		assert.Equal(t, []string{"fc.weight", "fc.bias"}, []string{w.Name, b.Name}, name)
		assert.Equal(t, []int64{2, 3}, w.Shape, name)
		assert.Equal(t, []int64{2}, b.Shape, name)
		values, err := w.Values()
		require.NoError(t, err)
		assert.Equal(t, []float32{1, 2, 3, 4, 5, 6}, values, name)
		values, err = b.Values()
		require.NoError(t, err)
		assert.Equal(t, []float32{7, 8}, values, name)
	}
}

// Old files that are cut off or have a byte changed give an error or tensors, and never a panic.
func TestDamagedOldFiles(t *testing.T) {
	for _, whole := range oldFiles(t) {
		for n := range whole {
			readAll(t, whole[:n])
			for _, b := range []byte{0, 0xff, whole[n] ^ 1} {
				damaged := bytes.Clone(whole)
				damaged[n] = b
				readAll(t, damaged)
			}
		}
	}
}

func TestOldFilesThatAreRefused(t *testing.T) {
	six := "K\x06"
	view := func(tuple string) []byte {
		return legacy(ordered2(text2("w"), tensor2("", storage2("torch", "FloatStorage", "94", "cpu", six, tuple), 0, tuple2(1), tuple2(1))), list2(text2("94")), filled(6, 1))
	}
	module := global("torch.nn.modules.linear", "Linear")
	for want, data := range map[string][]byte{
		"lie outside a storage of 6":                                      view("(" + text2("95") + long2(5) + long2(2) + "t"),
		"a view of a storage is malformed":                                view("(" + text2("95") + "t"),
		"is made of something that is no list of pairs":                   legacy(global("collections", "OrderedDict")+"("+list2(text2("w"))+"tR", list2()),
		`holds a whole pickled object ("torch.nn.modules.linear.Linear")`: legacy("("+text2("module")+module+text2("linear.py")+text2("class Linear")+"tQ)R", list2()),
		`is a tar archive without a member "storages"`:                    members(t, map[string]string{"pickle": "x"}),
		"a storage of a type that is not read here":                       members(t, map[string]string{"pickle": "x", "tensors": "x", "storages": whole("K\x01") + whole("(K\x01"+text2("cpu")+global("torch", "OddStorage")+"t")}),
	} {
		_, err := weights.Parse(data)
		assert.ErrorContains(t, err, want)
	}
}
