package weights

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"path"
	"slices"

	"github.com/nlpodyssey/gopickle/types"
)

// parseZip reads the format of torch.save since PyTorch 1.6: an archive with the pickle in data.pkl and one file per
// storage.
func parseZip(data []byte) (*File, error) {
	archive, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, fmt.Errorf("is not a whole zip archive: %w", err)
	}
	records := map[string]*zip.File{}
	root := ""
	for _, f := range archive.File {
		if path.Base(f.Name) == "data.pkl" && root == "" {
			root = path.Dir(f.Name)
		}
		records[f.Name] = f
	}
	if root == "" {
		return nil, errors.New("is a zip archive without data.pkl, so not written by torch.save")
	}
	if records[path.Join(root, "constants.pkl")] != nil {
		return nil, errors.New(`holds a TorchScript module, not a state dict; in Python: torch.save(torch.jit.load(FILE).state_dict(), "weights.pt")`)
	}
	taken := 0
	record := func(name string) ([]byte, error) {
		f := records[path.Join(root, name)]
		if f == nil {
			return nil, fmt.Errorf("its record %s is missing", name)
		}
		at, err := f.DataOffset()
		// Compressed records, which torch.save does not write, could claim any size.
		if err != nil || f.Method != zip.Store || at < 0 || at > int64(len(data)) || f.UncompressedSize64 > uint64(int64(len(data))-at) {
			return nil, fmt.Errorf("its record %s is compressed or out of bounds", name)
		}
		out := data[at : at+int64(f.UncompressedSize64)]
		if taken += len(out); taken > len(data) {
			return nil, errors.New("its records overlap")
		}
		if crc32.ChecksumIEEE(out) != f.CRC32 {
			return nil, fmt.Errorf("the checksum of its record %s does not match", name)
		}
		return out, nil
	}
	if order, err := record("byteorder"); err == nil && string(order) != "little" {
		return nil, errors.New("was written on a big-endian machine")
	}
	text, err := record("data.pkl")
	if err != nil {
		return nil, fmt.Errorf("is damaged: %w", err)
	}
	read := map[string][]byte{}
	value, _, err := unpickle(text, func(key string, d dtype, numel int64) (*storage, error) {
		if read[key] == nil {
			if read[key], err = record("data/" + key); err != nil {
				return nil, err
			}
		}
		if have := int64(len(read[key])); numel > have/int64(d.size) {
			return nil, fmt.Errorf("storage %s has %d bytes for %d elements of %s", key, have, numel, d.name)
		}
		return &storage{d, numel, read[key]}, nil
	})
	if err != nil {
		return nil, err
	}
	return fromValue(value)
}

// legacyVersion is the version number of the format before PyTorch 1.6.
const legacyVersion = 1001

// parseLegacy reads the format of torch.save before PyTorch 1.6: pickles of a magic number, a version, the machine,
// the object and the storages' keys, then the storages in the order of their keys, each after its number of elements.
func parseLegacy(data []byte) (*File, error) {
	none := func(string, dtype, int64) (*storage, error) { return nil, errors.New("a storage before the object") }
	version, rest, err := unpickle(data[legacyHead(data):], none)
	if err != nil {
		return nil, err
	}
	if version != legacyVersion {
		return nil, errors.New("has an unknown version of torch.save's format")
	}
	machine, rest, err := unpickle(rest, none)
	if err != nil {
		return nil, err
	}
	if little, ok := value(machine, "little_endian"); ok && little != true {
		return nil, errors.New("was written on a big-endian machine")
	}
	storages := map[string]*storage{}
	object, rest, err := unpickle(rest, func(key string, d dtype, numel int64) (*storage, error) {
		if s := storages[key]; s == nil {
			storages[key] = &storage{dtype: d, numel: numel}
		} else if s.dtype.name != d.name || s.numel != numel {
			return nil, fmt.Errorf("storage %s has two types", key)
		}
		return storages[key], nil
	})
	if err != nil {
		return nil, err
	}
	keys, rest, err := unpickle(rest, none)
	if err != nil {
		return nil, err
	}
	list, ok := keys.(*types.List)
	if !ok {
		return nil, errors.New("is damaged: it does not list its storages")
	}
	for _, k := range *list {
		key, _ := k.(string)
		s := storages[key]
		if s == nil {
			return nil, errors.New("is damaged: it lists a storage that no tensor uses")
		}
		if s.data != nil {
			return nil, fmt.Errorf("is damaged: it lists storage %s twice", key)
		}
		if len(rest) < 8 || binary.LittleEndian.Uint64(rest) != uint64(s.numel) || s.numel > int64(len(rest)-8)/int64(s.dtype.size) {
			return nil, fmt.Errorf("is damaged: storage %s is cut off", key)
		}
		end := 8 + s.numel*int64(s.dtype.size)
		s.data, rest = rest[8:end:end], rest[end:]
	}
	for _, key := range slices.Sorted(maps.Keys(storages)) {
		if storages[key].data == nil {
			return nil, fmt.Errorf("is damaged: storage %s is missing", key)
		}
	}
	return fromValue(object)
}

