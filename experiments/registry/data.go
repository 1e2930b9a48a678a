package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/dataset/sequence"
	"github.com/engram-go/engram/experiments/schema"
)

func images(p *Parts) []Part[Images] {
	rows := []Part[Images]{
		{dataset.NameStrokes, "invented characters, as many as you like", "", Config(
			strokesConfig{Train: 1028, Val: 172, Test: 423, Instances: 20, Size: 28, Rotations: dataset.RotateNone}, (*strokesConfig).plan)},
		{dataset.NameOmniglot, "1,623 characters of 50 alphabets, each drawn by 20 people", "Lake et al. 2015", Config(
			omniglotConfig{Split: dataset.SplitVinyals, Rotations: dataset.RotateClasses, Drawers: "all", Size: 28, Resize: dataset.FilterBilinear}, (*omniglotConfig).plan)},
		{dataset.NameImages, "a folder of your own images", "", Config(
			folderConfig{Size: 28, inputConfig: inputConfig{Normalize: normalizeNone}, Ink: dataset.InkDark, Fit: dataset.FitPad, Split: schema.NewSection(kindFolders, nil), Rotations: dataset.RotateNone},
			func(c *folderConfig) (Images, error) { return c.plan(p) })},
	}
	rows = append(rows,
		Part[Images]{dataset.NameTextures, "invented photographs of coloured shapes and textures, as many as you like", "", Config(
			texturesConfig{Train: 64, Val: 16, Test: 20, Instances: 100, Size: 32, Rotations: dataset.RotateNone, inputConfig: inputConfig{Normalize: normalizeNone}},
			(*texturesConfig).plan)},
		Part[Images]{dataset.NameFeatures, "vectors that an encoder has computed, from a safetensors file or NumPy files; with the encoder pixels", "", Config(
			featuresConfig{Split: schema.NewSection(kindShare, nil)}, func(c *featuresConfig) (Images, error) { return c.plan(p) })},
	)
	for _, of := range []struct{ name, doc, paper string }{
		{dataset.NameCIFARFS, "CIFAR-100's 60,000 photographs of 100 classes, in a random split", "Bertinetto et al. 2019"},
		{dataset.NameFC100, "CIFAR-100's 60,000 photographs of 100 classes, split by super-class", "Oreshkin et al. 2018"},
		{dataset.NameMiniImageNet, "60,000 photographs of 100 classes of ImageNet, in Ravi and Larochelle's split", "Vinyals et al. 2016"},
	} {
		rows = append(rows, Part[Images]{of.name, of.doc, of.paper, Config(
			photographConfig{Size: dataset.PhotographSide(of.name), Rotations: dataset.RotateNone, inputConfig: inputConfig{Normalize: normalizeNone}},
			func(c *photographConfig) (Images, error) { return c.plan(of.name) })})
	}
	return rows
}

// inImageNet describes what ImageNet contains of a set of photographs; see [Images.InImageNet].
func inImageNet(name string) string {
	if name == dataset.NameMiniImageNet {
		return "the same classes and images"
	}
	return "classes of the same name as many of them, with other images" // CIFAR-100's
}

// inputConfig says how images are prepared for a network.
type inputConfig struct {
	Resize    int       `yaml:"resize" min:"0" max:"1024" doc:"side in pixels that images are scaled to before their middle, of the side size, is cut out; training images that are augmented are cropped from the whole; 0 for none"`
	Normalize string    `yaml:"normalize" enum:"none,train,given" doc:"subtract a mean from each channel and divide it by a deviation: those of the training classes, or those given"`
	Mean      []float64 `yaml:"mean" doc:"of each channel, of values between 0 and 1; filled in when a run starts with normalize: train"`
	Std       []float64 `yaml:"std" above:"0" doc:"the deviation, likewise"`
}

// The values of inputConfig.Normalize.
const (
	normalizeNone  = "none"
	normalizeTrain = "train"
	normalizeGiven = "given"
)

