package dataset

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// small is a publication of six classes with three images of 4×4 pixels each.
func small(of string) publication {
	p, _ := publicationOf(of)
	p.side, p.perClass = 4, 3
	if p.fine != nil {
		p.fine = []string{"ant", "bat", "cat", "dog", "elk", "fox"}
		p.split = Split{of, []string{"ant", "elk", "fox"}, []string{"dog"}, []string{"bat", "cat"}}
		return p
	}
	p.split = Split{of, []string{"n00000001", "n00000005", "n00000006"}, []string{"n00000004"}, []string{"n00000002", "n00000003"}}
	return p
}

// photo gives the pixels of image k of class c, [3, 4, 4].
func photo(c, k int) []byte {
	b := make([]byte, 48)
	for i := range b {
		b[i] = byte(c*40 + k*7 + i)
	}
	return b
}

// interleaved is an image [4, 4, 3].
func interleaved(planar []byte) []byte {
	var out []byte
	for i := range 16 {
		out = append(out, planar[i], planar[16+i], planar[32+i])
	}
	return out
}

func photoPNG(t *testing.T, planar []byte) []byte {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, 4, 4))
	for i := range 16 {
		img.SetRGBA(i%4, i/4, color.RGBA{planar[i], planar[16+i], planar[32+i], 255})
	}
	var b bytes.Buffer
	require.NoError(t, png.Encode(&b, img))
	return b.Bytes()
}

// The operations of a pickle as Python 2 writes it.
func pyText(s string) string { return "U" + string(rune(len(s))) + s }

func pyInt(n int) string { return "J" + string(binary.LittleEndian.AppendUint32(nil, uint32(n))) }

func pyInts(all []int) string {
	text := "]("
	for _, n := range all {
		text += pyInt(n)
	}
	return text + "e"
}

func pyBytes(b []byte) string {
	return "T" + string(binary.LittleEndian.AppendUint32(nil, uint32(len(b)))) + string(b)
}

func pyArray(data []byte, shape ...int) string {
	text := "cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01("
	for _, n := range shape {
		text += pyInt(n)
	}
	return text + "tcnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89" + pyBytes(data) + "tb"
}

func pyDict(entries ...string) []byte {
	text := "\x80\x02}("
	for i := 0; i < len(entries); i += 2 {
		text += pyText(entries[i]) + entries[i+1]
	}
	return []byte(text + "u.")
}

// wantPhotos asserts that a set has the classes of a publication with their images in the given order.
func wantPhotos(t *testing.T, p publication, root string, order []int, layout string) *Photographs {
	t.Helper()
	set, err := p.load(t.Context(), root, PhotographOptions{})
	require.NoError(t, err)
	assert.Equal(t, p.split, set.Split())
	assert.Contains(t, set.Layout, layout)
	c, h, w := set.Shape()
	require.Equal(t, []int{3, 4, 4}, []int{c, h, w})
	names := slices.Clone(p.classes())
	slices.Sort(names)
	for class := range set.Classes() {
		require.Equal(t, 3, set.Instances(class))
		of := slices.Index(names, set.Class(class))
		for i, k := range order {
			require.Equal(t, photo(of, k), set.stored(class, i), "%s, image %d", set.Class(class), i)
		}
	}
	return set
}

// cifarFiles are the binary version and the pickles, with image 2 of every class among the test images.
func cifarFiles() map[string][]byte {
	files := map[string][]byte{}
	for part, ks := range map[string][]int{"train": {1, 0}, "test": {2}} {
		var records, data []byte
		var labels []int
		for _, k := range ks {
			for c := range 6 {
				records = append(append(records, 9, byte(c)), photo(c, k)...)
				data, labels = append(data, photo(c, k)...), append(labels, c)
			}
		}
		files[cifarBinary+"/"+part+".bin"] = records
		files[cifarPython+"/"+part] = pyDict("filenames", "](U\x01ae", "fine_labels", pyInts(labels), "data", pyArray(data, len(labels), 48), "coarse_labels", "]")
	}
	return files
}