// legacyHead returns the length of the pickle of the magic number at the start of data, in any protocol from 2 to 5,
// or 0 if there is none.
func legacyHead(data []byte) int {
	const magic = "\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
	if len(data) < 2 || data[0] != 0x80 || data[1] < 2 || data[1] > 5 {
		return 0
	}
	at := 2
	const frame = 9
	if len(data) > at+frame && data[at] == 0x95 { // since protocol 4
		at += frame
	}
	if !bytes.HasPrefix(data[at:], []byte(magic)) {
		return 0
	}
	return at + len(magic)
}

// entry is an entry of a Python dict.
type entry struct{ key, value any }

// entries returns the entries of a Python dict, in order.
func entries(v any) (out []entry, ok bool) {
	switch d := v.(type) {
	case *object:
		return d.items, len(d.items) > 0
	case *types.Dict:
		for _, e := range *d {
			out = append(out, entry{e.Key, e.Value})
		}
		return out, true
	case *types.OrderedDict:
		for e := d.List.Front(); e != nil; e = e.Next() {
			pair := e.Value.(*types.OrderedDictEntry)
			out = append(out, entry{pair.Key, pair.Value})
		}
		return out, true
	}
	return nil, false
}

// value returns the value of a key in a Python dict.
func value(dict any, key string) (any, bool) {
	es, _ := entries(dict)
	for _, e := range es {
		if e.key == key {
			return e.value, true
		}
	}
	return nil, false
}

// stateKeys are the keys under which checkpoints store the state dict, next to the epoch, the optimiser and so on.
var stateKeys = []string{"state_dict", "model_state_dict", "model_state", "model", "network", "net", "weights", "params", "state"}

// Limits for nested dicts, which can contain one another and themselves.
const (
	maxNesting = 8
	maxEntries = 50_000
)

// fromValue finds the state dict in the value of a pickle.
func fromValue(v any) (*File, error) {
	if o, ok := v.(*object); ok && len(o.items) == 0 {
		return nil, fmt.Errorf(`holds a whole pickled object (%q), not a state dict, and would need its Python code to be read; in Python, where that code is: torch.save(torch.load(FILE).state_dict(), "weights.pt")`, o.class.name)
	}
	es, ok := entries(v)
	if !ok {
		return nil, errors.New(`does not hold a state dict, a dict of names and tensors; in Python: torch.save(model.state_dict(), "weights.pt")`)
	}
	f := &File{}
	for range maxNesting {
		i := -1
		for _, key := range stateKeys {
			i = slices.IndexFunc(es, func(e entry) bool {
				if e.key != key {
					return false
				}
				_, tensor := e.value.(*Tensor) // a parameter with that name
				return !tensor
			})
			if i >= 0 {
				break
			}
		}
		if i < 0 {
			break
		}
		_, isDict := entries(es[i].value)
		if o, ok := es[i].value.(*object); ok && !isDict {
			if slices.ContainsFunc(es, func(e entry) bool { _, ok := e.value.(*Tensor); return ok }) {
				break // the parameters are in another entry
			}
			return nil, fmt.Errorf(`holds a whole pickled object (%q) under %q, not a state dict, and would need its Python code to be read; in Python, where that code is: torch.save(torch.load(FILE)[%q].state_dict(), "weights.pt")`, o.class.name, es[i].key, es[i].key)
		}
		inner, ok := entries(es[i].value)
		if !ok {
			break
		}
		var beside []string
		for j, e := range es {
			if key, ok := e.key.(string); ok && j != i {
				beside = append(beside, key)
			}
		}
		note := fmt.Sprintf("the state dict is the file's entry %q", es[i].key)
		if len(beside) > 0 {
			note += fmt.Sprintf("; other entries skipped: %q", beside)
		}
		f.Notes = append(f.Notes, note)
		es = inner
	}
	visits := 0
	if err := f.flatten("", es, 0, &visits); err != nil {
		return nil, err
	}
	return f, nil
}

// flatten adds the tensors of nested dicts under dotted names.
func (f *File) flatten(prefix string, es []entry, depth int, visits *int) error {
	if depth > maxNesting {
		return fmt.Errorf("nests dicts more than %d deep", maxNesting)
	}
	for _, e := range es {
		if *visits++; *visits > maxEntries {
			return fmt.Errorf("holds more than %d entries", maxEntries)
		}
		key, ok := e.key.(string)
		if !ok {
			f.Notes = append(f.Notes, "an entry skipped: its key is not a string")
			continue
		}
		name := prefix + key
		if t, ok := e.value.(*Tensor); ok {
			named := *t // a copy: the tensor may have several names
			named.Name = name
			f.Tensors = append(f.Tensors, &named)
			continue
		}
		if inner, ok := entries(e.value); ok {
			if err := f.flatten(name+".", inner, depth+1, visits); err != nil {
				return err
			}
			continue
		}
		what := "no tensor"
		if o, ok := e.value.(*object); ok {
			what = fmt.Sprintf("of the class %q", o.class.name)
		}
		f.Notes = append(f.Notes, fmt.Sprintf("%q skipped: it is %s", name, what))
	}
	return nil
}
