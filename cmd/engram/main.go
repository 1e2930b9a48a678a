// Command engram trains and evaluates memory-augmented and few-shot networks. See engram --help.
package main

import (
	"os"

	"github.com/engram-go/engram/cli"
	"github.com/engram-go/engram/experiments/registry"
	_ "github.com/engram-go/engram/tensor/product" // oneDNN computes LibTorch's float32 products
)

func main() { os.Exit(cli.Main(registry.Standard())) }
