package main

import (
	"context"
	"fmt"
	"math"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/experiments/registry"
	"github.com/engram-go/engram/stream"
)

// stripesConfig are the keys of the data set in experiment files.
type stripesConfig struct {
	Train     int `yaml:"train" min:"2" doc:"classes for training"`
	Val       int `yaml:"val" min:"2" doc:"classes for validation"`
	Test      int `yaml:"test" min:"2" doc:"classes for tests"`
	Instances int `yaml:"instances" min:"2" doc:"images per class"`
}

// side is the height and width of an image.
const side = 28

func stripesPart() registry.Part[registry.Images] {
	return registry.Part[registry.Images]{
		Name: "stripes", Doc: "stripes; a class has an angle and a width",
		Make: registry.Config(stripesConfig{40, 15, 15, 20}, func(c *stripesConfig) (registry.Images, error) {
			return registry.Images{
				Split:   fmt.Sprintf("%d, %d and %d classes", c.Train, c.Val, c.Test),
				Options: dataset.ImageOptions{Height: side, Width: side, Ink: dataset.InkLight},
				Load: func(context.Context, registry.Place) (registry.Loaded, error) {
					set, err := stripes(c.Train+c.Val+c.Test, c.Instances)
					if err != nil {
						return registry.Loaded{}, err
					}
					var names []string
					for i := range set.Classes() {
						names = append(names, set.Class(i))
					}
					split := dataset.Split{Train: names[:c.Train], Val: names[c.Train : c.Train+c.Val], Test: names[c.Train+c.Val:]}
					parts, err := split.Parts(set, dataset.RotateNone)
					return registry.Loaded{Parts: parts}, err
				},
			}, nil
		}),
	}
}

// stripes draws the images of all classes. A class is a function of its number.
func stripes(classes, instances int) (*dataset.Images, error) {
	var names []string
	var counts []int
	var pixels []byte
	for class := range classes {
		names, counts = append(names, fmt.Sprintf("stripes-%03d", class)), append(counts, instances)
		r := stream.New(1, "stripes", uint64(class))
		angle, period := math.Pi*r.Float64(), 4+8*r.Float64()
		for range instances {
			a, phase := angle+.05*r.NormFloat64(), r.Float64()
			for i := range side * side {
				x, y := float64(i%side), float64(i/side)
				wave := math.Sin(2 * math.Pi * ((x*math.Cos(a)+y*math.Sin(a))/period + phase))
				pixels = append(pixels, byte(255*min(max(.5+.5*wave+.2*r.NormFloat64(), 0), 1)))
			}
		}
	}
	return dataset.NewImages(names, counts, 1, side, side, pixels)
}
