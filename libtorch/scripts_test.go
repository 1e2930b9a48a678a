package libtorch_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// write makes a file, and its folder.
func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), mode))
}

// fakeLibTorch makes the folder of a LibTorch with headers and two libraries that hold next to nothing, and many symbols after the given one.
func fakeLibTorch(t *testing.T, symbol string) string {
	t.Helper()
	torch := t.TempDir()
	write(t, torch+"/include/torch/csrc/api/include/torch/version.h",
		"#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION_MINOR 6\n#define TORCH_VERSION_PATCH 0\n", 0o644)
	for _, header := range []string{"ATen/ATen.h", "torch/csrc/autograd/custom_function.h"} {
		write(t, torch+"/include/"+header, "", 0o644)
	}
	// What depends on the flags, as in LibTorch's.
	write(t, torch+"/include/ATen/Parallel.h", "#ifdef _OPENMP\n#define PARALLEL 1\n#endif\n#ifdef __OPTIMIZE__\n#define OPTIMIZED 1\n#endif\n", 0o644)
	var source strings.Builder
	fmt.Fprintf(&source, "void f() asm(%q);\nvoid f() {}\n", symbol)
	for i := range 5000 {
		fmt.Fprintf(&source, "void zz_a_name_of_some_length_%d() {}\n", i)
	}
	write(t, torch+"/source.cpp", source.String(), 0o644)
	for _, lib := range []string{"libc10.so", "libtorch_cpu.so"} {
		require.NoError(t, os.MkdirAll(torch+"/lib", 0o755))
		out, err := exec.Command("g++", "-shared", "-fPIC", "-o", filepath.Join(torch, "lib", lib), torch+"/source.cpp").CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	return torch
}

// env.sh reads the C++ ABI from LibTorch's own symbols. pip's wheels up to 2.6 have the one from before C++11, and thousands of
// symbols after the one that tells.
func TestEnvFindsTheABI(t *testing.T) {
	const oldABI, newABI = "_ZN3c105ErrorC1ENS_14SourceLocationESs",
		"_ZN3c105ErrorC1ENS_14SourceLocationENSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE"
	for name, test := range map[string]struct {
		symbol string
		old    bool
	}{"before C++11": {oldABI, true}, "of today": {newABI, false}} {
		t.Run(name, func(t *testing.T) {
			torch := fakeLibTorch(t, test.symbol)
			cmd := exec.Command("bash", "-eu", "-o", "pipefail", "-c", `. ./env.sh; printf '%s\n%s\n' "$ENGRAM_LIBTORCH" "$CGO_CXXFLAGS"`)
			cmd.Env = append(os.Environ(), "LIBTORCH="+torch, "XDG_CACHE_HOME="+t.TempDir())
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", out)
			assert.Contains(t, string(out), "2.6.0")
			assert.Equal(t, test.old, strings.Contains(string(out), "-D_GLIBCXX_USE_CXX11_ABI=0"), "%s", out)
		})
	}
}

// install.sh takes Go from another release in APT's sources where the release's own cannot read go.mod, and says what to do
// where there is none.
func TestInstallFindsANewEnoughGo(t *testing.T) {
	const header = " golang-go | %s | http://deb.debian.org/debian %s/main amd64 Packages\n"
	old := fmt.Sprintf(header, "2:1.19~1", "bookworm")
	for name, test := range map[string]struct {
		candidate, madison string
		installs           string // a call of apt-get
		says               string
	}{
		"new enough":     {"2:1.24~2", fmt.Sprintf(header, "2:1.24~2", "trixie"), "golang-go", "setup: done"},
		"from backports": {"2:1.19~1", fmt.Sprintf(header, "2:1.23~2~bpo12+1", "bookworm-backports") + old, "-t bookworm-backports golang-go", "installing golang-go 1.23~2~bpo12+1 of bookworm-backports"},
		"none":           {"2:1.19~1", old, "", "is too old: Engram needs Go 1."},
	} {
		t.Run(name, func(t *testing.T) {
			bin := t.TempDir()
			for _, folder := range []string{"/usr/bin", "/bin"} {
				files, err := os.ReadDir(folder)
				require.NoError(t, err)
				for _, f := range files {
					_ = os.Symlink(filepath.Join(folder, f.Name()), filepath.Join(bin, f.Name())) // the first one of a name stands
				}
			}
			stub := func(name, script string) {
				_ = os.Remove(filepath.Join(bin, name))
				write(t, filepath.Join(bin, name), "#!/bin/sh\n"+script, 0o755)
			}
			calls := filepath.Join(t.TempDir(), "calls")
			_ = os.Remove(filepath.Join(bin, "go"))
			stub("id", "echo 0\n")
			stub("apt-cache", fmt.Sprintf("case $1 in policy) echo '  Candidate: %s' ;; madison) echo '%s' ;; esac\n", test.candidate, test.madison))
			stub("go-of-the-package", `case $1 in env) echo go1.26.0 ;; *) echo "go version go1.26.0" ;; esac`+"\n")
			stub("apt-get", fmt.Sprintf("echo \"$*\" >>%s\ncase \"$*\" in *golang-go*) cp %s/go-of-the-package %s/go ;; esac\n", calls, bin, bin))

			cmd := exec.Command(filepath.Join(bin, "bash"), "install.sh")
			cmd.Env = append(os.Environ(), "PATH="+bin)
			out, err := cmd.CombinedOutput()
			assert.Contains(t, string(out), test.says)
			called, _ := os.ReadFile(calls)
			if test.installs == "" {
				assert.Error(t, err)
				assert.Empty(t, string(called))
				return
			}
			require.NoError(t, err, "%s", out)
			assert.Contains(t, string(called), test.installs)
		})
	}
}

// The kernels are compiled with LibTorch's headers precompiled: GCC takes them only where they come first and the flags are the
// same. It says nothing when it does not take them, and the build only takes longer.
func TestCompileReadsPrecompiledHeaders(t *testing.T) {
	room, err := os.ReadFile("../tensor/internal/kernels/memory/memory.go")
	require.NoError(t, err)
	flags := regexp.MustCompile(`#cgo CXXFLAGS: (.*)`).FindSubmatch(room)
	require.NotNil(t, flags)
	golang, err := exec.LookPath("go")
	require.NoError(t, err)

	// In place of the go that builds, one that compiles a file as cgo would, with GCC's list of what it reads.
	bin := t.TempDir()
	write(t, bin+"/kernel.cpp", "#include \"torch.h\"\n", 0o644)
	kernels, err := filepath.Abs("../tensor/internal/kernels")
	require.NoError(t, err)
	write(t, bin+"/go", fmt.Sprintf(`#!/bin/bash
case $1 in
list) printf 'package-%%d\n' 1 2 3 4 ;;
build) g++ -I %s -fPIC %s -pthread $CGO_CXXFLAGS %s -H -c %s/kernel.cpp -o %s/kernel.o 2>%s/read ;;
*) exec %s "$@" ;;
esac
`, kernels, map[bool]string{true: "-m64"}[runtime.GOARCH == "amd64"], flags[1], bin, bin, bin, golang), 0o755)

	cache := t.TempDir()
	cmd := exec.Command("bash", "compile.sh")
	cmd.Env = append(os.Environ(), "LIBTORCH="+fakeLibTorch(t, "f"), "XDG_CACHE_HOME="+cache, "PATH="+bin+":"+os.Getenv("PATH"), "GOCACHE="+t.TempDir())
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	read, err := os.ReadFile(bin + "/read")
	require.NoError(t, err)
	assert.Regexp(t, `(?m)^! .*/gotch\.h\.gch$`, string(read))

	left, err := filepath.Glob(cache + "/engram/*/*.gch*")
	require.NoError(t, err)
	assert.Empty(t, left)
}
