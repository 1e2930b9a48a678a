package report_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/results"
	"github.com/engram-go/engram/results/report"
)

func committed(t *testing.T) []results.Run {
	t.Helper()
	runs, err := results.ReadRuns(os.DirFS(".."))
	require.NoError(t, err)
	return runs
}

// A report on some runs has the pages that they are on, and no others.
func TestReportOnSomeRuns(t *testing.T) {
	runs, err := results.ReadFolder("../runs/protonet-omniglot")
	require.NoError(t, err)
	require.Len(t, runs, 1)
	assert.Equal(t, "../runs/protonet-omniglot/seed-1/result.json", runs[0].Path)
	runs[0].Name += "<script>" // as nobody should call a run
	text, err := report.HTML(runs)
	require.NoError(t, err)
	assert.NotContains(t, string(text), "omniglot<script>")
	assert.Contains(t, string(text), "1 run, 2 figures")
	assert.NotContains(t, string(text), "Neural Turing Machine</h2>")

	runs[0].Name = "protonet-omniglot"
	text, err = report.HTML(runs)
	require.NoError(t, err)
	assert.Contains(t, string(text), "Few-shot classification on Omniglot</h2>")
	assert.Contains(t, string(text), `<a href="#run-protonet-omniglot-1">protonet-omniglot</a>`)
	assert.Contains(t, string(text), "<dt>commit</dt><dd>"+runs[0].Build.Commit[:12]+"</dd>")
	assert.Contains(t, string(text), "scale: 1", "the configuration")
	assert.NotContains(t, string(text), "<dt>way</dt>", "what differs between figures is a column")

	_, err = results.ReadFolder(t.TempDir())
	assert.ErrorContains(t, err, "there is no result.json; if its run was interrupted, continue it with: engram resume ")
}

// A run folder's own drawings are in the report, as images.
func TestReportHasARunsDrawings(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS("../runs/protonet-omniglot/seed-1")))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "plots"), 0o755))
	for _, name := range []string{"episode.svg", "learning-curve.svg"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "plots", name), []byte("<svg/>"), 0o644))
	}
	runs, err := results.ReadFolder(dir)
	require.NoError(t, err)
	text, err := report.HTML(runs)
	require.NoError(t, err)
	assert.Equal(t, 1, strings.Count(string(text), `<img src="data:image/svg&#43;xml;base64,PHN2Zy8&#43;" alt="episode"`), "the learning curve is drawn from the metrics")
}

// Dark mode does not invert photographs: a drawing with pictures in it is marked.
func TestDrawingsWithPicturesAreMarked(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS("../runs/protonet-omniglot/seed-1")))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "plots"), 0o755))
	for name, svg := range map[string]string{"episode": `<svg><image href="x"/></svg>`, "embeddings": "<svg><path/></svg>"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "plots", name+".svg"), []byte(svg), 0o644))
	}
	runs, err := results.ReadFolder(dir)
	require.NoError(t, err)
	text, err := report.OwnHTML(runs, nil)
	require.NoError(t, err)
	assert.Regexp(t, `<figure class="raster"><img src="[^"]*" alt="episode"`, string(text))
	assert.Regexp(t, `<figure><img src="[^"]*" alt="embeddings"`, string(text))
}

// In dark mode a browser inverts curves, whose ink would be dark on dark, and leaves pictures as they are.
func TestDarkModeLeavesPicturesAlone(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS("../runs/protonet-omniglot/seed-1")))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "plots"), 0o755))
	for name, svg := range map[string]string{"episode": `<svg><image href="x"/></svg>`, "embeddings": "<svg><path/></svg>"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "plots", name+".svg"), []byte(svg), 0o644))
	}
	runs, err := results.ReadFolder(dir)
	require.NoError(t, err)
	text, err := report.OwnHTML(runs, nil)
	require.NoError(t, err)
	path := filepath.Join(dir, "report.html")
	require.NoError(t, os.WriteFile(path, text, 0o644))
	ctx, _ := browser(t, path)
	dark := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}}
	_, err = chromedp.Call(ctx, emulation.SetEmulatedMedia, dark)
	require.NoError(t, err)
	filter := func(alt string) string {
		return ask[string](ctx, t, `getComputedStyle(document.querySelector("img[alt=`+alt+`]")).filter`)
	}
	assert.Equal(t, "none", filter("episode"))
	assert.Contains(t, filter("embeddings"), "invert")
}

