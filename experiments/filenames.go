package experiments

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// MarshalJSON writes names of files and classes that are not UTF-8 so that they can be told apart and found again: a byte that is
// no text becomes the code \udcXX, as in Python, whose os.fsencode gives the byte back.
func (p Prediction) MarshalJSON() ([]byte, error) {
	type class struct {
		Class       fileName `json:"class"`
		Probability float64  `json:"probability"`
	}
	all := make([]class, len(p.Probabilities))
	for i, c := range p.Probabilities {
		all[i] = class{fileName(c.Class), c.Probability}
	}
	return json.Marshal(struct {
		File          fileName `json:"file,omitempty"`
		Text          string   `json:"text,omitempty"`
		Class         fileName `json:"class"`
		Probability   float64  `json:"probability"`
		Probabilities []class  `json:"probabilities"`
	}{fileName(p.File), p.Text, fileName(p.Class), p.Probability, all})
}

// fileName is a text of any bytes.
type fileName string

// MarshalJSON implements json.Marshaler.
func (n fileName) MarshalJSON() ([]byte, error) {
	var b strings.Builder
	b.WriteByte('"')
	for rest := string(n); rest != ""; {
		if r, size := utf8.DecodeRuneInString(rest); r == utf8.RuneError && size == 1 {
			fmt.Fprintf(&b, `\udc%02x`, rest[0])
			rest = rest[1:]
			continue
		}
		end := strings.IndexFunc(rest, func(r rune) bool { return r == utf8.RuneError })
		if end <= 0 { // no such rune, or U+FFFD itself, which is text
			end = len(rest)
			if strings.HasPrefix(rest, "\uFFFD") {
				end = len("\uFFFD")
			}
		}
		text, err := json.Marshal(rest[:end])
		if err != nil {
			return nil, err
		}
		b.Write(text[1 : len(text)-1])
		rest = rest[end:]
	}
	b.WriteByte('"')
	return []byte(b.String()), nil
}
