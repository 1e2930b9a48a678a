// Package pickle reads the pickles that image data sets are kept in: dicts, lists, texts, numbers and NumPy arrays, written by
// Python 2 or 3 in any protocol from 0 to 5.
//
// A pickle is a program. It is read here as data: of the functions that it can name, only those are known that NumPy's arrays and
// Python's bytes are made of, and everything else is refused. The contents of arrays and texts are slices of the pickle and not
// copies, so that a file can be mapped and need not fit in memory. Package weights reads PyTorch's pickles with a library, which
// copies every text several times; the arrays of an image set are texts of hundreds of megabytes.
package pickle

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
)

// maxOperations bounds the operations of a pickle, and so what a hostile one can make the reader allocate. CIFAR-100 takes some
// 300,000, most of them for file names.
const maxOperations = 8 << 20

// Dict is a dict, with its entries in order.
type Dict struct{ entries []any } // keys and values in turn

// Get returns the value of a key that is a text.
func (d *Dict) Get(key string) (any, bool) {
	for i := 0; i+1 < len(d.entries); i += 2 {
		if text, ok := Text(d.entries[i]); ok && text == key {
			return d.entries[i+1], true
		}
	}
	return nil, false
}

// All calls f for each entry whose key is a text.
func (d *Dict) All(f func(key string, value any)) {
	for i := 0; i+1 < len(d.entries); i += 2 {
		if text, ok := Text(d.entries[i]); ok {
			f(text, d.entries[i+1])
		}
	}
}

// List is a list.
type List struct{ Items []any }

// Tuple is a tuple.
type Tuple []any

// Bytes are bytes, or a text of Python 2, whose encoding only its reader knows.
type Bytes []byte

// Text returns a text of Python 2 or 3, or bytes, as a string.
func Text(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case Bytes:
		return string(v), true
	}
	return "", false
}

// Array is a NumPy array.
type Array struct {
	Type    string // as NumPy names it, with its byte order: "|u1", "<i8"
	Shape   []int
	Fortran bool // the first index varies fastest
	Data    []byte
}

// Ints returns the whole numbers of a list, a tuple or an array of one dimension.
func Ints(v any) ([]int, bool) {
	var items []any
	switch v := v.(type) {
	case *List:
		items = v.Items
	case Tuple:
		items = v
	case *Array:
		if len(v.Shape) != 1 {
			return nil, false
		}
		return v.ints()
	default:
		return nil, false
	}
	out := make([]int, len(items))
	for i, item := range items {
		switch item := item.(type) {
		case int64:
			out[i] = int(item)
		case *Array: // a NumPy scalar
			n, ok := item.ints()
			if !ok || len(n) != 1 {
				return nil, false
			}
			out[i] = n[0]
		default:
			return nil, false
		}
	}
	return out, true
}

func (a *Array) ints() ([]int, bool) {
	if len(a.Type) != 3 {
		return nil, false
	}
	var order binary.ByteOrder = binary.LittleEndian
	if a.Type[0] == '>' {
		order = binary.BigEndian
	}
	width := int(a.Type[2] - '0')
	var read func(b []byte) int
	switch a.Type[1:] {
	case "u1":
		read = func(b []byte) int { return int(b[0]) }
	case "i1":
		read = func(b []byte) int { return int(int8(b[0])) }
	case "u2":
		read = func(b []byte) int { return int(order.Uint16(b)) }
	case "i2":
		read = func(b []byte) int { return int(int16(order.Uint16(b))) }
	case "u4":
		read = func(b []byte) int { return int(order.Uint32(b)) }
	case "i4":
		read = func(b []byte) int { return int(int32(order.Uint32(b))) }
	case "u8", "i8":
		read = func(b []byte) int { return int(order.Uint64(b)) }
	default:
		return nil, false
	}
	out := make([]int, len(a.Data)/width)
	for i := range out {
		out[i] = read(a.Data[i*width:])
	}
	return out, true
}

// Load reads the pickle that data begins with. What it returns is one of nil, bool, int64, float64, string, [Bytes], [Tuple],
// *[List], *[Dict] and *[Array]; parts of it share memory with data.
func Load(data []byte) (value any, err error) {
	m := machine{left: data}
	for range maxOperations {
		done, err := m.step()
		if err != nil {
			return nil, fmt.Errorf("pickle: at byte %d: %w", len(data)-len(m.left), err)
		}
		if done {
			return m.pop(), nil
		}
	}
	return nil, fmt.Errorf("pickle: it has more than %d operations, which no set of images needs", maxOperations)
}

var (
	errCutOff    = errors.New("it is cut off")
	errMalformed = errors.New("it is damaged")
)

// mark is what MARK pushes.
type mark struct{}

// global is a function or class that a pickle names.
type global struct{ module, name string }

