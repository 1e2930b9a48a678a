package weights

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/nlpodyssey/gopickle/types"
)

// isTar tells whether data is a tar archive.
func isTar(data []byte) bool {
	const at, magic = 257, "ustar"
	return len(data) > at+len(magic) && string(data[at:at+len(magic)]) == magic
}

// tarReader collects what the members of a tar archive of torch.save define.
type tarReader struct {
	storages map[int]any // *storage or *storageView
	tensors  map[int]any // *Tensor or *object
}

// parseTar reads the format of torch.save before PyTorch 0.2: a tar archive with members storages, tensors and pickle, in which
// each storage and tensor stands under a number, and the pickle refers to tensors by their numbers.
func parseTar(data []byte) (*File, error) {
	members := map[string][]byte{}
	archive := tar.NewReader(bytes.NewReader(data))
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("is not a whole tar archive: %w", err)
		}
		if h.Size > int64(len(data)) || len(members) > 16 {
			return nil, errors.New("is a tar archive of something else than torch.save's")
		}
		if members[h.Name], err = io.ReadAll(archive); err != nil {
			return nil, fmt.Errorf("is not a whole tar archive: %w", err)
		}
	}
	for _, name := range []string{"storages", "tensors", "pickle"} {
		if members[name] == nil {
			return nil, fmt.Errorf("is a tar archive without a member %q, so not of torch.save", name)
		}
	}
	none := func(any) (any, error) { return nil, errors.New("a reference where there is none") }
	if info := members["sys_info"]; info != nil {
		machine, _, err := unpickleBy(info, none)
		if err != nil {
			return nil, err
		}
		if little, ok := value(machine, "little_endian"); ok && little != true {
			return nil, errors.New("was written on a big-endian machine")
		}
	}
	r := &tarReader{storages: map[int]any{}, tensors: map[int]any{}}
	if err := r.readStorages(members["storages"]); err != nil {
		return nil, fmt.Errorf("is damaged: its storages: %w", err)
	}
	if err := r.readTensors(members["tensors"]); err != nil {
		return nil, fmt.Errorf("is damaged: its tensors: %w", err)
	}
	object, _, err := unpickleBy(members["pickle"], r.refer)
	if err != nil {
		return nil, err
	}
	return fromValue(object)
}

// records reads a pickled number of records and calls each for each record, a pickled tuple; each takes what belongs to the
// record off the bytes that follow it, and returns the rest.
func records(data []byte, each func(record []any, rest []byte) ([]byte, error)) (rest []byte, err error) {
	none := func(any) (any, error) { return nil, errors.New("a reference where there is none") }
	v, rest, err := unpickleBy(data, none)
	if err != nil {
		return nil, err
	}
	n, ok := v.(int)
	if !ok {
		return nil, errors.New("their number is missing")
	}
	for range n {
		if v, rest, err = unpickleBy(rest, none); err != nil {
			return nil, err
		}
		record, _ := sequence(v)
		if len(record) != 3 {
			return nil, errors.New("a record is malformed")
		}
		if rest, err = each(record, rest); err != nil {
			return nil, err
		}
	}
	return rest, nil
}

// take splits n bytes off data.
func take(data []byte, n int64) (head, rest []byte, err error) {
	if n < 0 || n > int64(len(data)) {
		return nil, nil, errors.New("it is cut off")
	}
	return data[:n:n], data[n:], nil
}

// readStorages reads records (number, device, class), each followed by the number of elements and the elements, and then a list
// of views (number, number of the storage, offset, elements).
func (r *tarReader) readStorages(data []byte) error {
	rest, err := records(data, func(record []any, rest []byte) ([]byte, error) {
		key, ok := record[0].(int)
		d, known := record[2].(dtype)
		if !ok || !known { // how long the elements of an unknown type are, nothing says
			return nil, errors.New("a storage of a type that is not read here")
		}
		head, rest, err := take(rest, 8)
		if err != nil {
			return nil, err
		}
		numel := binary.LittleEndian.Uint64(head)
		if numel > uint64(len(rest)/d.size) {
			return nil, errors.New("it is cut off")
		}
		bytes, rest, err := take(rest, int64(numel)*int64(d.size))
		r.storages[key] = &storage{dtype: d, numel: int64(numel), data: bytes}
		return rest, err
	})
	if err != nil {
		return err
	}
	v, _, err := unpickleBy(rest, func(any) (any, error) { return nil, errors.New("a reference where there is none") })
	if err != nil {
		return err
	}
	views, ok := v.(*types.List)
	if !ok {
		return errors.New("the list of views is missing")
	}
	for _, v := range *views {
		view, _ := sequence(v)
		n, ok := ints(view)
		if !ok || len(n) != 4 {
			return errors.New("a view of a storage is malformed")
		}
		root, ok := r.storages[n[1]].(*storage)
		if !ok {
			return errors.New("a view of a storage that is missing")
		}
		if r.storages[n[0]], err = root.part(int64(n[2]), int64(n[3])); err != nil {
			return err
		}
	}
	return nil
}

func ints(values []any) (out []int, ok bool) {
	for _, v := range values {
		n, ok := v.(int)
		if !ok {
			return nil, false
		}
		out = append(out, n)
	}
	return out, true
}

// readTensors reads records (number, number of the storage, class), each followed by the number of dimensions, their sizes, the
// strides and the offset.
func (r *tarReader) readTensors(data []byte) error {
	_, err := records(data, func(record []any, rest []byte) ([]byte, error) {
		key, ok := record[0].(int)
		if !ok {
			return nil, errors.New("a tensor without a number")
		}
		head, rest, err := take(rest, 8)
		if err != nil {
			return nil, err
		}
		rank := int64(int32(binary.LittleEndian.Uint32(head))) // the other four bytes are of no meaning
		if rank < 0 || rank > maxRank {
			return nil, fmt.Errorf("a tensor of %d dimensions", rank)
		}
		body, rest, err := take(rest, 8*(2*rank+1))
		if err != nil {
			return nil, err
		}
		numbers := make([]int64, 2*rank+1)
		for i := range numbers {
			numbers[i] = int64(binary.LittleEndian.Uint64(body[8*i:]))
		}
		shape, strides, offset := numbers[:rank:rank], numbers[rank:2*rank:2*rank], numbers[2*rank]
		var t *Tensor
		id, _ := record[1].(int)
		switch s := r.storages[id].(type) {
		case *storage:
			t, err = s.view(offset, shape, strides)
		case *storageView:
			t, err = s.view(offset, shape, strides)
		default:
			if record[1] != nil {
				return nil, errors.New("a tensor of a storage that is missing")
			}
			r.tensors[key] = &object{class: &class{"torch.Tensor, of no storage"}}
			return rest, nil
		}
		if err != nil {
			return nil, err
		}
		r.tensors[key] = t
		return rest, nil
	})
	return err
}

// refer returns what the pickle means by a reference: the number of a tensor or a storage as text, or a tuple that begins with
// the class of a module.
func (r *tarReader) refer(id any) (any, error) {
	if t, ok := id.(*types.Tuple); ok && t.Len() > 0 {
		return t.Get(0), nil
	}
	text, _ := id.(string)
	key, err := strconv.Atoi(text)
	if err != nil {
		return nil, errors.New("a reference to something that is no tensor")
	}
	if t, ok := r.tensors[key]; ok {
		return t, nil
	}
	if s, ok := r.storages[key]; ok {
		return s, nil
	}
	return nil, errors.New("a reference to a tensor that is missing")
}
