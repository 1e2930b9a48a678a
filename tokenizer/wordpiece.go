package tokenizer

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// WordPieceOptions are the settings of [OpenWordPiece]. Zero values leave everything to the files.
type WordPieceOptions struct {
	// Max is the most tokens of a row, with those that mark its ends. 0 stands for max_seq_length of sentence_bert_config.json, else
	// model_max_length of tokenizer_config.json, else max_position_embeddings of config.json, and never more than the latter; 512
	// where no file tells.
	Max int
}

// Limits of a tokenizer's files.
const (
	maxFileBytes = 64 << 20
	maxPieces    = 1 << 20
	maxTokens    = 1 << 16
	// wordLimit is the most characters of a word in Hugging Face's tokenizers; longer ones are unknown.
	wordLimit = 100
	// usualMax is BERT's number of positions.
	usualMax = 512
)

// WordPiece splits words into the longest pieces of its vocabulary: Wu et al. 2016, section 4.1, as in BERT (Devlin et al. 2018).
// Its rows are those of Hugging Face's tokenizers, [CLS] text [SEP].
type WordPiece struct {
	normalizer
	pieces        map[string]int32
	continuing    string // what pieces after the first of a word begin with
	unknown       int32
	limit         int              // characters of a word
	special       []string         // recognised in a text before anything else, the longest first
	specials      map[string]int32 // their tokens
	before, after []int32          // a row's first and last tokens
	size, max     int
	declared      int // the truncation of tokenizer.json, which is not followed; 0 for none
	sum           string
	notes         []string
}

// OpenWordPiece reads a tokenizer from a model's folder, or from its file tokenizer.json or vocab.txt. In a folder tokenizer.json
// comes before vocab.txt. Truncation and padding of tokenizer.json are ignored: the most tokens of a row are as [WordPieceOptions]
// says. Tokenizers of other kinds than WordPiece are an error.
func OpenWordPiece(path string, o WordPieceOptions) (*WordPiece, error) {
	w, err := openWordPiece(path, o)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %s: %w", path, err)
	}
	return w, nil
}

func openWordPiece(path string, o WordPieceOptions) (*WordPiece, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	dir, main := path, ""
	if !info.IsDir() {
		dir, main = filepath.Dir(path), filepath.Base(path)
	}
	sum := sha256.New()
	read := func(name string) ([]byte, error) {
		b, err := readFile(filepath.Join(dir, name))
		if err == nil {
			fmt.Fprintf(sum, "%s %d\n", name, len(b))
			sum.Write(b)
		}
		return b, err
	}
	var b []byte
	if main != "" {
		b, err = read(main)
	} else if b, err = read("tokenizer.json"); errors.Is(err, fs.ErrNotExist) {
		b, err = read("vocab.txt")
		main = "vocab.txt"
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, errors.New("it has neither tokenizer.json nor vocab.txt: give the folder of a BERT model as its owners publish it")
	case err != nil:
		return nil, err
	}
	var s settings
	for name, into := range map[string]any{"tokenizer_config.json": &s.tokenizer, "sentence_bert_config.json": &s.sentence, "config.json": &s.model} {
		text, err := readFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = json.Unmarshal(text, into)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	var w *WordPiece
	if strings.HasSuffix(main, ".txt") {
		w, err = ParseVocabulary(b)
		if err == nil {
			s.apply(w)
		}
	} else {
		w, err = ParseWordPiece(b)
	}
	if err != nil {
		return nil, err
	}
	if err := w.bound(o.Max, &s); err != nil {
		return nil, err
	}
	fmt.Fprintf(sum, "%+v %v %d\n", w.normalizer, w.before, w.max)
	w.sum = fmt.Sprintf("%x", sum.Sum(nil))
	return w, nil
}

// settings are what the files beside a vocabulary say.
type settings struct {
	tokenizer struct {
		Lower   *bool    `json:"do_lower_case"`
		Accents *bool    `json:"strip_accents"`
		Chinese *bool    `json:"tokenize_chinese_chars"`
		Max     *float64 `json:"model_max_length"` // 1e30 in some files
	}
	sentence struct {
		Max int `json:"max_seq_length"`
	}
	model struct {
		Positions int `json:"max_position_embeddings"`
	}
}

// apply sets what vocab.txt does not say.
func (s *settings) apply(w *WordPiece) {
	if v := s.tokenizer.Lower; v != nil {
		w.lower, w.accents = *v, *v
	}
	if v := s.tokenizer.Accents; v != nil {
		w.accents = *v
	}
	if v := s.tokenizer.Chinese; v != nil {
		w.chinese = *v
	}
}

// bound sets the most tokens of a row.
func (w *WordPiece) bound(given int, s *settings) error {
	from := "BERT's number of positions"
	switch v := s.tokenizer.Max; {
	case given > 0:
		w.max, from = given, "the configuration"
	case s.sentence.Max > 0:
		w.max, from = s.sentence.Max, "sentence_bert_config.json"
	case v != nil && *v >= 1 && *v <= maxTokens:
		w.max, from = int(*v), "tokenizer_config.json"
	case s.model.Positions > 0:
		w.max, from = s.model.Positions, "config.json"
	}
	if p := s.model.Positions; p > 0 && w.max > p {
		if given > 0 {
			return fmt.Errorf("rows of %d tokens, and the model has %d positions: use at most as many", given, p)
		}
		w.max, from = p, "config.json"
	}
	if least := len(w.before) + len(w.after) + 1; w.max < least || w.max > maxTokens {
		return fmt.Errorf("rows of %d tokens: use %d to %d", w.max, least, maxTokens)
	}
	if w.declared > 0 && w.declared != w.max {
		w.notes = append(w.notes, fmt.Sprintf("tokenizer.json cuts texts off at %d tokens; they are cut off at %d, as %s has it", w.declared, w.max, from))
	}
	return nil
}

func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFileBytes {
		return nil, fmt.Errorf("%s must be a regular file of at most %d bytes", path, maxFileBytes)
	}
	return os.ReadFile(path)
}

