package results

import (
	"cmp"
	"fmt"
	"slices"
)

// Confusion counts how often each class was predicted as each class. Only counts above zero are stored, since a test may draw
// from thousands of classes. The zero value is empty and ready to use. It is not safe for concurrent use.
type Confusion struct {
	Classes []string                  `json:"classes"` // in order of first appearance
	Counts  map[string]map[string]int `json:"counts"`  // by true class, then by predicted class
}

// Add counts one query of class truth that was predicted as class predicted.
func (c *Confusion) Add(truth, predicted string) { c.add(truth, predicted, 1) }

// add counts n queries.
func (c *Confusion) add(truth, predicted string, n int) {
	for _, class := range []string{truth, predicted} {
		if _, known := c.Counts[class]; !known {
			if c.Counts == nil {
				c.Counts = map[string]map[string]int{}
			}
			c.Counts[class], c.Classes = map[string]int{}, append(c.Classes, class)
		}
	}
	c.Counts[truth][predicted] += n
}

// Count returns how often class truth was predicted as class predicted.
func (c *Confusion) Count(truth, predicted string) int { return c.Counts[truth][predicted] }

// PerClass returns the accuracy of each class that had queries, in the order of Classes.
func (c *Confusion) PerClass() (out []ClassAccuracy) {
	for _, class := range c.Classes {
		a := ClassAccuracy{Class: class, Right: c.Counts[class][class]}
		for _, n := range c.Counts[class] {
			a.Queries += n
		}
		if a.Queries > 0 {
			out = append(out, a)
		}
	}
	return out
}

// ByAccuracy is PerClass with the lowest accuracy first, and equal ones by name.
func (c *Confusion) ByAccuracy() []ClassAccuracy {
	out := c.PerClass()
	slices.SortFunc(out, func(a, b ClassAccuracy) int {
		return cmp.Or(cmp.Compare(a.Percent(), b.Percent()), cmp.Compare(a.Class, b.Class))
	})
	return out
}

// ClassAccuracy is the result of one class in a test.
type ClassAccuracy struct {
	Class   string `json:"class"`
	Right   int    `json:"right"`   // queries that were predicted as the class they are of
	Queries int    `json:"queries"` // queries of the class
}

// Percent returns the accuracy in percent, 0 without queries.
func (a ClassAccuracy) Percent() float64 {
	if a.Queries == 0 {
		return 0
	}
	return 100 * float64(a.Right) / float64(a.Queries)
}

// Mistake is a pair of classes that were confused.
type Mistake struct {
	Truth, Predicted string
	Count            int
}

// Mistakes returns the pairs of different classes that were confused, the most frequent first and equal ones by name.
func (c *Confusion) Mistakes() (out []Mistake) {
	for truth, row := range c.Counts {
		for predicted, n := range row {
			if truth != predicted && n > 0 {
				out = append(out, Mistake{truth, predicted, n})
			}
		}
	}
	slices.SortFunc(out, func(a, b Mistake) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Truth, b.Truth), cmp.Compare(a.Predicted, b.Predicted))
	})
	return out
}

// check refuses what [Confusion.Add] cannot have made.
func (c *Confusion) check() error {
	for truth, row := range c.Counts {
		if !slices.Contains(c.Classes, truth) {
			return fmt.Errorf("the confusion matrix counts class %q, which it does not list", truth)
		}
		for predicted, n := range row {
			if n < 0 || !slices.Contains(c.Classes, predicted) {
				return fmt.Errorf("the confusion matrix counts %d queries of %q as %q", n, truth, predicted)
			}
		}
	}
	return nil
}
