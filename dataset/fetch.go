package dataset

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// RemoteFile is a file of a data set and its source.
type RemoteFile struct {
	Path string // relative to the data set's folder, with slashes
	URL  string // relative to a Fetcher's base, or absolute
	Sum  string // checksum in hexadecimal: SHA-256, or MD5 if only that is published
}

// RemoteFiles lists the files of a data set. It returns an error for a data set that cannot be fetched.
func RemoteFiles(name string) ([]RemoteFile, error) {
	switch name {
	case NameOmniglot:
		const images, lists = "/brendenlake/omniglot/master/python/", "/jakesnell/prototypical-networks/master/data/omniglot/splits/vinyals/"
		return []RemoteFile{
			{"images_background.zip", images + "images_background.zip", "68d2efa1b9178cc56df9314c21c6e718"},
			{"images_evaluation.zip", images + "images_evaluation.zip", "6b91aef0f799c5bb55b94e3f2daec811"},
			{oneShotFile, images + "one-shot-classification/" + oneShotFile, "437c1eeab0af8484112e1b4cc0f3d541ec727f7c47b9b202da738af9dfd6c325"},
			{"splits/vinyals/train.txt", lists + "train.txt", "984522c194c30fb678ce53304a160a42faf5403ad4f9a67010f32dd3a35738e0"},
			{"splits/vinyals/val.txt", lists + "val.txt", "11f99e54faee3e26f53d3231c1cceac5bf7b8730e9be31cb6dab256551dc0c1a"},
			{"splits/vinyals/trainval.txt", lists + "trainval.txt", "5276ae50c755596d0bff7f2284e85625695549a85ee6e36b6491ad1e5d1cc26a"},
			{"splits/vinyals/test.txt", lists + "test.txt", "845264cc5c156180828ccf17915668b17ee21424d0170df6e7d81676aa5d1204"},
		}, nil
	case NameBabi:
		// The authors' original address no longer exists; this is their institute's copy.
		return []RemoteFile{{babiArchive, "http://parl.ai/downloads/babi/babi.tar.gz", "f7f0bee187efca0d81c3daac1b162cda4eb7f9505dee5ad6846eabbed3dbf92e"}}, nil
	case NameCIFARFS, NameFC100:
		// Python's version, with the checksum of the author's page.
		return []RemoteFile{{cifarPython + ".tar.gz", "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85"}}, nil
	case NameMiniImageNet:
		p, _ := publicationOf(name)
		dir, err := FetchDir(name)
		if err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("dataset: miniimagenet cannot be fetched, since its images are ImageNet's, whose terms have to be accepted at https://image-net.org: put %s in %s, or name their folder with --data or ENGRAM_DATA", p.needs, dir)
	case NameBanking77, NameCLINC150, NameHWU64:
		s, _ := intentSetOf(name)
		return nil, fmt.Errorf("dataset: %s is not fetched: put %s in a folder and name it with --data or ENGRAM_DATA", name, s.needs())
	case NameFewRel:
		return nil, fmt.Errorf("dataset: fewrel is not fetched: put the folder data of github.com/thunlp/FewRel in a folder and name it with --data or ENGRAM_DATA")
	case NameStrokes, NameStories, NameTextures, NameRequests:
		return nil, fmt.Errorf("dataset: %s is built in: nothing to fetch", name)
	}
	return nil, unknown(name)
}

// Progress receives the bytes received, the total bytes or -1 if the server does not report it, and the file's path
// relative to the data set's folder.
type Progress func(done, total int64, file string)

// Fetch downloads a data set from its author's repository into dir. See [Fetcher].
func Fetch(ctx context.Context, name, dir string, progress Progress) error {
	files, err := RemoteFiles(name)
	if err != nil {
		return err
	}
	return Fetcher{}.Fetch(ctx, files, dir, progress)
}

// Fetcher downloads files. The zero value works.
type Fetcher struct {
	Base   string        // prefix of relative URLs; default https://raw.githubusercontent.com
	Client *http.Client  // default: a client with a response timeout of 30 seconds
	Stall  time.Duration // timeout without progress; default one minute
}

// maxFileBytes limits the size of one file, far above the largest.
const maxFileBytes = 256 << 20

// Fetch downloads files into dir one after another. A file is written to NAME.part, which an interrupted download
// leaves and the next one continues, and renamed once its checksum is verified. An existing file with the right
// checksum is not fetched again; one with another checksum is not touched and is an error. The error lists URL and
// path, for a download by hand, and wraps ctx's error when ctx ends first.
func (f Fetcher) Fetch(ctx context.Context, files []RemoteFile, dir string, progress Progress) error {
	if f.Base == "" {
		f.Base = "https://raw.githubusercontent.com"
	}
	if f.Client == nil {
		t := &http.Transport{Proxy: http.ProxyFromEnvironment, ResponseHeaderTimeout: 30 * time.Second, TLSHandshakeTimeout: 30 * time.Second}
		defer t.CloseIdleConnections()
		f.Client = &http.Client{Transport: t}
	}
	if f.Stall <= 0 {
		f.Stall = time.Minute
	}
	if progress == nil {
		progress = func(int64, int64, string) {}
	}
	for i, file := range files {
		if err := f.file(ctx, file, dir, progress); err != nil {
			err = fmt.Errorf("dataset: fetching %s: %w", file.Path, err)
			if ctx.Err() != nil || errors.Is(err, errOtherFile) {
				return err
			}
			var byHand strings.Builder
			for _, file := range files[i:] {
				fmt.Fprintf(&byHand, "\n  %s\n    to %s", f.url(file), filepath.Join(dir, filepath.FromSlash(file.Path)))
			}
			return fmt.Errorf("%w\nrun the command again to continue, or download by hand%s", err, byHand.String())
		}
	}
	return nil
}