// What a test knows beside its accuracy is in the report.
func TestReportHasClassesAndCalibration(t *testing.T) {
	runs, err := results.ReadFolder("../runs/protonet-omniglot")
	require.NoError(t, err)
	f, ece := &runs[0].Figures[0], 1.25
	var c results.Confusion
	for range 3 {
		c.Add("cat", "dog")
	}
	c.Add("dog", "dog")
	f.CalibrationError, f.Confusion, f.Predictions = &ece, &c, "predictions.csv"
	text, err := report.OwnHTML(runs, nil)
	require.NoError(t, err)
	for _, want := range []string{"<span>calibration</span>", "1.25", "predictions.csv", "5-way 1-shot: accuracy by class", "5-way 1-shot: confusion matrix", `<td class="number">0.00</td>`} {
		assert.Contains(t, string(text), want)
	}
	for i := range 30 {
		c.Add(fmt.Sprintf("class %d", i), "cat")
	}
	text, err = report.OwnHTML(runs, nil)
	require.NoError(t, err)
	assert.NotContains(t, string(text), "confusion matrix")
	assert.Contains(t, string(text), "the most frequent mistakes")
	assert.NotContains(t, string(text), "Matching network", "published figures of methods that are not shown")
}

// browser opens a file in a browser without a window, or skips the test where there is none. The requests are what it asked for.
func browser(t *testing.T, path string) (ctx context.Context, requests func() []string) {
	t.Helper()
	program := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "headless-shell"} {
		if found, err := exec.LookPath(name); err == nil {
			program = found
			break
		}
	}
	if program == "" {
		t.Skip("no Chromium on this machine; on Debian: apt-get install chromium")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.DisableGPU, chromedp.WindowSize(1280, 900))
	if os.Getuid() == 0 { // for whom Chromium has no sandbox
		options = append(options, chromedp.NoSandbox)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	var lock sync.Mutex
	var all []string
	require.NoError(t, chromedp.Listen(ctx, func(event any) {
		if sent, ok := event.(*network.EventRequestWillBeSent); ok {
			lock.Lock()
			defer lock.Unlock()
			all = append(all, sent.Request.URL)
		}
	}))
	_, err := chromedp.Call(ctx, network.Enable, network.EnableParams{})
	require.NoError(t, err)
	require.NoError(t, chromedp.Do(ctx, chromedp.Navigate("file://"+path)))
	return ctx, func() []string {
		lock.Lock()
		defer lock.Unlock()
		return all
	}
}

