package schema

import (
	"math"
	"math/big"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// form is the syntactic form of a node. It is determined here, not by the YAML library, whose rules mix YAML 1.1 and
// 1.2 (010 is eight, 1e400 a text).
type form int

const (
	formText form = iota
	formNumber
	formBool
	formNull  // null or ~, written out
	formEmpty // nothing after the colon
	formList
	formMapping
	formOther
)

func formOf(n *yaml.Node) form {
	switch n.Kind {
	case yaml.SequenceNode:
		return formList
	case yaml.MappingNode:
		return formMapping
	case yaml.ScalarNode:
		if n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
			return formText
		}
		return plainForm(n.Value)
	}
	return formOther
}

func plainForm(s string) form {
	switch s {
	case "":
		return formEmpty
	case "null", "Null", "NULL", "~":
		return formNull
	case "true", "True", "TRUE", "false", "False", "FALSE":
		return formBool
	}
	if _, ok := special(s); ok {
		return formNumber
	}
	if _, ok := scanNumber(s); ok {
		return formNumber
	}
	return formText
}

// describe describes the node, for "got ...".
func describe(n *yaml.Node) string {
	switch formOf(n) {
	case formText:
		return "the text " + quote(n.Value)
	case formNumber:
		return "the number " + clip(n.Value, 60)
	case formBool, formNull:
		return n.Value
	case formEmpty:
		return "nothing"
	case formList:
		return "a list"
	case formMapping:
		return "a mapping"
	}
	return "an alias"
}

// special parses YAML's names of non-finite floats.
func special(s string) (float64, bool) {
	t, sign := s, 1
	if strings.HasPrefix(t, "+") || strings.HasPrefix(t, "-") {
		if t[0] == '-' {
			sign = -1
		}
		t = t[1:]
	}
	switch t {
	case ".inf", ".Inf", ".INF":
		return math.Inf(sign), true
	case ".nan", ".NaN", ".NAN":
		return math.NaN(), t == s
	}
	return 0, false
}

// number is the text of a number without underscores.
type number struct {
	text    string
	based   bool // 0x, 0o, 0b
	integer bool // neither point nor exponent
}

// scanNumber parses [+-] digits [. digits] [e [+-] digits], or 0x, 0o, 0b and digits, with single underscores allowed
// between digits.
func scanNumber(s string) (number, bool) {
	i := 0
	var b strings.Builder
	sign := func() {
		if i < len(s) && (s[i] == '+' || s[i] == '-') {
			b.WriteByte(s[i])
			i++
		}
	}
	digits := func(isDigit func(byte) bool) (n int, ok bool) {
		for ; i < len(s); i++ {
			if s[i] == '_' {
				if n == 0 || s[i-1] == '_' || i+1 >= len(s) || !isDigit(s[i+1]) {
					return n, false
				}
				continue
			}
			if !isDigit(s[i]) {
				break
			}
			b.WriteByte(s[i])
			n++
		}
		return n, true
	}
	sign()
	if i+1 < len(s) && s[i] == '0' && strings.IndexByte("xob", s[i+1]) >= 0 {
		base := s[i+1]
		b.WriteString(s[i : i+2])
		i += 2
		n, ok := digits(func(c byte) bool {
			switch base {
			case 'x':
				return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
			case 'o':
				return c >= '0' && c <= '7'
			}
			return c == '0' || c == '1'
		})
		return number{text: b.String(), based: true, integer: true}, ok && n > 0 && i == len(s)
	}
	decimal := func(c byte) bool { return c >= '0' && c <= '9' }
	integer := true
	whole, ok := digits(decimal)
	if !ok {
		return number{}, false
	}
	part := 0
	if i < len(s) && s[i] == '.' {
		integer = false
		b.WriteByte('.')
		i++
		if part, ok = digits(decimal); !ok {
			return number{}, false
		}
	}
	if whole+part == 0 {
		return number{}, false
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		integer = false
		b.WriteByte('e')
		i++
		sign()
		if n, ok := digits(decimal); !ok || n == 0 {
			return number{}, false
		}
	}
	return number{text: b.String(), integer: integer}, i == len(s)
}

// leadingZero reports numbers such as 010, which YAML 1.1 reads as eight.
func (n number) leadingZero() bool {
	t := strings.TrimLeft(n.text, "+-")
	return n.integer && !n.based && len(t) > 1 && t[0] == '0'
}

// toInt returns the integer if the number is exactly one; huge reports a magnitude too large to compute, without a
// value.
func (n number) toInt() (value *big.Int, exact, huge bool) {
	if n.based {
		v, ok := new(big.Int).SetString(n.text, 0)
		return v, ok, false
	}
	mantissa, exponent, _ := strings.Cut(n.text, "e")
	if strings.Trim(mantissa, "+-0.") == "" {
		return new(big.Int), true, false
	}
	if len(mantissa) > 400 {
		return nil, false, n.integer // longer than any representable number
	}
	if exponent != "" {
		e, err := strconv.Atoi(exponent)
		if err != nil || e > 800 || e < -800 {
			return nil, false, !strings.HasPrefix(exponent, "-")
		}
	}
	r, ok := new(big.Rat).SetString(n.text)
	if !ok || !r.IsInt() {
		return nil, false, false
	}
	return r.Num(), true, false
}

// toFloat returns the nearest float of that many bits, or in bad a message.
func (n number) toFloat(bits int) (f float64, bad string) {
	if n.based {
		v, ok := new(big.Int).SetString(n.text, 0)
		if !ok {
			return 0, "is not a number"
		}
		f, _ = new(big.Float).SetInt(v).Float64()
		if bits == 32 {
			f = float64(float32(f))
		}
	} else {
		var err error
		if f, err = strconv.ParseFloat(n.text, bits); err != nil && !math.IsInf(f, 0) {
			return 0, "is not a number"
		}
	}
	mantissa, _, _ := strings.Cut(n.text, "e")
	switch {
	case math.IsInf(f, 0):
		return f, "is too large for a " + strconv.Itoa(bits) + "-bit number"
	case f == 0 && !n.based && strings.Trim(mantissa, "+-0.") != "":
		return f, "is too small for a " + strconv.Itoa(bits) + "-bit number"
	}
	return f, ""
}
