package setting_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/engram-go/engram/dataset/internal/setting"
)

func TestCheck(t *testing.T) {
	const room setting.Room = "token"
	length, top := setting.In("Length", 2, 2, 4), setting.In("Top", 9, 1, 8)
	assert.NoError(t, room.Check("copy", length, setting.None("Pairs", 0)))
	assert.EqualError(t, room.Check("copy", length, top), "token: copy: Top is 9: choose from 1 to 8")
	assert.EqualError(t, room.Check("copy", setting.None("Pairs", 1)), "token: copy: Pairs is 1: this task has none, set it to 0")
	assert.Equal(t, 3, setting.Must(3, nil))
	assert.Panics(t, func() { setting.Must(3, errors.New("no")) })
}