func TestReportInABrowser(t *testing.T) {
	text, err := report.HTML(committed(t))
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "report.html")
	require.NoError(t, os.WriteFile(path, text, 0o644))
	ctx, requests := browser(t, path)
	do := func(actions ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		require.NoError(t, chromedp.Do(ctx, actions...))
	}
	run := func(script string) {
		t.Helper()
		ask[bool](ctx, t, script+"; true")
	}

	assert.Equal(t, "Engram: results", ask[string](ctx, t, "document.title"))
	// What is on the screen, as innerText has it, beside the published figure: the row of the generated page.
	page, err := os.ReadFile("../omniglot.md")
	require.NoError(t, err)
	_, row, found := strings.Cut(string(page), "\n| Matching network, cosine")
	require.True(t, found)
	row, _, _ = strings.Cut("Matching network, cosine"+row, "\n")
	want := strings.Split(strings.ReplaceAll(row, "**", ""), " | ")[:4]
	assert.NotEmpty(t, want[1], "a published figure")
	figure := ask[string](ctx, t, `Array.from(document.querySelectorAll("#omniglot tr")).find((r) => r.innerText.includes("Matching network, cosine")).innerText`)
	assert.Equal(t, want, strings.Split(figure, "\t")[:4])
	drawings := ask[int](ctx, t, `Array.from(document.querySelectorAll("#ntm figure svg")).filter((e) => e.getBoundingClientRect().height > 100).length`)
	assert.Equal(t, 5, drawings, "a learning curve a task")

	// The overview fits, and the figure is its second column.
	assert.True(t, ask[bool](ctx, t, `(({scrollWidth, clientWidth}) => scrollWidth <= clientWidth)(document.querySelector("#runs .scroll"))`), "the last column is cut")
	assert.Equal(t, "figure", ask[string](ctx, t, `document.querySelectorAll("#runs th")[1].innerText`))

	// A click sorts, by value and not by letters, and another reverses the order.
	steps := func() []float64 {
		return ask[[]float64](ctx, t, `Array.from(document.querySelectorAll("#runs tbody tr"), (r) => parseFloat(r.cells[5].innerText))`)
	}
	header := chromedp.Search(`//section[@id="runs"]//th[normalize-space()="validation"]/button`)
	before := steps()
	do(chromedp.Click(header))
	assert.IsNonDecreasing(t, steps())
	do(chromedp.Click(header))
	assert.IsNonIncreasing(t, steps())
	assert.ElementsMatch(t, before, steps())
	assert.Equal(t, []string{"descending"}, ask[[]string](ctx, t, `Array.from(document.querySelectorAll("#runs th[aria-sort]"), (e) => e.getAttribute("aria-sort"))`))
	// In a table of differences, by sign.
	do(chromedp.Click(chromedp.Search(`//section[@id="omniglot"]//th[normalize-space()="less the best"]/button`)))
	differences := ask[[]float64](ctx, t, `Array.from(document.querySelectorAll("#omniglot .scroll:last-of-type tbody tr"), (r) => parseFloat(r.cells[4].innerText)).filter((v) => !isNaN(v))`)
	require.NotEmpty(t, differences)
	assert.Negative(t, differences[0])
	assert.IsNonDecreasing(t, differences)

	// The filter leaves what has all words.
	seen := func(selector string) bool {
		return ask[bool](ctx, t, `document.querySelector("`+selector+`").checkVisibility()`)
	}
	do(chromedp.SendKeys(chromedp.ID("filter"), "PROTONET manhattan"))
	shown := ask[[]string](ctx, t, `Array.from(document.querySelectorAll("#runs tbody tr")).filter((r) => r.offsetParent).map((r) => r.cells[0].innerText)`)
	assert.Equal(t, []string{"protonet-manhattan"}, shown)
	assert.False(t, seen("#ntm"), "a section without a match")
	assert.True(t, seen("#run-protonet-manhattan-1"))
	run(`document.getElementById("filter").value = ""; document.getElementById("filter").dispatchEvent(new Event("input"))`)
	assert.True(t, seen("#ntm"), "the filter is empty again")

	// A link to a run opens it.
	assert.False(t, seen("#run-protonet-omniglot-1 dl"))
	protonet, err := results.Read("../runs/protonet-omniglot/seed-1/result.json")
	require.NoError(t, err)
	came := fmt.Sprintf("%.2f ± %.2f %%", protonet.Figures[0].Value, protonet.Figures[0].Interval)
	do(chromedp.Click(chromedp.Search(`//section[@id="runs"]//a[.="protonet-omniglot"]`)), chromedp.WaitVisible(chromedp.CSS("#run-protonet-omniglot-1 dl")))
	about := ask[string](ctx, t, `document.querySelector("#run-protonet-omniglot-1").innerText`)
	for _, want := range []string{came, "vinyals", "9000 steps", protonet.Build.Commit[:12], protonet.Machine.CPU} {
		assert.Contains(t, about, want)
	}

	// On a phone the page does not move sideways, whatever is open; tables move in their boxes.
	do(chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile))
	run(`document.querySelectorAll("details").forEach((e) => e.open = true)`)
	type widths struct{ Page, Window, Moved, Wide, Hinted, WideTables, FigureEnds, Text float64 }
	phone := ask[widths](ctx, t, `(() => { scrollTo(200, 0); return {
		Page: document.documentElement.scrollWidth, Window: innerWidth, Moved: scrollX,
		Wide: Array.from(document.querySelectorAll(".scroll")).filter((e) => e.scrollWidth > e.clientWidth).length,
		Hinted: Array.from(document.querySelectorAll("div.scroll")).filter((e) => e.scrollWidth > e.clientWidth + 1 && e.previousElementSibling?.checkVisibility() && e.previousElementSibling.innerText.startsWith("scroll sideways")).length,
		WideTables: Array.from(document.querySelectorAll("div.scroll")).filter((e) => e.scrollWidth > e.clientWidth + 1).length,
		FigureEnds: document.querySelectorAll("#runs tbody tr td")[1].getBoundingClientRect().right,
		Text: parseFloat(getComputedStyle(document.querySelector("td")).fontSize) } })()`)
	assert.EqualValues(t, 390, phone.Window)
	assert.EqualValues(t, 390, phone.Page)
	assert.Zero(t, phone.Moved)
	assert.Positive(t, phone.Wide)
	assert.Equal(t, phone.WideTables, phone.Hinted, "every table that is too wide says that it scrolls")
	assert.LessOrEqual(t, phone.FigureEnds, 390., "the figure is seen without scrolling")
	assert.GreaterOrEqual(t, phone.Text, 13.)

	for _, url := range requests() {
		assert.Equal(t, "file://"+path, strings.Split(url, "#")[0], "a request that leaves the file")
	}
	assert.NotEmpty(t, requests())
}

// ask returns the value of a script on the page.
func ask[T any](ctx context.Context, t *testing.T, script string) T {
	t.Helper()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](script))
	require.NoError(t, err)
	return v
}
