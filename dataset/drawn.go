package dataset

import "sync/atomic"

// drawnCache keeps images that a program has drawn, up to a number of bytes. It may be used from several goroutines.
type drawnCache struct {
	cache []atomic.Pointer[[]byte] // by image; nil until drawn
	room  atomic.Int64             // in images
}

// init makes room for images of a size in a number of bytes, none where that is below 1.
func (c *drawnCache) init(images, size, bytes int) {
	if bytes > 0 {
		c.cache = make([]atomic.Pointer[[]byte], images)
		c.room.Store(int64(bytes / size))
	}
}

// get calls use with the pixels of an image, which use must not keep. draw calls its argument with the pixels that it has drawn.
func (c *drawnCache) get(image int, use func(pixels []byte), draw func(done func(pixels []byte))) {
	if c.cache != nil {
		if b := c.cache[image].Load(); b != nil {
			use(*b)
			return
		}
	}
	draw(func(pixels []byte) {
		use(pixels)
		if c.cache != nil && c.room.Add(-1) >= 0 {
			b := append([]byte(nil), pixels...)
			c.cache[image].Store(&b) // another goroutine may have stored the same bytes
		}
	})
}
