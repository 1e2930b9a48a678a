package encoder

// A Story is a question and the sentences before it, as word indices in a vocabulary. A negative index is an unknown
// word with a zero vector.
type Story struct {
	Facts    [][]int // the sentences in their order
	Question []int
}
