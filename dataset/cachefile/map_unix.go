//go:build unix

package cachefile

import (
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Map maps the first n bytes of a file, read-only. The mapping stays until [Unmap] is called, also when the file is closed
// or removed; the kernel keeps in memory what is read of it, as far as there is room, once for all processes.
func Map(f *os.File, n int64) ([]byte, error) {
	if n == 0 {
		return nil, nil
	}
	b, err := unix.Mmap(int(f.Fd()), 0, int(n), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, &os.PathError{Op: "mmap", Path: f.Name(), Err: err}
	}
	return b, nil
}

// Unmap ends a mapping.
func Unmap(b []byte) {
	if b != nil {
		_ = unix.Munmap(b) // fails only for what is no mapping
	}
}

// lock waits until no other process or goroutine holds a lock file, and makes it. A file system without locks does without.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, unavailable(err)
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			// Whoever waits for the file has it open; where it is removed under them, two may make the same file, and either is right.
			return func() { _ = os.Remove(path); _ = f.Close() }, nil
		}
		select {
		case <-ctx.Done():
			_ = f.Close()
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}
