package schema

import (
	"encoding"
	"math"
	"math/big"
	"reflect"
	"strconv"
	"strings"
)

func (d *decoder) textUnmarshaler(c cursor, v reflect.Value) {
	switch formOf(c.node) {
	case formText, formNumber, formBool:
	default:
		d.mismatch(c, "text", "")
		return
	}
	e := reflect.New(v.Type())
	e.Elem().Set(v)
	u, ok := e.Interface().(encoding.TextUnmarshaler)
	if !ok {
		return
	}
	if err := u.UnmarshalText([]byte(c.node.Value)); err != nil {
		d.failErr(c, err, "%s", err)
		return
	}
	v.Set(e.Elem())
}

// wanted describes a scalar type for messages.
func wanted(t reflect.Type) string {
	switch {
	case readsText(t) || t.Kind() == reflect.String:
		return "text"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.Float32 || t.Kind() == reflect.Float64:
		return "a number"
	case t.Kind() == reflect.Slice:
		return "a list"
	case t.Kind() == reflect.Map || t.Kind() == reflect.Struct:
		return "a mapping"
	}
	return "an integer"
}

func (d *decoder) scalar(c cursor, v reflect.Value, r rule) {
	form, want := formOf(c.node), wanted(v.Type())
	switch {
	case form == formEmpty && v.Kind() == reflect.String && d.doc.notes[c.node].over != nil:
		v.SetString("") // --set name=
	case form == formEmpty || form == formNull:
		d.mismatch(c, want, "remove the key for the default")
	case form == formList || form == formMapping || form == formOther:
		d.mismatch(c, want, "")
	case v.Kind() == reflect.String:
		// Only the command line may omit quotes.
		if form != formText && d.doc.notes[c.node].over == nil {
			d.mismatch(c, want, "put it in quotes: "+strconv.Quote(clip(c.node.Value, 40)))
			return
		}
		v.SetString(c.node.Value)
	case v.Kind() == reflect.Bool:
		switch {
		case form == formBool:
			v.SetBool(strings.EqualFold(c.node.Value, "true"))
		case form == formText:
			d.mismatch(c, want, boolMend(c.node.Value))
		default:
			d.mismatch(c, want, "")
		}
	case form != formNumber:
		mend := ""
		if form == formText && plainForm(c.node.Value) == formNumber {
			mend = "remove the quotes"
		}
		d.mismatch(c, want, mend)
	case v.CanFloat():
		d.float(c, v)
	default:
		d.integer(c, v)
	}
}

func boolMend(s string) string {
	switch strings.ToLower(s) {
	case "yes", "on", "y", "true":
		return "write true"
	case "no", "off", "n", "false":
		return "write false"
	}
	return ""
}

func isFinite(f float64) bool { return !math.IsInf(f, 0) && !math.IsNaN(f) }

func (d *decoder) float(c cursor, v reflect.Value) {
	if f, ok := special(c.node.Value); ok {
		v.SetFloat(f) // the rule decides whether it is allowed
		return
	}
	n, _ := scanNumber(c.node.Value)
	if d.zeroLed(c, n) {
		return
	}
	f, bad := n.toFloat(v.Type().Bits())
	if bad != "" {
		d.fail(c, "%s %s", clip(c.node.Value, 60), bad)
		return
	}
	v.SetFloat(f)
}

func (d *decoder) zeroLed(c cursor, n number) bool {
	if !n.leadingZero() {
		return false
	}
	t := n.text
	sign := t[:len(t)-len(strings.TrimLeft(t, "+-"))]
	digits := strings.TrimLeft(t[len(sign):], "0")
	if digits == "" {
		digits = "0"
	}
	d.fail(c, "a number must not start with 0, got %s (write %s)", clip(c.node.Value, 60), clip(sign+digits, 60))
	return true
}

func (d *decoder) integer(c cursor, v reflect.Value) {
	n, ok := scanNumber(c.node.Value)
	if !ok { // .inf, .nan
		d.mismatch(c, "an integer", "")
		return
	}
	if d.zeroLed(c, n) {
		return
	}
	value, exact, huge := n.toInt()
	if !exact && !huge {
		d.mismatch(c, "an integer", "")
		return
	}
	lo, hi := limits(v)
	switch {
	case value == nil && strings.HasPrefix(n.text, "-") || value != nil && value.Cmp(lo) < 0:
		d.fail(c, "must be at least %s, got %s", lo, clip(c.node.Value, 60))
	case value == nil || value.Cmp(hi) > 0:
		d.fail(c, "must be at most %s, got %s", hi, clip(c.node.Value, 60))
	case v.CanInt():
		v.SetInt(value.Int64())
	default:
		v.SetUint(value.Uint64())
	}
}

// limits returns the range of the integer type.
func limits(v reflect.Value) (lo, hi *big.Int) {
	bits := uint(v.Type().Bits())
	one := big.NewInt(1)
	if v.CanUint() {
		return new(big.Int), new(big.Int).Sub(new(big.Int).Lsh(one, bits), one)
	}
	half := new(big.Int).Lsh(one, bits-1)
	return new(big.Int).Neg(half), new(big.Int).Sub(half, one)
}