func tarGz(t *testing.T, files map[string][]byte, prefix string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for name, content := range files {
		if strings.HasPrefix(name, prefix) {
			require.NoError(t, w.WriteHeader(&tar.Header{Name: name, Size: int64(len(content)), Mode: 0o644, Typeflag: tar.TypeReg}))
			_, err := w.Write(content)
			require.NoError(t, err)
		}
	}
	require.NoError(t, w.Close())
	require.NoError(t, z.Close())
	return b.Bytes()
}

func TestPhotographsFromCIFAR100(t *testing.T) {
	p, files := small(NameCIFARFS), cifarFiles()
	for _, version := range []string{cifarPython, cifarBinary} {
		some := map[string][]byte{}
		for name, content := range files {
			if strings.HasPrefix(name, version) {
				some[name] = content
			}
		}
		root := t.TempDir()
		unpack(t, root, some)
		wantPhotos(t, p, root, []int{1, 0, 2}, version)
		wantPhotos(t, p, filepath.Join(root, version), []int{1, 0, 2}, version)
		packed := t.TempDir()
		unpack(t, packed, map[string][]byte{version + ".tar.gz": tarGz(t, some, "")})
		wantPhotos(t, p, packed, []int{1, 0, 2}, version+".tar.gz")
	}

	refuses := func(says string, changed map[string][]byte) {
		t.Helper()
		root := t.TempDir()
		unpack(t, root, changed)
		_, err := p.load(t.Context(), root, PhotographOptions{})
		assert.ErrorContains(t, err, says)
	}
	binary := files[cifarBinary+"/test.bin"]
	with := func(name string, content []byte) map[string][]byte {
		some := map[string][]byte{}
		for file, b := range files {
			if strings.HasPrefix(file, name[:len(cifarPython)]) {
				some[file] = b
			}
		}
		some[name] = content
		return some
	}
	refuses("299 bytes, which is no multiple of the 50", with(cifarBinary+"/test.bin", binary[:299]))
	refuses("class ant in", with(cifarBinary+"/test.bin", binary[50:]))
	refuses("has 2 images, and every class of cifar-fs has 3", with(cifarBinary+"/test.bin", binary[50:]))
	refuses("an image has the label 10", with(cifarBinary+"/test.bin", slices.Concat(binary[:1], []byte{10}, binary[2:])))
	refuses("the pickle has no data", with(cifarPython+"/test", pyDict("fine_labels", "]")))
	refuses("holds no dict", with(cifarPython+"/test", []byte("N.")))
	refuses("it is cut off", with(cifarPython+"/test", files[cifarPython+"/test"][:100]))
	refuses("the shape [6 47]", with(cifarPython+"/test", pyDict("fine_labels", "]", "data", pyArray(make([]byte, 6*47), 6, 47))))
	refuses("not one number for each of 1 images", with(cifarPython+"/test", pyDict("fine_labels", "]", "data", pyArray(make([]byte, 48), 1, 48))))
	archive := tarGz(t, files, cifarBinary)
	refuses("is damaged", map[string][]byte{cifarBinary + ".tar.gz": archive[:len(archive)/2]})
	refuses("has no cifar-100-python/train", map[string][]byte{cifarPython + ".tar.gz": archive})
}

