package kinds

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/episode"
	"github.com/engram-go/engram/experiments/registry"
	"github.com/engram-go/engram/experiments/runner"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
	"github.com/engram-go/engram/tokenizer"
)

// TextPixels is what a text counts in [EvaluationPixels], so that about 75 texts are evaluated at once.
const TextPixels = 64 * 64

// checkTexts plans the tokenizer of a data set of texts, and refuses texts for encoders of images, images for encoders of texts, and
// what is done to images alone.
func (f *fewShotFile) checkTexts(w *fewShot) error {
	e := &w.planned.Encoder
	switch {
	case w.data.Text && !e.Text:
		return f.Network.Errorf("%s holds texts, and the encoder reads images; use an encoder of texts such as bag-of-words or word-vectors", f.Dataset.Kind())
	case !w.data.Text && e.Text:
		return f.Network.Errorf("%s holds images, and the encoder reads texts; use an encoder of images such as conv4", f.Dataset.Kind())
	case !w.data.Text:
		return nil
	}
	var err error
	if w.tokens, err = f.parts.PlanTokenizer(&w.data, e); err != nil {
		return err
	}
	t := f.Train
	if dataset.Distortion(t.Distort).On() || t.Augment != (augmentConfig{}) {
		return f.Dataset.Errorf("train: distort and augment change images, and %s holds texts; leave them out", f.Dataset.Kind())
	}
	return nil
}

// setTexts sets the tokenizer of texts and what is known of training texts, which may be nil.
func (w *fewShot) setTexts(t tokenizer.Tokenizer, train *dataset.Tokens) {
	w.text = &registry.Text{Tokenizer: t}
	if train != nil {
		w.text.Documents, w.text.Texts = train.Documents(t.Size())
	}
}

// tokenize makes the tokenizer from the training texts, where it is not fixed, and the texts of all parts to tokens.
func (w *fewShot) tokenize(parts dataset.Parts, from runner.Source) (dataset.Parts, error) {
	t := w.tokens.Fixed
	if t == nil {
		var err error
		if t, err = w.tokens.Build(textsOf(parts.Train)); err != nil {
			return parts, err
		}
	}
	parts, all := tokenized(parts, t)
	w.setTexts(t, all[0])
	if n, ok := t.(interface{ Notes() []string }); ok {
		for _, note := range n.Notes() {
			from.Note(note)
		}
	}
	from.Note(fmt.Sprintf("%s: %s; %s", w.file.Dataset.Kind(), t.Describe(), dataset.Lengths(all...)))
	return parts, nil
}

// tokenized returns the parts as tokens. Parts without classes stay as they are.
func tokenized(parts dataset.Parts, t tokenizer.Tokenizer) (dataset.Parts, []*dataset.Tokens) {
	var all []*dataset.Tokens
	for _, set := range []*dataset.Set{&parts.Train, &parts.Val, &parts.Test} {
		if *set != nil {
			made := dataset.Tokenize(*set, t.Encode)
			*set, all = made, append(all, made)
		}
	}
	return parts, all
}

// textsOf gives all texts of a set.
func textsOf(set dataset.Set) func(yield func(text string) bool) {
	return func(yield func(text string) bool) {
		for c := range set.Classes() {
			for i := range set.Instances(c) {
				if text, ok := dataset.Text(set, c, i); !ok || !yield(text) {
					return
				}
			}
		}
	}
}

// vocabularyName is the prefix of the name of the buffer that holds a vocabulary. The name ends with the first digits of the
// vocabulary's checksum, so that a model cannot load the values of a model with another vocabulary.
const vocabularyName = "vocabulary-"

// keepVocabulary keeps the vocabulary that was made from training texts with the encoder's parameters.
func (w *fewShot) keepVocabulary(b *nn.Builder) {
	built, ok := w.text.Tokenizer.(interface{ Bytes() []byte })
	if !ok || w.tokens.Fixed != nil {
		return
	}
	text := built.Bytes()
	s := tensor.Enter()
	defer s.Leave()
	b.In("encoder").FromTensor(fmt.Sprintf("%s%.8x", vocabularyName, sha256.Sum256(text)), tensor.New(text, int64(len(text))), false)
}

// restoreTokenizer makes the tokenizer for a model that is used without its data.
func (w *fewShot) restoreTokenizer(model *nn.State) error {
	if t := w.tokens.Fixed; t != nil {
		w.setTexts(t, nil)
		return nil
	}
	for _, name := range model.Names() {
		if strings.HasPrefix(name, "encoder."+vocabularyName) {
			text, err := model.Bytes(name)
			if err != nil {
				return err
			}
			t, err := w.tokens.Restore(bytes.Clone(text))
			if err == nil {
				w.setTexts(t, nil)
			}
			return err
		}
	}
	return errors.New("model: it has no vocabulary, and the texts that it was trained on are not read: the file is of another network")
}

// shape is the shape of what the network is given.
func (w *fewShot) shape() registry.Shape {
	s := w.data.Shape()
	s.Text = w.text
	return s
}

// pixels is what an image or a text counts in [EvaluationPixels].
func (w *fewShot) pixels() int {
	if w.data.Text {
		return TextPixels
	}
	return w.data.Options.Height * w.data.Options.Width
}

// shownText prints an episode as text: the support texts of each class, and the queries with the class that each is given and its
// probability.
func (w *fewShot) shownText(b *episode.Batch, chances []float64) []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "%s, seed %d: a %d-way %d-shot episode of test classes\n", w.file.Name, w.file.Seed, b.Way, b.Shot)
	names := w.classNames(b)
	text := func(item episode.Item) string {
		text, _ := dataset.Text(w.parts.Test, item.Class, item.Instance)
		return strings.Join(strings.Fields(text), " ")
	}
	support, queries := b.Items[:b.Way*b.Shot], b.Items[b.Way*b.Shot:]
	for label, name := range names {
		fmt.Fprintf(&out, "\n%s\n", name)
		for _, item := range support[label*b.Shot : (label+1)*b.Shot] {
			fmt.Fprintf(&out, "  support  %s\n", text(item))
		}
		for i := label * b.Query; i < (label+1)*b.Query; i++ {
			told := chances[i*b.Way : (i+1)*b.Way]
			taken := 0
			for k, v := range told {
				if v > told[taken] {
					taken = k
				}
			}
			mark := "right"
			if taken != label {
				mark = "wrong"
			}
			fmt.Fprintf(&out, "  %s    %3.0f %%  %s -> %s\n", mark, 100*told[taken], text(queries[i]), names[taken])
		}
	}
	return out.Bytes()
}

// ownTokenizer refuses a tokenizer of a test's own data set: a network reads the tokens that it was trained on.
func ownTokenizer(data *registry.Images) error {
	if s := data.Tokenizer; s != nil && s.Kind() != registry.AutoTokenizer {
		return s.Errorf("a test's texts become the tokens that the network was trained on; leave it out")
	}
	return nil
}

// prepared says how the images or texts of a test are prepared, as results name it.
func (w *fewShot) prepared(data *registry.Images) string {
	if w.text != nil {
		return w.text.Tokenizer.Describe()
	}
	return data.Prepared()
}
