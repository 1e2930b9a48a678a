package tokenizer

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fixture is what the reference makes of texts; testdata/wordpiece.py wrote it.
type fixture struct {
	Texts          []string
	Uncased, Cased [][]int32
}

func readFixture(t *testing.T) (f fixture) {
	t.Helper()
	b, err := os.ReadFile("testdata/wordpiece.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &f))
	require.Greater(t, len(f.Texts), 400)
	return f
}

func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	return dir
}

func testdata(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	return string(b)
}

// Rows are those of Hugging Face's tokenizers, from either file, with and without upper case.
func TestWordPieceIsTheReferences(t *testing.T) {
	f := readFixture(t)
	for _, c := range []struct {
		name  string
		files map[string]string
		want  [][]int32
	}{
		{"vocab.txt", map[string]string{"vocab.txt": testdata(t, "vocab.txt")}, f.Uncased},
		{"tokenizer.json", map[string]string{"tokenizer.json": testdata(t, "tokenizer.json")}, f.Uncased},
		{"cased", map[string]string{"vocab.txt": testdata(t, "vocab.txt"), "tokenizer_config.json": `{"do_lower_case": false}`}, f.Cased},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, err := OpenWordPiece(folder(t, c.files), WordPieceOptions{})
			require.NoError(t, err)
			for i, text := range f.Texts {
				got, cut := w.Encode(text)
				assert.Equal(t, c.want[i], got, "%q", text)
				assert.False(t, cut)
			}
		})
	}
}

// Google's own test cases, of tokenization_test.py.
func TestWordPieceOfThePublishedExamples(t *testing.T) {
	w, err := ParseVocabulary([]byte("[PAD]\n[UNK]\n[CLS]\n[SEP]\nwant\n##want\n##ed\nwa\nun\nrunn\n##ing\n,\n"))
	require.NoError(t, err)
	for text, want := range map[string][]int32{
		"UNwant\u00E9d,running": {2, 8, 5, 6, 11, 9, 10, 3},
		"unwantedX running":     {2, 1, 9, 10, 3},
		"":                      {2, 3},
	} {
		got, _ := w.Encode(text)
		assert.Equal(t, want, got, "%q", text)
	}
}

func TestWordPieceCutsAtTheModelsLength(t *testing.T) {
	long := strings.Repeat("the quick ", 300)
	for _, c := range []struct {
		files map[string]string
		given int
		max   int
		note  string
	}{
		{map[string]string{"tokenizer.json": testdata(t, "tokenizer.json"), "sentence_bert_config.json": `{"max_seq_length": 256}`,
			"config.json": `{"max_position_embeddings": 512}`, "tokenizer_config.json": `{"model_max_length": 512}`}, 0, 256,
			"tokenizer.json cuts texts off at 16 tokens; they are cut off at 256, as sentence_bert_config.json has it"},
		{map[string]string{"vocab.txt": testdata(t, "vocab.txt"), "tokenizer_config.json": `{"model_max_length": 1000000000000000019884624838656}`,
			"config.json": `{"max_position_embeddings": 128}`}, 0, 128, ""},
		{map[string]string{"vocab.txt": testdata(t, "vocab.txt"), "tokenizer_config.json": `{"model_max_length": 384}`}, 0, 384, ""},
		{map[string]string{"vocab.txt": testdata(t, "vocab.txt")}, 0, 512, ""},
		{map[string]string{"vocab.txt": testdata(t, "vocab.txt")}, 20, 20, ""},
	} {
		w, err := OpenWordPiece(folder(t, c.files), WordPieceOptions{Max: c.given})
		require.NoError(t, err)
		assert.Equal(t, c.max, w.Max())
		tokens, cut := w.Encode(long)
		assert.True(t, cut)
		assert.Len(t, tokens, c.max)
		assert.Equal(t, w.after[0], tokens[len(tokens)-1])
		assert.Equal(t, c.note, strings.Join(w.Notes(), ""))
	}
}

