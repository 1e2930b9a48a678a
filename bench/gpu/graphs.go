package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/engram-go/engram/experiments"
	"github.com/engram-go/engram/internal/small"
)

// graphed are the experiments whose training steps are captured as CUDA graphs: recurrent networks, and few-shot networks.
var graphed = []string{
	"ntm-copy", "lstm-copy", "mann-omniglot", "protonet-omniglot", "matchingnet-fce-omniglot", "relationnet-omniglot", "resnet12-cifar-fs",
	"siamese-omniglot", "maml-omniglot",
}

// graphSteps are enough for a capture in the third step and replays with other data.
const graphSteps = 8

// Graphed compares a short training with cuda_graphs and one without, on the same device.
type Graphed struct {
	Name     string  `json:"name"`
	Steps    int     `json:"steps"`
	LossDiff float64 `json:"loss_difference"` // the largest of the steps, relative
	Captured bool    `json:"captured"`
	Note     string  `json:"note,omitempty"` // why it was not captured
	Error    string  `json:"error,omitempty"`
}

// OK reports whether graphs compute what the steps without them do.
func (g Graphed) OK() bool { return g.Error == "" && g.Captured && g.LossDiff <= bound } // false for NaN

func (g Graphed) String() string {
	verdict := "agrees"
	switch {
	case g.Error != "":
		verdict = "FAILED: " + g.Error
	case !g.Captured:
		verdict = "NOT CAPTURED: " + g.Note
	case !g.OK():
		verdict = "DIFFERS"
	}
	return fmt.Sprintf("%-32s graphs, %d steps, difference of losses %.1e: %s", g.Name, g.Steps, g.LossDiff, verdict)
}

// graphs trains the small version of an experiment with graphs and without.
func graphs(ctx context.Context, tool *experiments.Tool, file string, o options) (out Graphed) {
	out.Captured = true
	var losses [2][]float64
	for i, with := range []bool{false, true} {
		said := &notes{}
		var err error
		if losses[i], err = lossesOf(ctx, tool, file, o, with, said); err != nil {
			out.Error = fmt.Sprintf("cuda_graphs: %v: %v", with, err)
			return out
		}
		for _, line := range said.lines {
			if with && strings.HasPrefix(line, "cuda_graphs: ") {
				out.Captured, out.Note = false, line
			}
		}
	}
	if out.Steps = len(losses[0]); out.Steps != len(losses[1]) || out.Steps == 0 {
		out.Error = fmt.Sprintf("%d steps without graphs, %d with", len(losses[0]), len(losses[1]))
		return out
	}
	for i, want := range losses[0] {
		out.LossDiff = math.Max(out.LossDiff, math.Abs(want-losses[1][i])/math.Max(math.Abs(want), 1)) // NaN stays
	}
	return out
}

// lossesOf trains for graphSteps steps and returns their losses.
func lossesOf(ctx context.Context, tool *experiments.Tool, file string, o options, with bool, said *notes) (losses []float64, err error) {
	sets := func(c *experiments.Config) ([]string, error) {
		sets, err := small.Overrides(c)
		if strings.HasSuffix(c.Name, "-copy") { // so that lengths come again
			sets = append(sets, "dataset.max_length=1")
		}
		return sets, err
	}
	c, err := load(tool, file, sets, "device="+o.device, fmt.Sprintf("train.steps=%d", graphSteps), "validation.every=100", fmt.Sprintf("cuda_graphs=%v", with))
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "engram-gpu")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if _, err := tool.Run(ctx, c, experiments.Options{Out: filepath.Join(dir, "run"), Reporter: said}); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(dir, "run", "metrics.jsonl"))
	if err != nil {
		return nil, err
	}
	for lines := json.NewDecoder(bytes.NewReader(text)); ; {
		var line struct{ Loss *float64 }
		switch err := lines.Decode(&line); {
		case errors.Is(err, io.EOF):
			return losses, nil
		case err != nil:
			return nil, err
		case line.Loss != nil:
			losses = append(losses, *line.Loss)
		}
	}
}

// notes is a reporter that keeps the notes.
type notes struct {
	experiments.Silent
	lines []string
}

// Note implements [experiments.Reporter].
func (n *notes) Note(line string) { n.lines = append(n.lines, line) }
