package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"slices"
	"strings"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tokenizer"
)

// AutoTokenizer is the kind of a tokenizer that the encoder chooses.
const AutoTokenizer = "auto"

// Tokenizer is a planned tokenizer.
type Tokenizer struct {
	// Fixed is a tokenizer that needs no training texts; nil for one with a vocabulary of its own.
	Fixed tokenizer.Tokenizer
	// Build makes one from training texts, and Restore from what Bytes of the built one returned.
	Build   func(train iter.Seq[string]) (tokenizer.Tokenizer, error)
	Restore func(state []byte) (tokenizer.Tokenizer, error)
}

// wordsConfig is the configuration of a vocabulary of words.
type wordsConfig struct {
	Max   int `yaml:"max_length" min:"1" max:"4096" doc:"words of a text; what follows is cut off"`
	Most  int `yaml:"max_words" min:"0" doc:"of the vocabulary, the most frequent ones; 0 for no bound"`
	Least int `yaml:"min_count" min:"1" doc:"how often a word must occur in the training texts to be in the vocabulary"`
}

func (c *wordsConfig) plan() (Tokenizer, error) {
	return Tokenizer{
		Build: func(train iter.Seq[string]) (tokenizer.Tokenizer, error) {
			return tokenizer.BuildWords(train, tokenizer.WordsOptions{Max: c.Max, Most: c.Most, Least: c.Least})
		},
		Restore: func(state []byte) (tokenizer.Tokenizer, error) { return tokenizer.ParseWords(state, c.Max) },
	}, nil
}

type hashedConfig struct {
	Max     int `yaml:"max_length" min:"1" max:"4096" doc:"words of a text; what follows is cut off"`
	Buckets int `yaml:"buckets" min:"16" max:"1048574" doc:"tokens that words are shared out among"`
}

func (c *hashedConfig) plan() (Tokenizer, error) {
	t, err := tokenizer.NewHashed(c.Buckets, c.Max)
	return Tokenizer{Fixed: t}, err
}

type wordPieceConfig struct {
	Path   string `yaml:"path" required:"true" minlen:"1" doc:"folder of a BERT model, or its tokenizer.json or vocab.txt"`
	Max    int    `yaml:"max_length" min:"0" max:"4096" doc:"tokens of a text, with those that mark its ends; 0 leaves it to the folder"`
	SHA256 string `yaml:"sha256" doc:"of the tokenizer's files; filled in where it is left out, so that a run continues with those that it began with"`
}

func (c *wordPieceConfig) plan() (Tokenizer, error) {
	t, err := tokenizer.OpenWordPiece(c.Path, tokenizer.WordPieceOptions{Max: c.Max})
	switch {
	case err != nil:
		return Tokenizer{}, schema.At("path", fmt.Errorf("%w; a relative path begins at the working directory", err))
	case c.SHA256 == "":
		c.SHA256 = t.Checksum()
	case c.SHA256 != t.Checksum():
		return Tokenizer{}, schema.At("path", fmt.Errorf("%s has the SHA-256 %s and not %s: it is another tokenizer than the run began with; put that one back, or leave out sha256", c.Path, t.Checksum(), c.SHA256))
	}
	return Tokenizer{Fixed: t}, nil
}

func tokenizers() []Part[Tokenizer] {
	words := wordsConfig{Max: 128, Least: 1}
	return []Part[Tokenizer]{
		{AutoTokenizer, "that of the encoder, where its weights know one; else words", "", Config(words, (*wordsConfig).plan)},
		{kindWords, "the words of the training texts, without case and accents; one token for all others", "", Config(words, (*wordsConfig).plan)},
		{"hashed", "words numbered by a hash, also those of no training text", "Weinberger et al. 2009", Config(hashedConfig{128, 1 << 14}, (*hashedConfig).plan)},
		{"wordpiece", "the pieces of words of a BERT model's vocabulary", "Devlin et al. 2018", Config(wordPieceConfig{}, (*wordPieceConfig).plan)},
	}
}

