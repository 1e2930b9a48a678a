package cli

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/tensor"
)

var update = flag.Bool("update", false, "write testdata/badinput.txt anew; read what has changed")

// badInput is a mistake that a user can make. Its files are made in a folder of its own, DIR in the arguments and messages.
// RUN is a finished run's folder, OTHER another's of a network with other shapes, STORIES one of a Memory Network.
type badInput struct {
	name  string
	args  string            // of the command line, separated by spaces; _ in an argument is a space
	files map[string]string // by their names below DIR
	make  func(t *testing.T, dir, run string)
}

// with is an experiment file of a tiny experiment with lines in place of those that begin with the same key.
func with(lines ...string) map[string]string {
	text := strings.TrimSpace(tiny)
	for _, l := range lines {
		key, _, _ := strings.Cut(l, ":")
		var kept []string
		for _, old := range strings.Split(text, "\n") {
			if !strings.HasPrefix(old, key+":") {
				kept = append(kept, old)
			}
		}
		text = strings.Join(append(kept, l), "\n")
	}
	return map[string]string{"x.yaml": text + "\n"}
}

func file(text string) map[string]string { return map[string]string{"x.yaml": text} }

// copied copies the run to DIR/run and changes it there.
func copied(change func(t *testing.T, run string)) func(*testing.T, string, string) {
	return func(t *testing.T, dir, run string) {
		require.NoError(t, os.CopyFS(filepath.Join(dir, "run"), os.DirFS(run)))
		change(t, filepath.Join(dir, "run"))
	}
}

// rewritten changes a file of a copy of the run.
func rewritten(name string, change func([]byte) []byte) func(*testing.T, string, string) {
	return copied(func(t *testing.T, run string) {
		text, err := os.ReadFile(filepath.Join(run, name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(run, name), change(text), 0o644))
	})
}

func half(b []byte) []byte { return b[:len(b)/2] }

func empty([]byte) []byte { return nil }

func removed(name string) func(*testing.T, string, string) {
	return copied(func(t *testing.T, run string) { require.NoError(t, os.Remove(filepath.Join(run, name))) })
}

