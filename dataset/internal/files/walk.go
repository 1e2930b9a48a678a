// Package files lists folders and decodes text files as all data sets do.
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

// maxEntries bounds how many files and folders a walk meets: links can make a small tree look endless without any loop.
const maxEntries = 4 << 20

// Entry is a file or folder below the root of a walk.
type Entry struct {
	Name string      // relative to the root, with slashes; "." for the root
	Path string      // where it is
	Info fs.FileInfo // of what it is or links to; nil if Err is set
	Link bool        // it is a symbolic link
	Loop bool        // it is a folder that, by way of links, lies in itself; it is not entered
	Err  error       // why what it links to cannot be found
}

// Base is the last part of the name.
func (e Entry) Base() string { return path.Base(e.Name) }

// Dir says whether the entry is a folder, or links to one.
func (e Entry) Dir() bool { return e.Info != nil && e.Info.IsDir() }

// Walk visits the root and all that lies below it, each folder before its entries and these by name. It follows symbolic links
// to files and folders. The visitor can return [fs.SkipDir] for a folder that is not to be entered. The error is the
// visitor's, one of reading a folder, or that of ctx.
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
	above   []fs.FileInfo // the folders that lead to the present one
	links   int           // how many of them are links
}

func (w *walk) enter(e Entry) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if w.entries++; w.entries > maxEntries {
		return fmt.Errorf("it has more than %d files and folders: check for links that lead to the same folder", maxEntries)
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