func (f Fetcher) url(file RemoteFile) string {
	if strings.Contains(file.URL, "://") {
		return file.URL
	}
	return f.Base + file.URL
}

var (
	errOtherFile = errors.New("the existing file is not the author's")
	errChecksum  = errors.New("the server sent a file with a wrong checksum")
)

func (f Fetcher) file(ctx context.Context, file RemoteFile, dir string, progress Progress) error {
	path := filepath.Join(dir, filepath.FromSlash(file.Path))
	switch err := checkSum(path, file.Sum); {
	case err == nil:
		if info, err := os.Stat(path); err == nil {
			progress(info.Size(), info.Size(), file.Path)
		}
		return ctx.Err()
	case errors.Is(err, errChecksum):
		return fmt.Errorf("%w: %s has another checksum; if you did not make it yourself, move it away and fetch again", errOtherFile, path)
	case !errors.Is(err, os.ErrNotExist):
		return err
	}
	made, err := makeFolders(filepath.Dir(path))
	defer removeEmpty(made) // if the download fails
	if err != nil {
		return fmt.Errorf("%w; choose a writable folder", err)
	}
	part := path + ".part"
	for {
		resumed, err := f.download(ctx, file, part, progress)
		if err != nil {
			return err
		}
		err = checkSum(part, file.Sum)
		if err == nil {
			break
		}
		if !errors.Is(err, errChecksum) {
			return err
		}
		if err := os.Remove(part); err != nil {
			return err
		}
		// The partial file may have been of another file: start again.
		if !resumed {
			return err
		}
	}
	return os.Rename(part, path)
}

// makeFolders makes a folder and those above it, and returns the ones that it made, the innermost first.
func makeFolders(dir string) (made []string, err error) {
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Stat(at); !errors.Is(err, os.ErrNotExist) || at == filepath.Dir(at) {
			break
		}
		made = append(made, at)
	}
	return made, os.MkdirAll(dir, 0o755)
}

// removeEmpty removes folders that are empty, in their order.
func removeEmpty(folders []string) {
	for _, dir := range folders {
		if os.Remove(dir) != nil { // it holds something, and so do those above it
			return
		}
	}
}

// download completes the partial file and reports whether it continued an earlier one.
func (f Fetcher) download(ctx context.Context, file RemoteFile, part string, progress Progress) (resumed bool, err error) {
	out, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	have, err := out.Seek(0, io.SeekEnd)
	if err != nil {
		return false, err
	}

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(f.Stall, func() { cancel(fmt.Errorf("no data for %s", f.Stall)) })
	defer watch.Stop()
	reply, err := f.get(ctx, file, have)
	if err != nil {
		if have == 0 { // leave no empty file
			err = errors.Join(err, os.Remove(part))
		}
		return false, err
	}
	defer reply.Body.Close()
	switch {
	case reply.StatusCode == http.StatusPartialContent && have > 0 && startsAt(reply, have):
		resumed = true
	case reply.StatusCode == http.StatusRequestedRangeNotSatisfiable && have > 0:
		// The file is complete or too long; the checksum decides.
		return true, nil
	case reply.StatusCode == http.StatusOK: // a server without ranges sends the whole file
		have = 0
		if err := out.Truncate(0); err != nil {
			return false, err
		}
		if _, err := out.Seek(0, io.SeekStart); err != nil {
			return false, err
		}
	default:
		return false, fmt.Errorf("%s answered %s", f.url(file), reply.Status)
	}
	total := int64(-1)
	if reply.ContentLength >= 0 {
		total = have + reply.ContentLength
	}
	buffer := make([]byte, 64<<10)
	for {
		n, err := reply.Body.Read(buffer)
		if n > 0 {
			watch.Reset(f.Stall)
			if _, err := out.Write(buffer[:n]); err != nil {
				return resumed, err
			}
			have += int64(n)
			if have > maxFileBytes {
				return resumed, fmt.Errorf("the server sent more than %d bytes", maxFileBytes)
			}
			progress(have, total, file.Path)
		}
		if err == io.EOF {
			return resumed, nil
		}
		if err != nil {
			return resumed, fmt.Errorf("the download was interrupted after %d bytes: %w", have, cause(ctx, err))
		}
	}
}

func (f Fetcher) get(ctx context.Context, file RemoteFile, from int64) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url(file), nil)
	if err != nil {
		return nil, err
	}
	if from > 0 {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
	}
	// Otherwise a proxy may compress the reply, and ranges would count compressed bytes.
	request.Header.Set("Accept-Encoding", "identity")
	reply, err := f.Client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("no answer: %w", cause(ctx, err))
	}
	return reply, nil
}

// cause prefers the cause of a context's cancellation to the cancellation itself.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// startsAt reports whether a partial reply begins at the requested byte.
func startsAt(reply *http.Response, from int64) bool {
	return strings.HasPrefix(reply.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", from))
}

// checkSum verifies a file's checksum. It returns errChecksum if it differs.
func checkSum(path, sum string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	var h hash.Hash = sha256.New()
	if len(sum) == 2*md5.Size {
		h = md5.New()
	}
	n, err := io.Copy(h, f)
	if err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	if got := fmt.Sprintf("%x", h.Sum(nil)); got != sum {
		return fmt.Errorf("%w: %d bytes with %s, not %s", errChecksum, n, got, sum)
	}
	return nil
}
