package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/engram-go/engram/experiments"
)

// calledAs runs the command line of a program that was called by a name.
func calledAs(t *testing.T, name string, args ...string) (stdout, stderr string) {
	t.Helper()
	var o, e bytes.Buffer
	execute(t.Context(), newRoot(experiments.Standard(), name, strings.NewReader(""), &o, &e), args)
	return o.String(), e.String()
}

func TestProgramName(t *testing.T) {
	assert.Equal(t, "engram", programName("engram"))
	assert.Equal(t, "bin/engram", programName("bin/engram"))
	assert.Equal(t, "/usr/local/bin/engram", programName("/usr/local/bin/engram"))
	assert.Equal(t, "extend", programName("/tmp/go-build1234/b001/exe/extend"))
	assert.Equal(t, "engram", programName("./my programs/engram"), "a name that a shell would split")
}

// Help, usage errors and messages of packages below name the program as it was called; the product's name stays.
func TestMessagesNameTheProgram(t *testing.T) {
	stdout, _ := calledAs(t, "bin/my", "run", "--help")
	assert.Contains(t, stdout, "bin/my run FILE...")
	assert.Contains(t, stdout, "bin/my run experiments/quickstart-protonet.yaml")
	assert.NotContains(t, stdout, "engram run")

	_, stderr := calledAs(t, "bin/my", "run")
	assert.Contains(t, stderr, "my: FILE... is missing")
	assert.Contains(t, stderr, "(see bin/my run --help)")

	// A name that ends in the product's is not replaced within itself.
	_, stderr = calledAs(t, "/tmp/my-engram", "run")
	assert.Contains(t, stderr, "(see /tmp/my-engram run --help)")

	dir := t.TempDir()
	_, stderr = calledAs(t, "bin/my", "table", dir) // a message of package results
	assert.Equal(t, "my: results: "+dir+": there is no result.json; if its run was interrupted, continue it with: bin/my resume "+dir+"\n", stderr)

	stdout, _ = calledAs(t, "bin/my", "man", dir)
	assert.Contains(t, stdout, " pages in ")
	assert.FileExists(t, dir+"/my-run.1")
}
