package weights

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/nlpodyssey/gopickle/pickle"
	"github.com/nlpodyssey/gopickle/types"
)

// maxOperations limits the operations of a pickle. A tensor takes about 50, an element of a list one. Each operation
// of a hostile file can allocate about 200 bytes; operands are limited by the size of the file.
const maxOperations = 2 << 20

// Operands of variable size.
const (
	counted1 = -1 // a length of one byte, then as many bytes
	counted4 = -4 // a length of four bytes, then as many bytes
	counted8 = -8
	twoLines = -2
)

// operations are the operations that Python writes for data in protocols 2 to 5, which torch.save uses, with the
// sizes of their operands. Others are refused: their operands may have any size, or refer to something outside the
// file.
var operations = map[byte]int{
	0x80: 1, 0x95: 8, '.': 0, // protocol, frame, stop
	'N': 0, 0x88: 0, 0x89: 0, 'J': 4, 'K': 1, 'M': 2, 0x8a: counted1, 'G': 8, // None, booleans, integers, floats
	'X': counted4, 0x8c: counted1, 'T': counted4, 'U': counted1, 'B': counted4, 'C': counted1, 0x96: counted8, // texts and bytes
	'(': 0, ')': 0, 't': 0, 0x85: 0, 0x86: 0, 0x87: 0, // mark, tuples
	']': 0, 'a': 0, 'e': 0, '}': 0, 's': 0, 'u': 0, 0x8f: 0, 0x90: 0, 0x91: 0, // lists, dicts, sets
	'q': 1, 'r': 4, 0x94: 0, 'h': 1, 'j': 4, '0': 0, // the memo, pop
	'c': twoLines, 0x93: 0, 'R': 0, 'b': 0, 0x81: 0, 0x92: 0, 'Q': 0, // classes, calls, states, references
}

const stop = '.'

// scan returns the pickle at the start of data. It guarantees to the reader that every operation is known and no operand
// is longer than the file. Two things that Python 2 writes are replaced, by as many bytes, because the reader does not know
// them: an OrderedDict made of a list of pairs, and a long integer of no bytes, which is zero.
func scan(data []byte) ([]byte, error) {
	left := data
	edits := map[int]string{}
	take := func(n uint64) ([]byte, error) {
		if n > uint64(len(left)) {
			return nil, errors.New("is damaged: its pickle is cut off")
		}
		out := left[:n]
		left = left[n:]
		return out, nil
	}
	for count := 0; ; count++ {
		if count == maxOperations {
			return nil, fmt.Errorf("has a pickle of more than %d operations, more than a state dict needs", maxOperations)
		}
		op, err := take(1)
		if err != nil {
			return nil, err
		}
		begin := len(data) - len(left) - 1
		operand, ok := operations[op[0]]
		if !ok {
			return nil, fmt.Errorf("has the operation %#02x in its pickle, which torch.save does not write for tensors", op[0])
		}
		switch operand {
		case counted1, counted4, counted8:
			var size [8]byte
			n, err := take(uint64(-operand))
			if err != nil {
				return nil, err
			}
			copy(size[:], n)
			if _, err = take(binary.LittleEndian.Uint64(size[:])); err != nil {
				return nil, err
			}
			if op[0] == 0x8a && n[0] == 0 {
				edits[begin] = "K\x00"
			}
		case twoLines:
			for range 2 {
				line := bytes.IndexByte(left, '\n')
				if line < 0 {
					line = len(left)
				}
				if _, err = take(uint64(line) + 1); err != nil {
					return nil, err
				}
			}
			if bytes.HasPrefix(data[begin+1:], []byte("collections\nOrderedDict\n")) {
				edits[begin+1] = ownCollections
			}
		default:
			n, err := take(uint64(operand))
			if err != nil {
				return nil, err
			}
			if op[0] == 0x95 && binary.LittleEndian.Uint64(n) > uint64(len(left)) {
				return nil, errors.New("is damaged: a frame of its pickle is cut off")
			}
		}
		if op[0] == stop {
			out := bytes.Clone(data[:len(data)-len(left)])
			for at, text := range edits {
				copy(out[at:], text)
			}
			return out, nil
		}
	}
}

// ownCollections stands for the module collections, whose OrderedDict the reader makes without arguments only.
const ownCollections = "collection_"

// unpickle reads the pickle at the start of data and returns its value and the bytes after it. load returns the
// storages.
func unpickle(data []byte, load func(key string, d dtype, numel int64) (*storage, error)) (value any, rest []byte, err error) {
	return unpickleBy(data, func(id any) (any, error) { return persistent(id, load) })
}

