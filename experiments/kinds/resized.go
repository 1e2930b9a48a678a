package kinds

import (
	"cmp"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/experiments/registry"
	"github.com/engram-go/engram/results"
)

// resized says how a set's drawings of Omniglot were brought to their size, as results name it; empty for other images.
func resized(i *registry.Images) string {
	if i.Options.Filter == "" {
		return ""
	}
	return resizedDrawings(i.Options)
}

// resizedDrawings says how Omniglot's drawings are brought to a size, as results name it.
func resizedDrawings(o dataset.ImageOptions) string {
	if o.Height == dataset.OmniglotSide {
		return results.NotResized
	}
	return string(cmp.Or(o.Filter, dataset.FilterBilinear))
}