// check checks rules that tags cannot express, for images of a size and a number of channels.
func (c *inputConfig) check(size, channels int) error {
	if c.Resize > 0 && c.Resize < size {
		return schema.At("resize", fmt.Errorf("images of %d×%d have no middle of %d×%d: it must be at least size", c.Resize, c.Resize, size, size))
	}
	given := len(c.Mean) + len(c.Std)
	switch {
	case c.Normalize == normalizeNone && given > 0:
		return schema.At("normalize", errors.New("mean and std are given and not used: use normalize: given, or leave them out"))
	case c.Normalize == normalizeGiven || given > 0:
		n := dataset.Normalization{Mean: c.Mean, Std: c.Std}
		if err := n.Check(channels); err != nil {
			return schema.At("mean", err)
		}
	}
	return nil
}

// side is the side that images are read at.
func (c *inputConfig) side(size int) int { return max(size, c.Resize) }

// norm returns the normalisation, nil for none. Its values are filled in later if they are computed from the data.
func (c *inputConfig) norm() *dataset.Normalization {
	if c.Normalize == normalizeNone {
		return nil
	}
	return &dataset.Normalization{Mean: c.Mean, Std: c.Std}
}

// prepare prepares the parts of a split for a network. If norm has no values yet, it computes them from the training classes and fills in
// both norm and the configuration.
func (c *inputConfig) prepare(set dataset.Set, split dataset.Split, rotations dataset.Rotation, size int, norm *dataset.Normalization) (dataset.Parts, error) {
	parts, err := split.Parts(set, rotations)
	if err != nil {
		return parts, err
	}
	how := dataset.Preparation{Height: size, Width: size}
	if norm != nil && len(norm.Mean) == 0 {
		train, err := dataset.Select(set, split.Train) // without the rotations, which have the same statistics
		if err != nil {
			return parts, err
		}
		if train, err = dataset.Prepare(train, how); err != nil {
			return parts, err
		}
		computed, err := dataset.Statistics(train)
		if err != nil {
			return parts, err
		}
		*norm = *computed
		c.Mean, c.Std = norm.Mean, norm.Std
	}
	how.Norm = norm
	return parts.Prepare(how)
}

type texturesConfig struct {
	Seed        uint64           `yaml:"seed" doc:"of the invented classes"`
	Train       int              `yaml:"train" min:"1" doc:"classes"`
	Val         int              `yaml:"val" min:"1" doc:"classes"`
	Test        int              `yaml:"test" min:"1" doc:"classes"`
	Instances   int              `yaml:"instances" min:"2" doc:"images per class"`
	Size        int              `yaml:"size" min:"8" max:"256" doc:"side of an image in pixels that the network is given"`
	Rotations   dataset.Rotation `yaml:"rotations" enum:"none,classes,train-classes,episode,per-class"`
	inputConfig `yaml:",inline"`
}

// Validate implements [schema.Validator].
func (c *texturesConfig) Validate() error {
	if c.Resize > 256 {
		return schema.At("resize", fmt.Errorf("images are drawn with at most 256 pixels a side"))
	}
	return c.check(c.Size, 3)
}

func (c *texturesConfig) plan() (Images, error) {
	norm := c.norm()
	return Images{
		Split: fmt.Sprintf("%d/%d/%d", c.Train, c.Val, c.Test), Rotation: c.Rotations, Norm: norm,
		Options: dataset.ImageOptions{Height: c.Size, Width: c.Size, Colour: true, Ink: dataset.InkLight, Fit: dataset.FitCrop, Resize: c.Resize},
		Load: func(context.Context, Place) (Loaded, error) {
			set, err := dataset.NewTextures(c.Seed, dataset.DrawnOptions{
				Train: c.Train, Val: c.Val, Test: c.Test, Instances: c.Instances, Size: c.side(c.Size),
			})
			if err != nil {
				return Loaded{}, err
			}
			parts, err := c.prepare(set, set.Split(), c.Rotations, c.Size, norm)
			return Loaded{Parts: parts}, err
		},
	}, nil
}

