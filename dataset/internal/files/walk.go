// Package files lists folders and decodes text files for all data sets.
package files

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// maxEntries limits the files and folders of a walk: links can make a small tree nearly endless without a loop.
const maxEntries = 4 << 20

// Entry is a file or folder below the root of a walk.
type Entry struct {
	Name string      // relative to the root, with slashes; "." for the root
	Path string      // its location
	Info fs.FileInfo // of the entry or its target; nil if Err is set
	Link bool        // a symbolic link
	Loop bool        // a folder that contains itself through links; it is not entered
	Err  error       // why the target of a link cannot be found
}

// Base returns the last part of the name.
func (e Entry) Base() string { return path.Base(e.Name) }

// Dir reports whether the entry is a folder or links to one.
func (e Entry) Dir() bool { return e.Info != nil && e.Info.IsDir() }

// Walk visits the root and everything below it, each folder before its entries, sorted by name. It follows symbolic
// links to files and folders. The visitor can return [fs.SkipDir] to skip a folder. The error is the visitor's, one
// of reading a folder, or ctx's.
func Walk(ctx context.Context, root string, visit func(Entry) error) error {
	root = filepath.Clean(root)
	info, err := os.Stat(root)
	if err != nil {
		return err
	}
	w := walk{ctx: ctx, visit: visit}
	return w.enter(Entry{Name: ".", Path: root, Info: info})
}

type walk struct {
	ctx     context.Context
	visit   func(Entry) error
	entries int
	above   []fs.FileInfo // the folders that contain the current one
	links   int           // number of links among them
}

func (w *walk) enter(e Entry) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if w.entries++; w.entries > maxEntries {
		return fmt.Errorf("more than %d files and folders: check for links that lead to the same folder", maxEntries)
	}
	if e.Dir() && (e.Link || w.links > 0) {
		for _, above := range w.above {
			e.Loop = e.Loop || os.SameFile(above, e.Info)
		}
	}
	switch err := w.visit(e); {
	case errors.Is(err, fs.SkipDir):
		return nil
	case err != nil:
		return err
	case !e.Dir() || e.Loop:
		return nil
	}
	entries, err := os.ReadDir(e.Path)
	if err != nil {
		return err
	}
	w.above = append(w.above, e.Info)
	if e.Link {
		w.links++
		defer func() { w.links-- }()
	}
	defer func() { w.above = w.above[:len(w.above)-1] }()
	for _, d := range entries {
		below := Entry{Name: path.Join(e.Name, d.Name()), Path: filepath.Join(e.Path, d.Name()), Link: d.Type()&fs.ModeSymlink != 0}
		if below.Info, err = os.Stat(below.Path); err != nil {
			below.Info, below.Err = nil, err
			if below.Link {
				below.Err = fmt.Errorf("the link %s leads nowhere: restore what it links to, or remove it: %w", below.Path, err)
			}
		}
		if err := w.enter(below); err != nil {
			return err
		}
	}
	return nil
}
