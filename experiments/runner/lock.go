package runner

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
)

// fileLock is locked by the process that works on a run folder, and contains its id.
const fileLock = ".lock"

// lock excludes other processes from the run folder until unlock is called or this process ends in any way.
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
	// On a file system without locks the user must run only one process per folder.
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
	return func() { _ = file.Close() }, nil // keep the file: a waiting process may have opened it
}
