package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// setting is a form and environment in which PyTorch runs a workload.
type setting struct {
	form    string // of the script
	keep    bool   // glibc keeps freed memory, as in Engram
	oneBLAS bool   // OpenBLAS uses one thread and does not compete with LibTorch's threads
}

// String returns the setting's name in tables.
func (s setting) String() string {
	text := s.form
	if s.keep {
		text += ", memory kept"
	}
	if s.oneBLAS {
		text += ", OpenBLAS on one thread"
	}
	return text
}

func (s setting) env() (out []string) {
	if s.keep {
		out = append(out, "MALLOC_MMAP_MAX_=0", "MALLOC_TRIM_THRESHOLD_=4000000000", "MALLOC_TOP_PAD_=67108864")
	}
	if s.oneBLAS {
		out = append(out, "OPENBLAS_NUM_THREADS=1")
	}
	return out
}

// peer is a workload's PyTorch process.
type peer struct {
	setting setting
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Scanner
}

// answer is the result of a round.
type answer struct {
	Seconds float64
	Losses  []float64
	Peak    int64 // peak memory of the process, in bytes
}

func (m *meter) start(w workload, s setting) (*peer, error) {
	cmd := exec.Command(m.python, append([]string{filepath.Join(m.scripts, w.torch), strconv.Itoa(m.threads), s.form}, w.args...)...)
	cmd.Env = append(append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1", "ENGRAM_BENCH_DEVICE="+m.on.String()), s.env()...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &peer{s, cmd, in, bufio.NewScanner(out)}
	var hello struct {
		Version string
		Threads int
	}
	if err := p.read(&hello); err != nil {
		p.stop()
		return nil, err
	}
	if hello.Threads != m.threads {
		p.stop()
		return nil, fmt.Errorf("PyTorch uses %d threads, not %d", hello.Threads, m.threads)
	}
	m.version = hello.Version
	return p, nil
}

func (p *peer) read(into any) error {
	if !p.out.Scan() {
		return errors.Join(errors.New("the PyTorch script ended early; see its message above"), p.out.Err())
	}
	return json.Unmarshal(p.out.Bytes(), into)
}

func (p *peer) round(steps int) (a answer, err error) {
	if _, err := fmt.Fprintln(p.in, steps); err != nil {
		return a, err
	}
	err = p.read(&a)
	return a, err
}

// warm takes the first steps and compares their results with Engram's.
func (p *peer) warm(mine []float64, steps int, w workload) error {
	a, err := p.round(steps)
	if err != nil {
		return err
	}
	return agree(mine, a.Losses, w)
}

func (p *peer) stop() {
	p.in.Close()
	p.cmd.Wait() // the exit status after the last answer does not matter
}

// findPython returns the first python3 that has torch: that of $PATH may differ from the distribution's.
func findPython() (string, error) {
	for _, python := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(python, "-c", "import torch, numpy").Run() == nil {
			return python, nil
		}
	}
	return "", errors.New("no python3 with torch and numpy found; install python3-torch and python3-numpy (make setup-python)")
}
