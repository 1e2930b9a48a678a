package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/engram-go/engram/experiments"
	"github.com/engram-go/engram/experiments/runner"
	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/results"
	"github.com/engram-go/engram/tensor"
)

// runFlags are the flags that commands which train or test share.
type runFlags struct {
	set   []string
	seed  uint64
	data  string
	quiet bool
	json  bool
}

func (f *runFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.data, "data", "", "folder to look for data sets in")
	cmd.Flags().BoolVarP(&f.quiet, "quiet", "q", false, "print the result only")
	cmd.Flags().BoolVar(&f.json, "json", false, "print the result as JSON, and one JSON progress event per second on standard error")
}

func (f *runFlags) registerSet(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.set, "set", nil, "change a value of the file, as in --set train.way=20; may be repeated")
}

func (f *runFlags) registerConfig(cmd *cobra.Command) {
	f.registerSet(cmd)
	cmd.Flags().Uint64Var(&f.seed, "seed", 0, "change the file's seed")
}

// overrides reads --set and --seed.
func (f *runFlags) overrides(cmd *cobra.Command) ([]schema.Override, error) {
	set := f.set
	if cmd.Flags().Changed("seed") {
		set = append(set, fmt.Sprintf("seed=%d", f.seed))
	}
	var out []schema.Override
	for _, text := range set {
		o, err := schema.ParseOverride(text)
		if err != nil {
			return nil, usageError{err}
		}
		out = append(out, o)
	}
	return out, nil
}

// config reads an experiment file with the flags' changes.
func (f *runFlags) config(tool *experiments.Tool, cmd *cobra.Command, file string) (*experiments.Config, error) {
	overrides, err := f.overrides(cmd)
	if err != nil {
		return nil, err
	}
	return tool.Load(file, overrides...)
}

// options makes a run's options; done ends what it shows.
func (f *runFlags) options(cmd *cobra.Command) (o experiments.Options, done func()) {
	tensor.KeepMemory()
	o.Data = f.data
	o.Build = results.ThisBuild(tensor.Version())
	switch {
	case f.quiet:
		o.Reporter = warnings{w: cmd.ErrOrStderr()}
		return o, func() {}
	case f.json:
		o.Reporter = runner.NewEventWriter(cmd.ErrOrStderr(), time.Second)
		return o, func() {}
	}
	shown := newProgress(cmd)
	o.Reporter = shown
	return o, shown.end
}

func newRun(tool *experiments.Tool) *cobra.Command {
	var flags runFlags
	var out, from string
	cmd := &cobra.Command{
		Use:   "run FILE...",
		Short: "Train and test experiments, and print their results",
		Long: `Run trains the network of each experiment file, keeps the model that is best on validation classes, tests it, and
prints a table. A run folder keeps it all: the resolved configuration, one JSON line per report, the checkpoint, the
best model as safetensors, and result.json. Ctrl-C saves and says how to continue.

With --from, or from: RUN in the file, the network starts from the model of a run that has ended, with a new optimizer: to train it
further, or to start another experiment from it. from: {run: RUN, parts: [encoder]} takes only some parts of the network over.
The model's checksum and what it was trained on are kept in the new run.`,
		Example: `  engram run experiments/quickstart-protonet.yaml
  engram run experiments/protonet-omniglot.yaml --seed 2 --set train.way=20 --out runs/way20
  engram run runs/way20/config.yaml --from runs/way20 --set train.steps=5000 --out runs/further`,
		Args: args(1, anyNumber),
		RunE: func(cmd *cobra.Command, files []string) error {
			if out != "" && len(files) > 1 {
				return usageError{errors.New("--out is the folder of one run; leave it out to run several files")}
			}
			if from != "" {
				flags.set = append(flags.set, "from="+strconv.Quote(from))
			}
			overrides, err := flags.overrides(cmd)
			if err != nil {
				return err
			}
			// All files are checked before the first one runs.
			var configs []*experiments.Config
			var bad []error
			for _, file := range files {
				c, err := tool.Load(file, overrides...)
				bad = append(bad, err)
				configs = append(configs, c)
			}
			if err := errors.Join(bad...); err != nil {
				return err
			}
			var results []*results.Result
			for _, c := range configs {
				o, done := flags.options(cmd)
				o.Out = out
				r, err := tool.Run(cmd.Context(), c, o)
				done()
				if err != nil {
					return fmt.Errorf("%s: %w", c.Name, err)
				}
				results = append(results, r)
			}
			return flags.print(cmd, results)
		},
	}
	flags.register(cmd)
	flags.registerConfig(cmd)
	cmd.Flags().StringVar(&out, "out", "", "run folder (default runs/NAME/DATE-TIME)")
	cmd.Flags().StringVar(&from, "from", "", "run folder whose model training starts from")
	return cmd
}

