package cli

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/experiments"
)

func newPredict(tool *experiments.Tool) *cobra.Command {
	var o experiments.PredictOptions
	var run, ink, fit string
	var top int
	var asJSON, quiet bool
	cmd := &cobra.Command{
		Use:   "predict --run RUN --support DIR --query FILE...",
		Short: "Classify images or texts of your own by a few labelled ones",
		Long: `Predict tells the classes of images with the model of a few-shot run. DIR has a folder for each class, named after it,
with one or more images of any size and of the usual formats; classes may be new to the network and may differ in size.
A query is an image or a folder of images. One line per query goes to standard output: its file, its class and the class's
probability, separated by tabs; --top N gives the N most likely classes, one per line, and --json everything.

Images are brought to what the network was trained on: its size (padded to a square, see --fit), grey or colour, and its
ink. Networks that learned Omniglot or strokes see ink as 1 and paper as 0, so images are taken for dark on light and
inverted; drawings that are light on dark need --ink light.

With a run on texts, the support set is a CSV, TSV or JSON lines file with a text and a label, or a folder with a file
CLASS.txt of one text a line for each class; queries are files with one text a line, or standard input where no query is
given. A line of the output has the text in the place of the file.`,
		Example: `  engram predict --run runs/protonet-omniglot/20260101-120000 --support letters --query unknown.png
  engram predict --run runs/mine --support letters --query *.png --top 3
  echo "where is my card?" | engram predict --run runs/requests --support examples/requests/support
  engram predict --run runs/mine --support letters --query inbox --json | jq -r '.[] | select(.probability < 0.5).file'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Query = append(o.Query, args...) // what a shell makes of --query *.png
			o.Ink, o.Fit = dataset.Ink(ink), dataset.Fit(fit)
			one := func(name, got string, valid ...string) error {
				for _, v := range append(valid, "") {
					if got == v {
						return nil
					}
				}
				return fmt.Errorf("--%s: %q is none of %s", name, got, strings.Join(valid, ", "))
			}
			var missing []error
			o.Input = cmd.InOrStdin()
			for _, f := range []struct{ name, got string }{{"run", run}, {"support", o.Support}, {"query", strings.Join(o.Query, "")}} {
				if f.got == "" && !(f.name == "query" && run != "" && tool.ReadsTexts(run)) {
					missing = append(missing, fmt.Errorf("--%s is needed", f.name))
				}
			}
			missing = append(missing, one("ink", ink, "dark", "light"), one("fit", fit, "pad", "crop", "stretch"), one("norm", o.Norm, "inductive", "transductive"))
			if top < 1 {
				missing = append(missing, errors.New("--top: want at least 1"))
			}
			if err := errors.Join(missing...); err != nil {
				return usageError{errors.New(strings.ReplaceAll(err.Error(), "\n", "; "))}
			}
			if !quiet {
				shown := newProgress(cmd)
				defer shown.end()
				o.Reporter = shown
			}
			all, err := tool.Predict(cmd.Context(), run, o)
			if err != nil {
				return err
			}
			var b bytes.Buffer
			if asJSON {
				err = printJSON(&b, all)
			} else {
				for _, p := range all {
					for _, c := range p.Probabilities[:min(top, len(p.Probabilities))] {
						fmt.Fprintf(&b, "%s\t%s\t%.4f\n", column(p.File+p.Text), column(c.Class), c.Probability)
					}
				}
			}
			if err == nil {
				_, err = b.WriteTo(cmd.OutOrStdout())
			}
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&run, "run", "", "run folder of a few-shot network")
	flags.StringVar(&o.Support, "support", "", "folder with a folder of images for each class; of texts, a file or a folder")
	flags.StringArrayVar(&o.Query, "query", nil, "image or folder of images, or file of texts, to classify; may be repeated, and further arguments are queries too")
	flags.StringVar(&ink, "ink", "", "what is ink: dark or light (default: as the run's images)")
	flags.StringVar(&fit, "fit", "", "how images become square: pad, crop or stretch (default: as the run's images)")
	flags.StringVar(&o.Norm, "norm", "", "batch norm: inductive or transductive (default: as the run validates)")
	flags.IntVar(&top, "top", 1, "most likely classes to print for each query")
	flags.BoolVar(&asJSON, "json", false, "print JSON, with the probability of every class")
	flags.BoolVarP(&quiet, "quiet", "q", false, "print no notes")
	return cmd
}

// column quotes a name that would break its line or column.
func column(s string) string {
	if strings.ContainsAny(s, "\t\n\r") {
		return strconv.Quote(s)
	}
	return s
}