type featuresConfig struct {
	Path  string         `yaml:"path" doc:"safetensors file, or folder with features.npy, labels.npy and classes.json, whose classes are split; or train, val and test instead"`
	Train string         `yaml:"train" doc:"the same for the training classes alone"`
	Val   string         `yaml:"val" doc:"the same for the validation classes alone"`
	Test  string         `yaml:"test" doc:"the same for the test classes alone"`
	Split schema.Section `yaml:"split" family:"split" doc:"of the classes of path"`

	Checksum string `yaml:"checksum" doc:"of the files' contents; filled in when a run starts, so that it continues with the same features"`
}

// Validate implements [schema.Validator].
func (c *featuresConfig) Validate() error {
	parts := c.Train + c.Val + c.Test
	if c.Path == "" && parts == "" {
		return schema.At("path", errors.New("name a file of features, or one each in train, val and test"))
	}
	if c.Path != "" && parts != "" {
		return schema.At("path", errors.New("path and train, val or test exclude each other: the classes are either split or lie in separate files"))
	}
	return nil
}

// plan reads the files, since the width of the features is that of the network's input.
func (c *featuresConfig) plan(p *Parts) (Images, error) {
	split, err := p.Splits.Plan(&c.Split)
	if err != nil {
		return Images{}, err
	}
	name := split.Name
	if c.Path == "" {
		name = "by files"
	}
	files := []struct{ key, path string }{{"path", c.Path}, {"train", c.Train}, {"val", c.Val}, {"test", c.Test}}
	var sets [4]*dataset.Features
	width, sums := 0, []string(nil)
	for i, f := range files {
		if f.path == "" {
			continue
		}
		if sets[i], err = dataset.LoadFeatures(f.path); err != nil {
			return Images{}, schema.At(f.key, err)
		}
		if width == 0 {
			width = sets[i].Width()
		} else if width != sets[i].Width() {
			return Images{}, schema.At(f.key, fmt.Errorf("%s has features of %d values, and the others have %d", f.path, sets[i].Width(), width))
		}
		sums = append(sums, sets[i].Checksum())
	}
	if have := strings.Join(sums, " "); c.Checksum == "" {
		c.Checksum = have
	} else if c.Checksum != have {
		return Images{}, schema.At("checksum", errors.New("the features have changed since the run began: put the former files back, or leave checksum out"))
	}
	return Images{
		Split: name, Rotation: dataset.RotateNone, Folder: filepath.Clean(cmp.Or(c.Path, c.Test, c.Val, c.Train)),
		Options: dataset.ImageOptions{Height: 1, Width: width, Ink: dataset.InkLight, Fit: dataset.FitStretch},
		Load: func(context.Context, Place) (Loaded, error) {
			if c.Path != "" {
				made, name, err := split.Of(sets[0], filepath.Dir(c.Path))
				if err != nil {
					return Loaded{}, err
				}
				parts, err := made.Parts(sets[0], dataset.RotateNone)
				return Loaded{Parts: parts, Split: name}, err
			}
			var loaded Loaded
			for i, into := range []*dataset.Set{&loaded.Train, &loaded.Val, &loaded.Test} {
				if *into = sets[i+1]; sets[i+1] == nil {
					*into = dataset.NoFeatures(width)
				}
			}
			return loaded, nil
		},
	}, nil
}

type photographConfig struct {
	Size        int              `yaml:"size" min:"8" max:"512" doc:"side of an image in pixels that the network is given"`
	Rotations   dataset.Rotation `yaml:"rotations" enum:"none,classes,train-classes,episode,per-class"`
	inputConfig `yaml:",inline"`
}

// Validate implements [schema.Validator].
func (c *photographConfig) Validate() error { return c.check(c.Size, 3) }

