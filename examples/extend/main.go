// Command extend is Engram with three additional parts: a memory of fast weights, a small few-shot network and a data set. It has all of Engram's
// subcommands: try "go run . parts memory hebbian" and "go run . run extend.yaml".
package main

import (
	"os"

	"github.com/engram-go/engram/cli"
	"github.com/engram-go/engram/experiments/registry"
)

func main() { os.Exit(cli.Main(parts())) }

// parts are Engram's own parts and this module's.
func parts() *registry.Parts {
	p := registry.Standard()
	p.Memories.Add(hebbianPart(p))
	p.FewShot.Add(kernelNetPart(p))
	p.Images.Add(stripesPart())
	return p
}
