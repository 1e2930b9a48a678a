package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/engram-go/engram/experiments"
	"github.com/engram-go/engram/results"
	"github.com/engram-go/engram/tensor"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
	exitSignal  = 128 // and the number of the signal
)

// stopped is the cause of a context that a signal has cancelled.
type stopped struct{ signal syscall.Signal }

func (s stopped) Error() string { return s.signal.String() }

// newRoot builds the whole command line of a program that was called by a name. Commands read and write through cmd.InOrStdin, OutOrStdout and ErrOrStderr
// only.
func newRoot(tool *experiments.Tool, name string, in io.Reader, out, err io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:           filepath.Base(name),
		Short:         "Few-shot learning with memory-augmented networks",
		Version:       readVersion().String(),
		SilenceErrors: true, // execute prints them
		SilenceUsage:  true,
		// Without a check of its own and something to run, cobra takes a mistyped subcommand for a call for help.
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			msg := fmt.Sprintf("unknown command %q", args[0])
			for i, s := range cmd.SuggestionsFor(args[0]) {
				msg += []string{"; did you mean ", " or "}[min(i, 1)] + s
			}
			if len(cmd.SuggestionsFor(args[0])) > 0 {
				msg += "?"
			}
			return errors.New(msg)
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SuggestionsMinimumDistance = 2
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(err)
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(
		newRun(tool),
		newResume(tool),
		newSweep(tool),
		newEval(tool),
		newCompare(),
		newList(tool),
		newParts(tool),
		newShow(tool),
		newValidate(tool),
		newSchema(tool),
		newImport(tool),
		newExport(),
		newExplain(tool),
		newPredict(tool),
		newPredictions(tool),
		newFeatures(tool),
		newPlot(tool),
		newTable(),
		newReproduce(tool),
		newReport(),
		newData(),
		newDoctor(),
		newMan(),
		newVersion(),
	)
	complete(root)
	setName(root, name)
	return root
}

// flagError says what a flag wants in words, where the flag library repeats what Go's parser said.
func flagError(_ *cobra.Command, err error) error {
	var value *pflag.InvalidValueError
	var number *strconv.NumError
	if !errors.As(err, &value) || !errors.As(err, &number) {
		return err
	}
	wants := map[string]string{"uint64": "a whole number of at least 0", "int": "a whole number", "float64": "a number"}[value.GetFlag().Value.Type()]
	if wants == "" {
		return err
	}
	return fmt.Errorf("--%s: want %s, got %q", value.GetFlag().Name, wants, value.GetValue())
}

// usageError is a mistake in the arguments that only a command itself can see; execute ends with status 2 for it.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// runError is what a command's RunE returned; any other error is cobra's own, which means a wrong flag or argument.
type runError struct{ error }

func (e runError) Unwrap() error { return e.error }

// execute runs the command line, prints its error, if any, once, and returns the exit code.
func execute(ctx context.Context, root *cobra.Command, args []string) (code int) {
	defer func() {
		if p := recover(); p != nil {
			tellOfMistake(root.ErrOrStderr(), p, debug.Stack())
			code = exitFailure
		}
	}()
	tagErrors(root)
	// A nil slice would make cobra read the process's own arguments.
	root.SetArgs(append([]string{}, args...))
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	mine := newStyle(isTerminal(root.ErrOrStderr()), os.Getenv).bad(root.Name() + ":")
	say := func(format string, args ...any) {
		fmt.Fprintf(root.ErrOrStderr(), "%s %s\n", mine, named(root, fmt.Sprintf(format, args...)))
	}
	var usage usageError
	var run runError
	switch {
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		msg := "interrupted"
		if saved := (*experiments.Interrupted)(nil); errors.As(err, &saved) {
			msg = saved.Error()
		}
		if saved := (*interruptedSweep)(nil); errors.As(err, &saved) {
			msg = saved.Error()
		}
		say("%s", msg)
		return exitSignal + int(signalOf(ctx))
	case errors.As(err, &usage) || !errors.As(err, &run):
		say("%v (see %s --help)", err, cmd.CommandPath())
		return exitUsage
	}
	say("%v", err)
	return exitFailure
}

// tellOfMistake says that the program itself is wrong, and leaves the trace where it can be sent from.
func tellOfMistake(w io.Writer, p any, trace []byte) {
	mine := newStyle(isTerminal(w), os.Getenv).bad("engram:")
	fmt.Fprintf(w, "%s this is a mistake in engram, not yours: %v\n", mine, p)
	f, err := os.CreateTemp("", "engram-trace-*.txt")
	if err == nil {
		_, err = fmt.Fprintf(f, "%s\n%s\n%v\n\n%s", readVersion(), os.Args, p, trace)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		fmt.Fprintf(w, "the trace could not be kept (%v):\n%s", err, trace)
		return
	}
	fmt.Fprintf(w, "Please report it with %s. What a run had saved is intact.\n", f.Name())
}

// signalOf is the signal that stopped a context, an interrupt where nothing says otherwise.
func signalOf(ctx context.Context) syscall.Signal {
	if s := (stopped{}); errors.As(context.Cause(ctx), &s) {
		return s.signal
	}
	return syscall.SIGINT
}

// tagErrors makes a command's own errors tell themselves from cobra's.
func tagErrors(cmd *cobra.Command) {
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			if err := run(cmd, args); err != nil {
				return runError{err}
			}
			return nil
		}
	}
	for _, c := range cmd.Commands() {
		tagErrors(c)
	}
}

// version is what this binary was built from.
type version struct {
	Engram   string `json:"engram"`             // the module's version, or "devel"
	Revision string `json:"revision,omitempty"` // the commit, where the build recorded it
	Modified bool   `json:"modified,omitempty"` // with changes on top
	Go       string `json:"go"`
	LibTorch string `json:"libtorch"`
}

func readVersion() version {
	b := results.ThisBuild(tensor.Version())
	v := version{Engram: "devel", Revision: b.Commit, Modified: b.Modified, Go: b.Go, LibTorch: b.LibTorch}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		v.Engram = info.Main.Version
	}
	return v
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of Engram, Go and LibTorch",
		Args:  args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), readVersion())
			return err
		},
	}
}

// build tells the version and the commit.
func (v version) build() string {
	s := v.Engram
	// A version that Go derived from the commit names it already.
	if v.Revision != "" && !strings.Contains(s, v.Revision[:min(12, len(v.Revision))]) {
		s += fmt.Sprintf(" (%.12s", v.Revision)
		if v.Modified {
			s += ", modified"
		}
		s += ")"
	}
	return s
}

func (v version) String() string {
	return fmt.Sprintf("engram %s, %s, LibTorch %s", v.build(), v.Go, v.LibTorch)
}
