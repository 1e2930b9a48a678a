package dataset

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/engram-go/engram/dataset/internal/files"
)

// Folder is a Set of image files. Each folder with images is a class, named by its path relative to the root, with
// slashes. If all folders in the root are named after the parts of a split (see [FolderSplit]), names omit this first
// part of the path where they stay unique.
type Folder struct {
	*Images
	// Files are the paths of the images, ordered by class and by name.
	Files []string
	// Left counts what lies below the root and is not part of the set.
	Left LeftOut
	// Storage says where the pixels lie.
	Storage Storage

	parts    []string // the split's part of each class; nil if the folders are not a split
	checksum string
}

// LeftOut counts the files and folders below a root that are not part of a set. A folder that is left out counts
// once, without its content.
type LeftOut struct {
	Formats map[string]int // files of other formats, by extension in lower case, with the dot; "" for none
	Hidden  int            // files and folders whose names begin with a dot
	System  int            // files and folders made by operating systems and storage devices, such as Thumbs.db and @eaDir
	Empty   int            // folders without any file
	Loops   int            // links to a folder that contains them
}

// String describes what is left out, such as "4 files of other formats (.heic, .txt), 1 hidden file or folder"; ""
// for nothing.
func (l LeftOut) String() string {
	var all []string
	count := func(n int, one, more string) {
		if n == 1 {
			all = append(all, "1 "+one)
		} else if n > 1 {
			all = append(all, fmt.Sprintf("%d %s", n, more))
		}
	}
	other, extensions := 0, []string{}
	for e, n := range l.Formats {
		if other += n; e == "" {
			e = "no extension"
		}
		extensions = append(extensions, e)
	}
	if slices.Sort(extensions); len(extensions) > 6 {
		extensions = append(extensions[:6], "…")
	}
	list := " (" + strings.Join(extensions, ", ") + ")"
	count(other, "file of another format"+list, "files of other formats"+list)
	count(l.Hidden, "hidden file or folder", "hidden files and folders")
	count(l.System, "system file or folder", "system files and folders")
	count(l.Empty, "empty folder", "empty folders")
	count(l.Loops, "link to a folder above it", "links to folders above them")
	return strings.Join(all, ", ")
}

// Describe describes in one line what was read and left out: "15 classes, 300 images; left out: 4 files of other
// formats (.heic, .txt)".
func (f *Folder) Describe() string {
	plural := func(n int, one, more string) string {
		if n == 1 {
			return "1 " + one
		}
		return fmt.Sprintf("%d %s", n, more)
	}
	text := plural(f.Classes(), "class", "classes") + ", " + plural(len(f.Files), "image", "images")
	if f.Storage.Cache != "" {
		text += ", " + f.Storage.String()
	}
	if left := f.Left.String(); left != "" {
		text += "; left out: " + left
	}
	return text
}

// Checksum returns the SHA-256, in hexadecimal, of the names of all images relative to the root, sorted, and of their
// sizes in bytes. It changes when an image is added, removed, renamed, moved to another class or replaced by one of
// another size. It does not depend on the contents of the files, on what is left out, or on the location of the root.
func (f *Folder) Checksum() string { return f.checksum }

// LoadFolder reads a folder that has a folder of images for each class, of any of ImageFormats and any size, grey or colour; folders of
// classes may be grouped in folders, as Omniglot's characters are by alphabet. Symbolic links are followed, the root included;
// a link to a folder that it lies in is left out. Files of other formats, hidden files, files that operating systems make, and
// empty folders are left out and counted. The EXIF orientation of an image is applied. Images are scaled by a triangle filter as wide as the reduction, as [LoadOmniglot]
// does, and inverted where needed so that ink is 1. The error names the file or folder that is wrong, and wraps that of ctx
// when ctx ends first.
//
// Images are decoded by all processors. From 1,000 images on they are kept in a file of the cache folder (see [CacheDir]) and
// mapped from there, so that a set can be larger than memory and processes share it; images whose names, sizes or times have
// changed are decoded again.
func LoadFolder(ctx context.Context, root string, o ImageOptions) (*Folder, error) {
	dir, _ := CacheDir() // without one the images are decoded anew
	return loadFolder(ctx, root, o, dir, leastCached)
}

// leastCached is the number of images from which on they are kept in the cache: fewer are decoded in no time.
const leastCached = 1000

