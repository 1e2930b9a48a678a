// Command engram trains and evaluates memory-augmented and few-shot networks. See engram --help.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	_ "github.com/engram-go/engram/tensor/product" // oneDNN computes LibTorch's float32 products
)

func main() {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		s := <-signals
		// The first signal asks for an orderly end; a second one kills as usual.
		signal.Stop(signals)
		cancel(stopped{s.(syscall.Signal)})
	}()
	os.Exit(execute(ctx, newRoot(os.Stdin, os.Stdout, os.Stderr), os.Args[1:]))
}
