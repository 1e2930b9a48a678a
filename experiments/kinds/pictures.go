package kinds

import (
	"context"
	"fmt"
	"image"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/episode"
	"github.com/engram-go/engram/experiments/registry"
	"github.com/engram-go/engram/experiments/runner"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/results/plot"
	"github.com/engram-go/engram/tensor"
)

// The size of a shown episode is limited by the number of colours for classes and by the images that fit on a line.
const (
	shownWay, shownShot, shownQuery = 7, 5, 5
	// spreadQuery is how many queries per class are shown as points.
	spreadQuery = 15
)

// Show implements [runner.Work]. It draws an episode of test classes with the network's answers, and the embeddings of another
// episode in two dimensions. It draws nothing for a run without a test on such episodes.
func (w *fewShot) Show(ctx context.Context, on tensor.Device) (plots []runner.Plot, samples []byte, err error) {
	test := w.shownTest()
	if test < 0 || w.parts.Test == nil {
		return nil, nil, nil
	}
	net, _, err := w.measured(ctx, w.tests[test], on, nil)
	if err != nil {
		return nil, nil, err
	}
	b, err := w.shownEpisode(test, shownQuery)
	if err != nil {
		return nil, nil, err
	}
	norm := NormOf(w.tests[test].Norm)
	var chances []float64
	err = tensor.Do(func() error {
		tensor.NoGrad(func() {
			chances = net.LogProbs(&nn.Pass{Norm: norm}, fewshot.NewTask(b, on)).To(tensor.Float64).Softmax(-1).Floats()
		})
		return ctx.Err()
	})
	if err != nil {
		return nil, nil, err
	}
	if w.data.Text {
		samples = w.shownText(b, chances)
	} else {
		plots = append(plots, runner.Plot{Name: "episode", Figure: w.pictures(b, chances)})
	}

	encoder, ok := net.(registry.ImageEncoder)
	if !ok || w.planned.ByTask { // whose embeddings differ from task to task
		return plots, samples, nil
	}
	if b, err = w.shownEpisode(test, spreadQuery); err != nil {
		return plots, samples, err
	}
	var embedded []float64
	var width int
	err = tensor.Do(func() error {
		tensor.NoGrad(func() {
			task := fewshot.NewTask(b, on)
			x := encoder.Encode(&nn.Pass{Norm: norm}, tensor.Cat(1, task.Support, task.Query).Flatten(0, 1)).To(tensor.Float64)
			embedded = x.Floats()
			width = len(embedded) / int(x.Dim(0))
		})
		return ctx.Err()
	})
	if err != nil {
		return plots, samples, err
	}
	points, err := w.points(b, embedded, width)
	if err != nil {
		return plots, samples, err
	}
	return append(plots, runner.Plot{Name: "embeddings", Figure: points}), samples, nil
}

// shownTest is the index of the test from which an episode is shown: the one with the fewest classes among the tests on episodes of the
// run's own test classes without fine-tuning. It is -1 if there is none.
func (w *fewShot) shownTest() int {
	best := -1
	for i, t := range w.file.Test {
		if t.Kind == testEpisodes && t.Classes == classesOfTest && t.FineTune.Steps == 0 && !w.tests[i].own && (best < 0 || t.Way < w.file.Test[best].Way) {
			best = i
		}
	}
	return best
}

// shownEpisode draws an episode as a test does, but with few images.
func (w *fewShot) shownEpisode(test, query int) (*episode.Batch, error) {
	t := w.file.Test[test]
	way := min(t.Way, shownWay)
	if w.planned.FixedWay {
		way = t.Way
	}
	s, err := episode.New(w.parts.Test, episode.Spec{
		Way: way, Shot: min(t.Shot, shownShot), Query: min(query, t.Query), Rotation: w.data.Rotation, Within: t.Within,
	}, evaluationSeed, "show")
	if err != nil {
		return nil, fmt.Errorf("shown episode: %w", err)
	}
	return s.Batch(0, 1), nil
}

// classNames are those of an episode's classes, by label.
func (w *fewShot) classNames(b *episode.Batch) (names []string) {
	for label, class := range b.Classes {
		names = append(names, fmt.Sprintf("%d: %s", label+1, w.parts.Test.Class(class)))
	}
	return names
}

