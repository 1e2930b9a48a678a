package tensor

// #include <stdlib.h>
// #include "engram.h"
import "C"

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"github.com/sugarme/gotch/libtch"
)

// Device is the location of a tensor: [CPU], or the index of a CUDA device.
type Device int32

// CPU is the host.
const CPU Device = -1

func (d Device) String() string {
	if d < 0 {
		return "cpu"
	}
	return "cuda:" + strconv.Itoa(int(d))
}

// ParseDevice parses "cpu", "cuda", "cuda:1" or "auto", which is the CPU, for which all operations are tested.
func ParseDevice(s string) (Device, error) {
	kind, index, numbered := strings.Cut(s, ":")
	switch {
	case s == "cpu" || s == "auto" || s == "":
		return CPU, nil
	case kind == "cuda":
		n := 0
		if numbered {
			var err error
			if n, err = strconv.Atoi(index); err != nil || n < 0 {
				return 0, fmt.Errorf("tensor: device %q: want the index of a CUDA device after the colon", s)
			}
		}
		if have := CUDADevices(); n >= have {
			return 0, fmt.Errorf("tensor: device %q: LibTorch sees %d CUDA devices; use cpu", s, have)
		}
		return Device(n), nil
	}
	return 0, fmt.Errorf("tensor: device %q is none of cpu, cuda, cuda:N, auto", s)
}

// CUDADevices returns the number of usable CUDA devices.
func CUDADevices() int {
	if !libtch.AtcCudaIsAvailable() {
		return 0
	}
	return int(libtch.AtcCudaDeviceCount())
}

// CUDAMath configures computation on CUDA devices.
type CUDAMath struct {
	// TF32 rounds the operands of float32 products and convolutions to TensorFloat-32, with 10 bits of mantissa.
	TF32 bool
	// Deterministic selects deterministic algorithms. Operations for which LibTorch has none fail.
	Deterministic bool
}

// SetCUDAMath configures CUDA devices for the whole process. Call it before the first operation on a device, when
// cuBLAS reads its workspace size.
func SetCUDAMath(m CUDAMath) error {
	const workspace = "CUBLAS_WORKSPACE_CONFIG"
	if m.Deterministic && os.Getenv(workspace) == "" {
		if err := os.Setenv(workspace, ":4096:8"); err != nil {
			return fmt.Errorf("tensor: %w", err)
		}
	}
	if C.eg_cuda_math(C.bool(m.TF32), C.bool(m.Deterministic)) != 0 {
		return &Error{Op: "SetCUDAMath", Msg: take(C.eg_error())}
	}
	return nil
}

// SetThreads sets the number of threads per operation, for all goroutines from their next [Enter] on. An OpenBLAS
// with its own threads is set to one, because its pool and OpenMP's compete for cores, which halves the speed of a
// recurrent network; convolutions, which LibTorch computes with oneDNN, keep all threads.
func SetThreads(n int) { C.eg_set_threads(C.int(max(n, 1))) }

// Threads returns the number of threads per operation on this thread.
func Threads() int { return int(C.eg_get_threads()) }

// KeepMemory makes glibc's allocator keep freed memory instead of returning it to the kernel. A training step
// allocates and frees the same hundreds of megabytes again and again, and page faults would take a third of its time.
// Resident memory then stays at its peak.
func KeepMemory() { C.eg_keep_memory() }

// Version returns LibTorch's version.
func Version() string { return C.GoString(C.eg_version()) }

// OldABI reports whether LibTorch was compiled with the C++ ABI from before C++11, as Python's wheels up to 2.6 were.
func OldABI() bool { return C.eg_old_abi() != 0 }

// Processor returns the name of the processor, or "" if the system does not provide it.
func Processor() string {
	data, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// Library returns the path of the library that defines a C symbol of this process, such as "cblas_sgemm", or "".
func Library(symbol string) string {
	name := C.CString(symbol)
	defer C.free(unsafe.Pointer(name))
	return take(C.eg_library(name))
}

func take(p *C.char) string {
	defer C.free(unsafe.Pointer(p))
	return C.GoString(p)
}
