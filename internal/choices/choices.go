// Package choices turns the bytes of a fuzzer into decisions, for tests that generate their input.
package choices

// Choices makes decisions of bytes. Without any left it takes the first alternative.
type Choices struct{ Left []byte }

// Of returns a number from 0 to n-1.
func (c *Choices) Of(n int) int {
	if len(c.Left) == 0 {
		return 0
	}
	v := int(c.Left[0]) % n
	c.Left = c.Left[1:]
	return v
}
