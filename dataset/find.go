package dataset

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Names of the data sets.
const (
	NameOmniglot = "omniglot"
	NameStrokes  = "strokes"
	NameBabi     = "babi"
	NameStories  = "stories"

	NameCIFARFS      = "cifar-fs"
	NameFC100        = "fc100"
	NameMiniImageNet = "miniimagenet"
	NameTextures     = "textures"
)

// cifar100 is the folder that the data sets made from CIFAR-100 share.
const cifar100 = "cifar-100"

// Names lists the data sets.
func Names() []string {
	return slices.Concat([]string{NameOmniglot, NameStrokes, NameBabi, NameStories, NameTextures, NameRequests}, PhotographNames(), IntentNames(), []string{NameFewRel})
}

// ErrNotFound is wrapped by Find's error if a data set is not on this machine.
var ErrNotFound = errors.New("data set not found")

// Place is a folder where data are looked for, and the origin of its name.
type Place struct {
	Dir  string
	From string // --data, $ENGRAM_DATA, beside the project, or cache
}

// Places lists where a data set is looked for, in order: the folder given, which may be empty; $ENGRAM_DATA;
// ../shared/data relative to the working directory; and the cache, where Fetch puts it. Of each, a folder of the data
// set's name below it counts as well, and for the sets made from CIFAR-100 one named cifar-100. A folder given is the only place.
func Places(name, given string) []Place {
	var roots []Place
	if given != "" {
		roots = []Place{{given, "--data"}}
	} else {
		if dir := os.Getenv("ENGRAM_DATA"); dir != "" {
			roots = append(roots, Place{dir, "$ENGRAM_DATA"})
		}
		roots = append(roots, Place{filepath.Join("..", "shared", "data"), "beside the project"})
		if dir, err := CacheDir(); err == nil {
			roots = append(roots, Place{filepath.Join(dir, "data"), "cache"})
		}
	}
	folders := []string{"", name}
	if p, ok := publicationOf(name); ok && p.fine != nil {
		folders = append(folders, cifar100)
	}
	var places []Place
	for _, p := range roots {
		for _, folder := range folders {
			places = append(places, Place{filepath.Join(p.Dir, folder), p.From})
		}
	}
	return places
}

// FetchDir is the folder that a data set is fetched into if no other is asked for: data/NAME in the cache, or data/cifar-100 for
// the sets made from CIFAR-100.
func FetchDir(name string) (string, error) {
	dir, err := CacheDir()
	if p, ok := publicationOf(name); ok && p.fine != nil {
		name = cifar100
	}
	return filepath.Join(dir, "data", name), err
}

// Find returns the folder of a data set, or for bAbI the folder or the archive: the first of Places with its files.
// The error wraps ErrNotFound and says where it looked and what to do.
func Find(name, given string) (root string, err error) {
	var files string                 // for the error
	var find func(dir string) string // their path in a folder, or ""
	switch name {
	case NameStrokes, NameStories, NameTextures, NameRequests:
		return "", fmt.Errorf("dataset: %s is built in and has no folder", name)
	case NameOmniglot:
		files = fmt.Sprintf("%s.zip and %s.zip (or the folders unpacked from them)", background, evaluation)
		find = func(dir string) string {
			if images, _ := omniglotLacks(dir); len(images) > 0 {
				return ""
			}
			return dir
		}
	case NameBabi:
		files, find = babiArchive+" (or a zip, or the folder unpacked from it)", findBabi
	case NameFewRel:
		files, find = "FewRel's data folder (train_wiki.json, val_wiki.json and others of github.com/thunlp/FewRel)", fewRelRoot
	default:
		if s, ok := intentSetOf(name); ok {
			files = s.needs()
			find = func(dir string) string {
				_, root := s.layoutOf(dir)
				return root
			}
			break
		}
		p, ok := publicationOf(name)
		if !ok {
			return "", unknown(name)
		}
		files = p.needs
		find = func(dir string) string {
			if l, err := p.layout(dir); l == nil || err != nil {
				return ""
			}
			return dir
		}
	}
	places := Places(name, given)
	for _, p := range places {
		if root := find(p.Dir); root != "" {
			return root, nil
		}
	}
	var b strings.Builder
	others := ""
	for _, p := range places {
		fmt.Fprintf(&b, "\n  %s (%s)", p.Dir, p.From)
		if others == "" && slices.Contains(PhotographNames(), name) {
			others = aboutHDF5(p.Dir)
		}
	}
	fetch := fmt.Sprintf("run `engram data fetch %s`, or ", name)
	if _, err := RemoteFiles(name); err != nil {
		fetch = "" // miniImageNet's images are ImageNet's, which are not to be had without an account
	}
	return "", fmt.Errorf("dataset: %s: %w; looked in%s\n%sput %s in one of these, or name their folder with --data or ENGRAM_DATA%s",
		name, ErrNotFound, b.String(), fetch, files, others)
}