func TestPhotographsFromFoldersAndLists(t *testing.T) {
	cifar, mini := small(NameCIFARFS), small(NameMiniImageNet)
	folders := func(p publication, path func(class string, k int) string) string {
		root := t.TempDir()
		names := slices.Clone(p.classes())
		slices.Sort(names)
		files := map[string][]byte{"README.txt": nil}
		for c, class := range names {
			for k := range 3 {
				files[path(class, k)] = photoPNG(t, photo(c, k))
			}
		}
		unpack(t, root, files)
		return root
	}
	order := []int{0, 1, 2}
	for _, base := range []string{"", "data/", "images/", "processed/"} {
		for _, p := range []publication{cifar, mini} {
			root := folders(p, func(class string, k int) string { return fmt.Sprintf("%s%s/%d.png", base, class, k) })
			wantPhotos(t, p, root, order, "folders per class")
		}
	}
	// Split by class, as learn2learn has it, and by image, as for ordinary classification.
	root := folders(cifar, func(class string, k int) string {
		part := "test"
		if slices.Contains(cifar.split.Train, class) {
			part = "train"
		} else if class == "dog" {
			part = "validation"
		}
		return fmt.Sprintf("%s/%s/%d.png", part, class, k)
	})
	wantPhotos(t, cifar, root, order, "folders per class")
	root = folders(cifar, func(class string, k int) string {
		return fmt.Sprintf("%s/%s/%d.png", []string{"train", "test", "train"}[k], class, k)
	})
	wantPhotos(t, cifar, root, order, "folders per class")
	require.NoError(t, os.Remove(filepath.Join(root, "train", "dog", "2.png")))
	_, err := cifar.load(t.Context(), root, PhotographOptions{})
	assert.ErrorContains(t, err, "class dog in folders per class in "+root+" has 2 images, and every class of cifar-fs has 3")
	require.NoError(t, os.RemoveAll(filepath.Join(root, "train", "dog")))
	require.NoError(t, os.RemoveAll(filepath.Join(root, "test", "dog")))
	_, err = cifar.load(t.Context(), root, PhotographOptions{})
	assert.ErrorContains(t, err, "lacks 1 of the 100 classes of cifar-fs: dog")

	// One folder of files whose names begin with the class, without and with lists.
	root = folders(mini, func(class string, k int) string { return fmt.Sprintf("images/%s%08d.png", class, k) })
	wantPhotos(t, mini, root, order, "one folder of images")
	lists := func(header string) {
		for part, classes := range map[string][]string{"train": mini.split.Train, "val": mini.split.Val, "test": mini.split.Test} {
			text := header + "\n"
			for _, class := range classes {
				for _, k := range []int{2, 0, 1} {
					row := []string{fmt.Sprintf("%s%08d.png", class, k), class}
					if strings.HasPrefix(header, "class") {
						slices.Reverse(row)
					}
					text += strings.Join(row, ",") + "\r\n"
				}
			}
			require.NoError(t, os.WriteFile(filepath.Join(root, part+".csv"), []byte(text), 0o644))
		}
	}
	lists("filename,label")
	wantPhotos(t, mini, root, []int{2, 0, 1}, "the lists train.csv")
	for _, path := range []string{"images/%[1]s/%[1]s%08[2]d.png", "%[1]s/%[1]s%08[2]d.png"} {
		root = folders(mini, func(class string, k int) string { return fmt.Sprintf(path, class, k) })
		lists("class_name,image_name")
		wantPhotos(t, mini, root, []int{2, 0, 1}, "the lists train.csv")
	}
	require.NoError(t, os.WriteFile(filepath.Join(root, "val.csv"), []byte("filename,label\nx.png,n00000001\n"), 0o644))
	_, err = mini.load(t.Context(), root, PhotographOptions{})
	assert.ErrorContains(t, err, "val.csv, line 2: class n00000001 does not belong to the val classes")
	require.NoError(t, os.WriteFile(filepath.Join(root, "train.csv"), []byte("filename,label\n../x.png,n00000001\n"), 0o644))
	_, err = mini.load(t.Context(), root, PhotographOptions{})
	assert.ErrorContains(t, err, `"../x.png" is not the name of a file`)
	require.NoError(t, os.WriteFile(filepath.Join(root, "train.csv"), []byte("filename,label\nx.png,n00000001\n"), 0o644))
	_, err = mini.load(t.Context(), root, PhotographOptions{})
	assert.ErrorContains(t, err, "there is no x.png in "+filepath.Join(root, "images"))
}

