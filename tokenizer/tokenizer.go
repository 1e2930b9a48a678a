// Package tokenizer cuts texts into tokens and numbers them, for encoders of text.
//
// [WordPiece] is the tokenizer of BERT and its family, read from a model's folder. [Words] has a vocabulary of the words of a
// training set, and [Hashed] does without one. All give rows of numbers in which 0 is left for padding.
package tokenizer

// A Tokenizer turns a text into the row of tokens that an encoder reads. It is immutable and may be used from several goroutines.
type Tokenizer interface {
	// Encode returns the tokens of a text, those that mark its beginning and end included, each in [1, Size()), and whether the
	// text had more than fit: a row has at most Max tokens, and what follows is cut off. The row has at least one token.
	Encode(text string) (tokens []int32, cut bool)
	// Size is the number of tokens that there are, that of the padding, 0, included.
	Size() int
	// Max is the most tokens of a row.
	Max() int
	// Unknown is the token of what has none of its own.
	Unknown() int32
	// Describe says in a few words what it is, for protocols: "WordPiece, 30,522 pieces, at most 256 tokens".
	Describe() string
}
