package tokenizer

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// normalizer prepares a text as BERT does before it is split: google-research/bert, tokenization.py, in the form of Hugging Face's
// BertNormalizer, which differs in the order of the last two steps.
type normalizer struct {
	clean   bool // control characters are dropped, and white space becomes spaces
	chinese bool // ideographs are words of their own
	accents bool // accents are dropped
	lower   bool // letters become lower-case
}

// normalize returns the normalised text.
func (n normalizer) normalize(text string) string {
	var b strings.Builder
	b.Grow(len(text))
	for _, r := range text {
		switch {
		case n.clean && (r == 0 || r == unicode.ReplacementChar || control(r)):
		case n.clean && space(r):
			b.WriteByte(' ')
		case n.chinese && ideograph(r):
			b.WriteByte(' ')
			b.WriteRune(r)
			b.WriteByte(' ')
		default:
			b.WriteRune(r)
		}
	}
	text = b.String()
	if n.accents {
		b.Reset()
		for _, r := range norm.NFD.String(text) {
			if !unicode.Is(unicode.Mn, r) {
				b.WriteRune(r)
			}
		}
		text = b.String()
	}
	if n.lower {
		text = lower(text)
	}
	return text
}

// lower returns a text in lower case, letter by letter: a final sigma is not told from others, and the dotted capital I becomes an
// i with a dot above, of which Go's tables leave the dot out.
func lower(text string) string {
	var b strings.Builder
	b.Grow(len(text))
	for _, r := range text {
		if r == 'İ' {
			b.WriteString("i\u0307")
		} else {
			b.WriteRune(unicode.ToLower(r))
		}
	}
	return b.String()
}

// words calls yield for each word of a normalised text: what is between white space and punctuation, and each punctuation mark. It
// stops where yield returns false.
func words(text string, yield func(word string) bool) {
	start := -1 // of the word that is open
	for i, r := range text {
		split, mark := space(r), punctuation(r)
		if !split && !mark {
			if start < 0 {
				start = i
			}
			continue
		}
		if start >= 0 && !yield(text[start:i]) {
			return
		}
		if start = -1; mark && !yield(string(r)) {
			return
		}
	}
	if start >= 0 {
		yield(text[start:])
	}
}

// space reports white space: the property White_Space, and control characters that act so.
func space(r rune) bool { return unicode.Is(unicode.White_Space, r) }

// control reports the categories Cc, Cf, Co and Cs, but for tab, newline and carriage return.
func control(r rune) bool {
	return r != '\t' && r != '\n' && r != '\r' && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs)
}

// punctuation reports the categories P and all of ASCII's marks, such as $, + and ^.
func punctuation(r rune) bool {
	if r <= unicode.MaxASCII {
		return r > ' ' && r < unicode.MaxASCII && !(r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z')
	}
	return unicode.Is(unicode.P, r)
}

// ideograph reports the blocks of Chinese ideographs, as Hugging Face's tokenizers have them.
func ideograph(r rune) bool {
	for _, b := range [...][2]rune{
		{0x4E00, 0x9FFF}, {0x3400, 0x4DBF}, {0xF900, 0xFAFF}, {0x20000, 0x2A6DF}, {0x2A700, 0x2B73F}, {0x2B740, 0x2B81F},
		{0x2B920, 0x2CEAF}, {0x2F800, 0x2FA1F}, // Google's file begins the last but one at 2B820
	} {
		if r >= b[0] && r <= b[1] {
			return true
		}
	}
	return false
}
