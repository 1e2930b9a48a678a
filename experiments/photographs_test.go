package experiments_test

import (
	"encoding/json"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/nlpodyssey/safetensors"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/experiments"
)

// smallTextures is photographs with everything that they need.
const smallTextures = "dataset={kind: textures, train: 16, val: 6, test: 6, instances: 8, size: 16, resize: 18, normalize: train}"

const fullAugment = "train.augment={pad: 2, brightness: 0.4, contrast: 0.4, saturation: 0.4, flip: 0.5, erase: 0.5}"

// Every source of training data takes photographs that are cropped, normalised and augmented; the figure says how they were prepared,
// and the run's configuration has the statistics of its training classes.
func TestPhotographsOfEverySource(t *testing.T) {
	for _, network := range []string{
		"{kind: protonet, encoder: {kind: conv4, filters: 8}}", "{kind: transfer, encoder: {kind: conv4, filters: 8}, head: {kind: linear, epochs: 2}}",
		"{kind: siamese, encoder: {kind: conv4, filters: 8}}", "{kind: maml, encoder: {kind: conv4, filters: 8, strided: true}}",
	} {
		dir := t.TempDir()
		r := run(t, dir, "network="+network, smallTextures, fullAugment, "train.steps=8")
		p := r.Figures[0].Protocol
		assert.Equal(t, "resized to 18, centre 16, normalised", p.Prepared, network)
		c, err := tool.RunConfig(dir)
		require.NoError(t, err)
		text, err := c.Encode()
		require.NoError(t, err)
		assert.Contains(t, string(text), "mean: [0.", "%s: filled in when the run started", network)

		// Photographs elsewhere are prepared the same way.
		support, query := writeTextures(t, 5)
		all, err := tool.Predict(t.Context(), dir, experiments.PredictOptions{Support: support, Query: []string{query}})
		require.NoError(t, err, network)
		assert.Len(t, all, 5)
	}
}

// writeTextures writes classes of photographs as files: two for a support set, and one to ask about.
func writeTextures(t *testing.T, classes int) (support, query string) {
	t.Helper()
	const side = 24
	set, err := dataset.NewTextures(9, dataset.DrawnOptions{Train: classes, Instances: 3, Size: side})
	require.NoError(t, err)
	dir, pixels := t.TempDir(), make([]float32, 3*side*side)
	write := func(path string, class, instance int) {
		set.Image(pixels, class, instance, 0)
		img := image.NewRGBA(image.Rect(0, 0, side, side))
		for i := range side * side {
			at := func(c int) uint8 { return uint8(math.Round(float64(pixels[c*side*side+i]) * 255)) }
			img.SetRGBA(i%side, i/side, color.RGBA{at(0), at(1), at(2), 255})
		}
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		f, err := os.Create(path)
		require.NoError(t, err)
		require.NoError(t, png.Encode(f, img))
		require.NoError(t, f.Close())
	}
	support, query = filepath.Join(dir, "support"), filepath.Join(dir, "query")
	for c := range classes {
		write(filepath.Join(support, set.Class(c), "1.png"), c, 0)
		write(filepath.Join(support, set.Class(c), "2.png"), c, 1)
		write(filepath.Join(query, strconv.Itoa(c)+".png"), c, 2)
	}
	return support, query
}

// An interrupted run continues with the same augmented images and the same statistics, whatever the prefetch.
func TestPhotographsResume(t *testing.T) {
	sets := []string{smallTextures, fullAugment}
	want := run(t, t.TempDir(), sets...)
	interrupted(t, config(t, append(sets, "train.prefetch=4")...), 11, 4, want)
	plain := run(t, t.TempDir(), smallTextures)
	assert.NotEqual(t, plain.Figures[0].Scores, want.Figures[0].Scores)
}