// pictures are the images of an episode, and the class and the probability that each query is given.
func (w *fewShot) pictures(b *episode.Batch, chances []float64) plot.Pictures {
	f := plot.Pictures{Left: "support", Right: "queries, and the classes they are given"}
	size := b.Channels * b.Height * b.Width
	right := 0
	for label, name := range w.classNames(b) {
		row := plot.PictureRow{Name: name}
		for i := label * b.Shot; i < (label+1)*b.Shot; i++ {
			row.Left = append(row.Left, plot.Picture{Image: w.picture(b.Support.Slice(i*size, (i+1)*size).Floats())})
		}
		for i := label * b.Query; i < (label+1)*b.Query; i++ {
			told := chances[i*b.Way : (i+1)*b.Way]
			p := plot.Picture{Image: w.picture(b.QueryImages.Slice(i*size, (i+1)*size).Floats())}
			most := slices.Max(told)
			taken := slices.Index(told, most)
			p.Caption, p.Wrong = fmt.Sprintf("%d, %.0f %%", taken+1, 100*most), taken != label
			if !p.Wrong {
				right++
			}
			row.Right = append(row.Right, p)
		}
		f.Rows = append(f.Rows, row)
	}
	f.Title = fmt.Sprintf("%s, seed %d: %d of %d queries right", w.file.Name, w.file.Seed, right, b.Way*b.Query)
	f.Note = fmt.Sprintf("%d-way %d-shot, of test classes; below each query the class that it is given, and its probability", b.Way, b.Shot)
	return f
}

// picture returns an image as the network sees it. Dark ink is shown dark.
func (w *fewShot) picture(pixels []float32) image.Image {
	height, width := w.data.Options.Height, w.data.Options.Width
	out := image.NewNRGBA(image.Rect(0, 0, width, height))
	plane := height * width
	for i := range plane {
		for c := range 3 {
			v := pixels[i]
			if len(pixels) > plane {
				v = pixels[c*plane+i]
			}
			if w.data.Options.Ink == dataset.InkDark {
				v = 1 - v
			}
			out.Pix[4*i+c] = uint8(255*min(max(v, 0), 1) + .5)
		}
		out.Pix[4*i+3] = 255
	}
	return out
}

// points are the embeddings of an episode, support and then queries, along their two principal components.
func (w *fewShot) points(b *episode.Batch, embedded []float64, width int) (plot.Points, error) {
	plane, share, err := principal(embedded, width)
	if err != nil {
		return plot.Points{}, err
	}
	axis := func(i int) string {
		return fmt.Sprintf("principal component %d, %.0f %% of the variance", i+1, 100*share[i])
	}
	f := plot.Points{
		Title: fmt.Sprintf("%s, seed %d: embeddings of an episode", w.file.Name, w.file.Seed),
		X:     axis(0), Y: axis(1), Note: "rings: support; dots: queries of the same classes",
	}
	for label, name := range w.classNames(b) {
		group := func(first, n int, ring bool) {
			g := plot.Group{Name: name, Ring: ring}
			for i := first + label*n; i < first+(label+1)*n; i++ {
				g.X, g.Y = append(g.X, plane[i][0]), append(g.Y, plane[i][1])
			}
			f.Groups = append(f.Groups, g)
		}
		group(0, b.Shot, true)
		group(b.Way*b.Shot, b.Query, false)
	}
	return f, nil
}

// principal projects points on their first two principal components, and returns the share of the variance of each. The sign of a
// component is chosen so that its largest element is positive.
func principal(values []float64, width int) (plane [][2]float64, share [2]float64, err error) {
	n := len(values) / width
	x := mat.NewDense(n, width, values)
	var pc stat.PC
	if n < 3 || width < 2 || !pc.PrincipalComponents(x, nil) {
		return nil, share, fmt.Errorf("%d embeddings of width %d have no plane", n, width)
	}
	var directions mat.Dense
	pc.VectorsTo(&directions)
	variances := pc.VarsTo(nil)
	var all float64
	for _, v := range variances {
		all += v
	}
	plane = make([][2]float64, n)
	for k := range share {
		direction := mat.Col(nil, k, &directions)
		largest := 0.
		for _, v := range direction {
			if math.Abs(v) > math.Abs(largest) {
				largest = v
			}
		}
		if largest < 0 {
			for i := range direction {
				direction[i] = -direction[i]
			}
		}
		if all > 0 {
			share[k] = variances[k] / all
		}
		for j := range width {
			mean := stat.Mean(mat.Col(nil, j, x), nil)
			for i := range n {
				plane[i][k] += (x.At(i, j) - mean) * direction[j]
			}
		}
	}
	return plane, share, nil
}
