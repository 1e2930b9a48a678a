package cli

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/experiments"
	"github.com/engram-go/engram/experiments/kinds"
)

func newFeatures(tool *experiments.Tool) *cobra.Command {
	var o experiments.FeatureOptions
	var out, ink, fit string
	var quiet bool
	cmd := &cobra.Command{
		Use:   "features RUN --out FILE",
		Short: "Write the embeddings of a data set's images or texts by a run's encoder",
		Long: `Features embeds images or texts by the encoder of a run's few-shot network and writes one row for each: the test classes of the run's
data, another split of it, or with --images a folder that has a folder of images for each class.

The ending of FILE says the format: .npy is a NumPy matrix of float32 [images, width]; .safetensors has the tensors embeddings and
labels, and the class names in the note classes; .csv has one row per image with its label, class, image and embedding. Beside the
first two, NAME.labels.csv has the label, class and image of each row. An image is named by its file, or by its number in its
class where the data set has no image files.`,
		Example: `  engram features runs/mine/20260101-120000 --out test.npy
  engram features models/quickstart-protonet --images examples/letters/support --out letters.csv`,
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			splits := []string{kinds.SplitTest, kinds.SplitValidation, kinds.SplitTraining}
			switch {
			case out == "":
				return usageError{fmt.Errorf("--out is needed: a file whose name ends in %s", strings.Join(experiments.FeatureFormats, ", "))}
			case !slices.Contains(experiments.FeatureFormats, filepath.Ext(out)):
				return usageError{fmt.Errorf("--out: %s: want a name that ends in %s", out, strings.Join(experiments.FeatureFormats, ", "))}
			case !slices.Contains(splits, o.Split):
				return usageError{fmt.Errorf("--split %s: want one of %s", o.Split, strings.Join(splits, ", "))}
			case o.Images != "" && cmd.Flags().Changed("split"):
				return usageError{fmt.Errorf("--split is of the run's own data: leave it out, or --images")}
			case o.Images == "" && ink+fit != "":
				return usageError{fmt.Errorf("--ink and --fit are for --images: the run's own images are read as in training")}
			}
			for _, f := range []struct {
				name, got string
				valid     []string
			}{{"ink", ink, []string{"dark", "light"}}, {"fit", fit, []string{"pad", "crop", "stretch"}}} {
				if f.got != "" && !slices.Contains(f.valid, f.got) {
					return usageError{fmt.Errorf("--%s: %q is none of %s", f.name, f.got, strings.Join(f.valid, ", "))}
				}
			}
			o.Ink, o.Fit = dataset.Ink(ink), dataset.Fit(fit)
			if !quiet {
				shown := newProgress(cmd)
				defer shown.end()
				o.Reporter = shown
			}
			f, err := tool.Features(cmd.Context(), args[0], o)
			if err != nil {
				return err
			}
			files, err := f.Write(out)
			if err != nil {
				return err
			}
			what := "image"
			if f.Texts {
				what = "text"
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s of %s, %d values each: %s\n",
				countOf(len(f.Labels), what), countOf(len(f.Classes), "class"), f.Width, strings.Join(files, ", "))
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&out, "out", "o", "", "file to write: NAME.npy, NAME.safetensors or NAME.csv")
	flags.StringVar(&o.Split, "split", kinds.SplitTest, "classes of the run's data to embed: test, validation or training")
	flags.StringVar(&o.Images, "images", "", "folder with a folder of images for each class, instead of the run's data")
	flags.StringVar(&ink, "ink", "", "of --images: what is ink, dark or light (default: as the run's images)")
	flags.StringVar(&fit, "fit", "", "of --images: how images become square, pad, crop or stretch (default: as the run's images)")
	flags.StringVar(&o.Data, "data", "", "folder to look for data sets in")
	flags.BoolVarP(&quiet, "quiet", "q", false, "print no progress and no notes")
	return cmd
}
