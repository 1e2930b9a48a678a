package encoder

// A Story is a question and the sentences before it, as word indices of a vocabulary. A negative index is an unknown word,
// whose vector is zero.
type Story struct {
	Facts    [][]int // the sentences in their order
	Question []int
}
