package testkit

import (
	"bytes"
	"fmt"
	"os"
	"testing"
)

// Memory returns a figure of this process in kB by its name in /proc/self/status: VmRSS is its resident memory, VmHWM the peak of it.
// (The peak of getrusage would include the parent's.) It skips the test where there is none.
func Memory(tb testing.TB, name string) int64 {
	tb.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		tb.Skip(err)
	}
	_, rest, _ := bytes.Cut(status, []byte("\n"+name+":"))
	var kilobytes int64
	if _, err := fmt.Sscan(string(rest), &kilobytes); err != nil {
		tb.Skipf("the kernel does not tell %s", name)
	}
	return kilobytes
}

// ResetPeak begins the peak of the resident memory anew. It skips the test where the kernel does not allow it.
func ResetPeak(tb testing.TB) {
	tb.Helper()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		tb.Skipf("the peak cannot be measured here: %v", err)
	}
}
