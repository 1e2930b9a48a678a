package experiments_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/engram-go/engram/experiments/schema"
)

const schemaFile = "experiment.schema.json"

// The committed schema matches the structs and the registry.
func TestJSONSchemaIsUpToDate(t *testing.T) {
	want, err := tool.JSONSchema()
	require.NoError(t, err)
	if *update {
		require.NoError(t, os.WriteFile(schemaFile, want, 0o644))
	}
	got, err := os.ReadFile(schemaFile)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(want, got), "%s is not what engram schema prints: go test ./experiments -run JSONSchema -update", schemaFile)
}

// validator is an independent implementation of JSON Schema.
func validator(t testing.TB) func(text string) error {
	t.Helper()
	text, err := os.ReadFile(schemaFile)
	require.NoError(t, err)
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	require.NoError(t, c.AddResource(schemaFile, doc))
	s, err := c.Compile(schemaFile)
	require.NoError(t, err)
	return func(text string) error {
		var v any
		if err := yaml.Unmarshal([]byte(text), &v); err != nil {
			return err
		}
		asJSON, err := json.Marshal(v)
		require.NoError(t, err)
		v, err = jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
		require.NoError(t, err)
		return s.Validate(v)
	}
}

// Valid files are valid under the schema, as written and resolved.
func TestJSONSchemaTakesWhatIsInOrder(t *testing.T) {
	validate := validator(t)
	files, err := filepath.Glob("*.yaml")
	require.NoError(t, err)
	texts := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		texts[file] = string(text)
		m, err := tool.Matrix(file)
		require.NoError(t, err)
		resolved, err := m.Runs[0].Config.Encode()
		require.NoError(t, err)
		texts[file+", resolved"] = string(resolved)
	}
	_, family := networks(tool.Parts())
	for network, text := range tinyExperiments { // and with every memory
		text = strings.ReplaceAll(text, "NETWORK", network)
		for _, memory := range schema.KindNames(tool.Parts(), family[network]) {
			texts[network+" with "+memory] = strings.ReplaceAll(text, "MEMORY", memory)
		}
	}
	const test = "test: [{way: 5, shot: 1}]\n"
	for _, text := range []string{
		"name: x\nnetwork: protonet\ndataset:\nstream:\n" + test,
		"name: x\nnetwork: protonet\nstream: null\n" + test,
		"name: x\nnetwork: {kind: protonet, encoder: {filters: 8}, memory: {metric: {kind: covariance, ridge: 2}}}\ndataset: {train: 100}\n" + test,
		"name: x\nnetwork: transfer\ntest: [{way: 5, shot: 1, head: null}, {way: 5, shot: 5, head: {kind: mean, metric: cosine}}]\n",
		"name: x\nnetwork: ntm\ndataset: copy\ntest: [{length: 5}]\n",
		"name: x\nnetwork: memnet\n",
		"name: x\nnetwork: mann\nlabels: strings\ntest: [{way: 5}]\n",
		"name: x\nnetwork: protonet\nseed: 1e3\noptimizer: {rate: 1}\n" + test,
		"name: x\nmatrix: {network: [protonet, mann], seed: [1]}\ntest: [{way: 5}]\n",
		"base: quickstart-protonet.yaml\n",
		"base: quickstart-protonet.yaml\nnetwork: {encoder: {filters: 8}, memory: {metric: cosine, scale: 5}}\n",
		"base: x.yaml\nlabels: {length: 3}\ntrain: {samples: 5}\nnetwork: {controller: {size: 5}}\n",
		"base: x.yaml\nmatrix: {train.way: [5, 20], network.memory: [lrua, {kind: ntm}, null], test.0.way: [5]}\n",
		"base: x.yaml\nmatrix: null\nschedule: {every: 5}\nnetwork: {kind: memnet, hops: 2}\ntrain: {epochs: 5}\n",
	} {
		texts[text] = text
	}
	for name, text := range texts {
		assert.NoError(t, validate(text), name)
	}
}

