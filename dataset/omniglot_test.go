package dataset

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/image/draw"
)

// drawing returns a PNG of black ink on white, with ink where the function returns true.
func drawing(width, height int, ink func(x, y int) bool) []byte {
	img := image.NewPaletted(image.Rect(0, 0, width, height), color.Palette{color.White, color.Black})
	for y := range height {
		for x := range width {
			if ink(x, y) {
				img.SetColorIndex(x, y, 1)
			}
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// square is a drawing of Omniglot's size with ink in [at, at+side) on both axes.
func square(at, side int) []byte {
	return drawing(OmniglotSide, OmniglotSide, func(x, y int) bool { return x >= at && x < at+side && y >= at && y < at+side })
}

func zipOf(t testing.TB, files map[string][]byte) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for name, content := range files {
		f, err := w.Create(name)
		require.NoError(t, err)
		_, err = f.Write(content)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return b.Bytes()
}

// tiny is an Omniglot of three background characters and one for evaluation, two drawings each.
func tiny() (back, eval map[string][]byte) {
	back, eval = make(map[string][]byte), make(map[string][]byte)
	for i, name := range []string{"Zend/character02", "Alpha/character01", "Alpha/character10"} {
		back[fmt.Sprintf("images_background/%s/%04d_01.png", name, i)] = square(10*i, 30)
		back[fmt.Sprintf("images_background/%s/%04d_02.png", name, i)] = square(10*i, 60)
	}
	back["__MACOSX/images_background/._x.png"] = []byte("a file of Finder")
	back["images_background/.DS_Store"] = nil
	back["images_background/README.md"] = nil
	for d := range 2 {
		eval[fmt.Sprintf("images_evaluation/Mu/character01/0001_%02d.png", d)] = square(50, 10+10*d)
	}
	return back, eval
}

func writeZips(t *testing.T, root string, back, eval map[string][]byte) {
	require.NoError(t, os.WriteFile(filepath.Join(root, "images_background.zip"), zipOf(t, back), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(root, "images_evaluation.zip"), zipOf(t, eval), 0o644))
}

func unpack(t *testing.T, root string, files map[string][]byte) {
	for name, content := range files {
		path := filepath.Join(root, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, content, 0o644))
	}
}

func TestOmniglotFromZipsAndFolders(t *testing.T) {
	back, eval := tiny()
	zips, folders := t.TempDir(), t.TempDir()
	writeZips(t, zips, back, eval)
	unpack(t, folders, back)
	unpack(t, folders, eval)

	want, err := LoadOmniglot(t.Context(), zips, OmniglotOptions{NoCache: true})
	require.NoError(t, err)
	assert.Equal(t, []string{"Alpha/character01", "Alpha/character10", "Mu/character01", "Zend/character02"}, want.names)
	assert.Equal(t, []string{"Alpha/character01", "Alpha/character10", "Zend/character02"}, want.Background())
	assert.Equal(t, []string{"Mu/character01"}, want.Evaluation())
	assert.Equal(t, 2, want.Instances(2))
	c, h, w := want.Shape()
	assert.Equal(t, [3]int{1, 28, 28}, [3]int{c, h, w})
	assert.Equal(t, zips, want.Root())

	got, err := LoadOmniglot(t.Context(), folders, OmniglotOptions{NoCache: true})
	require.NoError(t, err)
	assert.Equal(t, want.Images, got.Images)

	old := runtime.GOMAXPROCS(1)
	defer runtime.GOMAXPROCS(old)
	got, err = LoadOmniglot(t.Context(), zips, OmniglotOptions{NoCache: true})
	require.NoError(t, err)
	assert.Equal(t, want.Images, got.Images, "one worker decodes the same as many")
}

func TestOmniglotScalesAndInverts(t *testing.T) {
	back, eval := tiny()
	root := t.TempDir()
	writeZips(t, root, back, eval)
	for _, size := range []int{105, 28, 20} {
		set, err := LoadOmniglot(t.Context(), root, OmniglotOptions{Size: size, NoCache: true})
		require.NoError(t, err)
		img := imageOf(set, 3, 0, 0) // ink in [0,30) of 105
		assert.Equal(t, float32(1), img[0], "ink is 1")
		assert.Equal(t, float32(0), img[size*size-1], "paper is 0")
		sum := float32(0)
		for _, v := range img {
			sum += v
		}
		assert.InDelta(t, 30.*30/105/105, sum/float32(size*size), 0.004, "the amount of ink does not change at %d", size)
		edge := 30 * size / 105 // the pixel at the edge of the ink
		assert.Greater(t, img[edge-1], float32(0.5))
		assert.Less(t, img[edge+1], float32(0.5))
	}
	// A line of one pixel in 105 must leave a trace at any position: no pixel is skipped.
	for at := 40; at < 50; at++ {
		var dst [28 * 28]byte
		f := imageFile{read: func() ([]byte, error) {
			return drawing(105, 105, func(x, _ int) bool { return x == at }), nil
		}}
		require.NoError(t, f.decode(dst[:], draw.BiLinear, image.NewRGBA(image.Rect(0, 0, 28, 28))))
		sum := 0
		for _, v := range dst[:28] {
			sum += int(v)
		}
		assert.InDelta(t, 255*28./105, sum, 6, "line at %d", at)
	}
	for _, size := range []int{-1, 106} {
		_, err := LoadOmniglot(t.Context(), root, OmniglotOptions{Size: size})
		assert.ErrorContains(t, err, "1 to 105")
	}
}

func TestOmniglotCache(t *testing.T) {
	back, eval := tiny()
	root, cache := t.TempDir(), filepath.Join(t.TempDir(), "new", "cache")
	writeZips(t, root, back, eval)
	load := func(size int) *Omniglot {
		t.Helper()
		set, err := LoadOmniglot(t.Context(), root, OmniglotOptions{Size: size, CacheDir: cache})
		require.NoError(t, err)
		return set
	}
	first := load(28)
	assert.False(t, first.FromCache())
	second := load(28)
	assert.True(t, second.FromCache())
	assert.Equal(t, first.Images, second.Images)
	assert.Equal(t, first.Evaluation(), second.Evaluation())
	assert.False(t, load(20).FromCache(), "another size has another file")
	files, err := filepath.Glob(filepath.Join(cache, "*"))
	require.NoError(t, err)
	require.Len(t, files, 2, "and no partial file: %v", files)

	path := files[slices.IndexFunc(files, func(p string) bool { return strings.Contains(p, "-28-") })]
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	flipped := bytes.Clone(whole)
	flipped[len(flipped)/2] ^= 1
	for name, damaged := range map[string][]byte{
		"flipped": flipped, "cut": whole[:len(whole)-100], "empty": {}, "other version": append([]byte("x"), whole[1:]...),
	} {
		require.NoError(t, os.Remove(path)) // sets that are loaded are mapped from it
		require.NoError(t, os.WriteFile(path, damaged, 0o644))
		again := load(28)
		assert.False(t, again.FromCache(), name)
		assert.Equal(t, first.Images, again.Images, name)
		assert.True(t, load(28).FromCache(), "%s: mended", name)
	}

	eval["images_evaluation/Mu/character02/0002_01.png"] = square(0, 5)
	writeZips(t, root, back, eval)
	assert.Equal(t, 5, load(28).Classes(), "the sources changed")

	// Same names, another time: the times of a folder's files count too.
	folder := t.TempDir()
	unpack(t, folder, back)
	unpack(t, folder, eval)
	o := OmniglotOptions{CacheDir: cache}
	_, err = LoadOmniglot(t.Context(), folder, o)
	require.NoError(t, err)
	set, err := LoadOmniglot(t.Context(), folder, o)
	require.NoError(t, err)
	assert.True(t, set.FromCache())
	touched := filepath.Join(folder, "images_evaluation", "Mu", "character02", "0002_01.png")
	require.NoError(t, os.Chtimes(touched, time.Time{}, time.Unix(1e9, 0)))
	set, err = LoadOmniglot(t.Context(), folder, o)
	require.NoError(t, err)
	assert.False(t, set.FromCache())
}

func TestOmniglotWithoutACache(t *testing.T) {
	back, eval := tiny()
	root := t.TempDir()
	writeZips(t, root, back, eval)
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	t.Setenv("ENGRAM_CACHE", filepath.Join(file, "below a file nothing can be made"))
	for range 2 {
		set, err := LoadOmniglot(t.Context(), root, OmniglotOptions{})
		require.NoError(t, err)
		assert.False(t, set.FromCache())
	}
}

func TestOmniglotStopsWithItsContext(t *testing.T) {
	back, eval := tiny()
	root := t.TempDir()
	writeZips(t, root, back, eval)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := LoadOmniglot(ctx, root, OmniglotOptions{NoCache: true})
	assert.ErrorIs(t, err, context.Canceled)
	unpack(t, root, back)
	require.NoError(t, os.Remove(filepath.Join(root, "images_background.zip")))
	_, err = LoadOmniglot(ctx, root, OmniglotOptions{CacheDir: t.TempDir()})
	assert.ErrorIs(t, err, context.Canceled)
}

func TestOmniglotRefusesBadData(t *testing.T) {
	const at = "images_background/Alpha/character01/0001_01.png"
	with := func(name string, content []byte) func(map[string][]byte) {
		return func(back map[string][]byte) { back[name] = content }
	}
	good := square(0, 9)
	for name, c := range map[string]struct {
		change func(back map[string][]byte)
		says   []string // besides the archive's name
	}{
		"wrong size":   {with(at, drawing(28, 28, func(x, y int) bool { return x == y })), []string{at, "28x28", "105x105"}},
		"not a PNG":    {with(at, []byte("GIF89a and so on")), []string{at, "PNG"}},
		"cut PNG":      {with(at, good[:len(good)-30]), []string{at, "PNG"}},
		"empty PNG":    {with(at, nil), []string{at, "is truncated"}},
		"huge PNG":     {with(at, hugePNG()), []string{at, "65535x65535"}},
		"parent path":  {with("../x.png", good), []string{`"../x.png"`, "outside"}},
		"hidden climb": {with("images_background/A/../../../x.png", good), []string{"outside"}},
		"absolute":     {with("/etc/x.png", good), []string{`"/etc/x.png"`, "outside"}},
		"backslashes":  {with(`images_background\..\x.png`, good), []string{"outside"}},
		"drive":        {with(`C:/x.png`, good), []string{"outside"}},
		"large entry":  {with(at, bytes.Repeat([]byte("0"), 1<<20)), []string{at, "1048576 bytes"}},
		"stray image":  {with("images_background/x.png", good), []string{"images_background/x.png", "ALPHABET/characterNN"}},
		"double":       {with("Alpha/character10/0002_01.png", good), []string{"Alpha/character10/0002_01.png", "duplicate"}},
		"empty":        {func(back map[string][]byte) { clear(back) }, []string{"no image"}},
		"in both":      {with("images_background/Mu/character01/0001_09.png", good), []string{"Mu/character01", "images_evaluation.zip"}},
	} {
		t.Run(name, func(t *testing.T) {
			back, eval := tiny()
			c.change(back)
			root := t.TempDir()
			writeZips(t, root, back, eval)
			cache := t.TempDir()
			_, err := LoadOmniglot(t.Context(), root, OmniglotOptions{CacheDir: cache})
			require.Error(t, err)
			for _, says := range append(c.says, "images_background.zip") {
				assert.ErrorContains(t, err, says)
			}
			left, err := os.ReadDir(cache)
			require.NoError(t, err)
			assert.Empty(t, left, "bad data are not cached")
		})
	}
}

// hugePNG is a valid header of an image of 4 gigapixels.
func hugePNG() []byte {
	b := drawing(1, 1, func(int, int) bool { return true })
	copy(b[16:24], []byte{0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff})
	// the header's CRC covers its type and content
	crc := crc32.ChecksumIEEE(b[12:29])
	copy(b[29:33], []byte{byte(crc >> 24), byte(crc >> 16), byte(crc >> 8), byte(crc)})
	return b
}

func TestOmniglotRefusesBadArchives(t *testing.T) {
	back, eval := tiny()
	whole := zipOf(t, back)
	damaged := bytes.Clone(whole)
	first := bytes.Index(whole, []byte("0000_01.png")) + 30 // in the first drawing's content
	damaged[first] ^= 0xff
	var lying bytes.Buffer // an entry that claims fewer bytes than it holds
	w := zip.NewWriter(&lying)
	f, err := w.CreateRaw(&zip.FileHeader{Name: "images_background/A/c/1.png", Method: zip.Deflate, UncompressedSize64: 100, CompressedSize64: uint64(len(deflated()))})
	require.NoError(t, err)
	_, err = f.Write(deflated())
	require.NoError(t, err)
	require.NoError(t, w.Close())

	for name, content := range map[string][]byte{
		"cut off":        whole[:len(whole)/2],
		"cut at the end": whole[:len(whole)-1],
		"no zip":         []byte("<html>404 not found</html>"),
		"empty":          {},
		"damaged":        damaged,
		"lying":          lying.Bytes(),
	} {
		root := t.TempDir()
		writeZips(t, root, back, eval)
		require.NoError(t, os.WriteFile(filepath.Join(root, "images_background.zip"), content, 0o644))
		_, err := LoadOmniglot(t.Context(), root, OmniglotOptions{NoCache: true})
		assert.ErrorContains(t, err, "images_background.zip", name)
		assert.ErrorContains(t, err, "again", name)
	}
}

func TestOmniglotRefusesBadFolders(t *testing.T) {
	root := t.TempDir()
	_, err := LoadOmniglot(t.Context(), root, OmniglotOptions{})
	assert.ErrorContains(t, err, "images_background.zip")
	assert.ErrorContains(t, err, "engram data fetch omniglot")

	back, eval := tiny()
	unpack(t, root, back)
	_, err = LoadOmniglot(t.Context(), root, OmniglotOptions{NoCache: true})
	assert.ErrorContains(t, err, "images_evaluation.zip")

	unpack(t, root, eval)
	require.NoError(t, os.RemoveAll(filepath.Join(root, "images_background")))
	require.NoError(t, os.MkdirAll(filepath.Join(root, "images_background", "Alpha", "character01"), 0o755))
	_, err = LoadOmniglot(t.Context(), root, OmniglotOptions{NoCache: true})
	assert.ErrorContains(t, err, "images_background: no image")
}

func TestOmniglotSplitNamesWhatIsMissing(t *testing.T) {
	back, eval := tiny()
	root := t.TempDir()
	writeZips(t, root, back, eval)
	unpack(t, root, map[string][]byte{
		"splits/vinyals/train.txt": []byte("Alpha/character01/rot000\nAlpha/character77/rot000\n"),
		"splits/vinyals/val.txt":   []byte("Alpha/character10/rot000\n"),
		"splits/vinyals/test.txt":  []byte("Mu/character01/rot000\n"),
	})
	set, err := LoadOmniglot(t.Context(), root, OmniglotOptions{NoCache: true})
	require.NoError(t, err)
	split, err := set.Split(SplitVinyals, 0)
	require.NoError(t, err)
	_, err = split.Parts(set, RotateClasses)
	assert.ErrorContains(t, err, "split vinyals")
	assert.ErrorContains(t, err, "Alpha/character77")
	_, err = set.Split(SplitRandom, 0)
	assert.ErrorContains(t, err, "there are 4")
	_, err = set.Split("mine", 0)
	assert.ErrorContains(t, err, "vinyals, vinyals-trainval, lake, koch, random-1200")
}

func FuzzZip(f *testing.F) {
	back, _ := tiny()
	f.Add(zipOf(f, back))
	f.Add(zipOf(f, map[string][]byte{"../x.png": nil, "a/b/c.png": []byte("x")}))
	f.Add([]byte("PK\x05\x06"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		files, err := zipFiles(r, "fuzz.zip")
		if err != nil {
			return
		}
		chars, err := source{part: background}.group(files)
		if err != nil {
			return
		}
		var dst [28 * 28]byte
		for _, c := range chars {
			if !filepath.IsLocal(filepath.FromSlash(c.name)) {
				t.Errorf("%q leaves its folder", c.name)
			}
			for _, file := range c.files {
				content, err := file.read()
				if err == nil && len(content) > maxImageBytes {
					t.Errorf("read %d bytes", len(content))
				}
				_ = file.decode(dst[:], draw.BiLinear, image.NewRGBA(image.Rect(0, 0, 28, 28)))
			}
		}
	})
}

// shared is the folder of the real Omniglot, which only some machines have.
func shared(t testing.TB) string {
	root := filepath.Join("..", "..", "shared", "data", "omniglot")
	if images, lists := omniglotLacks(root); images != nil || lists != nil {
		t.Skip("no Omniglot data")
	}
	return root
}

func TestRealOmniglot(t *testing.T) {
	if testing.Short() {
		t.Skip("decoding all of Omniglot takes seconds, and a minute under the race detector")
	}
	root := shared(t)
	cache := t.TempDir()
	set, err := LoadOmniglot(t.Context(), root, OmniglotOptions{CacheDir: cache})
	require.NoError(t, err)
	assert.Equal(t, 1623, set.Classes())
	assert.Len(t, set.Background(), 964)
	assert.Len(t, set.Evaluation(), 659)
	alphabets := make(map[string]bool)
	for i := range set.Classes() {
		require.Equal(t, 20, set.Instances(i), set.Class(i))
		alphabets[alphabet(set.Class(i))] = true
	}
	assert.Len(t, alphabets, 50)

	start := time.Now()
	again, err := LoadOmniglot(t.Context(), root, OmniglotOptions{CacheDir: cache})
	require.NoError(t, err)
	assert.True(t, again.FromCache())
	assert.True(t, bytes.Equal(set.pixels, again.pixels))
	t.Logf("from the cache in %v", time.Since(start))

	vinyals, err := set.Split(SplitVinyals, 0)
	require.NoError(t, err)
	assert.Equal(t, [3]int{1028, 172, 423}, [3]int{len(vinyals.Train), len(vinyals.Val), len(vinyals.Test)})
	f, err := os.Open(filepath.Join(root, "splits", "vinyals", "trainval.txt"))
	require.NoError(t, err)
	defer f.Close()
	both, err := ParseSplit(f)
	require.NoError(t, err)
	assert.ElementsMatch(t, both, slices.Concat(vinyals.Train, vinyals.Val))
	trainVal, err := set.Split(SplitTrainVal, 0)
	require.NoError(t, err)
	assert.ElementsMatch(t, both, trainVal.Train)
	assert.Empty(t, trainVal.Val)
	assert.Equal(t, vinyals.Test, trainVal.Test)
	p, err := vinyals.Parts(set, RotateClasses)
	require.NoError(t, err)
	assert.Equal(t, [3]int{4112, 688, 1692}, [3]int{p.Train.Classes(), p.Val.Classes(), p.Test.Classes()})
	p, err = vinyals.Parts(set, RotateTrainClasses)
	require.NoError(t, err)
	assert.Equal(t, [2]int{4112, 423}, [2]int{p.Train.Classes(), p.Test.Classes()})

	lake, err := set.Split(SplitLake, 1)
	require.NoError(t, err)
	assert.Len(t, lake.Test, 659)
	assert.Equal(t, 964, len(lake.Train)+len(lake.Val))
	held := make(map[string]bool)
	for _, name := range lake.Val {
		held[alphabet(name)] = true
	}
	assert.Len(t, held, 5)
	random, err := set.Split(SplitRandom, 1)
	require.NoError(t, err)
	assert.Len(t, random.Test, 423)

	// Vinyals et al. report 41.7 % for cosine distance between pixels, 5-way 1-shot.
	assert.InDelta(t, 0.45, pixelNeighbour(set, 1000), 0.06)
}

func deflated() []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	f, _ := w.CreateHeader(&zip.FileHeader{Name: "x", Method: zip.Deflate})
	_, _ = io.Copy(f, io.LimitReader(zeros{}, 4<<20))
	_ = w.Close()
	r, _ := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	raw, _ := r.File[0].OpenRaw()
	all, _ := io.ReadAll(raw)
	return all
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }
