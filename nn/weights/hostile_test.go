package weights_test

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/nn/weights"
)

// Pickles, written operation by operation.

func global(module, name string) string { return "c" + module + "\n" + name + "\n" }

func text(s string) string {
	return "X" + string(binary.LittleEndian.AppendUint32(nil, uint32(len(s)))) + s
}

func number(n int64) string {
	return "\x8a\x08" + string(binary.LittleEndian.AppendUint64(nil, uint64(n)))
}

func numbers(ns ...int64) string {
	var out []string
	for _, n := range ns {
		out = append(out, number(n))
	}
	return tuple(out...)
}

func tuple(items ...string) string { return "(" + strings.Join(items, "") + "t" }

func dict(items ...string) string { return "}(" + strings.Join(items, "") + "u" }

func storageOf(class, key string, numel int64) string {
	return tuple(text("storage"), global("torch", class), text(key), text("cpu"), number(numel)) + "Q"
}

func tensorOf(storage string, offset int64, shape, strides string) string {
	return global("torch._utils", "_rebuild_tensor_v2") + tuple(storage, number(offset), shape, strides, "\x89", "N") + "R"
}

func whole(ops string) string { return "\x80\x02" + ops + "." }

// archive returns a file in torch.save's zip format, with one storage of four float32, called 0.
func archive(pickle string) []byte { return archiveWith(pickle, zip.Store, make([]byte, 16)) }

func archiveWith(pickle string, method uint16, storage []byte) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, data := range map[string][]byte{"archive/data.pkl": []byte(pickle), "archive/data/0": storage} {
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: method})
		if err == nil {
			_, err = w.Write(data)
		}
		if err != nil {
			panic(err)
		}
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// legacy returns a file in torch.save's old format.
func legacy(object, keys string, storages ...string) []byte {
	return []byte(whole("\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19") + whole("M\xe9\x03") + whole(dict(text("little_endian"), "\x88")) +
		whole(object) + whole(keys) + strings.Join(storages, ""))
}

func stored(numel int64) string {
	return string(binary.LittleEndian.AppendUint64(nil, uint64(numel))) + strings.Repeat("\x00", int(min(numel, 4))*4)
}

// hostile returns malformed files by the message that refuses them.
func hostile() map[string][]string {
	four := storageOf("FloatStorage", "0", 4)
	one := func(offset int64, shape, strides string) string {
		return string(archive(whole(dict(text("w"), tensorOf(four, offset, shape, strides)))))
	}
	object := func(ops string) string { return string(archive(whole(ops))) }
	nested := "}q\x00" // each dict holds the previous one thirty times
	for i := range 7 {
		nested += "0}("
		for key := range 30 {
			nested += text(string(rune('a'+key))) + "h" + string(rune(i))
		}
		nested += "uq" + string(rune(i+1))
	}
	w := dict(text("w"), tensorOf(four, 0, numbers(4), numbers(1)))
	list := func(keys ...string) string {
		out := "](" // an empty list and the appended items
		for _, k := range keys {
			out += text(k)
		}
		return out + "e"
	}
	return map[string][]string{
		"lies outside its storage of 4 elements": {
			one(0, numbers(1<<40, 1<<40), numbers(1<<40, 1)), one(0, numbers(5), numbers(1)), one(0, numbers(2, 2), numbers(1<<62, 1<<62)),
			one(0, numbers(2), numbers(-1)), one(3, numbers(2), numbers(-3)), one(0, numbers(-1), numbers(1)), one(-1, numbers(2), numbers(1)),
			one(1<<62, numbers(2), numbers(1)), one(4, numbers(), numbers()), one(2, numbers(2, 2), numbers(2, 1)), one(5, numbers(0), numbers(1)),
		},
		"repeats its storage of 4 elements": {one(0, numbers(1<<40), numbers(0)), one(0, numbers(1<<32, 1<<32), numbers(0, 0)), one(0, numbers(2, 3), numbers(1, 1))},
		"2 dimensions has 1 strides":        {one(0, numbers(2, 2), numbers(1))},
		"a tensor is malformed":             {one(0, number(4), numbers(1)), one(0, numbers(make([]int64, 17)...), numbers(make([]int64, 17)...))},
		"has 16 bytes for": {
			object(dict(text("w"), tensorOf(storageOf("FloatStorage", "0", 1<<47), 0, numbers(1<<47), numbers(1)))),
			object(dict(text("w"), tensorOf(storageOf("DoubleStorage", "0", 3), 0, numbers(3), numbers(1)))),
		},
		"a reference to a storage is malformed": {
			object(storageOf("FloatStorage", "0", -1)), object(storageOf("FloatStorage", "0", 1<<62)),
			object(tuple(text("storage"), global("torch", "FloatStorage"), "N", text("cpu"), "K\x04") + "Q"),
		},
		"a storage of an unsupported type":              {object(tuple(text("storage"), "N", text("0"), text("cpu"), number(4)) + "Q")},
		"a reference to something other than a storage": {object("NQ"), object(tuple() + "Q"), object(tuple(text("module"), "N", "N", "N", "N") + "Q")},
		"its record data/1 is missing":                  {object(storageOf("FloatStorage", "1", 4))},
		"its pickle is cut off": {
			object("X\xff\xff\xff\xff"), object("\x8c"), object("C\xffa"), object("cos\nsystem"), object("J\x00"), string(archive("")), string(archive("\x80")),
			object("T\xff\xff\xff\x7f"), object("\x96\x00\x00\x00\x00\x00\x00\x00\x10"), object("B\xff\xff\xff\x7fabc"),
		},
		"a frame of its pickle is cut off": {object("\x95\xff\xff\xff\xff\xff\xff\xff\x3f"), object("\x95\x40\x00\x00\x00\x00\x00\x00\x00")},
		"which torch.save does not write for tensors": {
			object("\xff"), object("Pabc\n"), object("(ios\nsystem\n"), object("L1\n"), object("\x8b\xff\xff\xff\x7f"), object("\x8e\xff\xff\xff\xff\xff\xff\xff\x7f"),
			object("\x8d\xff\xff\xff\xff\xff\xff\xff\x7f"), object("\x82\x00"), object("2"),
		},
		"its pickle is malformed": {
			object(global("collections", "OrderedDict") + ")R(C\x01aNu"), // bytes as a key
			object("}(K\x01u"),        // a key without a value
			object("\x8f(C\x01a\x90"), // bytes in a set
		},
		"its pickle: ":                                 {object("R"), object("u"), object("t"), object("b"), object("h\x07R"), object("NNR"), object("N)R"), object("]](" + "Nu"), object("Q")},
		"nests dicts more than 8 deep":                 {object("}q\x00(" + text("a") + "h\x00u")},
		"holds more than 50000 entries":                {object(nested)},
		"has a pickle of more than 2097152 operations": {object(strings.Repeat("N0", 2<<20))},
		"not a state dict": {
			object(global("os", "system") + tuple(text("touch hacked")) + "R"),
			object(global("builtins", "eval") + tuple(text("1")) + "R"),
			object(global("torch.nn", "Linear") + ")\x81}b"),
		},
		"holds no tensors":                              {object("}"), object(dict(text("a"), "K\x01"))},
		"does not hold a state dict":                    {object("N"), object("K\x01"), object("]"), object(tuple("N"))},
		`whose name "\x1b[2J" is not printable`:         {object(dict(text("\x1b[2J"), tensorOf(four, 0, numbers(4), numbers(1))))},
		"is compressed or out of bounds":                {string(archiveWith(whole(w), zip.Deflate, make([]byte, 1<<20)))},
		"is a zip archive without data.pkl":             {string(bytes.ReplaceAll(archive(whole(w)), []byte("data.pkl"), []byte("dato.pkl")))},
		"checksum of its record data/0 does not match":  {string(flipped(archiveWith(whole(w), zip.Store, []byte("\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07"))))},
		"it lists a storage that no tensor uses":        {string(legacy(w, list("1"), stored(4)))},
		"lists storage 0 twice":                         {string(legacy(w, list("0", "0"), stored(4), stored(4)))},
		"storage 0 is missing":                          {string(legacy(w, list()))},
		"storage 0 is cut off":                          {string(legacy(w, list("0"))), string(legacy(w, list("0"), stored(5))), string(legacy(w, list("0"), stored(4)[:23]))},
		"it does not list its storages":                 {string(legacy(w, "N"))},
		"has an unknown version of torch.save's format": {"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19." + whole("K\x01")},
		"was written on a big-endian machine":           {"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19." + whole("M\xe9\x03") + whole(dict(text("little_endian"), "\x89"))},
		"storage 0 has two types":                       {string(legacy(four+"0"+storageOf("LongStorage", "0", 4), list("0"), stored(4)))},
		"is not a whole safetensors file":               {"\x02\x00\x00\x00\x00\x00\x00\x00{", "\xff\xff\xff\xff\xff\xff\xff\x7f{}"},
		"is neither a file of torch.save nor":           {"", "PK", "x"},
	}
}

// flipped changes a byte of the storage of sevens.
func flipped(data []byte) []byte {
	data[bytes.Index(data, []byte("\x07\x07\x07\x07"))] = 8
	return data
}

func TestHostileFiles(t *testing.T) {
	t.Chdir(t.TempDir())
	for want, files := range hostile() {
		for i, file := range files {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := weights.Parse([]byte(file))
			runtime.ReadMemStats(&after)
			if assert.Error(t, err, "%s, %d", want, i) {
				assert.ErrorContains(t, err, want, "%d", i)
			}
			assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(64<<20), "%s, %d: memory taken", want, i)
		}
	}
	assert.NoFileExists(t, "hacked")
}

// The same files are valid without the lies.
func TestHonestFilesOfTheSameMaking(t *testing.T) {
	w := dict(text("w"), tensorOf(storageOf("FloatStorage", "0", 4), 0, numbers(2, 2), numbers(2, 1)))
	for _, file := range [][]byte{archive(whole(w)), legacy(w, "]("+text("0")+"e", stored(4))} {
		f, err := weights.Parse(file)
		require.NoError(t, err)
		require.Len(t, f.Tensors, 1)
		v, err := f.Tensors[0].Values()
		require.NoError(t, err)
		assert.Equal(t, make([]float32, 4), v)
	}
}

// A file that is truncated or has any byte changed yields an error or tensors, never a panic.
func TestDamagedFiles(t *testing.T) {
	for _, name := range []string{"kinds.pt", "kinds-legacy.pt"} {
		whole, err := os.ReadFile(filepath.Join("testdata", name))
		require.NoError(t, err)
		for n := range whole {
			_, err := weights.Parse(whole[:n])
			assert.Error(t, err, "%s cut off after %d bytes", name, n)
			for _, b := range []byte{0xff, whole[n] ^ 1} {
				damaged := slices.Clone(whole)
				damaged[n] = b
				readAll(t, damaged)
			}
		}
	}
}

// readAll reads a file and all its tensors, ignoring errors.
func readAll(t *testing.T, data []byte) {
	f, err := weights.Parse(data)
	if err != nil {
		return
	}
	for _, w := range f.Tensors {
		n := int64(1)
		for _, d := range w.Shape {
			n *= d
		}
		if v, err := w.Values(); err == nil && int64(len(v)) != n {
			t.Errorf("%s %v has %d values", w.Name, w.Shape, len(v))
		}
	}
}

func FuzzParse(f *testing.F) {
	paths, err := filepath.Glob("testdata/*.pt")
	require.NoError(f, err)
	require.NotEmpty(f, paths)
	for _, path := range paths {
		data, err := os.ReadFile(path)
		require.NoError(f, err)
		f.Add(data)
	}
	for _, files := range hostile() {
		for _, file := range files {
			if len(file) < 1<<16 {
				f.Add([]byte(file))
			}
		}
	}
	for _, file := range oldFiles(f) {
		f.Add(file)
	}
	f.Fuzz(readAll)
}

// FuzzPickle skips the archive, whose checksums stop most inputs of FuzzParse.
func FuzzPickle(f *testing.F) {
	w := dict(text("w"), tensorOf(storageOf("FloatStorage", "0", 4), 0, numbers(2, 2), numbers(2, 1)))
	f.Add([]byte(whole(w)))
	f.Add([]byte(whole(dict(text("state_dict"), w, text("epoch"), "K\x03"))))
	f.Add([]byte(whole(global("script", "Dict") + ")}\x92(" + text("w") + w + "u")))
	f.Add([]byte(whole(global("torch._tensor", "_rebuild_from_type_v2") + tuple(global("torch._utils", "_rebuild_tensor_v2"), "N", tuple("N"), "N") + "R")))
	f.Add([]byte(whole(global("collections", "OrderedDict") + ")Rq\x00(" + text("w") + "Nu}b")))
	f.Fuzz(func(t *testing.T, pickle []byte) { readAll(t, archive(string(pickle))) })
}

func FuzzReadMap(f *testing.F) {
	f.Add([]byte("names:\n  a: b\nignore: [c]\n"))
	f.Add([]byte("source: {file: x}\nnames: &a {b: *a}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "map.yaml")
		require.NoError(t, os.WriteFile(path, text, 0o644))
		if m, err := weights.ReadMap(path); err == nil {
			require.NoError(t, weights.WriteRecord(path, nil, m))
			again, err := weights.ReadMap(path)
			require.NoError(t, err)
			assert.True(t, maps.Equal(m.Names, again.Names), "%q: %v became %v", text, m.Names, again.Names)
			assert.True(t, slices.Equal(m.Ignore, again.Ignore), "%q: %v became %v", text, m.Ignore, again.Ignore)
		}
	})
}
