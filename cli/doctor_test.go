package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDoctorText(t *testing.T) {
	code, out, stderr := engram(t.Context(), []string{"doctor"})
	assert.Equal(t, exitOK, code)
	assert.Empty(t, stderr)
	assert.NotContains(t, out, "\x1b", "escape sequences")
	for _, name := range []string{"Engram ", "LibTorch ", "BLAS ", "Products ", "Processor ", "Memory ", "CUDA ", "Data "} {
		assert.Contains(t, out, name)
	}
	// The second column starts at the same place in each row.
	table, _, _ := strings.Cut(out, "\n\n")
	for _, line := range strings.Split(strings.TrimSpace(table), "\n") {
		assert.Equal(t, " ", line[len("Processor"):len("Processor")+1], line)
		assert.NotEqual(t, " ", line[len("Processor  "):len("Processor  ")+1], line)
	}
}

func TestDoctorJSON(t *testing.T) {
	code, out, _ := engram(t.Context(), []string{"doctor", "--json"})
	assert.Equal(t, exitOK, code)
	var r report
	d := json.NewDecoder(strings.NewReader(out))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&r))
	assert.True(t, r.OK)
	assert.True(t, r.LibTorch.Works)
	assert.NotEmpty(t, r.LibTorch.File)
	assert.Positive(t, r.CPU.Threads)
	assert.Contains(t, out, `"advice": [`)
}

func TestDoctorMissingDataIsAHint(t *testing.T) {
	code, out, _ := engram(t.Context(), []string{"doctor", "--data", t.TempDir()})
	assert.Equal(t, exitOK, code)
	assert.Contains(t, out, "omniglot: not found")
	assert.Contains(t, out, "hint: data omniglot: not found\n    -> engram data fetch omniglot\n")
	assert.Contains(t, out, "strokes: built in")
}

func TestErrorAdviceFailsTheReport(t *testing.T) {
	r := &report{OK: true}
	r.advise("warning", "BLAS", "slow", "do")
	assert.True(t, r.OK)
	r.advise("error", "LibTorch", "broken", "mend")
	assert.False(t, r.OK)
	var out bytes.Buffer
	require.NoError(t, r.print(&out))
	assert.Contains(t, out.String(), "does not work")
	assert.Contains(t, out.String(), "error: LibTorch: broken\n    -> mend\n")
}

func TestNameBLAS(t *testing.T) {
	for _, c := range []struct {
		file string
		open bool
		want string
	}{
		{"/usr/lib/x86_64-linux-gnu/openblas-pthread/libblas.so.3", true, "OpenBLAS, pthread"},
		{"/usr/lib/x86_64-linux-gnu/openblas-serial/libblas.so.3", true, "OpenBLAS, serial"},
		{"/opt/lib/libblas.so.3", true, "OpenBLAS"},
		{"/usr/lib/x86_64-linux-gnu/blas/libblas.so.3.11.0", false, referenceBLAS},
		{"/usr/lib/x86_64-linux-gnu/blis-pthread/libblas.so.3", false, "BLIS"},
		{"/usr/lib/x86_64-linux-gnu/libmkl_rt.so", false, "MKL"},
		{"/opt/libtorch/lib/libtorch_cpu.so", false, "part of LibTorch"},
		{"", false, "part of LibTorch"},
		{"/opt/lib/libfast.so", false, "unknown"},
	} {
		assert.Equal(t, blas{c.want, c.file}, nameBLAS(c.file, c.open))
	}
}

func TestReadMemory(t *testing.T) {
	dir := t.TempDir()
	meminfo, limit := filepath.Join(dir, "meminfo"), filepath.Join(dir, "memory.max")
	require.NoError(t, os.WriteFile(meminfo, []byte("MemTotal:  2048 kB\nMemFree: 1 kB\nMemAvailable:  1024 kB\n"), 0o600))
	assert.Equal(t, memory{Total: 2 << 20, Available: 1 << 20}, readMemory(meminfo, limit), "no limit file")
	require.NoError(t, os.WriteFile(limit, []byte("max\n"), 0o600))
	assert.Equal(t, memory{Total: 2 << 20, Available: 1 << 20}, readMemory(meminfo, limit), "no limit")
	require.NoError(t, os.WriteFile(limit, []byte("4096\n"), 0o600))
	assert.Equal(t, memory{Total: 2 << 20, Available: 1 << 20, Limit: 4096}, readMemory(meminfo, limit))
	assert.Equal(t, memory{}, readMemory(filepath.Join(dir, "none"), filepath.Join(dir, "none")))
}