func (c *photographConfig) plan(name string) (Images, error) {
	norm := c.norm()
	return Images{
		Split: name, Rotation: c.Rotations, Norm: norm, InImageNet: inImageNet(name),
		Options: dataset.ImageOptions{Height: c.Size, Width: c.Size, Colour: true, Ink: dataset.InkLight, Fit: dataset.FitCrop, Resize: c.Resize},
		Load: func(ctx context.Context, from Place) (Loaded, error) {
			root, err := dataset.Find(name, from.Given)
			if err != nil {
				return Loaded{}, err
			}
			set, err := dataset.LoadPhotographs(ctx, name, root, dataset.PhotographOptions{Size: c.side(c.Size)})
			if err != nil {
				return Loaded{}, err
			}
			from.Note(name + ": " + set.Describe())
			parts, err := c.prepare(set, set.Split(), c.Rotations, c.Size, norm)
			return Loaded{Parts: parts}, err
		},
	}, nil
}

// drawings are the options of square grey images, dark on light, as Omniglot's.
func drawings(size int) dataset.ImageOptions {
	return dataset.ImageOptions{Height: size, Width: size, Ink: dataset.InkDark, Fit: dataset.FitPad}
}

type strokesConfig struct {
	Seed      uint64           `yaml:"seed" doc:"of the invented characters"`
	Train     int              `yaml:"train" min:"1" doc:"classes"`
	Val       int              `yaml:"val" min:"1" doc:"classes"`
	Test      int              `yaml:"test" min:"1" doc:"classes"`
	Instances int              `yaml:"instances" min:"2" doc:"images per class"`
	Size      int              `yaml:"size" min:"8" max:"256" doc:"side of an image in pixels"`
	Rotations dataset.Rotation `yaml:"rotations" enum:"none,classes,train-classes,episode,per-class"`
}

func (c *strokesConfig) plan() (Images, error) {
	return Images{Split: fmt.Sprintf("%d/%d/%d", c.Train, c.Val, c.Test), Rotation: c.Rotations, Options: drawings(c.Size), Load: func(context.Context, Place) (Loaded, error) {
		set, err := dataset.NewStrokes(c.Seed, dataset.DrawnOptions{
			Train: c.Train, Val: c.Val, Test: c.Test, Instances: c.Instances, Size: c.Size,
		})
		if err != nil {
			return Loaded{}, err
		}
		parts, err := set.Split().Parts(set, c.Rotations)
		return Loaded{Parts: parts}, err
	}}, nil
}

type omniglotConfig struct {
	Split     string           `yaml:"split" enum:"vinyals,vinyals-trainval,lake,koch,random-1200,latin,small1,small2"`
	SplitSeed uint64           `yaml:"split_seed" doc:"of the splits that are shuffled"`
	Rotations dataset.Rotation `yaml:"rotations" enum:"none,classes,train-classes,episode,per-class"`
	Drawers   string           `yaml:"drawers" enum:"all,split" doc:"split: 12 of them to train, 4 others to validate and 4 others to test on, as Koch et al. 2015"`
	Size      int              `yaml:"size" min:"8" max:"105" doc:"side of an image in pixels"`
	Resize    dataset.Filter   `yaml:"resize" enum:"bilinear,area,nearest,lanczos" doc:"how the images of 105 pixels are brought to size: bilinear with antialiasing, the mean of the covered area, the nearest pixel (as Pillow does with 1-bit images, and so the code of Prototypical networks, MAML, Reptile and Relation networks), or Pillow's LANCZOS of grey images"`
}

