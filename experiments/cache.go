package experiments

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/dataset/cachefile"
	"github.com/engram-go/engram/experiments/kinds"
)

// A CachedFile holds data of the cache folder that Engram can make again.
type CachedFile struct {
	Path  string
	What  string // a few words
	Bytes int64
	Used  time.Time // last
}

// Cached returns the folder of the cache and its files: decoded images and embeddings, and what killed processes have left of
// them. The files that were used last come first.
func Cached() (dir string, files []CachedFile, err error) {
	if dir, err = dataset.CacheDir(); err != nil {
		return "", nil, err
	}
	for _, of := range []struct {
		folder, ending string
		describe       func(path string) (string, error)
	}{{dir, dataset.ImagesEnding, dataset.DescribeCached}, {filepath.Join(dir, kinds.EmbeddingsFolder), kinds.EmbeddingsEnding, kinds.DescribeEmbeddings}} {
		entries, err := os.ReadDir(of.folder)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return dir, nil, fmt.Errorf("cache: %w", err)
		}
		for _, e := range entries {
			name := e.Name()
			unfinished := cachefile.Unfinished(name) && strings.Contains(name, of.ending+".")
			info, err := e.Info()
			if err != nil || !info.Mode().IsRegular() || !unfinished && filepath.Ext(name) != of.ending {
				continue
			}
			f := CachedFile{Path: filepath.Join(of.folder, name), What: "unfinished", Bytes: info.Size(), Used: info.ModTime()}
			if !unfinished {
				if f.What, err = of.describe(f.Path); err != nil {
					f.What = fmt.Sprintf("cannot be used: %v", err)
				}
			}
			files = append(files, f)
		}
	}
	slices.SortFunc(files, func(a, b CachedFile) int { return cmp.Or(b.Used.Compare(a.Used), cmp.Compare(a.Path, b.Path)) })
	return dir, files, nil
}