func TestMapped(t *testing.T) {
	maps := filepath.Join(t.TempDir(), "maps")
	require.NoError(t, os.WriteFile(maps, []byte(
		"7f00-7f01 r-xp 00000000 00:00 0\n"+
			"7f02-7f03 r-xp 00000000 08:01 12                         /opt/my torch/lib/libtorch_cpu_extra.so\n"+
			"7f04-7f05 r-xp 00000000 08:01 13                         /opt/my torch/lib/libtorch_cpu.so.2.1\n"), 0o600))
	assert.Equal(t, "/opt/my torch/lib/libtorch_cpu.so.2.1", mapped(maps, "libtorch_cpu"))
	assert.Empty(t, mapped(maps, "libtorch_cuda"))
	assert.Empty(t, mapped(maps+"none", "libtorch_cpu"))
}

// A folder with an environment's torch and one with an unpacked LibTorch.
func libTorches(t *testing.T) (environment, unpacked string) {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	environment, unpacked = filepath.Join(dir, "env"), filepath.Join(dir, "libtorch")
	for _, lib := range []string{filepath.Join(environment, "lib/python3.13/site-packages/torch/lib"), filepath.Join(unpacked, "lib")} {
		require.NoError(t, os.MkdirAll(lib, 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(lib, "libtorch_cpu.so"), nil, 0o600))
	}
	require.NoError(t, os.WriteFile(filepath.Join(environment, "pyvenv.cfg"), nil, 0o600))
	return environment, unpacked
}

func TestOrigin(t *testing.T) {
	environment, unpacked := libTorches(t)
	none := func(string) string { return "" }
	inEnvironment := filepath.Join(environment, "lib/python3.13/site-packages/torch/lib/libtorch_cpu.so")
	named := func(dir string) func(string) string {
		return func(key string) string { return map[string]string{"LIBTORCH": dir}[key] }
	}
	assert.Contains(t, origin("/usr/lib/x86_64-linux-gnu/libtorch_cpu.so.2.6", none), "third choice: the distribution's package")
	assert.Equal(t, "second choice: the torch of the virtual environment "+environment, origin(inEnvironment, none))
	assert.Contains(t, origin("/home/x/.local/lib/python3.13/site-packages/torch/lib/libtorch_cpu.so", none), "the torch of python3")
	assert.Equal(t, "first choice: LIBTORCH names it", origin(unpacked+"/lib/libtorch_cpu.so", named(unpacked)))
	assert.Equal(t, "first choice: LIBTORCH named it at the build", origin(unpacked+"/lib/libtorch_cpu.so", none))
	assert.Empty(t, origin("", none))
}

func TestAnotherLibTorchIsNoticed(t *testing.T) {
	environment, unpacked := libTorches(t)
	inEnvironment := filepath.Join(environment, "lib/python3.13/site-packages/torch/lib/libtorch_cpu.so")
	const system = "/usr/lib/x86_64-linux-gnu/libtorch_cpu.so.2.6"
	active := func(key string) string { return map[string]string{"VIRTUAL_ENV": environment}[key] }
	assert.Equal(t, "the active virtual environment "+environment+" has torch", wanted(system, active))
	assert.Empty(t, wanted(inEnvironment, active))
	assert.Empty(t, wanted(system, func(string) string { return "" }))
	byName := func(key string) string {
		return map[string]string{"VIRTUAL_ENV": environment, "LIBTORCH": unpacked}[key]
	}
	assert.Equal(t, "LIBTORCH names "+unpacked, wanted(inEnvironment, byName))
	assert.Empty(t, wanted(unpacked+"/lib/libtorch_cpu.so", byName))
	bySystem := func(key string) string {
		return map[string]string{"VIRTUAL_ENV": environment, "LIBTORCH": "system"}[key]
	}
	assert.Empty(t, wanted(system, bySystem), "the distribution's was asked for")
}

func TestOpenMPs(t *testing.T) {
	maps := filepath.Join(t.TempDir(), "maps")
	require.NoError(t, os.WriteFile(maps, []byte(
		"7f00-7f01 r-xp 00000000 08:01 12    /usr/lib/libgomp.so.1.0.0\n"+
			"7f01-7f02 r--p 00000000 08:01 12    /usr/lib/libgomp.so.1.0.0\n"+
			"7f02-7f03 r-xp 00000000 08:01 13    /opt/torch/lib/libgomp-a34b3233.so.1\n"+
			"7f04-7f05 r-xp 00000000 08:01 14    /opt/torch/lib/libtorch_cpu.so\n"), 0o600))
	assert.Equal(t, []string{"/usr/lib/libgomp.so.1.0.0", "/opt/torch/lib/libgomp-a34b3233.so.1"}, openMPs(maps))
	assert.Empty(t, openMPs(maps+"none"))
}

// The table of docs/libtorch.md and what doctor calls tested are the same.
func TestTestedLibTorchesAreTheTables(t *testing.T) {
	doc, err := os.ReadFile("../docs/libtorch.md")
	require.NoError(t, err)
	for _, v := range tested() {
		assert.Contains(t, string(doc), "| "+v+".", "docs/libtorch.md has no row for %s", v)
	}
	assert.True(t, testedLibTorch("2.6.0"))
	assert.False(t, testedLibTorch("2.16.0"))
	assert.False(t, testedLibTorch("1.1.0"))
}
