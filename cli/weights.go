package cli

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/engram-go/engram/experiments"
	"github.com/engram-go/engram/nn/weights"
	"github.com/engram-go/engram/results"
)

func newImport(tool *experiments.Tool) *cobra.Command {
	var flags runFlags
	var out, mapFile string
	var printMap bool
	var input inputFlags
	cmd := &cobra.Command{
		Use:   "import FILE [PART=]WEIGHTS...",
		Short: "Test weights from elsewhere: a PyTorch state dict, or safetensors",
		Long: `Import makes a run folder of the experiment file FILE around the parameters in WEIGHTS, a state dict that torch.save has
written (.pt, .pth, .pkl, of any version of PyTorch since 0.1; no code in it is run) or a safetensors file, and tests them as the
experiment says. Where names differ, layers are paired by kind, shapes and the numbers in their names, and the pairs are shown;
those that are guessed are shown with --quiet too. Where more than one pairing fits, the import is refused: --print-map prints a
map to complete, and --map gives it. A map may name only some of the parameters. What does not fit is refused, all of it
together. The folder is a run's: engram eval tests it again, engram export writes it out.

A network whose parts lie in several files is given all of them. PART says whose parameters a file holds, as their names begin:
encoder=encoder.pkl memory=relation.pkl.

Networks get images with values between 0 and 1, ink as 1 and paper as 0. Where the weights were trained on other values, give
--inverted, --mean and --std as they were: x becomes 1 - x with --inverted, then (x - mean) / std. They become the key input
of the network's encoder and are kept in the run, so that every later test and prediction uses them. --size is the size of the
images.`,
		Example: `  engram import experiments/protonet-omniglot.yaml protonet.pt --out runs/authors
  engram import experiments/protonet-omniglot.yaml protonet.pt --print-map > map.yaml
  engram import experiments/protonet-omniglot.yaml protonet.pt --map map.yaml
  engram import mine.yaml protonet.pt --inverted --mean 0.92206 --std 0.08426
  engram import experiments/relationnet-omniglot.yaml encoder=feature_encoder.pkl memory=relation_network.pkl`,
		Args: args(2, anyNumber),
		RunE: func(cmd *cobra.Command, args []string) error {
			flags.set = append(flags.set, input.overrides(cmd)...)
			c, err := flags.config(tool, cmd, args[0])
			if err != nil {
				return err
			}
			o, done := flags.options(cmd)
			if printMap {
				m, err := tool.GuessMap(cmd.Context(), c, args[1:], o)
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
			r, err := tool.Import(cmd.Context(), c, args[1:], m, o)
			done()
			if err != nil {
				return err
			}
			if c.HasEncoder() && !c.NormalizesImages() && !flags.quiet {
				o.Reporter.Note("the network got images with values between 0 and 1, ink as 1; where the weights were trained on others, import them with --inverted, --mean and --std")
			}
			return printResults(cmd.OutOrStdout(), []*results.Result{r})
		},
	}
	flags.register(cmd)
	flags.registerConfig(cmd)
	cmd.Flags().StringVar(&out, "out", "", "run folder (default runs/NAME/DATE-TIME)")
	cmd.Flags().StringVar(&mapFile, "map", "", "YAML file that says which tensor is which parameter")
	cmd.Flags().BoolVar(&printMap, "print-map", false, "print the map that would be guessed, and do nothing else")
	input.register(cmd)
	cmd.MarkFlagsMutuallyExclusive("map", "print-map")
	return cmd
}

// inputFlags say what images the weights were trained on.
type inputFlags struct {
	mean, std []float64
	inverted  bool
	size      int
}

func (f *inputFlags) register(cmd *cobra.Command) {
	cmd.Flags().Float64SliceVar(&f.mean, "mean", nil, "that was subtracted from images in training: one number, or one per channel with commas between them")
	cmd.Flags().Float64SliceVar(&f.std, "std", nil, "that images were divided by in training: one number, or one per channel")
	cmd.Flags().BoolVar(&f.inverted, "inverted", false, "the weights were trained with ink as 0 and paper as 1")
	cmd.Flags().IntVar(&f.size, "size", 0, "side of the images in pixels")
}

// overrides are the flags as overrides of the experiment file.
func (f *inputFlags) overrides(cmd *cobra.Command) (out []string) {
	list := func(values []float64) string {
		return "[" + strings.Trim(strings.Join(strings.Fields(fmt.Sprint(values)), ", "), "[]") + "]"
	}
	for _, flag := range []struct{ name, key, value string }{
		{"mean", "network.encoder.input.mean", list(f.mean)}, {"std", "network.encoder.input.std", list(f.std)},
		{"inverted", "network.encoder.input.inverted", strconv.FormatBool(f.inverted)}, {"size", "dataset.size", strconv.Itoa(f.size)},
	} {
		if cmd.Flags().Changed(flag.name) {
			out = append(out, flag.key+"="+flag.value)
		}
	}
	return out
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
