package experiments

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/experiments/schema"
)

// drawings are dark on light, square and grey, as Omniglot's.
func drawings(size int) dataset.ImageOptions {
	return dataset.ImageOptions{Height: size, Width: size, Ink: dataset.InkDark, Fit: dataset.FitPad}
}

type folderConfig struct {
	Root      string           `yaml:"root" required:"true" minlen:"1" doc:"a folder with a folder of PNG or JPEG images for each class; from the working directory, or where data sets are looked for"`
	Size      int              `yaml:"size" min:"8" max:"1024" doc:"side in pixels that images are brought to"`
	Colour    bool             `yaml:"colour" doc:"three channels and not one"`
	Ink       dataset.Ink      `yaml:"ink" enum:"dark,light" doc:"what is 1 to the network: dark strokes on light paper, or light (also for photographs)"`
	Fit       dataset.Fit      `yaml:"fit" enum:"pad,crop,stretch" doc:"how an image becomes square"`
	Split     schema.Section   `yaml:"split" doc:"of the classes: share, lists or csv"`
	Rotations dataset.Rotation `yaml:"rotations" enum:"none,classes,train-classes,episode,per-class"`
}

type shareSplitConfig struct {
	Train float64 `yaml:"train" min:"0" max:"1" doc:"share of the classes"`
	Val   float64 `yaml:"val" min:"0" max:"1" doc:"share of the classes; what is left is tested on"`
	Seed  uint64  `yaml:"seed" doc:"of the shuffle"`
}

// Validate implements schema.Validator.
func (c *shareSplitConfig) Validate() error {
	if c.Train+c.Val > 1 {
		return schema.At("val", fmt.Errorf("train and val are %g of the classes together, and there are no more than all", c.Train+c.Val))
	}
	return nil
}

type listSplitConfig struct {
	Train string `yaml:"train" doc:"file with a class a line, or CSV with a column class or label; from root"`
	Val   string `yaml:"val" doc:"the same of the validation classes"`
	Test  string `yaml:"test" doc:"the same of the test classes"`
}

type csvSplitConfig struct {
	File string `yaml:"file" required:"true" minlen:"1" doc:"CSV with the columns class and split, which is train, val or test; from root"`
}

// planFolder reads a data set of a user's images.
func planFolder(s *schema.Section) (imagesPlan, error) {
	c := folderConfig{
		Size: 28, Ink: dataset.InkDark, Fit: dataset.FitPad, Split: schema.NewSection("share", nil), Rotations: dataset.RotateNone,
	}
	if err := s.Decode(&c); err != nil {
		return imagesPlan{}, err
	}
	image := dataset.ImageOptions{Height: c.Size, Width: c.Size, Colour: c.Colour, Ink: c.Ink, Fit: c.Fit}
	name, split, err := planSplit(&c.Split)
	return imagesPlan{s.Kind(), name, c.Rotations, false, image, func(ctx context.Context, given string) (dataset.Parts, error) {
		root, err := findFolder(c.Root, given)
		if err != nil {
			return dataset.Parts{}, err
		}
		set, err := dataset.LoadFolder(ctx, root, image)
		if err != nil {
			return dataset.Parts{}, err
		}
		split, err := split(set, root)
		if err != nil {
			return dataset.Parts{}, err
		}
		return split.Parts(set, c.Rotations)
	}}, err
}

// planSplit reads how the classes of a folder are shared out.
func planSplit(s *schema.Section) (name string, split func(set dataset.Set, root string) (dataset.Split, error), err error) {
	switch s.Kind() {
	case "share":
		c := shareSplitConfig{Train: .6, Val: .2}
		err := s.Decode(&c)
		return fmt.Sprintf("%g/%g/%g of the classes, seed %d", c.Train, c.Val, round3(1-c.Train-c.Val), c.Seed), func(set dataset.Set, _ string) (dataset.Split, error) {
			return dataset.ShareSplit(set, c.Train, c.Val, c.Seed)
		}, err
	case "lists":
		var c listSplitConfig
		err := s.Decode(&c)
		return fmt.Sprintf("lists %s, %s, %s", c.Train, c.Val, c.Test), func(_ dataset.Set, root string) (dataset.Split, error) {
			return dataset.ListSplit(from(root, c.Train), from(root, c.Val), from(root, c.Test))
		}, err
	case "csv":
		var c csvSplitConfig
		err := s.Decode(&c)
		return c.File, func(_ dataset.Set, root string) (dataset.Split, error) { return dataset.CSVSplit(from(root, c.File)) }, err
	}
	return "", nil, s.UnknownKind([]string{"share", "lists", "csv"})
}

// round3 leaves out what binary fractions add to a share.
func round3(v float64) float64 { return float64(int(v*1000+.5)) / 1000 }

// from gives a path that begins at a folder, where it is not absolute; "" stays.
func from(root, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(root, path)
}

// findFolder finds a folder of images: as it is named, or below the folders that data sets are looked for in.
func findFolder(root, given string) (string, error) {
	tried := []string{root}
	if !filepath.IsAbs(root) {
		for _, p := range dataset.Places(dataset.NameImages, given) {
			tried = append(tried, filepath.Join(p.Dir, root))
		}
	}
	for _, dir := range tried {
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			return dir, nil
		}
	}
	text := ""
	for _, dir := range tried {
		text += "\n  " + dir
	}
	return "", fmt.Errorf("dataset: images: %w; looked in%s\ngive dataset.root as it is from here, or name the folder that it lies in with --data or ENGRAM_DATA", dataset.ErrNotFound, text)
}

// shape is what a network must know of the images of a data set.
func (p imagesPlan) shape() imageShape {
	return imageShape{channels: p.image.Channels(), height: p.image.Height, width: p.image.Width}
}