// What a network is given has mean 0 and deviation 1 over the training classes, and given statistics are used as they are.
func TestPhotographsAreNormalised(t *testing.T) {
	given := "dataset={kind: textures, train: 16, val: 6, test: 6, instances: 8, size: 16, normalize: given, mean: [0.5, 0.4, 0.3], std: [0.1, 0.2, 0.3]}"
	a := run(t, t.TempDir(), given)
	b := run(t, t.TempDir(), "dataset={kind: textures, train: 16, val: 6, test: 6, instances: 8, size: 16}")
	assert.Equal(t, "normalised", a.Figures[0].Protocol.Prepared)
	assert.Empty(t, b.Figures[0].Protocol.Prepared)
	for says, set := range map[string]string{
		"mean and std are given and not used":      "dataset={kind: textures, mean: [0.5, 0.5, 0.5]}",
		"0 means and 0 deviations for images of 3": "dataset={kind: textures, normalize: given}",
		"1 means and 1 deviations for images of 3": "dataset={kind: cifar-fs, normalize: given, mean: [0.5], std: [0.5]}",
		"it must be at least size":                 "dataset={kind: miniimagenet, resize: 80}",
		"use pad or area":                          "train.augment={pad: 2, area: 0.5}",
		"name a file of features":                  "dataset={kind: features}",
		"path and train, val or test exclude each": "dataset={kind: features, path: a, test: b}",
		"no such file or directory":                "dataset={kind: features, path: nowhere.safetensors}",
	} {
		_, err := tool.Parse("tiny.yaml", []byte(tiny), overrides(t, set)...)
		assert.ErrorContains(t, err, says)
	}
}

// writeFeatures writes features of classes that lie far apart: class c has its values around c.
func writeFeatures(t *testing.T, classes, rows int) string {
	t.Helper()
	var features []byte
	var labels []byte
	var names []string
	for c := range classes {
		names = append(names, "class "+strconv.Itoa(c))
		for i := range rows {
			for k := range 4 {
				features = append(features, le32(math.Float32bits(float32(c)+.01*float32(i)+float32(k)))...)
			}
			labels = append(labels, le32(uint32(c))...)
			labels = append(labels, 0, 0, 0, 0)
		}
	}
	n := uint64(classes * rows)
	f, err := safetensors.NewTensorView(safetensors.F32, []uint64{n, 4}, features)
	require.NoError(t, err)
	l, err := safetensors.NewTensorView(safetensors.I64, []uint64{n}, labels)
	require.NoError(t, err)
	text, err := json.Marshal(names)
	require.NoError(t, err)
	b, err := safetensors.Serialize(map[string]safetensors.TensorView{"features": f, "labels": l}, map[string]string{"classes": string(text)})
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "features.safetensors")
	require.NoError(t, os.WriteFile(path, b, 0o644))
	return path
}

func le32(v uint32) []byte { return []byte{byte(v), byte(v >> 8), byte(v >> 16), byte(v >> 24)} }

// Features take the place of images: from one file whose classes are split, or from a file per part.
func TestFeaturesAreADataSet(t *testing.T) {
	file, other := writeFeatures(t, 20, 6), writeFeatures(t, 8, 5)
	pixels := []string{"network={kind: protonet, encoder: pixels}", "train.steps=0", "validation.episodes=0", "train.way=2", "validation.way=2", "test.0.way=4"}
	dir := t.TempDir()
	r := run(t, dir, append(pixels, "dataset={kind: features, path: "+file+"}")...)
	assert.Equal(t, 100., r.Figures[0].Value)
	assert.Equal(t, 4, r.Figures[0].Protocol.Classes, "a fifth of 20 classes")
	r = run(t, t.TempDir(), append(pixels, "dataset={kind: features, train: "+file+", test: "+other+"}")...)
	assert.Equal(t, 8, r.Figures[0].Protocol.Classes)

	b, err := os.ReadFile(other)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, b, 0o644))
	_, err = tool.RunConfig(dir)
	assert.ErrorContains(t, err, "the features have changed since the run began")
}