// badInputs are the mistakes of the table.
var badInputs = []badInput{
	// The command line.
	{name: "no such command", args: "tarin"},
	{name: "no such flag", args: "run x.yaml --sed 3"},
	{name: "no file", args: "run"},
	{name: "set without a value", args: "run x.yaml --set train.way"},
	{name: "set of nothing", args: "run x.yaml --set =5"},
	{name: "set of an unknown key", args: "run DIR/x.yaml --set train.wya=5", files: with()},
	{name: "set of a value that does not fit", args: "run DIR/x.yaml --set train.way=five", files: with()},
	{name: "set of broken YAML", args: "run DIR/x.yaml --set train={way:", files: with()},
	{name: "set of an element that is not there", args: "run DIR/x.yaml --set test.3.way=5", files: with()},
	{name: "seed that is no number", args: "run x.yaml --seed one"},
	{name: "seed below zero", args: "run x.yaml --seed -1"},
	{name: "out of two files", args: "run a.yaml b.yaml --out DIR/run"},
	{name: "one run to compare", args: "compare DIR/run"},
	{name: "two experiments to sweep", args: "sweep a.yaml b.yaml"},
	{name: "sweep on another planet", args: "sweep x.yaml --on mars"},
	{name: "sweep on slurm with what is no option", args: "sweep DIR/x.yaml --out DIR/out --on slurm --sbatch account=lab --dry-run", files: with("matrix: {seed: [1, 2]}")},
	{name: "sweep on slurm with an option of its own", args: "sweep DIR/x.yaml --out DIR/out --on slurm --sbatch --array=0-99%5 --dry-run", files: with("matrix: {seed: [1, 2]}")},
	{name: "predict with nothing", args: "predict"},
	{name: "predict with other ink", args: "predict --run RUN --support DIR --query x.png --ink blue"},
	{name: "data set that nobody knows", args: "data fetch mnist"},
	{name: "explain with an unknown format", args: "explain STORIES --plot a.gif"},
	{name: "explain another network", args: "explain RUN"},
	{name: "explain a task that it has not learned", args: "explain STORIES --task 7"},
	{name: "table elsewhere", args: "table --dir DIR"},

	// Experiment files.
	{name: "file that is not there", args: "run DIR/x.yaml"},
	{name: "folder for a file", args: "validate DIR"},
	{name: "empty file", args: "validate DIR/x.yaml", files: file("")},
	{name: "list for a file", args: "validate DIR/x.yaml", files: file("- name: x\n")},
	{name: "two documents", args: "validate DIR/x.yaml", files: file("name: x\n---\nname: y\n")},
	{name: "no text", args: "validate DIR/x.yaml", files: file("\xff\xfe\x00n\x00a")},
	{name: "tabs", args: "validate DIR/x.yaml", files: file("train:\n\tway: 5\n")},
	{name: "nothing to train", args: "validate DIR/x.yaml", files: file("name: x\n")},
	{name: "unknown key", args: "validate DIR/x.yaml", files: with("optimzer: adam")},
	{name: "unknown network", args: "validate DIR/x.yaml", files: with("network: protonett")},
	{name: "unknown data set", args: "validate DIR/x.yaml", files: with("dataset: omniglott")},
	{name: "unknown encoder", args: "validate DIR/x.yaml", files: with("network: {kind: protonet, encoder: resnet13}")},
	{name: "unknown memory", args: "validate DIR/x.yaml", files: with("network: {kind: matchingnet, memory: ram}")},
	{name: "unknown metric", args: "validate DIR/x.yaml", files: with("network: {kind: matchingnet, memory: {kind: keyvalue, metric: hamming}}")},
	{name: "unknown optimizer", args: "validate DIR/x.yaml", files: with("optimizer: lion")},
	{name: "rate below zero", args: "validate DIR/x.yaml", files: with("optimizer: {kind: adam, rate: -1}")},
	{name: "unknown schedule", args: "validate DIR/x.yaml", files: with("schedule: {kind: step, evry: 5}")},
	{name: "unknown device", args: "validate DIR/x.yaml", files: with("device: tpu")},
	{name: "one way", args: "validate DIR/x.yaml", files: with("train: {way: 1}")},
	{name: "half a shot", args: "validate DIR/x.yaml", files: with("train: {shot: 0.5}")},
	{name: "the same test twice", args: "validate DIR/x.yaml", files: with("test: [{way: 5, shot: 1}, {way: 5, shot: 1}]")},
	{name: "clip of what is not carried", args: "validate DIR/x.yaml", files: with("train: {way: 5, clip: {carried: 1}}")},
	{name: "image size that the encoder cannot halve", args: "validate DIR/x.yaml", files: with("dataset: {kind: strokes, size: 3}")},
	{name: "sequences for images", args: "validate DIR/x.yaml", files: file("name: x\nnetwork: ntm\ndataset: omniglot\n")},
	{name: "images for sequences", args: "validate DIR/x.yaml", files: file("name: x\nnetwork: protonet\ndataset: copy\n")},
	{name: "TensorFloat-32 on the CPU", args: "validate DIR/x.yaml", files: with("tf32: true")},
	{name: "linear start with a memory that has no softmax over sentences", args: "validate DIR/x.yaml", files: file("name: x\nnetwork: {kind: memnet, memory: lrua}\ndataset: stories\ntrain: {epochs: 5, linear_start: {epochs: 2}}\n")},
	{name: "sentences merged by class", args: "validate DIR/x.yaml", files: file("name: x\nnetwork: {kind: memnet, memory: prototype}\ndataset: stories\n")},
	{name: "sentences under a metric of a support set", args: "validate DIR/x.yaml", files: file("name: x\nnetwork: {kind: memnet, memory: {kind: keyvalue, metric: covariance}}\ndataset: stories\n")},
	{name: "bAbI task that there is not", args: "validate DIR/x.yaml", files: file("name: x\nnetwork: memnet\ndataset: {kind: babi, tasks: [21]}\n")},
	{name: "labels that there are not", args: "validate DIR/x.yaml", files: file("name: x\nnetwork: mann\ndataset: omniglot\nlabels: roman\ntest: [{way: 5}]\n")},
	{name: "two files, both wrong", args: "validate DIR/x.yaml DIR/y.yaml", files: map[string]string{"x.yaml": "name: x\n", "y.yaml": "nam: y\nnetwork: protonet\n"}},

	// Data.
	{name: "data that are not here", args: "run DIR/x.yaml --data DIR/none", files: with("dataset: omniglot")},
	{name: "data folder without data", args: "run DIR/x.yaml --data DIR", files: with("dataset: omniglot")},
	{name: "archive that is cut off", args: "run DIR/x.yaml --data DIR", files: map[string]string{
		"x.yaml":                 "name: x\nnetwork: memnet\ndataset: babi\n",
		"tasks_1-20_v1-2.tar.gz": "\x1f\x8b\x08"}},
	{name: "images that are not there", args: "run DIR/x.yaml", files: with("dataset: {kind: images, root: DIR/none}")},
	{name: "images in no class", args: "run DIR/x.yaml", files: with("dataset: {kind: images, root: DIR}")},
	{name: "image that is none", args: "run DIR/x.yaml", files: func() map[string]string {
		m := with("dataset: {kind: images, root: DIR/images}")
		m["images/a/1.png"] = "no image"
		m["images/b/1.png"] = "no image"
		return m
	}()},
	{name: "more ways than classes", args: "run DIR/x.yaml", files: with("train: {way: 50, steps: 1}")},
	{name: "more images than a class has", args: "run DIR/x.yaml", files: with("train: {way: 5, shot: 9, steps: 1}")},
	{name: "module that is not there", args: "run DIR/x.yaml", files: with("network: {kind: protonet, encoder: {kind: torchscript, path: DIR/none.pt}}")},
	{name: "module that is none", args: "run DIR/x.yaml", files: with("network: {kind: protonet, encoder: {kind: torchscript, path: DIR/x.yaml}}")},
	{name: "module that was traced in training mode", args: "run DIR/x.yaml", files: with("network: {kind: protonet, encoder: {kind: torchscript, path: ../encoder/testdata/faults/traced-norm.pt}}")},
	{name: "module that draws random numbers", args: "run DIR/x.yaml", files: with("network: {kind: protonet, encoder: {kind: torchscript, path: ../encoder/testdata/faults/traced-dropout.pt}}")},
	{name: "module that changes itself", args: "run DIR/x.yaml", files: with("network: {kind: protonet, encoder: {kind: torchscript, path: ../encoder/testdata/faults/counting.pt}}")},
	{name: "module of half precision", args: "run DIR/x.yaml", files: with("network: {kind: protonet, encoder: {kind: torchscript, path: ../encoder/testdata/faults/half.pt}}")},
	{name: "frozen module to be trained", args: "run DIR/x.yaml", files: with("network: {kind: protonet, encoder: {kind: torchscript, path: ../encoder/testdata/faults/frozen.pt, train: true}}")},
	{name: "module without gradients to be trained", args: "run DIR/x.yaml", files: with("network: {kind: protonet, encoder: {kind: torchscript, path: ../encoder/testdata/faults/no-grad.pt, train: true}}")},
	{name: "normalisation of more channels than there are", args: "run DIR/x.yaml", files: with("network: {kind: protonet, encoder: {kind: conv4, input: {mean: [0.1, 0.2, 0.3]}}}")},
	{name: "more heads than slots", args: "validate DIR/x.yaml", files: file("name: x\nnetwork: {kind: ntm, memory: {kind: lrua, slots: 2, heads: 4}}\ndataset: copy\ntest: [{length: 10}]\n")},
	{name: "name that is no name of a folder", args: "validate DIR/x.yaml", files: with("name: ..")},
	{name: "name with a line break", args: "validate DIR/x.yaml", files: with("name: \"a\\nb\"")},
	{name: "support that is not there", args: "predict --run RUN --support DIR/none --query DIR"},
	{name: "query that is not there", args: "predict --run RUN --support ../examples/letters/support --query DIR/none.png"},
	{name: "query that is no image", args: "predict --run RUN --support ../examples/letters/support --query DIR/x.png", files: map[string]string{"x.png": "no image"}},

	// Run folders.
	{name: "run folder that is none", args: "resume DIR"},
	{name: "run folder that is in use", args: "run DIR/x.yaml --out RUN", files: with()},
	{name: "run folder that is a file", args: "run DIR/x.yaml --out DIR/x.yaml", files: with()},
	{name: "run folder below a file", args: "run DIR/x.yaml --out DIR/x.yaml/run", files: with()},
	{name: "run folder of another process", args: "resume DIR/run", make: copied(func(t *testing.T, run string) {
		require.NoError(t, os.Remove(filepath.Join(run, "result.json")))
		lock, err := os.OpenFile(filepath.Join(run, ".lock"), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
		require.NoError(t, err)
		t.Cleanup(func() { _ = lock.Close() })
		require.NoError(t, syscall.Flock(int(lock.Fd()), syscall.LOCK_EX))
		_, err = lock.WriteString("process 7 on lab, since yesterday\n")
		require.NoError(t, err)
	})},
	{name: "run without a configuration", args: "eval DIR/run", make: removed("config.yaml")},
	{name: "run without a model", args: "eval DIR/run", make: removed("model.safetensors")},
	{name: "configuration that was cut off", args: "eval DIR/run", make: rewritten("config.yaml", half)},
	{name: "configuration of another network", args: "eval DIR/run", make: rewritten("config.yaml", func(b []byte) []byte {
		return bytes.ReplaceAll(b, []byte("filters: 4"), []byte("filters: 8"))
	})},
	{name: "result that was cut off", args: "resume DIR/run", make: rewritten("result.json", half)},
	{name: "result with more than it has", args: "compare DIR/run DIR/run", make: rewritten("result.json", func(b []byte) []byte {
		return bytes.Replace(b, []byte("{"), []byte(`{"colour": "red",`), 1)
	})},
	{name: "scores that were cut off", args: "compare DIR/run DIR/run", make: rewritten("scores.json", half)},
	{name: "sweep over other runs", args: "sweep DIR/x.yaml --out DIR", files: with("threads: 1", "optimizer: sgd"), make: func(t *testing.T, dir, run string) {
		require.NoError(t, os.CopyFS(filepath.Join(dir, "seed-1"), os.DirFS(run)))
	}},

	// Checkpoints and weights.
	{name: "model that was cut off", args: "eval DIR/run", make: rewritten("model.safetensors", half)},
	{name: "model that is empty", args: "eval DIR/run", make: rewritten("model.safetensors", empty)},
	{name: "model whose header is none", args: "eval DIR/run", make: rewritten("model.safetensors", func(b []byte) []byte {
		return append([]byte{255, 255, 255, 255, 255, 255, 255, 127}, b[8:]...)
	})},
	{name: "model of another network", args: "eval DIR/run", make: copied(func(t *testing.T, run string) {
		text, err := os.ReadFile(filepath.Join(filepath.Dir(run), "other.safetensors"))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(run, "model.safetensors"), text, 0o644))
	})},
	{name: "checkpoints that were all cut off", args: "resume DIR/run", make: copied(func(t *testing.T, run string) {
		require.NoError(t, os.Remove(filepath.Join(run, "result.json")))
		files, err := filepath.Glob(filepath.Join(run, "checkpoint*"))
		require.NoError(t, err)
		for _, f := range files {
			require.NoError(t, os.Truncate(f, 100))
		}
	})},
	{name: "start from no run", args: "run DIR/x.yaml --from DIR", files: with()},
	{name: "start from a run of another network", args: "run DIR/x.yaml --from RUN", files: with("network: {kind: matchingnet, encoder: {kind: conv4, filters: 6}}")},
	{name: "start from a part that there is not", args: "run DIR/x.yaml --set from={\"run\":RUN,\"parts\":[relation]}", files: with()},
	{name: "weights in two files of one name", args: "import DIR/x.yaml ../nn/weights/testdata/protonet.pt ../nn/weights/testdata/protonet.pt", files: with()},
	{name: "weights of a part that there is not", args: "import DIR/x.yaml relation=../nn/weights/testdata/protonet.pt", files: with()},
	{name: "weights that are not there", args: "import DIR/x.yaml DIR/none.pt", files: with()},
	{name: "weights that are none", args: "import DIR/x.yaml DIR/x.pt", files: func() map[string]string {
		m := with()
		m["x.pt"] = "no weights"
		return m
	}()},
	{name: "weights of another network", args: "import DIR/x.yaml ../nn/weights/testdata/protonet.pt", files: with()},
	{name: "weights with a map that is none", args: "import DIR/x.yaml ../nn/weights/testdata/protonet.pt --map DIR/x.yaml", files: with()},
	{name: "export of no run", args: "export DIR DIR/x.safetensors"},
	{name: "export into nowhere", args: "export RUN DIR/none/x.safetensors"},
}