// unpickleBy is unpickle for references of any form.
func unpickleBy(data []byte, persistent func(id any) (any, error)) (value any, rest []byte, err error) {
	text, err := scan(data)
	if err != nil {
		return nil, nil, err
	}
	// The reader panics if a file uses a value of the wrong type, such as a list as a key.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("is damaged: its pickle is malformed (%v)", r)
		}
	}()
	u := pickle.NewUnpickler(bytes.NewReader(text))
	u.FindClass = findClass
	u.PersistentLoad = persistent
	value, err = u.Load()
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("it is cut off")
	}
	if err != nil {
		return nil, nil, fmt.Errorf("is damaged: its pickle: %w", err)
	}
	return value, data[len(text):], nil
}

// findClass returns PyTorch's functions that make tensors, and a class without behaviour for any other name.
func findClass(module, name string) (any, error) {
	switch module {
	case "torch", "torch.cuda":
		if d, ok := dtypes[name]; ok {
			return d, nil
		}
		if name == "Size" {
			return callable(sizeOf), nil
		}
	case ownCollections:
		if name == "OrderedDict" {
			return orderedDict{}, nil
		}
	case "torch.autograd.variable", "torch.nn.parameter":
		if name == "Variable" || name == "Parameter" {
			return variable{}, nil
		}
	case "torch._utils":
		switch name {
		case "_rebuild_tensor", "_rebuild_tensor_v2":
			return callable(rebuildTensor), nil
		case "_rebuild_parameter":
			return callable(rebuildParameter), nil
		case "_rebuild_parameter_with_state":
			return callable(rebuildParameter), nil
		}
	case "torch._tensor":
		if name == "_rebuild_from_type_v2" {
			return callable(rebuildSubclass), nil
		}
	}
	return &class{module + "." + name}, nil
}

// orderedDict is collections.OrderedDict.
type orderedDict struct{}

// Call implements types.Callable. Python 2 gives the entries as a list of pairs.
func (orderedDict) Call(args ...any) (any, error) {
	out := types.NewOrderedDict()
	if len(args) == 0 {
		return out, nil
	}
	pairs, ok := sequence(args[0])
	if !ok || len(args) > 1 {
		return nil, errors.New("an OrderedDict is made of something that is no list of pairs")
	}
	for _, p := range pairs {
		pair, ok := sequence(p)
		if !ok || len(pair) != 2 {
			return nil, errors.New("an OrderedDict is made of something that is no list of pairs")
		}
		out.Set(pair[0], pair[1])
	}
	return out, nil
}

// PyNew implements types.PyNewable.
func (d orderedDict) PyNew(args ...any) (any, error) { return d.Call(args...) }

// sequence returns the elements of a list or a tuple.
func sequence(v any) ([]any, bool) {
	switch s := v.(type) {
	case *types.List:
		return *s, true
	case *types.Tuple:
		return *s, true
	}
	return nil, false
}

// variable is the class of what wrapped a tensor before PyTorch 0.4.
type variable struct{}

// Call implements types.Callable: the first argument is the tensor.
func (variable) Call(args ...any) (any, error) {
	if len(args) > 0 {
		if t, ok := args[0].(*Tensor); ok {
			return t, nil
		}
	}
	return &object{class: &class{"torch.autograd.Variable"}}, nil
}

// PyNew implements types.PyNewable.
func (v variable) PyNew(args ...any) (any, error) { return v.Call(args...) }

// sizeOf is torch.Size(tuple).
func sizeOf(args []any) (any, error) {
	if len(args) != 1 {
		return nil, errors.New("a size is malformed")
	}
	return args[0], nil
}

// callable is a function that a pickle can call.
type callable func(args []any) (any, error)

// Call implements types.Callable.
func (f callable) Call(args ...any) (any, error) { return f(args) }

// class is an unknown class. Its objects keep nothing.
type class struct{ name string }

// object is an object of an unknown class. It keeps the items of a subclass of dict.
type object struct {
	class *class
	items []entry
}

// Call implements types.Callable.
func (c *class) Call(...any) (any, error) { return &object{class: c}, nil }

// PyNew implements types.PyNewable.
func (c *class) PyNew(...any) (any, error) { return &object{class: c}, nil }

// PySetState implements types.PyStateSettable.
func (o *object) PySetState(any) error { return nil }

// Set implements types.DictSetter.
func (o *object) Set(key, value any) { o.items = append(o.items, entry{key, value}) }

// Call implements types.Callable, for methods and partial functions that a pickle calls.
func (o *object) Call(...any) (any, error) { return &object{class: o.class}, nil }

// Append implements types.ListAppender.
func (o *object) Append(any) {}

// Add implements types.SetAdder.
func (o *object) Add(any) {}

