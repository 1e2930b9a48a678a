package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"time"

	"golang.org/x/sys/cpu"

	"github.com/engram-go/engram/results"
	"github.com/engram-go/engram/tensor"
)

// ceilingsName is the name of the machine's ceilings for -alone.
const ceilingsName = "ceilings"

// alone runs a measurement in a new process of this program, whose memory nothing has used before.
func (m *meter) alone(name string, into any) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, "-alone", name, "-threads", strconv.Itoa(m.threads), fmt.Sprintf("-keep-memory=%t", m.keep), "-device", m.device)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%s in a separate process: %w", name, err)
	}
	return json.Unmarshal(out, into)
}

// alone runs in that process. It measures the ceilings, or the peak memory of two rounds of a workload.
func alone(w io.Writer, name string, on tensor.Device) (err error) {
	defer tensor.Catch(&err)
	scope := tensor.Enter()
	defer scope.Leave()
	if name == ceilingsName {
		return json.NewEncoder(w).Encode(ceilings())
	}
	chosen, err := choose(name)
	if err != nil {
		return err
	}
	steps := chosen[0].setup(on)
	for range 2 {
		steps(chosen[0].steps)
	}
	return json.NewEncoder(w).Encode(struct{ Peak int64 }{peak()})
}

// peak returns the peak memory of this process in bytes, or 0 if it is unknown. The value of getrusage would include the
// parent's peak.
func peak() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(status, []byte("VmHWM:"))
	var kilobytes int64
	if _, err := fmt.Sscan(string(rest), &kilobytes); err != nil {
		return 0
	}
	return kilobytes * 1024
}

// ceilings measures the machine's best throughput, as the fastest of several tries to reduce the influence of other processes.
func ceilings() (c results.Ceilings) {
	const side, tries, copied = 2048, 6, 256 << 20
	const images, channels, pixels = 64, 64, 56 // of a side
	arithmetic := func(of tensor.DType) float64 {
		a, b := uniform(tensor.CPU, 1, side, side).To(of), uniform(tensor.CPU, 2, side, side).To(of)
		product := 2 * side * side * side / fastest(tries, func() { a.MatMul(b) })
		x, w := uniform(tensor.CPU, 1, images, channels, pixels, pixels).To(of).ChannelsLast(), uniform(tensor.CPU, 2, channels, channels, 3, 3).To(of)
		convolution := 2 * 9 * images * channels * channels * pixels * pixels / fastest(tries, func() { tensor.Conv2d(x, w, nil, 1, 1, 1) })
		return max(product, convolution) / 1e9
	}
	c.FP32 = arithmetic(tensor.Float32)
	if cpu.X86.HasAVX512BF16 || cpu.X86.HasAMXBF16 {
		c.BF16 = arithmetic(tensor.BFloat16)
	}
	from, to := tensor.Ones(copied/4), tensor.Zeros(copied/4)
	c.Copy = 2 * copied / fastest(tries, func() { to.Assign(from) }) / 1e9
	return c
}

// fastest returns the shortest time of f over a number of tries, in seconds.
func fastest(tries int, f func()) float64 {
	var least time.Duration
	for i := range tries {
		scope := tensor.Enter()
		begin := time.Now()
		f()
		took := time.Since(begin)
		scope.Leave()
		if i == 0 || took < least {
			least = took
		}
	}
	return least.Seconds()
}