// PlanTokenizer plans how the texts of a data set become tokens for an encoder: by the encoder's own tokenizer if it has one, and
// otherwise by that of the file. No other place decides this.
func (p *Parts) PlanTokenizer(data *Images, e *Encoder) (Tokenizer, error) {
	auto := schema.NewSection(AutoTokenizer, nil)
	s := cmp.Or(data.Tokenizer, &auto)
	if e.Tokenizer != nil {
		if s.Kind() != AutoTokenizer {
			return Tokenizer{}, s.Errorf("the encoder's weights know the tokens of its own vocabulary alone; leave the tokenizer out")
		}
		return Tokenizer{Fixed: e.Tokenizer}, nil
	}
	if data.Tokenizer == nil {
		return p.Tokenizers.Default(AutoTokenizer)
	}
	return p.Tokenizers.Plan(s)
}

// vocabulary is what package encoder needs to know about the tokens.
func (t *Text) vocabulary() encoder.Vocabulary {
	return encoder.Vocabulary{
		Size: int64(t.Tokenizer.Size()), Unknown: int64(t.Tokenizer.Unknown()), Texts: t.Texts, Documents: t.Documents,
	}
}

type bagConfig struct {
	Weights string `yaml:"weights" enum:"tf-idf,counts" doc:"of the words: the inverse frequency of training texts that hold them, or 1"`
}

type wordNetConfig struct {
	Embedding int64   `yaml:"embedding" min:"1" doc:"width of a word's vector"`
	Windows   []int64 `yaml:"windows" min:"1" doc:"words that the filters of each convolution see, such as [1, 2, 3]; none averages the vectors"`
	Filters   int64   `yaml:"filters" min:"1" doc:"of each window"`
	Hidden    int64   `yaml:"hidden" min:"0" doc:"units of a layer on top; 0 for none"`
	Weights   string  `yaml:"weights" enum:"tf-idf,counts" doc:"of the words, as of bag-of-words"`
	Drop      float64 `yaml:"drop" min:"0" below:"1" doc:"the probability that a value of the pooled vector is dropped in training"`
}

// The weights of words.
const weightsTFIDF = "tf-idf"

func textEncoders() []Part[Encoder] {
	return append([]Part[Encoder]{
		{"bag-of-words", "the counts of a text's words, weighed; nothing is trained", "Spärck Jones 1972", Config(bagConfig{weightsTFIDF},
			func(c *bagConfig) (Encoder, error) {
				return Encoder{Text: true, New: func(b *nn.Builder, in Shape) (encoder.Encoder, error) {
					return encoder.NewBagOfTokens(b, in.Text.vocabulary(), c.Weights == weightsTFIDF)
				}}, nil
			})},
		{"word-vectors", "a vector per word, averaged or convolved, trained from scratch", "Iyyer et al. 2015; Kim 2014", Config(
			wordNetConfig{Embedding: 128, Filters: 128, Weights: weightsTFIDF},
			func(c *wordNetConfig) (Encoder, error) {
				return Encoder{Text: true, New: func(b *nn.Builder, in Shape) (encoder.Encoder, error) {
					return encoder.NewTextNet(b, encoder.TextNetConfig{
						Vocabulary: in.Text.vocabulary(), Embedding: c.Embedding, Windows: c.Windows, Filters: c.Filters, Hidden: c.Hidden,
						Weighted: c.Weights == weightsTFIDF, Drop: c.Drop,
					})
				}}, nil
			})},
	}, berts()...)
}

// tokenized are the keys that all data sets of texts have.
type tokenized struct {
	Tokenizer schema.Section `yaml:"tokenizer" family:"tokenizer" doc:"how texts become tokens"`
	Checksum  string         `yaml:"checksum" doc:"of the texts and their classes; filled in when a run starts, so that it continues with the same texts"`
}