func loadFolder(ctx context.Context, root string, o ImageOptions, dir string, least int) (*Folder, error) {
	o, err := o.filled()
	if err != nil {
		return nil, err
	}
	list, err := listClasses(ctx, root)
	if err != nil {
		return nil, err
	}
	f := &Folder{Left: list.left, checksum: list.checksum}
	e := &encoded{channels: o.Channels(), height: o.Height, width: o.Width}
	e.names, f.parts = splitNames(list.classes)
	for _, c := range list.classes {
		e.counts, f.Files = append(e.counts, len(c.files)), append(f.Files, c.files...)
	}
	e.decoder = func() func(int, []byte) error {
		return func(i int, dst []byte) error { return decodeImage(dst, f.Files[i], o) }
	}
	if len(f.Files) < least {
		dir = ""
	} else if e.file, err = cacheName(NameImages, root, o); err != nil {
		return nil, err
	}
	e.key = list.identity
	f.Images, f.Storage, err = e.load(ctx, dir)
	return f, err
}

// cacheName names the cache file of images below a root that are brought to what the options say.
func cacheName(kind, root string, o ImageOptions) (string, error) {
	full, err := filepath.Abs(root)
	if err != nil {
		return "", fmt.Errorf("dataset: looking at %s: %w", root, err)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %+v", full, o))
	return fmt.Sprintf("%s-%d-%.8x.images", kind, o.Height, sum), nil
}

// folderClass is a folder that holds images.
type folderClass struct {
	name  string   // relative to the root, with slashes
	files []string // sorted
}

// listing is the content of a root.
type listing struct {
	classes  []folderClass // sorted
	left     LeftOut
	checksum string
	identity string // a checksum of the times of the files, too
}

// ImageFormats lists the supported image formats for messages.
const ImageFormats = "PNG, JPEG, WebP, GIF, BMP or TIFF"

// IsImage reports whether a file has the extension of one of ImageFormats.
func IsImage(name string) bool {
	return slices.Contains([]string{".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"}, strings.ToLower(path.Ext(name)))
}

// systemNames are files and folders made by operating systems and storage devices, in lower case.
var systemNames = []string{"__macosx", "@eadir", "#recycle", "#snapshot", "$recycle.bin", "system volume information", "lost+found", "thumbs.db", "ehthumbs.db", "desktop.ini"}

// folderEntry is a folder in a listing.
type folderEntry struct {
	name, path string
	images     []string
	others     int  // files other than images
	parent     bool // of a folder that is not left out
	linked     bool // a link, or below one
}

func listClasses(ctx context.Context, root string) (*listing, error) {
	info, err := os.Stat(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("dataset: %w: no folder %s", ErrNotFound, root)
	}
	if err != nil {
		return nil, fmt.Errorf("dataset: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("dataset: %s is a file: give a folder that has a folder of images for each class", root)
	}
	l := &listing{left: LeftOut{Formats: map[string]int{}}}
	folders := map[string]*folderEntry{}
	var sizes []string // a line per image, for the checksum
	times := sha256.New()
	err = files.Walk(ctx, root, func(e files.Entry) error {
		above := folders[path.Dir(e.Name)]
		switch base := e.Base(); {
		case e.Name == ".":
			folders["."] = &folderEntry{name: ".", path: e.Path}
			return nil
		case slices.Contains(systemNames, strings.ToLower(base)):
			l.left.System++
			return fs.SkipDir
		case strings.HasPrefix(base, "."):
			l.left.Hidden++
			return fs.SkipDir
		case e.Err != nil:
			return e.Err
		case e.Loop:
			l.left.Loops++
		case e.Dir():
			folders[e.Name] = &folderEntry{name: e.Name, path: e.Path, linked: e.Link || above.linked}
		case !e.Info.Mode().IsRegular() || !IsImage(base): // reading a pipe or a device might never end
			above.others++
			l.left.Formats[strings.ToLower(path.Ext(base))]++
		case len(sizes) == maxImages*10:
			return fmt.Errorf("more than %d images", maxImages*10)
		default:
			above.images = append(above.images, e.Path)
			sizes = append(sizes, fmt.Sprintf("%q %d\n", e.Name, e.Info.Size()))
			fmt.Fprintf(times, "%q %d %d\n", e.Name, e.Info.Size(), e.Info.ModTime().UnixNano())
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("dataset: reading %s: %w", root, err)
	}
	if err := l.collect(root, folders); err != nil {
		return nil, err
	}
	slices.Sort(sizes)
	l.checksum = fmt.Sprintf("%x", sha256.Sum256([]byte(strings.Join(sizes, ""))))
	l.identity = fmt.Sprintf("%x", times.Sum(nil))
	return l, nil
}

// collect makes classes of the folders with images.
func (l *listing) collect(root string, folders map[string]*folderEntry) error {
	var names []string
	linked := false
	for name, f := range folders {
		names = append(names, name)
		linked = linked || f.linked
	}
	slices.Sort(names)
	slices.Reverse(names) // contents before their folder
	for _, name := range names {
		if f := folders[name]; name != "." && (len(f.images) > 0 || f.others > 0 || f.parent) {
			folders[path.Dir(name)].parent = true
		}
	}
	slices.Reverse(names)
	same := map[string]string{} // class by folder, if links could lead to one folder twice
	for _, name := range names {
		f := folders[name]
		switch {
		case len(f.images) > 0 && name == ".":
			return fmt.Errorf("dataset: %s is in no class: put it in a folder of %s that is named after its class", f.images[0], root)
		case len(f.images) > 0:
			slices.Sort(f.images)
			l.classes = append(l.classes, folderClass{name, f.images})
			if !linked {
				continue
			}
			real, err := filepath.EvalSymlinks(f.path)
			if err != nil {
				return fmt.Errorf("dataset: %w", err)
			}
			if other, twice := same[real]; twice {
				return fmt.Errorf("dataset: classes %s and %s of %s are the same folder, %s: remove the link to it", other, name, root, real)
			}
			same[real] = name
		case f.parent || name == ".":
		case f.others > 0:
			return fmt.Errorf("dataset: class %s has no images: put %s files in %s, or remove it", name, ImageFormats, f.path)
		default:
			l.left.Empty++
		}
	}
	if len(l.classes) == 0 {
		text := ""
		if left := l.left.String(); left != "" {
			text = "; left out: " + left
		}
		return fmt.Errorf("dataset: %s is empty: it needs a folder of %s images for each class%s", root, ImageFormats, text)
	}
	return nil
}

// SplitFolders is the name of the split that [FolderSplit] returns.
const SplitFolders = "folders"

// splitPart returns the part of a split that a folder is named after: train, val or test, or "".
func splitPart(folder string) string {
	switch folder = strings.ToLower(folder); folder {
	case "train", "val", "test":
		return folder
	case "valid", "validation":
		return "val"
	}
	return ""
}

// splitNames returns the names of classes. If all folders in the root are groups of classes named after at least two
// parts of a split, it also returns the part of each class, and omits the part from each name that stays unique.
func splitNames(classes []folderClass) (names, parts []string) {
	count, seen := map[string]int{}, map[string]bool{}
	for _, c := range classes {
		names = append(names, c.name)
		folder, rest, group := strings.Cut(c.name, "/")
		part := splitPart(folder)
		if part == "" || !group {
			part = ""
		}
		parts, seen[part] = append(parts, part), true
		count[rest]++
	}
	if seen[""] || len(seen) < 2 {
		return names, nil
	}
	short, used := slices.Clone(names), map[string]bool{}
	for i, name := range names {
		if _, rest, _ := strings.Cut(name, "/"); count[rest] == 1 {
			short[i] = rest
		}
		if used[short[i]] { // with a group named train in train
			return names, parts
		}
		used[short[i]] = true
	}
	return short, parts
}

// FolderSplit returns the split that a set's folders make: train, val (also valid or validation) and test. ok is
// false if the set is not a [Folder], if a folder in its root has another name or is itself a class, or if there is
// only one part. [Split.Parts] returns an error for a class in several parts.
func FolderSplit(set Set) (Split, bool) {
	f, ok := set.(*Folder)
	if !ok || f.parts == nil {
		return Split{}, false
	}
	s := Split{Name: SplitFolders}
	into := map[string]*[]string{"train": &s.Train, "val": &s.Val, "test": &s.Test}
	for c, part := range f.parts {
		*into[part] = append(*into[part], f.Class(c))
	}
	return s, true
}
