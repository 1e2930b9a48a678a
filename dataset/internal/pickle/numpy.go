package pickle

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// call makes what the few functions that are known here return.
func call(f global, args Tuple) (any, error) {
	module := strings.Replace(f.module, "numpy._core", "numpy.core", 1) // NumPy 2 renamed it
	switch module + "." + f.name {
	case "_codecs.encode": // how Python 3 writes bytes in protocols 0 to 2
		if len(args) == 2 {
			text, ok1 := args[0].(string)
			code, ok2 := Text(args[1])
			if ok1 && ok2 && code == "latin1" {
				return latin1(text)
			}
		}
	case "__builtin__.bytes", "builtins.bytes": // and empty ones
		if len(args) == 0 {
			return Bytes{}, nil
		}
	case "__builtin__.bytearray", "builtins.bytearray":
		if len(args) == 1 {
			if b, ok := args[0].(Bytes); ok {
				return b, nil
			}
		}
	case "numpy.dtype":
		if len(args) >= 1 {
			if name, ok := Text(args[0]); ok {
				return &dtype{"<" + name}, nil
			}
		}
	case "numpy.core.multiarray._reconstruct": // to be filled by BUILD
		return &Array{}, nil
	case "numpy.core.multiarray.scalar":
		if len(args) == 2 {
			t, ok1 := args[0].(*dtype)
			data, ok2 := args[1].(Bytes)
			if ok1 && ok2 {
				return array(t, nil, false, data)
			}
		}
	case "numpy.core.numeric._frombuffer": // protocol 5
		if len(args) == 4 {
			data, ok1 := args[0].(Bytes)
			t, ok2 := args[1].(*dtype)
			shape, ok3 := Ints(args[2])
			order, ok4 := Text(args[3])
			if ok1 && ok2 && ok3 && ok4 {
				return array(t, shape, order == "F", data)
			}
		}
	default:
		return nil, fmt.Errorf("it calls %s.%s, and only NumPy's arrays are read here: code of a file is never run", f.module, f.name)
	}
	return nil, errMalformed
}

// build sets the state of an array or of a type.
func build(of any, state Tuple) error {
	switch of := of.(type) {
	case *dtype: // (version, byte order, …)
		if len(state) >= 2 {
			if order, ok := Text(state[1]); ok && len(order) == 1 && strings.Contains("<>|=", order) {
				of.name = order + of.name[1:]
				return nil
			}
		}
	case *Array: // (version, shape, type, Fortran, data)
		if len(state) == 5 {
			shape, ok1 := Ints(state[1])
			t, ok2 := state[2].(*dtype)
			fortran, ok3 := state[3].(bool)
			data, ok4 := state[4].(Bytes)
			if _, objects := state[4].(*List); objects {
				return errors.New("an array holds Python objects and not numbers")
			}
			if ok1 && ok2 && ok3 && ok4 {
				a, err := array(t, shape, fortran, data)
				if err == nil {
					*of = *a
				}
				return err
			}
		}
	}
	return errMalformed
}

// array checks that the data are as many as the shape says.
func array(t *dtype, shape []int, fortran bool, data Bytes) (*Array, error) {
	if len(t.name) < 3 {
		return nil, errMalformed
	}
	size, err := strconv.Atoi(t.name[2:])
	if err != nil || size < 1 || size > 16 {
		return nil, fmt.Errorf("an array has elements of the type %q, which is not read here", t.name)
	}
	want := size
	for _, n := range shape {
		if n < 0 || n > 0 && want > len(data)/n { // the product must not overflow
			want = -1
			break
		}
		want *= n
	}
	if want != len(data) {
		return nil, fmt.Errorf("an array of shape %v and type %q has %d bytes", shape, t.name, len(data))
	}
	return &Array{t.name, shape, fortran, data}, nil
}

// latin1 encodes a text in ISO 8859-1.
func latin1(text string) (Bytes, error) {
	out := make(Bytes, 0, utf8.RuneCountInString(text))
	for _, r := range text {
		if r > 255 {
			return nil, errMalformed
		}
		out = append(out, byte(r))
	}
	return out, nil
}

// rawUnicode decodes a text of protocol 0, which Python writes in ISO 8859-1 with the escapes \uXXXX and \UXXXXXXXX.
func rawUnicode(line string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(line); i++ {
		width := 0
		if line[i] == '\\' && i+1 < len(line) {
			width = map[byte]int{'u': 4, 'U': 8}[line[i+1]]
		}
		if width == 0 {
			b.WriteRune(rune(line[i]))
			continue
		}
		if i+2+width > len(line) {
			return "", errMalformed
		}
		r, err := strconv.ParseUint(line[i+2:i+2+width], 16, 32)
		if err != nil {
			return "", errMalformed
		}
		b.WriteRune(rune(r))
		i += 1 + width
	}
	return b.String(), nil
}

// quoted decodes a text of protocol 0 as Python 2 prints it: in quotes, with escapes.
func quoted(line string) (Bytes, error) {
	if len(line) < 2 || line[0] != line[len(line)-1] || line[0] != '\'' && line[0] != '"' {
		return nil, errMalformed
	}
	line = line[1 : len(line)-1]
	out := make(Bytes, 0, len(line))
	for i := 0; i < len(line); i++ {
		if line[i] != '\\' {
			out = append(out, line[i])
			continue
		}
		if i++; i == len(line) {
			return nil, errMalformed
		}
		switch c := line[i]; c {
		case 'n', 't', 'r':
			out = append(out, map[byte]byte{'n': '\n', 't': '\t', 'r': '\r'}[c])
		case '\\', '\'', '"':
			out = append(out, c)
		case 'x':
			if i+3 > len(line) {
				return nil, errMalformed
			}
			v, err := strconv.ParseUint(line[i+1:i+3], 16, 8)
			if err != nil {
				return nil, errMalformed
			}
			out = append(out, byte(v))
			i += 2
		default:
			return nil, errMalformed
		}
	}
	return out, nil
}