func newTokenized() tokenized { return tokenized{Tokenizer: schema.NewSection(AutoTokenizer, nil)} }

// pin checks the texts against the checksum, or fills that in.
func (c *tokenized) pin(of string, sets ...*dataset.Texts) error {
	var sums []string
	for _, s := range sets {
		if s != nil {
			sums = append(sums, s.Checksum()[:16])
		}
	}
	if have := strings.Join(sums, " "); c.Checksum == "" {
		c.Checksum = have
	} else if c.Checksum != have {
		return fmt.Errorf("dataset: %s has changed since the run began: put the former texts back, or leave dataset.checksum out", of)
	}
	return nil
}

func texts(p *Parts) []Part[Images] {
	share := func(seed uint64) schema.Section {
		return schema.NewSection(kindShare, nil).WithDefaults(struct {
			Train float64 `yaml:"train"`
			Val   float64 `yaml:"val"`
			Seed  uint64  `yaml:"seed"`
		}{.6, .2, seed})
	}
	rows := []Part[Images]{
		{dataset.NameText, "your own texts: " + dataset.TextFormats, "", Config(
			textConfig{tokenized: newTokenized(), Split: share(0)}, func(c *textConfig) (Images, error) { return c.plan(p) })},
		{dataset.NameRequests, "invented requests to an assistant", "", Config(
			requestsConfig{tokenized: newTokenized(), Train: 112, Val: 32, Test: 48, Instances: 30}, (*requestsConfig).plan)},
	}
	for _, of := range []struct{ name, doc, paper string }{
		{dataset.NameBanking77, "13,083 questions to a bank, of 77 intents", "Casanueva et al. 2020"},
		{dataset.NameHWU64, "11,106 requests to a home robot, of 64 intents", "Liu et al. 2019"},
	} {
		rows = append(rows, Part[Images]{of.name, of.doc, of.paper, Config(
			intentConfig{tokenized: newTokenized(), Split: share(0)}, func(c *intentConfig) (Images, error) { return c.plan(p, of.name, false) })})
	}
	rows = append(rows, Part[Images]{dataset.NameCLINC150, "22,500 requests to an assistant, of 150 intents", "Larson et al. 2019", Config(
		clincConfig{intentConfig: intentConfig{tokenized: newTokenized(), Split: share(0)}},
		func(c *clincConfig) (Images, error) { return c.plan(p, dataset.NameCLINC150, c.OutOfScope) })})
	return append(rows, Part[Images]{dataset.NameFewRel, "sentences of 80 relations between two entities", "Han et al. 2018", Config(
		fewRelConfig{tokenized: newTokenized(), Train: fewRelTrain, Validation: 14, Test: "val_wiki"}, (*fewRelConfig).plan)})
}

// HoldsTexts reports whether a data set of Engram's holds texts.
func (p *Parts) HoldsTexts(kind string) bool {
	return slices.ContainsFunc(texts(p), func(of Part[Images]) bool { return of.Name == kind })
}

type requestsConfig struct {
	Seed      uint64 `yaml:"seed" doc:"of the invented requests"`
	Train     int    `yaml:"train" min:"1" doc:"classes"`
	Val       int    `yaml:"val" min:"1" doc:"classes"`
	Test      int    `yaml:"test" min:"1" doc:"classes; 192 with the others at most"`
	Instances int    `yaml:"instances" min:"2" max:"1000" doc:"texts per class"`
	tokenized `yaml:",inline"`
}

// Validate implements [schema.Validator].
func (c *requestsConfig) Validate() error {
	if all := c.Train + c.Val + c.Test; all > dataset.MostRequests() {
		return schema.At("test", fmt.Errorf("%d classes with train and val, and there are %d", all, dataset.MostRequests()))
	}
	return nil
}

