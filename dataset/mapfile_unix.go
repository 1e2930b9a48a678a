//go:build unix

package dataset

import (
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// mapFile maps the first n bytes of a file, read-only. The mapping stays until unmapFile is called, also when the file is closed
// or removed; the kernel keeps in memory what is read of it, as far as there is room, once for all processes.
func mapFile(f *os.File, n int64) ([]byte, error) {
	if n == 0 {
		return nil, nil
	}
	b, err := unix.Mmap(int(f.Fd()), 0, int(n), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, &os.PathError{Op: "mmap", Path: f.Name(), Err: err}
	}
	return b, nil
}

func unmapFile(b []byte) {
	if b != nil {
		_ = unix.Munmap(b) // fails only for what is no mapping
	}
}

// lockFile waits until no other process or goroutine holds a lock file, and makes it. A file system without locks does without.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, notKept(err)
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			// Whoever waits for the file has it open; where it is removed under them, two may decode the same images, and either is
			// right.
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
