// Package setting checks the settings of generated tasks.
package setting

import "fmt"

// Room is the name of a package of tasks, which begins its messages.
type Room string

// Bound is the range of a setting. [In] and [None] make one.
type Bound struct {
	field            string
	value, low, high int
}

// In says that a setting lies between low and high, inclusive.
func In(field string, value, low, high int) Bound { return Bound{field, value, low, high} }

// None says that a task does not have a setting, which must be 0.
func None(field string, value int) Bound { return Bound{field: field, value: value} }

// Check returns an error that names the task and the first field out of its range.
func (r Room) Check(task string, bounds ...Bound) error {
	for _, b := range bounds {
		switch {
		case b.value >= b.low && b.value <= b.high:
		case b.high == 0:
			return fmt.Errorf("%s: %s: %s is %d: this task has none, set it to 0", r, task, b.field, b.value)
		default:
			return fmt.Errorf("%s: %s: %s is %d: choose from %d to %d", r, task, b.field, b.value, b.low, b.high)
		}
	}
	return nil
}

// Must unwraps what a task made from settings that it drew itself. It panics with an error, which is the caller's mistake.
func Must[B any](b B, err error) B {
	if err != nil {
		panic(err)
	}
	return b
}