// storageView is a part of a storage, which old versions of PyTorch gave a name of its own.
type storageView struct {
	root          *storage
	offset, numel int64
}

// persistent reads a reference to a storage: ("storage", class, key, device, elements) and, before PyTorch 1.6, None or a view
// (key, offset, elements). One to a module, ("module", class, file, source), is its class.
func persistent(id any, load func(string, dtype, int64) (*storage, error)) (any, error) {
	t, ok := id.(*types.Tuple)
	if ok && t.Len() == 4 && t.Get(0) == "module" {
		return t.Get(1), nil
	}
	if !ok || t.Len() < 5 || t.Get(0) != "storage" {
		return nil, errors.New("a reference to something other than a storage")
	}
	d, ok1 := t.Get(1).(dtype)
	if c, unknown := t.Get(1).(*class); unknown {
		return &object{class: c}, nil // and so are its tensors
	}
	key, ok2 := t.Get(2).(string)
	numel, ok3 := t.Get(4).(int)
	if !ok1 {
		return nil, errors.New("a storage of an unsupported type")
	}
	if !ok2 || !ok3 || numel < 0 || numel > 1<<48 {
		return nil, errors.New("a reference to a storage is malformed")
	}
	s, err := load(key, d, int64(numel))
	if err != nil || t.Len() == 5 || t.Get(5) == nil {
		return s, err
	}
	view, ok := t.Get(5).(*types.Tuple)
	if !ok || view.Len() != 3 {
		return nil, errors.New("a view of a storage is malformed")
	}
	offset, ok1 := view.Get(1).(int)
	part, ok2 := view.Get(2).(int)
	if !ok1 || !ok2 {
		return nil, errors.New("a view of a storage is malformed")
	}
	return s.part(int64(offset), int64(part))
}

// part returns a part of a storage.
func (s *storage) part(offset, numel int64) (*storageView, error) {
	if offset < 0 || numel < 0 || offset > s.numel || numel > s.numel-offset {
		return nil, fmt.Errorf("%d elements from %d on lie outside a storage of %d", numel, offset, s.numel)
	}
	return &storageView{s, offset, numel}, nil
}

// rebuildTensor is torch._utils._rebuild_tensor_v2(storage, offset, size, stride, …), and _rebuild_tensor, of PyTorch before
// 0.4, with the first four arguments.
func rebuildTensor(args []any) (any, error) {
	if len(args) < 4 {
		return nil, errors.New("a tensor is malformed")
	}
	if o, ok := args[0].(*object); ok {
		return o, nil
	}
	s, ok1 := args[0].(*storage)
	part, isPart := args[0].(*storageView)
	offset, ok2 := args[1].(int)
	shape, ok3 := integers(args[2])
	strides, ok4 := integers(args[3])
	if !ok1 && !isPart || !ok2 || !ok3 || !ok4 {
		return nil, errors.New("a tensor is malformed")
	}
	if isPart {
		return part.view(int64(offset), shape, strides)
	}
	return s.view(int64(offset), shape, strides)
}

// view makes a tensor of a part of a storage.
func (p *storageView) view(offset int64, shape, strides []int64) (*Tensor, error) {
	t, err := (&storage{dtype: p.root.dtype, numel: p.numel}).view(offset, shape, strides)
	if err != nil {
		return nil, err
	}
	t.storage, t.offset = p.root, p.offset+offset
	return t, nil
}

// rebuildParameter is torch._utils._rebuild_parameter(data, requires_grad, hooks).
func rebuildParameter(args []any) (any, error) {
	if len(args) == 0 {
		return nil, errors.New("a parameter is malformed")
	}
	return args[0], nil
}

// rebuildSubclass is torch._tensor._rebuild_from_type_v2(function, type, args, state): a tensor of a subclass.
func rebuildSubclass(args []any) (any, error) {
	if len(args) >= 3 {
		f, ok1 := args[0].(callable)
		inner, ok2 := args[2].(*types.Tuple)
		if ok1 && ok2 {
			return f.Call(*inner...)
		}
	}
	return &object{class: &class{"torch.Tensor"}}, nil
}

// PySetState implements types.PyStateSettable. It ignores the attributes of a tensor.
func (t *Tensor) PySetState(any) error { return nil }

// integers reads a tuple of integers.
func integers(v any) ([]int64, bool) {
	t, ok := v.(*types.Tuple)
	if !ok || t.Len() > maxRank {
		return nil, false
	}
	out := make([]int64, t.Len())
	for i := range out {
		n, ok := t.Get(i).(int)
		if !ok {
			return nil, false
		}
		out[i] = int64(n)
	}
	return out, true
}
