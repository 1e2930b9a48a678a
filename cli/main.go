// Package cli is the command line: one file per subcommand. A program with parts of its own calls [Main] with them and has all
// subcommands.
package cli

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/engram-go/engram/experiments"
	"github.com/engram-go/engram/experiments/registry"
)

// Main runs the command line of the process with a set of parts and returns its exit status. The first interrupt ends a run with
// all that it has done saved; the second one kills the process as usual.
func Main(parts *registry.Parts) int {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		s := <-signals
		signal.Stop(signals)
		cancel(stopped{s.(syscall.Signal)})
	}()
	root := newRoot(experiments.New(parts), programName(os.Args[0]), os.Stdin, os.Stdout, os.Stderr)
	return execute(ctx, root, os.Args[1:])
}
