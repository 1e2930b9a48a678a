package experiments

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/experiments/kinds"
	"github.com/engram-go/engram/experiments/runner"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// FeatureOptions say which images are embedded.
type FeatureOptions struct {
	// Split is the part of the run's own data: training, validation or test. Images is instead a folder with a folder of images for
	// each class; the run's own data is not needed then. One of them is given.
	Split, Images string
	// Ink and Fit are how images of a folder are read; empty stands for what the run's own images are.
	Ink dataset.Ink
	Fit dataset.Fit
	// Data is where data sets are looked for first.
	Data string
	// Reporter receives notes and progress; nil stands for Silent.
	Reporter Reporter
}

// Features are the embeddings of the images of a data set.
type Features struct {
	Width  int
	Values []float32 // [images, width], class by class
	Labels []int     // of each image, an index of Classes
	Images []string  // the file of each image, or its number in its class where the data set has no image files
	// Classes are the names of the classes.
	Classes []string
	// Texts is set where texts were embedded.
	Texts bool
}

// Features embeds the images of a data set by the encoder of a run's network, in evaluation mode.
func (t *Tool) Features(ctx context.Context, dir string, o FeatureOptions) (*Features, error) {
	c, err := t.RunConfig(dir)
	if err != nil {
		return nil, err
	}
	if o.Reporter == nil {
		o.Reporter = Silent{}
	}
	work, ok := c.Work.(kinds.Embedder)
	if !ok {
		return nil, fmt.Errorf("%s: %s embeds neither images nor texts; use a run of a few-shot network such as protonet", dir, c.Network)
	}
	if err := work.Embeds(); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	if err := runner.Folder(dir).NeedsModel(); err != nil {
		return nil, err
	}
	var set dataset.Set
	var m *runner.Model
	if p := c.Work.(kinds.Predictor); o.Images != "" && p.Texts() {
		texts, err := dataset.LoadTexts(ctx, o.Images, dataset.TextOptions{})
		if err != nil {
			return nil, fmt.Errorf("texts: %w", err)
		}
		if m, err = runner.Open(dir, c.Config, Options{Reporter: o.Reporter}); err != nil {
			return nil, err
		}
		set = dataset.Tokenize(texts, p.Tokenizer().Encode)
	} else if o.Images != "" {
		image := c.Work.(kinds.Predictor).Images()
		if o.Ink != "" {
			image.Ink = o.Ink
		}
		if o.Fit != "" {
			image.Fit = o.Fit
		}
		if set, err = dataset.LoadFolder(ctx, o.Images, image); err != nil {
			return nil, fmt.Errorf("images: %w", err)
		}
		m, err = runner.Open(dir, c.Config, Options{Reporter: o.Reporter})
	} else {
		m, err = runner.OpenWithData(ctx, dir, c.Config, Options{Data: o.Data, Reporter: o.Reporter})
	}
	if err != nil {
		return nil, err
	}
	defer m.Params.Free()
	if set == nil {
		if set, err = work.Part(o.Split); err != nil {
			return nil, err
		}
	}
	f := &Features{Texts: c.Work.(kinds.Predictor).Texts()}
	for class := range set.Classes() {
		f.Classes = append(f.Classes, set.Class(class))
		for i := range set.Instances(class) {
			f.Labels, f.Images = append(f.Labels, class), append(f.Images, kinds.ImageName(set, class, i))
		}
	}
	if o.Images != "" { // as the run's own images are
		if set, err = dataset.Prepare(set, dataset.Preparation{Norm: c.Work.(kinds.Predictor).Normalization()}); err != nil {
			return nil, fmt.Errorf("%s: %w", dir, err)
		}
	}
	if f.Values, f.Width, err = work.Embed(ctx, set, m.Device, o.Reporter); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return f, nil
}

// FeatureFormats are the endings of the files that [Features.Write] writes.
var FeatureFormats = []string{".npy", ".safetensors", ".csv"}

// Write writes the embeddings to a file, in the format of its ending: .npy is NumPy's, a matrix of float32; .safetensors has the
// tensors embeddings (float32) and labels (int64), and the class names as a JSON list in the note classes; .csv has a row for each image:
// its class, its file, and the embedding. Beside the first two it writes NAME.labels.csv with the label, class and file of each
// row. It returns the files.
func (f *Features) Write(path string) (files []string, err error) {
	ending := filepath.Ext(path)
	var text []byte
	switch ending {
	case ".csv":
		text = f.csv(true)
	case ".npy":
		text = f.npy()
	case ".safetensors":
		err = f.safetensors(path)
	default:
		return nil, fmt.Errorf("features: %s: want a name that ends in %s", path, strings.Join(FeatureFormats, ", "))
	}
	if text != nil {
		err = nn.WriteFile(path, bytes.NewReader(text))
	}
	if err != nil {
		return nil, fmt.Errorf("features: %w", err)
	}
	if files = append(files, path); ending == ".csv" {
		return files, nil
	}
	labels := strings.TrimSuffix(path, ending) + ".labels.csv"
	if err := nn.WriteFile(labels, bytes.NewReader(f.csv(false))); err != nil {
		return files, fmt.Errorf("features: %w", err)
	}
	return append(files, labels), nil
}

// csv is a row for each image, with its embedding or without.
func (f *Features) csv(embedded bool) []byte {
	var text bytes.Buffer
	w := csv.NewWriter(&text)
	head := []string{"label", "class", "image"}
	if embedded {
		for i := range f.Width {
			head = append(head, "e"+strconv.Itoa(i))
		}
	}
	_ = w.Write(head)
	for i, label := range f.Labels {
		row := []string{strconv.Itoa(label), f.Classes[label], f.Images[i]}
		if embedded {
			for _, v := range f.Values[i*f.Width : (i+1)*f.Width] {
				row = append(row, strconv.FormatFloat(float64(v), 'g', -1, 32))
			}
		}
		_ = w.Write(row)
	}
	w.Flush() // to memory, which does not fail
	return text.Bytes()
}

// npy is the matrix in NumPy's format, version 1.0.
func (f *Features) npy() []byte {
	header := fmt.Sprintf("{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }", len(f.Labels), f.Width)
	const before = 10                                // magic, version and the header's length
	pad := 63 - (before+len(header))%64              // so that the data begins at a multiple of 64 bytes
	out := append([]byte("\x93NUMPY\x01\x00"), 0, 0) // the length follows
	binary.LittleEndian.PutUint16(out[8:], uint16(len(header)+pad+1))
	out = append(out, header+strings.Repeat(" ", pad)+"\n"...)
	for _, v := range f.Values {
		out, _ = binary.Append(out, binary.LittleEndian, v)
	}
	return out
}

func (f *Features) safetensors(path string) error {
	classes, err := json.Marshal(f.Classes)
	if err != nil {
		return err
	}
	labels := make([]int64, len(f.Labels))
	for i, label := range f.Labels {
		labels[i] = int64(label)
	}
	return tensor.Do(func() error {
		return nn.Save(path, []nn.Named{
			{Name: "embeddings", Tensor: tensor.New(f.Values, int64(len(labels)), int64(f.Width))},
			{Name: "labels", Tensor: tensor.New(labels, int64(len(labels)))},
		}, map[string]string{"classes": string(classes)})
	})
}