// ParseVocabulary reads the vocabulary of vocab.txt: a piece a line, whose number, from 0, is its token. The tokenizer is that of an
// uncased BERT.
func ParseVocabulary(text []byte) (*WordPiece, error) {
	pieces := map[string]int32{}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if len(lines) > maxPieces {
		return nil, fmt.Errorf("the vocabulary has more than %d pieces", maxPieces)
	}
	for i, line := range lines {
		line = strings.TrimSuffix(line, "\r")
		if line == "" || !utf8.ValidString(line) {
			return nil, fmt.Errorf("line %d of the vocabulary is empty or no UTF-8: it must hold a piece", i+1)
		}
		pieces[line] = int32(i) // of a piece that is there twice, the last counts, as in the reference
	}
	w := &WordPiece{
		normalizer: normalizer{clean: true, chinese: true, accents: true, lower: true},
		pieces:     pieces, continuing: "##", limit: wordLimit, specials: map[string]int32{}, size: len(lines), max: usualMax,
	}
	for _, name := range []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"} {
		if id, ok := pieces[name]; ok {
			w.specials[name] = id
		}
	}
	for _, end := range []struct {
		name string
		to   *[]int32
	}{{"[CLS]", &w.before}, {"[SEP]", &w.after}} {
		id, ok := pieces[end.name]
		if !ok {
			return nil, fmt.Errorf("the vocabulary has no %s", end.name)
		}
		*end.to = []int32{id}
	}
	return w, w.finish("[UNK]")
}