func newResume(tool *experiments.Tool) *cobra.Command {
	var flags runFlags
	var until int64
	cmd := &cobra.Command{
		Use:   "resume RUN",
		Short: "Continue a run that was interrupted",
		Long: `Resume takes a run folder and ends with the result that the run would have had without the interruption.

With --set it changes the tests of a run whose training has ended (test, stream, threads and device), makes them again on the
trained model, and replaces the configuration and the result: for a test that could not be made, or was not the one meant.

With --until it stops after that step of training, with all saved.`,
		Example: `  engram resume runs/mine/20260101-120000
  engram resume runs/mine/20260101-120000 --set test.0.query=5`,
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			overrides, err := flags.overrides(cmd)
			if err != nil {
				return err
			}
			if until > 0 && len(overrides) > 0 {
				return usageError{errors.New("--until pauses training, and --set repeats the tests after it: give one of them")}
			}
			o, done := flags.options(cmd)
			o.Until = until
			r, err := tool.Resume(cmd.Context(), args[0], o, overrides...)
			done()
			var paused *experiments.Paused
			if errors.As(err, &paused) {
				if !flags.quiet && !flags.json {
					fmt.Fprintln(cmd.ErrOrStderr(), named(cmd, paused.Error()))
				}
				return nil
			}
			if err != nil {
				return err
			}
			return flags.print(cmd, []*results.Result{r})
		},
	}
	flags.register(cmd)
	flags.registerSet(cmd)
	cmd.Flags().Int64Var(&until, "until", 0, "pause after this step of training")
	return cmd
}

func newEval(tool *experiments.Tool) *cobra.Command {
	var flags runFlags
	cmd := &cobra.Command{
		Use:   "eval RUN",
		Short: "Test the model of a run again, perhaps in another way",
		Long: `Eval tests the model of a run. With --set it changes the tests: only test, stream, threads and device can change, since
the model was trained under the rest. The result and its scores are then kept in the run folder, below evals, named after
what was changed; engram compare and engram table take that folder as they take a run.`,
		Example: `  engram eval runs/protonet-omniglot/20260101-120000
  engram eval runs/protonet-omniglot/20260101-120000 --set 'test=[{way: 5, shot: 5, norm: transductive}]'`,
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			overrides, err := flags.overrides(cmd)
			if err != nil {
				return err
			}
			o, done := flags.options(cmd)
			r, err := tool.Evaluate(cmd.Context(), args[0], o, overrides...)
			done()
			if err != nil {
				return err
			}
			return flags.print(cmd, []*results.Result{r})
		},
	}
	flags.register(cmd)
	flags.registerSet(cmd)
	return cmd
}

// print prints results as the flags say.
func (f *runFlags) print(cmd *cobra.Command, all []*results.Result) error {
	if !f.json {
		return printResults(cmd.OutOrStdout(), all)
	}
	return printJSON(cmd.OutOrStdout(), all)
}

// printJSON prints what --json asks for.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// printResults prints a row for each figure.
func printResults(w io.Writer, all []*results.Result) error {
	tw := newColumns(w)
	fmt.Fprintln(tw, "experiment\tseed\ttested on\texamples\tfigure (95 % interval)\tprotocol")
	for _, r := range all {
		for _, f := range r.Figures {
			p := f.Protocol
			unit := f.Unit()
			switch {
			case unit == "tasks" && f.Value == 1:
				unit = "task"
			case unit == "bits": // which the metric's name says already
				unit = "per sequence"
			}
			protocol := fmt.Sprintf("split %s, rotations %s, %s, %s per class", p.Split, p.Rotations, p.Norm, countOf(p.Query, "query"))
			if p.Queries > 0 {
				protocol = fmt.Sprintf("split %s, %s, %s", p.Split, countOf(p.Way, "class"), p.Norm)
			}
			if p.FineTune > 0 {
				protocol += fmt.Sprintf(", %s of fine-tuning", countOf(p.FineTune, "step"))
			}
			if p.Adapted != "" {
				protocol += ", " + p.Adapted
			}
			switch {
			case p.Pairs > 0:
				protocol = fmt.Sprintf("split %s, rotations %s, %s", p.Split, p.Rotations, p.Norm)
			case p.Sequences > 0:
				protocol = p.Split
			case p.Labels != "":
				protocol = fmt.Sprintf("split %s, rotations %s, %s labels", p.Split, p.Rotations, p.Labels)
			case p.Questions > 0:
				protocol = fmt.Sprintf("%s, networks: %s", p.Split, p.TrainNetworks)
			}
			fmt.Fprintf(tw, "%s\t%d\t%s %s\t%d\t%s %s\t%s\n",
				r.Name, r.Seed, p.Dataset, f.Name, max(p.Episodes, p.Queries, p.Pairs, p.Sequences, p.Questions), f.Metric, strings.TrimRight(f.Text()+" "+unit, " "), protocol)
		}
	}
	return tw.Flush()
}