// dtype is a type of an array's elements.
type dtype struct{ name string }

type machine struct {
	left  []byte
	stack []any
	memo  map[int]any
}

func (m *machine) take(n uint64) ([]byte, error) {
	if n > uint64(len(m.left)) {
		return nil, errCutOff
	}
	out := m.left[:n:n]
	m.left = m.left[n:]
	return out, nil
}

// number takes a little-endian number of a width.
func (m *machine) number(width uint64) (uint64, error) {
	b, err := m.take(width)
	if err != nil {
		return 0, err
	}
	var all [8]byte
	copy(all[:], b)
	return binary.LittleEndian.Uint64(all[:]), nil
}

// counted takes as many bytes as a number of a width says.
func (m *machine) counted(width uint64) ([]byte, error) {
	n, err := m.number(width)
	if err != nil {
		return nil, err
	}
	return m.take(n)
}

func (m *machine) line() (string, error) {
	n := bytes.IndexByte(m.left, '\n')
	if n < 0 {
		return "", errCutOff
	}
	line := string(m.left[:n])
	m.left = m.left[n+1:]
	return line, nil
}

func (m *machine) push(v any) { m.stack = append(m.stack, v) }

// pop returns nil for an empty stack, which no operation takes for what it needs.
func (m *machine) pop() any {
	if len(m.stack) == 0 {
		return mark{}
	}
	v := m.stack[len(m.stack)-1]
	m.stack = m.stack[:len(m.stack)-1]
	return v
}

// popMark returns what was pushed after the last mark.
func (m *machine) popMark() ([]any, error) {
	for i := len(m.stack) - 1; i >= 0; i-- {
		if _, ok := m.stack[i].(mark); ok {
			items := append([]any(nil), m.stack[i+1:]...)
			m.stack = m.stack[:i]
			return items, nil
		}
	}
	return nil, errMalformed
}

func (m *machine) top() any {
	if len(m.stack) == 0 {
		return nil
	}
	return m.stack[len(m.stack)-1]
}

func (m *machine) remember(at int) error {
	if len(m.stack) == 0 {
		return errMalformed
	}
	if m.memo == nil {
		m.memo = map[int]any{}
	}
	m.memo[at] = m.top()
	return nil
}

func (m *machine) recall(at int) error {
	v, ok := m.memo[at]
	if !ok {
		return errMalformed
	}
	m.push(v)
	return nil
}

// step runs one operation. It reports whether that ends the pickle.
func (m *machine) step() (done bool, err error) {
	op, err := m.take(1)
	if err != nil {
		return false, err
	}
	switch op[0] {
	case '.': // STOP
		if len(m.stack) != 1 {
			return false, errMalformed
		}
		return true, nil
	case 0x80: // PROTO
		_, err = m.take(1)
	case 0x95: // FRAME
		_, err = m.take(8)
	case '(':
		m.push(mark{})
	case '0':
		m.pop()
	case '1': // POP_MARK
		_, err = m.popMark()
	case '2': // DUP
		m.push(m.top())
	case 'N', 0x88, 0x89, 'I', 'L', 'F', 'J', 'K', 'M', 0x8a, 'G':
		err = m.scalar(op[0])
	case 'S', 'V', 'X', 0x8c, 0x8d, 'T', 'U', 'B', 'C', 0x8e, 0x96:
		err = m.text(op[0])
	case ')', 't', 0x85, 0x86, 0x87:
		err = m.tuple(op[0])
	case ']', 'l', 'a', 'e':
		err = m.list(op[0])
	case '}', 'd', 's', 'u':
		err = m.dict(op[0])
	case 'p', 'q', 'r', 0x94, 'g', 'h', 'j':
		err = m.memory(op[0])
	case 'c', 0x93, 'R', 'b', 0x98: // GLOBAL, STACK_GLOBAL, REDUCE, BUILD, READONLY_BUFFER
		err = m.object(op[0])
	default:
		err = fmt.Errorf("it has the operation %#02x, which no dict of arrays, lists and texts needs", op[0])
	}
	return false, err
}

