package runner

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
)

// fileLock is held by the process that works on a run folder, and names that process.
const fileLock = ".lock"

// lock keeps other processes from working on the run folder until unlock is called or this process ends, however it ends.
func (f Folder) lock() (unlock func(), err error) {
	file, err := os.OpenFile(f.path(fileLock), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("run folder: %w", err)
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		holder, _ := os.ReadFile(file.Name())
		_ = file.Close()
		return nil, fmt.Errorf("another process works on %s (%s); wait for it or stop it", string(f), strings.TrimSpace(string(holder)))
	}
	// On a file system without locks it is up to the user to run one process per folder.
	if err == nil {
		host, _ := os.Hostname()
		if err = file.Truncate(0); err == nil {
			_, err = file.WriteAt(fmt.Appendf(nil, "process %d on %s, since %s\n", os.Getpid(), host, time.Now().Format(time.DateTime)), 0)
		}
		if err != nil {
			_ = file.Close()
			return nil, fmt.Errorf("run folder: %w", err)
		}
	}
	return func() { _ = file.Close() }, nil // the file stays: whoever waits for it may have opened it already
}
