package cli

import (
	"github.com/spf13/cobra"

	"github.com/engram-go/engram/experiments"
	"github.com/engram-go/engram/nn/weights"
	"github.com/engram-go/engram/results"
)

func newImport(tool *experiments.Tool) *cobra.Command {
	var flags runFlags
	var out, mapFile string
	var printMap bool
	cmd := &cobra.Command{
		Use:   "import FILE WEIGHTS",
		Short: "Test weights from elsewhere: a PyTorch state dict, or safetensors",
		Long: `Import makes a run folder of the experiment file FILE around the parameters in WEIGHTS, a state dict that torch.save has
written (.pt, .pth, .pkl; no code in it is run) or a safetensors file, and tests them as the experiment says. Where names
differ, layers are paired by kind, shapes and the numbers in their names, and the pairs are shown. Where more than one pairing
fits, the import is refused: --print-map prints a map to complete, and --map gives it. A map may name only some of the
parameters. What does not fit is refused, all of it together. The folder is a run's: engram eval tests it again, engram export
writes it out.`,
		Example: `  engram import experiments/protonet-omniglot.yaml protonet.pt --out runs/authors
  engram import experiments/protonet-omniglot.yaml protonet.pt --print-map > map.yaml
  engram import experiments/protonet-omniglot.yaml protonet.pt --map map.yaml`,
		Args: args(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := flags.config(tool, cmd, args[0])
			if err != nil {
				return err
			}
			o, done := flags.options(cmd)
			if printMap {
				m, err := tool.GuessMap(cmd.Context(), c, args[1], o)
				if err != nil {
					return err
				}
				text, err := m.Encode()
				if err != nil {
					return err
				}
				_, err = cmd.OutOrStdout().Write(text)
				return err
			}
			m, err := readMap(mapFile)
			if err != nil {
				return err
			}
			o.Out = out
			r, err := tool.Import(cmd.Context(), c, args[1], m, o)
			done()
			if err != nil {
				return err
			}
			return printResults(cmd.OutOrStdout(), []*results.Result{r})
		},
	}
	flags.register(cmd)
	flags.registerConfig(cmd)
	cmd.Flags().StringVar(&out, "out", "", "run folder (default runs/NAME/DATE-TIME)")
	cmd.Flags().StringVar(&mapFile, "map", "", "YAML file that says which tensor is which parameter")
	cmd.Flags().BoolVar(&printMap, "print-map", false, "print the map that would be guessed, and do nothing else")
	cmd.MarkFlagsMutuallyExclusive("map", "print-map")
	return cmd
}

func newExport() *cobra.Command {
	var mapFile string
	cmd := &cobra.Command{
		Use:   "export RUN FILE",
		Short: "Write the model of a run as safetensors, under names of your choice",
		Long: `Export writes the parameters of a run's model to a safetensors file, which PyTorch loads. --map gives them the names that
an import took them by: the same file, or the import.yaml that it left in its run folder.`,
		Example: `  engram export runs/protonet-omniglot/20260101-120000 protonet.safetensors
  engram export runs/authors protonet.safetensors --map runs/authors/import.yaml`,
		Args: args(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := readMap(mapFile)
			if err != nil {
				return err
			}
			return experiments.Export(args[0], args[1], m)
		},
	}
	cmd.Flags().StringVar(&mapFile, "map", "", "YAML file that says which name stands for which parameter")
	return cmd
}

// readMap reads the map of --map; nil where it was not given.
func readMap(file string) (*weights.Map, error) {
	if file == "" {
		return nil, nil
	}
	return weights.ReadMap(file)
}
