package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/experiments"
)

func newData() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "data",
		Short: "Fetch data sets, and list or clear what is cached of them",
	}
	cmd.AddCommand(newDataFetch(), newDataCache(), newDataClear())
	return cmd
}

func newDataCache() *cobra.Command {
	return &cobra.Command{
		Use:   "cache",
		Short: "List decoded images and embeddings that are kept for later runs",
		Long: `Cache lists the files of the cache folder ($ENGRAM_CACHE, or engram in the user's cache folder) that can be made again, those that
were used last first: decoded images, and the embeddings of images by trained encoders. All embeddings together take at most
20 GB, or what ENGRAM_EMBEDDINGS_LIMIT says (such as 50GB; 0 turns their cache off); those that were used least recently are
removed first.`,
		Example: "  engram data cache",
		Args:    args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, files, err := experiments.Cached()
			if err != nil {
				return err
			}
			var sum int64
			w := newColumns(cmd.OutOrStdout())
			for _, f := range files {
				sum += f.Bytes
				name, err := filepath.Rel(dir, f.Path)
				if err != nil {
					name = f.Path
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", name, megabytes(f.Bytes), f.Used.Format("2006-01-02 15:04"), f.What)
			}
			if err := w.Flush(); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s, %s, in %s\n", countOf(len(files), "file"), megabytes(sum), dir)
			return err
		},
	}
}

func newDataClear() *cobra.Command {
	var embeddings, images bool
	cmd := &cobra.Command{
		Use:   "clear [FILE...]",
		Short: "Remove decoded images and embeddings that are kept for later runs",
		Long: `Clear removes the files that engram data cache lists: the given ones, all decoded images, all embeddings, or everything. Data
sets that were fetched stay. A run that is using a file goes on with it; the next one makes it again.`,
		Example: "  engram data clear --embeddings",
		Args:    args(0, anyNumber),
		RunE: func(cmd *cobra.Command, only []string) error {
			if len(only) > 0 && (embeddings || images) {
				return errors.New("give files, or --embeddings and --images, not both")
			}
			dir, files, err := experiments.Cached()
			if err != nil {
				return err
			}
			var remove []experiments.CachedFile
			for _, name := range only {
				i := slices.IndexFunc(files, func(f experiments.CachedFile) bool {
					return f.Path == name || f.Path == filepath.Join(dir, name)
				})
				if i < 0 {
					return fmt.Errorf("%s is no file of the cache; engram data cache lists them", name)
				}
				remove = append(remove, files[i])
			}
			for _, f := range files {
				ofImages := filepath.Dir(f.Path) == dir
				if len(only) == 0 && (embeddings == images || ofImages == images) {
					remove = append(remove, f)
				}
			}
			var sum int64
			for _, f := range remove {
				if err := os.Remove(f.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
					return err
				}
				sum += f.Bytes
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "removed %s, %s\n", countOf(len(remove), "file"), megabytes(sum))
			return err
		},
	}
	cmd.Flags().BoolVar(&embeddings, "embeddings", false, "remove all embeddings")
	cmd.Flags().BoolVar(&images, "images", false, "remove all decoded images")
	return cmd
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

func newDataFetch() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "fetch NAME",
		Short: "Download a data set from its author's repository",
		Long: `Fetch downloads a data set, checks it, and puts it where experiments find it. An interrupted download goes on where it
stopped; nothing half-written is left under a final name.`,
		Example: "  engram data fetch omniglot",
		Args:    args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if dir == "" {
				var err error
				if dir, err = dataset.FetchDir(args[0]); err != nil {
					return err
				}
			}
			var bar *progressbar.ProgressBar
			current := ""
			err := dataset.Fetch(cmd.Context(), args[0], dir, func(done, total int64, file string) {
				if file != current {
					current = file
					bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(cmd.ErrOrStderr()), progressbar.OptionSetDescription(file),
						progressbar.OptionShowBytes(true), progressbar.OptionThrottle(100*time.Millisecond),
						progressbar.OptionOnCompletion(func() { fmt.Fprintln(cmd.ErrOrStderr()) }))
				}
				_ = bar.Set64(done)
			})
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is in %s\n", args[0], dir)
			return nil
		},
	}
	cmd.Flags().StringVar(&dir, "out", "", "folder to put it in (default the user's cache)")
	return cmd
}