func TestPhotographsFromPickles(t *testing.T) {
	mini := small(NameMiniImageNet)
	names := slices.Clone(mini.classes())
	slices.Sort(names)
	parts := map[string][]string{"train": mini.split.Train, "val": mini.split.Val, "test": mini.split.Test}
	type content struct {
		data           []byte
		labels         []int
		names, classes string
	}
	contents := map[string]content{}
	for part, classes := range parts {
		var c content
		for k := range 3 {
			for label, class := range classes {
				c.data, c.labels = append(c.data, interleaved(photo(slices.Index(names, class), k))...), append(c.labels, 5+label)
			}
		}
		c.names, c.classes = "}(", "}("
		for label, class := range classes {
			n := len(classes)
			c.names += pyText(class) + pyInt(5+label)
			c.classes += pyText(class) + pyInts([]int{label, n + label, 2*n + label})
		}
		c.names, c.classes = c.names+"u", c.classes+"u"
		contents[part] = c
	}
	files := func(name func(part string) string, write func(c content) []byte) string {
		root, all := t.TempDir(), map[string][]byte{}
		for part, c := range contents {
			all[name(part)] = write(c)
		}
		unpack(t, root, all)
		return root
	}
	category := func(part string) string {
		return "miniImageNet_category_split_" + map[string]string{"train": "train_phase_train", "val": "val", "test": "test"}[part] + ".pickle"
	}
	array := func(c content) string { return pyArray(c.data, len(c.labels), 4, 4, 3) }
	order := []int{0, 1, 2}
	root := files(category, func(c content) []byte {
		return pyDict("data", array(c), "labels", pyInts(c.labels), "catname2label", c.names)
	})
	wantPhotos(t, mini, root, order, "pickles in")
	for _, val := range []string{"val", "validation"} {
		root = files(func(part string) string {
			return "mini-imagenet-cache-" + map[string]string{"train": "train", "val": val, "test": "test"}[part] + ".pkl"
		}, func(c content) []byte { return pyDict("image_data", array(c), "class_dict", c.classes) })
		wantPhotos(t, mini, root, order, "pickles in")
	}
	// Without names classes are called by their label, and the files are the split.
	root = files(category, func(c content) []byte { return pyDict("labels", pyInts(c.labels), "data", array(c)) })
	set, err := mini.load(t.Context(), root, PhotographOptions{})
	require.NoError(t, err)
	assert.Equal(t, Split{NameMiniImageNet, []string{"train/005", "train/006", "train/007"}, []string{"val/005"}, []string{"test/005", "test/006"}}, set.Split())
	assert.Equal(t, photo(1, 2), set.stored(4, 2))

	swapped := contents["val"]
	contents["val"], contents["test"] = contents["test"], swapped
	root = files(category, func(c content) []byte { return pyDict("data", array(c), "labels", pyInts(c.labels)) })
	_, err = mini.load(t.Context(), root, PhotographOptions{})
	assert.ErrorContains(t, err, "miniImageNet_category_split_val.pickle has 2 classes, and miniimagenet has 1 for val")
	contents["val"], contents["test"] = swapped, contents["val"]
	root = files(category, func(c content) []byte {
		return pyDict("data", array(c), "labels", pyInts(c.labels), "catname2label", strings.ReplaceAll(c.names, "n00000004", "n00000009"))
	})
	_, err = mini.load(t.Context(), root, PhotographOptions{})
	assert.ErrorContains(t, err, "class n00000009, which is not among the val classes of miniimagenet")
}

// Images of another size are scaled the same whether they come from files or from an array.
func TestPhotographsAreScaled(t *testing.T) {
	p := small(NameCIFARFS)
	binary, folders := t.TempDir(), t.TempDir()
	unpack(t, binary, cifarFiles())
	files := map[string][]byte{}
	for c, class := range p.fine {
		for k := range 3 {
			files[fmt.Sprintf("%s/%d.png", class, []int{1, 0, 2}[k])] = photoPNG(t, photo(c, k))
		}
	}
	unpack(t, folders, files)
	for _, size := range []int{2, 3, 4, 7} {
		a, err := p.load(t.Context(), binary, PhotographOptions{Size: size})
		require.NoError(t, err)
		b, err := p.load(t.Context(), folders, PhotographOptions{Size: size})
		require.NoError(t, err)
		assert.Equal(t, a.pixels, b.pixels, "%d pixels", size)
	}
	_, err := p.load(t.Context(), binary, PhotographOptions{Size: -1})
	assert.ErrorContains(t, err, "choose a size")
}

