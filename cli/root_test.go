package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/experiments"
)

// engram runs the command line in-process, with more commands if given.
func engram(ctx context.Context, args []string, more ...*cobra.Command) (code int, out, stderr string) {
	var o, e bytes.Buffer
	root := newRoot(experiments.Standard(), "engram", strings.NewReader(""), &o, &e)
	root.AddCommand(more...)
	code = execute(ctx, root, args)
	return code, o.String(), e.String()
}

func TestVersion(t *testing.T) {
	for _, arg := range []string{"--version", "version"} {
		code, out, stderr := engram(t.Context(), []string{arg})
		assert.Equal(t, exitOK, code)
		assert.Empty(t, stderr)
		assert.Regexp(t, `^engram \S+.*, go1\..*, LibTorch \d+\.\d+\S*\n$`, out)
	}
}

func TestHelpIsNoError(t *testing.T) {
	for _, args := range [][]string{nil, {"--help"}, {"help"}, {"doctor", "--help"}} {
		code, out, stderr := engram(t.Context(), args)
		assert.Equal(t, exitOK, code, args)
		assert.Contains(t, out, "Usage:", args)
		assert.Empty(t, stderr, args)
	}
}

func TestUsageErrors(t *testing.T) {
	need := &cobra.Command{Use: "need", RunE: func(*cobra.Command, []string) error { return nil }}
	need.Flags().Int("n", 0, "")
	require.NoError(t, need.MarkFlagRequired("n"))
	own := &cobra.Command{Use: "own", RunE: func(*cobra.Command, []string) error {
		return fmt.Errorf("own: %w", usageError{errors.New("one of --a and --b")})
	}}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"dcotor"}, `engram: unknown command "dcotor"; did you mean doctor? (see engram --help)`},
		{[]string{"xyzzy"}, `engram: unknown command "xyzzy" (see engram --help)`},
		{[]string{"--nope"}, `engram: unknown flag: --nope (see engram --help)`},
		{[]string{"doctor", "--nope"}, `engram: unknown flag: --nope (see engram doctor --help)`},
		{[]string{"doctor", "x"}, `engram: takes no argument, got "x" (see engram doctor --help)`},
		{[]string{"need"}, `engram: required flag(s) "n" not set (see engram need --help)`},
		{[]string{"own"}, `engram: own: one of --a and --b (see engram own --help)`},
	} {
		code, out, stderr := engram(t.Context(), c.args, need, own)
		assert.Equal(t, exitUsage, code, c.args)
		assert.Empty(t, out, c.args)
		assert.Equal(t, c.want+"\n", stderr)
	}
}

func TestFailureIsPrintedOnceWithoutUsage(t *testing.T) {
	fails := &cobra.Command{Use: "fails", RunE: func(*cobra.Command, []string) error { return errors.New("no such file") }}
	code, out, stderr := engram(t.Context(), []string{"fails"}, fails)
	assert.Equal(t, exitFailure, code)
	assert.Empty(t, out)
	assert.Equal(t, "engram: no such file\n", stderr)
}

// A mistake of the program's own reaches the user as words, and whoever mends it as a trace.
func TestAMistakeInEngramItself(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	breaks := &cobra.Command{Use: "breaks", RunE: func(*cobra.Command, []string) error { panic("slots: index out of range") }}
	code, _, stderr := engram(t.Context(), []string{"breaks"}, breaks)
	assert.Equal(t, exitFailure, code)
	assert.Regexp(t, `^engram: this is a mistake in engram, not yours: slots: index out of range\nPlease report it with (\S+)\. What a run had saved is intact\.\n$`, stderr)
	files, err := filepath.Glob(filepath.Join(os.Getenv("TMPDIR"), "engram-trace-*.txt"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	trace, err := os.ReadFile(files[0])
	require.NoError(t, err)
	assert.Contains(t, string(trace), "TestAMistakeInEngramItself")
}

// The status is 128 and the signal's number, as of a process that the signal itself ends.
func TestInterrupted(t *testing.T) {
	for cause, status := range map[error]int{nil: 130, stopped{syscall.SIGINT}: 130, stopped{syscall.SIGTERM}: 143} {
		ctx, cancel := context.WithCancelCause(t.Context())
		waits := &cobra.Command{Use: "waits", RunE: func(cmd *cobra.Command, _ []string) error {
			cancel(cause)
			<-cmd.Context().Done()
			return fmt.Errorf("training: %w", cmd.Context().Err())
		}}
		code, _, stderr := engram(ctx, []string{"waits"}, waits)
		assert.Equal(t, status, code)
		assert.Equal(t, "engram: interrupted\n", stderr)
	}
}