func (c *requestsConfig) plan() (Images, error) {
	return Images{
		Split: fmt.Sprintf("%d/%d/%d", c.Train, c.Val, c.Test), Text: true, Tokenizer: &c.Tokenizer,
		Load: func(context.Context, Place) (Loaded, error) {
			set, split, err := dataset.NewRequests(c.Seed, dataset.RequestsOptions{Train: c.Train, Val: c.Val, Test: c.Test, Instances: c.Instances})
			if err != nil {
				return Loaded{}, err
			}
			if err := c.pin(dataset.NameRequests, set); err != nil {
				return Loaded{}, err
			}
			parts, err := split.Parts(set, "")
			return Loaded{Parts: parts}, err
		},
	}, nil
}

type textConfig struct {
	Path  string `yaml:"path" doc:"file or folder of the texts, whose classes are split; or train, val and test instead. Relative to the working directory, or to where data sets are looked for"`
	Train string `yaml:"train" doc:"the same for the training texts alone"`
	Val   string `yaml:"val" doc:"the same for the validation texts alone"`
	Test  string `yaml:"test" doc:"the same for the test texts alone; of the training classes, for full-way tests, or of others"`

	Text  string         `yaml:"text" doc:"column or key of the text; empty for the first there is of text, sentence, utterance, query and question"`
	Label string         `yaml:"label" doc:"column or key of the class; empty for the first there is of label, category, intent, class and target"`
	Split schema.Section `yaml:"split" family:"split" doc:"of the classes of path"`

	OutOfScope string `yaml:"out_of_scope" doc:"the label of the texts of val and test that are of none of the classes; full-way tests then measure how well these are rejected"`

	tokenized `yaml:",inline"`
}

// Validate implements [schema.Validator].
func (c *textConfig) Validate() error {
	parts := c.Train + c.Val + c.Test
	if c.Path == "" && parts == "" {
		return schema.At("path", errors.New("name a file or a folder of texts, or one each in train, val and test"))
	}
	if c.Path != "" && parts != "" {
		return schema.At("path", errors.New("path and train, val or test exclude each other: the classes are either split or lie in separate files"))
	}
	if c.OutOfScope != "" && (c.Train == "" || c.Val == "" || c.Test == "") {
		return schema.At("out_of_scope", errors.New("name files in train, val and test: the threshold is chosen on texts of val that are of none of the classes, and then such texts of test are asked about"))
	}
	if c.Path == "" && c.Train == "" {
		return schema.At("train", errors.New("name the training texts, whose words the vocabulary is made of"))
	}
	return nil
}

func (c *textConfig) plan(p *Parts) (Images, error) {
	split, err := p.Splits.Plan(&c.Split)
	out := Images{
		Split: split.Name, Text: true, Tokenizer: &c.Tokenizer, FullWay: c.Train != "" && c.Test != "",
		Folder: filepath.Clean(cmp.Or(c.Path, c.Train)), Outside: c.OutOfScope != "",
	}
	if c.Path == "" {
		out.Split = "by files"
	}
	out.Load = func(ctx context.Context, from Place) (Loaded, error) {
		var sets [4]*dataset.Texts
		root := ""
		for i, path := range []string{c.Path, c.Train, c.Val, c.Test} {
			if path == "" {
				continue
			}
			at, err := findFolder(dataset.NameText, path, from.Given)
			if err != nil {
				return Loaded{}, err
			}
			if sets[i], err = dataset.LoadTexts(ctx, at, dataset.TextOptions{Text: c.Text, Label: c.Label}); err != nil {
				return Loaded{}, err
			}
			if _, again := sets[i].Distinct(); again > 0 {
				from.Note(fmt.Sprintf("%s: %d of %d texts repeat others of their class", at, again, sets[i].Len()))
			}
			root = filepath.Dir(at)
		}
		if err := c.pin(cmp.Or(c.Path, c.Train), sets[:]...); err != nil {
			return Loaded{}, err
		}
		if c.Path == "" {
			outside, err := c.outside(sets[1:])
			return Loaded{Parts: dataset.Parts{Train: setOf(sets[1]), Val: setOf(sets[2]), Test: setOf(sets[3])}, Outside: outside}, err
		}
		made, name, err := split.Of(sets[0], root)
		if err != nil {
			return Loaded{}, err
		}
		parts, err := made.Parts(sets[0], "")
		return Loaded{Parts: parts, Split: name}, err
	}
	return out, err
}