func TestPhotographSplits(t *testing.T) {
	fine := cifar100Classes()
	require.Len(t, fine, 100)
	for _, p := range publications() {
		all := p.classes()
		assert.Len(t, all, 100)
		assert.NoError(t, p.split.disjoint())
		if p.fine != nil {
			sorted := slices.Sorted(slices.Values(all))
			assert.Equal(t, fine, sorted, p.name)
		}
		for _, part := range [][]string{p.split.Train, p.split.Val, p.split.Test} {
			assert.True(t, slices.IsSorted(part))
		}
	}
	counts := func(s Split) []int { return []int{len(s.Train), len(s.Val), len(s.Test)} }
	assert.Equal(t, []int{64, 16, 20}, counts(cifarFSSplit()))
	assert.Equal(t, []int{60, 20, 20}, counts(fc100Split()))
	assert.Equal(t, []int{64, 16, 20}, counts(miniImageNetSplit()))
	labels := func(names []string) (out []int) {
		for _, name := range names {
			out = append(out, slices.Index(fine, name))
		}
		slices.Sort(out)
		return out
	}
	// The fine labels of FC100's parts as code that cites the paper's supplement has them.
	assert.Equal(t, []int{2, 4, 6, 7, 11, 14, 18, 24, 30, 34, 35, 46, 55, 63, 64, 66, 72, 75, 95, 98}, labels(fc100Split().Test))
	assert.Equal(t, []int{3, 15, 19, 21, 26, 31, 36, 38, 42, 43, 45, 50, 65, 74, 77, 79, 80, 88, 97, 99}, labels(fc100Split().Val))
}

func TestPhotographsThatAreNotThere(t *testing.T) {
	nowhere(t)
	for _, name := range PhotographNames() {
		_, err := Find(name, "")
		assert.ErrorIs(t, err, ErrNotFound)
		_, err = LoadPhotographs(t.Context(), name, t.TempDir(), PhotographOptions{})
		assert.ErrorContains(t, err, "holds no layout of "+name)
	}
	_, err := Find(NameCIFARFS, "")
	assert.ErrorContains(t, err, "run `engram data fetch cifar-fs`, or put cifar-100-python.tar.gz")
	assert.ErrorContains(t, err, filepath.Join("data", "cifar-100")+" (cache)")
	_, err = Find(NameMiniImageNet, "")
	assert.NotContains(t, err.Error(), "engram data fetch")
	_, err = RemoteFiles(NameMiniImageNet)
	assert.ErrorContains(t, err, "cannot be fetched")
	dir, _ := FetchDir(NameMiniImageNet)
	assert.ErrorContains(t, err, dir)
	given := t.TempDir()
	unpack(t, given, map[string][]byte{"train_data.hdf5": nil})
	_, found := Find(NameMiniImageNet, given)
	_, loaded := LoadPhotographs(t.Context(), NameMiniImageNet, given, PhotographOptions{})
	for _, err := range []error{found, loaded} {
		assert.ErrorContains(t, err, filepath.Join(given, "train_data.hdf5")+" are not read: the script in docs/photographs.md")
	}
	a, _ := FetchDir(NameCIFARFS)
	b, _ := FetchDir(NameFC100)
	assert.Equal(t, a, b, "both are made from the same archive")
	files, err := RemoteFiles(NameFC100)
	require.NoError(t, err)
	unpack(t, a, map[string][]byte{files[0].Path: nil})
	root, err := Find(NameCIFARFS, "")
	require.NoError(t, err)
	assert.Equal(t, a, root)
	_, err = LoadPhotographs(t.Context(), "cifar-10", root, PhotographOptions{})
	assert.ErrorContains(t, err, "use one of cifar-fs, fc100, miniimagenet")
}