// babiArchive is the name of bAbI's archive.
const babiArchive = "tasks_1-20_v1-2.tar.gz"

// findBabi returns the path of the tasks in a folder: the folder itself, a subfolder, or an archive; "" if there are
// none. The released edition comes before others.
func findBabi(dir string) string {
	holds := func(dir string) bool {
		for _, folder := range []string{"en", "en-10k"} {
			if info, err := os.Stat(filepath.Join(dir, folder)); err == nil && info.IsDir() {
				return true
			}
		}
		return false
	}
	if holds(dir) {
		return dir
	}
	for _, pattern := range []string{"tasks_1-20_v1-2*", "tasks_1-20*"} {
		found, _ := filepath.Glob(filepath.Join(dir, pattern)) // fails only for a bad pattern
		for _, path := range found {
			info, err := os.Stat(path)
			if err == nil && (info.IsDir() && holds(path) || !info.IsDir() && isArchive(path)) {
				return path
			}
		}
	}
	return ""
}

func isArchive(path string) bool {
	return slices.ContainsFunc([]string{".zip", ".tar.gz", ".tgz"}, func(end string) bool { return strings.HasSuffix(path, end) })
}

func unknown(name string) error {
	return fmt.Errorf("dataset: unknown data set %q: use one of %s", name, strings.Join(Names(), ", "))
}

// omniglotLacks lists the files of Omniglot that a folder lacks: of the images, which are required, and of the lists
// of the split vinyals.
func omniglotLacks(root string) (images, lists []string) {
	for _, part := range []string{background, evaluation} {
		if _, ok := findSource(root, part); !ok {
			images = append(images, part+".zip")
		}
	}
	for _, file := range []string{"train.txt", "val.txt", "test.txt"} {
		path := filepath.Join("splits", SplitVinyals, file)
		if _, err := os.Stat(filepath.Join(root, path)); err != nil {
			lists = append(lists, path)
		}
	}
	return images, lists
}

// Status describes the state of a data set on this machine.
type Status struct {
	Name    string
	BuiltIn bool     // needs no file
	Root    string   // the folder, or the archive, found; empty if none
	Missing []string // files, relative to Root or, if there is none, to the folder they belong in
	Places  []Place  // where it was looked for
}

// Usable reports whether the data set can be loaded; a split may still lack its lists.
func (s Status) Usable() bool { return s.BuiltIn || s.Root != "" }

// Complete reports whether nothing is missing.
func (s Status) Complete() bool { return s.Usable() && len(s.Missing) == 0 }

// Survey returns the status of each data set. It checks names only and reads no image.
func Survey(given string) []Status {
	s := Status{Name: NameOmniglot, Places: Places(NameOmniglot, given)}
	if root, err := Find(NameOmniglot, given); err == nil {
		s.Root = root
		_, s.Missing = omniglotLacks(root)
	} else {
		images, lists := []string{background + ".zip", evaluation + ".zip"}, []string(nil)
		for _, p := range s.Places { // report the missing files of an incomplete folder
			if i, l := omniglotLacks(p.Dir); len(i) < len(images) {
				images, lists = i, l
				break
			}
		}
		if lists == nil {
			_, lists = omniglotLacks("")
		}
		s.Missing = slices.Concat(images, lists)
	}
	babi := Status{Name: NameBabi, Places: Places(NameBabi, given)}
	if root, err := Find(NameBabi, given); err == nil {
		babi.Root = root
	} else {
		babi.Missing = []string{babiArchive}
	}
	all := []Status{s, {Name: NameStrokes, BuiltIn: true}, babi, {Name: NameStories, BuiltIn: true}, {Name: NameTextures, BuiltIn: true}, {Name: NameRequests, BuiltIn: true}}
	for _, p := range publications() {
		one := Status{Name: p.name, Places: Places(p.name, given)}
		if root, err := Find(p.name, given); err == nil {
			one.Root = root
		} else if one.Missing = []string{"images"}; p.fine != nil {
			one.Missing = []string{cifarPython + ".tar.gz"}
		}
		all = append(all, one)
	}
	for _, name := range append(IntentNames(), NameFewRel) {
		one := Status{Name: name, Places: Places(name, given)}
		if root, err := Find(name, given); err == nil {
			one.Root = root
		} else if one.Missing = []string{"train_5/seq.in"}; name == NameFewRel {
			one.Missing = []string{"train_wiki.json"}
		}
		all = append(all, one)
	}
	return all
}
