// Command extend is Engram with two additional parts: a memory of fast weights and a small few-shot network. It has all of Engram's
// subcommands: try "go run . parts memory hebbian" and "go run . run extend.yaml".
package main

import (
	"os"

	"github.com/engram-go/engram/cli"
	"github.com/engram-go/engram/experiments/registry"
	_ "github.com/engram-go/engram/tensor/product" // the same matrix products as cmd/engram, hence the same bits
)

func main() { os.Exit(cli.Main(parts())) }

// parts are Engram's own parts and this module's.
func parts() *registry.Parts {
	p := registry.Standard()
	p.Memories.Add(hebbianPart(p))
	p.FewShot.Add(kernelNetPart(p))
	return p
}