// outside takes the texts of none of the classes out of the parts.
func (c *textConfig) outside(parts []*dataset.Texts) (outside dataset.Parts, err error) {
	if c.OutOfScope == "" {
		return outside, nil
	}
	if _, of := parts[0].Without(c.OutOfScope); of != nil {
		return outside, fmt.Errorf("dataset.out_of_scope: %s has texts of %s, and nothing is trained to be rejected; take them out", c.Train, c.OutOfScope)
	}
	for i, p := range []struct {
		file string
		into *dataset.Set
	}{{c.Val, &outside.Val}, {c.Test, &outside.Test}} {
		rest, of := parts[i+1].Without(c.OutOfScope)
		if rest == nil || of == nil || of.Len() < 2 {
			return outside, fmt.Errorf("dataset.out_of_scope: %s needs texts of the classes, and two or more of %s", p.file, c.OutOfScope)
		}
		parts[i+1], *p.into = rest, of
	}
	return outside, nil
}

// setOf returns a set of texts as a set; without texts, one without classes.
func setOf(t *dataset.Texts) dataset.Set {
	if t == nil {
		return &dataset.Texts{}
	}
	return t
}

type intentConfig struct {
	Shots int            `yaml:"shots" min:"0" max:"10" doc:"5 or 10: learn from the fixed file of as many texts of each class, validate on valid and test on test; 0: all texts, with the classes split for episodes"`
	Split schema.Section `yaml:"split" family:"split" doc:"of the classes, where shots is 0"`

	tokenized `yaml:",inline"`
}

// Validate implements [schema.Validator].
func (c *intentConfig) Validate() error {
	if c.Shots != 0 && c.Shots != 5 && c.Shots != 10 {
		return schema.At("shots", fmt.Errorf("there are fixed files of 5 and 10 texts per class, and none of %d; 0 takes all texts and splits the classes", c.Shots))
	}
	return nil
}

type clincConfig struct {
	OutOfScope bool `yaml:"out_of_scope" doc:"with shots: read the texts of none of the classes too (folder oos); full-way tests then measure how well these are rejected"`

	intentConfig `yaml:",inline"`
}

// Validate implements [schema.Validator].
func (c *clincConfig) Validate() error {
	err := c.intentConfig.Validate()
	if c.OutOfScope && c.Shots == 0 {
		err = errors.Join(err, schema.At("out_of_scope", errors.New("is of tests that tell all classes apart; set shots: 5 or 10, or leave it out")))
	}
	return err
}