func (m *machine) scalar(op byte) error {
	switch op {
	case 'N':
		m.push(nil)
	case 0x88, 0x89:
		m.push(op == 0x88)
	case 'I', 'L':
		line, err := m.line()
		if err != nil {
			return err
		}
		if op == 'I' && (line == "00" || line == "01") {
			m.push(line == "01")
			return nil
		}
		n, err := strconv.ParseInt(string(bytes.TrimSuffix([]byte(line), []byte("L"))), 10, 64)
		if err != nil {
			return errMalformed
		}
		m.push(n)
	case 'F':
		line, err := m.line()
		if err != nil {
			return err
		}
		v, err := strconv.ParseFloat(line, 64)
		if err != nil {
			return errMalformed
		}
		m.push(v)
	case 'G':
		b, err := m.take(8)
		if err != nil {
			return err
		}
		m.push(math.Float64frombits(binary.BigEndian.Uint64(b)))
	case 0x8a: // LONG1
		b, err := m.counted(1)
		if err != nil {
			return err
		}
		if len(b) > 8 {
			return errors.New("it has a number of more than 64 bits")
		}
		var n uint64
		for i, v := range b {
			n |= uint64(v) << (8 * i)
		}
		if k := len(b); k > 0 && k < 8 && b[k-1] >= 0x80 {
			n |= math.MaxUint64 << (8 * k)
		}
		m.push(int64(n))
	default:
		width := map[byte]uint64{'J': 4, 'K': 1, 'M': 2}[op]
		n, err := m.number(width)
		if err != nil {
			return err
		}
		if op == 'J' {
			n = uint64(int64(int32(uint32(n))))
		}
		m.push(int64(n))
	}
	return nil
}

func (m *machine) text(op byte) error {
	switch op {
	case 'S', 'V':
		line, err := m.line()
		if err != nil {
			return err
		}
		if op == 'V' {
			text, err := rawUnicode(line)
			m.push(text)
			return err
		}
		b, err := quoted(line)
		m.push(b)
		return err
	}
	width := map[byte]uint64{'X': 4, 0x8c: 1, 0x8d: 8, 'T': 4, 'U': 1, 'B': 4, 'C': 1, 0x8e: 8, 0x96: 8}[op]
	b, err := m.counted(width)
	if err != nil {
		return err
	}
	switch op {
	case 'X', 0x8c, 0x8d:
		m.push(string(b))
	default:
		m.push(Bytes(b))
	}
	return nil
}

func (m *machine) tuple(op byte) error {
	if op == 't' {
		items, err := m.popMark()
		m.push(Tuple(items))
		return err
	}
	n := map[byte]int{')': 0, 0x85: 1, 0x86: 2, 0x87: 3}[op]
	if len(m.stack) < n {
		return errMalformed
	}
	at := len(m.stack) - n
	items := append(Tuple(nil), m.stack[at:]...)
	m.stack = append(m.stack[:at], items)
	return nil
}

func (m *machine) list(op byte) (err error) {
	var items []any
	switch op {
	case ']':
		m.push(&List{})
		return nil
	case 'l':
		items, err = m.popMark()
		m.push(&List{items})
		return err
	case 'a':
		items = []any{m.pop()}
	case 'e':
		if items, err = m.popMark(); err != nil {
			return err
		}
	}
	l, ok := m.top().(*List)
	if !ok {
		return errMalformed
	}
	l.Items = append(l.Items, items...)
	return nil
}

func (m *machine) dict(op byte) (err error) {
	var items []any
	switch op {
	case '}':
		m.push(&Dict{})
		return nil
	case 'd':
		items, err = m.popMark()
		m.push(&Dict{items})
		return err
	case 's':
		value := m.pop()
		items = []any{m.pop(), value}
	case 'u':
		if items, err = m.popMark(); err != nil {
			return err
		}
	}
	d, ok := m.top().(*Dict)
	if !ok || len(items)%2 != 0 {
		return errMalformed
	}
	d.entries = append(d.entries, items...)
	return nil
}

func (m *machine) memory(op byte) error {
	switch op {
	case 0x94: // MEMOIZE
		return m.remember(len(m.memo))
	case 'p', 'g':
		line, err := m.line()
		if err != nil {
			return err
		}
		at, err := strconv.Atoi(line)
		if err != nil {
			return errMalformed
		}
		if op == 'p' {
			return m.remember(at)
		}
		return m.recall(at)
	}
	width := map[byte]uint64{'q': 1, 'h': 1, 'r': 4, 'j': 4}[op]
	at, err := m.number(width)
	if err != nil {
		return err
	}
	if op == 'q' || op == 'r' {
		return m.remember(int(at))
	}
	return m.recall(int(at))
}

func (m *machine) object(op byte) error {
	switch op {
	case 0x98: // READONLY_BUFFER changes nothing here
		return nil
	case 'c':
		module, err := m.line()
		if err != nil {
			return err
		}
		name, err := m.line()
		m.push(global{module, name})
		return err
	case 0x93:
		name, ok1 := Text(m.pop())
		module, ok2 := Text(m.pop())
		if !ok1 || !ok2 {
			return errMalformed
		}
		m.push(global{module, name})
		return nil
	}
	argument := m.pop()
	args, ok := argument.(Tuple)
	if op == 'b' {
		return build(m.top(), args)
	}
	f, known := m.pop().(global)
	if !ok || !known {
		return errMalformed
	}
	v, err := call(f, args)
	m.push(v)
	return err
}
