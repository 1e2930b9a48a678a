package weights_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/internal/choices"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/nn/weights"
	"github.com/engram-go/engram/tensor"
)

func pick[T any](c *choices.Choices, from ...T) T { return from[c.Of(len(from))] }

// place is where a layer of a network stands: its block, and what it is there.
type place struct {
	block int
	part  string // conv, norm; conv1 to norm3, shortcut.conv and shortcut.norm of ResNet-12
}

func placeOf(layer string) (p place) {
	_, rest, _ := strings.Cut(layer, "block")
	_, _ = fmt.Sscanf(rest, "%d", &p.block)
	_, p.part, _ = strings.Cut(rest, ".")
	p.block--
	return p
}

// kind and index of a layer in its block: conv2 is a convolution, the second one; the shortcut's are numbered 0.
func (p place) kind() (kind string, index int) {
	kind = "norm"
	if strings.Contains(p.part, "conv") {
		kind = "conv"
	}
	_, _ = fmt.Sscanf(strings.TrimPrefix(p.part, kind), "%d", &index)
	return kind, index
}

// newLayout chooses names for layers as authors of networks do. Authors who count do so along the network; some count
// backwards, or by words or letters, which says nothing about the order.
func newLayout(c *choices.Choices, places []place) func(place) string {
	prefix := pick(c, "", "encoder.", "module.net.", "features.", "backbone2.", "a.b.c.")
	first, by := c.Of(3), pick(c, 1, 2, 3, 9)
	number := pick(c,
		func(i int) string { return fmt.Sprint(first + i*by) },
		func(i int) string { return fmt.Sprintf("%02d", first+i*by) },
		func(i int) string { return fmt.Sprint(first + (20-i)*by) },
		func(i int) string { return ordinals[i%4] + strings.Repeat("x", i/4) },
		func(i int) string { return string([]rune{rune('a' + i/26), rune('a' + i%26)}) },
	)
	separator := pick(c, ".", "_", "")
	words := pick(c, map[string]string{"conv": "conv", "norm": "bn"}, map[string]string{"conv": "C", "norm": "BN"}, map[string]string{"conv": "0", "norm": "1"},
		map[string]string{"conv": "3", "norm": "2"}, map[string]string{"conv": "convolution", "norm": "batch_norm"})
	short := pick(c, "downsample", "shortcut", "res", "")
	inner := c.Of(2) // from which number the layers of a block are counted
	part := func(p place) string {
		kind, index := p.kind()
		switch {
		case p.part == kind: // Conv-4
			return words[kind]
		case index == 0 && short != "":
			return short + "." + words[kind]
		case index == 0:
			return words[kind] + separator + fmt.Sprint(3+inner) // the fourth of its kind
		}
		return words[kind] + separator + fmt.Sprint(index-1+inner)
	}
	at := func(p place) (flat, ofKind int) {
		kind, _ := p.kind()
		for i, other := range places {
			if other == p {
				return i, ofKind
			}
			if k, _ := other.kind(); k == kind {
				ofKind++
			}
		}
		return 0, 0
	}
	block := pick(c, "block", "layer", "", "stage.")
	return pick(c,
		func(p place) string { return prefix + block + number(p.block) + "." + part(p) }, // block, part
		func(p place) string { return prefix + part(p) + "." + number(p.block) },         // part, block
		func(p place) string { n, _ := at(p); return prefix + number(n) },                // all in one list
		func(p place) string {
			kind, _ := p.kind()
			_, n := at(p)
			return prefix + words[kind] + separator + number(n)
		}, // a list of each kind
		func(p place) string { return prefix + part(p) + separator + number(p.block) + ".inner" },
	)
}

// leaves are what frameworks call the tensors of a layer.
func leaves(c *choices.Choices) map[string]string {
	return pick(c,
		map[string]string{"weight": "weight", "bias": "bias", "running_mean": "running_mean", "running_var": "running_var"},
		map[string]string{"weight": "weight", "bias": "bias", "running_mean": "running_mean", "running_var": "running_var"},
		map[string]string{"weight": "kernel", "bias": "bias", "running_mean": "moving_mean", "running_var": "moving_variance"},
	)
}