// plan plans the set of a name, with the texts of none of its classes where they are wanted.
func (c *intentConfig) plan(p *Parts, name string, outside bool) (Images, error) {
	split, err := p.Splits.Plan(&c.Split)
	out := Images{Split: split.Name, Text: true, Tokenizer: &c.Tokenizer, Outside: outside}
	if c.Shots > 0 {
		out.Split, out.FullWay = fmt.Sprintf("fixed %d-shot file", c.Shots), true
	}
	out.Load = func(ctx context.Context, from Place) (Loaded, error) {
		root, err := dataset.Find(name, from.Given)
		if err != nil {
			return Loaded{}, err
		}
		set, err := dataset.LoadIntents(ctx, name, root)
		if err != nil {
			return Loaded{}, err
		}
		for _, note := range set.Notes {
			from.Note(note)
		}
		if c.Shots > 0 {
			shots, err := set.Shots(c.Shots)
			if err != nil {
				return Loaded{}, err
			}
			loaded, pinned := Loaded{Parts: dataset.Parts{Train: shots, Val: set.Valid, Test: set.Test}}, []*dataset.Texts{shots, set.Valid, set.Test}
			if outside {
				if set.OutsideTest == nil {
					return Loaded{}, fmt.Errorf("dataset.out_of_scope: %s has no folder oos; fetch the files of github.com/jianguoz/Few-Shot-Intent-Detection again", root)
				}
				loaded.Outside = dataset.Parts{Val: set.OutsideValid, Test: set.OutsideTest}
				pinned = append(pinned, set.OutsideValid, set.OutsideTest)
			}
			return loaded, c.pin(name, pinned...)
		}
		all := set.All()
		if err := c.pin(name, all); err != nil {
			return Loaded{}, err
		}
		made, named, err := split.Of(all, root)
		if err != nil {
			return Loaded{}, err
		}
		parts, err := made.Parts(all, "")
		return Loaded{Parts: parts, Split: named}, err
	}
	return out, err
}

// fewRelTrain is the file of the training relations.
const fewRelTrain = "train_wiki"

type fewRelConfig struct {
	Train      string `yaml:"train" enum:"train_wiki,val_wiki,val_nyt,val_pubmed,val_semeval" doc:"the public file that is trained on; another than train_wiki where that is not at hand, or for an encoder that is trained already"`
	Validation int    `yaml:"validation" min:"0" max:"60" doc:"of the training relations, 64 of train_wiki, that are held out for validation, shuffled"`
	Seed       uint64 `yaml:"seed" doc:"of the shuffle"`
	Test       string `yaml:"test" enum:"val_wiki,val_nyt,val_pubmed,val_semeval" doc:"the public file that is tested on; the official test set is hidden"`

	tokenized `yaml:",inline"`
}

// Validate implements [schema.Validator].
func (c *fewRelConfig) Validate() error {
	if c.Train == c.Test {
		return schema.At("test", fmt.Errorf("%s is what is trained on: test on another file, whose relations are new", c.Test))
	}
	return nil
}

func (c *fewRelConfig) plan() (Images, error) {
	split := c.Test
	if c.Train != fewRelTrain {
		split += ", trained on relations of " + c.Train
	}
	return Images{
		Split: split, Text: true, Tokenizer: &c.Tokenizer,
		Load: func(ctx context.Context, from Place) (Loaded, error) {
			root, err := dataset.Find(dataset.NameFewRel, from.Given)
			if err != nil {
				return Loaded{}, err
			}
			train, err := dataset.LoadFewRel(ctx, root, c.Train)
			if err != nil {
				return Loaded{}, err
			}
			test, err := dataset.LoadFewRel(ctx, root, c.Test)
			if err != nil {
				return Loaded{}, err
			}
			if err := c.pin(dataset.NameFewRel, train, test); err != nil {
				return Loaded{}, err
			}
			if c.Validation >= train.Classes() {
				return Loaded{}, fmt.Errorf("dataset.validation: %d relations are held out, and %s has %d in all; hold out fewer", c.Validation, c.Train, train.Classes())
			}
			known := map[string]bool{}
			for r := range train.Classes() {
				known[train.Class(r)] = true
			}
			both := 0
			for r := range test.Classes() {
				if known[test.Class(r)] {
					both++
				}
			}
			if both > 0 {
				from.Note(fmt.Sprintf("fewrel: %d of the %d relations of %s are in %s too, where their sentences are others: a network that is trained has seen these relations", both, test.Classes(), c.Test, c.Train))
			}
			share := float64(c.Validation) / float64(train.Classes())
			split, err := dataset.ShareSplit(train, 1-share, share, c.Seed)
			if err != nil {
				return Loaded{}, err
			}
			parts, err := split.Parts(train, "")
			parts.Test = test
			return Loaded{Parts: parts}, err
		},
	}, nil
}