// The program rejects what the schema rejects, and the schema detects mistakes in the shape of a file.
func TestJSONSchemaRefusesWhatIsNot(t *testing.T) {
	validate := validator(t)
	const good = "name: x\nnetwork: protonet\ntest: [{way: 5, shot: 1}]\n"
	require.NoError(t, validate(good))
	base := written(t, "y.yaml", good, "x.yaml", "")
	for _, text := range []string{
		"name: x\n",
		"[]\n",
		"name: x\nnetwork: protonet\n",
		"network: protonet\ntest: [{way: 5, shot: 1}]\n",
		"name: x\ntest: [{way: 5, shot: 1}]\n",
		"name: x\nnetwork: null\ntest: [{way: 5, shot: 1}]\n",
		"name: x\nnetwork: protonte\ntest: [{way: 5, shot: 1}]\n",
		"name: x\nnetwork: {memory: keyvalue}\ntest: [{way: 5, shot: 1}]\n",
		"name: x\nnetwork: protonet\ntest: []\n",
		"name: x\nnetwork: protonet\ntest: {way: 5, shot: 1}\n",
		"name: ''\nnetwork: protonet\ntest: [{way: 5, shot: 1}]\n",
		"name: 5\nnetwork: protonet\ntest: [{way: 5, shot: 1}]\n",
		good + "trian: {way: 5}\n",
		good + "train: {wya: 5}\n",
		good + "train: {way: five}\n",
		good + "train: {way: 1}\n",
		good + "train: {way: 2.5}\n",
		good + "train: [5]\n",
		good + "seed: -1\n",
		good + "seed: null\n",
		good + "train: {distort: {shear: 1}}\n",
		good + "train: {within_alphabet: 1}\n",
		good + "validation: {norm: both}\n",
		good + "labels: one-hot\n",
		good + "optimizer: adma\n",
		good + "optimizer: {kind: adam, momentum: .9}\n",
		good + "optimizer: {rate: 0}\n",
		good + "schedule: step\n",
		good + "schedule: {kind: step}\n",
		good + "dataset: copy\n",
		good + "dataset: stories\n",
		good + "dataset: images\n",
		good + "dataset: {split: lake}\n",
		good + "dataset: {kind: omniglot, split: vinylas}\n",
		good + "dataset: {kind: omniglot, size: 7}\n",
		good + "dataset: {kind: images, root: x, split: {kind: csv}}\n",
		"name: x\nnetwork: {kind: protonet, encoder: {kind: conv4, pools: 5}}\ntest: [{way: 5, shot: 1}]\n",
		"name: x\nnetwork: {kind: protonet, encoder: {kind: koch, filters: [1, 2, 3]}}\ntest: [{way: 5, shot: 1}]\n",
		"name: x\nnetwork: {kind: protonet, encoder: torchscript}\ntest: [{way: 5, shot: 1}]\n",
		"name: x\nnetwork: {kind: protonet, memory: {metric: cosin}}\ntest: [{way: 5, shot: 1}]\n",
		"name: x\nnetwork: {kind: protonet, memory: {slots: 5}}\ntest: [{way: 5, shot: 1}]\n",
		"name: x\nnetwork: {kind: protonet, context: full}\ntest: [{way: 5, shot: 1}]\n",
		"name: x\nnetwork: protonet\ntest: [{way: 5, shot: 1, dataset: copy}]\n",
		"name: x\nnetwork: protonet\ntest: [{way: 5, shot: 1, dataset: {split: lake}}]\n",
		"name: x\nnetwork: transfer\ntest: [{way: 5, shot: 1, head: {kind: mean, epochs: 3}}]\n",
		"name: x\nnetwork: ntm\ntest: [{length: 5}]\n",
		"name: x\nnetwork: ntm\ndataset: {kind: copy, bits: 0}\ntest: [{length: 5}]\n",
		"name: x\nnetwork: mann\ntest: [{samples: 5}]\n",
		"name: x\nnetwork: memnet\ntest: [{way: 5}]\n",
		"base: 5\n",
		"base: ''\n",
		"base: y.yaml\ntrian: {way: 5}\n",
		"base: y.yaml\ntrain: {epochs: 5, samples: 3}\n",
		"base: y.yaml\ntrain: {way: 0}\n",
		"base: y.yaml\nnetwork: {memry: lrua}\n",
		"base: y.yaml\nnetwork: {kind: protonet, context: full}\n",
		"base: y.yaml\nnetwork: {kind: none}\n",
		good + "matrix: 5\n",
		good + "matrix: {seed: 5}\n",
		good + "matrix: {seed: []}\n",
		good + "matrix: {train: {way: [5]}}\n",
		good + "matrix: {train..way: [5]}\n",
		good + "matrix: {name: [a]}\n",
		good + "matrix: {base: [a]}\n",
		good + "matrix: {seed: [1, 2]}\ntrain: {wya: 5}\n",
	} {
		assert.Error(t, validate(text), "the schema takes:\n%s", text)
		file := filepath.Join(filepath.Dir(base), "x.yaml")
		require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
		_, err := tool.Matrix(file)
		assert.Error(t, err, "the program takes:\n%s", text)
	}
}

// For any value under any key: the schema accepts what the program accepts.
func TestJSONSchemaIsNoStricterThanTheProgram(t *testing.T) {
	validate := validator(t)
	taken, refused := 0, 0
	seen := map[string]bool{} // keys that had their turn
	for _, text := range []string{
		strings.NewReplacer("NETWORK", "protonet", "MEMORY", "prototype").Replace(onStrokes) + "stream: {}\nschedule: {kind: step, every: 5}\n",
		strings.NewReplacer("NETWORK", "mann", "MEMORY", "lrua").Replace(oneByOne),
		strings.NewReplacer("NETWORK", "ntm", "MEMORY", "dnc").Replace(onCopy),
		strings.NewReplacer("NETWORK", "memnet", "MEMORY", "keyvalue").Replace(onStories),
		"name: x\nnetwork: transfer\ntest: [{way: 5, shot: 1, head: cosine, dataset: omniglot}]\noptimizer: sgd\n",
	} {
		c, err := tool.Parse("x.yaml", []byte(text))
		require.NoError(t, err)
		resolved, err := c.Encode()
		require.NoError(t, err)
		var root map[string]any
		require.NoError(t, yaml.Unmarshal(resolved, &root))
		try := func() {
			text, err := yaml.Marshal(root)
			require.NoError(t, err)
			if _, err := tool.Parse("x.yaml", text); err != nil {
				refused++
				return
			}
			taken++
			assert.NoError(t, validate(string(text)), "%s", text)
		}
		values := []any{nil, 0, 2.5, "mean", []any{1}, map[string]any{"kind": "constant"}}
		var each func(path string, in any)
		each = func(path string, in any) {
			switch in := in.(type) {
			case map[string]any:
				for key, old := range in {
					at := path + "." + key
					if path == "" && slices.Contains([]string{"dataset", "network", "labels", "train", "validation", "test"}, key) {
						at = c.Network + at // of its own kind of file
					}
					each(at, old)
					if seen[at] {
						continue
					}
					seen[at] = true
					for _, v := range values {
						in[key] = v
						try()
					}
					delete(in, key)
					try()
					in[key] = old
				}
			case []any:
				for _, e := range in {
					each(path, e)
				}
			}
		}
		each("", root)
	}
	assert.Greater(t, taken, 200)
	assert.Greater(t, refused, 500)
}
