package kinds

import (
	"cmp"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/experiments/registry"
	"github.com/engram-go/engram/results"
)

// resized names, for results, how a set's Omniglot images were resized. It is empty for other images.
func resized(i *registry.Images) string {
	if i.Options.Filter == "" {
		return ""
	}
	return resizedDrawings(i.Options)
}

// resizedDrawings names, for results, how Omniglot images are resized with these options.
func resizedDrawings(o dataset.ImageOptions) string {
	if o.Height == dataset.OmniglotSide {
		return results.NotResized
	}
	return string(cmp.Or(o.Filter, dataset.FilterBilinear))
}