func (c *omniglotConfig) plan() (Images, error) {
	name := c.Split
	if c.Drawers == "split" {
		name += ", drawers split"
	}
	options := drawings(c.Size)
	options.Filter = c.Resize
	return Images{
		Split: name, Rotation: c.Rotations, Options: options,
		TrainsOnLake: c.Split == dataset.SplitVinyals || c.Split == dataset.SplitTrainVal || c.Split == dataset.SplitRandom,
		Load: func(ctx context.Context, from Place) (Loaded, error) {
			root, err := dataset.Find(dataset.NameOmniglot, from.Given)
			if err != nil {
				return Loaded{}, err
			}
			set, err := dataset.LoadOmniglot(ctx, root, dataset.OmniglotOptions{Size: c.Size, Filter: c.Resize})
			if err != nil {
				return Loaded{}, err
			}
			split, err := set.Split(c.Split, c.SplitSeed)
			if err != nil {
				return Loaded{}, err
			}
			parts, err := split.Parts(set, c.Rotations)
			if err == nil && c.Drawers != "all" {
				parts, err = parts.ByDrawers()
			}
			return Loaded{Parts: parts}, err
		},
	}, nil
}

type folderConfig struct {
	Root        string           `yaml:"root" required:"true" minlen:"1" doc:"a folder with a folder of images for each class (PNG, JPEG, WebP, GIF, BMP, TIFF); relative to the working directory, or to where data sets are looked for"`
	Size        int              `yaml:"size" min:"8" max:"1024" doc:"side in pixels that images are brought to"`
	Colour      bool             `yaml:"colour" doc:"three channels instead of one"`
	Ink         dataset.Ink      `yaml:"ink" enum:"dark,light" doc:"which values are 1 to the network: dark strokes on light paper, or light ones (also for photographs)"`
	Fit         dataset.Fit      `yaml:"fit" enum:"pad,crop,stretch" doc:"how an image becomes square"`
	Split       schema.Section   `yaml:"split" family:"split" doc:"of the classes"`
	Rotations   dataset.Rotation `yaml:"rotations" enum:"none,classes,train-classes,episode,per-class"`
	inputConfig `yaml:",inline"`
	Checksum    string `yaml:"checksum" doc:"of the images' names and sizes; filled in when a run starts, so that it continues with the same images"`
}

// Validate implements [schema.Validator].
func (c *folderConfig) Validate() error { return c.check(c.Size, c.options().Channels()) }

func (c *folderConfig) options() dataset.ImageOptions {
	return dataset.ImageOptions{Height: c.Size, Width: c.Size, Colour: c.Colour, Ink: c.Ink, Fit: c.Fit, Resize: c.Resize}
}

func (c *folderConfig) plan(p *Parts) (Images, error) {
	whole := c.options()
	whole.Height, whole.Width, whole.Resize = c.side(c.Size), c.side(c.Size), 0
	norm := c.norm()
	split, err := p.Splits.Plan(&c.Split)
	return Images{Split: split.Name, Rotation: c.Rotations, Folder: filepath.Clean(c.Root), Options: c.options(), Norm: norm, Load: func(ctx context.Context, from Place) (Loaded, error) {
		root, err := findFolder(dataset.NameImages, c.Root, from.Given)
		if err != nil {
			return Loaded{}, err
		}
		set, err := dataset.LoadFolder(ctx, root, whole)
		if err != nil {
			return Loaded{}, err
		}
		if have := set.Checksum(); c.Checksum == "" {
			c.Checksum = have
			from.Note(fmt.Sprintf("%s: %s", root, set.Describe()))
			for _, line := range set.Duplicates().Notes() {
				from.Note(fmt.Sprintf("%s: %s", root, line))
			}
			if photographs, err := set.LooksLikePhotographs(); err == nil && photographs && !c.Colour {
				from.Note(root + " looks like colour photographs, and they are read in grey: for colour use colour: true and ink: light")
			}
		} else if c.Checksum != have {
			return Loaded{}, fmt.Errorf("dataset: %s has changed since the run began: images were added, removed or replaced; put them back, or leave dataset.checksum out", root)
		}
		made, name, err := split.Of(set, root)
		if err != nil {
			return Loaded{}, err
		}
		parts, err := c.prepare(set, made, c.Rotations, c.Size, norm)
		return Loaded{Parts: parts, Split: name}, err
	}}, err
}