func TestWordPieceRefusesOtherTokenizers(t *testing.T) {
	good := testdata(t, "tokenizer.json")
	for name, c := range map[string]struct{ old, new, message string }{
		"model":     {`"type": "WordPiece"`, `"type": "BPE"`, `of the type "BPE"`},
		"normalise": {"BertNormalizer", "NFKC", "another normalizer"},
		"split":     {"BertPreTokenizer", "Whitespace", "another normalizer or pre_tokenizer"},
		"added":     {`"lstrip": false`, `"lstrip": true`, "lstrip"},
		"end":       {"TemplateProcessing", "RobertaProcessing", "RobertaProcessing"},
		"cut off":   {"\n}", "", "unexpected EOF"},
	} {
		require.Contains(t, good, c.old, name)
		_, err := ParseWordPiece([]byte(strings.Replace(good, c.old, c.new, 1)))
		assert.ErrorContains(t, err, c.message, name)
	}
	for text, message := range map[string]string{
		"[PAD]\n[UNK]\n[CLS]\na\n":          "no [SEP]",
		"[PAD]\n[CLS]\n[SEP]\na\n":          "no [UNK]",
		"[UNK]\n[PAD]\n[CLS]\n[SEP]\n":      "token 0 is not [PAD]",
		"[PAD]\n\n[UNK]\n[CLS]\n[SEP]\na\n": "line 2",
	} {
		_, err := ParseVocabulary([]byte(text))
		assert.ErrorContains(t, err, message, text)
	}
	_, err := OpenWordPiece(t.TempDir(), WordPieceOptions{})
	assert.ErrorContains(t, err, "neither tokenizer.json nor vocab.txt")
	_, err = OpenWordPiece(folder(t, map[string]string{"vocab.txt": testdata(t, "vocab.txt"), "config.json": `{"max_position_embeddings": 64}`}), WordPieceOptions{Max: 65})
	assert.ErrorContains(t, err, "64 positions")
}

// A checksum tells tokenizers apart that make other rows.
func TestWordPieceChecksum(t *testing.T) {
	sum := func(max int, files map[string]string) string {
		w, err := OpenWordPiece(folder(t, files), WordPieceOptions{Max: max})
		require.NoError(t, err)
		return w.Checksum()
	}
	plain := map[string]string{"vocab.txt": testdata(t, "vocab.txt")}
	assert.Equal(t, sum(0, plain), sum(0, plain))
	assert.NotEqual(t, sum(0, plain), sum(20, plain))
	assert.NotEqual(t, sum(0, plain), sum(0, map[string]string{"vocab.txt": plain["vocab.txt"], "tokenizer_config.json": `{"do_lower_case": false}`}))
}

func FuzzWordPiece(f *testing.F) {
	f.Add("I lost my [MASK] card é\u0301 漢字")
	f.Add("\x80\xff[SEP")
	w, err := ParseVocabulary([]byte(testdata(f, "vocab.txt")))
	require.NoError(f, err)
	w.max = 32
	f.Fuzz(func(t *testing.T, text string) {
		tokens, cut := w.Encode(text)
		if len(tokens) < 2 || len(tokens) > w.max || cut && len(tokens) != w.max {
			t.Fatalf("%q: %d tokens, cut %v", text, len(tokens), cut)
		}
		if i := slices.IndexFunc(tokens, func(id int32) bool { return id < 0 || int(id) >= w.Size() }); i >= 0 {
			t.Fatalf("%q: token %d", text, tokens[i])
		}
	})
}

func FuzzWordPieceFile(f *testing.F) {
	f.Add([]byte(`{"model":{"type":"WordPiece","unk_token":"[UNK]","vocab":{"[PAD]":0,"[UNK]":1}},"added_tokens":[{"id":0,"content":"[PAD]"}],"normalizer":{"type":"BertNormalizer"},"pre_tokenizer":{"type":"BertPreTokenizer"}}`))
	f.Add([]byte("[PAD]\n[UNK]\n[CLS]\n[SEP]"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, parse := range []func([]byte) (*WordPiece, error){ParseWordPiece, ParseVocabulary} {
			if w, err := parse(b); err == nil {
				w.max = max(w.max, 20)
				tokens, _ := w.Encode("some text, [PAD]")
				for _, id := range tokens {
					if id < 0 || int(id) >= w.Size() {
						t.Fatalf("token %d of %d", id, w.Size())
					}
				}
			}
		}
	})
}