// golden is the table: each mistake's command line, the status it ends with, and all that the user is told.
const golden = "testdata/badinput.txt"

// Every mistake has a message that names the place and the mend. The messages are in testdata/badinput.txt, to be read as a
// whole; go test ./cmd/engram -run BadInput -update writes it.
func TestBadInput(t *testing.T) {
	base := t.TempDir()
	run, other, stories := filepath.Join(base, "run"), filepath.Join(base, "other"), filepath.Join(base, "stories")
	story := filepath.Join(base, "stories.yaml")
	require.NoError(t, os.WriteFile(story, []byte("name: stories\nnetwork: memnet\ndataset: {kind: stories, train: 50, test: 20}\ntrain: {epochs: 1}\n"), 0o644))
	for _, args := range [][]string{
		{tinyFile(t), "--out", run}, {tinyFile(t), "--out", other, "--set", "network.encoder.filters=6"}, {story, "--out", stories},
	} {
		code, _, stderr := engram(t.Context(), append([]string{"run", "-q", "--set", "threads=1"}, args...))
		require.Equal(t, exitOK, code, stderr)
	}
	var table strings.Builder
	for _, c := range badInputs {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			names := strings.NewReplacer("DIR", dir, "RUN", run, "OTHER", other, "STORIES", stories)
			for name, text := range c.files {
				require.NoError(t, os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755))
				require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(names.Replace(text)), 0o644))
			}
			text, err := os.ReadFile(filepath.Join(other, "model.safetensors"))
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Join(dir, "other.safetensors"), text, 0o644))
			if c.make != nil {
				c.make(t, dir, run)
			}
			args := strings.Fields(c.args)
			for i := range args {
				args[i] = names.Replace(args[i])
			}
			code, out, stderr := engram(context.Background(), args)
			assert.Contains(t, []int{exitFailure, exitUsage}, code, "%s", stderr)
			assert.Empty(t, out)
			assert.True(t, strings.HasPrefix(stderr, "engram: ") || strings.Contains(stderr, "\nengram: "), stderr)
			for _, sign := range []string{"goroutine ", "runtime error", "panic", ".go:", ".cpp", "c10::", "0x7f"} {
				assert.NotContains(t, stderr, sign, "a trace of the program's own")
			}
			hidden := strings.NewReplacer(dir, "DIR", run, "RUN", other, "OTHER", stories, "STORIES", tensor.Version(), "VERSION")
			fmt.Fprintf(&table, "%s\n$ engram %s\n%s[%d]\n\n", c.name, c.args, hidden.Replace(stderr), code)
		})
	}
	require.GreaterOrEqual(t, len(badInputs), 60)
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(golden), 0o755))
		require.NoError(t, os.WriteFile(golden, []byte(table.String()), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	assert.Equal(t, string(want), table.String())
}