// finish completes a tokenizer with a vocabulary.
func (w *WordPiece) finish(unknown string) error {
	id, ok := w.pieces[unknown]
	if !ok {
		return fmt.Errorf("the vocabulary has no %s, which unknown words become", unknown)
	}
	w.unknown = id
	if pad, ok := w.specials["[PAD]"]; !ok || pad != 0 {
		return errors.New("the vocabulary's token 0 is not [PAD], which rows are padded with")
	}
	for s := range w.specials {
		w.special = append(w.special, s)
	}
	slices.SortFunc(w.special, func(a, b string) int { // the longest first, since it is the one that counts
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	return nil
}

// file is what of tokenizer.json matters.
type file struct {
	Truncation *struct {
		Max int `json:"max_length"`
	} `json:"truncation"`
	Added []struct {
		ID         int32  `json:"id"`
		Content    string `json:"content"`
		SingleWord bool   `json:"single_word"`
		Left       bool   `json:"lstrip"`
		Right      bool   `json:"rstrip"`
		Normalized bool   `json:"normalized"`
	} `json:"added_tokens"`
	Normalizer *struct {
		Type    string `json:"type"`
		Clean   *bool  `json:"clean_text"`
		Chinese *bool  `json:"handle_chinese_chars"`
		Accents *bool  `json:"strip_accents"`
		Lower   *bool  `json:"lowercase"`
	} `json:"normalizer"`
	PreTokenizer *struct {
		Type string `json:"type"`
	} `json:"pre_tokenizer"`
	PostProcessor *struct {
		Type   string `json:"type"`
		Single []struct {
			SpecialToken *struct {
				ID string `json:"id"`
			} `json:"SpecialToken"`
			Sequence *struct {
				ID string `json:"id"`
			} `json:"Sequence"`
		} `json:"single"`
		Sep []any `json:"sep"` // of the type BertProcessing
		Cls []any `json:"cls"`
	} `json:"post_processor"`
	Model struct {
		Type       string           `json:"type"`
		Unknown    string           `json:"unk_token"`
		Continuing *string          `json:"continuing_subword_prefix"`
		Limit      int              `json:"max_input_chars_per_word"`
		Vocabulary map[string]int32 `json:"vocab"`
	} `json:"model"`
}

// ParseWordPiece reads a tokenizer.json of the family of BERT. What it says otherwise is an error: text is never cut into other
// tokens than the model was trained on.
func ParseWordPiece(text []byte) (*WordPiece, error) {
	var f file
	d := json.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(&f); err != nil {
		return nil, fmt.Errorf("tokenizer.json: %w", err)
	}
	m := f.Model
	if m.Type != "WordPiece" && !(m.Type == "" && m.Unknown != "" && m.Continuing != nil) {
		return nil, fmt.Errorf("tokenizer.json is of the type %q: only WordPiece, which BERT, DistilBERT and MiniLM have, can be read", m.Type)
	}
	if f.Normalizer == nil || f.Normalizer.Type != "BertNormalizer" || f.PreTokenizer == nil || f.PreTokenizer.Type != "BertPreTokenizer" {
		return nil, errors.New("tokenizer.json has another normalizer or pre_tokenizer than BERT's, which alone can be read")
	}
	if len(m.Vocabulary) > maxPieces {
		return nil, fmt.Errorf("the vocabulary has more than %d pieces", maxPieces)
	}
	on := func(v *bool, otherwise bool) bool {
		if v != nil {
			return *v
		}
		return otherwise
	}
	n := normalizer{clean: on(f.Normalizer.Clean, true), chinese: on(f.Normalizer.Chinese, true), lower: on(f.Normalizer.Lower, true)}
	n.accents = on(f.Normalizer.Accents, n.lower)
	w := &WordPiece{normalizer: n, pieces: m.Vocabulary, continuing: "##", limit: wordLimit, specials: map[string]int32{}, max: usualMax}
	if m.Continuing != nil {
		w.continuing = *m.Continuing
	}
	if m.Limit > 0 {
		w.limit = m.Limit
	}
	if f.Truncation != nil {
		w.declared = f.Truncation.Max
	}
	for piece, id := range m.Vocabulary {
		if id < 0 || int(id) >= maxPieces {
			return nil, fmt.Errorf("the piece %q has the token %d", piece, id)
		}
		w.size = max(w.size, int(id)+1)
	}
	for _, a := range f.Added {
		if a.Content == "" || a.ID < 0 || int(a.ID) >= maxPieces {
			return nil, fmt.Errorf("added_tokens has %q with the token %d", a.Content, a.ID)
		}
		if a.SingleWord || a.Left || a.Right || a.Normalized {
			return nil, fmt.Errorf("the added token %q has single_word, lstrip, rstrip or normalized, which are not supported", a.Content)
		}
		w.specials[a.Content] = a.ID
		w.size = max(w.size, int(a.ID)+1)
	}
	if err := w.finish(m.Unknown); err != nil {
		return nil, err
	}
	return w, w.ends(&f)
}

// ends reads the first and the last tokens of a row.
func (w *WordPiece) ends(f *file) error {
	p := f.PostProcessor
	token := func(name string) (int32, error) {
		if id, ok := w.specials[name]; ok {
			return id, nil
		}
		if id, ok := w.pieces[name]; ok {
			return id, nil
		}
		return 0, fmt.Errorf("post_processor names %q, which is no token", name)
	}
	switch {
	case p == nil:
		return nil
	case p.Type == "BertProcessing":
		for _, end := range []struct {
			of []any
			to *[]int32
		}{{p.Cls, &w.before}, {p.Sep, &w.after}} {
			if len(end.of) == 0 {
				return errors.New("post_processor lacks sep or cls")
			}
			name, _ := end.of[0].(string)
			id, err := token(name)
			if err != nil {
				return err
			}
			*end.to = []int32{id}
		}
		return nil
	case p.Type == "TemplateProcessing":
		to, texts := &w.before, 0
		for _, part := range p.Single {
			switch {
			case part.Sequence != nil:
				texts++
				to = &w.after
			case part.SpecialToken != nil:
				id, err := token(part.SpecialToken.ID)
				if err != nil {
					return err
				}
				*to = append(*to, id)
			}
		}
		if texts != 1 || len(w.before)+len(w.after) > 16 {
			return errors.New("post_processor must have the text once, between a few tokens")
		}
		return nil
	}
	return fmt.Errorf("post_processor is of the type %q: only TemplateProcessing and BertProcessing can be read", p.Type)
}

// Encode implements [Tokenizer].
func (w *WordPiece) Encode(text string) (tokens []int32, cut bool) {
	room := w.max - len(w.before) - len(w.after)
	tokens = append(tokens, w.before...)
	most := len(tokens) + room
	for len(text) > 0 && len(tokens) <= most {
		at, found := w.nextSpecial(text)
		plain := text[:at]
		words(w.normalize(plain), func(word string) bool {
			tokens = w.word(tokens, word)
			return len(tokens) <= most
		})
		if text = text[at:]; found != "" {
			tokens, text = append(tokens, w.specials[found]), text[len(found):]
		}
	}
	if cut = len(tokens) > most; cut {
		tokens = tokens[:most]
	}
	if tokens = append(tokens, w.after...); len(tokens) == 0 {
		tokens = append(tokens, w.unknown)
	}
	return tokens, cut
}

// nextSpecial finds the first special token that a text holds; its length and "" where there is none.
func (w *WordPiece) nextSpecial(text string) (at int, found string) {
	at = len(text)
	for _, s := range w.special {
		if i := strings.Index(text[:min(len(text), at+len(s))], s); i >= 0 && i < at {
			at, found = i, s
		}
	}
	return at, found
}

// word appends the pieces of a word.
func (w *WordPiece) word(tokens []int32, word string) []int32 {
	if utf8.RuneCountInString(word) > w.limit {
		return append(tokens, w.unknown)
	}
	first := len(tokens)
	for start := 0; start < len(word); {
		end, id := len(word), int32(-1)
		for ; end > start; end-- {
			if !utf8.RuneStart(byteAt(word, end)) {
				continue
			}
			piece := word[start:end]
			if start > 0 {
				piece = w.continuing + piece
			}
			if known, ok := w.pieces[piece]; ok {
				id = known
				break
			}
		}
		if id < 0 {
			return append(tokens[:first], w.unknown)
		}
		tokens, start = append(tokens, id), end
	}
	return tokens
}

// byteAt is a byte of a word, and one that begins a character at its end.
func byteAt(word string, i int) byte {
	if i == len(word) {
		return 0
	}
	return word[i]
}

// Size implements [Tokenizer].
func (w *WordPiece) Size() int { return w.size }

// Max implements [Tokenizer].
func (w *WordPiece) Max() int { return w.max }

// Unknown implements [Tokenizer].
func (w *WordPiece) Unknown() int32 { return w.unknown }

// Describe implements [Tokenizer].
func (w *WordPiece) Describe() string {
	cased := "cased"
	if w.lower {
		cased = "lower-case"
	}
	return fmt.Sprintf("WordPiece, %s, %d pieces, at most %d tokens", cased, w.size, w.max)
}

// Checksum is the SHA-256, in hexadecimal, of the tokenizer's file and of what the others say about it.
func (w *WordPiece) Checksum() string { return w.sum }

// Notes says what of the files was not followed, and why.
func (w *WordPiece) Notes() []string { return w.notes }

var _ Tokenizer = (*WordPiece)(nil)