// findFolder finds the folder or file of a user's own data set: at its path, or below the folders that are searched for data sets.
func findFolder(name, root, given string) (string, error) {
	tried := []string{root}
	if !filepath.IsAbs(root) {
		for _, p := range dataset.Places(name, given) {
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
	return "", fmt.Errorf("dataset: %s: %w; looked in%s\ngive dataset.%s as it is from here, or name the folder that it lies in with --data or ENGRAM_DATA",
		name, dataset.ErrNotFound, text, map[bool]string{true: "root", false: "path"}[name == dataset.NameImages])
}

func splits() []Part[Split] {
	shares := shareSplitConfig{Train: .6, Val: .2}
	return []Part[Split]{
		{kindFolders, "the folders train, val and test below the root where all are so named; else shares", "", Config(shares, func(c *shareSplitConfig) (Split, error) {
			split := c.split()
			return Split{split.Name, func(set dataset.Set, root string) (dataset.Split, string, error) {
				if own, ok := dataset.FolderSplit(set); ok {
					return own, "its folders", nil
				}
				return split.Of(set, root)
			}}, nil
		})},
		{kindShare, "shares of the classes, shuffled", "", Config(shares, func(c *shareSplitConfig) (Split, error) { return c.split(), nil })},
		{"lists", "three files that list classes", "", Config(listSplitConfig{}, func(c *listSplitConfig) (Split, error) {
			return Split{fmt.Sprintf("lists %s, %s, %s", c.Train, c.Val, c.Test), func(_ dataset.Set, root string) (dataset.Split, string, error) {
				s, err := dataset.ListSplit(below(root, c.Train), below(root, c.Val), below(root, c.Test))
				return s, "", err
			}}, nil
		})},
		{"csv", "a file with the columns class and split", "", Config(csvSplitConfig{}, func(c *csvSplitConfig) (Split, error) {
			return Split{c.File, func(_ dataset.Set, root string) (dataset.Split, string, error) {
				s, err := dataset.CSVSplit(below(root, c.File))
				return s, "", err
			}}, nil
		})},
	}
}

type shareSplitConfig struct {
	Train float64 `yaml:"train" min:"0" max:"1" doc:"share of the classes"`
	Val   float64 `yaml:"val" min:"0" max:"1" doc:"share of the classes; the rest is tested on"`
	Seed  uint64  `yaml:"seed" doc:"of the shuffle"`
}

// Validate implements [schema.Validator].
func (c *shareSplitConfig) Validate() error {
	if c.Train+c.Val > 1 {
		return schema.At("val", fmt.Errorf("train and val are %g of the classes together, and there are no more than all", c.Train+c.Val))
	}
	return nil
}

func (c *shareSplitConfig) split() Split {
	rest := float64(int((1-c.Train-c.Val)*1000+.5)) / 1000 // without what binary fractions add
	name := fmt.Sprintf("%g/%g/%g of the classes, seed %d", c.Train, c.Val, rest, c.Seed)
	return Split{name, func(set dataset.Set, _ string) (dataset.Split, string, error) {
		s, err := dataset.ShareSplit(set, c.Train, c.Val, c.Seed)
		return s, "", err
	}}
}

type listSplitConfig struct {
	Train string `yaml:"train" doc:"file with one class per line, or CSV with a column class or label; relative to root"`
	Val   string `yaml:"val" doc:"the same for the validation classes"`
	Test  string `yaml:"test" doc:"the same for the test classes"`
}

type csvSplitConfig struct {
	File string `yaml:"file" required:"true" minlen:"1" doc:"CSV with the columns class and split, which is train, val or test; relative to root"`
}

// below joins a folder and a relative path. Absolute paths and "" stay as they are.
func below(root, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(root, path)
}

// tasks are those of the NTM paper, and N-th farthest; the defaults are the papers' settings.
func tasks() []Part[Task] {
	return []Part[Task]{
		{"copy", "repeat a sequence of random vectors", "Graves et al. 2014, section 4.1", Config(copyConfig{8, 1, 20},
			func(c *copyConfig) (Task, error) { return task(sequence.NewCopy(sequence.CopyOptions(*c))) })},
		{"repeat-copy", "repeat a sequence several times", "Graves et al. 2014, section 4.2", Config(repeatCopyConfig{8, 1, 10, 1, 10, false},
			func(c *repeatCopyConfig) (Task, error) {
				return task(sequence.NewRepeatCopy(sequence.RepeatCopyOptions(*c)))
			})},
		{"associative-recall", "give the item after the one asked about", "Graves et al. 2014, section 4.3", Config(recallConfig{6, 3, 2, 6},
			func(c *recallConfig) (Task, error) { return task(sequence.NewRecall(sequence.RecallOptions(*c))) })},
		{"ngrams", "predict bits from those before", "Graves et al. 2014, section 4.4", Config(ngramsConfig{6, 200},
			func(c *ngramsConfig) (Task, error) { return task(sequence.NewNGrams(sequence.NGramsOptions(*c))) })},
		{"priority-sort", "sort vectors by a priority", "Graves et al. 2014, section 4.5", Config(prioritySortConfig{8, 20, 16, false},
			func(c *prioritySortConfig) (Task, error) {
				return task(sequence.NewPrioritySort(sequence.PrioritySortOptions(*c)))
			})},
		{"nth-farthest", "which of the vectors is the n-th farthest from one of them", "Santoro et al. 2018, section 5.1", Config(farthestConfig{8, 16},
			func(c *farthestConfig) (Task, error) {
				return task(sequence.NewNthFarthest(sequence.NthFarthestOptions(*c)))
			})},
	}
}

// task is a task without its type, and nil with an error.
func task[T Task](t T, err error) (Task, error) {
	if err != nil {
		return nil, err
	}
	return t, nil
}

type farthestConfig struct {
	Vectors int `yaml:"vectors" min:"2" doc:"of a sequence, and labels"`
	Width   int `yaml:"width" min:"1" doc:"of a vector"`
}

type copyConfig struct {
	Bits      int `yaml:"bits" min:"1" doc:"of a vector"`
	MinLength int `yaml:"min_length" min:"1" doc:"vectors of a training sequence"`
	MaxLength int `yaml:"max_length" min:"1"`
}

type repeatCopyConfig struct {
	Bits       int  `yaml:"bits" min:"1" doc:"of a vector"`
	MinLength  int  `yaml:"min_length" min:"1" doc:"vectors of a training sequence"`
	MaxLength  int  `yaml:"max_length" min:"1"`
	MinRepeats int  `yaml:"min_repeats" min:"1"`
	MaxRepeats int  `yaml:"max_repeats" min:"1"`
	Delimiter  bool `yaml:"delimiter" doc:"flag the repeat number on a channel of its own"`
}

type recallConfig struct {
	Bits     int `yaml:"bits" min:"1" doc:"of a vector"`
	Vectors  int `yaml:"vectors" min:"1" doc:"of an item"`
	MinItems int `yaml:"min_items" min:"2" doc:"of a training sequence"`
	MaxItems int `yaml:"max_items" min:"2"`
}

type ngramsConfig struct {
	N      int `yaml:"n" min:"1" doc:"a bit depends on the n-1 before it"`
	Length int `yaml:"length" min:"1" doc:"bits of a sequence"`
}

type prioritySortConfig struct {
	Bits      int  `yaml:"bits" min:"1" doc:"of a vector"`
	Length    int  `yaml:"length" min:"1" doc:"vectors of a training sequence"`
	Top       int  `yaml:"top" min:"1" doc:"vectors asked for"`
	Delimiter bool `yaml:"delimiter" doc:"mark the end of the vectors"`
}
