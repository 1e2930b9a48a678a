// Package libtorch_test holds the C functions of Engram against those of gotch.
package libtorch_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	top      = ".."
	bindings = "../tensor/internal/kernels/bindings/bindings.cpp"
)

func read(t *testing.T, files ...string) string {
	t.Helper()
	var all strings.Builder
	for _, f := range files {
		data, err := os.ReadFile(f)
		require.NoError(t, err)
		all.Write(data)
	}
	return all.String()
}

func gotch(t *testing.T) string {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/sugarme/gotch").Output()
	require.NoError(t, err)
	return filepath.Join(strings.TrimSpace(string(dir)), "libtch")
}

var (
	declaration = regexp.MustCompile(`(?m)^([a-z_0-9 ]+[ *]+((?:at|ats|atc|atg)_\w+)\([^)]*\))\s*[;{]`)
	spaces      = regexp.MustCompile(`\s+`)
)

// declarations returns the C functions of a source by name, each as one line.
func declarations(source string) map[string]string {
	all := map[string]string{}
	for _, m := range declaration.FindAllStringSubmatch(source, -1) {
		all[m[2]] = spaces.ReplaceAllString(m[1], " ")
	}
	return all
}

var parameter = regexp.MustCompile(`([a-z0-9_]+ *\**) ?\w*$`)

// types returns a declaration without the names of its parameters, which gotch leaves out here and there.
func types(declaration string) string {
	head, parameters, _ := strings.Cut(strings.TrimSuffix(declaration, ")"), "(")
	all := []string{head}
	for p := range strings.SplitSeq(parameters, ",") {
		all = append(all, strings.ReplaceAll(parameter.ReplaceAllString(strings.TrimSpace(p), "$1"), " ", ""))
	}
	return strings.Join(all, " ")
}

// C links by name alone, so the linker would not find a difference in the arguments.
func TestDeclarationsAreGotchs(t *testing.T) {
	dir := gotch(t)
	theirs := declarations(read(t, filepath.Join(dir, "torch_api.h"), filepath.Join(dir, "torch_api_generated.h")))
	require.Greater(t, len(theirs), 2500)
	for name, ours := range declarations(read(t, bindings)) {
		require.Contains(t, theirs, name, "gotch has no such function")
		assert.Equal(t, types(theirs[name]), types(ours))
	}
}

// The weak ones are all that return nothing, and a list.
func TestGotchsOwnAreWeak(t *testing.T) {
	weak := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^#pragma weak (\w+)$`).FindAllStringSubmatch(read(t, "gotch.h"), -1) {
		weak[m[1]] = true
	}
	for name, ours := range declarations(read(t, bindings)) {
		if !strings.HasPrefix(ours, "void atg_") {
			assert.True(t, weak[name], "add #pragma weak %s to libtorch/gotch.h", name)
		}
	}
}

// A function of gotch without a body fails only when it is called.
func TestEveryFunctionThatEngramCallsIsHere(t *testing.T) {
	calls := map[string]bool{}
	require.NoError(t, filepath.WalkDir(top, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != top && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "vendor") {
			return filepath.SkipDir
		}
		if filepath.Ext(path) == ".go" {
			for _, m := range regexp.MustCompile(`\blibtch\.(At\w+)`).FindAllStringSubmatch(read(t, path), -1) {
				calls[m[1]] = true
			}
		}
		return nil
	}))
	require.Greater(t, len(calls), 80)

	dir := gotch(t)
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	// What each Go function of gotch calls in C.
	inC := map[string]string{}
	for _, m := range regexp.MustCompile(`(?s)\nfunc (At\w+)\([^{]*\{.*?\bC\.(at\w+)\(`).FindAllStringSubmatch(read(t, files...), -1) {
		inC[m[1]] = m[2]
	}
	here := declarations(read(t, bindings))
	for call := range calls {
		assert.Contains(t, here, inC[call], "libtch.%s: add its C function to tensor/internal/kernels/bindings", call)
	}
}