// layoutNets are the networks whose layouts are tried.
func layoutNets(t testing.TB) map[string]*nn.Params {
	t.Helper()
	small, residual := nn.NewBuilder(1, tensor.CPU), nn.NewBuilder(1, tensor.CPU)
	t.Cleanup(func() { small.Params().Free(); residual.Params().Free() })
	require.NoError(t, tensor.Do(func() error {
		_, err := encoder.NewConv4(small.In("encoder"), encoder.Conv4Config{Height: 16, Width: 16, Filters: 2})
		if err == nil {
			_, err = encoder.NewResNet12(residual.In("encoder"), encoder.ResNet12Config{Height: 16, Width: 16, Channels: 3, Filters: [4]int64{2, 2, 3, 4}})
		}
		return err
	}))
	return map[string]*nn.Params{"Conv-4": small.Params(), "ResNet-12": residual.Params()}
}

// importLayout imports a network in a layout of names, and in an order of tensors, that c chooses. It fails where a parameter
// gets another tensor than its own, and tells whether the file was imported, or refused.
func importLayout(t testing.TB, ps *nn.Params, c *choices.Choices) bool {
	t.Helper()
	var places []place
	layerOf := func(name string) string { return name[:strings.LastIndexByte(name, '.')] }
	for _, p := range ps.All() {
		if at := placeOf(layerOf(p.Name)); len(places) == 0 || places[len(places)-1] != at {
			places = append(places, at)
		}
	}
	named, leaf := newLayout(c, places), leaves(c)
	var slots []slot
	seen := map[string]bool{}
	for _, p := range ps.All() {
		layer := layerOf(p.Name)
		s := slot{named(placeOf(layer)) + "." + leaf[p.Name[len(layer)+1:]], p.Name, p.Value().Shape()}
		if seen[s.name] {
			return false // such names no state dict can have
		}
		seen[s.name] = true
		slots = append(slots, s)
	}
	for i := len(slots) - 1; i > 0; i-- {
		j := c.Of(i + 1)
		slots[i], slots[j] = slots[j], slots[i]
	}
	data := stateDict(slots)
	if c.Of(4) == 1 {
		data = safetensorsOf(slots)
	}
	f, err := weights.Parse(data)
	require.NoError(t, err)
	m := weights.Guess(ps, f, nil)
	if err := weights.Load(ps, f, m); err != nil {
		return false
	}
	for i := range slots { // DataParallel's prefix is taken off
		slots[i].name = strings.TrimPrefix(slots[i].name, "module.")
	}
	theirs := map[string]*weights.Tensor{}
	for _, w := range f.Tensors {
		theirs[w.Name] = w
	}
	require.NoError(t, tensor.Do(func() error {
		for _, s := range slots {
			want, err := theirs[s.name].Values()
			require.NoError(t, err)
			for _, p := range ps.All() {
				if p.Name != s.ours {
					continue
				}
				if got := m.Names[s.ours]; got != s.name && (got != "" || s.name != s.ours) {
					t.Errorf("%s takes %s, and %s is its own", s.ours, got, s.name)
				}
				assert.Equal(t, want, tensor.Values[float32](p.Value()), s.ours)
			}
		}
		return nil
	}))
	return true
}

// Whatever names the layers have, how they are grouped and in what order their tensors stand, a network is imported right or
// refused.
func TestLayouts(t *testing.T) {
	r := rand.New(rand.NewPCG(18, 4))
	for name, ps := range layoutNets(t) {
		imported := 0
		const tries = 200
		for range tries {
			data := make([]byte, 200)
			for i := range data {
				data[i] = byte(r.Uint32())
			}
			if importLayout(t, ps, &choices.Choices{Left: data}) {
				imported++
			}
			if t.Failed() {
				t.Fatalf("%s: %q", name, data)
			}
		}
		t.Logf("%s: %d of %d layouts imported, the others refused", name, imported, tries)
		assert.Greater(t, imported, tries/50, name)
		assert.Less(t, imported, tries, name)
	}
}

func FuzzLayouts(f *testing.F) {
	nets := layoutNets(f)
	f.Add(false, []byte{})
	f.Add(true, []byte{0, 1, 2, 0, 1, 0, 3, 0, 1, 0, 2})
	f.Add(false, []byte("101")) // names of ours, counted otherwise
	f.Add(true, []byte("numbers, words and letters; one list or one per kind"))
	f.Fuzz(func(t *testing.T, residual bool, data []byte) {
		importLayout(t, nets[map[bool]string{false: "Conv-4", true: "ResNet-12"}[residual]], &choices.Choices{Left: data[:min(len(data), 500)]})
	})
}
